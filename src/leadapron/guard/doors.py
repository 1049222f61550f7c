"""The guard's doors and the archive behind, as far as a look at their addresses tells whether they can be.

Two listeners on one port of one address, or one on the port where the archive itself listens on this machine: only the
start would find that out, on a day when nobody has time. What is on other machines disturbs nobody.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections.abc import Mapping
from itertools import combinations
from typing import Final
from urllib.parse import SplitResult, urlsplit

from leadapron.kernel.errors import Failure, UsageError
from leadapron.kernel.hostport import HostPort

_THEN: Final = {
    errno.EADDRINUSE: "stop what listens there (a guard that runs already?), or choose another port",
    errno.EACCES: "ports below 1024 are for root: choose another, or let the service (CAP_NET_BIND_SERVICE in systemd)",
    errno.EADDRNOTAVAIL: "that is no address of this machine: write one that is, or 0.0.0.0 for all",
}


def web_address(text: str, what: str) -> SplitResult:
    """The base URL of the archive's web side, taken apart. Raises UsageError; ``what`` says where it stands."""
    wrong = UsageError(f"{what} must be an address such as http://127.0.0.1:8042, with no query and no fragment")
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  raises where it is none
    except ValueError:
        raise wrong from None
    plain = text.isascii() and text.isprintable() and " " not in text
    if not plain or parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise wrong
    return parts


def web_place(text: str, what: str) -> HostPort:
    """Where that is."""
    parts = web_address(text, what)
    return HostPort(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))


def refuse_shared(doors: Mapping[str, HostPort], behind: Mapping[str, HostPort]) -> None:
    """``doors``: where the guard listens; ``behind``: where the archive does; both by how they are called where they
    were written. Raises UsageError for two that cannot be at once."""
    for (one, here), (other, there) in combinations(doors.items(), 2):
        if _overlap(here, there):
            raise UsageError(
                f"{one} and {other} are both {here.port}, a port that only one can have: choose another for {other}"
            )
    for name, place in behind.items():
        for door, here in doors.items():
            if _is_here(place.host) and _overlap(here, place):
                raise UsageError(
                    f"{door} is {here}, where the archive itself listens on this machine ({name} is {place}): "
                    f"choose another port for {door}"
                )


def cannot_listen(what: str, place: HostPort, error: BaseException | None) -> Failure:
    """What to tell of a door that did not open; ``what``: the key that says where it is."""
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, socket.gaierror):
        why, then = "that name is not known here", "write an address of this machine"
    else:
        why = os.strerror(number) if number else type(error).__name__
        then = _THEN.get(number or 0, "choose another place")
    return Failure(f"cannot listen on {place} ({what}): {why}; {then}")


def _overlap(one: HostPort, other: HostPort) -> bool:
    if one.port != other.port or one.port == 0:
        return False
    return any(_same(a, b) for a in _addresses(one.host) for b in _addresses(other.host))


def _same(one: str, other: str) -> bool:
    if one == other:
        return True
    families = {_family(one), _family(other)} - {None}
    return len(families) < 2 and any(address in ("0.0.0.0", "::") for address in (one, other))


def _addresses(host: str) -> tuple[str, ...]:
    """Names are not looked up: a guard is set up before its name is known everywhere."""
    if host.lower() == "localhost":
        return "127.0.0.1", "::1"
    try:
        return (str(ipaddress.ip_address(host)),)
    except ValueError:
        return (host.lower(),)


def _family(host: str) -> int | None:
    try:
        return ipaddress.ip_address(host).version
    except ValueError:
        return None


def _is_here(host: str) -> bool:
    """Whether that is an address of this machine: only on such a one can a socket be bound."""
    for address in _addresses(host):
        family = {4: socket.AF_INET, 6: socket.AF_INET6}.get(_family(address) or 0)
        if family is None:
            continue
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.bind((address, 0))
        except OSError:
            continue
        return True
    return False
