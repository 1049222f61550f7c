"""``leadapron user …``: people, their factors, tokens and sessions, and the envelope in the safe; at the console.

Who may write the guard's directory may do all of this, so nothing is asked but what must not stand on a command line:
passwords are prompted without echo, or read from stdin. What is done is recorded, with the name of who is logged in to
this machine; a running guard obeys with the next request.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from leadapron.guard.identity.people.people import People

_SETTINGS: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
_FILE: Final = click.Path(dir_okay=False, path_type=Path)
_TRIES: Final = 3
_LONGEST_LINE: Final = 4096


def _at_the_guard(function: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options that say where the guard is, and itself the people of that guard as its first
    argument, for as long as it runs."""

    @click.option("--config", type=_FILE, metavar="FILE", help="Configuration. [default: ./leadapron.toml, yours]")
    @click.option("--data", metavar="DIR", help="Where the guard's data is. [default: the configuration's, yours]")
    @functools.wraps(function)
    def opened(data: str | None, config: Path | None, **arguments: Any) -> None:
        with _people(data, config) as people:
            function(people, **arguments)

    return opened


_may = click.option("--may", metavar="LIST", default="", help="What is allowed, with commas: web:query,web:retrieve.")
_stdin = click.option("--password-stdin", is_flag=True, help="Read the password from standard input, one line.")
_format = click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How to show it.",
)
_name = click.argument("name")
_number = click.argument("number", type=click.IntRange(min=1))


@click.group(name="user", context_settings=_SETTINGS)
def command() -> None:
    """Say which people may come in, and with what."""


# ---- people ----------------------------------------------------------------------------------------------------------


@command.command("add", short_help="Add a person.")
@_name
@_may
@click.option("--invite", is_flag=True, help="Print a code with which they choose password and factor themselves.")
@click.option("--oidc", metavar="CLAIM", help="They log in at the OpenID provider, which calls them this.")
@_stdin
@_at_the_guard
def add(people: People, name: str, may: str, invite: bool, oidc: str | None, password_stdin: bool) -> None:
    """Add a person. Without --may they may nothing.

    With --invite nobody else ever knows the password. Without it you are asked for one; before they can log in they
    need a second factor, too: 'leadapron user factor NAME --totp'.
    """
    if password_stdin and (invite or oidc):
        raise click.UsageError("--password-stdin sets a password; with --invite or --oidc there is none to set.")
    permissions = _permissions(may)
    password = None if invite or oidc else _password(password_stdin, name)
    name = people.manage.add(name, permissions, _by(), password=password, oidc=oidc)
    if invite:
        _show_code(people.manage.invite(name, _by()))
        return
    if password is not None:
        click.echo(f"{name} was added, and needs a second factor: leadapron user factor {name} --totp", err=True)
    else:
        click.echo(f"{name} was added, and logs in at the OpenID provider.", err=True)


@command.command("invite", short_help="Print a code with which somebody sets password and factor anew.")
@_name
@_at_the_guard
def invite(people: People, name: str) -> None:
    """Print a one-time code with which a person chooses password and factor in the browser. What they have holds
    until they did."""
    _show_code(people.manage.invite(name, _by()))


@command.command("list", short_help="Show who there is.")
@_format
@_at_the_guard
def list_(people: People, form: str) -> None:
    """Show who there is, what they may, and which factors they have."""
    found = people.manage.people()
    rows = [
        {
            "name": one.name,
            "state": _state(one.disabled_at, one.has_password, one.factors, one.oidc),
            "factors": list(one.factors) + (["oidc"] if one.oidc else []),
            "recovery codes": one.recovery_codes,
            "last login": _when(one.used_at),
            "may": sorted(one.permissions),
        }
        for one in found
    ]
    _table(rows, form, "Nobody may come in yet. 'leadapron user add NAME --invite' lets somebody.")


