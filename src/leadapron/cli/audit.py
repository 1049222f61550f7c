"""``leadapron audit show|verify|export|prune``: what the guard recorded; the work is in ``guard.audit``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from leadapron.cli.options import output
from leadapron.cli.writing import print_pieces, write_file

if TYPE_CHECKING:
    from leadapron.guard.audit.entry import Entry
    from leadapron.guard.audit.look import Look, Pair, Wanted

_SETTINGS: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
_NEWEST: Final = 50
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_TYPES: Final = (
    *("application", "log-used", "begin-transfer", "access", "transfer", "delete", "export", "network"),
    *("procedure", "query", "alert", "login"),
)


class Moment(click.ParamType[datetime]):
    """``2026-11-21``, ``2026-11-21T20:00`` (local time unless it says otherwise), or ago: ``90m``, ``24h``, ``7d``."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        ago = re.fullmatch(r"(\d{1,6})([smhdw])", value.strip())
        try:
            if ago:
                return datetime.now(UTC) - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
            return datetime.fromisoformat(value.strip()).astimezone(UTC)
        except (ValueError, OverflowError, OSError):
            self.fail(
                f"'{value}' is no time; give 2026-11-21, 2026-11-21T20:00, or how long ago: 90m, 24h, 7d", param, ctx
            )


def _selection(function: Any) -> Any:
    for option in reversed(
        (
            click.option(
                "--since", type=Moment(), help="From then on: 2026-11-21, 2026-11-21T20:00, 90m, 24h or 7d ago."
            ),
            click.option("--until", type=Moment(), help="Up to, not including then."),
            click.option("--peer", metavar="NAME", help="Only with this participant: name, AE title, user or address."),
            click.option(
                "--type",
                "types",
                type=click.Choice(_TYPES),
                multiple=True,
                metavar="TYPE",
                help=f"Only these; may be repeated: {', '.join(_TYPES)}.",
            ),
        )
    ):
        function = option(function)
    return function


_data = click.option("--data", metavar="DIR", help="Where the guard's data is. [default: the user's data directory]")
_output = output(text="Write to this file, which only you may read, instead of to stdout.")


@click.group(name="audit", context_settings=_SETTINGS)
def command() -> None:
    """Look at the audit trail, check that it is whole, export it, or remove what is too old."""


@command.command("show", short_help="Show what happened, newest last.")
@_selection
@click.option(
    "--last", type=click.IntRange(1), metavar="N", help=f"Only the newest N. [default for a table: {_NEWEST}]"
)
@click.option("--follow", is_flag=True, help="Go on showing what happens, until Ctrl-C.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(("table", "jsonl", "json", "csv")),
    default="table",
    show_default=True,
    help="How.",
)
@_data
def show(
    since: datetime | None,
    until: datetime | None,
    peer: str | None,
    types: tuple[str, ...],
    last: int | None,
    follow: bool,
    format_: str,
    data: str | None,
) -> None:
    """Show what happened, newest last. Nothing that names a patient is shown; see 'export' for that.

    That you looked is recorded, too.

    \b
    leadapron audit show --since 24h --type alert
    leadapron audit show --peer CT1 --follow
    """
    from leadapron.guard.audit import render
    from leadapron.guard.audit.entry import without_identifiers

    if follow and format_ == "json":
        raise click.UsageError("--follow has no end, and a JSON document has one; use --format jsonl.")
    look, wanted = _look(data), _wanted(since, until, peer, types)
    look.leave_record("show")
    newest = last or (_NEWEST if format_ == "table" else None)
    pairs: Iterable[Pair] = look.newest(wanted, newest) if newest else look.entries(wanted)

    def each(one: Entry) -> str:
        if format_ == "table":
            return render.line(one)
        return render.csv_line(one) if format_ == "csv" else render.json_line(without_identifiers(one))

    lines: Iterable[str] = (each(one) for one, _ in pairs)
    if format_ == "table":
        chosen = list(lines)
        lines = [*_title(look, len(chosen), last is None), *chosen]
    elif format_ == "csv":
        lines = _chain([render.csv_header()], lines)
    elif format_ == "json":
        lines = _document(lines)
    _print(lines)
    _warn(look)
    if follow:
        for one, _ in look.follow(wanted):
            _print([each(one)])


