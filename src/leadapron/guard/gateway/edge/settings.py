"""What an edge is told: by options, and by the section ``[edge]`` of ``leadapron.toml`` under the same names.

Closed unless opened (invariant 5): who may come has no default, and an empty list means nobody, which is refused at
the start because such an edge is of no use. The address to listen on is written out; there is no "all of them".
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from leadapron.guard.gateway.edge.item import QueueLimits
from leadapron.guard.identity.names import ae_title
from leadapron.kernel.errors import UsageError
from leadapron.kernel.hostport import HostPort, parse_host_port

LISTEN: Final = "127.0.0.1:11112"
GIB: Final = 1 << 30


class Table(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"sources": "from"}):
    """The section ``[edge]``; the options of the command have the same names with dashes."""

    listen: str | None = None
    sources: tuple[str, ...] | None = None
    calling: str | None = None
    called: str | None = None
    to: str | None = None
    receive: str | None = None
    device: str | None = None
    server_name: str | None = None
    identity: str | None = None
    queue: str | None = None
    max_queue: float | None = None
    reserve: float | None = None


class EdgeSettings(Struct, frozen=True, kw_only=True):
    """Checked. ``sources``: addresses that may connect, in the form that ``str(ip_address(…))`` has. ``receive`` and
    ``device``: the way back, from where to where; both None where there is none."""

    listen_host: str
    listen_port: int
    sources: frozenset[str]
    calling: str
    called: str
    host: str
    port: int
    server_name: str | None
    identity: Path
    queue: Path
    limits: QueueLimits
    receive: HostPort | None = None
    device: HostPort | None = None


def table(section: Mapping[str, Any] | None, options: Mapping[str, Any]) -> Table:
    """Options win over the section; what is None or empty was not given. Raises `UsageError`."""
    values = dict(section or {}) | {name: value for name, value in options.items() if value not in (None, ())}
    try:
        return msgspec.convert(values, Table)
    except msgspec.ValidationError as error:
        raise UsageError(f"the section [edge] of the configuration is wrong: {error}") from None


def check(given: Table) -> EdgeSettings:
    """Raises `UsageError` for what is missing, and for what would open more than was meant."""
    needed = {
        "--from": given.sources,
        "--calling": given.calling,
        "--called": given.called,
        "--to": given.to,
        "--identity": given.identity,
        "--queue": given.queue,
    }
    missing = [option for option, value in needed.items() if not value]
    if missing:
        are = "is" if len(missing) == 1 else "are"
        raise UsageError(f"{', '.join(missing)} {are} missing: an edge serves one device, and nobody by default")
    listen_host, listen_port = parse_host_port(given.listen or LISTEN, "--listen")
    host, port = parse_host_port(given.to or "", "--to")
    sources = frozenset(_address("--from", text) for text in given.sources or ())
    receive, device = _way_back(given, sources)
    return EdgeSettings(
        listen_host=_listening("--listen", listen_host),
        listen_port=listen_port,
        sources=sources,
        receive=receive,
        device=device,
        calling=_title("--calling", given.calling or ""),
        called=_title("--called", given.called or ""),
        host=host,
        port=port,
        server_name=given.server_name,
        identity=Path(given.identity or "").expanduser(),
        queue=Path(given.queue or "").expanduser(),
        limits=_limits(given.max_queue, given.reserve),
    )


def _limits(max_queue: float | None, reserve: float | None) -> QueueLimits:
    by_default = QueueLimits()
    for option, value in (("--max-queue", max_queue), ("--reserve", reserve)):
        if value is not None and not 0 <= value <= 1 << 20:
            raise UsageError(f"{option} is {value:g} GiB, which cannot be meant")
    return QueueLimits(
        octets=by_default.octets if max_queue is None else int(max_queue * GIB),
        reserve=by_default.reserve if reserve is None else int(reserve * GIB),
    )


def _address(option: str, text: str) -> str:
    try:
        return str(ip_address(text.strip()))
    except ValueError:
        raise UsageError(f"{option} takes addresses, each written out: 192.168.1.50 (no names, no networks)") from None


def _listening(option: str, host: str) -> str:
    address = _address(option, host)
    if ip_address(address).is_unspecified:
        side = "the device" if option == "--listen" else "the guard"
        raise UsageError(f"{option} needs one address of this machine, the one on {side}'s side, not all of them")
    return address


def _way_back(given: Table, sources: frozenset[str]) -> tuple[HostPort | None, HostPort | None]:
    if not given.receive and not given.device:
        return None, None
    if not given.receive or not given.device:
        raise UsageError("--receive and --device belong together: where the guard delivers, and where that goes on to")
    receive, device = parse_host_port(given.receive, "--receive"), parse_host_port(given.device, "--device")
    address = _address("--device", device.host)
    if address not in sources:
        raise UsageError(
            f"--device is {address}, and --from has only {', '.join(sorted(sources))}: deliveries go to it"
        )
    return HostPort(_listening("--receive", receive.host), receive.port), HostPort(address, device.port)


def _title(option: str, text: str) -> str:
    try:
        return ae_title(text)
    except UsageError as error:
        raise UsageError(f"{option}: {error}") from None
