"""``leadapron notices …``: read what would be sent, approve it, send it, and see what became of it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

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

if TYPE_CHECKING:
    import sqlalchemy as sa

    from leadapron.cli.place import Place
    from leadapron.watch.reach.cases.settings import Rules
    from leadapron.watch.reach.notices.settings import Notices as Settings
    from leadapron.watch.reach.notices.store import Notices

_PURPOSES: Final = ("first", "reminder", "escalation", "thanks")
_LEVELS: Final = ("owner", "operator", "cert", "regulator")

_number = click.argument("number", metavar="NOTICE", type=NUMBER)
_numbers = click.argument("numbers", metavar="NOTICE…", type=NUMBER, nargs=-1)


def _what(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what is written."""
    for option in (
        mailbox_option("--to", text="Write there instead of to whom is known."),
        click.option(
            "--channel",
            type=click.Choice(("email", "letter", "feed")),
            help="By what. [default: as can be]",
        ),
        click.option("--level", type=click.Choice(_LEVELS), default="owner", show_default=True, help="To whom."),
        click.option("--purpose", type=click.Choice(_PURPOSES), default="first", show_default=True, help="What for."),
    ):
        function = option(function)
    return function


@click.group(name="notices", cls=Listing, context_settings=SETTINGS, invoke_without_command=True)
@click.option("--state", metavar="STATE,…", help="Only these: draft, approved, unsure, sent, failed, bounced, dropped.")
@click.option("--case", "case_id", type=NUMBER, metavar="CASE", help="Only of this case.")
@click.option("--find", "text", metavar="TEXT", help="Only with this in recipient or subject.")
@paged
@shown("table", "jsonl", "json")
@placed
@click.pass_context
def command(
    context: click.Context,
    state: str | None,
    case_id: int | None,
    text: str | None,
    limit: int,
    offset: int,
    format_: str,
    place: Place,
) -> None:
    """Write to the owners of open servers: read the drafts, approve them, send what is approved.

    Nothing is ever sent that a person has not approved.

    \b
    leadapron notices --state draft
    leadapron notices show 7
    leadapron notices approve 7 8 9
    leadapron notices send
    """
    if context.invoked_subcommand is not None:
        alone(context)
        return
    from leadapron.cli import notices_table
    from leadapron.cli.writing import print_pieces
    from leadapron.watch.reach.notices.model import STATES

    states: Any = None if state is None else words(state, STATES, "--state")
    with _desk(place) as desk:
        found, total = desk.find(state=states, case_id=case_id, text=text, limit=limit, offset=offset)
        print_pieces(notices_table.listing(found, format_))
        if format_ == "table":
            print(notices_table.foot(found, total, desk.counts()), file=sys.stderr)


@command.command("show", short_help="Show a notice as its reader sees it.")
@_number
@shown("text", "json")
@placed
def show(number: int, format_: str, place: Place) -> None:
    """Show a notice as its reader sees it, and what became of it.

    \b
    leadapron notices show 7
    """
    from leadapron.cli import notices_table
    from leadapron.cli.writing import print_pieces

    with _desk(place) as desk:
        notice = desk.get(number)
    print_pieces(notices_table.whole(notice) if format_ == "text" else [notices_table.document(notice)])


@command.command("preview", short_help="Show what would be written; nothing is kept.")
@click.argument("case", metavar="CASE", type=NUMBER)
@_what
@placed
def preview(case: int, purpose: Any, level: str, channel: Any, to: str | None, place: Place) -> None:
    """Show what would be written in a case now. Nothing is kept, and nothing is sent.

    \b
    leadapron notices preview 4
    leadapron notices preview 4 --purpose escalation --level operator
    """
    from leadapron.cli import notices_table
    from leadapron.cli.writing import print_pieces

    with _desk(place) as desk:
        text = desk.preview(case, purpose, channel=channel, level=_LEVELS.index(level), to=to)
    print_pieces(notices_table.text(text))


