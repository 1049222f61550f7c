"""``make bench``: every suite, side by side, written to bench/results/ as Markdown.

python -m bench [SUITE…] [--runs N] [--huge]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

from bench import autumn, counting, dead, relay, startup, verify
from bench.run import Row, machine, version
from leadapron import __version__

SUITES: dict[str, Callable[[int], dict[str, list[Row]]]] = {
    "startup": startup.suite,
    "verify": verify.suite,
    "dead": dead.suite,
    "counting": counting.suite,
    "relay": relay.suite,
    "huge": counting.huge,
    "autumn": autumn.suite,
}
RESULTS = Path(__file__).parent / "results"


def table(title: str, rows: list[Row]) -> str:
    """One table: the rate, the rate a core, and the ratio to each peer."""
    lines = [
        f"### {title}",
        "",
        "| what | work | seconds | a second | a second and core | ours against it | peak MiB | note |",
        "|---|--:|--:|--:|--:|--:|--:|---|",
    ]
    ours = rows[0]
    for row in rows:
        seconds = sorted(cost.wall for cost in row.costs)
        ratio = "" if row is ours else f"{ours.rate / row.rate:,.1f} × ({ours.per_core / row.per_core:,.1f} × a core)"
        lines.append(
            f"| {row.name} | {row.work:,} {row.unit} | {seconds[len(seconds) // 2]:,.2f} | {row.rate:,.0f} | "
            f"{row.per_core:,.0f} | {ratio} | {row.rss:,.0f} | {row.note} |"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("suites", nargs="*", choices=[*SUITES, []], help="which (all but huge and autumn)")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--huge", action="store_true", help="35 million studies, and the autumn of 2019, as well (minutes)"
    )
    options = parser.parse_args()
    names = options.suites or [name for name in SUITES if name not in ("huge", "autumn") or options.huge]
    head = [
        f"## {date.today().isoformat()}",
        "",
        f"{machine()}. leadapron {__version__}; {version(['nmap', '--version'], 'Nmap version')}; "
        f"{version(['echoscu', '--version'], 'dcmtk')}; pynetdicom {_pynetdicom()}.",
        "Client on one core, simulated servers on the other; median of the runs; peak memory of the largest process.",
        "",
    ]
    sheets = []
    for name in names:
        print(f"… {name}", file=sys.stderr, flush=True)
        for title, rows in SUITES[name](options.runs).items():
            sheets.append(table(title, rows))
            print(sheets[-1], flush=True)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{date.today().isoformat()}-{'-'.join(names)}.md"
    path.write_text("\n".join(head + sheets))
    print(f"written to {path}", file=sys.stderr)
    return 0


def _pynetdicom() -> str:
    from importlib.metadata import version as installed

    return installed("pynetdicom")


if __name__ == "__main__":
    sys.exit(main())
