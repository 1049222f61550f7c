"""Options that many commands have, so that they are called the same and do the same everywhere.

Where things are (`placed`), who decides (`decided_by`), which file is written (`output`). Each is checked before any
work is done: a scan of an hour must not end with a directory that was misspelt.
"""

from __future__ import annotations

import difflib
import functools
import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from leadapron.cli.place import Place
from leadapron.kernel.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])


class Number(click.ParamType[int]):
    """What a database counts cases, notices, scans with."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        if not (text.isascii() and text.isdigit() and 0 < int(text[:20]) < 2**63):
            self.fail(f"'{text[:40]}' is no number; one looks like 12", param, ctx)
        return int(text)


class Positive(click.FloatRange):
    """A rate or a number of seconds: more than nothing, and not ``nan`` or ``inf``, which are numbers to Python."""

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not 0 < number <= _MOST:
            self.fail(f"'{str(value)[:40]}' is no number from 0 to {_MOST:,}", param, ctx)
        return number


FILE: Final = click.Path(dir_okay=False, path_type=Path)
NUMBER: Final = Number()
POSITIVE: Final = Positive()
SETTINGS: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
_PLACE: Final = "leadapron.place"
_LONGEST_NAME: Final = 120
_MOST: Final = 1_000_000_000


class Listing(click.Group):
    """A group that lists without a subcommand, and whose things have numbers: who types only the number is told how to
    see that one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0].isdigit():
            raise click.UsageError(f"Say what is to be done with {args[0]}: '{ctx.command_path} show {args[0]}'?", ctx)
        return super().resolve_command(ctx, args)


def _there(context: click.Context, option: click.Parameter, value: Path | None) -> Path | None:
    if value is not None and not os.path.exists(value):
        raise UsageError(f"--config {value}: there is no such file; 'leadapron init watch --config FILE' writes one")
    return value


config = click.option(
    "--config",
    type=FILE,
    metavar="FILE",
    callback=_there,
    help="Configuration. [default: $LEADAPRON_CONFIG, ./leadapron.toml, yours]",
)
data = click.option("--data", metavar="DIR", help="Where scans are kept. [default: the configuration's, yours]")


