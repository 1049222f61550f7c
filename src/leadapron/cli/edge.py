"""``leadapron edge``: stand beside a device that speaks DICOM without TLS, and carry what it says to the guard.

Everything can also stand in the section ``[edge]`` of ``leadapron.toml``; an option wins.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
_DIRECTORY = click.Path(file_okay=False)


@click.command(name="edge", context_settings=_SETTINGS)
@click.option("--listen", metavar="ADDRESS:PORT", help="Where the device connects; 127.0.0.1:11112 if left out.")
@click.option("--from", "sources", multiple=True, metavar="ADDRESS", help="The device's address; may be repeated.")
@click.option("--calling", metavar="AE", help="The device's own AE title. No other is let in.")
@click.option("--called", metavar="AE", help="The AE title that the device calls. No other is let in.")
@click.option("--to", metavar="HOST:PORT", help="The guard or archive that takes DICOM over mutual TLS.")
@click.option("--receive", metavar="ADDRESS:PORT", help="Where the guard delivers what the archive has for the device.")
@click.option("--device", metavar="ADDRESS:PORT", help="Where the device itself takes associations; with --receive.")
@click.option("--server-name", metavar="NAME", help="Whom its certificate must name, if not HOST.")
@click.option("--identity", type=_DIRECTORY, metavar="DIR", help="What 'peer join' wrote: peer.key, peer.pem, …")
@click.option("--queue", type=_DIRECTORY, metavar="DIR", help="Where data sets wait, encrypted, until delivered.")
@click.option("--max-queue", type=float, metavar="GIB", help="Bound of what waits there; 50 if left out.")
@click.option("--reserve", type=float, metavar="GIB", help="Room on its disk that stays free; 1 if left out.")
@click.option("--status", is_flag=True, help="Print how the queue stands, and end.")
@click.option("--retry-refused", is_flag=True, help="Put what was refused and set aside back into the queue.")
def command(
    listen: str | None,
    sources: tuple[str, ...],
    calling: str | None,
    called: str | None,
    to: str | None,
    receive: str | None,
    device: str | None,
    server_name: str | None,
    identity: str | None,
    queue: str | None,
    max_queue: float | None,
    reserve: float | None,
    status: bool,
    retry_refused: bool,
) -> None:
    """Stand beside a device without TLS: plain DICOM from that device in, mutual TLS to the guard out.

    What the device stores is written to disk, encrypted, before it is told Success, and delivered in order; queries
    and retrievals pass through while the line is up.

    \b
    leadapron edge --from 192.168.1.50 --calling CT1 --called PACS --listen 192.168.1.2:11112 \\
        --to guard.example.org:2762 --identity /etc/leadapron/ct1 --queue /var/lib/leadapron/ct1
    """
    from leadapron.guard.gateway.edge.settings import check, table
    from leadapron.kernel.config import Settings, load

    options = {
        "listen": listen,
        "from": sources,
        "calling": calling,
        "called": called,
        "to": to,
        "receive": receive,
        "device": device,
        "server_name": server_name,
        "identity": identity,
        "queue": queue,
        "max_queue": max_queue,
        "reserve": reserve,
    }
    given = table(load(Settings).edge, options)
    if status:
        _show(given.queue)
        return
    settings = check(given)

    from leadapron.guard.gateway.edge.run import run_edge
    from leadapron.wire.aio.loop import run

    run(run_edge(settings, _told, retry_refused=retry_refused))


def _show(queue: str | None) -> None:
    from leadapron.guard.gateway.edge.look import describe
    from leadapron.kernel.errors import UsageError

    if not queue:
        raise UsageError("--queue is missing: the directory that is to be looked at")
    for line in describe(Path(queue).expanduser()):
        click.echo(line)


def _told(text: str) -> None:
    from leadapron.kernel.clock import SystemClock, iso

    with contextlib.suppress(OSError):  # nothing ends because nobody can read it: a full disk, a pipe that was closed
        click.echo(f"{iso(SystemClock().now())} edge: {text}", err=True)