@command.command("may", short_help="Say what a person may.")
@_name
@click.argument("permissions", metavar="LIST")
@_at_the_guard
def may(people: People, name: str, permissions: str) -> None:
    """Say what a person may from the next request on: web:query,web:retrieve. An empty LIST is nothing at all."""
    chosen = _permissions(permissions)
    people.manage.set_permissions(name, chosen, _by())


@command.command("disable", short_help="Shut a person out.")
@_name
@_at_the_guard
def disable(people: People, name: str) -> None:
    """Shut a person out, with the next request: sessions end, tokens open nothing."""
    people.manage.set_disabled(name, True, _by())


@command.command("enable", short_help="Let a person in again.")
@_name
@_at_the_guard
def enable(people: People, name: str) -> None:
    """Let a person in again who was disabled. The sessions of before stay ended."""
    people.manage.set_disabled(name, False, _by())


@command.command("password", short_help="Set a person's password.")
@_name
@_stdin
@_at_the_guard
def password(people: People, name: str, password_stdin: bool) -> None:
    """Set a person's password. All their sessions end."""
    people.manage.set_password(name, _password(password_stdin, name), _by())


@command.command("factor", short_help="Set a person's second factor.")
@_name
@click.option("--totp", "what", flag_value="totp", help="An authenticator app: shows a QR code, asks for six digits.")
@click.option("--webauthn", "what", flag_value="webauthn", help="A security key: prints a code for the browser.")
@click.option("--recovery-codes", "what", flag_value="recovery", help="Ten new recovery codes in place of the old.")
@click.option("--forget", "what", flag_value="forget", help="Forget all factors, end all sessions: a phone is lost.")
@_at_the_guard
def factor(people: People, name: str, what: str | None) -> None:
    """Set a person's second factor. A security key is registered in the browser, since only that can speak to it."""
    if what is None:
        raise click.UsageError("Say which: --totp, --webauthn, --recovery-codes or --forget.")
    if what == "webauthn":
        _show_code(people.manage.invite_factor(name, _by()))
    elif what == "recovery":
        _show_recovery(people.manage.new_recovery_codes(name, _by()))
    elif what == "forget":
        people.manage.forget_factors(name, _by())
    else:
        _show_recovery(_totp(people, name))


# ---- tokens and sessions ---------------------------------------------------------------------------------------------


@command.command("token", short_help="Make an API token for a program of a person's.")
@_name
@_may
@click.option("--days", type=click.IntRange(1, 366), required=True, metavar="N", help="How long it holds.")
@click.option("--label", default="", metavar="TEXT", help="What it is for.")
@_at_the_guard
def token(people: People, name: str, may: str, days: int, label: str) -> None:
    """Make an API token. It may what --may says as long as its owner may it, too, and is shown this once."""
    permissions = _permissions(may)
    click.echo(people.manage.make_token(name, permissions, days, _by(), label))
    click.echo("It is not shown again. Programs send it as: Authorization: Bearer lat_…", err=True)


@command.command("tokens", short_help="Show which tokens there are.")
@_format
@_at_the_guard
def tokens(people: People, form: str) -> None:
    """Show which tokens there are, whose, for what, and when they were used last."""
    found = people.manage.tokens()
    rows = [
        {
            "number": one.id,
            "owner": one.owner,
            "label": one.label,
            "state": one.state,
            "ends": _when(one.ends_at),
            "last used": _when(one.used_at),
            "from": one.used_from,
            "may": sorted(one.permissions),
        }
        for one in found
    ]
    _table(rows, form, "There are no tokens.")


@command.command("token-revoke", short_help="Make a token void.")
@_number
@_at_the_guard
def token_revoke(people: People, number: int) -> None:
    """Make a token void, with the next request. 'leadapron user tokens' shows its number."""
    _found(people.manage.revoke_token(number, _by()), f"there is no token {number} that holds")


