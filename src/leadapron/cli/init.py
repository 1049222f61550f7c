"""``leadapron init guard``: from nothing to a guard that can be started."""

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
    _tell(plan, set_up(plan, config or Path(os.environ.get(FILE_VARIABLE) or CONFIGURATION)), config)


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
