"""A population brought to life: thousands of servers on loopback addresses in one process and one thread."""

from __future__ import annotations

import errno
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final

from msgspec import structs

from leadapron.kernel.errors import Failure
from leadapron.lab.archive.generated import GeneratedArchive
from leadapron.lab.archive.model import Archive
from leadapron.lab.archive.studies import Plan
from leadapron.lab.population import Population, Resident, load, residents
from leadapron.lab.server.delay import DelayLine
from leadapron.lab.server.negotiate import Negotiator
from leadapron.lab.server.profile import Door
from leadapron.lab.server.station import Station
from leadapron.lab.truth import EndpointTruth
from leadapron.wire.aio.swarm import Swarm, raise_open_files_limit

_SPARE_FILES: Final = 256  # for visitors, and for what Python itself has open


class _Open:
    __slots__ = ("address", "port", "resident", "station")

    def __init__(self, resident: Resident, station: Station, address: str, port: int) -> None:
        self.resident, self.station, self.address, self.port = resident, station, address, port


class Neighbourhood:
    """``async with Neighbourhood("hard-cases") as n:`` — servers answer as long as the block lasts.

    ``population``: a shipped one by name, a .toml file, or a ``Population``. ``latency_ms`` delays whatever visitors
    say. ``free_ports``: any free port instead of the ones in the file (tests). ``canary`` stands in every text
    attribute of every made-up study and in error comments. Raises UsageError for the file, Failure for what the machine
    refuses.
    """

    def __init__(
        self,
        population: Population | str | Path,
        *,
        latency_ms: float = 0.0,
        free_ports: bool = False,
        canary: str = "",
    ) -> None:
        self.population = population if isinstance(population, Population) else load(population)
        self._latency_ms = latency_ms
        self._free_ports = free_ports
        self._canary = canary
        self._open: list[_Open] = []
        self._swarm: Swarm | None = None
        self._negotiators: dict[Door, Negotiator] = {}
        self._archives: dict[Plan | str, Archive] = {}
        self._delays: dict[float, DelayLine] = {}

    async def __aenter__(self) -> Neighbourhood:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Open every endpoint; needs a running loop."""
        everybody = list(residents(self.population, self._canary))
        needed, possible = len(everybody) + _SPARE_FILES, raise_open_files_limit()
        if needed > possible:
            raise Failure(
                f"{len(everybody)} endpoints need {needed} open files and this process may have {possible}: "
                f"raise the limit (`ulimit -n {needed}`, or LimitNOFILE= of the service) or choose a smaller population"
            )
        self._swarm = Swarm()
        try:
            for resident in everybody:
                self._listen(self._swarm, resident)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Close every endpoint and connection."""
        if self._swarm is not None:
            self._swarm.close()
            self._swarm = None

    @property
    def truth(self) -> list[EndpointTruth]:
        """What is true about each endpoint, and what it has seen so far."""
        return [_truth(one) for one in self._open]

    def _listen(self, swarm: Swarm, resident: Resident) -> None:
        station = self._station(resident)
        factory = partial(resident.persona.talk, station)
        port = 0 if self._free_ports else resident.port
        try:
            try:
                listener = swarm.listen(resident.address, port, factory)
            except PermissionError:
                if not resident.unprivileged_port:
                    raise
                listener = swarm.listen(resident.address, resident.unprivileged_port, factory)
        except OSError as error:
            raise Failure(_advice(resident, error)) from error
        self._open.append(_Open(resident, station, *listener.address))

    def _station(self, resident: Resident) -> Station:
        negotiator = None
        if resident.door is not None:
            negotiator = self._negotiators.get(resident.door)
            if negotiator is None:
                negotiator = self._negotiators[resident.door] = Negotiator(resident.door)
        options = dict(resident.options)
        answers = resident.answers
        if resident.plan is not None and resident.plan.canary:
            options["canary"] = resident.plan.canary
            answers = structs.replace(answers, error_comment=resident.plan.canary)
        delay = self._delay(float(options.get("latency_ms", self._latency_ms)))
        return Station(negotiator, answers, self._archive(resident), delay, options)

    def _delay(self, milliseconds: float) -> DelayLine | None:
        if milliseconds <= 0:
            return None
        delay = self._delays.get(milliseconds)
        if delay is None:
            delay = self._delays[milliseconds] = DelayLine(milliseconds / 1000)
        return delay

    def _archive(self, resident: Resident) -> Archive | None:
        key = resident.plan or resident.files
        if key is None:
            return None
        archive = self._archives.get(key)
        if archive is None:
            archive = self._archives[key] = _build(key)
        return archive


def _build(key: Plan | str) -> Archive:
    if isinstance(key, Plan):
        return GeneratedArchive(key)
    from leadapron.lab.archive.files import pydicom_archive  # reads some 200 files

    return pydicom_archive()


def _advice(resident: Resident, error: OSError) -> str:
    where = f"{resident.address} port {resident.port}"
    if error.errno == errno.EADDRINUSE:
        return f"{where} is in use: another lab may be running; stop it, or use a population with other ports"
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"{where} may only be opened by root: give the endpoint an unprivileged_port, or run "
            "`sudo sysctl net.ipv4.ip_unprivileged_port_start=100`"
        )
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return f"{where}: no file descriptor is left; raise the limit with `ulimit -n`, or use a smaller population"
    if error.errno == errno.EADDRNOTAVAIL:
        return (
            f"{where}: this machine has no such loopback address; the lab needs Linux, where all of 127.0.0.0/8 works"
        )
    return f"{where} can't be opened: {error.strerror}"


def _truth(one: _Open) -> EndpointTruth:
    resident, station = one.resident, one.station
    persona, archive = resident.persona, station.archive
    volume = archive.volume if archive else None
    empty = 0 if persona.completable and archive is None else None
    return EndpointTruth(
        address=one.address,
        port=one.port,
        persona=persona.name,
        family=persona.family,
        transport=persona.transport,
        verdicts=persona.verdicts,
        completable=persona.completable,
        images_told=persona.images_told,
        patients_told=persona.patients_told,
        product=persona.product,
        studies=volume.studies if volume else empty,
        images=volume.images if volume else empty,
        patients=volume.patients if volume else empty,
        series=volume.series if volume else empty,
        undated=volume.undated if volume else 0,
        archive=archive.name if archive else None,
        note=resident.note,
        crashed=station.crashed,
        seen=station.seen,
    )
