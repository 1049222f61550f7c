"""``leadapron init guard`` and ``init watch``: from nothing to what ``leadapron up`` can run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from leadapron.cli.scope import interactive

if TYPE_CHECKING:
    from leadapron.guard.gateway.setup import Made, Plan

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(name="init", context_settings=_SETTINGS)
def command() -> None:
    """Set up what 'leadapron up' runs."""


@command.command("guard", short_help="Put a lock in front of the archive that is already there.")
@click.option("--archive", metavar="HOST:PORT", help="The archive that you have.")
@click.option("--archive-ae", metavar="AE", help="Its AE title.")
@click.option("--name", "names", multiple=True, metavar="NAME", help="How peers reach this machine; may be repeated.")
@click.option("--listen", metavar="HOST:PORT", default="0.0.0.0:2762", show_default=True, help="DICOM over TLS.")
@click.option(
    "--enrol", metavar="HOST:PORT", default="0.0.0.0:2780", show_default=True, help="Where codes are redeemed."
)
@click.option("--back", metavar="HOST:PORT", help="Where the archive delivers what peers behind the guard move.")
@click.option("--archive-web", metavar="URL", help="The archive's DICOMweb, REST or viewer, if it has one.")
@click.option("--web-kind", type=click.Choice(["dicomweb", "orthanc"]), help="What --archive-web speaks.")
@click.option(
    "--web", metavar="HOST:PORT", help="Pages and DICOMweb behind a login. [default: 0.0.0.0:8443 with a URL]"
)
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="The file to write.")
@click.option("--data", metavar="DIR", help="Where keys and the audit trail go. [default: the user's data directory]")
def guard(
    archive: str | None,
    archive_ae: str | None,
    names: tuple[str, ...],
    listen: str,
    enrol: str,
    back: str | None,
    archive_web: str | None,
    web_kind: str | None,
    web: str | None,
    config: Path | None,
    data: str | None,
) -> None:
    """Put a lock in front of the archive that you have: writes leadapron.toml, a certificate authority, the guard's
    certificate, and a secret with which the first person logs in.

    At a terminal you are asked for what you leave out. In a script --archive, --archive-ae and --name must be given.

    \b
    leadapron init guard
    leadapron init guard --archive 192.168.1.10:104 --archive-ae PACS --name guard.example.org
    """
    from leadapron.guard.gateway.setup import Plan, set_up
    from leadapron.guard.identity.authority import general_name
    from leadapron.guard.policy.words import title
    from leadapron.kernel.config import FILE_VARIABLE, PREFIX
    from leadapron.kernel.errors import UsageError
    from leadapron.kernel.hostport import parse_host_port
    from leadapron.kernel.paths import CONFIGURATION

    _need({"--archive": archive, "--archive-ae": archive_ae, "--name": names})
    place = parse_host_port(archive or _ask("The archive that you have, HOST:PORT"), "--archive", 104)
    ae = title(archive_ae or _ask("Its AE title"))
    if ae is None:
        raise UsageError("--archive-ae: an AE title has 1 to 16 characters of ASCII, no backslash (PS3.8 Table 9-11)")
    chosen = names or tuple(part.strip() for part in _ask("How peers reach this machine", _own_name()).split(","))
    for name in chosen:
        general_name(name)
    if archive_web is None and (web is not None or web_kind is not None):
        raise UsageError(
            "--archive-web is missing: the pages stand before the archive's DICOMweb, REST or viewer, for example "
            "--archive-web http://192.168.1.10:8042 --web-kind orthanc"
        )
    if web is None and archive_web is not None:
        web = "0.0.0.0:8443"
    plan = Plan(
        archive=place,
        archive_ae=ae,
        names=chosen,
        listen=parse_host_port(listen, "--listen", 2762),
        enrol=parse_host_port(enrol, "--enrol", 2780),
        back=None if back is None else parse_host_port(back, "--back"),
        web=None if web is None else parse_host_port(web, "--web", 8443),
        archive_web=archive_web,
        web_kind=web_kind or "dicomweb",
        data=data or os.environ.get(f"{PREFIX}DATA"),
    )
    _refuse_shared(plan)
    _tell(plan, set_up(plan, config or Path(os.environ.get(FILE_VARIABLE) or CONFIGURATION)), config)


@command.command("watch", short_help="Look after networks: scan them again and again, follow up what stands open.")
@click.option(
    "--scope",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="What may be scanned, on whose word: leadapron scope new.",
)
@click.option("--target", "targets", multiple=True, metavar="TARGET", help="What to scan. [default: the whole scope]")
@click.option("--name", default="watch", show_default=True, metavar="NAME", help="What to call the campaign.")
@click.option("--every", default="7d", show_default=True, metavar="SPAN", help="How often: 12h, 7d, 2w.")
@click.option("--at", metavar="HH:MM", help="At what time of day, where every is in days.")
@click.option(
    "--console", default="127.0.0.1:8484", show_default=True, metavar="HOST:PORT", help="Where the pages are."
)
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="The file to write.")
@click.option("--data", type=click.Path(path_type=Path), metavar="DIR", help="Where all is kept. [default: yours]")
def watch(
    scope: Path | None,
    targets: tuple[str, ...],
    name: str,
    every: str,
    at: str | None,
    console: str,
    config: Path | None,
    data: Path | None,
) -> None:
    """Look after networks: writes a campaign, the console and places for the rest into leadapron.toml, which
    'leadapron up' then runs. What stands there already stays.

    \b
    leadapron scope new country.toml --include 203.0.113.0/24
    leadapron init watch --scope country.toml --every 7d --at 02:30
    leadapron up
    """
    import shlex

    from leadapron.guard.gateway.setup import KEY_FILE, guard_home
    from leadapron.kernel.config import FILE_VARIABLE, Settings, find_file, load
    from leadapron.kernel.errors import UsageError
    from leadapron.kernel.hostport import parse_host_port
    from leadapron.kernel.paths import CONFIGURATION
    from leadapron.kernel.seal import key_file
    from leadapron.watch.campaign.setup import Plan, set_up

    if scope is None and not targets:
        raise UsageError(
            "--scope or --target is missing: say what may be scanned. 'leadapron scope new' writes a scope"
        )
    if scope is not None and not scope.exists():
        raise UsageError(f"--scope {scope}: there is no such file; 'leadapron scope new {scope}' writes one")
    parse_host_port(console, "--console", 8484)
    file = config or Path(os.environ.get(FILE_VARIABLE) or CONFIGURATION)
    set_up(
        Plan(name=name, scope=scope, targets=targets, every=every, at=at, console=console, data=data),
        file,
    )
    home = guard_home(data if data is not None else load(Settings, path=file).data)
    key_file(home / KEY_FILE)  # with it people can be let in before anything runs
    click.echo(f"Wrote {file.absolute()}: the campaign {name}, the console, places for the rest.\n\nWhat is next:")
    found = find_file()
    named = found is None or found.absolute() != file.absolute()  # else each command needs --config
    steps = (
        *([(f"export {FILE_VARIABLE}={shlex.quote(str(file.absolute()))}", "every command reads it then")] * named),
        (f"leadapron scan --campaign {name}", "a first round, now"),
        ("leadapron up", f"rounds every {every}, follow-up, and the console on {console}"),
        ("leadapron user add NAME --may console:view,console:work,console:send,console:scan", "let a person in"),
    )
    width = max(len(step) for step, _ in steps)
    for step, why in steps:
        click.echo(f"    {step:<{width}}  {why}")
    click.echo(f"\nWho writes the notices only you know: fill in [notices] in {file}.")


def _refuse_shared(plan: Plan) -> None:
    from leadapron.guard.doors import refuse_shared, web_place

    doors = {"--listen": plan.listen, "--enrol": plan.enrol, "--back": plan.back, "--web": plan.web}
    behind = {"--archive": plan.archive}
    if plan.archive_web is not None:
        behind["--archive-web"] = web_place(plan.archive_web, "--archive-web")
    refuse_shared({option: place for option, place in doors.items() if place is not None}, behind)


def _need(given: dict[str, object]) -> None:
    from leadapron.kernel.errors import UsageError

    missing = [option for option, value in given.items() if not value]
    if missing and not interactive():
        are = "is" if len(missing) == 1 else "are"
        raise UsageError(
            f"{', '.join(missing)} {are} missing, and there is nobody to ask; give what is missing on the command line"
        )


def _ask(question: str, default: str | None = None) -> str:
    answer: str = click.prompt(question, err=True, default=default)
    return answer


def _own_name() -> str:
    import socket

    return socket.getfqdn()


def _tell(plan: Plan, made: Made, config: Path | None) -> None:
    file = "" if config is None else f" --config {made.config}"
    steps = [
        ("leadapron peer enrol CT1 --ae CT1 --may store,echo" + file, "let a machine in: prints a code to type there"),
        ("leadapron up" + file, "start the guard"),
    ]
    if plan.web is not None:
        steps.append((f"https://{plan.names[0]}:{plan.web.port}/guard/setup", f"make your account, with {made.secret}"))
    steps.append(("leadapron check" + file, "see what a stranger sees, a way around the guard too"))
    width = max(len(step) for step, _ in steps)
    click.echo(f"Wrote {made.config} and, in {made.home}, an authority and the guard's certificate.\n\nWhat is next:")
    for step, why in steps:
        click.echo(f"    {step:<{width}}  {why}")
    if plan.web is not None:
        click.echo("\nThat secret works once, within a day.")
    click.echo(
        f"\nAt the archive, let nobody but this machine connect to port {plan.archive.port}: "
        "a lock beside an open door keeps nobody out."
    )
