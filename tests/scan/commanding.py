"""The command ``leadapron`` as a user has it: a child process with streams of its own, and what it used."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BOUND_S = 110.0


@dataclass(frozen=True)
class Done:
    """A command that has ended. ``peak`` is its largest resident set, octets; ``cpu_s`` its processor time."""

    code: int
    out: str
    err: str
    peak: int
    cpu_s: float

    @property
    def lines(self) -> list[dict[str, Any]]:
        """JSON lines on stdout; fails for a line that is none."""
        return [json.loads(line) for line in self.out.splitlines()]


class Command:
    """``with Command(home, "scan", "127.1.0.5") as command: … command.end()``. Never outlives the block.

    It runs in ``home``, where its streams go to files too, so that nobody has to read a pipe. Nothing of this user's
    configuration or data is seen; temporary files go below ``home``. ``program``: what Python runs.
    """

    def __init__(
        self,
        home: Path,
        *arguments: str | Path,
        environment: Mapping[str, str] | None = None,
        program: Sequence[str] = ("-m", "leadapron"),
        stdout: Path | None = None,
    ) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._peak = 0
        self._out, self._err = stdout or home / "stdout", home / "stderr"
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("LEADAPRON_", "XDG_"))}
        environ |= {"HOME": str(home), "XDG_DATA_HOME": str(home / "share"), "XDG_CONFIG_HOME": str(home / "config")}
        (home / "tmp").mkdir(exist_ok=True)
        environ |= {"TMPDIR": str(home / "tmp"), "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._child = subprocess.Popen(
                [sys.executable, *program, *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=home,
                env=environ | dict(environment or {}),
            )

    def __enter__(self) -> Command:
        return self

    def __exit__(self, *_: object) -> None:
        if self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._child.kill()
            self.end()

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def out(self) -> str:
        """What stands on stdout now; nothing of a device that it was sent to."""
        return self._out.read_text(errors="replace") if self._out.is_file() else ""

    @property
    def err(self) -> str:
        return self._err.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        os.kill(self._child.pid, number)

    def until(self, what: str, condition: Any) -> None:
        """Wait for ``condition()`` while the command runs; fails when it has ended first."""
        end = time.monotonic() + BOUND_S
        while not condition():
            assert self._ended() is None, f"the command ended before {what}:\n{self.err[-2000:]}"
            assert time.monotonic() < end, f"not within {BOUND_S:g} s: {what}"
            time.sleep(0.01)

    def _ended(self) -> int | None:
        """The exit code if it has ended; leaves the child to be waited for."""
        self._peak = max(self._peak, high_water(self._child.pid))
        info = os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return None if info is None else info.si_status

    def end(self, seconds: float = BOUND_S) -> Done:
        """Wait for its end and say what came of it. A signal that ended it counts as 128 and more, as shells do."""
        until_s = time.monotonic() + seconds
        while self._ended() is None:
            if time.monotonic() > until_s:
                self._child.kill()
                raise AssertionError(f"the command did not end within {seconds:g} s:\n{self.err[-2000:]}")
            time.sleep(0.005)
        _, status, usage = os.wait4(self._child.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        self._child.returncode = code
        cpu_s = usage.ru_utime + usage.ru_stime
        return Done(code if code >= 0 else 128 - code, self.out, self.err, self._peak, cpu_s)


def high_water(pid: int) -> int:
    """The largest resident set that this process has had so far, octets; 0 when it has ended.

    Not ``ru_maxrss``: across fork and exec that keeps what the parent had, which for a test runner is a lot.
    """
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def command(home: Path, *arguments: str | Path, **options: Any) -> Done:
    """Run ``leadapron`` with these arguments to its end."""
    with Command(home, *arguments, **options) as running:
        return running.end()
