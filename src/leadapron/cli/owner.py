"""``leadapron owner …``: who may own an exposed server, looked up and confirmed; docs/owners.md says who is asked."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, Literal

import click

from leadapron.cli.options import NUMBER, SETTINGS, decided_by, mailbox, placed, shown
from leadapron.cli.place import Place, exposure_of
from leadapron.cli.writing import print_pieces

if TYPE_CHECKING:
    import sqlalchemy as sa

    from leadapron.watch.track.exposures.model import Exposure
    from leadapron.watch.track.owner.model import Hint

_NOTHING: Final = "Nothing stands open, as far as scans know. 'leadapron report' shows the latest one."

_format = shown("table", "json")


@click.group(name="owner", context_settings=SETTINGS)
def command() -> None:
    """Find out whom to tell of an exposed server, and say whether that is right."""


@command.command("list", short_help="List what stands open, and whom there is to tell.")
@_format
@placed
def list_(format_: str, place: Place) -> None:
    """List the exposed servers that stand open, with their numbers, and the first one to tell. Nobody is asked.

    \b
    leadapron owner list
    leadapron owner list --format json
    """
    from leadapron.cli import owner_table
    from leadapron.watch.track.owner.hints import Hints

    with place.opened() as engine:
        chosen = _open(engine)
        hints = Hints(engine).of_all([one.id for one in chosen])
    found = [(one, hints[one.id]) for one in chosen]
    if format_ == "json":
        print_pieces(owner_table.document(found))
    elif found:
        print_pieces(owner_table.listing(found))
        print(f"{_quantity(len(found))}. 'leadapron owner show {found[0][0].id}' tells more of one.", file=sys.stderr)
    else:
        print(_NOTHING, file=sys.stderr)


@command.command("show", short_help="Show the hints at an owner, and what they come to.")
@click.argument("exposure", metavar="ADDRESS:PORT|NUMBER")
@_format
@placed
def show(exposure: str, format_: str, place: Place) -> None:
    """Show the hints at the owner of one exposed server, and whom they suggest to write to. Nobody is asked.

    \b
    leadapron owner show 192.0.2.7:104
    leadapron owner show 12 --format json
    """
    from leadapron.cli import owner_table
    from leadapron.watch.track.owner.hints import Hints

    with place.opened() as engine:
        one = exposure_of(engine, exposure)
        hints = Hints(engine).of(one.id)
    print_pieces(owner_table.document([(one, hints)]) if format_ == "json" else owner_table.whole(one, hints))


@command.command("look-up", short_help="Ask who may own exposed servers.")
@click.argument("exposures", metavar="[ADDRESS:PORT|NUMBER …]", nargs=-1)
@click.option("--all", "all_", is_flag=True, help="All that are open.")
@_format
@placed
def look_up(exposures: tuple[str, ...], all_: bool, format_: str, place: Place) -> None:
    """Ask who may own exposed servers: reverse DNS, registries (RDAP), your own MMDB files.

    Each source is asked slowly, and not again for what it answered in the last 30 days; the section lookups of
    leadapron.toml says otherwise. What could not be found out is listed on stderr.

    \b
    leadapron owner look-up 192.0.2.7:104
    leadapron owner look-up --all
    """
    if bool(exposures) == all_:
        raise click.UsageError("Name exposures, or give --all for all that are open.")
    from leadapron.cli import owner_table
    from leadapron.watch.track.owner.gather import gather
    from leadapron.watch.track.owner.settings import load_lookups
    from leadapron.wire.aio.loop import run

    settings = load_lookups(place.config)
    with place.opened() as engine:
        chosen = _open(engine) if all_ else [exposure_of(engine, one) for one in exposures]
        if not chosen:
            print(_NOTHING, file=sys.stderr)
        gathered = run(gather(engine, [one.id for one in chosen], settings, progress=_progress))
        ids = {one.id: one for one in _some(engine, [one.id for one in chosen])}
    by_exposure: dict[int, list[Hint]] = {key: [] for key in ids}
    for hint in gathered.hints:
        by_exposure[hint.exposure_id].append(hint)
    if format_ == "json":
        print_pieces(owner_table.document([(ids[key], some) for key, some in by_exposure.items()]))
    elif len(ids) == 1:
        print_pieces(owner_table.whole(*next((ids[key], some) for key, some in by_exposure.items()), asked=True))
    elif ids:
        print_pieces(owner_table.listing([(ids[key], some) for key, some in by_exposure.items()]))
    for line in gathered.missing:
        print(f"not looked up: {line}", file=sys.stderr)


@command.command("add", short_help="Note what you know of an owner.")
@click.argument("exposure", metavar="ADDRESS:PORT|NUMBER")
@click.argument("kind", metavar="KIND", type=click.Choice(("organisation", "mailbox", "country")))
@click.argument("value")
@click.option("--source", required=True, metavar="TEXT", help="From where you know it: telephone, their web page.")
@decided_by
@placed
def add(exposure: str, kind: str, value: str, source: str, by: str, place: Place) -> None:
    """Note what you know of an owner. KIND is organisation (the institution's name), mailbox, or country (two letters).

    \b
    leadapron owner add 12 organisation "Example Clinic" --source telephone
    leadapron owner add 12 country DE --source "their page"
    """
    from leadapron.watch.track.owner.hints import Hints

    with place.opened() as engine:
        one = exposure_of(engine, exposure)
        hint = Hints(engine).add(one.id, kind, mailbox(value) if kind == "mailbox" else value, source, by)
    print(f"Hint {hint.id} of exposure {one.id} is noted and confirmed.")
    _next(one.id)


@command.command("confirm", short_help="Say that a hint is right.")
@click.argument("hint", type=NUMBER)
@decided_by
@placed
def confirm(hint: int, by: str, place: Place) -> None:
    """Say that a hint is right. It then goes before all that is only looked up. 'leadapron owner show' has the numbers.

    \b
    leadapron owner confirm 31
    """
    _decide(hint, "confirmed", by, place)


@command.command("reject", short_help="Say that a hint is wrong.")
@click.argument("hint", type=NUMBER)
@decided_by
@placed
def reject(hint: int, by: str, place: Place) -> None:
    """Say that a hint is wrong. It counts for nothing then, and does not come back.

    \b
    leadapron owner reject 32
    """
    _decide(hint, "rejected", by, place)


def _decide(hint: int, state: Literal["confirmed", "rejected"], by: str, place: Place) -> None:
    from leadapron.watch.track.owner.hints import Hints

    with place.opened() as engine:
        decided = Hints(engine).decide(hint, state, by)
    print(f"Hint {decided.id} of exposure {decided.exposure_id} is {state}.")
    _next(decided.exposure_id)


# ---- what they share -------------------------------------------------------------------------------------------------


def _some(engine: sa.Engine, ids: list[int]) -> list[Exposure]:
    from leadapron.watch.track.exposures.store import Exposures

    return Exposures(engine).some(ids)


def _open(engine: sa.Engine) -> list[Exposure]:
    from leadapron.watch.track.exposures.store import MOST, Exposures

    found: list[Exposure] = []
    while True:
        page, total = Exposures(engine).find(state="open", order="id", limit=MOST, offset=len(found))
        found += page
        if not page or len(found) >= total:
            return found


def _next(exposure: int) -> None:
    print(
        f"Next: 'leadapron owner show {exposure}' shows what it comes to, 'leadapron cases confirm CASE --suggested' "
        "takes it for the case",
        file=sys.stderr,
    )


def _quantity(number: int) -> str:
    return "1 server stands open" if number == 1 else f"{number:,} servers stand open"


def _progress(done: int, total: int) -> None:
    if total > 1:
        print(f"{done:,} of {total:,} looked up", file=sys.stderr)
