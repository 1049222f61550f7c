"""The guard's part of ``leadapron.toml``: section ``[guard]``, every key of it also ``LEADAPRON_GUARD__…``.

What peers may do stands there too; the policy reads those tables by itself, with the line of each rule.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from leadapron.guard.doors import refuse_shared, web_place
from leadapron.guard.policy.rules import PeerRules
from leadapron.guard.policy.words import shown, title
from leadapron.kernel.config import Settings, find_file, load
from leadapron.kernel.errors import UsageError
from leadapron.kernel.hostport import HostPort, parse_host_port
from leadapron.kernel.misread import with_line

HTTPS: Final = 443
_OURS: Final = re.compile(r"\[([\w.]+)\] (\w+)")
MOST_DAYS: Final = 36_500
MOST_STUDIES: Final = 100_000
"""In an hour, as for peers."""


class Archive(Struct, frozen=True, kw_only=True):
    """The older archive behind the guard. ``host``, ``port``, ``ae``: where it takes associations. ``also``: further
    AE titles that it answers to there, for queries or a worklist, say.

    ``calling``: how the guard calls itself there; None keeps each peer's own title. ``tls``: inside too, verified by
    ``ca`` (PEM). ``web``: base URL of its DICOMweb, REST or viewer; ``web_kind``: ``orthanc`` or ``dicomweb``.
    ``back``: where the archive delivers C-MOVE results for peers behind the guard; only ``host`` may connect there.
    """

    host: str
    port: int = 104
    ae: str = "ANY-SCP"
    also: tuple[str, ...] = ()
    calling: str | None = None
    tls: bool = False
    ca: str | None = None
    web: str | None = None
    web_kind: str = "dicomweb"
    back: str | None = None

    @property
    def titles(self) -> tuple[str, ...]:
        return self.ae, *self.also


class Web(Struct, frozen=True, kw_only=True):
    """The pages and the DICOMweb proxy: ``listen`` is ``host:port``, TLS always. Sizes in octets, times in seconds.

    ``public``: where browsers and programs find them (``https://images.example.org``), if that is not the first of the
    guard's names and the port of ``listen``. ``studies_per_hour``: for each person, as for a peer.
    """

    listen: str = "0.0.0.0:8443"
    public: str | None = None
    studies_per_hour: int = 100
    idle_s: int = 15 * 60
    absolute_s: int = 10 * 3600
    max_request: int = 2 << 30
    max_response: int = 8 << 30


class Oidc(Struct, frozen=True, kw_only=True):
    """An OpenID provider for people. ``secret_file`` holds the client's secret; ``claim`` names who it is."""

    issuer: str
    client_id: str
    secret_file: str
    claim: str = "email"


class Syslog(Struct, frozen=True, kw_only=True):
    """An audit record repository (PS3.15 A.6): RFC 5424 over TLS to ``host:port``, verified by ``ca`` (PEM)."""

    address: str
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None


class Audit(Struct, frozen=True, kw_only=True):
    """The audit trail. ``keep_days``: how long its records are kept at least; None: for ever."""

    keep_days: int | None = None


class Limits(Struct, frozen=True, kw_only=True):
    """Bounds on strangers: connections in all and from one address, handshakes under way; times in seconds."""

    connections: int = 256
    per_address: int = 32
    handshake_s: float = 10.0
    associate_s: float = 10.0
    idle_s: float = 300.0
    response_s: float = 120.0


class Guard(Struct, frozen=True, kw_only=True):
    """All of it. ``listen``: DIMSE over mutual TLS; ``names``: host names and addresses of the guard's certificate;
    ``enrol``: where peers redeem their one-time code, ``host:port``, TLS."""

    archive: Archive
    listen: str = "0.0.0.0:2762"
    names: tuple[str, ...] = ()
    enrol: str | None = "0.0.0.0:2780"
    scope: str | None = None
    web: Web | None = None
    oidc: Oidc | None = None
    syslog: Syslog | None = None
    audit: Audit = Audit()
    limits: Limits = Limits()
    peer: tuple[PeerRules, ...] = ()

    def origins(self) -> tuple[str, ...]:
        """How browsers may call the guard, the public address first: ``https://host:port``."""
        web = self.web or Web()
        port = parse_host_port(web.listen, "[guard.web] listen", any_port=True).port
        own = tuple(f"https://{HostPort(name, port)}" for name in self.names)
        return own if web.public is None else (web.public, *own)


class _File(Settings, frozen=True, kw_only=True):
    """The whole file, with the guard's section as the guard knows it."""

    guard: Guard | None = None  # type: ignore[assignment]


def load_guard(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Guard:
    """The section ``[guard]`` of the file at ``path`` (None: the one that `find_file` finds).

    Raises `UsageError` where there is none, a key does not exist (with the closest that does), lacks or has a value of
    the wrong type, each with the line where it stands, and for doors that cannot be side by side.
    """
    path = path or find_file(environment)
    settings = load(_File, path=path, environment=environment)
    if settings.guard is None:
        where = "there is no configuration file" if path is None else f"{path} has no section [guard]"
        raise UsageError(f"{where}: 'leadapron init guard' writes one, or name another file: --config FILE")
    try:
        return _meant(settings.guard)
    except UsageError as error:
        found = _OURS.match(str(error))
        if found is None or path is None:
            raise
        raise UsageError(f"{with_line(path, (*found[1].split('.'), found[2]))}: {error}") from None


def _meant(guard: Guard) -> Guard:
    """Raises `UsageError`, beginning with section and key, for values that can't be meant."""
    keep = guard.audit.keep_days
    if keep is not None and not 1 <= keep <= MOST_DAYS:
        raise UsageError(f"[guard.audit] keep_days must be from 1 to {MOST_DAYS}, not {keep}; left out it is for ever")
    _archive(guard.archive)
    for section, record in (("guard.limits", guard.limits), ("guard.web", guard.web)):
        for key in () if record is None else record.__struct_fields__:
            value = getattr(record, key)
            if isinstance(value, int | float) and not 0 < value < math.inf:
                raise UsageError(f"[{section}] {key} must be more than 0, not {value}; left out it is the usual")
    _doors(guard)
    return guard if guard.web is None else msgspec.structs.replace(guard, web=_checked(guard.web))


def _archive(archive: Archive) -> None:
    for key, titles in (("ae", (archive.ae,)), ("also", archive.also), ("calling", (archive.calling,))):
        for one in titles:
            if one is not None and title(one) != one:
                raise UsageError(
                    f"[guard.archive] {key}: {shown(one)} is no AE title; write 1 to 16 characters of ASCII, no spaces "
                    "around, no backslash (PS3.5 §6.2)"
                )
    if not 0 < archive.port < 65536:
        raise UsageError(f"[guard.archive] port must be from 1 to 65535, not {archive.port}")


def _doors(guard: Guard) -> None:
    archive, pages = guard.archive, guard.web if guard.archive.web is not None else None
    written = {
        "[guard] listen": guard.listen,
        "[guard] enrol": guard.enrol,
        "[guard.archive] back": archive.back,
        "[guard.web] listen": None if pages is None else pages.listen,
    }
    doors = {what: parse_host_port(text, what, any_port=True) for what, text in written.items() if text}
    behind = {"[guard.archive] port": HostPort(archive.host, archive.port)}
    if archive.web is not None:
        behind["[guard.archive] web"] = web_place(archive.web, "[guard.archive] web")
    refuse_shared(doors, behind)


def _checked(web: Web) -> Web:
    """Raises `UsageError` for values that can't be meant; ``public`` as browsers write it."""
    if not 1 <= web.studies_per_hour <= MOST_STUDIES:
        raise UsageError(f"[guard.web] studies_per_hour must be from 1 to {MOST_STUDIES}, not {web.studies_per_hour}")
    if web.public is None:
        return web
    scheme, _, place = web.public.rstrip("/").partition("://")
    if scheme.lower() != "https" or not place or any(sign in place for sign in "/?#@"):
        raise UsageError(
            f"[guard.web] public: {web.public!a} is no address like https://images.example.org or "
            "https://images.example.org:8443: https, a name, and nothing behind it"
        )
    host, port = parse_host_port(place, "[guard.web] public", HTTPS)
    public = "https://" + str(HostPort(host.lower(), port)).removesuffix(f":{HTTPS}")
    return msgspec.structs.replace(web, public=public)
