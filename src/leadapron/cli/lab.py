"""``leadapron lab``: a neighbourhood of simulated servers on this machine's loopback, to practise on.

Only addresses of 127.0.0.0/8 are bound, each by itself; no other machine can reach them. Ctrl-C ends it.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from leadapron.cli.options import FILE, writable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from leadapron.lab.neighbourhood import Neighbourhood
    from leadapron.lab.population import Population
    from leadapron.lab.truth import EndpointTruth

_SHOWN: Final = 60  # endpoints that are listed one by one; more are summed up by persona
_NETWORKS: Final = 4
_MANY: Final = 32  # networks of /24 among which a list of addresses is better than a block
_SCANNED: Final = frozenset((104, 11112, 4242, 2761, 2762, 80, 443, 8042, 8043, 8080, 8443))
"""Ports that ``leadapron scan`` tries without being told to."""


@click.command(short_help="Start simulated imaging servers on loopback.")
@click.argument("population", default="clinic-street", metavar="[POPULATION|FILE.toml]")
@click.option("--list", "listing", is_flag=True, help="Show the shipped populations and every persona; start nothing.")
@click.option(
    "--truth",
    type=FILE,
    metavar="FILE",
    callback=writable,
    help="Write what is true about each endpoint as JSON, at the start and, with what it has seen, at the end.",
)
@click.option(
    "--targets",
    type=FILE,
    metavar="FILE",
    callback=writable,
    help="Write the addresses that live here, one a line, as 'leadapron scan --from FILE' reads them.",
)
@click.option("--wave", type=click.IntRange(1, 2), help="Of autumn-2019: September, or sixty days later. [default: 1]")
@click.option(
    "--scale",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="PART",
    help="Of autumn-2019: what part of the studies each archive holds, 0.001 for a quick look. [default: 1]",
)
@click.option(
    "--countries",
    type=FILE,
    metavar="FILE.mmdb",
    callback=writable,
    help="Of autumn-2019: write which network is in which country, as a MaxMind DB file for the section [lookups].",
)
@click.option("--latency", type=click.FloatRange(0, 10_000), default=0.0, metavar="MS", help="Delay each answer.")
def command(
    population: str,
    listing: bool,
    truth: Path | None,
    targets: Path | None,
    wave: int | None,
    scale: float | None,
    countries: Path | None,
    latency: float,
) -> None:
    """Start simulated imaging servers on loopback, to practise on: open archives, guarded ones, decoys and worse.

    POPULATION is the name of a shipped one (default: clinic-street), FILE.toml one of your own. Nothing but addresses
    of 127.0.0.0/8 is ever bound. Ctrl-C ends it.
    """
    if listing:
        for line in _everything():
            click.echo(line)
        return
    from leadapron.lab.population import load
    from leadapron.wire.aio.loop import run

    chosen = load(population, wave, scale)
    if countries is not None:
        _write_countries(countries, population)
    run(_live(chosen, truth, targets, latency))


def _write_countries(path: Path, population: str) -> None:
    from leadapron.cli.writing import write_bytes
    from leadapron.kernel.errors import UsageError
    from leadapron.lab.history.autumn import NAME, places
    from leadapron.lab.history.mmdb import mmdb

    if population != NAME:
        raise UsageError(f"--countries is for {NAME}: nothing is known of where the servers of {population} are")
    write_bytes(path, [mmdb(places(), "Lead-Apron-Lab-Country-ASN")], private=True)


async def _live(population: Population, truth: Path | None, targets: Path | None, latency: float) -> None:
    import asyncio
    import signal

    from leadapron.lab.neighbourhood import Neighbourhood

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with Neighbourhood(population, latency_ms=latency) as neighbourhood:
        if truth is not None:
            _write(truth, neighbourhood.truth)
        if targets is not None:
            _write_targets(targets, neighbourhood.truth)
        for line in _table(neighbourhood, targets):
            click.echo(line)
        click.echo("Ctrl-C ends it.", err=True)
        await stop.wait()
        if truth is not None:
            _write(truth, neighbourhood.truth)
    click.echo("All servers are closed.", err=True)


def _write(path: Path, truth: list[EndpointTruth]) -> None:
    import msgspec

    from leadapron.cli.writing import write_bytes

    write_bytes(path, [msgspec.json.format(msgspec.json.encode(truth), indent=1), b"\n"])


def _write_targets(path: Path, truth: list[EndpointTruth]) -> None:
    from leadapron.cli.writing import write_file

    write_file(path, (f"{address}\n" for address in dict.fromkeys(one.address for one in truth)), private=True)


def _table(neighbourhood: Neighbourhood, targets: Path | None) -> Iterator[str]:
    truth = neighbourhood.truth
    if len(truth) <= _SHOWN:
        yield f"{'endpoint':<22} {'persona':<20} {'studies':>9}  note"
        for one in truth:
            studies = "" if one.studies is None else f"{one.studies:,}"
            yield f"{one.address + ':' + str(one.port):<22} {one.persona:<20} {studies:>9}  {one.note}".rstrip()
    else:
        yield f"{'endpoints':>9} {'persona':<24} {'studies':>12}  first one"
        first: dict[str, EndpointTruth] = {}
        studies_of: Counter[str] = Counter()
        for one in truth:
            first.setdefault(one.persona, one)
            studies_of[one.persona] += one.studies or 0
        for persona, count in Counter(one.persona for one in truth).items():
            studies = f"{studies_of[persona]:,}" if studies_of[persona] else ""
            yield f"{count:>9,} {persona:<24} {studies:>12}  {first[persona].address}:{first[persona].port}"
    yield ""
    yield f"{neighbourhood.population.name}: {len(truth):,} endpoints are up. Scan them from another terminal:"
    if targets is None and len({one.address.rpartition(".")[0] for one in truth}) > _MANY:
        yield "  (they are far apart: --targets FILE writes a list of them, which is scanned sooner)"
    yield "  " + " ".join(scan_command(truth, targets))


def scan_command(truth: list[EndpointTruth], targets: Path | None = None) -> list[str]:
    """The command that finds all of them; by a file with their addresses, if there is one."""
    from ipaddress import IPv4Network, ip_network

    ports = sorted({one.port for one in truth} - _SCANNED)
    options = ["--port", ",".join(str(port) for port in sorted({one.port for one in truth}))] if ports else []
    if targets is not None:
        return ["leadapron", "scan", "--from", str(targets), *options]
    networks = sorted({ip_network(f"{one.address}/24", strict=False) for one in truth if ":" not in one.address})
    while len(networks) > _NETWORKS:
        networks = sorted({network.supernet() for network in networks if isinstance(network, IPv4Network)})
    return ["leadapron", "scan", *map(str, networks), *options]


def _everything() -> Iterator[str]:
    from itertools import groupby

    from leadapron.lab.personas import personas
    from leadapron.lab.population import shipped

    yield "Populations"
    for name, summary in shipped().items():
        yield f"  {name:<22} {summary}"
    for family, members in groupby(personas().values(), key=lambda persona: persona.family):
        yield ""
        yield f"Personas: {family}"
        for persona in members:
            yield f"  {persona.name:<26} {persona.summary}"
