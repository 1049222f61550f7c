"""What two associations say to each other through the guard, without I/O.

The *requestor* asked for the association (a peer, or the archive when it delivers), the *acceptor* took it. Requests
of the requestor go *inward*, answers come *outward*; the other way round go the few requests that an acceptor may make:
the objects of a C-GET, and storage commitment's report. Each request is put to a judge before anything of it goes on,
each answer must belong to a request that went on, and what does not belong ends both associations.

A request that is refused is answered here: its data set is swallowed and, when it is over (old devices do not listen
before), its status sent. An operation is cut short, when the judge has had enough of its answers, in three steps:
C-CANCEL to the one that answers, a final status of our own to the one that asked, and then what still comes is
swallowed. Until the answerer has ended it nothing further is passed to it, so no answer is taken for another's.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final, Protocol

from msgspec import Struct

from leadapron.guard.gateway.dimse.flow import Course, Flow
from leadapron.guard.gateway.dimse.messages import answers, cancel, refusal
from leadapron.kernel.errors import LimitExceeded, ProtocolError
from leadapron.wire.dimse.command import (
    CCancelRequest,
    CFindRequest,
    CGetRequest,
    CMoveRequest,
    Command,
    CStoreRequest,
    NCreateRequest,
    Request,
    Response,
)
from leadapron.wire.dimse.status import OUT_OF_RESOURCES, is_pending
from leadapron.wire.pdu import PduType

MAX_OUTSTANDING: Final = 16
"""Requests without an answer yet. The window is not negotiated, so it is 1 (PS3.7 §D.3.3.3); some peers send ahead."""

_CANCELLABLE = (CFindRequest, CGetRequest, CMoveRequest)
_NOTED = (CStoreRequest, NCreateRequest)
"""Of these the judge sees the first octets of the data set."""


class Operation:
    """One request and what became of it. ``note`` is the judge's own; ``cause``: the C-GET for which it is made."""

    __slots__ = ("answers", "cause", "context", "cut", "note", "request", "since")

    def __init__(self, context: int, request: Request, since: float) -> None:
        self.context, self.request, self.since = context, request, since
        self.answers = 0
        """Pending responses that came."""
        self.cut = False
        """We have answered it ourselves; what still comes is swallowed."""
        self.note: object = None
        self.cause: Operation | None = None


class Judge(Protocol):
    """Decides. A number is a status: the request is refused with it, the operation is cut short with it."""

    def pdu(self) -> None:
        """A P-DATA-TF begins, from either side. Raises `Ended` where the association may not go on."""

    def request(self, operation: Operation) -> Course | int:
        """The requestor asks: PASS, HOLD, HEAD or a status."""
        ...

    def held(self, operation: Operation, data: bytes, whole: bool) -> Course | int:
        """What was collected for it: PASS or a status, or HEAD for more."""
        ...

    def answer(self, operation: Operation, response: Response) -> int | None:
        """A pending response came. A status cuts the operation short, before this one goes on."""
        ...

    def ended(self, operation: Operation, status: int) -> None:
        """It has its final status; also where it was refused or cut short."""

    def report(self, operation: Operation) -> Course | int:
        """The acceptor asks. A status refuses it, and cuts its cause short."""
        ...

    def noted(self, operation: Operation, data: bytes) -> None:
        """The first octets of a data set that passes."""


class Outcome(enum.Enum):
    """How an association ended."""

    RELEASED = "released"
    ABORTED_BY_REQUESTOR = "aborted by the requestor"
    ABORTED_BY_ACCEPTOR = "aborted by the acceptor"


