"""What a stranger sees of a guard and of the archive behind it; ``leadapron check`` and ``up`` look by this.

The watch's own probe looks, so what it says here is what a scan by anybody would say. It stands in the command line
because the guard and the watch do not know each other.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from leadapron.guard.settings import Guard
from leadapron.kernel.errors import ScopeError
from leadapron.kernel.hostport import HostPort, parse_host_port

if TYPE_CHECKING:
    from leadapron.watch.measure.record import EndpointRecord, Severity

Role = Literal["guard", "enrolment", "pages", "back door", "archive", "archive's web", "way around"]
State = Literal["closed to strangers", "open", "this machine only", "not reached", "not looked at"]
ANYWHERE: Final = ("0.0.0.0", "::")
OPEN_VERDICTS: Final = ("exposed", "open")
_SEVERITY: Final[dict[State, Severity | None]] = {
    "closed to strangers": None,
    "this machine only": None,
    "open": "critical",
    "not reached": "medium",
    "not looked at": "low",
}


class Place(Struct, frozen=True):
    """Where to look. ``wanted``: whether something should listen there."""

    role: Role
    at: HostPort
    wanted: bool = True


class Seen(Struct, frozen=True):
    """What was seen at one place. ``advice``: what to do, None where nothing is to be done."""

    place: Place
    state: State
    verdict: str
    detail: str
    advice: str | None = None

    @property
    def severity(self) -> Severity | None:
        """How bad it is; None where all is well."""
        return _SEVERITY[self.state]


def places(settings: Guard) -> tuple[Place, ...]:
    """All that listens for this guard, the archive, and each own address on which the archive could be reached too."""
    archive = HostPort(settings.archive.host, settings.archive.port)
    own = own_addresses(settings, archive)
    found: list[Place] = []
    listeners: list[tuple[Role, str | None]] = [
        ("guard", settings.listen),
        ("enrolment", settings.enrol),
        ("pages", None if settings.web is None else settings.web.listen),
        ("back door", settings.archive.back),
    ]
    for role, listen in listeners:
        if listen:
            found += [Place(role, at) for at in _addresses(parse_host_port(listen, role), own)]
    found.append(Place("archive", archive))
    if settings.archive.web:
        found += [Place("archive's web", at) for at in _web(settings.archive.web)]
    if archive.loopback or archive.host in own:
        # An archive on this very machine is meant for the guard alone: nobody should reach it from outside.
        found += [
            Place("way around", HostPort(one, archive.port), False) for one in own if not HostPort(one, 1).loopback
        ]
    return tuple(dict.fromkeys(found))


def own_addresses(settings: Guard, archive: HostPort) -> tuple[str, ...]:
    """Addresses of this machine: loopback, what its names say, and the one that faces the archive. Sends nothing."""
    found = ["127.0.0.1"]
    for name in (*settings.names, socket.gethostname()):
        found += [address for address in _resolve(name) if _is_ours(address)]
    for address in _resolve(archive.host):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as facing:  # connecting a datagram socket sends no packet
            try:
                facing.connect((address, 9))
            except OSError:
                continue
            found.append(facing.getsockname()[0])
    return tuple(dict.fromkeys(found))


def _resolve(name: str) -> tuple[str, ...]:
    try:
        infos = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return ()
    return tuple(dict.fromkeys(str(info[4][0]) for info in infos))


def _is_ours(address: str) -> bool:
    """Whether this machine has that address: only then can it be bound to."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.bind((address, 0))
    except OSError:
        return False
    return True


def _addresses(listen: HostPort, own: tuple[str, ...]) -> Iterator[HostPort]:
    if listen.host not in ANYWHERE:
        yield listen
        return
    for address in own:
        if (ipaddress.ip_address(address).version == 6) == (listen.host == "::"):
            yield HostPort(address, listen.port)


def _web(url: str) -> Iterator[HostPort]:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    if parts.hostname:
        yield HostPort(parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))


