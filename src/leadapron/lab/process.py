"""The lab in a process of its own, for tests and benches that must not share its core or its descriptors."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec
from msgspec import Struct

from leadapron.kernel.errors import Failure, UsageError
from leadapron.lab.population import Population, load
from leadapron.lab.truth import EndpointTruth

_START_S: Final = 60.0
_ANSWER_S: Final = 60.0
_END_S: Final = 10.0


class Order(Struct, frozen=True):
    """What the parent tells the child in its first line."""

    population: Population
    latency_ms: float = 0.0
    free_ports: bool = False
    canary: str = ""


class LabProcess:
    """``with LabProcess("bench-verify", latency_ms=20) as lab:`` — the same settings as ``Neighbourhood``.

    Raises UsageError for the population, Failure where the child can't start. It ends with the block, and by itself
    should this process die.
    """

    def __init__(
        self,
        population: Population | str | Path,
        *,
        latency_ms: float = 0.0,
        free_ports: bool = False,
        canary: str = "",
    ) -> None:
        population = population if isinstance(population, Population) else load(population)
        self._order = Order(population, latency_ms, free_ports, canary)
        self._child: subprocess.Popen[bytes] | None = None
        self._said = b""

    def __enter__(self) -> LabProcess:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._running().pid

    def start(self) -> None:
        """Start the child and wait until every endpoint is open."""
        self._child = subprocess.Popen(
            [sys.executable, "-m", "leadapron.lab"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment()
        )
        try:
            self._tell(msgspec.json.encode(self._order))
            line = self._line(_START_S)
            if line != b"READY":
                message = line.decode(errors="replace").removeprefix("FAILED ") or "the lab ended at its start"
                raise (UsageError if self._child.wait(_END_S) == UsageError.exit_code else Failure)(message)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child is None:
            return
        assert child.stdin is not None and child.stdout is not None
        child.stdin.close()
        try:
            child.wait(_END_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()

    def truth(self) -> list[EndpointTruth]:
        """What is true about each endpoint, and what it has seen so far."""
        self._tell(b"truth")
        return msgspec.json.decode(self._line(_ANSWER_S), type=list[EndpointTruth])

    def peak_rss(self) -> int:
        """Octets of memory that the child held at most."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise Failure("the kernel does not tell the child's memory (VmHWM)")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            raise Failure("the lab is not running")
        return self._child

    def _tell(self, line: bytes) -> None:
        stdin = self._running().stdin
        assert stdin is not None
        try:
            stdin.write(line + b"\n")
            stdin.flush()
        except BrokenPipeError:
            raise Failure("the lab has ended") from None

    def _line(self, seconds: float) -> bytes:
        """One line of the child's, without its end; empty when it has ended."""
        stdout = self._running().stdout
        assert stdout is not None
        until = time.monotonic() + seconds
        while b"\n" not in self._said:
            ready, _, _ = select.select([stdout], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise Failure(f"the lab said nothing for {seconds:g} s")
            said = os.read(stdout.fileno(), 1 << 20)
            if not said:
                return b""
            self._said += said
        line, _, self._said = self._said.partition(b"\n")
        return line


def _environment() -> dict[str, str]:
    """This process's own environment, with this very package on the path."""
    home = str(Path(__file__).parents[2])
    path = os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": f"{home}{os.pathsep}{path}" if path else home}
