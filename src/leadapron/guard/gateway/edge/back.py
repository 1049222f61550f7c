"""The way back: what the archive has for the device comes from the guard over mutual TLS, and goes on to the device.

An archive tells the result of a storage commitment when it has it, most of them on an association of their own (PS3.4
§J.3.3), and brings images that are moved to the device in the same way. The guard's back door carries both to where the
device is said to take them (``receive`` in its rules): here. That is a door more, open only where it is asked for, and
to one visitor: the guard, with the certificate that says so. The certificates of other machines come from the same
authority and are worth nothing here. What comes goes to one address and port, the device's, and to no other.

Nothing is queued on this way: the archive hears of success when the device has said so, and "for now" else. The relay
is the guard's own: what passes is judged command by command, and never held.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from typing import Final

from leadapron.guard.gateway.dimse.conversation import Operation
from leadapron.guard.gateway.dimse.flow import Course
from leadapron.guard.gateway.dimse.leg import Pool
from leadapron.guard.gateway.dimse.negotiation import offer, unacceptable
from leadapron.guard.gateway.dimse.opening import Caller, Endpoint, ask, join
from leadapron.guard.gateway.dimse.relay import Bounds
from leadapron.guard.gateway.edge.contexts import Use, use_of
from leadapron.guard.gateway.edge.settings import EdgeSettings
from leadapron.guard.identity.contexts import is_guard, refusal
from leadapron.kernel.errors import LimitExceeded, WireError
from leadapron.kernel.hostport import HostPort
from leadapron.wire import uids
from leadapron.wire.aio.dialogue import where
from leadapron.wire.aio.server import Server, ServerLimits, listen
from leadapron.wire.aio.timeouts import Timeouts
from leadapron.wire.aio.transport import Connection
from leadapron.wire.association.negotiate import AgreedContext, recognised
from leadapron.wire.association.reasons import NO_REASON_GIVEN, TEMPORARY_CONGESTION
from leadapron.wire.dimse.command import CEchoRequest, CStoreRequest, NEventReportRequest, Request, Response
from leadapron.wire.dimse.status import NOT_AUTHORIZED, StatusClass, classify
from leadapron.wire.pdu import AssociateRequest, Limits

WAITS: Final = Timeouts(connect=5, tls=10, associate=10, response=120, idle=300, write=60, release=1)
"""The guard waits at the other end, and the archive behind it."""
AT_ONCE: Final = ServerLimits(connections=16, per_address=8)

Stranger = Callable[[str, str, str | None], None]


class Back:
    """``open`` listens; ``tls`` shows the device's certificate and asks for one."""

    def __init__(
        self,
        settings: EdgeSettings,
        receive: HostPort,
        device: HostPort,
        tls: ssl.SSLContext,
        told: Callable[[str], None],
        stranger: Stranger,
    ) -> None:
        self._receive, self._device, self._tls = receive, device, tls
        self._told, self._stranger = told, stranger
        # From here the device is the one that is called.
        self._check = recognised(called={settings.calling}, calling={settings.called})
        self._pool = Pool()

    def open(self) -> Server:
        """Use it as ``async with back.open() as server``."""
        return listen(
            self._receive.host,
            self._receive.port,
            self.attend,
            refused=self._refused,
            tls=self._tls,
            timeouts=WAITS,
            limits=AT_ONCE,
            pdu_limits=Limits(),
            grace=0,
        )

    def _refused(self, address: str, error: Exception) -> None:
        self._turned_away(address, str(error) if isinstance(error, LimitExceeded) else refusal(error), None)

    def _turned_away(self, address: str, why: str, ae: str | None) -> None:
        self._stranger(address, f"on the way back: {why}", ae)

    async def attend(self, connection: Connection, address: str, port: int) -> None:
        """One connection to its end."""
        caller = Caller(connection, address)
        try:
            if not is_guard(caller.certificate):
                self._turned_away(address, "a certificate that is not the guard's", None)
                return
            asked = await caller.request()
            reject = self._check(asked) or unacceptable(asked)
            if reject is not None:
                self._turned_away(address, "another AE title was called, or is calling", asked.calling)
                await caller.reject(reject)
                return
            await self._bring(caller, asked)
        except WireError as error:
            self._told(f"a delivery of the guard ended: {error}")
        except asyncio.CancelledError:
            raise
        except Exception as bug:  # its text may quote a patient's datum; where it was raised cannot
            self._told(f"a delivery of the guard ended by {type(bug).__name__} at {where(bug)}")
        finally:
            await caller.upper.abort()

    async def _bring(self, caller: Caller, asked: AssociateRequest) -> None:
        offered = offer(asked, _roles, called=asked.called, calling=asked.calling)
        if offered is None:
            self._told("the guard wanted to deliver what no device takes")
            await caller.reject(NO_REASON_GIVEN)
            return
        try:
            device = await ask(Endpoint(self._device.host, self._device.port), offered, WAITS)
        except WireError as error:
            self._told(f"the device does not take deliveries at {self._device}: {error}")
            await caller.reject(TEMPORARY_CONGESTION)
            return
        judges: list[_Judge] = []

        def judge(contexts: Mapping[int, AgreedContext]) -> _Judge:
            judges.append(_Judge(contexts))
            return judges[0]

        end = await join(caller, offered, device, judge, Bounds(), self._pool)
        if end.reason is not None:
            self._told(f"a delivery of the guard ended: {end.reason}")
        for one in judges:
            if one.taken:
                taken = (f"{number} {what}{'s' if number > 1 else ''}" for what, number in one.taken.items())
                self._told(f"the device took {', '.join(taken)}")


class _Judge:
    """See `gateway.dimse.conversation.Judge`. ``taken``: what the device has said yes to."""

    def __init__(self, contexts: Mapping[int, AgreedContext]) -> None:
        self._contexts = contexts
        self.taken: dict[str, int] = {}

    def pdu(self) -> None:
        pass

    def request(self, operation: Operation) -> Course | int:
        name = self._contexts[operation.context].abstract_syntax
        return Course.PASS if _brought(operation.request, name) else NOT_AUTHORIZED

    def held(self, operation: Operation, data: bytes, whole: bool) -> Course | int:
        raise AssertionError("nothing is held")

    def answer(self, operation: Operation, response: Response) -> int | None:
        return None

    def ended(self, operation: Operation, status: int) -> None:
        what = _KINDS.get(type(operation.request))
        if what is not None and classify(status) in (StatusClass.SUCCESS, StatusClass.WARNING):
            self.taken[what] = self.taken.get(what, 0) + 1

    def report(self, operation: Operation) -> Course | int:
        return NOT_AUTHORIZED  # on this way the device only answers

    def noted(self, operation: Operation, data: bytes) -> None:
        pass


_KINDS: Final[dict[type[Request], str]] = {
    CStoreRequest: "data set",
    NEventReportRequest: "storage commitment report",
}


def _brought(request: Request, abstract_syntax: str) -> bool:
    if isinstance(request, CStoreRequest):
        return use_of(abstract_syntax) is Use.STORE
    if isinstance(request, NEventReportRequest):
        return abstract_syntax == uids.STORAGE_COMMITMENT_PUSH
    return isinstance(request, CEchoRequest) and abstract_syntax == uids.VERIFICATION


def _roles(sop_class: str) -> tuple[bool, bool]:
    """Which roles the archive may have towards the device: it stores, and reports in the role of an SCP."""
    if sop_class == uids.STORAGE_COMMITMENT_PUSH:
        return True, True
    return sop_class == uids.VERIFICATION or use_of(sop_class) is Use.STORE, False