@command.command("sessions", short_help="Show who is logged in.")
@_format
@_at_the_guard
def sessions(people: People, form: str) -> None:
    """Show who is logged in, from where and how."""
    found = people.manage.sessions()
    rows = [
        {
            "number": one.id,
            "person": one.person,
            "how": one.how,
            "from": one.source,
            "since": _when(one.created_at),
            "last seen": _when(one.seen_at),
            "ends": _when(one.ends_at),
        }
        for one in found
    ]
    _table(rows, form, "Nobody is logged in.")


@command.command("session-end", short_help="End a session.")
@_number
@_at_the_guard
def session_end(people: People, number: int) -> None:
    """End a session, with its next request. 'leadapron user sessions' shows its number."""
    _found(people.manage.revoke_session(number, _by()), f"there is no session {number}")


# ---- break-glass -----------------------------------------------------------------------------------------------------


@command.group("emergency", short_help="The sealed envelope in the safe.")
def emergency() -> None:
    """Codes for the night when phones, keys or the provider fail: kept in a sealed envelope, alarmed when used."""


@emergency.command("arm", short_help="Print a code for the envelope.")
@_may
@click.option("--label", default="safe", show_default=True, metavar="TEXT", help="Which envelope this is.")
@click.option("--hours", type=click.IntRange(1, 24), default=4, show_default=True, help="How long it allows once used.")
@click.option("--days", type=click.IntRange(1, 400), default=366, show_default=True, help="How long the code holds.")
@_at_the_guard
def arm(people: People, may: str, label: str, hours: int, days: int) -> None:
    """Print a code for the envelope in the safe. It works once, without account or factor, for whoever says who they
    are and why; an alert goes out at once. An earlier code of the same label is void."""
    permissions = _permissions(may)
    code = people.manage.arm(permissions, _by(), label=label, hours=hours, days=days)
    click.echo(code)
    click.echo(
        f"Put it in the envelope '{label}' and seal it. It is not shown again. It is used in the browser, at "
        f"{_address()}/guard/emergency",
        err=True,
    )


@emergency.command("list", short_help="Show which envelopes there are.")
@_format
@_at_the_guard
def emergency_list(people: People, form: str) -> None:
    """Show which envelopes there are, and which were opened, by whom and why."""
    found = people.manage.envelopes()
    rows = [
        {
            "number": one.id,
            "label": one.label,
            "state": one.state,
            "armed": _when(one.armed_at),
            "holds until": _when(one.ends_at),
            "hours": one.hours,
            "used": _when(one.used_at),
            "by": one.used_by,
            "reason": one.reason,
            "may": sorted(one.permissions),
        }
        for one in found
    ]
    _table(rows, form, "No emergency code is armed. 'leadapron user emergency arm' prints one.")


@emergency.command("disarm", short_help="Make an armed code void.")
@_number
@_at_the_guard
def disarm(people: People, number: int) -> None:
    """Make an armed code void. 'leadapron user emergency list' shows its number."""
    _found(people.manage.disarm(number, _by()), f"there is no armed code {number}")


# ---- what they share -------------------------------------------------------------------------------------------------


def _people(data: str | None, config: Path | None) -> People:
    """The people of the guard that is set up there."""
    from leadapron.guard.identity.people.people import People
    from leadapron.guard.identity.people.store import KEY
    from leadapron.kernel.config import Settings, load
    from leadapron.kernel.errors import UsageError
    from leadapron.kernel.paths import default_data_dir

    if data is None:
        data = load(Settings, path=config).data
    home = (Path(data).expanduser() if data is not None else default_data_dir()).absolute() / "guard"
    if not (home / KEY).exists():
        raise UsageError(f"there is no guard in {home}: 'leadapron init guard' sets one up, --data DIR names another")
    return People(home)