@command.command("verify", short_help="Check that nothing was changed or removed.")
@click.option(
    "--format", "format_", type=click.Choice(("text", "json")), default="text", show_default=True, help="How."
)
@_data
@click.pass_context
def verify(ctx: click.Context, format_: str, data: str | None) -> None:
    """Read every record and check that none was changed, removed, reordered or cut off.

    Exit code 0: the trail is whole. 3: it is damaged; the first bad record is named, and what is wrong with it.
    That all of it was removed, or an older copy put back, shows by a mark beside it (audit.anchor). Whoever has the
    guard's key and may write its files can make another trail, and an older copy of all of the guard's directory looks
    whole, too: both show only where the trail was forwarded to.
    """
    import msgspec

    from leadapron.guard.audit.verify import verify as check

    look = _look(data)
    verdict = check(look.home, look.key)
    if format_ == "json":
        fields = {"type": "audit-verification", "schema": 1, "whole": verdict.whole, **msgspec.structs.asdict(verdict)}
        _print([msgspec.json.encode(fields).decode()])
    else:
        _print(_told(verdict, look))
    ctx.exit(0 if verdict.whole else 3)


@command.command("export", short_help="Write records to a file, for an auditor or another program.")
@_selection
@click.option(
    "--format",
    "format_",
    type=click.Choice(("xml", "jsonl", "csv")),
    default="xml",
    show_default=True,
    help="Audit messages of PS3.15 A.5, one a line; JSON, one a line; or a spreadsheet.",
)
@click.option(
    "--without-identifiers",
    is_flag=True,
    help="Leave out patients' IDs and names, and what was searched for. CSV never has them.",
)
@_output
@_data
def export(
    since: datetime | None,
    until: datetime | None,
    peer: str | None,
    types: tuple[str, ...],
    format_: str,
    without_identifiers: bool,
    output: Path | None,
    data: str | None,
) -> None:
    """Write records out, for an auditor or another program. That you did is recorded.

    XML and JSON hold patients' IDs, names that were given, and queries as they were asked, names included, unless
    --without-identifiers is given.

    \b
    leadapron audit export --since 30d --output november.xml
    leadapron audit export --format csv --type alert --output alerts.csv
    """
    from leadapron.guard.audit import entry, render

    look, wanted = _look(data), _wanted(since, until, peer, types)
    look.leave_record("export")
    pairs = look.entries(wanted)
    if format_ == "csv":
        lines = _chain([render.csv_header()], (render.csv_line(one) for one, _ in pairs))
    elif format_ == "jsonl":
        bare = entry.without_identifiers if without_identifiers else lambda one: one
        lines = (render.json_line(bare(one)) for one, _ in pairs)
    else:
        lines = (entry.message_without_identifiers(text) if without_identifiers else text for _, text in pairs)
    if output is None:
        _print(lines)
    else:
        count = _write(output, lines) - (format_ == "csv")
        print(f"{count:,} records written to {output}", file=sys.stderr)
    _warn(look)


@command.command("prune", short_help="Remove what need not be kept any longer.")
@click.option(
    "--older-than",
    type=click.IntRange(1, 36_500),
    required=True,
    metavar="DAYS",
    help="What was recorded before so many days. HIPAA asks for six years, which are 2,190.",
)
@_data
def prune(older_than: int, data: str | None) -> None:
    """Remove records from the front of the trail that need not be kept any longer, in whole files of 64 MiB. That you
    did is recorded; what is left verifies as before.

    Damaged files stay, and what no collector has yet. To have it done each day: keep_days in [guard.audit].
    """
    from leadapron.guard.audit.chain import Chain
    from leadapron.guard.audit.console import console_user
    from leadapron.guard.audit.place import as_owner
    from leadapron.guard.audit.prune import prune as remove
    from leadapron.guard.audit.trail import note

    look = _look(data)
    before, who = datetime.now(UTC) - timedelta(days=older_than), console_user()
    with as_owner(look.home):
        done = remove(look.place, Chain(look.key), before, lambda event: note(look.home, look.key, event), who)
    if done.files:
        files = f"{done.files:,} file{'' if done.files == 1 else 's'}"
        print(f"{done.records:,} records in {files} were removed; the trail begins with record {done.last + 1:,}.")
    elif done.held:
        print("Nothing was removed: what is old enough was not yet delivered to the collector.")
    else:
        print(f"Nothing was removed: no file holds only records older than {older_than:,} days.")


