"""``leadapron campaign …``: what is scanned again and again, when it is due, and what came of it.

What a campaign is stands in the configuration; here it is looked at, asked for, paused. ``leadapron up`` runs the
rounds, and hears of it through the database.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from leadapron.cli.options import SETTINGS, decided_by, placed, shown

if TYPE_CHECKING:
    from leadapron.cli.place import Place
    from leadapron.watch.campaign.board import Board
    from leadapron.watch.campaign.settings import Campaign, Watch
    from leadapron.watch.track.store import Scan, Store

_format = shown("table", "json")
_name = click.argument("name")


@click.group(name="campaign", context_settings=SETTINGS)
def command() -> None:
    """Look at campaigns: what is scanned again and again, and when.

    A campaign is a section [[watch.campaign]] of leadapron.toml. 'leadapron up' runs the rounds when they are due;
    'leadapron scan --campaign NAME' runs one now, here.
    """


@command.command("list", context_settings=SETTINGS)
@_format
@placed
def list_(place: Place, format_: str) -> None:
    """List the campaigns, when each is due, and how its last round ended.

    \b
    leadapron campaign list
    """
    with _opened(place) as (watch, store, board):
        facts = [_facts(campaign, store, board) for campaign in watch.campaign]
    if format_ == "json":
        click.echo(json.dumps(facts, indent=1))
        return
    _print_table(facts)
    for one in facts:
        if one["next"] == "blocked":
            click.echo(f"{one['name']} is blocked: {one['blocked']}", err=True)
    if due := next((one["name"] for one in facts if one["next"] == "due"), None):
        click.echo(f"'leadapron up' runs what is due; one round now, here: leadapron scan --campaign {due}", err=True)


@command.command("show", context_settings=SETTINGS)
@_name
@_format
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=10, show_default=True, metavar="N", help="The last so many rounds."
)
@placed
def show(name: str, place: Place, format_: str, limit: int) -> None:
    """Show what a campaign asks, and its rounds.

    \b
    leadapron campaign show city --limit 3
    """
    with _opened(place) as (watch, store, board):
        campaign = watch.named(name)
        facts = _facts(campaign, store, board)
        rounds = store.rounds(campaign.name, limit)
        verdicts = store.verdicts()
    if format_ == "json":
        click.echo(json.dumps({**facts, "rounds": [_round(scan) for scan in rounds]}, indent=1))
        return
    from leadapron.cli.writing import console_on
    from leadapron.watch.report.scans import scans_table
    from leadapron.watch.report.text import clean

    for what, value in (
        ("scope", campaign.scope or "none: loopback only"),
        ("targets", ", ".join((*campaign.targets, *campaign.files)) or "all that the scope includes"),
        ("ports", ", ".join(map(str, campaign.ports)) or "the usual ones"),
        ("depth", campaign.depth),
        ("runs", _when(campaign)),
        ("next", _next(facts)),
        ("changed by", facts["changed_by"] or "nobody"),
    ):
        click.echo(f"{what:<11} {clean(str(value))}")
    click.echo()
    if rounds:
        with console_on(None) as console:
            console.print(scans_table(rounds, verdicts, console.width))
        if len(rounds) > 1:
            click.echo(f"\nleadapron report --campaign {campaign.name} shows what changed between the last two.")
    else:
        click.echo(f"No round yet. leadapron scan --campaign {campaign.name} runs one now.")


@command.command("run", context_settings=SETTINGS)
@_name
@decided_by
@placed
def run(name: str, by: str, place: Place) -> None:
    """Ask the running 'leadapron up' for a round of NAME as soon as none other runs.

    \b
    leadapron campaign run city
    """
    from leadapron.kernel.errors import UsageError

    with _opened(place) as (watch, _, board):
        campaign = watch.named(name)
        if board.posts([name])[name].paused:
            raise UsageError(f"{name} is paused; let it go on first: leadapron campaign resume {name}")
        board.now(campaign.name, by)
    click.echo("Asked for: 'leadapron up' begins it as soon as no other round runs.")
    click.echo(f"To scan from here instead: leadapron scan --campaign {name}", err=True)


@command.command("pause", context_settings=SETTINGS)
@_name
@decided_by
@placed
def pause(name: str, by: str, place: Place) -> None:
    """Begin no round of NAME, and stop the one that runs.

    What it has found is kept; when it is resumed it goes on from there.

    \b
    leadapron campaign pause city
    """
    with _opened(place) as (watch, _, board):
        board.pause(watch.named(name).name, by)
    click.echo(f"{name} is paused.")
    click.echo(f"It goes on with: leadapron campaign resume {name}", err=True)


@command.command("resume", context_settings=SETTINGS)
@_name
@decided_by
@placed
def resume(name: str, by: str, place: Place) -> None:
    """Let NAME go on.

    \b
    leadapron campaign resume city
    """
    with _opened(place) as (watch, _, board):
        board.resume(watch.named(name).name, by)
    click.echo(f"{name} goes on.")


@contextlib.contextmanager
def _opened(place: Place) -> Iterator[tuple[Watch, Store, Board]]:
    """The campaigns and where they are kept. A new place is made: a campaign can be paused before it ever ran."""
    from leadapron.kernel.errors import UsageError
    from leadapron.watch.campaign.board import Board
    from leadapron.watch.campaign.settings import load_watch
    from leadapron.watch.track.database import open_engine
    from leadapron.watch.track.store import Store

    watch = load_watch(place.config)
    if not watch.campaign:
        raise UsageError("there is no campaign yet. 'leadapron init watch' writes one into leadapron.toml")
    engine = open_engine(place.made())
    try:
        yield watch, Store(engine), Board(engine)
    finally:
        engine.dispose()


def _facts(campaign: Campaign, store: Store, board: Board) -> dict[str, Any]:
    from leadapron.kernel.clock import SystemClock, iso
    from leadapron.watch.campaign.round import hindrance, last_of
    from leadapron.watch.campaign.schedule import due, first

    post, last, now = board.posts([campaign.name])[campaign.name], last_of(store, campaign), SystemClock().now()
    blocked = hindrance(campaign)
    planned = first(campaign, post.next_at, now) if last.begun is None else due(campaign, last.begun, now)
    if last.left == "running":
        coming = "running"
    elif post.paused:
        coming = "paused"
    elif blocked is not None:
        coming = "blocked"
    elif post.wanted or last.left == "interrupted":
        coming = "as soon as it can"
    elif planned is None:
        coming = "when asked for"
    elif planned > now:
        coming = iso(planned)
    else:  # a round that failed is put off by who runs them
        coming = post.next_at if post.next_at is not None and post.next_at > iso(now) else "due"
    newest = next(iter(store.rounds(campaign.name, 1)), None)
    return {
        "name": campaign.name,
        "runs": _when(campaign),
        "next": coming,
        "blocked": blocked,
        "paused": post.paused,
        "changed_by": post.changed_by,
        "last": None if newest is None else _round(newest),
    }


def _next(facts: dict[str, Any]) -> str:
    from leadapron.watch.report.text import moment

    return f"blocked: {facts['blocked']}" if facts["next"] == "blocked" else moment(facts["next"])


def _when(campaign: Campaign) -> str:
    parts = [f"every {campaign.every}" if campaign.every else "", f"at {campaign.at}" if campaign.at else ""]
    return " ".join(part for part in parts if part) or "when asked for"


def _round(scan: Scan) -> dict[str, Any]:
    open_ = None
    if scan.summary is not None:
        open_ = scan.summary.endpoints.get("exposed", 0) + scan.summary.endpoints.get("open", 0)
    return {
        "scan": scan.id,
        "started_at": scan.started_at,
        "finished_at": scan.finished_at,
        "state": scan.state,
        "open": open_,
        "studies": None if scan.summary is None else scan.summary.exposed.studies,
    }


def _print_table(facts: list[dict[str, Any]]) -> None:
    from rich.text import Text

    from leadapron.cli.writing import console_on
    from leadapron.watch.report.columns import Column, lay_out
    from leadapron.watch.report.text import clean

    def last(one: dict[str, Any]) -> str:
        scan = one["last"]
        if scan is None:
            return "never ran"
        half = "" if scan["state"] == "done" else f", {scan['state']}"
        return f"scan {scan['scan']}, {scan['started_at'][:10]}{half}"

    def found(one: dict[str, Any], key: str) -> str:
        value = one["last"][key] if one["last"] is not None else None
        return "" if value is None else f"{value:,}"

    columns = [
        Column(header="campaign", cells=[Text(one["name"]) for one in facts]),
        Column(header="runs", cells=[Text(one["runs"]) for one in facts]),
        Column(header="next", cells=[Text(clean(_next(one))) for one in facts], least=20),
        Column(header="last round", cells=[Text(last(one)) for one in facts], least=12),
        Column(header="open", cells=[Text(found(one, "open")) for one in facts], justify="right"),
        Column(header="studies", cells=[Text(found(one, "studies")) for one in facts], justify="right", optional=True),
    ]
    with console_on(None) as console:
        console.print(lay_out(columns, console.width))
