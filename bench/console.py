"""Each page of the console over a watch of a year: a million sightings of 20,000 exposures.

python -m bench.console [--url SQLALCHEMY-URL] [--small]

Asked over HTTP on loopback. For each page the console is started anew, in a process of its own: *first* is the very
first request that it answers. The overview is kept until something is folded; it is timed both ways. It fills the
database first, which takes minutes; with ``--url`` that is an empty PostgreSQL.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path

import httpx2
import msgspec
import sqlalchemy as sa
from msgspec import Struct

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from bench.run import machine
from console.lifelike import Size, fill
from console.serving import COOKIE, console
from leadapron.watch.track.database import open_engine
from leadapron.watch.track.tables import scans
from peers.process import HOST, free_port

ROOT = Path(__file__).parent.parent
FULL = Size(exposures=20_000, rounds=50)
SMALL = Size(exposures=2_000, rounds=10)
BOUND_MS = 300
TIMES = 11
RESULTS = Path(__file__).parent / "results"
PAGES = {
    "Overview": "/",
    "Overview, anew": "/",
    "Overview, single archives": "/?by=archive",
    "Exposures": "/exposures",
    "Exposures, filtered": "/exposures?state=open&severity=high&country=US&order=-images",
    "Exposures, searched": "/exposures?text=Telecom",
    "Exposures, by software, page 30": "/exposures?order=product&page=30",
    "Exposure": "/exposures/1234",
    "Cases": "/cases",
    "Cases, searched, by studies": "/cases?text=Ejemplo&order=-studies",
    "Cases, due": "/cases?due=1&order=due&page=2",
    "Cases, board": "/cases/board",
    "Case": "/cases/222",
    "Notices": "/notices",
    "Notices, sent, page 3": "/notices?state=sent&page=3",
    "Notice": "/notices/1",
    "Scans": "/scans",
    "Scopes": "/scopes",
}


class Timed(Struct, frozen=True):
    """Milliseconds of each request, the first of them the first that a new process was asked; octets of the answer."""

    name: str
    taken: list[float]
    size: int


class Place(Struct, frozen=True):
    """Where a console listens, and a session for it."""

    base: str
    cookie: str


def timed(engine: sa.Engine, location: str, home: Path) -> list[Timed]:
    """Each page of a console in a process of its own, which has answered nothing before."""
    found = []
    for name, path in PAGES.items():
        with serving(location, home) as place, client(place) as browser:
            taken = []
            for turn in range(TIMES):
                if turn and name.endswith("anew"):
                    touch(engine)
                began = time.perf_counter()
                answer = browser.get(path)
                taken.append(1000 * (time.perf_counter() - began))
                assert answer.status_code == 200, (path, answer.status_code)
            found.append(Timed(name, taken, len(answer.content)))
    return found


@contextmanager
def client(place: Place) -> Iterator[httpx2.Client]:
    """A browser that has asked others before: its own first request is not what is measured."""
    with httpx2.Client(base_url=place.base, headers={"Cookie": place.cookie}, trust_env=False, timeout=60) as browser:
        with suppress(httpx2.HTTPError):
            httpx2.get(f"http://{HOST}:{free_port()}/", trust_env=False, timeout=1)
        yield browser


@contextmanager
def serving(location: str, home: Path) -> Iterator[Place]:
    """``--serve`` in a process that ends with the block."""
    command = (sys.executable, "-m", "bench.console", "--serve", location, str(home))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdin is not None and process.stdout is not None
        yield msgspec.json.decode(process.stdout.readline(), type=Place)
        process.stdin.close()


async def serve(location: str, home: Path) -> None:
    """A console with a session, told as a line; until nobody holds the other end of our input."""
    engine = open_engine(location)
    with tempfile.TemporaryDirectory(dir=home) as own:
        async with console(Path(own), engine) as served:
            place = Place(served.base, f"{COOKIE}={await served.session()}")
            print(msgspec.json.encode(place).decode(), flush=True)
            await asyncio.to_thread(sys.stdin.read)
    engine.dispose()


def touch(engine: sa.Engine) -> None:
    """As when another round was folded."""
    with engine.begin() as connection:
        last = connection.execute(sa.select(sa.func.max(scans.c.id))).scalar_one()
        before = str(connection.execute(sa.select(scans.c.folded_at).where(scans.c.id == last)).scalar_one())
        second = (int(before[17:19]) + 1) % 60
        later = f"{before[:17]}{second:02}Z"
        connection.execute(scans.update().where(scans.c.id == last).values(folded_at=later))


def table(rows: list[Timed]) -> str:
    lines = ["| page | first, ms | median, ms | slowest, ms | kB |", "|---|--:|--:|--:|--:|"]
    for one in rows:
        first, median, most = one.taken[0], statistics.median(one.taken), max(one.taken)
        lines.append(f"| {one.name} | {first:.0f} | {median:.0f} | {most:.0f} | {one.size / 1000:.0f} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.console", description=__doc__)
    parser.add_argument("--url", help="an empty database; a SQLite file where it is left out")
    parser.add_argument("--small", action="store_true", help="2,000 exposures and 20,000 sightings")
    parser.add_argument("--serve", nargs=2, metavar=("URL", "DIR"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.serve[0], Path(options.serve[1])))
        return 0
    size = SMALL if options.small else FULL
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        location = options.url or f"sqlite:///{home / 'watch.db'}"
        engine = open_engine(location)
        began = time.perf_counter()
        fill(engine, size)
        filled = time.perf_counter() - began
        if engine.dialect.name == "postgresql":  # as it does by itself in the hours that the rows would have taken
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("VACUUM ANALYZE")
        rows = timed(engine, location, home)
        name = engine.dialect.name
        engine.dispose()
    text = (
        f"## Console, {date.today().isoformat()}\n\n{machine()}. {size.exposures * size.rounds:,} sightings of "
        f"{size.exposures:,} exposures in {name} (written in {filled:.0f} s); each page {TIMES} times over HTTP on "
        f"loopback, the first of them the first request of a process that was just started. To reach: under "
        f"{BOUND_MS} ms.\n\n{table(rows)}\n"
    )
    print(text)
    if not options.small:
        file = RESULTS / f"{date.today().isoformat()}-console.md"
        with file.open("a", encoding="utf-8") as out:
            out.write(text + "\n")
    return 0 if all(max(one.taken) < BOUND_MS for one in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
