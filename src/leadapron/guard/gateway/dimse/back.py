"""The back door: the archive delivers what was moved, and the guard carries it to the peer over mutual TLS.

Nobody may connect here but the archive, known by its address (it has no certificate of ours) before anything is read,
and then by its title. Called is the peer's title; where that peer takes associations stands in its rules (``receive``),
and that it is that peer, its certificate says.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from typing import Final

from leadapron.guard.audit.events import Participant
from leadapron.guard.audit.place import AuditFailed
from leadapron.guard.gateway.dimse.conversation import Ended
from leadapron.guard.gateway.dimse.delivery import DeliveryJudge, roles_for
from leadapron.guard.gateway.dimse.judge import Ruling
from leadapron.guard.gateway.dimse.leg import Pool
from leadapron.guard.gateway.dimse.negotiation import offer, unacceptable
from leadapron.guard.gateway.dimse.opening import Asked, Caller, Endpoint, ask, bounds_of, join, timeouts_of
from leadapron.guard.gateway.dimse.record import OnEvent, Record, failed, turned_away
from leadapron.guard.gateway.dimse.relay import End
from leadapron.guard.identity.registry import PeerIdentity, Refused
from leadapron.guard.policy.rules import PeerRules
from leadapron.guard.settings import Guard
from leadapron.kernel.errors import ProtocolError, WireError
from leadapron.kernel.hostport import parse_host_port
from leadapron.wire.aio.transport import Connection
from leadapron.wire.association.reasons import (
    CALLED_AE_NOT_RECOGNIZED,
    CALLING_AE_NOT_RECOGNIZED,
    NO_REASON_GIVEN,
    TEMPORARY_CONGESTION,
)
from leadapron.wire.pdu import AssociateReject, AssociateRequest

RESOLVED_S: Final = 60.0
"""For how long the addresses of the archive's name are remembered."""

_log = logging.getLogger(__name__)


class Back:
    """``attend`` is for `wire.aio.server.listen`. ``tls`` is what the guard shows to peers."""

    def __init__(self, settings: Guard, ruling: Ruling, tls: ssl.SSLContext, on_event: OnEvent, pool: Pool) -> None:
        self._settings, self._ruling, self._tls = settings, ruling, tls
        self._on_event, self._pool = on_event, pool
        self._timeouts = timeouts_of(settings.limits)
        self._bounds = bounds_of(settings.limits)
        self._addresses: frozenset[str] = frozenset()
        self._resolved = float("-inf")

    async def attend(self, connection: Connection, address: str, port: int) -> None:
        """One connection, to its end. Raises CancelledError only."""
        try:
            if address not in await self._archive():
                self._tell(address, None, "not the archive's address")
                return
            await self._deliver(Caller(connection, address))
        except WireError as error:
            _log.debug("a delivery ended at its beginning: %s", error)
        except AuditFailed as error:
            _log.error("a delivery ended: %s", error)
        except Exception as error:
            _log.error("a delivery ended by %s", type(error).__name__, exc_info=True)
        finally:
            connection.abort()

    async def _archive(self) -> frozenset[str]:
        loop = asyncio.get_running_loop()
        if loop.time() - self._resolved > RESOLVED_S:
            with contextlib.suppress(OSError):
                async with asyncio.timeout(self._timeouts.connect):
                    found = await loop.getaddrinfo(self._settings.archive.host, None, type=socket.SOCK_STREAM)
                self._addresses = frozenset(str(address[0]) for *_, address in found)
                self._resolved = loop.time()
        return self._addresses

    def _tell(self, address: str, calling: str | None, reason: str) -> None:
        turned_away(self._on_event, address, f"at the back door: {reason}", ae=calling)

    async def _deliver(self, caller: Caller) -> None:
        asked = await caller.request()
        archive, policy = self._settings.archive, self._ruling.policy()
        rules = policy.by_ae(asked.called)
        bad = unacceptable(asked)
        if not self._ruling.healthy():
            await self._reject(caller, asked, TEMPORARY_CONGESTION, "the audit trail cannot be written")
        elif asked.calling not in archive.titles:
            await self._reject(caller, asked, CALLING_AE_NOT_RECOGNIZED, "another calling AE title than the archive's")
        elif rules is None or rules.receive is None:
            await self._reject(caller, asked, CALLED_AE_NOT_RECOGNIZED, "no peer with that AE title receives anything")
        elif bad is not None:
            await self._reject(caller, asked, bad, "the A-ASSOCIATE-RQ is not acceptable")
        else:
            await self._forward(caller, asked, rules, rules.receive)

    async def _reject(self, caller: Caller, asked: AssociateRequest, reject: AssociateReject, reason: str) -> None:
        self._tell(caller.address, asked.calling, reason)
        await caller.reject(reject)

    async def _forward(self, caller: Caller, asked: AssociateRequest, rules: PeerRules, receive: str) -> None:
        offered = offer(asked, roles_for(self._ruling, rules), called=rules.ae, calling=asked.calling)
        if offered is None:
            await self._reject(caller, asked, NO_REASON_GIVEN, "nothing of what the archive proposes is delivered")
            return
        host, port = parse_host_port(receive, "receive")  # as the policy has read it before
        try:
            other = await ask(Endpoint(host, port, self._tls), offered, self._timeouts)
        except WireError as error:
            await self._reject(caller, asked, TEMPORARY_CONGESTION, f"{rules.name} did not take it: {error}")
            return
        identity = self._receiver(other, rules)
        if isinstance(identity, Refused):
            other.connection.abort()
            self._tell(host, rules.ae, f"who answers for {rules.name} is not it: {identity.reason}")
            await caller.reject(TEMPORARY_CONGESTION)
            return
        self._ruling.registry.seen(identity, host)
        peer = Participant(rules.name, ae=rules.ae, address=host)
        archive = Participant(self._settings.archive.ae, ae=asked.calling, address=caller.address)
        record = Record(self._on_event, peer, archive)
        end = End(None, "the guard stopped")
        try:
            end = await join(
                caller,
                offered,
                other,
                lambda contexts: DeliveryJudge(self._ruling, identity, contexts, record),
                self._bounds,
                self._pool,
            )
        finally:
            record.close(end.reason)
            if isinstance(end.error, Ended):
                self._tell(host, identity.ae, end.error.reason)
            elif isinstance(end.error, ProtocolError):
                failed(self._on_event, record, str(end.reason))
            elif isinstance(end.error, AuditFailed):
                _log.error("a delivery was ended: %s", end.error)
            elif end.error is not None:
                _log.error("a delivery ended by %s", type(end.error).__name__, exc_info=end.error)

    def _receiver(self, other: Asked, rules: PeerRules) -> PeerIdentity | Refused:
        identity = self._ruling.registry.identify(other.certificate, rules.ae)
        if isinstance(identity, PeerIdentity) and identity.name != rules.name:
            return Refused("the certificate is another peer's")
        return identity
