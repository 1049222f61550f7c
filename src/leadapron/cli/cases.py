"""``leadapron cases …``: what is followed up, what needs a person now, and what a person says about it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from leadapron.cli.options import (
    NUMBER,
    SETTINGS,
    Listing,
    alone,
    decided_by,
    mailbox_option,
    output,
    paged,
    placed,
    shown,
    words,
)
from leadapron.cli.options import (
    country as country_code,
)

if TYPE_CHECKING:
    from leadapron.cli.cases_desk import Desk
    from leadapron.cli.place import Place

FORMATS: Final = ("table", "jsonl", "json", "csv")
_LEVELS: Final = ("operator", "cert", "regulator")

_format = shown(*FORMATS)
F = TypeVar("F", bound=Callable[..., Any])
_numbers = click.argument("numbers", metavar="CASE…", type=NUMBER, nargs=-1, required=True)


def _why(text: str, required: bool = True) -> Callable[[F], F]:
    if required:  # a default, even None, counts as given
        return click.option("--why", metavar="TEXT", required=True, help=text)
    return click.option("--why", metavar="TEXT", default="", help=text)


@click.group(name="cases", cls=Listing, context_settings=SETTINGS, invoke_without_command=True)
@click.option("--all", "all_", is_flag=True, help="All there are, not only what needs a person now.")
@click.option("--state", metavar="STATE,…", help="Only these: new, confirmed, notified, acknowledged, escalated, …")
@click.option("--due", is_flag=True, help="Only those for which a rule's time has come.")
@click.option("--held", is_flag=True, help="Only those on hold.")
@click.option("--country", metavar="CODE", help="Only of this country, as DE.")
@click.option("--find", "text", metavar="TEXT", help="Only with this in the owner, the address or the product.")
@click.option("--order", metavar="COLUMN", help="As due_at, -studies (most first). [default: -changed_at]")
@paged
@_format
@output(text="Write it there, for your eyes alone, instead of to stdout.")
@placed
@click.pass_context
def command(
    context: click.Context,
    all_: bool,
    state: str | None,
    due: bool,
    held: bool,
    country: str | None,
    text: str | None,
    order: str | None,
    limit: int,
    offset: int,
    format_: str,
    output: Path | None,
    place: Place,
) -> None:
    """Follow open servers up with their owners: list what needs a person now, say what is decided.

    \b
    leadapron cases                               what needs a person now
    leadapron cases --all --state notified        who was written to
    leadapron cases show 4
    leadapron cases confirm 4 --organisation "Example Clinic" --mailbox it@clinic.example
    """
    if context.invoked_subcommand is not None:
        alone(context)
        return
    from leadapron.cli import cases_table
    from leadapron.cli.writing import put
    from leadapron.watch.reach.cases.model import STATES

    states: Any = None if state is None else words(state, STATES, "--state")
    only = not (all_ or states or due or held or country is not None or text)
    with _desk(place) as desk:
        found, total = desk.cases.find(
            state=states,
            attention=True if only else None,
            due=True if due else None,
            held=True if held else None,
            country=None if country is None else country_code(country),
            text=text,
            order=order or "-changed_at",
            limit=limit,
            offset=offset,
        )
        pieces = cases_table.listing(found, desk.advice(found), format_)
        put(output, pieces, private=True)
        if format_ == "table":
            print(cases_table.foot(found, total, offset, only, desk.cases.counts()), file=sys.stderr)


@command.command("show", short_help="Show a case with its history.")
@click.argument("number", metavar="CASE", type=NUMBER)
@shown("table", "json")
@placed
def show(number: int, format_: str, place: Place) -> None:
    """Show a case with its history: who did what when, its notices, and what is next.

    \b
    leadapron cases show 4
    leadapron cases show 4 --format json
    """
    from leadapron.cli import cases_table
    from leadapron.cli.writing import print_pieces

    with _desk(place) as desk:
        case = desk.cases.get(number)
        told = desk.cases.steps(number), desk.notices(number), desk.advice([case])[number]
        refused = desk.cases.refused(case.owner, case.address) is not None
        print_pieces(cases_table.whole(case, *told, format_, refused=refused))


@command.command("open", short_help="Open a case about an exposed server.")
@click.argument("exposures", metavar="ADDRESS:PORT|NUMBER…", nargs=-1, required=True)
@decided_by
@placed
def open_(exposures: tuple[str, ...], by: str, place: Place) -> None:
    """Open a case about an exposed server that no rule opened one for. NUMBER is that of the exposure.

    \b
    leadapron cases open 192.0.2.7:104
    """
    with _desk(place) as desk:
        for id, case, opened in desk.open(exposures, by):
            _say(f"Case {case} is about exposure {id}" + ("." if opened else ": it was there already."))
            _next(f"leadapron cases confirm {case}, or leadapron owner show {id} for whom it may belong to")


@command.command("confirm", short_help="Say who the owner is.")
@_numbers
@click.option("--organisation", metavar="NAME", help="Who it is.")
@mailbox_option("--mailbox", text="Where they read, as it@clinic.example.")
@click.option("--postal", metavar="TEXT", help="Postal address; \\n between its lines.")
@click.option("--person", metavar="NAME", help="Whom to address.")
@click.option("--language", metavar="CODE", help="Of notices, as de. [default: the country's]")
@click.option("--country", metavar="CODE", help="As DE.")
@click.option("--suggested", is_flag=True, help="Take what is not given from the hints at the owner.")
@decided_by
@placed
def confirm(
    numbers: tuple[int, ...],
    organisation: str | None,
    mailbox: str | None,
    postal: str | None,
    person: str | None,
    language: str | None,
    country: str | None,
    suggested: bool,
    by: str,
    place: Place,
) -> None:
    """Say who the owner is. The first notice is then drafted, for you to approve.

    What is not given stays as it was confirmed before. Several cases get the same owner.

    \b
    leadapron cases confirm 4 --organisation "Example Clinic" --mailbox it@clinic.example --country DE
    leadapron cases confirm 4 --organisation "Example Clinic" --suggested
    """
    given = {
        "organisation": organisation,
        "mailbox": mailbox,
        "postal": None if postal is None else postal.replace("\\n", "\n"),
        "person": person,
        "language": language,
        "country": country,
    }
    with _desk(place) as desk:
        for case in desk.confirm(numbers, {key: value for key, value in given.items() if value}, suggested, by):
            assert case.owner is not None
            _say(f"Case {case.id}: {case.owner.organisation} is the owner.")
            if case.hold is not None:
                _say(f"Nothing is written to them: {case.hold}.")
    _next("leadapron cases follow drafts the notices, leadapron notices lists them")


@command.command("acknowledge", short_help="The owner knows: nothing is written for a while.")
@_numbers
@_why("What they said, and how.", required=False)
@decided_by
@placed
def acknowledge(numbers: tuple[int, ...], why: str, by: str, place: Place) -> None:
    """The owner has said that they know. Nothing is written for a while, as the section cases says.

    \b
    leadapron cases acknowledge 4 --why "by telephone; they close it this week"
    """
    with _desk(place) as desk:
        for case in desk.each(numbers, lambda id, inside: desk.cases.acknowledge(id, by, why, connection=inside)):
            _say(f"Case {case.id} is {case.state}; {desk.advice([case])[case.id]}.")


@command.command("note", short_help="Note something in the history of a case.")
@click.argument("number", metavar="CASE", type=NUMBER)
@click.argument("text")
@decided_by
@placed
def note(number: int, text: str, by: str, place: Place) -> None:
    """Note something in the history of a case.

    \b
    leadapron cases note 4 "they have a new number"
    """
    with _desk(place) as desk:
        desk.cases.note(number, text, by)
    _say(f"Noted in case {number}.")


@command.command("hold", short_help="Write nothing, until it is released.")
@_numbers
@_why("Why; somebody will have to decide whether to release it.")
@decided_by
@placed
def hold(numbers: tuple[int, ...], why: str, by: str, place: Place) -> None:
    """Write nothing until the case is released. Drafts are withdrawn; scans are still followed.

    \b
    leadapron cases hold 4 5 --why "the ministry calls them"
    """
    with _desk(place) as desk:
        for case in desk.each(numbers, lambda id, inside: desk.cases.hold(id, why, by, connection=inside)):
            _say(f"Case {case.id} is on hold.")
    _next(f"leadapron cases release {numbers[0]}")


@command.command("release", short_help="Let rules go on with a case on hold.")
@_numbers
@_why("Why; it is kept in the history.", required=False)
@decided_by
@placed
def release(numbers: tuple[int, ...], why: str, by: str, place: Place) -> None:
    """Let rules go on with a case on hold. One whose owner is not to be written to stays on hold for ever.

    \b
    leadapron cases release 4
    """
    with _desk(place) as desk:
        for case in desk.each(numbers, lambda id, inside: desk.cases.release(id, by, why, connection=inside)):
            _say(f"Case {case.id} goes on; {desk.advice([case])[case.id]}.")


@command.command("escalate", short_help="Take a case to the operator, the CERT or the regulator.")
@_numbers
@click.option("--level", type=click.Choice(_LEVELS), help="To whom. [default: the next one above]")
@_why("Why; it is kept in the history.", required=False)
@decided_by
@placed
def escalate(numbers: tuple[int, ...], level: str | None, why: str, by: str, place: Place) -> None:
    """Take a case up: to the network's operator, the national CERT or the regulator.

    \b
    leadapron cases escalate 4 --level cert --why "nobody knows whose it is"
    """
    from leadapron.watch.reach.cases.model import TITLES

    to = None if level is None else _LEVELS.index(level) + 1
    with _desk(place) as desk:
        done = desk.each(numbers, lambda id, inside: desk.cases.escalate(id, by, to, why, connection=inside))
        for case in done:
            _say(f"Case {case.id} goes to the {TITLES[case.level]}.")
    _next("leadapron cases follow drafts the notices, leadapron notices lists them")


@command.command("close", short_help="Give a case up, though nothing was proved closed.")
@_numbers
@_why("Why; the history has to tell.")
@decided_by
@placed
def close(numbers: tuple[int, ...], why: str, by: str, place: Place) -> None:
    """Do no more about it. What scans prove closed is closed by itself; this is for all else.

    \b
    leadapron cases close 4 --why "a test server of ours"
    """
    with _desk(place) as desk:
        for case in desk.each(numbers, lambda id, inside: desk.cases.close(id, by, why, connection=inside)):
            _say(f"Case {case.id} is closed.")


@command.command("refuse", short_help="Never write to a mailbox, domain or network again.")
@click.argument("whom", metavar="MAILBOX|DOMAIN|NETWORK")
@_why("Who asked for it, and how.")
@decided_by
@placed
def refuse(whom: str, why: str, by: str, place: Place) -> None:
    """Never write to a mailbox, a domain (and all below it) or a network again. Nobody can take it back.

    \b
    leadapron cases refuse it@clinic.example --why "asked by mail on 3 May"
    leadapron cases refuse clinic.example --why "their lawyer"
    leadapron cases refuse 192.0.2.0/24 --why "the operator scans by itself"
    """
    from leadapron.watch.reach.mailbox import classify

    kind, value = classify(whom)
    with _desk(place) as desk:
        held = desk.cases.refuse(kind, value, by, why)
    _say(f"The {kind} {value} is never written to again.")
    if held:
        _say(f"On hold by it: case{'s' if len(held) > 1 else ''} {', '.join(map(str, held))}.")


@command.command("follow", short_help="Run the rules now.")
@shown("table", "json")
@placed
def follow(format_: str, place: Place) -> None:
    """Run the rules now: take in what scans proved, open cases, draft what is due, close what is over.

    Nothing is sent by it. 'leadapron up' does this after each scan, so that you need not. Exit code 1: something
    could not be done, stderr says what.

    \b
    leadapron cases follow
    """
    from leadapron.cli import cases_table
    from leadapron.cli.writing import print_pieces

    with _desk(place) as desk:
        done = desk.follow()
        print_pieces(cases_table.round_(done, desk.endpoints(done.retest), format_))
    for problem in done.problems:
        print(f"case {problem.case_id}: {problem.why}", file=sys.stderr)
    if format_ == "table" and (done.opened or done.reopened or done.problems):
        _next("leadapron cases lists what needs you")
    if done.problems:
        raise click.exceptions.Exit(1)


def _desk(place: Place) -> Desk:
    from leadapron.cli.cases_desk import Desk

    return Desk(place)


def _say(text: str) -> None:
    print(text)


def _next(text: str) -> None:
    print(f"Next: {text}", file=sys.stderr)
