"""One ``leadapron up`` for one database: a second is told so at once, and by whom it is held.

Notices are claimed one by one and would bear two senders, but rounds would be scanned and re-tests asked for by both,
and no server should be asked twice. So a running one holds a lock that ends with its process: beside an SQLite file
``flock`` on a file of its own, in PostgreSQL an advisory lock of a session, whose name says who it is. Commands that
end by themselves (a scan, ``notices send``) need no such lock.

A session can end while its process lives: the server is restarted, the connection cut. It is looked at every few
seconds and taken again; until then nothing is begun (`held`), and should another have been faster, this one waits for
its end, since a guard may run in the same process. A session whose machine has vanished is ended by the server after a
minute (TCP keepalive). A pooler that hands one session to many (PgBouncer's transaction mode) keeps no such lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import platform
import re
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import sqlalchemy as sa
from sqlalchemy import exc

from leadapron.kernel.clock import Clock, SystemClock, iso
from leadapron.kernel.errors import UsageError
from leadapron.watch.campaign.outage import Outage
from leadapron.watch.reach.notices.alone import OURS
from leadapron.watch.track.database import LINE, DatabaseFailure, failures, name

RUNNING: Final = 5  # the lock's number; see `notices.alone`
PATIENCE_S: Final = 2.0  # for one that is ending
LOOK_EVERY_S: Final = 5.0
_AGAIN_S: Final = 0.05
_NAME: Final = re.compile(r"leadapron up (\d{1,10}) ([0-9TZ:-]{20}) ([A-Za-z0-9._-]{1,64})")
_HOLDER: Final = sa.text(
    "SELECT a.application_name FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid "
    "WHERE l.locktype = 'advisory' AND l.classid = :ours AND l.objid = :lock AND l.objsubid = 2 AND l.granted "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class Instance:
    """``async with Instance(engine, say) as instance:`` — no other one works on this database while the block lasts.
    Raises ``UsageError`` where another does. ``outage``: who hears of a database that is away."""

    def __init__(
        self,
        engine: sa.Engine,
        say: Callable[[str], None],
        *,
        outage: Outage | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._say = say
        self._outage = outage or Outage(say)
        self._name = f"leadapron up {os.getpid()} {iso((clock or SystemClock()).now())} {platform.node() or '-'}"
        self._where = name(engine)
        self._lock: _File | _Session | None = None
        if engine.dialect.name == "postgresql":
            self._lock = _Session(engine, self._name)
        elif engine.url.database not in (None, "", ":memory:"):
            self._lock = _File(f"{os.path.realpath(str(engine.url.database))}.up", self._name)
        self._held = True
        self._task: asyncio.Task[None] | None = None

    @property
    def held(self) -> bool:
        """Whether something may be begun."""
        return self._held

    async def __aenter__(self) -> Self:
        if self._lock is None:
            return self
        other = await asyncio.to_thread(self._first, self._lock)
        if other is not None:
            raise UsageError(
                f"leadapron up runs already on {self._where}: {told(other)}. Stop that one first, or give this one a "
                "database of its own. What is done by hand (leadapron scan, leadapron notices send) can be done beside "
                "it"
            )
        if isinstance(self._lock, _Session):
            self._task = asyncio.get_running_loop().create_task(self._watch(self._lock))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._lock is not None:
            await asyncio.to_thread(self._lock.close)

    def _first(self, lock: _File | _Session) -> str | None:
        end = time.monotonic() + PATIENCE_S
        while (other := lock.take()) is not None and time.monotonic() < end:
            time.sleep(_AGAIN_S)
        return other

    async def _watch(self, session: _Session) -> None:
        """A lock that was lost is taken again."""
        waits = False
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                if self._held and await asyncio.to_thread(session.still):
                    continue
                self._held = False
                other = await asyncio.to_thread(session.take)
                self._outage.worked("instance")
            except DatabaseFailure as error:
                self._outage.failed("instance", error)
                continue
            self._held = other is None
            if other is None and waits:
                self._say("the other leadapron up has ended; this one goes on")
            elif other is not None and other != self._name and not waits:
                self._say(f"another leadapron up has taken over: {told(other)}. This one waits until that has ended")
            waits = not self._held and (waits or other != self._name)


def told(name: str) -> str:
    """Who it is, for people."""
    found = _NAME.fullmatch(name)
    if found is None:
        return "who it is cannot be seen"
    process, since, host = found.groups()
    return f"process {process} on {host}, since {since.replace('T', ' ').replace('Z', ' UTC')}"


class _File:
    def __init__(self, path: str, name: str) -> None:
        self._path, self._name = path, name
        self._descriptor: int | None = None

    def take(self) -> str | None:
        """None: it is ours; else the name of whoever has it."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise DatabaseFailure(f"{self._path} cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.suppress(OSError):  # a full disk: who it is cannot be seen then
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, self._name.encode(), 0)
        except BlockingIOError:
            said = os.pread(descriptor, 200, 0).decode(errors="replace")
            os.close(descriptor)
            return said
        except OSError as error:
            os.close(descriptor)
            raise DatabaseFailure(f"{self._path} cannot be locked: {error.strerror}") from error
        self._descriptor = descriptor
        return None

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None


class _Session:
    def __init__(self, engine: sa.Engine, name: str) -> None:
        self._database = engine
        self._engine = sa.create_engine(
            engine.url,
            poolclass=sa.NullPool,
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,
            connect_args={**LINE, "application_name": name},
        )
        self._connection: sa.Connection | None = None

    def take(self) -> str | None:
        """None: it is ours; else the name of whoever has it."""
        self.close()
        with failures(self._database):
            connection = self._engine.connect()
            try:
                for setting in ("idle = 30", "interval = 10", "count = 3"):
                    connection.exec_driver_sql(f"SET tcp_keepalives_{setting}")
                if connection.execute(sa.select(sa.func.pg_try_advisory_lock(OURS, RUNNING))).scalar():
                    self._connection = connection
                    return None
                return str(connection.execute(_HOLDER, {"ours": OURS, "lock": RUNNING}).scalar())
            finally:
                if self._connection is not connection:
                    connection.close()

    def still(self) -> bool:
        """Whether the session lives."""
        if self._connection is None:
            return False
        try:
            self._connection.exec_driver_sql("SELECT 1")
        except exc.DBAPIError:
            self.close()
            return False
        return True

    def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(exc.DBAPIError):
                self._connection.close()
        self._connection = None
