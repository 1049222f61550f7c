"""``leadapron demo``: start a simulated street on this machine, scan it, show what stands open."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
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
    regional archive, some of them open to everybody. Scans them as a stranger would find them, shows the table, puts a
    guard before one of them and looks again, writes the report. Nothing leaves this machine, and every patient is made
    up or is one of pydicom's test images.
    """
    from leadapron.cli import demo_guard
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
    street, chosen = demo_guard.split(without(load(POPULATION), taken))
    with (
        tempfile.TemporaryDirectory(prefix="leadapron-") as home,
        LabProcess(street) as lab,
        contextlib.ExitStack() as door,
    ):
        practice = door.enter_context(LabProcess(chosen))
        up = len(lab.truth()) + len(practice.truth())
        _say(f"{up} servers are up. Scanning them as a stranger would: leadapron scan {TARGETS}\n")
        request = ScanRequest(targets=(TARGETS,), ports=ports, location=home)
        code = Job(request, report=report, quiet=quiet, passing=True).run()
        if code == 130:
            ctx.exit(code)
        door.close()
        _guard(Path(home), chosen, ports, report)
        _say(f"\nOpen {report.absolute().as_uri()} in a browser: what stands open, and how each server is closed.")
        if keep:
            door.enter_context(LabProcess(chosen))
            _wait()
        else:
            _say(f"The street is gone again. '{program()} demo --keep' leaves it running for scans of your own.")
    _say(f"Your own network: '{program()} scope new FILE', then '{program()} scan --scope FILE TARGET'.")


def _guard(home: Path, chosen: Population, ports: tuple[int, ...], report: Path) -> None:
    """Put a guard before one of them, look again, and write both looks into the report."""
    from msgspec import structs

    from leadapron.cli import demo_guard
    from leadapron.cli.report import Reading, facts_of, write_page
    from leadapron.lab.process import LabProcess
    from leadapron.watch.track.store import Store
    from leadapron.wire.aio.loop import run

    where = demo_guard.CHOSEN
    if taken_ports((demo_guard.GUARD_PORT, demo_guard.ENROL_PORT)):
        _say(f"\nThe guard's part is left out: port {demo_guard.GUARD_PORT} or {demo_guard.ENROL_PORT} is taken here.")
        return
    _say(f"\nNow one of them is closed. A guard is put before {where}: leadapron init guard; leadapron up")
    with Store.open(str(home)) as store, LabProcess(demo_guard.behind(chosen)):
        scan = store.scans()[0]
        before = [record for record in store.records(scan.id) if record.address == where]
        with demo_guard.guarding(home) as config:
            keys = demo_guard.join(home, config)
            studies = run(demo_guard.ask(keys))
            after = run(demo_guard.look(ports))
        for change in (compared := demo_guard.compare(before, after, studies)).changes:
            then = "closed" if change.before is None else change.before.verdict
            now = "closed" if change.after is None else change.after.verdict
            why = f" ({change.after.reason})" if change.after is not None and change.after.reason else ""
            _say(f"  {change.address}:{change.port}  {then} → {now}{why}")
        many = demo_guard.in_words(studies)
        _say(f"  {demo_guard.READER}, which joined with a one-time code, still gets its answers: {many}.")
        facts = structs.replace(facts_of(scan), number=None)
        write_page(report, facts, Reading(store, scan), compared)


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
