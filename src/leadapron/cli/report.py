"""``leadapron report``: an earlier scan again, judged by the rules of today.

What is stored is the measurement; verdicts and findings are computed from it each time, so a rule that was added since
shows in old scans too. Where that changed nothing, the totals are those of the scan; where it did, they are added up
anew, and a line on stderr says so.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from leadapron.cli.options import FILE, NUMBER, SETTINGS, output, placed, writable
from leadapron.cli.writing import console_on, put, write_file
from leadapron.kernel.errors import UsageError

if TYPE_CHECKING:
    from leadapron.cli.place import Place
    from leadapron.watch.measure.model import Measurement
    from leadapron.watch.measure.record import EndpointRecord, Summary
    from leadapron.watch.report.model import After, Facts
    from leadapron.watch.track.store import Scan, Store

FORMATS = ("table", "jsonl", "json", "csv")
FEEDS = ("intelmq", "stix", "ocsf")  # of what the scan saw open: as `leadapron feed` writes them


@click.command(name="report", context_settings=SETTINGS)
@click.argument("number", type=NUMBER, required=False, metavar="[SCAN]")
@click.option("--list", "list_", is_flag=True, help="List the scans there are.")
@click.option(
    "--compare",
    "older",
    type=NUMBER,
    metavar="OLD",
    help="What changed from scan OLD to SCAN: opened, closed, grew, shrank, moved.",
)
@click.option("--campaign", metavar="NAME", help="What changed between the last two rounds of this campaign.")
@click.option(
    "--format",
    "format_",
    type=click.Choice((*FORMATS, *FEEDS)),
    help="What goes to stdout. [default: table; nothing with --report alone]",
)
@output(text="Write the results there instead of to stdout.")
@click.option(
    "--report",
    "page",
    type=FILE,
    metavar="FILE.html",
    callback=writable,
    help="Write the report as one HTML page.",
)
@placed
def command(
    number: int | None,
    list_: bool,
    older: int | None,
    campaign: str | None,
    format_: str | None,
    output: Path | None,
    page: Path | None,
    place: Place,
) -> None:
    """Show an earlier scan again, or write its report.

    SCAN is its number, as --list shows it; without one it is the latest.

    \b
    leadapron report --list
    leadapron report 3 --report report.html
    leadapron report --format csv --output latest.csv
    leadapron report --compare 3 5                     what changed from scan 3 to scan 5
    leadapron report --campaign city                   what changed between its last two rounds
    """
    if list_ and (number or format_ or page or older or campaign):
        raise click.UsageError("--list shows all scans as a table; it goes with --output and --data alone.")
    if older or campaign:
        if page is not None:
            raise click.UsageError("--report is the page of one scan; a comparison goes to stdout or --output.")
        if campaign and (older or number):
            raise click.UsageError("--campaign picks the scans by itself; name either it or their numbers.")
        if format_ in FEEDS:
            raise click.UsageError(f"--format {format_} is of one scan; a comparison is a table, jsonl, json or csv.")
        from leadapron.cli.compare import show

        show(place, older, number, campaign, format_ or "table", output)
        return
    with _store(place) as store:
        if list_:
            _list(store, output)
            return
        scan = store.scan(number) if number else store.latest()
        if scan is None:
            raise UsageError(f"there is no scan in {store.name} yet. `leadapron scan TARGET` makes one")
        reading = Reading(store, scan)
        if page is not None:
            write_page(page, facts_of(scan), reading)
        if format_ in FEEDS:
            from leadapron.cli.feed import of_scan

            of_scan(place, scan.id, format_, output)
            return
        if format_ is not None or output is not None or page is None:
            reading = Reading(store, scan)
            write_results(format_ or "table", output, facts_of(scan), reading, page)
    if reading.changed and scan.summary is not None:
        print(
            f"{reading.changed:,} of the verdicts or counts are other than when this was scanned: the rules have "
            "changed. Totals are added up anew; an archive behind doors at several addresses may count for each.",
            file=sys.stderr,
        )


class Reading:
    """A stored scan read once, judged anew. ``summary`` is right when ``pairs`` came to its end."""

    def __init__(self, store: Store, scan: Scan) -> None:
        from leadapron.watch.scan.totals import Totals

        self._store, self._scan = store, scan
        self._totals = Totals()
        self.changed = 0  # endpoints that are judged otherwise than when they were scanned

    def pairs(self) -> Iterator[tuple[Measurement, EndpointRecord]]:
        """Measurement and record of each sighting, in the order of observation."""
        from leadapron.watch.measure.judge import record as judged

        for sighting in self._store.sightings(self._scan.id):
            record = judged(sighting.measurement)
            self.changed += (record.verdict, record.exposed) != (sighting.record.verdict, sighting.record.exposed)
            self._totals.add(record, None)
            yield sighting.measurement, record

    def summary(self) -> Summary:
        """The scan's own summary if nothing is judged otherwise now, else one that is added up anew."""
        stored = self._scan.summary
        if stored is not None and not self.changed:
            return stored
        closed = self._scan.tally.get("closed", 0) if stored is None else stored.endpoints.get("closed", 0)
        return self._totals.summary(
            targets=0 if stored is None else stored.targets,
            closed=closed,
            elapsed_s=0.0 if stored is None else stored.elapsed_s,
        )


