"""``leadapron feed``: what stands open, for CERTs and their programs. The formats are told of in docs/feeds.md."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from leadapron.cli.options import SETTINGS, output, placed
from leadapron.cli.options import country as country_code

if TYPE_CHECKING:
    from leadapron.cli.place import Place
    from leadapron.kernel.config import Settings
    from leadapron.watch.reach.feeds.about import Tlp
    from leadapron.watch.reach.feeds.entries import Entry, Wanted

FORMATS = ("intelmq", "csv", "stix", "ocsf", "jsonl")
SENDER = "Lead Apron"
_EVERY = 1000  # exposures between two lines of progress


@click.command(name="feed", context_settings=SETTINGS)
@click.option("--format", "format_", type=click.Choice(FORMATS), required=True, help="How it is written.")
@click.option("--country", metavar="CC,…", help="Only in these countries: two letters of ISO 3166-1.")
@click.option("--asn", metavar="N,…", help="Only in these autonomous systems.")
@click.option("--network", "networks", multiple=True, metavar="CIDR,…", help="Only in these blocks of addresses.")
@click.option("--campaign", metavar="NAME", help="Only what this campaign saw last.")
@click.option(
    "--state", type=click.Choice(["open", "closed", "all"]), default="open", show_default=True, help="As it is now."
)
@click.option("--since", metavar="TIME", help="Only what was seen open, or was closed, since: 2026-11-21, 36h, 7d.")
@click.option("--new", is_flag=True, help="Only what changed since the last feed with --new and this selection.")
@click.option("--sender", metavar="NAME", help="Who sends it. [default: the organisation in section notices]")
@click.option("--tlp", type=click.Choice(["clear", "green", "amber", "red"]), help="Traffic Light Protocol marking.")
@output(text="Write it there, for your eyes alone, instead of to stdout.")
@placed
def command(
    format_: str,
    country: str | None,
    asn: str | None,
    networks: tuple[str, ...],
    campaign: str | None,
    state: str,
    since: str | None,
    new: bool,
    sender: str | None,
    tlp: str | None,
    output: Path | None,
    place: Place,
) -> None:
    """Write what stands open, for CERTs and their programs.

    \b
    leadapron feed --format csv --country DE,AT --output germany.csv
    leadapron feed --format intelmq --network 192.0.2.0/24 --since 7d
    leadapron feed --format stix --tlp amber --state all --new --output new.json
    """
    if new and since:
        raise click.UsageError("--new and --since both say from when; give one of them.")
    import msgspec

    from leadapron.cli.place import campaign_of
    from leadapron.cli.writing import put
    from leadapron.kernel.clock import SystemClock, iso
    from leadapron.watch.reach.feeds import entries, marks
    from leadapron.watch.reach.feeds.about import About
    from leadapron.watch.reach.feeds.formats import writer
    from leadapron.watch.reach.feeds.plain import plain

    clock = SystemClock()
    settings = place.settings()
    selection = entries.Selection(
        countries=() if country is None else tuple(map(country_code, entries.countries(country))),
        asns=() if asn is None else entries.asns(asn),
        networks=tuple(entries.network(block) for text in networks for block in text.split(",") if block.strip()),
        campaign=campaign,
        state=cast("Wanted", state),
        since=None if since is None else entries.moment(since, clock),
    )
    about = About(
        sender=plain(sender or _organisation(settings)) or SENDER, made_at=iso(clock.now()), tlp=cast("Tlp | None", tlp)
    )
    with place.opened() as engine:
        if campaign is not None:
            campaign_of(engine, place, campaign)
        key, newest = marks.key(selection, format_), 0
        if new:
            newest = marks.newest(engine)
            selection = msgspec.structs.replace(selection, after=marks.mark(engine, key), upto=newest)
        counted = _Counted(entries.read(engine, selection))
        pieces = writer(format_)(counted, about)
        put(output, pieces, private=True)
        if new:
            marks.move(engine, key, newest, clock)
    more = "" if counted.number else ": nothing fits. 'leadapron owner list' shows what stands open"
    print(f"{counted.number:,} {'exposure' if counted.number == 1 else 'exposures'}{more}", file=sys.stderr)


def of_scan(place: Place, number: int, format_: str, output: Path | None) -> None:
    """What this scan saw open, for ``leadapron report``."""
    from leadapron.cli.writing import put
    from leadapron.kernel.clock import SystemClock, iso
    from leadapron.watch.reach.feeds import entries
    from leadapron.watch.reach.feeds.about import About
    from leadapron.watch.reach.feeds.formats import writer
    from leadapron.watch.reach.feeds.plain import plain

    settings = place.settings()
    about = About(sender=plain(_organisation(settings)) or SENDER, made_at=iso(SystemClock().now()), tlp=None)
    with place.opened() as engine:
        pieces = writer(format_)(entries.read(engine, entries.Selection(state="all", scan=number)), about)
        put(output, pieces, private=True)


class _Counted:
    """The entries, counted on their way; on a terminal one sees that it goes on."""

    def __init__(self, entries: Iterator[Entry]) -> None:
        self._entries = entries
        self.number = 0

    def __iter__(self) -> Iterator[Entry]:
        shown = sys.stderr.isatty()
        for entry in self._entries:
            self.number += 1
            if shown and self.number % _EVERY == 0:
                print(f"\r{self.number:,} exposures …", end="", file=sys.stderr, flush=True)
            yield entry
        if shown and self.number >= _EVERY:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _organisation(settings: Settings) -> str | None:
    found = (settings.notices or {}).get("organisation")
    return found if isinstance(found, str) else None