# ---- what they share ------------------------------------------------------------------------------------------------


def _look(data: str | None) -> Look:
    from leadapron.guard.audit.look import Look
    from leadapron.kernel.paths import default_data_dir

    if data is None:
        from leadapron.kernel.config import Settings, load

        data = load(Settings).data
    directory = Path(data).expanduser() if data is not None else default_data_dir()
    return Look(directory.absolute() / "guard")


def _wanted(since: datetime | None, until: datetime | None, peer: str | None, types: tuple[str, ...]) -> Wanted:
    from leadapron.guard.audit.look import Wanted

    return Wanted(since=since, until=until, peer=peer, types=frozenset(types))


def _title(look: Look, count: int, newest: bool) -> Iterator[str]:
    from leadapron.guard.audit.render import header

    zone = datetime.now().astimezone().tzname()
    which = f"the newest {count:,}" if newest and count == _NEWEST else f"{count:,} shown"
    yield f"Audit trail in {look.place.home}: {max(0, look.last - look.removed):,} records, {which}. Times are {zone}."
    yield ""
    if count:
        yield header()
    else:
        yield "Nothing of that kind was recorded."


def _told(verdict: Any, look: Look) -> Iterator[str]:
    files = f"{verdict.segments:,} file{'' if verdict.segments == 1 else 's'}"
    span = ""
    if verdict.first is not None:
        first, last = (moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") for moment in (verdict.first, verdict.last))
        span = f", from {first} to {last}"
    if verdict.whole:
        yield f"The audit trail is whole: {verdict.records:,} records in {files}{span}."
        if verdict.removed:
            yield (
                f"It begins with record {verdict.removed + 1:,}: those before were removed because they need not be "
                "kept any longer."
            )
        if verdict.unfinished:
            yield (
                f"Behind the last one lie {verdict.unfinished:,} octets that are being written, "
                "or that a run which was killed left unfinished."
            )
        return
    yield f"THE AUDIT TRAIL IS DAMAGED. {verdict.records:,} records in {files} can be read{span}."
    yield ""
    for problem in verdict.problems[:20]:
        where = f"{problem.file}, octet {problem.offset:,}"
        yield f"  {problem.kind:<9}  record {problem.sequence:,}  {where}: {problem.text}"
    more = len(verdict.problems) - 20 + verdict.more
    if more > 0:
        yield f"  … and {more:,} more places"
    yield ""
    yield (
        "Disks fail, and people tamper. Copy the directory "
        f"{look.place.home} before anything else is done, and compare it with a backup or with what was forwarded."
    )


def _warn(look: Look) -> None:
    if look.problems:
        print(
            f"Warning: the audit trail is damaged in {look.problems:,} place{'' if look.problems == 1 else 's'}; "
            "what could be read was. "
            "'leadapron audit verify' says more.",
            file=sys.stderr,
        )


def _chain(*pieces: Iterable[str]) -> Iterator[str]:
    for piece in pieces:
        yield from piece


def _document(lines: Iterable[str]) -> Iterator[str]:
    """A JSON list."""
    begin = "["
    for line in lines:
        yield begin + line
        begin = ","
    yield "]" if begin == "," else "[]"


def _print(lines: Iterable[str]) -> None:
    print_pieces(line + "\n" for line in lines)


def _write(path: Path, lines: Iterable[str]) -> int:
    """Write a file that only its owner may read; gives the number of lines."""
    count = 0

    def counted() -> Iterator[str]:
        nonlocal count
        for line in lines:
            count += 1
            yield line + "\n"

    write_file(path, counted(), private=True)
    return count
