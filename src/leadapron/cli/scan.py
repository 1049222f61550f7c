"""``leadapron scan``: options in, results out; the work is in ``watch.scan``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from leadapron.cli.options import FILE, POSITIVE, SETTINGS, output, placed, writable
from leadapron.cli.report import FORMATS

if TYPE_CHECKING:
    from leadapron.cli.place import Place
    from leadapron.cli.results import Results
    from leadapron.watch.measure.model import Measurement
    from leadapron.watch.measure.record import EndpointRecord, Summary
    from leadapron.watch.scan.fleet import Workers
    from leadapron.watch.scan.run import Plan, Prepared, ScanRequest

SEVERITIES = ("critical", "high", "medium", "low", "info")
DEPTHS = ("touch", "capabilities", "count", "estimate")
_GIVEN = click.core.ParameterSource.COMMANDLINE
DEFAULT_PORTS = "104,11112,4242,2761,2762, and for the web 80,443,8042,8043,8080,8443"


class Ports(click.ParamType[tuple[int, ...]]):
    """``104,11112`` or ``11110-11115``."""

    name = "N,N…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        ports: dict[int, None] = {}
        for part in str(value).split(","):
            first, dash, last = part.strip().partition("-")
            if not _digits(first) or (dash and not _digits(last)):
                self.fail(f"'{part.strip()[:40]}' is no port; give numbers like 104,11112 or a range like 11110-11115")
            low, high = int(first), int(last or first)
            if not 1 <= low <= high <= 65535:
                self.fail(f"'{part.strip()}': ports go from 1 to 65535, the smaller first")
            ports.update(dict.fromkeys(range(low, high + 1)))
        return tuple(ports)


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


class Title(click.ParamType[str]):
    """An AE title, PS3.5 Table 6.2-1."""

    name = "TITLE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value).strip()
        if not 1 <= len(text) <= 16 or not all(" " <= c <= "~" and c != "\\" for c in text):
            self.fail("an AE title has 1 to 16 printable ASCII characters without a backslash")
        return text


@click.command(name="scan", context_settings=SETTINGS)
@click.argument("targets", nargs=-1, metavar="TARGET…")
@click.option(
    "--from",
    "files",
    multiple=True,
    metavar="FILE",
    help="Read targets from a file (- for stdin): lists, nmap, masscan, ZMap, Shodan, Censys, CSV.",
)
@click.option(
    "--campaign",
    metavar="NAME",
    help="Run one round of this campaign of the configuration now, with its own targets and options.",
)
@click.option("--scope", metavar="FILE", help="Scope file: needed for anything but loopback ('leadapron scope new').")
@click.option("--port", "ports", type=Ports(), multiple=True, help=f"Ports to look at. [default: {DEFAULT_PORTS}]")
@click.option(
    "--depth",
    type=click.Choice(DEPTHS),
    default="count",
    show_default=True,
    help="touch: associate only; capabilities: C-ECHO too; count: count what is exposed; estimate: by a sample.",
)
@click.option(
    "--rate",
    type=POSITIVE,
    metavar="N",
    help="Connections a second, overall. [default: what the networks allow]",
)
@click.option(
    "--network-rate",
    type=POSITIVE,
    metavar="N",
    help="Connections a second for each /24 (IPv6: /56). [default: 20; none on loopback]",
)
@click.option(
    "--timeout",
    type=POSITIVE,
    default=5.0,
    show_default=True,
    metavar="S",
    help="Seconds for each wait.",
)
@click.option(
    "--patience",
    type=POSITIVE,
    default=300.0,
    show_default=True,
    metavar="S",
    help="Seconds for the counting of one server.",
)
@click.option(
    "--max-requests",
    type=click.IntRange(min=1),
    default=400,
    show_default=True,
    metavar="N",
    help="Requests that one server is sent at most.",
)
@click.option(
    "--called-ae",
    "called",
    type=Title(),
    multiple=True,
    help="Called AE title to use; up to three, tried in turn. [default: ANY-SCP; a product's where that is refused]",
)
@click.option("--calling-ae", "calling", type=Title(), help="Calling AE title. [default: LEADAPRON]")
@click.option(
    "--format", "format_", type=click.Choice(FORMATS), default="table", show_default=True, help="What goes to stdout."
)
@output(text="Write the results there instead of to stdout.")
@click.option(
    "--report",
    type=FILE,
    metavar="FILE.html",
    callback=writable,
    help="Write the report as one HTML page.",
)
@click.option("--fail-on", type=click.Choice(SEVERITIES), help="Exit with 3 if a finding is at least this severe.")
@click.option("--resume", is_flag=True, help="Go on with the stopped scan of these targets.")
@click.option("--no-save", is_flag=True, help="Keep nothing of this scan.")
@click.option(
    "--processes",
    type=click.IntRange(min=1, max=64),
    default=1,
    show_default=True,
    metavar="N",
    help="Processes that share the work, for large scans.",
)
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@click.option("--verbose", "-v", is_flag=True, help="Say on stderr what each endpoint was found to be.")
@placed
@click.pass_context
def command(
    ctx: click.Context,
    targets: tuple[str, ...],
    files: tuple[str, ...],
    campaign: str | None,
    scope: str | None,
    ports: tuple[tuple[int, ...], ...],
    depth: str,
    rate: float | None,
    network_rate: float | None,
    timeout: float,
    patience: float,
    max_requests: int,
    called: tuple[str, ...],
    calling: str | None,
    format_: str,
    output: Path | None,
    report: Path | None,
    fail_on: str | None,
    resume: bool,
    no_save: bool,
    processes: int,
    quiet: bool,
    verbose: bool,
    place: Place,
) -> None:
    """Find imaging servers that strangers can open, and measure what they expose.

    A TARGET is an address, a block (192.0.2.0/24), a range (192.0.2.10-90), a host name, each with or without :port.
    Loopback is free; anything else needs a scope file that says who allows it. No image is ever asked for, and no
    patient's datum is kept.

    \b
    leadapron scan 127.1.0.0/24                        the demo's street, while 'leadapron lab' runs
    leadapron scan --scope mine.toml 10.20.0.0/22      one's own network
    leadapron scan --format jsonl --from hosts.txt     for other programs
    leadapron scan --campaign city                     one round of a campaign, now
    """
    from leadapron.watch.campaign.settings import load_watch
    from leadapron.watch.measure.dicom.proposal import CALLING, MAX_CALLED
    from leadapron.watch.measure.dicom.visit import Options
    from leadapron.watch.scan.run import DEFAULT_PORTS as ALL_PORTS
    from leadapron.watch.scan.run import ScanRequest

    if campaign is not None:
        request = _round(ctx, campaign, place, resume, processes)
        ctx.exit(Job(request, format_, output, report, fail_on, quiet, verbose).run())
    if not targets and not files:
        raise click.UsageError("Name a target (an address, a block, a host name) or --from FILE.", ctx)
    if no_save and resume:
        raise click.UsageError("--resume goes on with a saved scan, so it can't be combined with --no-save.", ctx)
    if len(called) > MAX_CALLED:
        raise click.UsageError(
            f"At most {MAX_CALLED} called AE titles are tried on a server; {len(called)} were given.", ctx
        )
    request = ScanRequest(
        targets=targets,
        files=files,
        scope=scope,
        ports=tuple(dict.fromkeys(p for group in ports for p in group)) or ALL_PORTS,
        options=Options(
            depth=depth,  # type: ignore[arg-type]  # click has checked it
            timeout=timeout,
            max_requests=max_requests,
            patience=patience,
            called=called,
            calling=(calling or CALLING,),
        ),
        rate=rate,
        network_rate=network_rate,
        location=None if no_save else place.made(),
        resume=resume,
        processes=processes,
        closed_after=load_watch(place.config).closed_after,
    )
    ctx.exit(Job(request, format_, output, report, fail_on, quiet, verbose).run())


_OWN = ("targets", "files", "scope", "ports", "depth", "rate", "network_rate", "timeout", "patience", "max_requests")
_OTHERS = ("called", "calling", "no_save")


def _round(ctx: click.Context, name: str, place: Place, resume: bool, processes: int) -> ScanRequest:
    """One round of a campaign. Raises UsageError for options that would make it another question."""
    import msgspec

    from leadapron.watch.campaign.round import alone, request_of
    from leadapron.watch.campaign.settings import load_watch
    from leadapron.watch.track.store import Store

    for parameter in ctx.command.params:
        if parameter.name in (*_OWN, *_OTHERS) and ctx.get_parameter_source(parameter.name) is _GIVEN:
            what = parameter.opts[0] if isinstance(parameter, click.Option) else "TARGET"
            why = "is the campaign's own: change it in leadapron.toml" if parameter.name in _OWN else "does not fit"
            raise click.UsageError(f"{what} cannot be combined with --campaign: it {why}, so that rounds compare.", ctx)
    watch = load_watch(place.config)
    campaign = watch.named(name)
    location = place.made()
    with Store.open(location) as store:
        alone(store, campaign)
    return msgspec.structs.replace(request_of(campaign, location, watch, resume=resume), processes=processes)


class Job:
    """One run of the command: scan, show, exit code."""

    def __init__(
        self,
        request: ScanRequest,
        format_: str = "table",
        output: Path | None = None,
        report: Path | None = None,
        fail_on: str | None = None,
        quiet: bool = False,
        verbose: bool = False,
        passing: bool = False,
    ) -> None:
        self.request = request
        self.passing = passing
        self.format = format_
        self.output = output
        self.report = report
        self.fail_on = fail_on
        self.quiet = quiet
        self.verbose = verbose
        self.worst: int | None = None

    def run(self) -> int:
        """Scan and print; gives the exit code."""
        import gc

        from leadapron.cli.results import Results
        from leadapron.watch.scan.run import make_plan, place, start_workers
        from leadapron.wire.aio.loop import run

        gc.freeze()  # what is loaded by now stays: the collector need not look through it again and again
        if self.request.options.depth in ("touch", "capabilities"):
            # Thousands of small records a second, none of them in a cycle.
            gc.set_threshold(50_000, 20, 50)
        passing = self.passing or self.request.location is None
        with Results(self.format, self.output, passing) as results, place(self.request.location) as location:
            plan = run(make_plan(self.request, location))
            workers = start_workers(plan)
            try:
                prepared, summary = run(self._scan(plan, workers, results))
            finally:
                if workers is not None:
                    workers.reap()
            results.finish(prepared, summary, self.report)
            if prepared.resumed is not None:
                self._note_earlier(prepared)
        self._say_end(prepared)
        if prepared.scanner.stopped:
            return 130
        return 3 if self._at_or_above() else 0

    async def _scan(self, plan: Plan, workers: Workers | None, results: Results) -> tuple[Prepared, Summary]:
        import asyncio
        import signal

        from leadapron.cli.progress import shown
        from leadapron.watch.scan.run import assemble, run

        prepared = assemble(plan, self._note, results.put, workers=workers)
        for note in prepared.notes:
            print(f"Note: {note}", file=sys.stderr)
        if prepared.resumed is not None:
            done = prepared.scanner.progress
            print(f"Going on with scan {prepared.resumed} at {done.done:,} of {done.endpoints:,}.", file=sys.stderr)
        loop = asyncio.get_running_loop()
        # What the loop itself complains about (a TLS peer that goes away in mid-air) has its outcome in the record; its
        # traceback would only spoil the terminal, and may quote what a server sent.
        loop.set_exception_handler(self._loop_complains)
        task = asyncio.current_task()
        assert task is not None

        def interrupt() -> None:
            if prepared.scanner.stopped:
                task.cancel()
            else:
                print("Stopping: finishing what is in hand. Once more to stop at once.", file=sys.stderr)
                prepared.scanner.stop()

        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, interrupt)
        try:
            async with shown(prepared.scanner.progress, quiet=self.quiet):
                return prepared, await run(prepared)
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
        finally:
            for name in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(name)

    def _note(self, measurement: Measurement, record: EndpointRecord) -> None:
        if self.worst != 0:
            for finding in record.findings:
                rank = SEVERITIES.index(finding.severity)
                self.worst = rank if self.worst is None else min(self.worst, rank)
        if self.verbose:
            reason = f" ({record.reason})" if record.reason else ""
            print(
                f"{record.address}:{record.port} {record.transport} {record.service} {record.verdict}{reason} "
                f"{record.load.requests} requests, {record.elapsed_s:.1f} s",
                file=sys.stderr,
            )

    def _loop_complains(self, loop: object, context: dict[str, Any]) -> None:
        if self.verbose:
            print(f"the event loop met a {type(context.get('exception')).__name__}", file=sys.stderr)

    def _note_earlier(self, prepared: Prepared) -> None:
        """Findings of the run that was resumed count for ``--fail-on`` too."""
        from leadapron.watch.track.store import Store

        with Store.open(prepared.location) as store:
            for record in store.records(prepared.writer.scan_id):
                for finding in record.findings:
                    rank = SEVERITIES.index(finding.severity)
                    self.worst = rank if self.worst is None else min(self.worst, rank)

    def _at_or_above(self) -> bool:
        return self.fail_on is not None and self.worst is not None and self.worst <= SEVERITIES.index(self.fail_on)

    def _say_end(self, prepared: Prepared) -> None:
        if prepared.scanner.stopped and self.request.location is not None:
            print("Stopped. The same command with --resume goes on from here.", file=sys.stderr)
        self._say_changes(prepared)
        if self.report is not None:
            print(f"Report: {self.report}", file=sys.stderr)

    def _say_changes(self, prepared: Prepared) -> None:
        """What is other than it was: of a first scan everything is, and the results have said it."""
        folded = prepared.folded
        if folded is None or self.passing or self.quiet:
            return
        kinds = {kind: folded.number(kind) for kind in ("reopened", "moved", "grew", "shrank", "closed")}
        if any(kinds.values()):
            changes = {"opened": folded.number("opened"), **kinds}
            listed = ", ".join(f"{number:,} {kind}" for kind, number in changes.items() if number)
            print(f"Since earlier scans: {listed}. {folded.standing.open:,} stand open in all.", file=sys.stderr)
