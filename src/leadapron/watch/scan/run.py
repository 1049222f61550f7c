"""From what the user asked for to a finished scan: targets gathered, scope read, saved as it goes, resumed where it
stopped.

A scan is always written down while it runs, so that a stop at any moment loses nothing that was measured; who doesn't
want it kept (``location`` None) gets a temporary database that is gone afterwards.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from leadapron.kernel.clock import SystemClock
from leadapron.kernel.errors import UsageError
from leadapron.watch.find.gather import gather
from leadapron.watch.find.pace import Pace
from leadapron.watch.find.plan import Checkpoint, ScanTargets
from leadapron.watch.find.resolve import bind_names
from leadapron.watch.measure.dicom.visit import Options
from leadapron.watch.measure.model import Measurement
from leadapron.watch.measure.record import EndpointRecord, Summary
from leadapron.watch.scan.scanner import Scanner
from leadapron.watch.scan.totals import Totals
from leadapron.watch.scope import Scope, ScopeGuard
from leadapron.watch.track.rows import ScanStart
from leadapron.watch.track.writer import Writer

# Where DICOM is found first, then where the web services of archives are (background: Orthanc's REST, DICOMweb,
# viewers).
DICOM_PORTS: Final = (104, 11112, 4242, 2761, 2762)
WEB_PORTS: Final = (80, 443, 8042, 8043, 8080, 8443)
DEFAULT_PORTS: Final = DICOM_PORTS + WEB_PORTS

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

    @property
    def spec(self) -> tuple[str, ...]:
        """The targets as the user gave them, which is how a resume finds the scan again."""
        return (*self.targets, *(f"--from {file}" for file in self.files))


class Prepared(Struct):
    """A scan that is ready to run. ``notes``: what the user should know before it starts."""

    request: ScanRequest
    scanner: Scanner
    writer: Writer
    addresses: int
    notes: tuple[str, ...]
    location: str
    resumed: int | None = None
    recorded: frozenset[tuple[str, int]] = frozenset()


class _Sink:
    def __init__(self, writer: Writer, listeners: tuple[Listener, ...]) -> None:
        self._writer = writer
        self._listeners = listeners

    def put(self, measurement: Measurement, record: EndpointRecord) -> None:
        self._writer.put(measurement, record)
        for listener in self._listeners:
            listener(measurement, record)

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


async def prepare(request: ScanRequest, location: str, *listeners: Listener) -> Prepared:
    """Read scope and targets and open the database, without sending a packet but to a name server.

    Raises UsageError or ScopeError for what is wrong with the request, and where nothing may be scanned.
    """
    clock = SystemClock()
    scope = Scope.loopback_only() if request.scope is None else Scope.load(request.scope, clock)
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
        request, checkpoint, recorded, totals = stored.request, stored.checkpoint, stored.recorded, stored.totals
    else:
        checkpoint, recorded, totals = None, frozenset(), None
    plan = ScanTargets(gathered.targets, request.ports, scope, seed=request.seed, resume=checkpoint)
    for reason, number in plan.skipped.items():
        notes.append(f"left out {number:,} of scope: {plan.details[reason]}")
    if not len(plan):
        raise UsageError("nothing that was named may be scanned: " + "; ".join(sorted(set(plan.details.values()))))
    pace = Pace.of(request.rate, request.network_rate, scope.rates)
    facts = scope.file
    start = ScanStart(
        targets=request.spec,
        options=_options(request, plan),
        seed=plan.checkpoint().seed,
        authorised_by=facts.authorised_by if facts else None,
        scope={"file": request.scope, "contact": facts.contact, "reason": facts.reason} if facts else None,
    )
    writer = Writer(location, stored.number if stored else start)
    extra: dict[str, Any] = {} if request.max_in_flight is None else {"max_in_flight": request.max_in_flight}
    scanner = Scanner(
        plan,
        pace=pace,
        guard=ScopeGuard(scope),
        options=request.options,
        sink=_Sink(writer, listeners),
        recorded=recorded,
        earlier=totals,
        clock=clock,
        **extra,
    )
    return Prepared(request, scanner, writer, plan.addresses, tuple(notes), location, stored.number if stored else None)


async def run(prepared: Prepared) -> Summary:
    """Scan to the end or until the scanner is stopped, and write down how it ended."""
    scanner, writer = prepared.scanner, prepared.writer
    try:
        summary = await scanner.run()
    except BaseException:
        with contextlib.suppress(Exception):  # the first error is the one to hear of
            writer.finish("failed", scanner.summary())
        raise
    writer.finish("stopped" if scanner.stopped else "done", summary)
    return summary


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
        found = store.resumable(request.spec)
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
