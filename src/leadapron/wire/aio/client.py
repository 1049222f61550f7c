"""Asking for an association.

    async with associate("127.0.0.1", 11112, called="PACS", calling="ME", contexts=[…]) as association:
        status = await association.echo()

Leaving the block releases the association; leaving it by an exception, a cancellation included, aborts it.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence

from leadapron.kernel.errors import AssociationRejected
from leadapron.wire.aio.connect import connect
from leadapron.wire.aio.requestor import RequestorAssociation
from leadapron.wire.aio.timeouts import DEFAULT_TIMEOUTS, Timeouts
from leadapron.wire.aio.upper import Upper
from leadapron.wire.association.machine import Accepted, Rejected, Role
from leadapron.wire.association.negotiate import MAXIMUM_LENGTH, ContextRequest, build_request
from leadapron.wire.association.reasons import explain_reject
from leadapron.wire.pdu import (
    DEFAULT_LIMITS,
    AssociateAccept,
    AssociateRequest,
    ExtendedNegotiation,
    Limits,
    UserIdentity,
    encode,
)


@contextlib.asynccontextmanager
async def associate(
    host: str,
    port: int,
    *,
    called: str,
    calling: str,
    contexts: Sequence[ContextRequest],
    tls: ssl.SSLContext | None = None,
    server_name: str | None = None,
    timeouts: Timeouts = DEFAULT_TIMEOUTS,
    user_identity: UserIdentity | None = None,
    extended: tuple[ExtendedNegotiation, ...] = (),
    max_length: int = MAXIMUM_LENGTH,
    limits: Limits = DEFAULT_LIMITS,
) -> AsyncIterator[RequestorAssociation]:
    """An association with the AE ``called`` at ``host`` and ``port``, for as long as the block lasts.

    ``contexts`` are proposed in their order. ``tls`` makes the connection a secure one (see ``tls.client_context``);
    ``server_name`` is whom the certificate must name, ``host`` if None. ``max_length``: octets of a P-DATA-TF that we
    take, announced to the peer, at most ``limits.p_data``; 0 announces no limit and keeps that one.

    Raises AssociationRejected, AssociationAborted, ConnectionLost, TlsFailed, TimedOut, ProtocolError; ValueError for
    titles, UIDs and lengths that cannot be.
    """
    if max_length > limits.p_data:
        raise ValueError(f"max_length is {max_length}, and limits.p_data lets only {limits.p_data} octets in")
    request = build_request(
        contexts,
        called=called,
        calling=calling,
        maximum_length=max_length,
        user_identity=user_identity,
        extended=extended,
    )
    encode(request)  # a title that cannot be sent is our own mistake, and nobody is called for it
    upper, accept = await call(host, port, request, tls=tls, server_name=server_name, timeouts=timeouts, limits=limits)
    association = RequestorAssociation(upper, request, accept)
    try:
        yield association
    except BaseException:
        await association.abort()
        raise
    await association.close()


async def call(
    host: str,
    port: int,
    request: AssociateRequest,
    *,
    tls: ssl.SSLContext | None = None,
    server_name: str | None = None,
    timeouts: Timeouts = DEFAULT_TIMEOUTS,
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[Upper, AssociateAccept]:
    """The association that ``request`` asks for, and the answer to it: for who speaks on it himself. Abort or release
    what is given. Raises what `associate` raises; then nothing is left open."""
    connection = await connect(host, port, tls=tls, server_name=server_name, timeouts=timeouts, limits=limits)
    upper = Upper(connection, Role.REQUESTOR)
    try:
        upper.do(upper.machine.request(request))
        upper.do(upper.machine.transport_opened())
        told = await upper.next("A-ASSOCIATE-AC", timeouts.associate)
        if isinstance(told, Rejected):
            reject = told.reject
            raise AssociationRejected(reject.result, reject.source, reject.reason, explain_reject(reject))
        assert isinstance(told, Accepted)  # nothing else passes in Sta5
        return upper, told.accept
    except BaseException:
        await upper.abort()
        raise
