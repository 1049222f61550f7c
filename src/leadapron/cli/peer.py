"""``leadapron peer …``: the machines that may come in: enrol, join, list, revoke, renew, export, explain.

What a peer may do is written into ``leadapron.toml``, where people read and change it; which certificate it has stands
in the guard's registry. Commands at the guard work beside a running one, which obeys with the next PDU; ``join``,
``renew`` and ``export`` are for the other machine, and need no configuration.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

if TYPE_CHECKING:
    from leadapron.cli.peer_guard import Place

_SETTINGS: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
_FILE: Final = click.Path(dir_okay=False, path_type=Path)
_DIRECTORY: Final = click.Path(file_okay=False, path_type=Path)
_LONGEST_LINE: Final = 1024
F = TypeVar("F", bound=Callable[..., Any])


class Words(click.ParamType[tuple[str, ...]]):
    """``store,echo``"""

    name = "LIST"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        return tuple(dict.fromkeys(part.strip() for part in str(value).split(",") if part.strip()))


def _options(*options: Callable[[F], F]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


_data = click.option("--data", metavar="DIR", help="The data directory. [default: the configuration's, yours]")
_config = click.option("--config", type=_FILE, metavar="FILE", help="Configuration. [default: ./leadapron.toml, yours]")
_place = _options(_config, _data)
_rules = _options(
    click.option("--ae", metavar="AE", help="Its AE title, which no other peer has."),
    click.option("--may", type=Words(), help="What it may do: store,echo,find,worklist,retrieve,commit,mpps."),
    click.option("--from", "sources", type=Words(), help="Networks or addresses that it comes from. [default: any]"),
    click.option("--move-to", type=Words(), help="AE titles that it may name as C-MOVE destinations."),
    click.option("--modalities", type=Words(), help="What it may store: CT,MR. [default: everything]"),
    click.option("--hours", metavar="TEXT", help='When: "07:00-20:00", "mo-fr 07:00-20:00". [default: always]'),
    click.option("--receive", metavar="HOST:PORT", help="Where it takes deliveries over TLS, if it does."),
    click.option("--again", is_flag=True, help="For a peer that is in the configuration already."),
    click.option(
        "--days",
        type=click.IntRange(1, 825),
        default=365,
        show_default=True,
        help="How long its certificate holds.",
    ),
)
_pkcs12 = _options(
    click.option("--pkcs12", type=_FILE, metavar="FILE", help="Write key and certificate as PKCS #12 (.p12, .pfx)."),
    click.option("--legacy", is_flag=True, help="With triple DES and SHA-1, for devices that read nothing newer."),
    click.option("--ask", is_flag=True, help="Ask for its password, instead of making one and showing it once."),
)
_name = click.argument("name")


@click.group(name="peer", context_settings=_SETTINGS)
def command() -> None:
    """Say which machines may come in, and what they may do."""


@command.command("enrol", short_help="Let a machine in: prints a code to type there.")
@_name
@_rules
@click.option(
    "--code-hours",
    type=click.FloatRange(0, 720, min_open=True),
    default=48.0,
    show_default=True,
    metavar="N",
    help="How long the code can be redeemed.",
)
@click.option("--host", metavar="HOST:PORT", help="Where the machine reaches this guard. [default: its first name]")
@_place
def enrol(name: str, code_hours: float, host: str | None, data: str | None, config: Path | None, **rules: Any) -> None:
    """Let a machine in: write what it may do into the configuration, and print a one-time code to type there.

    The machine makes its own key; the certificate is for NAME and its AE title, whatever it asks for.

    \b
    leadapron peer enrol CT1 --ae CT1 --may store,echo
    leadapron peer enrol reading1 --ae READ1 --may find,retrieve --move-to READ1 --from 10.0.4.0/24
    """
    from leadapron.cli import peer_guard

    with peer_guard.open_place(config, data) as place:
        line = peer_guard.enrol(place, name, rules, code_hours, host)
        _tell_rules(place, name)
    click.echo(f"On that machine, within {code_hours:g} hours (the code works once):", err=True)
    click.echo(f"leadapron peer join {line}")


@command.command("issue", short_help="Make key and certificate here, for a device that cannot join.")
@_name
@_rules
@click.option("--out", type=_DIRECTORY, metavar="DIR", help="Write PEM files there: peer.key, peer.pem, authority.pem.")
@_pkcs12
@click.option("--rsa", is_flag=True, help="An RSA key, for devices that know no elliptic curves.")
@_place
def issue(
    name: str,
    out: Path | None,
    pkcs12: Path | None,
    legacy: bool,
    ask: bool,
    rsa: bool,
    data: str | None,
    config: Path | None,
    **rules: Any,
) -> None:
    """Make key and certificate here, for a device that imports them and cannot join by itself.

    The guard keeps no copy of the key. Carry the file to the device, then delete it.

    \b
    leadapron peer issue US2 --ae US2 --may store,echo --pkcs12 us2.p12
    """
    from leadapron.cli import peer_guard
    from leadapron.guard.identity.export import write_pem

    if out is None and pkcs12 is None:
        raise click.UsageError("Say where to: --out DIR for PEM files, --pkcs12 FILE for PKCS #12.")
    _refuse_existing(pkcs12, None if out is None else out / "peer.key")
    secret = _password(ask) if pkcs12 is not None else ""
    with peer_guard.open_place(config, data) as place:
        pair = peer_guard.issue(place, name, rules, "rsa" if rsa else "ec")
        _tell_rules(place, name)
    if out is not None:
        write_pem(out, pair)
        click.echo(f"wrote {out / 'peer.key'}, peer.pem and authority.pem", err=True)
    if pkcs12 is not None:
        _write_pkcs12(pair, name, pkcs12, secret, legacy, shown=not ask)


@command.command("join", short_help="On the other machine: redeem a code.")
@click.argument("code", required=False)
@click.option(
    "--out", type=_DIRECTORY, metavar="DIR", help="Where key and certificate go. [default: peer/ in the data]"
)
@_data
def join(code: str | None, out: Path | None, data: str | None) -> None:
    """On the machine that shall come in: make a key, and have it certified with the code from 'leadapron peer enrol'.

    Without CODE it is asked for, or read from standard input, so that it stands in no history. The key never leaves
    this machine.
    """
    import asyncio

    from leadapron.guard.identity import join as joining

    directory = out or _own(data)
    joined = asyncio.run(joining.join(code or _ask_code(), directory))
    click.echo(f"This machine is {joined.name}, AE title {joined.ae}, until {joined.not_after:%Y-%m-%d}.", err=True)
    for file in ("peer.key", "peer.pem", "authority.pem"):
        click.echo(directory / file)


@command.command("renew", short_help="On the other machine: get the next certificate.")
@click.argument("directory", required=False, metavar="[DIR]", type=_DIRECTORY)
@click.option("--guard", metavar="HOST:PORT", help="Where the guard is. [default: where this machine joined]")
@click.option("--now", is_flag=True, help="Even if the present one holds for long.")
@_data
def renew(directory: Path | None, guard: str | None, now: bool, data: str | None) -> None:
    """On a machine that has joined: get the next certificate, with a new key, by showing the present one.

    Nothing is done before two thirds of its life are over (and not until 60 days before its end), so this may run
    every night.
    """
    import asyncio

    from leadapron.guard.identity import join as joining
    from leadapron.kernel.clock import SystemClock

    directory = directory or _own(data)
    present = joining.held(directory)
    if not now and present.renew_at > SystemClock().now():
        click.echo(f"{present.name} holds until {present.not_after:%Y-%m-%d}; nothing to do yet.", err=True)
        return
    renewed = asyncio.run(joining.renew(directory, guard=guard))
    click.echo(f"{renewed.name} holds until {renewed.not_after:%Y-%m-%d}.", err=True)


@command.command("list", short_help="Show every machine, and who tried without being known.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How.")
@_place
def list_(form: str, data: str | None, config: Path | None) -> None:
    """Show every machine: what it may, until when its certificate holds, when and from where it came; and below who
    tried without being known."""
    from leadapron.cli import peer_guard, peer_table

    with peer_guard.open_place(config, data) as place:
        inventory = peer_table.gather(place)
    click.echo(peer_table.as_json(inventory) if form == "json" else peer_table.as_table(inventory))


@command.command("revoke", short_help="Shut a machine out, at once.")
@click.argument("which", metavar="NAME|SERIAL")
@click.option("--why", default="", metavar="TEXT", help="For the registry and the audit trail.")
@_place
def revoke(which: str, why: str, data: str | None, config: Path | None) -> None:
    """Shut a machine out: its certificates and open codes end, running associations with their next PDU.

    SERIAL, or eight digits of it, ends one certificate only. The rules stay in the configuration.
    """
    from leadapron.cli import peer_guard
    from leadapron.kernel.errors import UsageError

    with peer_guard.open_place(config, data) as place:
        ended = peer_guard.revoke(place, which, why)
        if not ended:
            names = sorted({row.name for row in place.registry.certificates()})
            raise UsageError(peer_guard.nobody(which, names))
    for row in ended.certificates:
        click.echo(f"{row.name}: certificate {row.serial} ended")
    if ended.codes:
        click.echo(f"{ended.codes} open {'code' if ended.codes == 1 else 'codes'} withdrawn")


@command.command("export", short_help="Turn the files of a machine into PKCS #12.")
@click.argument("directory", metavar="DIR", type=_DIRECTORY)
@_pkcs12
def export(directory: Path, pkcs12: Path | None, legacy: bool, ask: bool) -> None:
    """Turn key and certificate in DIR, as 'peer join' or 'peer issue --out' wrote them, into a PKCS #12 file.

    Keys are where they were made: the guard has none to export. For a device that cannot join: 'leadapron peer issue'.
    """
    from leadapron.guard.identity.export import read_pem
    from leadapron.guard.identity.join import held
    from leadapron.kernel.errors import UsageError

    if pkcs12 is None:
        raise click.UsageError("Say where to: --pkcs12 FILE.")
    if not directory.is_dir():
        raise UsageError(
            f"there is no directory {directory}. The guard has no keys of machines that joined; to make one here for a "
            "device that cannot: leadapron peer issue NAME --again --pkcs12 FILE"
        )
    _refuse_existing(pkcs12)
    pair = read_pem(directory)
    _write_pkcs12(pair, held(directory).name, pkcs12, _password(ask), legacy, shown=not ask)


@command.command("explain", short_help="Say what would be decided, and by which line.")
@_name
@click.argument("operation")
@click.option("--address", metavar="A", help="Coming from there.")
@click.option("--destination", metavar="AE", help="C-MOVE to there.")
@click.option("--modality", metavar="M", help="Storing that: CT, MR.")
@click.option("--sop-class", metavar="UID", help="Of that SOP class.")
@click.option("--at", metavar="TIME", help="At that time: 2027-01-31T22:00. [default: now]")
@_config
def explain(
    name: str,
    operation: str,
    address: str | None,
    destination: str | None,
    modality: str | None,
    sop_class: str | None,
    at: str | None,
    config: Path | None,
) -> None:
    """Say what would be decided if NAME tried OPERATION (store, find, retrieve …), and by which line of the
    configuration. What you leave out is left open in the answer.

    \b
    leadapron peer explain CT1 find
    leadapron peer explain reading1 retrieve --destination READ2 --at 2027-01-31T22:00
    """
    from leadapron.cli.peer_guard import config_file, when
    from leadapron.guard.policy.decide import load_policy
    from leadapron.guard.policy.explain import explain as explained
    from leadapron.guard.policy.networks import try_address
    from leadapron.guard.policy.permission import permission
    from leadapron.guard.policy.words import shown
    from leadapron.kernel.errors import UsageError

    asked = permission(operation)
    if address is not None and try_address(address) is None:
        raise UsageError(f"--address: {shown(address)} is no address; write one as in 10.1.2.3")
    found = explained(
        load_policy(config_file(config)),
        name,
        asked,
        when(at),
        address=address,
        destination=destination,
        modality=modality,
        sop_class=sop_class,
    )
    click.echo(found.text, nl=False)


# ---- what they share -------------------------------------------------------------------------------------------------


def _own(data: str | None) -> Path:
    """Where a machine that joined keeps what it has."""
    from leadapron.kernel.config import Settings, load
    from leadapron.kernel.paths import data_dir

    return data_dir(data if data is not None else load(Settings).data) / "peer"


def _ask_code() -> str:
    if sys.stdin.isatty():
        asked: str = click.prompt("Code", err=True)
        return asked
    return sys.stdin.readline(_LONGEST_LINE)


def _tell_rules(place: Place, name: str) -> None:
    from leadapron.guard.policy.decide import load_policy

    policy = load_policy(place.config)
    peer = policy.peer(name)
    assert peer is not None
    may = ", ".join(peer.rules.may) or 'do nothing yet: add may = ["store"] to it'
    line = f"{place.config}, line {peer.header.number}"
    click.echo(f"{name}, AE title {peer.rules.ae}, may {may}. Its rules: {line}.", err=True)
    for notice in policy.notices:
        if peer.rules.name in notice:
            click.echo(notice, err=True)


def _password(ask: bool) -> str:
    from leadapron.guard.identity.export import password

    if not ask:
        return password()
    given: str = click.prompt("Password of the file", hide_input=True, confirmation_prompt=True, err=True)
    return given


def _refuse_existing(*files: Path | None) -> None:
    from leadapron.kernel.errors import UsageError

    for file in files:
        if file is not None and file.exists():
            raise UsageError(f"{file} exists; choose another name, or remove it")


def _write_pkcs12(pair: Any, name: str, file: Path, secret: str, legacy: bool, *, shown: bool) -> None:
    from leadapron.guard.identity.export import pkcs12_of
    from leadapron.kernel.errors import Failure
    from leadapron.kernel.files import write_whole

    octets = pkcs12_of(pair, name, secret, legacy=legacy)
    try:
        write_whole(file, octets)
    except OSError as error:
        raise Failure(f"cannot write {file}: {error.strerror}") from None
    click.echo(f"wrote {file}", err=True)
    if shown:
        click.echo("Its password, which is shown only now:", err=True)
        click.echo(secret)