def _permissions(text: str) -> list[str]:
    """What people can be allowed. Raises `UsageError` with the closest one."""
    from leadapron.guard.policy.permission import Permission, permission
    from leadapron.kernel.errors import UsageError

    found = [permission(word.strip()) for word in text.split(",") if word.strip()]
    for one in found:
        if one.surface == "dicom":
            known = ", ".join(p.value for p in Permission if p.surface != "dicom")
            raise UsageError(f"{one.value} is for machines ('leadapron peer enrol'); people may be allowed {known}")
    return [one.value for one in found]


def _password(from_stdin: bool, name: str) -> str:
    from leadapron.kernel.errors import UsageError

    if from_stdin:
        line = sys.stdin.readline(_LONGEST_LINE)
        if not line:
            raise UsageError("nothing came on standard input, and --password-stdin reads the password from there")
        return line.rstrip("\r\n")
    if not sys.stdin.isatty():
        raise UsageError("there is nobody to ask for a password; --password-stdin reads it from standard input")
    given: str = click.prompt(f"New password for {name}", hide_input=True, confirmation_prompt=True, err=True)
    return given


def _totp(people: People, name: str) -> Sequence[str]:
    from leadapron.guard.identity.people.totp import qr
    from leadapron.kernel.errors import UsageError

    secret, uri = people.manage.new_totp(name)
    if sys.stdout.isatty():
        click.echo(qr(uri))
    click.echo(uri)
    for _ in range(_TRIES):
        code = click.prompt("Six digits from the app", err=True)
        found = people.manage.confirm_totp(name, secret, str(code), _by())
        if found is not None:
            return found
        click.echo("Those are none of this moment. See that the phone's clock is right.", err=True)
    raise UsageError("the app was not taken; what was there before still holds")


def _show_recovery(codes: Sequence[str]) -> None:
    click.echo("Recovery codes, each works once in place of the app or key. They are not shown again:", err=True)
    for code in codes:
        click.echo(code)


def _show_code(code: str) -> None:
    click.echo(code)
    click.echo(
        f"Give them this code. It works once, within seven days, in the browser at {_address()}/guard/setup",
        err=True,
    )


def _address() -> str:
    """Where browsers find the guard, or the console where there is no guard, as far as the configuration of this
    command says."""
    from leadapron.console.settings import load_console
    from leadapron.guard.settings import load_guard
    from leadapron.kernel.errors import UsageError

    config = click.get_current_context().params["config"]
    try:
        origins = load_guard(config).origins()
    except UsageError:
        origins = ()
        with contextlib.suppress(UsageError):
            console = load_console(config)
            origins = () if console is None else console.origins(console.place.port)
    return origins[0] if origins else "https://(the guard)"


def _by() -> str:
    from leadapron.guard.audit.console import console_user

    return console_user().user


def _found(done: bool, otherwise: str) -> None:
    from leadapron.kernel.errors import UsageError

    if not done:
        raise UsageError(otherwise)


def _state(disabled_at: int | None, has_password: bool, factors: Sequence[str], oidc: str | None) -> str:
    if disabled_at is not None:
        return "disabled"
    if oidc or (has_password and factors):
        return "may log in"
    return "lacks a factor" if has_password else "invited"


def _when(seconds: int | None) -> str | None:
    from datetime import UTC, datetime

    from leadapron.kernel.clock import iso

    return None if seconds is None else iso(datetime.fromtimestamp(seconds, UTC))


def _table(rows: Sequence[Mapping[str, object]], form: str, otherwise: str) -> None:
    if form == "json":
        import msgspec

        named = [{key.replace(" ", "_"): value for key, value in row.items()} for row in rows]
        click.echo(msgspec.json.encode(named).decode())
        return
    if not rows:
        click.echo(otherwise, err=True)
        return
    for line in _lines(rows):
        click.echo(line)


def _lines(rows: Sequence[Mapping[str, object]]) -> Iterator[str]:
    cells = [list(rows[0])] + [[_text(value) for value in row.values()] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _text(value: object) -> str:
    if value is None or value == "":
        return "–"
    return ", ".join(value) or "nothing" if isinstance(value, list) else str(value)
