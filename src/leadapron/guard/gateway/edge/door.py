"""Who may come in: connections from the device's address, associations by its AE title. Nobody else gets further.

Another address is cut off before anything is read from it. Another title gets the bare A-ASSOCIATE-RJ. Both are
recorded (see ``record``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final

from leadapron.guard.gateway.edge.conversation import Conversation, Shared
from leadapron.guard.gateway.edge.settings import EdgeSettings
from leadapron.kernel.errors import WireError
from leadapron.wire.aio.dialogue import where
from leadapron.wire.aio.server import Server, ServerLimits, listen
from leadapron.wire.aio.timeouts import Timeouts
from leadapron.wire.aio.transport import Connection
from leadapron.wire.aio.upper import LINGER_S, Upper
from leadapron.wire.association.machine import Requested, Role
from leadapron.wire.association.negotiate import recognised
from leadapron.wire.pdu import Limits

LOCAL: Final = Timeouts(associate=10, idle=600, write=60, release=5)
"""Devices keep associations open between images; ``idle`` bounds that, and each PDU of a data set."""
AT_ONCE: Final = ServerLimits(connections=32, per_address=16)

Stranger = Callable[[str, str, str | None], None]
"""Told of each who was turned away: address, why, and the calling AE title as claimed."""


class Door:
    """``attend`` serves one connection; ``open`` listens."""

    def __init__(
        self, settings: EdgeSettings, shared: Shared, stranger: Stranger, *, timeouts: Timeouts = LOCAL
    ) -> None:
        self._settings, self._shared, self._stranger, self._timeouts = settings, shared, stranger, timeouts
        self._check = recognised(called={settings.called}, calling={settings.calling})

    def open(self) -> Server:
        """Use it as ``async with door.open() as server``."""
        return listen(
            self._settings.listen_host,
            self._settings.listen_port,
            self.attend,
            refused=lambda address, error: self._stranger(address, str(error), None),
            timeouts=self._timeouts,
            limits=AT_ONCE,
            # A device proposes a few dozen contexts and sends what was announced to it; the bounds of `Limits` do.
            pdu_limits=Limits(),
        )

    async def attend(self, connection: Connection, address: str, port: int) -> None:
        """One connection to its end."""
        if _plain(address) not in self._settings.sources:
            connection.abort()
            self._stranger(address, "this address may not connect", None)
            await connection.closed(LINGER_S)
            return
        upper = Upper(connection, Role.ACCEPTOR)
        upper.do(upper.machine.transport_accepted())
        conversation: Conversation | None = None
        try:
            told = await upper.next("A-ASSOCIATE-RQ", upper.timeouts.associate)
            assert isinstance(told, Requested)  # nothing else passes in Sta2
            request = told.request
            reject = self._check(request)
            if reject is not None:
                self._stranger(address, "another AE title was called, or is calling", request.calling)
                upper.do(upper.machine.reject(reject))
                return
            conversation = Conversation(upper, request, self._shared)
            await conversation.run()
        except WireError as error:
            self._shared.told(f"an association of {address} ended: {error}")
        except asyncio.CancelledError:
            raise
        except Exception as bug:  # its text may quote a patient's datum; where it was raised cannot
            self._shared.told(f"an association ended by {type(bug).__name__} at {where(bug)}")
        finally:
            await upper.abort()
            if conversation is not None and conversation.stored:
                self._shared.told(
                    f"{address} stored {conversation.stored} data set{'' if conversation.stored == 1 else 's'}"
                )


def _plain(address: str) -> str:
    try:
        return str(ip_address(address.partition("%")[0]))
    except ValueError:
        return address