@command.command("draft", short_help="Write a notice for somebody to approve.")
@click.argument("case", metavar="CASE", type=NUMBER)
@_what
@decided_by
@placed
def draft(case: int, purpose: Any, level: str, channel: Any, to: str | None, by: str, place: Place) -> None:
    """Write a notice for somebody to approve. Rules do this by themselves; this is for all else.

    \b
    leadapron notices draft 4 --purpose first --channel letter
    """
    with _desk(place) as desk:
        made = desk.draft(case, purpose, by, channel=channel, level=_LEVELS.index(level), to=to)
    print(f"Notice {made.id} is drafted; read it: leadapron notices show {made.id}")


@command.command("edit", short_help="Change what a notice says.")
@_number
@click.option("--subject", metavar="TEXT", help="The new subject.")
@click.option("--body", type=click.File("r", encoding="utf-8"), metavar="FILE", help="The new text (- for stdin).")
@decided_by
@placed
def edit(number: int, subject: str | None, body: Any, by: str, place: Place) -> None:
    """Change what a notice says; it has to be approved again. Without --subject and --body your editor opens.

    \b
    leadapron notices edit 7
    leadapron notices edit 7 --subject "Your archive" --body text.txt
    """
    from leadapron.kernel.errors import UsageError
    from leadapron.watch.reach.notices.layout import LONGEST

    text = None if body is None else body.read(LONGEST + 1)
    with _desk(place) as desk:
        if subject is None and text is None:
            if not sys.stdin.isatty():
                raise UsageError("there is nobody to edit; give --subject TEXT or --body FILE")
            notice = desk.get(number)
            changed = click.edit(f"{notice.subject}\n\n{notice.body}", extension=".txt")
            if changed is None:
                print("Nothing was changed.", file=sys.stderr)
                return
            subject, _, text = changed.partition("\n")
        desk.edit(number, by, subject=subject, body=text)
    print(f"Notice {number} was changed, and is a draft: leadapron notices approve {number}")


@command.command("approve", short_help="Let notices be sent.")
@_numbers
@click.option("--all-shown", is_flag=True, help="Show every draft in full, then ask once.")
@decided_by
@placed
def approve(numbers: tuple[int, ...], all_shown: bool, by: str, place: Place) -> None:
    """Let notices be sent: all of these, or none where one of them must not.

    \b
    leadapron notices approve 7 8 9
    leadapron notices approve --all-shown
    """
    if bool(numbers) == all_shown:
        raise click.UsageError("Name the notices, or show them all: --all-shown.")
    from leadapron.cli import notices_table
    from leadapron.cli.writing import print_pieces
    from leadapron.kernel.errors import UsageError

    with _desk(place) as desk:
        drafts: list[Any] = []
        if all_shown:
            if not sys.stdin.isatty():
                raise UsageError("--all-shown asks a person, and there is none; name the notices instead")
            drafts, _ = desk.find(state="draft", order="id", limit=500)
            for notice in drafts:
                print_pieces([*notices_table.whole(notice), "\n", "=" * 72 + "\n"])
            if not drafts or not click.confirm(f"Approve these {len(drafts)}?", err=True):
                return
            numbers = tuple(one.id for one in drafts)
        approved = desk.approve(numbers, by, as_read=drafts)
    letters = [one.id for one in approved if one.channel == "letter"]
    if len(letters) < len(approved):
        print(f"{len(approved) - len(letters)} approved. They go with: leadapron notices send")
    for id in letters:
        print(
            f"Letter {id}: leadapron notices letter {id} --output letter-{id}.pdf; when posted: leadapron notices "
            f"resolve {id} --sent"
        )


@command.command("drop", short_help="Never send a notice.")
@_number
@click.option("--why", metavar="TEXT", required=True, help="Why; the case's history has to tell.")
@decided_by
@placed
def drop(number: int, why: str, by: str, place: Place) -> None:
    """Never send a notice.

    \b
    leadapron notices drop 7 --why "they called"
    """
    with _desk(place) as desk:
        desk.drop(number, by, why)
    print(f"Notice {number} is dropped: it is never sent.")


