"""``leadapron scope new|show``: write down what may be scanned, and read it back in words.

A scan of anything but loopback needs a scope file. ``new`` asks for what is missing when a person sits in front of
it; in a script every answer is an option, and a missing one is an error. ``show`` touches no network: a host name is
looked up by the scan, not here.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from leadapron.cli.options import POSITIVE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from leadapron.watch.scope import Entry, Scope

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(name="scope", context_settings=_SETTINGS)
def command() -> None:
    """Say what may be scanned, on whose word, and until when."""


@command.command("new", short_help="Write a scope file.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--include", multiple=True, metavar="TEXT", help="Address, block, range or host name; may be repeated.")
@click.option("--exclude", multiple=True, metavar="TEXT", help="The same, kept out whatever is included.")
@click.option("--authorised-by", help="Who allows the scan: a person with the right to.")
@click.option("--contact", help="Whom to ask or call when something goes wrong.")
@click.option("--until", metavar="DATE", help="Last day on which it holds: 2027-01-31.")
@click.option("--reason", help="What the scan is for.")
@click.option("--rate", type=POSITIVE, metavar="N", help="Upper bound of connections a second, overall.")
@click.option("--network-rate", type=POSITIVE, metavar="N", help="The same for each /24 (IPv6: /56).")
@click.option("--force", is_flag=True, help="Overwrite the file if it exists.")
def new(
    file: Path,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    authorised_by: str | None,
    contact: str | None,
    until: str | None,
    reason: str | None,
    rate: float | None,
    network_rate: float | None,
    force: bool,
) -> None:
    """Write a scope file: what may be scanned, who allows it, whom to call, and until when.

    At a terminal you are asked for what you leave out. In a script --include, --authorised-by, --contact and --until
    must be given.

    \b
    leadapron scope new mine.toml
    leadapron scope new mine.toml --include 10.20.0.0/22 --exclude 10.20.1.7
    """
    from leadapron.cli.writing import unwritable
    from leadapron.kernel.clock import SystemClock
    from leadapron.kernel.errors import UsageError
    from leadapron.watch.scope import Rates, ScopeFile, parse_scope, parse_until, render
    from leadapron.watch.scope.file import entry

    if file.exists() and not force:
        raise UsageError(f"{file} exists; choose another name, or overwrite it with --force")
    needed = {"--include": include, "--authorised-by": authorised_by, "--contact": contact, "--until": until}
    missing = [option for option, value in needed.items() if not value]
    if missing and not interactive():
        are = "is" if len(missing) == 1 else "are"
        raise UsageError(
            f"{', '.join(missing)} {are} missing, and there is nobody to ask; give what is missing on the command line"
        )
    included = include or tuple(_ask_many("What may be scanned (addresses, blocks, names; separated by commas)"))
    who = authorised_by or _ask("Who allows it")
    whom = contact or _ask("Whom to ask or call when something goes wrong")
    written = ScopeFile(
        authorised_by=who.strip(),
        contact=whom.strip(),
        valid_until=parse_until(until or _ask("Last day on which it holds (2027-01-31)")),
        include=tuple(entry("include", text) for text in included),
        exclude=tuple(entry("exclude", text) for text in exclude),
        reason=reason,
        rates=Rates(rate, network_rate),
    )
    if written.valid_until <= SystemClock().now():
        raise UsageError("--until lies in the past; a scope that has ended allows nothing")
    text = render(written)
    parse_scope(text, str(file))  # what is written must be readable, empty names and odd rates included
    try:
        with file.open("w" if force else "x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise UsageError(f"{file} exists; choose another name, or overwrite it with --force") from None
    except OSError as error:
        raise unwritable(file, error) from None
    click.echo(f"wrote {file}; look at it with: leadapron scope show {file}", err=True)


@command.command("show", short_help="Say in words what a scope file allows.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("targets", nargs=-1, metavar="[TARGET]…")
def show(file: Path, targets: tuple[str, ...]) -> None:
    """Say in words what a scope file allows, and whether each TARGET is allowed and by which line."""
    from leadapron.watch.scope import Scope

    scope = Scope.load(file)
    for line in _describe(scope, file):
        click.echo(line)
    for number, target in enumerate(targets):
        if not number:
            click.echo("")
        for line in _judge(scope, target):
            click.echo(line)


def interactive() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty()


def _ask(question: str) -> str:
    answer: str = click.prompt(question, err=True)
    return answer


def _ask_many(question: str) -> list[str]:
    return [part.strip() for part in _ask(question).split(",") if part.strip()]


def _describe(scope: Scope, file: Path) -> Iterator[str]:
    from leadapron.kernel.clock import iso
    from leadapron.watch.scope.addresses import is_loopback

    assert scope.file is not None
    facts = scope.file
    yield f"Scope {file}"
    yield f"  authorised by  {facts.authorised_by}"
    yield f"  contact        {facts.contact}"
    if facts.reason:
        yield f"  reason         {facts.reason}"
    ended = "  ENDED: nothing but loopback is allowed" if scope.expired else ""
    yield f"  valid until    {iso(facts.valid_until)}{ended}"
    for name, value in (("overall", facts.rates.overall), ("for each /24, IPv6 /56", facts.rates.network)):
        if value is not None:
            yield f"  at most        {value:g} connections a second {name}"
    for entry in (*facts.include, *facts.exclude):
        yield f"  {entry.kind + 'd':<14} {_entry(scope, entry)}"
    allowed = sum(end - start + 1 for start, end in scope.ranges() if not is_loopback(start))
    if facts.include and scope.names:
        yield "  Names are looked up when the scan starts; their addresses are not in the number below."
    yield f"{allowed:,} {'address' if allowed == 1 else 'addresses'} may be touched, besides loopback."


def _entry(scope: Scope, entry: Entry) -> str:
    from leadapron.watch.scope import Allowed

    if entry.is_name:
        return f"{entry.text}  host name{_line(entry)}"
    (block,) = entry.blocks or ()
    text = f"{entry.text}  {block.size:,} {'address' if block.size == 1 else 'addresses'}{_line(entry)}"
    if entry.kind == "include":
        lost: dict[str, int] = {}
        for start, end, verdict in scope.between(*block):
            if not isinstance(verdict, Allowed) and verdict.reason in ("special", "excluded"):
                lost[verdict.reason] = lost.get(verdict.reason, 0) + end - start + 1
        words = {"special": "special-purpose and not named", "excluded": "excluded"}
        text += "".join(f", less {count:,} {words[reason]}" for reason, count in lost.items())
    return text


def _line(entry: Entry) -> str:
    return f" (line {entry.line})" if entry.line is not None else ""


def _judge(scope: Scope, target: str) -> Iterator[str]:
    from leadapron.kernel.errors import UsageError
    from leadapron.watch.scope.addresses import Block, describe, parse_block, parse_name, shown, text_of

    block = parse_block(target)
    if block is None:
        name = parse_name(target)
        if name is None:
            raise UsageError(f"{shown(target)} is neither address, block, range nor host name")
        named = [entry for entry in _entries(scope) if entry.text == name]
        said = f"its addresses are judged by {named[0]}" if named else "no entry names it; its addresses decide"
        yield f"{target}  {said}, once the scan has looked them up"
        return
    if block.size == 1:
        yield f"{target}  {scope.allows(text_of(block.start))}"
        return
    parts = list(scope.between(*block))
    shown_parts = parts[:20]
    for start, end, verdict in shown_parts:
        yield f"{describe(Block(start, end))}  {verdict}"
    if len(parts) > len(shown_parts):
        yield f"… and {len(parts) - len(shown_parts):,} more pieces of {target}"


def _entries(scope: Scope) -> tuple[Entry, ...]:
    return () if scope.file is None else (*scope.file.exclude, *scope.file.include)