async def look(settings: Guard, scope: str | None, timeout: float = 5.0) -> list[Seen]:
    """Looks at every place. Loopback is looked at always, anything else within ``scope`` (a file) only.

    Raises UsageError for a scope that cannot be read.
    """
    seen: dict[Place, Seen] = {}
    records: dict[tuple[str, int], EndpointRecord] = {}
    wanted = places(settings)
    for place in wanted:
        addresses = _resolve(place.at.host)
        if not addresses:
            detail = f"there is no address for the name {place.at.host}"
            seen[place] = Seen(place, "not reached", "-", detail, _silent_advice(place))
        for address in addresses:
            if (address, place.at.port) not in records:
                try:
                    await _scan(HostPort(address, place.at.port), scope, timeout, records)
                except ScopeError:
                    seen[place] = Seen(place, "not looked at", "-", "outside of the scope", _scope_advice(scope))
        if place not in seen:
            found = [records[address, place.at.port] for address in addresses if (address, place.at.port) in records]
            seen[place] = judge(place, found)
            if place.role == "archive's web" and seen[place].state == "closed to strangers":
                seen[place] = await _ask_web(place, settings, timeout)
    return [seen[place] for place in wanted]


def _scope_advice(scope: str | None) -> str:
    if scope is None:
        return "write down who allows to look at it: leadapron scope new guard.toml, then --scope guard.toml"
    return f"add it to {scope}"


async def _scan(
    at: HostPort, scope: str | None, timeout: float, records: dict[tuple[str, int], EndpointRecord]
) -> None:
    from leadapron.watch.measure.dicom.visit import Options
    from leadapron.watch.scan.run import ScanRequest, place, prepare, run

    request = ScanRequest(targets=(str(at),), scope=scope, options=Options(depth="capabilities", timeout=timeout))
    with place(None) as location:
        prepared = await prepare(request, location, lambda _, record: records.update({at: record}))
        await run(prepared)


async def _ask_web(place: Place, settings: Guard, timeout: float) -> Seen:
    """One request without credentials, of which nothing but the status is read."""
    import httpx2

    archive = settings.archive
    assert archive.web is not None
    url = archive.web.rstrip("/") + ("/system" if archive.web_kind == "orthanc" else "/studies?limit=1")
    try:
        async with (
            httpx2.AsyncClient(timeout=timeout, follow_redirects=False, verify=False, trust_env=False) as client,
            client.stream("GET", url) as answer,
        ):
            status = answer.status_code
    except httpx2.HTTPError as error:
        return Seen(
            place, "not reached", "-", f"no answer to a web request ({type(error).__name__})", _silent_advice(place)
        )
    if 200 <= status < 300:
        if place.at.loopback:
            return Seen(place, "this machine only", "open", "it serves whoever is on this machine")
        return Seen(place, "open", "open", f"answers without a password (status {status})", _open_advice(place))
    return Seen(place, "closed to strangers", "guarded", f"asks who it is (status {status})")


def judge(place: Place, records: list[EndpointRecord]) -> Seen:
    """What records of one place mean there. None: nothing answered."""
    if not records:
        if place.wanted and place.role != "back door":
            return Seen(place, "not reached", "closed", "nothing listens there", _silent_advice(place))
        return Seen(place, "closed to strangers", "closed", "nothing listens there")
    worst = next((record for record in records if record.verdict in OPEN_VERDICTS), records[0])
    if worst.verdict in OPEN_VERDICTS:
        findings = ", ".join(finding.id for finding in worst.findings[:3])
        if place.role.startswith("archive") and place.at.loopback:
            return Seen(place, "this machine only", worst.verdict, "it serves whoever is on this machine")
        return Seen(place, "open", worst.verdict, findings or "a stranger is served", _open_advice(place))
    if place.role == "way around":
        return Seen(
            place, "open", worst.verdict, "the archive's port answers on an address that others reach", _around(place)
        )
    return Seen(place, "closed to strangers", worst.verdict, worst.reason or f"speaks {worst.service}")


def _silent_advice(place: Place) -> str | None:
    if place.role in ("archive", "archive's web"):
        return "start the archive, or mend host and port in [guard.archive]"
    return "start the guard: leadapron up"


def _open_advice(place: Place) -> str:
    if place.role.startswith("archive"):
        return (
            "let only this machine connect there (firewall), or let the archive know the guard's title and address only"
        )
    if place.role == "way around":
        return _around(place)
    return "this listener serves strangers, which it never should: stop it and report this as a bug"


def _around(place: Place) -> str:
    return f"let the archive listen on 127.0.0.1 only, or close port {place.at.port} in the firewall"
