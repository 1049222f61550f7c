"""From what the user asked for to a finished scan: targets gathered, scope read, saved as it goes, resumed where it
stopped.

A scan is always written down while it runs, so that a stop at any moment loses nothing that was measured; who doesn't
want it kept (``location`` None) gets a temporary database that is gone afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from leadapron.kernel.errors import UsageError
from leadapron.watch.find.gather import gather
from leadapron.watch.find.pace import Pace
from leadapron.watch.find.plan import Checkpoint, ScanTargets
from leadapron.watch.find.resolve import bind_names
from leadapron.watch.measure.count.hashes import Fingerprint
from leadapron.watch.measure.dicom.visit import Options
from leadapron.watch.measure.model import Measurement
from leadapron.watch.measure.record import EndpointRecord, Summary
from leadapron.watch.scan.fleet import Fleet, Workers
from leadapron.watch.scan.scanner import MAX_IN_FLIGHT, Scanner, Sink
from leadapron.watch.scan.totals import Totals
from leadapron.watch.scope import Scope, ScopeGuard
from leadapron.watch.track.exposures.episode import CLOSED_AFTER
from leadapron.watch.track.known import open_endpoints
from leadapron.watch.track.rows import ScanStart
from leadapron.watch.track.writer import Writer

if TYPE_CHECKING:
    from leadapron.watch.track.exposures.fold import Folded

# Where DICOM is found first, then where the web services of archives are (background: Orthanc's REST, DICOMweb,
# viewers).
DICOM_PORTS: Final = (104, 11112, 4242, 2761, 2762)
WEB_PORTS: Final = (80, 443, 8042, 8043, 8080, 8443)
DEFAULT_PORTS: Final = DICOM_PORTS + WEB_PORTS

FOLDED_AT_ONCE: Final = 2_000

Listener = Callable[[Measurement, EndpointRecord], None]


class ScanRequest(Struct, frozen=True, kw_only=True):
    """What to scan and how. ``location``: data directory or database URL, None to keep nothing. Rates are connections a
    second, overall and for each /24 (IPv6: /56); None for the defaults of ``find.pace``."""

    targets: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    scope: str | None = None
    ports: tuple[int, ...] = DEFAULT_PORTS
    options: Options = Options()
    rate: float | None = None
    network_rate: float | None = None
    location: str | None = None
    resume: bool = False
    seed: int | None = None
    max_in_flight: int | None = None
    processes: int = 1
    campaign: str | None = None  # whose round it is
    closed_after: int = CLOSED_AFTER

    @property
    def spec(self) -> tuple[str, ...]:
        """The targets as the user gave them, which is how a resume finds the scan again."""
        return (*self.targets, *(f"--from {file}" for file in self.files))


class Plan(Struct):
    """What is to be done, before anything is. ``notes``: what the user should know before it starts."""

    request: ScanRequest
    targets: ScanTargets
    scope: Scope
    pace: Pace
    notes: tuple[str, ...]
    location: str
    resumed: int | None = None
    recorded: frozenset[tuple[str, int]] = frozenset()
    earlier: Totals | None = None
    known: frozenset[tuple[str, int]] = frozenset()


class Prepared(Struct):
    """A scan that is ready to run, in this process or in several."""

    request: ScanRequest
    scanner: Scanner | Fleet
    writer: Writer
    addresses: int
    notes: tuple[str, ...]
    location: str
    resumed: int | None = None
    recorded: frozenset[tuple[str, int]] = frozenset()
    folded: Folded | None = None  # what the scan changed, when it is over


class _Sink:
    def __init__(self, writer: Writer, listeners: tuple[Listener, ...]) -> None:
        self._writer = writer
        self._listeners = listeners

    def put(
        self,
        measurement: Measurement,
        record: EndpointRecord,
        fingerprint: Fingerprint | None,
        door: tuple[str, int] | None,
    ) -> None:
        self._writer.put(measurement, record, door)
        for listener in self._listeners:
            listener(measurement, record)

    def absent(self, address: str, port: int, error: str, observed_at: str) -> None:
        self._writer.absent(address, port, error, observed_at)

    def checkpoint(self, position: int, tally: Mapping[str, int]) -> None:
        self._writer.checkpoint(position, tally)


@contextlib.contextmanager
def place(location: str | None) -> Iterator[str]:
    """Where to save: the location itself, or a directory that is deleted at the end."""
    if location is not None:
        yield location
        return
    with tempfile.TemporaryDirectory(prefix="leadapron-") as directory:
        yield directory


async def make_plan(request: ScanRequest, location: str) -> Plan:
    """Read scope and targets, without sending a packet but to a name server.

    Raises UsageError or ScopeError for what is wrong with the request, and where nothing may be scanned.
    """
    scope = Scope.loopback_only() if request.scope is None else Scope.load(request.scope)
    notes: list[str] = []
    scope, unbound = await bind_names(scope)
    notes += [f"{name} in the scope has no address: {reason}" for name, reason in unbound.items()]
    if scope.file is not None and scope.expired:
        raise UsageError(f"the scope {request.scope} has ended; have it renewed: leadapron scope show {request.scope}")
    gathered = await gather(request.targets, request.files)
    notes += [f"{name} was left out: {reason}" for name, reason in gathered.unresolved.items()]
    notes += gathered.notes
    stored = _stored(request, location) if request.resume else None
    if stored is not None:
        request = stored.request
    targets = ScanTargets(
        gathered.targets, request.ports, scope, seed=request.seed, resume=stored.checkpoint if stored else None
    )
    for reason, number in targets.skipped.items():
        notes.append(f"left out {number:,} of scope: {targets.details[reason]}")
    if not len(targets):
        raise UsageError("nothing that was named may be scanned: " + "; ".join(sorted(set(targets.details.values()))))
    return Plan(
        request,
        targets,
        scope,
        Pace.of(request.rate, request.network_rate, scope.rates),
        tuple(notes),
        location,
        stored.number if stored else None,
        stored.recorded if stored else frozenset(),
        stored.totals if stored else None,
        open_endpoints(location, request.closed_after),
    )


def assemble(plan: Plan, *listeners: Listener, workers: Workers | None = None) -> Prepared:
    """Open the database and put the parts together; to be called in the loop that will run the scan."""
    request, facts = plan.request, plan.scope.file
    start = ScanStart(
        targets=request.spec,
        options=_options(request, plan.targets),
        seed=plan.targets.checkpoint().seed,
        authorised_by=facts.authorised_by if facts else None,
        scope={"file": request.scope, "contact": facts.contact, "reason": facts.reason} if facts else None,
        campaign=request.campaign,
    )
    writer = Writer(plan.location, start if plan.resumed is None else plan.resumed)
    sink = _Sink(writer, listeners)
    scanner = scanner_of(plan, sink) if workers is None else Fleet(workers, plan.targets, sink, plan.earlier)
    return Prepared(
        request, scanner, writer, plan.targets.addresses, plan.notes, plan.location, plan.resumed, plan.recorded
    )


def scanner_of(plan: Plan, sink: Sink) -> Scanner:
    """The scanner of a plan, for this process."""
    most = plan.request.max_in_flight
    return Scanner(
        plan.targets,
        pace=plan.pace,
        guard=ScopeGuard(plan.scope),
        options=plan.request.options,
        sink=sink,
        recorded=plan.recorded,
        known=plan.known,
        earlier=plan.earlier,
        max_in_flight=MAX_IN_FLIGHT if most is None else most,
    )


async def prepare(request: ScanRequest, location: str, *listeners: Listener) -> Prepared:
    """``make_plan`` and ``assemble`` in one, for one process."""
    return assemble(await make_plan(request, location), *listeners)


def start_workers(plan: Plan) -> Workers | None:
    """Fork the processes that the request wants, or None for one. Not within a running loop: see ``fleet``."""
    number = plan.request.processes
    if number < 2:
        return None

    def child(shard: int, sink: Sink) -> Scanner:
        plan.targets.keep_shard(shard, number)
        return scanner_of(msgspec.structs.replace(plan, pace=plan.pace.shared(number), earlier=None), sink)

    return Workers(number, child)


async def run(prepared: Prepared) -> Summary:
    """Scan to the end or until the scanner is stopped, write down how it ended and what that changed."""
    scanner, writer = prepared.scanner, prepared.writer
    try:
        summary = await scanner.run()
    except BaseException:
        with contextlib.suppress(Exception):  # the first error is the one to hear of
            writer.finish("failed", scanner.summary())
            _fold(prepared)
        raise
    writer.finish("stopped" if scanner.stopped else "done", summary)
    await asyncio.to_thread(_fold, prepared)
    return summary


def _fold(prepared: Prepared) -> None:
    """What the scan changed. Of one that nobody keeps nothing is followed up; one that found very many open servers is
    folded by whoever asks for exposures next, for that takes a while (40 µs each) and a census need not wait for it."""
    request, verdicts = prepared.request, prepared.scanner.totals.verdicts
    if request.location is None:
        return
    if request.campaign is None and verdicts["exposed"] + verdicts["open"] > FOLDED_AT_ONCE:
        return
    from leadapron.watch.track.exposures.fold import fold_all

    prepared.folded = fold_all(prepared.location, prepared.writer.scan_id, closed_after=prepared.request.closed_after)


class _Stored(Struct):
    number: int
    request: ScanRequest
    checkpoint: Checkpoint
    recorded: frozenset[tuple[str, int]]
    totals: Totals


def _options(request: ScanRequest, plan: ScanTargets) -> dict[str, Any]:
    """What a resume takes from the stored scan; JSON types only."""
    kept = msgspec.to_builtins(request)
    return {
        **{name: kept[name] for name in ("ports", "options", "rate", "network_rate", "scope")},
        "fingerprint": plan.fingerprint,
    }


def _stored(request: ScanRequest, location: str) -> _Stored:
    from leadapron.watch.track.store import Store

    with Store.open(location) as store:
        found = store.resumable(request.spec, request.campaign)
        if found is None:
            raise UsageError("there is no stopped scan of these targets to resume; start it without --resume")
        options = found.scan.start.options
        totals = Totals.of(store.records(found.scan.id), found.scan.tally.get("closed", 0))
    settled = {name: options[name] for name in ("ports", "options", "rate", "network_rate") if name in options}
    return _Stored(
        found.scan.id,
        msgspec.convert({**msgspec.to_builtins(request), **settled}, ScanRequest),
        Checkpoint(options["fingerprint"], found.scan.start.seed, found.scan.position),
        found.recorded,
        totals,
    )
