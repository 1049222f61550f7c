"""Associations at their beginning: what came, what is asked on the other side, and the relay between the two.

Every wait has its bound, and every way that does not lead to a relay ends in an A-ASSOCIATE-RJ or A-ABORT.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from leadapron.guard.gateway.dimse.conversation import Conversation, Judge
from leadapron.guard.gateway.dimse.flow import Flow
from leadapron.guard.gateway.dimse.leg import Pool
from leadapron.guard.gateway.dimse.negotiation import DEFAULT_LENGTH, Offer, answer
from leadapron.guard.gateway.dimse.relay import LINGER_S, Bounds, End, Relay
from leadapron.guard.settings import Limits
from leadapron.wire.aio.client import call
from leadapron.wire.aio.timeouts import Timeouts
from leadapron.wire.aio.tls import tls_info
from leadapron.wire.aio.transport import Connection
from leadapron.wire.aio.upper import Upper
from leadapron.wire.association.machine import Requested, Role
from leadapron.wire.association.negotiate import AgreedContext, agreed
from leadapron.wire.pdu import AssociateAccept, AssociateReject, AssociateRequest
from leadapron.wire.pdu.limits import MAX_P_DATA

MAX_IN: Final = MAX_P_DATA
"""Octets of a P-DATA-TF that are let through, whatever was announced; the other end judges what is less."""


class Endpoint(Struct, frozen=True):
    """Where an association is asked for. ``server_name``: whom its certificate must name, None: ``host``."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    server_name: str | None = None


def timeouts_of(limits: Limits) -> Timeouts:
    return Timeouts(
        connect=limits.associate_s,
        tls=limits.handshake_s,
        associate=limits.associate_s,
        response=limits.response_s,
        idle=limits.idle_s,
        write=min(limits.response_s, Bounds().pdu),
        release=LINGER_S,
    )


def bounds_of(limits: Limits) -> Bounds:
    usual = Bounds()
    return Bounds(
        limits.idle_s, limits.response_s, min(usual.pdu, limits.response_s), min(usual.drain, limits.response_s)
    )


class Caller:
    """Who has connected. ``certificate``: DER, None over plain TCP; TLS has verified its chain."""

    def __init__(self, connection: Connection, address: str) -> None:
        self.connection, self.address = connection, address
        self.upper = Upper(connection, Role.ACCEPTOR)
        self.upper.do(self.upper.machine.transport_accepted())
        info = tls_info(connection.info("ssl_object"))
        self.certificate = None if info is None else info.certificate

    async def request(self) -> AssociateRequest:
        """Raises what `Upper.next` raises."""
        told = await self.upper.next("A-ASSOCIATE-RQ", self.upper.timeouts.associate)
        assert isinstance(told, Requested)  # nothing else passes in Sta2
        return told.request

    async def reject(self, reject: AssociateReject) -> None:
        self.upper.do(self.upper.machine.reject(reject))
        await self.connection.closed(min(LINGER_S, self.upper.timeouts.release))

    def accept(self, accept: AssociateAccept) -> None:
        self.upper.do(self.upper.machine.accept(accept))


class Asked(Struct, frozen=True):
    """An association that stands on the other side."""

    connection: Connection
    accept: AssociateAccept
    certificate: bytes | None


async def ask(endpoint: Endpoint, offered: Offer, timeouts: Timeouts) -> Asked:
    """Raises ConnectionLost, TlsFailed, TimedOut, AssociationRejected, AssociationAborted, ProtocolError."""
    upper, accept = await call(
        endpoint.host,
        endpoint.port,
        offered.request,
        tls=endpoint.tls,
        server_name=endpoint.server_name,
        timeouts=timeouts,
    )
    info = tls_info(upper.connection.info("ssl_object"))
    return Asked(upper.connection, accept, None if info is None else info.certificate)


async def join(
    caller: Caller,
    offered: Offer,
    asked: Asked,
    judge: Callable[[dict[int, AgreedContext]], Judge],
    bounds: Bounds,
    pool: Pool,
) -> End:
    """Accepts the caller's association and relays until the end."""
    try:
        answered = answer(offered, asked.accept)
        contexts = {context.id: context for context in agreed(offered.request, asked.accept)}
        conversation = Conversation(judge(contexts))
        caller.accept(answered)
        relay = Relay(conversation, caller.connection, asked.connection, bounds, pool)
        conversation.attach(
            Flow(conversation, contexts, MAX_IN, _room(asked.accept.user.maximum_length), relay.acceptor.write),
            Flow(conversation, contexts, MAX_IN, _room(offered.asked.user.maximum_length), relay.requestor.write),
        )
    except BaseException:
        asked.connection.abort()
        raise
    return await relay.run()


def _room(announced: int | None) -> int:
    return DEFAULT_LENGTH if announced is None else announced
