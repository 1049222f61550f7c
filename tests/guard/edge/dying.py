"""Edges that kill themselves (SIGKILL) at a chosen step between an image's first octet and its delivery.

Run as a program with the options of ``leadapron edge``. It imports everything once; then standard input tells it, in
turns, to fork an edge that dies just before its step of that number (0: never), and to send it a signal, await its end
and print its exit code. The steps are those after which something else is true on disk or on the wire.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

ROOT = Path(__file__).parents[3]
END_S = 60.0


def _arm(fatal: int) -> None:
    from leadapron.guard.gateway.edge import conversation, queue, receipt, sealed

    lock, passed = threading.Lock(), 0

    def step() -> None:
        nonlocal passed
        with lock:
            passed += 1
            if passed == fatal:
                os.kill(os.getpid(), signal.SIGKILL)

    def before(work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            step()
            return work(*arguments, **named)

        return call

    def around(work: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*arguments: Any, **named: Any) -> Any:
            step()
            result = await work(*arguments, **named)
            step()
            return result

        return call

    names = {name: getattr(os, name) for name in dir(os)}
    sealed.os = SimpleNamespace(**names | {"write": before(os.write)})  # type: ignore[assignment]
    stepping = {name: before(getattr(os, name)) for name in ("open", "fsync", "rename")}
    receipt.os = SimpleNamespace(**names | stepping)  # type: ignore[assignment]
    receipt.sync_directory = before(receipt.sync_directory)
    queue.Queue.delivered = around(queue.Queue.delivered)  # type: ignore[method-assign]
    conversation.Conversation._say = around(conversation.Conversation._say)  # type: ignore[method-assign]


def _main() -> None:
    import uvloop  # noqa: F401

    import leadapron.guard.gateway.edge.run  # noqa: F401
    from leadapron.cli.main import main

    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _arm(int(line))
            sys.argv = ["leadapron", "edge", *sys.argv[1:]]
            main()
        os.kill(pid, int(sys.stdin.readline()))  # not yet awaited, so nobody else has its number
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


class Edges:
    """From the test's side: `start` one, `end` it. A context manager."""

    def __init__(self, options: Sequence[str], home: Path) -> None:
        self.log = (home / "edges.log").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, __file__, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        )
        self._running = False

    def start(self, fatal: int = 0) -> None:
        """An edge begins to start."""
        self._say(fatal)
        self._running = True

    def end(self, number: int = signal.SIGTERM) -> int:
        """Its exit code, negative for a signal. It may have ended before."""
        self._say(number)
        self._running = False
        assert self._process.stdout is not None
        # A thread that waits for ever would keep the whole test run from ending.
        ready, _, _ = select.select([self._process.stdout], [], [], END_S)
        assert ready, f"the edge did not end within {END_S:g} s of signal {number}"
        return int(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._running:
                self.end(signal.SIGKILL)
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(10)
        finally:
            self._process.kill()
            self.log.close()

    def _say(self, number: int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{int(number)}\n".encode())
        self._process.stdin.flush()


if __name__ == "__main__":
    _main()
