"""``leadapron up`` that kills itself (SIGKILL) at a chosen step around the sending of notices.

Run as a program with the options of ``leadapron up``. It imports everything once; then each line of standard input is
a number: it forks an ``up`` that dies just before its step of that number, or ends as by SIGTERM after its first turn,
and prints its exit code. Steps are those after which something else is true in the database or at the mail server:
commits, what is written to the server, and both ends of taking, beginning, handing over and telling.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any


def _arm(fatal: int) -> None:
    import sqlalchemy as sa
    from aiosmtplib.protocol import SMTPProtocol

    from leadapron.watch.campaign.upkeep import Upkeep
    from leadapron.watch.reach.notices.claims import Claims
    from leadapron.watch.reach.notices.post import PostOffice

    lock, passed = threading.Lock(), 0

    def step(*_: object) -> None:
        nonlocal passed
        with lock:
            passed += 1
            if passed == fatal:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            step()
            result = work(*arguments, **named)
            step()
            return result

        return call

    def awaited(work: Callable[..., Awaitable[Any]], after: Callable[[], None]) -> Callable[..., Awaitable[Any]]:
        async def call(*arguments: Any, **named: Any) -> Any:
            result = await work(*arguments, **named)
            after()
            return result

        return call

    for name in ("take", "begin", "sent", "recover"):
        setattr(Claims, name, around(getattr(Claims, name)))
    for name in ("envelope", "message"):
        setattr(PostOffice, name, awaited(getattr(PostOffice, name), step))
    SMTPProtocol.write = around(SMTPProtocol.write)  # type: ignore[method-assign]
    sa.event.listen(sa.Engine, "commit", step)
    over = awaited(Upkeep.turn, lambda: os.kill(os.getpid(), signal.SIGTERM))
    Upkeep.turn = over  # type: ignore[method-assign, assignment]


def _main() -> None:
    import aiosmtplib  # noqa: F401
    import psycopg  # noqa: F401
    import uvloop  # noqa: F401

    import leadapron.cli.up_watch
    import leadapron.guard.gateway.setup
    import leadapron.watch.campaign.upkeep  # noqa: F401
    from leadapron.cli.main import main

    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _arm(int(line))
            sys.argv = ["leadapron", "up", *sys.argv[1:]]
            main()
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    _main()
