"""One association on the accepting side, from its first octet to its last, in one task."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from leadapron.kernel.errors import ConnectionLost, Failure, LeadApronError, TimedOut, WireError
from leadapron.wire.aio.dialogue import Dialogue, where
from leadapron.wire.aio.service import Call, Service
from leadapron.wire.aio.session import Session
from leadapron.wire.aio.tls import tls_info
from leadapron.wire.aio.transport import Connection
from leadapron.wire.aio.upper import LINGER_S, Upper
from leadapron.wire.association.machine import Requested, Role
from leadapron.wire.association.negotiate import agreed
from leadapron.wire.pdu import AssociateReject

_log: Final = logging.getLogger(__name__)


async def attend(connection: Connection, service: Service, address: str, port: int) -> None:
    """Serves one connection to its end. Raises nothing but CancelledError, and then the peer has been told."""
    upper = Upper(connection, Role.ACCEPTOR)
    upper.do(upper.machine.transport_accepted())
    call: Call | None = None
    error: LeadApronError | None = None
    try:
        call = await _call(upper, address, port)
        session = await _accept(upper, service, call)
        if session is None:
            call = None
        else:
            await Dialogue(session, service, call).run()
    except WireError as wire_error:
        error = wire_error
        _log.debug("an association ended: %s", wire_error)
    except asyncio.CancelledError:
        error = ConnectionLost("the server shut down")
        raise
    except Exception as bug:
        error = Failure(f"{type(bug).__name__} at {where(bug)}")
        _log.error("an association ended by %s", error)
    finally:
        await upper.abort()
        if call is not None:
            await _tell(service, call, error)


async def _tell(service: Service, call: Call, error: LeadApronError | None) -> None:
    try:
        await service.ended(call, error)
    except Exception as bug:
        _log.error("the service failed at the end of an association: %s at %s", type(bug).__name__, where(bug))


async def _call(upper: Upper, address: str, port: int) -> Call:
    told = await upper.next("A-ASSOCIATE-RQ", upper.timeouts.associate)
    assert isinstance(told, Requested)  # nothing else passes in Sta2
    return Call(told.request, address, port, tls_info(upper.connection.info("ssl_object")))


async def _accept(upper: Upper, service: Service, call: Call) -> Session | None:
    """The association, if the service wants it."""
    seconds = upper.timeouts.associate
    try:
        async with asyncio.timeout(seconds):
            answer = await service.on_associate(call)
    except TimeoutError:
        raise TimedOut("the service to decide on the association", seconds) from None
    if isinstance(answer, AssociateReject):
        upper.do(upper.machine.reject(answer))
        await upper.connection.closed(min(LINGER_S, upper.timeouts.release))
        return None
    upper.do(upper.machine.accept(answer))
    return Session(upper, agreed(call.request, answer), call.request.user.maximum_length or 0)
