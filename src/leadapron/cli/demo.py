"""``leadapron demo``: start a simulated street on this machine, scan it, show what stands open."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from leadapron.lab.population import Population

POPULATION = "clinic-street"
TARGETS = "127.1.0.0/24"
NOBODY = "127.1.0.254"  # an address of that network where the street has no server


@click.command(name="demo", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("demo-report.html"),
    show_default=True,
    metavar="FILE.html",
    help="Where to write the report.",
)
@click.option("--keep", is_flag=True, help="Leave the street running afterwards, to scan it yourself; Ctrl-C ends it.")
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@click.pass_context
def command(ctx: click.Context, report: Path, keep: bool, quiet: bool) -> None:
    """See what this is for, in under two minutes.

    Starts about fifty simulated servers on loopback, as they stand in the streets of a town: practices, a hospital, a
    regional archive, some of them open to everybody. Scans them as a stranger would find them, shows the table, writes
    the report. Nothing leaves this machine, and every patient is made up or is one of pydicom's test images.
    """
    from leadapron.cli.scan import Job
    from leadapron.kernel.errors import UsageError
    from leadapron.lab.population import load
    from leadapron.lab.process import LabProcess
    from leadapron.watch.scan.run import DEFAULT_PORTS, ScanRequest

    if not os.access(report.absolute().parent, os.W_OK):
        raise UsageError(f"{report} can't be written there; choose another place: --report FILE.html")
    _say("Starting clinic-street: simulated imaging servers on 127.1.0.0/24, this machine only …")
    taken = taken_ports(DEFAULT_PORTS)
    if taken:
        _say(f"Left out, because another program of this machine answers there: port {', '.join(map(str, taken))}")
    ports = tuple(port for port in DEFAULT_PORTS if port not in taken)
    with LabProcess(without(load(POPULATION), taken)) as lab:
        up = len(lab.truth())
        _say(f"{up} servers are up. Scanning them as a stranger would: leadapron scan {TARGETS}\n")
        code = Job(ScanRequest(targets=(TARGETS,), ports=ports), report=report, quiet=quiet).run()
        if code == 130:
            ctx.exit(code)
        _say(f"\nOpen {report.absolute().as_uri()} in a browser: what stands open, and how each server is closed.")
        if keep:
            _wait()
        else:
            _say(f"The street is gone again. '{program()} demo --keep' leaves it running for scans of your own.")
    _say(f"Your own network: '{program()} scope new FILE', then '{program()} scan --scope FILE TARGET'.")


def program() -> str:
    """The command as the user's shell finds it: by its path where it is not on PATH, as after ``make demo``."""
    import shutil

    typed = sys.argv[0]
    return typed if Path(typed).name == "leadapron" and shutil.which("leadapron") is None else "leadapron"


def taken_ports(ports: Iterable[int]) -> list[int]:
    """Ports on which somebody answers where the street has nobody: a program that listens on all addresses of this
    machine, loopback's included. The scan would meet it 256 times, and it is none of the demo's business."""
    import socket

    taken = []
    for port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.settimeout(0.5)
            if sock.connect_ex((NOBODY, port)) == 0:
                taken.append(port)
    return taken


def without(population: Population, ports: Collection[int]) -> Population:
    """The population without the doors on these ports."""
    from msgspec import structs

    left = []
    for one in population.endpoint:
        doors = [one.port] if isinstance(one.port, int) else one.port
        if open_ := [port for port in doors if port not in ports and one.unprivileged_port not in ports]:
            left.append(structs.replace(one, port=open_))
    return structs.replace(population, endpoint=left)


def _wait() -> None:
    import signal

    _say(f"The street stays up. Scan it from another terminal: {program()} scan {TARGETS}\nCtrl-C ends it.")
    try:
        signal.pause()
    except KeyboardInterrupt:
        _say("")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