class Ended(Exception):
    """The judge ends the association: both sides get an A-ABORT. ``reason`` is for the audit trail."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Situation(Struct, frozen=True):
    """For time-outs: what is being waited for. ``draining`` since when, None if nothing is swallowed."""

    awaiting_answer: bool
    draining: float | None


class Conversation:
    """Both directions. ``attach`` the flows, feed them, and look at ``outcome`` after each feed."""

    def __init__(self, judge: Judge, now: float = 0.0) -> None:
        self.judge = judge
        self.pdu: Callable[[], None] = judge.pdu  # asked so often that a call between would be felt
        self.now = now
        """The loop's clock; whoever feeds keeps it right."""
        self.outcome: Outcome | None = None
        self.inward: Flow
        self.outward: Flow
        self._open: dict[int, Operation] = {}
        self._reports: dict[int, Operation] = {}
        self._held: dict[Flow, Operation] = {}  # whose data set is being collected, noted or swallowed
        self._due: dict[Flow, tuple[int, bytes]] = {}  # our answer, when the data set that is swallowed is over
        self._cut: Operation | None = None

    def attach(self, inward: Flow, outward: Flow) -> None:
        self.inward, self.outward = inward, outward

    @property
    def situation(self) -> Situation:
        return Situation(bool(self._open or self._reports), None if self._cut is None else self._cut.since)

    @property
    def open(self) -> tuple[Operation, ...]:
        """What is under way, and has not been cut."""
        return tuple(operation for operation in self._open.values() if not operation.cut)

    # ---- what flows tell --------------------------------------------------------------------------------------------

    def command(self, flow: Flow, context: int, command: Command) -> Course:
        if flow is self.inward:
            return self._of_requestor(context, command)
        return self._of_acceptor(context, command)

    def held(self, flow: Flow, context: int, command: Command, data: bytes, whole: bool) -> Course:
        operation = self._held[flow]
        verdict = self.judge.held(operation, data, whole)
        if isinstance(verdict, int) and operation.cause is not None:
            self.cut(operation.cause, verdict)
        return self._settle(flow, operation, verdict)

    def noted(self, flow: Flow, context: int, command: Command, data: bytes) -> None:
        operation = self._held.get(flow)
        if operation is not None:
            self.judge.noted(operation, data)

    def dropped(self, flow: Flow) -> None:
        due = self._due.pop(flow, None)
        if due is not None:
            self._back(flow).inject(*due)

    def short(self, flow: Flow, kind: int, body: bytes) -> Course:
        from_requestor = flow is self.inward
        if kind == PduType.ABORT:
            self.outcome = Outcome.ABORTED_BY_REQUESTOR if from_requestor else Outcome.ABORTED_BY_ACCEPTOR
        elif kind == PduType.RELEASE_RQ:
            if flow.released:
                raise ProtocolError("a second A-RELEASE-RQ came", 0)
            flow.released = True
        elif not self._back(flow).released:
            raise ProtocolError("A-RELEASE-RP came where nothing was to be released", 0)
        else:
            self.outcome = Outcome.RELEASED
        return Course.PASS

    # ---- the requestor ----------------------------------------------------------------------------------------------

    def _of_requestor(self, context: int, command: Command) -> Course:
        if isinstance(command, CCancelRequest):
            operation = self._open.get(command.responds_to)
            # One that crosses the final answer is nobody's fault.
            return Course.DROP if operation is None or operation.cut or operation.context != context else Course.PASS
        if isinstance(command, Response):
            report = self._reports.pop(command.responds_to, None)
            if report is None or not answers(command, report.request) or report.context != context:
                raise ProtocolError("a response came to a request that was not made")
            self.judge.ended(report, command.status)
            return Course.PASS
        if self._cut is not None:
            return Course.WAIT
        if command.message_id in self._open:
            raise ProtocolError("a message ID came twice before it was answered")
        if len(self._open) >= MAX_OUTSTANDING:
            raise LimitExceeded(f"more than {MAX_OUTSTANDING} requests without waiting for an answer")
        operation = Operation(context, command, self.now)
        return self._settle(self.inward, operation, self.judge.request(operation))

    def _settle(self, flow: Flow, operation: Operation, verdict: Course | int) -> Course:
        request = operation.request
        if isinstance(verdict, int):
            self.judge.ended(operation, verdict)
            self._refuse(flow, operation, verdict)
            return Course.DROP
        self._held[flow] = operation
        flow.note = verdict is Course.PASS and isinstance(request, _NOTED)
        if verdict is Course.PASS:
            (self._open if flow is self.inward else self._reports)[request.message_id] = operation
        return verdict

    def _refuse(self, flow: Flow, operation: Operation, status: int) -> None:
        """Our own answer, when the data set that is swallowed is over."""
        answer = operation.context, refusal(operation.request, status)
        if operation.request.has_data_set:
            self._due[flow] = answer
        else:
            self._back(flow).inject(*answer)

    def _back(self, flow: Flow) -> Flow:
        return self.outward if flow is self.inward else self.inward

    # ---- the acceptor -----------------------------------------------------------------------------------------------

    def _of_acceptor(self, context: int, command: Command) -> Course:
        if isinstance(command, CCancelRequest):
            raise ProtocolError("a C-CANCEL-RQ came from the side that answers")
        if isinstance(command, Response):
            return self._answered(context, command)
        if command.message_id in self._reports:
            raise ProtocolError("a message ID came twice before it was answered")
        if len(self._reports) >= MAX_OUTSTANDING:
            raise LimitExceeded(f"more than {MAX_OUTSTANDING} requests without waiting for an answer")
        operation = Operation(context, command, self.now)
        cause: Operation | None = None
        if isinstance(command, CStoreRequest):
            cause = next((one for one in self._open.values() if isinstance(one.request, CGetRequest)), None)
            if cause is None:
                raise ProtocolError("a C-STORE-RQ came from the side that answers, and no C-GET is under way")
            if cause.cut:
                self._refuse(self.outward, operation, OUT_OF_RESOURCES)
                return Course.DROP
        operation.cause = cause
        verdict = self.judge.report(operation)
        if isinstance(verdict, int) and cause is not None:
            self.cut(cause, verdict)
        return self._settle(self.outward, operation, verdict)

    def _answered(self, context: int, response: Response) -> Course:
        operation = self._open.get(response.responds_to)
        if operation is None or not answers(response, operation.request) or operation.context != context:
            raise ProtocolError("a response came to a request that was not made")
        pending = is_pending(response.status)
        if not pending:
            del self._open[response.responds_to]
        if operation.cut:
            if not pending:
                self._cut = None
            return Course.DROP
        if pending:
            operation.answers += 1
            status = self.judge.answer(operation, response)
            if status is not None:
                self.cut(operation, status)
                return Course.DROP
        else:
            self.judge.ended(operation, response.status)
        return Course.PASS

    def cut(self, operation: Operation, status: int) -> None:
        """Ends a C-FIND, C-GET or C-MOVE that is under way, for the requestor with ``status``."""
        assert isinstance(operation.request, _CANCELLABLE)
        if operation.cut:
            return
        operation.cut, operation.since = True, self.now
        self._cut = operation
        self.inward.inject(operation.context, cancel(operation.request.message_id))
        self.outward.inject(operation.context, refusal(operation.request, status))
        self.judge.ended(operation, status)
