"""The first visit: associate, read the capabilities off the accept, C-ECHO, release. Without I/O.

A conversation of the swarm; over TLS the same one runs on an asyncio transport (``tls.py``). The whole answer to each
step must be there within the time-out, however slowly it drips. It ends with A-RELEASE, or with A-ABORT where the other
side doesn't answer: a device is never left with a half-open association.
"""

from __future__ import annotations

import enum
import errno
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Final, Protocol

from leadapron.kernel.errors import ProtocolError
from leadapron.watch.measure.dicom.proposal import VERIFICATION_CONTEXT, read_accept, request
from leadapron.watch.measure.model import (
    Aborted,
    Accepted,
    Depth,
    Echo,
    Failed,
    HungUp,
    Malformed,
    NotDicom,
    Outcome,
    Refused,
    Rejected,
    Silent,
)
from leadapron.watch.measure.other import identify
from leadapron.wire import uids
from leadapron.wire.aio.swarm import Conversation, End
from leadapron.wire.dimse.command import CEchoRequest, CEchoResponse, decode_command, encode_command
from leadapron.wire.pdu import Abort, AssociateReject, PData, PresentationDataValue, ReleaseRequest, decode, encode
from leadapron.wire.pdu.limits import DEFAULT_LIMITS
from leadapron.wire.pdu.types import PduType

RELEASE_WAIT_S: Final = 2.0
MAX_ANSWER: Final = DEFAULT_LIMITS.associate + 6  # octets; nothing longer answers what we ask here


class Line(Protocol):
    """What the conversation needs of its link: the swarm's, or TLS's."""

    def send(self, data: bytes) -> None: ...
    def deadline(self, seconds: float | None) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...


class Touched:
    """How the visit went. ``echo`` is None where none was sent."""

    __slots__ = ("connected", "echo", "outcome", "requests")

    def __init__(self, outcome: Outcome, echo: Echo | None, requests: int, connected: bool) -> None:
        self.outcome, self.echo, self.requests, self.connected = outcome, echo, requests, connected


class _Step(enum.Enum):
    CONNECTING = 0
    ASSOCIATING = 1
    ECHOING = 2
    RELEASING = 3
    OVER = 4


_ECHO: Final = encode(
    PData((PresentationDataValue(VERIFICATION_CONTEXT, True, True, encode_command(CEchoRequest(message_id=1))),))
)
_RELEASE: Final = encode(ReleaseRequest())
_ABORT: Final = encode(Abort(0, 0))


@lru_cache(maxsize=256)
def _echo_status(body: bytes) -> int:
    """The status in the body of a P-DATA-TF that answers our C-ECHO; raises ProtocolError."""
    pdu = decode(PduType.P_DATA_TF, body)
    assert isinstance(pdu, PData)
    if len(pdu.values) != 1 or not pdu.values[0].command or not pdu.values[0].last:
        raise ProtocolError("a C-ECHO-RSP is one command fragment")
    response = decode_command(bytes(pdu.values[0].data))
    if not isinstance(response, CEchoResponse):
        raise ProtocolError("another message where a C-ECHO-RSP was expected")
    return response.status