def placed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command ``--config`` and ``--data``, and itself both as ``place``. Given before the name of a subcommand
    they hold for it, too."""

    @config
    @data
    @functools.wraps(function)
    def with_place(config: Path | None, data: str | None, **arguments: Any) -> Any:
        context = click.get_current_context()
        above: Place = context.meta.get(_PLACE, Place())
        place = Place(config or above.config, above.data if data is None else data)
        context.meta[_PLACE] = place
        return function(place=place, **arguments)

    return with_place


def alone(context: click.Context) -> None:
    """For a group that lists when it is called without a subcommand: what chooses from the list says nothing to a
    subcommand. Raises ``click.UsageError`` rather than ignore it."""
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "") is click.core.ParameterSource.COMMANDLINE
        if given and parameter.name not in ("config", "data"):
            raise click.UsageError(
                f"{parameter.opts[0]} is for the list, '{context.command_path}'; it has no meaning before "
                f"'{context.invoked_subcommand}'.",
                context,
            )


# ---- who -------------------------------------------------------------------------------------------------------------


def decided_by(function: F) -> F:
    """``--by``: who decides, as ``by``. Never empty: without the option, and without ``LEADAPRON_BY``, it is who is
    logged in to this machine."""
    return click.option(
        "--by",
        metavar="NAME",
        callback=_person,
        help="Who decides; it is kept. [default: $LEADAPRON_BY, else the user of this machine]",
    )(function)


def _person(context: click.Context, option: click.Parameter, value: str | None) -> str:
    from leadapron.guard.audit.console import console_user
    from leadapron.kernel.config import BY_VARIABLE
    from leadapron.watch.reach.cases.model import actor

    said, where = value, "--by"
    if said is None:
        said, where = os.environ.get(BY_VARIABLE) or None, BY_VARIABLE
    if said is None:
        return console_user().user
    name = " ".join(said.split())
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise UsageError(f"{where}: say who decides in one line of 1 to {_LONGEST_NAME} printable characters")
    if actor(name) != "person":
        raise UsageError(f"{where} {name}: that is not a person's name; rules, scans and mail sign so")
    return name


# ---- files that are written ------------------------------------------------------------------------------------------


def output(
    metavar: str = "FILE", *, text: str = "Write it there instead of to stdout.", **more: Any
) -> Callable[[F], F]:
    """``--output`` of a file that can be written, as far as one can tell before; ``-`` is stdout where that will do."""
    callback = writable if more.get("required") else _stdout_or_writable
    return click.option("--output", type=FILE, metavar=metavar, callback=callback, help=text, **more)


def _stdout_or_writable(context: click.Context, option: click.Parameter, value: Path | None) -> Path | None:
    return None if value == Path("-") else writable(context, option, value)


def writable(context: click.Context, option: click.Parameter, value: Path | None) -> Path | None:
    """Callback of an option that names a file to write. Raises ``UsageError`` with what to do."""
    if value == Path("-"):
        raise UsageError(f"{option.opts[0]} wants the name of a file; this does not go to stdout")
    if value is not None and (os.path.isfile(value) or not os.path.exists(value)):  # a device, a pipe: as they are
        _directory(value.absolute().parent, f"cannot write {value}")
    return value


def writable_directory(context: click.Context, option: click.Parameter, value: Path | None) -> Path | None:
    """The same for a directory, which is made where it is missing."""
    if value is not None:
        there = next(one for one in (value.absolute(), *value.absolute().parents) if os.path.exists(one))
        _directory(there, f"cannot write into {value}")
    return value


def _directory(path: Path, what: str) -> None:
    if not os.path.exists(path):
        raise UsageError(
            f"{what}: there is no such directory. Make it, 'mkdir -p {shlex.quote(str(path))}', or name another place"
        )
    if not os.path.isdir(path):
        raise UsageError(f"{what}: {path} is no directory. Name another place")
    if not os.access(path, os.W_OK | os.X_OK):
        raise UsageError(f"{what}: you may not write into {path}. Name another place, or mend its permissions")


# ---- mailboxes -------------------------------------------------------------------------------------------------------


def mailbox(text: str) -> str:
    """A mailbox as somebody types it, its domain as mail servers know it: ``it@bücher.example`` becomes
    ``it@xn--bcher-kva.example``. Whether it is one is judged where it is kept. Raises ``UsageError`` for what no mail
    server here can be told."""
    from leadapron.watch.reach.mailbox import classify, encoded

    local, at, domain = text.strip().rpartition("@")
    if text.isascii() or not at:
        return text
    if not local.isascii():
        raise UsageError(
            f"{text[:254]!a}: what stands before the @ can't be written in ASCII, and few mail servers take it as it "
            "is. Name another mailbox of theirs, or write a letter: --postal"
        )
    classify(f"@{domain}")  # says so where it can mean two domains
    return encoded(text)


def _mailbox(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    return None if value is None else mailbox(value)


def mailbox_option(name: str, *, text: str) -> Callable[[F], F]:
    """An option that names a mailbox."""
    return click.option(name, metavar="MAILBOX", callback=_mailbox, help=text)


# ---- lists -----------------------------------------------------------------------------------------------------------


def shown(*formats: str) -> Callable[[F], F]:
    """``--format`` as ``format_``; the first of them where nothing is said."""
    return click.option(
        "--format",
        "format_",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        help="How to show it.",
    )


def paged(function: F) -> F:
    """``--limit`` and ``--offset`` of a list."""
    for option in (
        click.option("--offset", type=click.IntRange(0), default=0, metavar="N", help="Leave out the first so many."),
        click.option(
            "--limit",
            type=click.IntRange(1, 10_000),
            default=50,
            show_default=True,
            metavar="N",
            help="At most so many.",
        ),
    ):
        function = option(function)
    return function


def none_there(offset: int, total: int) -> str | None:
    """What to say where ``--offset`` leaves out all that there are."""
    return f"--offset {offset:,} leaves out all {total:,}" if 0 < total <= offset else None


def country(text: str) -> str:
    """A country's code of ISO 3166-1, small letters or not. Raises ``UsageError`` with the one that may be meant."""
    from leadapron.watch.track.owner.countries import country as known_country

    code = text.strip().upper()
    if code == "XK" or known_country(code) is not None:  # Kosovo: used, no standard
        return code
    hint = "; the United Kingdom's is GB" if code == "UK" else ""
    raise UsageError(f"--country: no country has the code {text[:40]!a} in ISO 3166-1, as in DE or US{hint}")


# ---- words -----------------------------------------------------------------------------------------------------------


def known(word: str, there: Sequence[str], option: str) -> str:
    """``word`` if it is one of those that there are. Raises ``UsageError`` with the one that is near, and all."""
    if word in there:
        return word
    near = difflib.get_close_matches(word.lower(), there, 1)
    hint = f"Did you mean {near[0]}? " if near else ""
    some = f"There are {', '.join(there)}" if len(there) > 1 else f"There is only {there[0]}"
    raise UsageError(f"{option}: there is no {word[:80]!a}. {hint}{some}")


def words(text: str, there: Sequence[str], option: str) -> list[str]:
    """``a,b`` as a list of known words."""
    found = [known(one.strip(), there, option) for one in text.split(",") if one.strip()]
    if not found:
        raise UsageError(f"{option} names nothing. There are {', '.join(there)}")
    return found
