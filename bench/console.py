"""Each page of the console over a watch of a year: a million sightings of 20,000 exposures.

python -m bench.console [--url SQLALCHEMY-URL] [--small]

Asked over HTTP on loopback by a client in the same process, so that its own few milliseconds are in the figures. The
overview is kept until something is folded; it is timed both ways. It fills the database first, which takes minutes;
with ``--url`` that is an empty PostgreSQL.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from bench.run import machine
from console.lifelike import Size, fill
from console.serving import console
from leadapron.watch.track.database import open_engine
from leadapron.watch.track.tables import scans

FULL = Size(exposures=20_000, rounds=50)
SMALL = Size(exposures=2_000, rounds=10)
BOUND_MS = 300
TIMES = 11
RESULTS = Path(__file__).parent / "results"
PAGES = {
    "Overview, anew": "/",
    "Overview, kept": "/",
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


async def timed(engine: sa.Engine, home: Path) -> list[tuple[str, str, list[float], int]]:
    """Name, path, milliseconds of each request and octets of the answer."""
    found = []
    async with console(home, engine) as served, served.client(await served.session()) as client:
        for name, path in PAGES.items():
            taken = []
            for _ in range(TIMES):
                if name.endswith("anew"):
                    touch(engine)
                served.clock.forward(1)
                began = time.perf_counter()
                answer = await client.get(path)
                taken.append(1000 * (time.perf_counter() - began))
                assert answer.status_code == 200, (path, answer.status_code)
            found.append((name, path, taken, len(answer.content)))
    return found


def touch(engine: sa.Engine) -> None:
    """As when another round was folded."""
    with engine.begin() as connection:
        last = connection.execute(sa.select(sa.func.max(scans.c.id))).scalar_one()
        before = str(connection.execute(sa.select(scans.c.folded_at).where(scans.c.id == last)).scalar_one())
        second = (int(before[17:19]) + 1) % 60
        later = f"{before[:17]}{second:02}Z"
        connection.execute(scans.update().where(scans.c.id == last).values(folded_at=later))


def table(rows: list[tuple[str, str, list[float], int]]) -> str:
    lines = ["| page | first, ms | median, ms | slowest, ms | kB |", "|---|--:|--:|--:|--:|"]
    for name, _, taken, size in rows:
        lines.append(
            f"| {name} | {taken[0]:.0f} | {statistics.median(taken):.0f} | {max(taken):.0f} | {size / 1000:.0f} |"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.console", description=__doc__)
    parser.add_argument("--url", help="an empty database; a SQLite file where it is left out")
    parser.add_argument("--small", action="store_true", help="2,000 exposures and 20,000 sightings")
    options = parser.parse_args()
    size = SMALL if options.small else FULL
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        engine = open_engine(options.url or f"sqlite:///{home / 'watch.db'}")
        began = time.perf_counter()
        fill(engine, size)
        filled = time.perf_counter() - began
        if engine.dialect.name == "postgresql":
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("ANALYZE")
        rows = asyncio.run(timed(engine, home))
        engine.dispose()
    text = (
        f"## Console, {date.today().isoformat()}\n\n{machine()}. {size.exposures * size.rounds:,} sightings of "
        f"{size.exposures:,} exposures in {engine.dialect.name} (written in {filled:.0f} s); each page {TIMES} times "
        f"over HTTP on loopback, client in the same process; the very first request "
        f"comes while the first overview is still being made. To reach: under {BOUND_MS} ms.\n\n{table(rows)}\n"
    )
    print(text)
    if not options.small:
        file = RESULTS / f"{date.today().isoformat()}-console.md"
        with file.open("a", encoding="utf-8") as out:
            out.write(text + "\n")
    return 0 if all(max(taken) < BOUND_MS for _, _, taken, _ in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
