"""Run a command and say what it cost: wall and CPU seconds, peak memory, pinned to a core."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

CLIENT_CORES = {0}
SERVER_CORES = {1}
LEADAPRON = [sys.executable, "-m", "leadapron"]


@dataclass(frozen=True)
class Cost:
    """``wall`` and ``cpu`` in seconds, ``rss`` its peak in MiB, ``output`` what it printed."""

    wall: float
    cpu: float
    rss: float
    code: int
    output: str


@dataclass
class Row:
    """One line of a table: what was run, how much work it did, and what each run cost."""

    name: str
    work: int
    unit: str
    costs: list[Cost] = field(default_factory=list)
    note: str = ""

    @property
    def rate(self) -> float:
        """Median of work a wall second."""
        return median(self.work / cost.wall for cost in self.costs)

    @property
    def per_core(self) -> float:
        """Median of work a second of one core: by CPU time where more than one was busy, else by the clock."""
        return median(self.work / max(cost.wall, cost.cpu) for cost in self.costs)

    @property
    def rss(self) -> float:
        return max(cost.rss for cost in self.costs)


def run(
    command: Sequence[str], cores: set[int] | None = None, timeout: float = 600, env: dict[str, str] | None = None
) -> Cost:
    """Run to the end; the operating system's own accounting of the finished process."""
    usable = (cores or CLIENT_CORES) & os.sched_getaffinity(0) or os.sched_getaffinity(0)
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: os.sched_setaffinity(0, usable),
            env={**os.environ, **(env or {})},
        )
        try:
            status, usage, peak = _wait(process.pid, timeout)
        except TimeoutError:
            process.kill()
            _, status, usage = os.wait4(process.pid, 0)
            peak = 0.0
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    return Cost(wall, usage.ru_utime + usage.ru_stime, peak, process.returncode, text)


def _wait(pid: int, timeout: float) -> tuple[int, resource.struct_rusage, float]:
    """Its status, use and largest resident set (MiB). The latter is asked for while it runs: ``ru_maxrss`` keeps what
    the parent had before exec."""
    end = time.monotonic() + timeout
    peak = 0.0
    while True:
        peak = max(peak, high_water(pid))
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            return status, usage, peak
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.005)


def high_water(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


def pin(pid: int, cores: set[int]) -> None:
    """Keep a running process on these cores, where the machine has them."""
    usable = cores & os.sched_getaffinity(0)
    if usable:
        os.sched_setaffinity(pid, usable)


def measure(row: Row, runs: int, once: Callable[[], Cost]) -> Row:
    """Fill ``row`` with this many runs."""
    for _ in range(runs):
        row.costs.append(once())
    return row


def version(command: Sequence[str], marker: str = "") -> str:
    """The first line of a program's own word about its version (that holds ``marker``)."""
    try:
        text = subprocess.run(command, capture_output=True, text=True, timeout=20).stdout
    except OSError:
        return "not installed"
    lines = [line.strip() for line in text.splitlines() if marker in line]
    return lines[0] if lines else "unknown"


def machine() -> str:
    """What this ran on, in one line."""
    import platform

    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return f"{os.cpu_count()} cores ({model}), Linux {platform.release()}, Python {platform.python_version()}"
