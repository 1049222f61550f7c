"""Real DICOM peers as child processes: started on a free port, awaited with a bound, ended by their own id.

A peer that is not installed fails the test with the line that installs it: a skipped peer would look like a passed
one. Output goes to a log file beside the peer's data; ``Peer.log()`` reads it back, and a peer that dies while starting
shows its last lines in the failure.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

HOST = "127.0.0.1"
READY_S = 30.0
INSTALL = {
    "Orthanc": "apt-get install -y orthanc",
    "storescp": "apt-get install -y dcmtk",
    "dcmqrscp": "apt-get install -y dcmtk",
    "echoscu": "apt-get install -y dcmtk",
    "storescu": "apt-get install -y dcmtk",
    "findscu": "apt-get install -y dcmtk",
    "movescu": "apt-get install -y dcmtk",
    "getscu": "apt-get install -y dcmtk",
    "stunnel": "apt-get install -y stunnel4",
    "pynetdicom": "pip install pynetdicom sqlalchemy",
}


def program(name: str) -> str:
    """The path of a program that a peer needs, or a failure that says how to get it."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.fail(f"{name} is not installed, and it is one of the real peers of these tests: {INSTALL[name]}")
    return found


FIRST_PORT, PORTS = 20_000, 6_000
"""Below the ports that the system gives to outgoing connections (Linux: from 32768), which else could take one between
its choice and its use; each of two workers has so many."""
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 2
_next = itertools.count(os.getpid() * 97)


def free_port() -> int:
    """A TCP port that nobody listens on at this moment, on any address, and that this run has not given lately."""
    for _ in range(PORTS):
        port = FIRST_PORT + _worker * PORTS + next(_next) % PORTS
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("0.0.0.0", port))
            return port
    raise OSError(f"no free port among {PORTS}")


@dataclass
class Peer:
    """A running peer. ``home`` holds its configuration, data and log; a context manager that stops it."""

    name: str
    ae: str
    port: int
    home: Path
    host: str = HOST
    http_port: int | None = None
    tls: bool = False
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def stop(self) -> None:
        """Ends the processes that were started for this peer, children included: each leads a session of its own.

        By SIGKILL: what they hold is thrown away, and Orthanc takes three seconds to say good-bye.
        """
        for process in reversed(self.processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=10)
        self.processes.clear()

    def log(self) -> str:
        """All that the peer printed so far."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.home.glob("*.log")))

    @property
    def pid(self) -> int:
        return self.processes[-1].pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def wait_until(condition: Callable[[], bool], what: str, seconds: float = READY_S) -> None:
    """Polls ``condition`` until it holds; fails when the bound is reached."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)


def listening(port: int) -> bool:
    """Whether somebody accepts connections on that loopback port."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def launch(
    peer: Peer, command: Sequence[str], *, port: int | None = None, log: str = "peer", also: Sequence[int] = ()
) -> Peer:
    """Starts ``command`` for ``peer`` and waits until ``port`` (the peer's own by default) accepts connections, and all
    of ``also``."""
    awaited = peer.port if port is None else port
    with (peer.home / f"{log}.log").open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=peer.home,
            start_new_session=True,
        )
    peer.processes.append(process)
    end = time.monotonic() + READY_S
    while not all(map(listening, (awaited, *also))):
        if process.poll() is not None or time.monotonic() > end:
            peer.stop()
            pytest.fail(f"{peer.name} did not start on port {awaited}:\n{peer.log()[-2000:]}")
        time.sleep(0.02)
    return peer


def run(command: Sequence[str], seconds: float = 60.0, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a peer's client program to its end, within a bound. Standard error is merged into standard output."""
    return subprocess.run(
        [program(command[0]), *command[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=seconds,
        text=True,
        errors="replace",
        cwd=cwd,
        check=False,
    )
