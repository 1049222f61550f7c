"""A program that runs rounds and is killed in the middle of them: ``python mortal.py LOCATION DAY``.

Each line on stdin is a number of statements; a child runs a round, and at that statement (or commit) it kills itself
with SIGKILL. What became of it goes to stdout: ``killed`` or ``done``. The child is a fork, so that the modules are
loaded once; it opens the database itself.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import sqlalchemy as sa

from casework import SETTINGS, Calendar
from leadapron.watch.reach.cases.settings import Rules
from leadapron.watch.reach.follow import follow
from leadapron.watch.reach.notices.store import Notices
from leadapron.watch.track.database import open_engine


def run(location: str, day: float, statements: int) -> None:
    engine, calendar = open_engine(location), Calendar()
    calendar.day = day
    left = statements

    def tick(*_: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sa.event.listen(engine, "before_cursor_execute", tick)
    sa.event.listen(engine, "commit", tick)
    follow(engine, Rules(), Notices(engine, SETTINGS, calendar), calendar)
    engine.dispose()


for line in sys.stdin:
    child = os.fork()
    if not child:
        code = 1
        try:
            run(sys.argv[1], float(sys.argv[2]), int(line))
            code = 0
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    print("killed" if killed else "done" if status == 0 else "failed", flush=True)
