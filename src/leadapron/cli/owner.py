"""``leadapron owner …``: who may own an exposed server, looked up and confirmed; docs/owners.md says who is asked."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import click

from leadapron.cli.options import NUMBER, SETTINGS, decided_by, placed
from leadapron.cli.place import Place, exposure_of
from leadapron.cli.writing import FILE_WIDTH, print_pieces

if TYPE_CHECKING:
    import sqlalchemy as sa

    from leadapron.watch.track.exposures.model import Exposure
    from leadapron.watch.track.owner.countries import Contact
    from leadapron.watch.track.owner.model import Hint
    from leadapron.watch.track.owner.suggestion import Suggestion

_format = click.option(
    "--format",
    "format_",
    type=click.Choice(("table", "json")),
    default="table",
    show_default=True,
    help="How to show it.",
)


@click.group(name="owner", context_settings=SETTINGS)
def command() -> None:
    """Find out whom to tell of an exposed server, and say whether that is right."""


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
    from leadapron.watch.track.owner.hints import Hints

    with place.opened() as engine:
        one = exposure_of(engine, exposure)
        hints = Hints(engine).of(one.id)
    print_pieces(_document([(one, hints)]) if format_ == "json" else _table(one, hints))


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
    from leadapron.watch.track.owner.gather import gather
    from leadapron.watch.track.owner.settings import load_lookups
    from leadapron.wire.aio.loop import run

    settings = load_lookups(place.config)
    with place.opened() as engine:
        chosen = _open(engine) if all_ else [exposure_of(engine, one) for one in exposures]
        gathered = run(gather(engine, [one.id for one in chosen], settings, progress=_progress))
        ids = {one.id: one for one in _some(engine, [one.id for one in chosen])}
    by_exposure: dict[int, list[Hint]] = {key: [] for key in ids}
    for hint in gathered.hints:
        by_exposure[hint.exposure_id].append(hint)
    if format_ == "json":
        print_pieces(_document([(ids[key], some) for key, some in by_exposure.items()]))
    elif len(ids) == 1:
        print_pieces(_table(*next((ids[key], some) for key, some in by_exposure.items())))
    else:
        print_pieces(_brief([(ids[key], some) for key, some in by_exposure.items()]))
    for line in gathered.missing:
        print(f"not looked up: {line}", file=sys.stderr)


@command.command("add", short_help="Note what you know of an owner.")
@click.argument("exposure", metavar="ADDRESS:PORT|NUMBER")
@click.argument("kind", type=click.Choice(("organisation", "mailbox", "country")))
@click.argument("value")
@click.option("--source", required=True, metavar="TEXT", help="From where you know it: telephone, their web page.")
@decided_by
@placed
def add(exposure: str, kind: str, value: str, source: str, by: str, place: Place) -> None:
    """Note what you know of an owner: the institution's name, a mailbox, the country (two letters).

    \b
    leadapron owner add 12 organisation "Example Clinic" --source telephone --by "A. Person"
    """
    from leadapron.watch.track.owner.hints import Hints

    with place.opened() as engine:
        one = exposure_of(engine, exposure)
        hint = Hints(engine).add(one.id, kind, value, source, by)
    print(f"Hint {hint.id} of exposure {one.id} is noted and confirmed.", file=sys.stderr)


@command.command("confirm", short_help="Say that a hint is right.")
@click.argument("hint", type=NUMBER)
@decided_by
@placed
def confirm(hint: int, by: str, place: Place) -> None:
    """Say that a hint is right. It then goes before all that is only looked up."""
    _decide(hint, "confirmed", by, place)


@command.command("reject", short_help="Say that a hint is wrong.")
@click.argument("hint", type=NUMBER)
@decided_by
@placed
def reject(hint: int, by: str, place: Place) -> None:
    """Say that a hint is wrong. It counts for nothing then, and does not come back."""
    _decide(hint, "rejected", by, place)


def _decide(hint: int, state: Literal["confirmed", "rejected"], by: str, place: Place) -> None:
    from leadapron.watch.track.owner.hints import Hints

    with place.opened() as engine:
        decided = Hints(engine).decide(hint, state, by)
    print(f"Hint {decided.id} of exposure {decided.exposure_id} is {state}.", file=sys.stderr)


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


def _progress(done: int, total: int) -> None:
    if total > 1:
        print(f"{done:,} of {total:,} looked up", file=sys.stderr)


def _table(one: Exposure, hints: list[Hint]) -> Iterator[str]:
    from leadapron.watch.track.owner.countries import name
    from leadapron.watch.track.owner.suggestion import suggestion

    place = "" if one.country is None else f", {name(one.country, 'en')}"
    yield f"Exposure {one.id}: {one}{place}\n\n"
    if not hints:
        yield f"No hints yet: leadapron owner look-up {one.id}\n"
        return
    header = ("HINT", "KIND", "VALUE", "STATE", "SEEN", "SOURCE")
    rows = [(str(h.id), h.kind, h.value, "" if h.state == "hint" else h.state, h.at[:10], h.source) for h in hints]
    yield from _columns(header, rows)
    yield "\n"
    yield from _columns(("WHOM TO TELL", ""), _told(suggestion(hints)))


def _told(advice: Suggestion) -> list[tuple[str, str]]:
    rows = [
        ("organisation", advice.organisation or "not known: a person confirms or enters it"),
        ("mailbox", advice.mailbox or "none is published"),
        ("guess", advice.guess or ""),
        ("web form", advice.page or ""),
        ("domain", advice.domain or ""),
        ("operator", " ".join(part for part in (advice.operator, _angled(advice.operator_mailbox)) if part)),
        (
            "CERT",
            "" if advice.cert is None else f"{advice.cert.name} {_angled(advice.cert.mailbox) or advice.cert.page}",
        ),
        ("regulator", _reach(advice.regulator)),
        ("language", advice.language),
    ]
    return [row for row in rows if row[1]] + [("because", reason) for reason in advice.reasons]


def _reach(contact: Contact | None) -> str:
    return "" if contact is None else f"{contact.name} {_angled(contact.mailbox) or contact.page}"


def _angled(mailbox: str | None) -> str:
    return "" if mailbox is None else f"<{mailbox}>"


def _brief(found: list[tuple[Exposure, list[Hint]]]) -> Iterator[str]:
    from leadapron.watch.track.owner.suggestion import suggestion

    rows = []
    for one, hints in found:
        advice = suggestion(hints)
        cert = advice.cert.mailbox or advice.cert.page if advice.cert is not None else ""
        told = advice.mailbox or advice.operator_mailbox or cert
        rows.append((str(one.id), str(one), advice.country or "", advice.domain or "", advice.operator or "", told))
    yield from _columns(("EXPOSURE", "ENDPOINT", "COUNTRY", "DOMAIN", "OPERATOR", "TELL"), rows)


def _columns(header: tuple[str, ...], rows: list[Any]) -> Iterator[str]:
    """Columns without lines; the last one is wrapped. What strangers wrote is shown as it stands, not as markup."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    like = Console()
    console = Console(file=io.StringIO(), width=like.width if like.is_terminal else FILE_WIDTH, highlight=False)
    table = Table(box=None, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    for at, title in enumerate(header):
        table.add_column(title, no_wrap=at == 0, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    for line in console.file.getvalue().splitlines():
        yield line.rstrip() + "\n"


def _document(found: list[tuple[Exposure, list[Hint]]]) -> Iterator[str]:
    import msgspec

    from leadapron.watch.track.owner.suggestion import suggestion

    value = [
        {
            "exposure": one.id,
            "endpoint": str(one),
            "country": one.country,
            "asn": one.asn,
            "operator": one.operator,
            "hints": hints,
            "suggestion": suggestion(hints),
        }
        for one, hints in found
    ]
    yield msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"