@command.command("send", short_help="Send what is approved and due.")
@placed
def send(place: Place) -> None:
    """Send what is approved and due now, within the limits for the hour. Exit code 1: the mail server can't be used.

    \b
    leadapron notices send
    """
    import asyncio

    from leadapron.cli import notices_table
    from leadapron.cli.writing import print_pieces
    from leadapron.kernel.errors import Failure
    from leadapron.watch.reach.notices.sending import send_due

    with _opened(place) as (engine, settings, rules):
        done = asyncio.run(send_due(engine, settings, rules=rules))
    print_pieces(notices_table.sent(done))
    if done.trouble:
        raise Failure(f"{done.trouble}. What was not sent stays approved")


@command.command("resolve", short_help="Say whether an unsure notice went out, or a letter was posted.")
@_number
@click.option("--sent", "sent", flag_value="yes", help="It did go out, or was posted.")
@click.option("--not-sent", "sent", flag_value="no", help="It did not, and is sent again.")
@decided_by
@placed
def resolve(number: int, sent: str | None, by: str, place: Place) -> None:
    """Say whether a notice that is unsure went out (the mail server's log knows), or that a letter was posted.

    \b
    leadapron notices resolve 7 --sent
    leadapron notices resolve 7 --not-sent
    """
    if sent is None:
        raise click.UsageError("Say which: --sent or --not-sent.")
    with _desk(place) as desk:
        notice = desk.resolve(number, sent == "yes", by)
    print(f"Notice {number} is {notice.state}.")


@command.command("read-mail", short_help="Read bounces, opt-outs and answers.")
@click.option(
    "--from",
    "mail",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="A Maildir or mbox file. [default: the configuration's]",
)
@placed
def read_mail(mail: Path | None, place: Place) -> None:
    """Read bounces, opt-outs and answers from the mailbox. Each is read once; of its text nothing is kept.

    \b
    leadapron notices read-mail
    leadapron notices read-mail --from /var/mail/open-images/Maildir
    """
    from leadapron.cli import notices_table
    from leadapron.watch.reach.notices.incoming.reading import read_mail as read

    with _opened(place) as (engine, settings, rules):
        print(notices_table.read(read(engine, settings, place=mail, rules=rules)), end="")


@command.command("letter", short_help="Write a letter as PDF.")
@_number
@output("FILE.pdf", text="The file to write, for your eyes alone.", required=True)
@placed
def letter(number: int, output: Path, place: Place) -> None:
    """Write a letter as PDF, for a window envelope. When it is posted, say so with 'resolve'.

    \b
    leadapron notices letter 8 --output letter-8.pdf
    leadapron notices resolve 8 --sent
    """
    from leadapron.cli.writing import write_bytes

    with _desk(place) as desk:
        (made,) = desk.letter(number)
        state = desk.get(number).state
    write_bytes(output, [made], private=True)
    print(f"wrote {output}", file=sys.stderr)
    if state == "approved":
        print(f"When it is posted: leadapron notices resolve {number} --sent", file=sys.stderr)


@command.command("arms", short_help="Say which kind of notice got more servers closed.")
@click.option(
    "--days",
    type=click.IntRange(1, 3650),
    metavar="N",
    help="Closed within so many days. [default: 60, or the configuration's]",
)
@shown("text", "json")
@placed
def arms(days: int | None, format_: str, place: Place) -> None:
    """Say which kind of notice got more servers closed, with intervals; or that it can't be said yet.

    \b
    leadapron notices arms --days 30
    """
    import msgspec

    from leadapron.cli import notices_table
    from leadapron.cli.writing import print_pieces
    from leadapron.watch.reach.arms.analysis import analyse

    with _opened(place) as (engine, settings, _):
        found = analyse(engine, days or settings.fixed_within_days)
    if format_ == "json":
        print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        print_pieces(notices_table.arms(found))


@contextlib.contextmanager
def _opened(place: Place) -> Iterator[tuple[sa.Engine, Settings, Rules]]:
    from leadapron.watch.reach.cases.settings import load_cases
    from leadapron.watch.reach.notices.settings import load_notices

    settings, rules = load_notices(place.config), load_cases(place.config)
    with place.opened() as engine:
        yield engine, settings, rules


@contextlib.contextmanager
def _desk(place: Place) -> Iterator[Notices]:
    from leadapron.watch.reach.notices.store import Notices

    with _opened(place) as (engine, settings, rules):
        yield Notices(engine, settings, rules=rules)
