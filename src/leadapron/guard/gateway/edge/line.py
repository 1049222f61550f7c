"""The way out: associations with the far side over mutual TLS, and what is known of it: up or down, and why.

Two kinds go out: the sender's, which carry what waits in the queue, and a device's own, mirrored while it is there, for
what is relayed live. Every wait of them is short: a device that asks for its worklist while the line is down gets an
error status in seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

from msgspec import Struct

from leadapron.guard.gateway.edge.credentials import Credentials
from leadapron.kernel.clock import Clock, SystemClock
from leadapron.kernel.errors import WireError
from leadapron.wire.aio.client import associate, call
from leadapron.wire.aio.requestor import RequestorAssociation
from leadapron.wire.aio.session import Session
from leadapron.wire.aio.timeouts import Timeouts
from leadapron.wire.aio.upper import Upper
from leadapron.wire.association.negotiate import ContextRequest, agreed
from leadapron.wire.pdu import AssociateAccept, AssociateRequest

LIVE: Final = Timeouts(connect=5, tls=5, associate=10, response=120, idle=120, write=30, release=2)
"""For a device that waits at the other end."""
DELIVERY: Final = Timeouts(connect=10, tls=10, associate=30, response=120, idle=120, write=60, release=5)
RECENTLY_S: Final = 15.0
"""A line that failed so lately is not tried for a device's sake alone where there is a choice."""


class Far(Struct):
    """An association of the far side for one device, with its presentation contexts' own numbers."""

    upper: Upper
    session: Session
    accept: AssociateAccept

    async def end(self) -> None:
        """Releases it if nothing is under way, else aborts. Never raises a WireError."""
        with contextlib.suppress(WireError):
            if self.upper.standing and not self.session.within_message:
                await self.upper.release()
        await self.upper.abort()


class Line:
    """``host`` and ``port`` of the far side; ``server_name``: whom its certificate must name, if not ``host``."""

    def __init__(
        self,
        host: str,
        port: int,
        credentials: Credentials,
        *,
        server_name: str | None = None,
        live: Timeouts = LIVE,
        delivery: Timeouts = DELIVERY,
        told: Callable[[str], None] = lambda text: None,
        clock: Clock = SystemClock(),  # noqa: B008 (without state)
    ) -> None:
        self.host, self.port, self.server_name = host, port, server_name
        self.up: bool | None = None
        """None until it was tried."""
        self.why = ""
        self.nudge = asyncio.Event()
        """Set when something got through: whoever waits before the next try need not wait any longer."""
        self._credentials = credentials
        self._live, self._delivery = live, delivery
        self._told, self._clock = told, clock
        self._failed_at: float | None = None

    @property
    def name(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def heard(self) -> None:
        """The far side took an association."""
        if self.up is not True:
            self._told(f"the line to {self.name} is up")
        self.up, self.why, self._failed_at = True, "", None
        self.nudge.set()

    def lost(self, error: WireError) -> None:
        """No association could be made. The texts of WireErrors hold nothing that a peer sent."""
        why = str(error)
        if self.up is not False or why != self.why:
            self._told(f"the line to {self.name} is down: {why}")
        self.up, self.why, self._failed_at = False, why, self._clock.monotonic()

    @property
    def failed_lately(self) -> bool:
        return self._failed_at is not None and self._clock.monotonic() - self._failed_at < RECENTLY_S

    def association(
        self, contexts: list[ContextRequest], *, calling: str, called: str
    ) -> AbstractAsyncContextManager[RequestorAssociation]:
        """For the sender: see ``wire.aio.associate``."""
        return associate(
            self.host,
            self.port,
            called=called,
            calling=calling,
            contexts=contexts,
            tls=self._credentials.context(),
            server_name=self.server_name,
            timeouts=self._delivery,
        )

    async def call(self, request: AssociateRequest) -> Far:
        """The association that a device's own request, as it is to be passed on, gives. Raises WireErrors."""
        try:
            upper, accept = await call(
                self.host,
                self.port,
                request,
                tls=self._credentials.context(),
                server_name=self.server_name,
                timeouts=self._live,
            )
        except WireError as error:
            self.lost(error)
            raise
        self.heard()
        return Far(upper, Session(upper, agreed(request, accept), accept.user.maximum_length or 0), accept)