def facts_of(scan: Scan) -> Facts:
    """What the report's head says."""
    from leadapron.watch.report.model import Facts

    options = scan.start.options.get("options")
    return Facts(
        number=scan.id,
        state=scan.state,
        targets=scan.start.targets,
        started_at=scan.started_at,
        finished_at=scan.finished_at,
        authorised_by=scan.start.authorised_by,
        scope=scan.start.scope,
        depth=options.get("depth") if isinstance(options, dict) else None,
    )


def write_page(path: Path, facts: Facts, reading: Reading, after: After | None = None) -> None:
    """Write the HTML report. The file is there whole or not at all. ``after``: what a second look saw."""
    from leadapron.watch.report.html import render
    from leadapron.watch.report.model import collect

    write_file(path, [render(collect(facts, reading.pairs(), reading.summary), after=after)])


def write_results(format_: str, output: Path | None, facts: Facts, reading: Reading, page: Path | None = None) -> None:
    """Write the results to ``output``, or to stdout. ``page``: the HTML report that was written, to point to it."""
    if format_ == "table":
        _table(output, facts, reading, page)
        return
    records = (record for _, record in reading.pairs())
    lines = _lines(format_, records, reading.summary)
    put(output, lines)


def _lines(format_: str, records: Iterable[EndpointRecord], summarise: Callable[[], Summary]) -> Iterator[str]:
    from leadapron.watch.report import csv, jsonl

    if format_ == "csv":
        return csv.rows(records)
    return jsonl.lines(records, summarise) if format_ == "jsonl" else jsonl.document(records, summarise)


def _table(output: Path | None, facts: Facts, reading: Reading, page: Path | None) -> None:
    from leadapron.watch.report.model import collect
    from leadapron.watch.report.terminal import show

    report = collect(facts, reading.pairs(), reading.summary)
    with console_on(output) as console:
        show(report, console, None if page is None else str(page))


def _list(store: Store, output: Path | None) -> None:
    from leadapron.watch.report.scans import scans_table

    scans = store.scans()
    if not scans:
        raise UsageError(f"there is no scan in {store.name} yet. `leadapron scan TARGET` makes one")
    with console_on(output) as console:
        console.print(scans_table(scans, store.verdicts(), console.width))


@contextlib.contextmanager
def _store(place: Place) -> Iterator[Store]:
    """Open what there is; a place without scans is not made one by looking."""
    from leadapron.watch.track.store import Store

    with Store.open(place.location()) as store:
        yield store
