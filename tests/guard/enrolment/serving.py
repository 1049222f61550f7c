"""The enrolment service in a thread of its own, for tests of commands, which have a loop of theirs."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Self

from leadapron.guard.gateway.enrolment import Event, serve_enrolment
from leadapron.guard.identity.authority import Authority
from leadapron.guard.identity.registry import Registry
from leadapron.kernel.hostport import HostPort

WAIT_S = 30.0


class Serving:
    """``with Serving(home) as service: service.port``"""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.events: list[Event] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._registry = Registry(self.home)
        authority = Authority.load(self.home)
        self._thread.start()
        start = serve_enrolment(
            self.home, HostPort("127.0.0.1", 0), self._registry, authority, on_event=self.events.append
        )
        self._service = asyncio.run_coroutine_threadsafe(start, self._loop).result(WAIT_S)
        self.port = self._service.port
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._service.close(), self._loop).result(WAIT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()
        self._registry.close()
