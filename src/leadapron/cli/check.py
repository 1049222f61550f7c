"""``leadapron check``: look at one's own listeners, and at the archive behind the guard, as a stranger would."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from leadapron.cli.looking import Seen

_FILE = click.Path(dir_okay=False, path_type=Path)
_MARK = {"closed to strangers": "ok", "this machine only": "ok", "open": "OPEN"}


@click.command(name="check", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--config", type=_FILE, metavar="FILE", help="The configuration. [default: ./leadapron.toml, then yours]")
@click.option("--scope", type=_FILE, metavar="FILE", help="What may be looked at beyond loopback.")
@click.option(
    "--timeout", type=click.FloatRange(0.1, 60), default=5.0, show_default=True, help="Seconds for each wait."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "jsonl"]),
    default="table",
    show_default=True,
    help="What to print on stdout, and nothing else there.",
)
@click.option(
    "--fail-on",
    type=click.Choice(["never", "low", "medium", "high", "critical"]),
    default="critical",
    show_default=True,
    help="Exit with 3 when something is that bad or worse.",
)
def command(config: Path | None, scope: Path | None, timeout: float, form: str, fail_on: str) -> None:
    """Look at the guard's own listeners, and at the archive behind it, as a stranger would: with the probe of
    'leadapron scan', from this machine.

    What lies beyond loopback is looked at within a scope file only: --scope, or the key scope in [guard].
    """
    from leadapron.cli.looking import look
    from leadapron.guard.settings import load_guard
    from leadapron.wire.aio.loop import run

    settings = load_guard(config)
    chosen = str(scope) if scope is not None else settings.scope
    seen = run(look(settings, chosen, timeout))
    show(seen, form)
    if _worst(seen, fail_on):
        raise click.exceptions.Exit(3)


def show(seen: Sequence[Seen], form: str = "table") -> None:
    """Print what was seen."""
    if form == "table":
        for line in lines(seen):
            click.echo(line)
        return
    import msgspec

    rows = [
        {
            "type": "place",
            "schema": 1,
            "role": one.place.role,
            "address": one.place.at.host,
            "port": one.place.at.port,
            "state": one.state,
            "verdict": one.verdict,
            "detail": one.detail,
            "severity": one.severity,
            "advice": one.advice,
        }
        for one in seen
    ]
    if form == "json":
        click.echo(msgspec.json.encode({"places": rows}).decode())
    else:
        for row in rows:
            click.echo(msgspec.json.encode(row).decode())


def lines(seen: Sequence[Seen]) -> Iterator[str]:
    """For people: a line a place, then what to do, then a word on the whole."""
    where = [str(one.place.at) for one in seen]
    width = max(map(len, where), default=0)
    roles = max((len(one.place.role) for one in seen), default=0)
    for one, at in zip(seen, where, strict=True):
        yield f"{_MARK.get(one.state, '?'):<4}  {one.place.role:<{roles}}  {at:<{width}}  {one.state}: {one.detail}"
        if one.advice is not None:
            yield f"{'':<6}{'':<{roles}}  {'':<{width}}  → {one.advice}"
    opened = sum(one.state == "open" for one in seen)
    unknown = sum(one.state in ("not reached", "not looked at") for one in seen)
    yield ""
    if opened:
        yield f"{opened} of {len(seen)} places stand open to strangers."
    elif unknown:
        yield f"Nothing stands open of what could be seen; {unknown} of {len(seen)} places could not be."
    else:
        yield f"All {len(seen)} places are closed to strangers, as seen from this machine."


def _worst(seen: Sequence[Seen], fail_on: str) -> bool:
    if fail_on == "never":
        return False
    from leadapron.watch.measure.record import SEVERITIES  # the gravest first

    grave = SEVERITIES[: SEVERITIES.index(fail_on) + 1]
    return any(one.severity in grave for one in seen)