class Touch(Conversation):
    """One visit. ``done`` is called once, with the result."""

    __slots__ = (
        "_buffer",
        "_done",
        "_echo",
        "_link",
        "_outcome",
        "_request",
        "_requests",
        "_since",
        "_step",
        "depth",
        "timeout",
    )

    def __init__(
        self, done: Callable[[Touched], None], *, called: str, calling: str, depth: Depth, timeout: float
    ) -> None:
        self._done = done
        self._request = request(called, calling)
        self._step = _Step.CONNECTING
        self._buffer = b""
        self._outcome: Outcome | None = None
        self._echo: Echo | None = None
        self._requests = 0
        self._since = 0.0
        self._link: Line | None = None
        self.depth = depth
        self.timeout = timeout

    @property
    def answered(self) -> bool:
        """Whether anything has come yet."""
        return self._step is not _Step.ASSOCIATING or bool(self._buffer)

    # ---- the link tells ----------------------------------------------------------------------------------------------

    def opened(self, link: Line) -> None:
        self._link = link
        self._step = _Step.ASSOCIATING
        self._since = time.monotonic()
        link.deadline(self.timeout)
        link.send(self._request)

    def received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        while self._step is not _Step.OVER:
            if self._step is _Step.ASSOCIATING and not _may_be_dicom(buffer):
                return self._end(NotDicom(identify(buffer[:4096])))
            if len(buffer) < 6:
                break
            length = int.from_bytes(buffer[2:6], "big")
            if length + 6 > MAX_ANSWER:
                return self._broken(f"a PDU of type {buffer[0]:02X}H announces {length} octets")
            if len(buffer) < length + 6:
                break
            kind, body, buffer = buffer[0], buffer[6 : length + 6], buffer[length + 6 :]
            try:
                self._pdu(kind, body)
            except ProtocolError as error:
                return self._broken(str(error))
            if not buffer:
                break
        self._buffer = buffer

    def timed_out(self) -> None:
        if self._step is _Step.ASSOCIATING:
            self._outcome = Silent(round(time.monotonic() - self._since, 1), len(self._buffer))
        elif self._step is _Step.ECHOING:
            self._echo = Echo(None, "no answer to C-ECHO in time")
        self._abort()

    def ended(self, end: End) -> None:
        if self._step is _Step.ASSOCIATING:
            if self._buffer and self._buffer[0] not in (2, 3, 7):
                self._end(NotDicom(identify(self._buffer)))
            else:
                self._end(HungUp(end is End.RESET, len(self._buffer)))
        elif self._step is _Step.ECHOING:
            self._echo = Echo(None, "the connection was lost after C-ECHO")
            self._end(None)
        elif self._step is _Step.RELEASING:
            self._end(None)

    def refused(self, error: int) -> None:
        self._end(Refused(errno.errorcode.get(error, str(error))))

    def failed(self, error: Exception) -> None:
        self._end(Failed(f"a bug of ours: {type(error).__name__}"))

    # ---- what comes of it --------------------------------------------------------------------------------------------

    def _pdu(self, kind: int, body: bytes) -> None:
        if kind == PduType.ABORT:
            abort = decode(kind, body)
            assert isinstance(abort, Abort)
            if self._step is _Step.ASSOCIATING:
                self._outcome = Aborted(abort.source, abort.reason)
            elif self._step is _Step.ECHOING:
                self._echo = Echo(None, "the association was aborted after C-ECHO")
            return self._end(None)
        if self._step is _Step.ASSOCIATING:
            if kind == PduType.ASSOCIATE_AC:
                return self._accepted(read_accept(body))
            if kind == PduType.ASSOCIATE_RJ:
                rejected = decode(kind, body)
                assert isinstance(rejected, AssociateReject)
                return self._end(Rejected(rejected.result, rejected.source, rejected.reason))
        elif self._step is _Step.ECHOING and kind == PduType.P_DATA_TF:
            self._echo = Echo(_echo_status(body))
            return self._release()
        elif self._step is _Step.RELEASING:
            # PS3.8 Table 9-10, Sta7: data may still come; a release collision ends it just as well.
            if kind != PduType.P_DATA_TF:
                self._end(None)
            return None
        raise ProtocolError(f"a PDU of type {kind:02X}H came where another was due")

    def _accepted(self, accepted: Accepted) -> None:
        self._outcome = accepted
        if self.depth != "touch" and uids.VERIFICATION in accepted.contexts:
            self._step = _Step.ECHOING
            self._requests = 1
            self._say(_ECHO, self.timeout)
        else:
            self._release()

    def _release(self) -> None:
        self._step = _Step.RELEASING
        self._say(_RELEASE, min(self.timeout, RELEASE_WAIT_S))

    def _say(self, data: bytes, wait: float) -> None:
        assert self._link is not None
        self._link.deadline(wait)
        self._link.send(data)

    def _broken(self, detail: str) -> None:
        if self._step is _Step.ASSOCIATING:
            self._outcome = Malformed(detail)
        elif self._step is _Step.ECHOING:
            self._echo = Echo(None, f"a malformed answer to C-ECHO: {detail}")
        self._abort()

    def _abort(self) -> None:
        if self._link is not None:
            self._link.send(_ABORT)
        self._end(None)

    def _end(self, outcome: Outcome | None) -> None:
        if self._step is _Step.OVER:
            return
        connected = self._step is not _Step.CONNECTING
        self._step = _Step.OVER
        self._buffer = b""
        if self._link is not None:
            self._link.close()
            self._link = None
        outcome = outcome or self._outcome or Failed("the visit ended without an outcome")
        self._done(Touched(outcome, self._echo, self._requests, connected))


def _may_be_dicom(start: bytes) -> bool:
    """Whether these first octets can begin an answer to A-ASSOCIATE-RQ: AC, RJ or A-ABORT, PS3.8 §9.3.

    The octet after the type is reserved and sent as 0; RJ and A-ABORT are 4 octets long. Random bytes pass once in 10⁷.
    """
    kind = start[0]
    if kind not in (2, 3, 7) or (len(start) > 1 and start[1] != 0):
        return False
    if len(start) < 6:
        return True
    length = int.from_bytes(start[2:6], "big")
    return length == 4 if kind != 2 else True
