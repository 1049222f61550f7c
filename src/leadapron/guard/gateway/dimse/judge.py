"""What a peer may do on the association that it asked for: policy, rates and caps, put to each request.

The identity is looked at with every PDU, so a revocation ends a running association with the next one. The policy is
taken anew for each request, so a change of the file holds from the next request on, for running associations as well.

Caps. A query's answers are counted and cut short above ``max_results``. Studies that are retrieved are counted where
they are named: in the identifier of a C-GET or C-MOVE; for a C-GET that names none (a whole patient), in the objects as
they come, of which the first fragment is held until it has been read. A C-MOVE of whole patients counts each patient as
one study; what it sends to a peer behind the guard is counted there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, Protocol

from msgspec import Struct

from leadapron.guard.audit.codes import Outcome
from leadapron.guard.gateway.dimse.conversation import Ended, Operation
from leadapron.guard.gateway.dimse.flow import Course
from leadapron.guard.gateway.dimse.identifiers import (
    Retrieval,
    modality_in,
    read_retrieval,
    study_of,
    study_of_step,
)
from leadapron.guard.gateway.dimse.messages import field_of
from leadapron.guard.gateway.dimse.meter import Kind, Meter
from leadapron.guard.gateway.dimse.record import Record
from leadapron.guard.identity.registry import PeerIdentity, Refused
from leadapron.guard.policy.decide import Allowed, Denied, Policy, Request
from leadapron.guard.policy.permission import Permission
from leadapron.guard.policy.rules import PeerRules
from leadapron.guard.policy.services import Direction, is_storage, needed
from leadapron.kernel.clock import Clock
from leadapron.wire.association.negotiate import AgreedContext
from leadapron.wire.dimse.command import (
    CEchoRequest,
    CFindRequest,
    CGetRequest,
    CMoveRequest,
    CStoreRequest,
    NActionRequest,
    NCreateRequest,
    NDeleteRequest,
    NEventReportRequest,
    NGetRequest,
    NSetRequest,
    Response,
)
from leadapron.wire.dimse.status import (
    CANCEL,
    DOES_NOT_MATCH_SOP_CLASS,
    MOVE_DESTINATION_UNKNOWN,
    NOT_AUTHORIZED,
    OUT_OF_RESOURCES,
    SOP_CLASS_NOT_SUPPORTED,
    StatusClass,
    classify,
)

_NAMES: Final[dict[type, str]] = {
    CEchoRequest: "C-ECHO",
    CStoreRequest: "C-STORE",
    CFindRequest: "C-FIND",
    CGetRequest: "C-GET",
    CMoveRequest: "C-MOVE",
    NActionRequest: "N-ACTION",
    NEventReportRequest: "N-EVENT-REPORT",
    NCreateRequest: "N-CREATE",
    NSetRequest: "N-SET",
    NGetRequest: "N-GET",
    NDeleteRequest: "N-DELETE",
}


_KINDS: Final[dict[type, Kind]] = {
    CEchoRequest: "echo",
    CFindRequest: "query",
    CGetRequest: "retrieve",
    CMoveRequest: "retrieve",
}


class Registry(Protocol):
    """`guard.identity.registry.Registry`, as far as the relay needs it."""

    def identify(self, certificate: bytes | None, calling_ae: str) -> PeerIdentity | Refused: ...

    def valid(self, identity: PeerIdentity) -> bool: ...

    def seen(self, identity: PeerIdentity, address: str, when: datetime | None = None) -> None: ...

    def unknown(self, ae: str, address: str, reason: str, when: datetime | None = None) -> None: ...


class Ruling(Struct, frozen=True):
    """What decides for all associations: shared by all judges. ``policy`` gives the one in force; ``healthy``: can what
    happens be recorded?"""

    policy: Callable[[], Policy]
    registry: Registry
    meter: Meter
    clock: Clock
    healthy: Callable[[], bool] = lambda: True


class PeerJudge:
    """``contexts``: what is agreed with the archive, by ID."""

    def __init__(
        self,
        ruling: Ruling,
        identity: PeerIdentity,
        address: str,
        called: str,
        contexts: Mapping[int, AgreedContext],
        record: Record,
    ) -> None:
        self._ruling = ruling
        self._identity = identity
        self._address, self._called = address, called
        self._contexts = contexts
        self._record = record
        self._valid = ruling.registry.valid
        self._rules = self._current()

    def _current(self) -> PeerRules:
        rules = self._ruling.policy().rules(self._identity.name)
        if rules is None:
            raise Ended("the peer has no rules any more")
        return rules

    # ---- questions --------------------------------------------------------------------------------------------------

    def pdu(self) -> None:
        if not self._valid(self._identity):
            raise Ended("its certificate does not hold any more")

    def request(self, operation: Operation) -> Course | int:
        request = operation.request
        if not self._ruling.healthy():  # what cannot be recorded must not happen
            return OUT_OF_RESOURCES
        rules = self._rules = self._current()
        context = self._contexts[operation.context]
        name = context.abstract_syntax
        permission = needed(name, field_of(request), Direction.FROM_PEER, rules.private)
        if permission is None:
            self._denied(request, "it is not among the operations that the guard passes on")
            return NOT_AUTHORIZED
        if request.sop_class != name and not isinstance(request, NActionRequest):
            self._denied(request, "its SOP class is not that of the presentation context")
            return SOP_CLASS_NOT_SUPPORTED
        if isinstance(request, CStoreRequest):
            peer = self._ruling.policy().peer(rules.name)
            ask = self._request(permission, name)
            restricted = peer is not None and peer.modalities is not None and not peer.tells_modality(ask)
            self._ruling.meter.request(rules.name, rules.requests_per_minute, "store")
            return Course.HEAD if restricted and request.has_data_set else self._decide(operation, ask)
        if not self._ruling.meter.request(rules.name, rules.requests_per_minute, _KINDS.get(type(request), "other")):
            self._denied(request, f"more than {rules.requests_per_minute} requests in a minute")
            return OUT_OF_RESOURCES
        destination = request.destination if isinstance(request, CMoveRequest) else None
        verdict = self._decide(operation, self._request(permission, name, destination=destination))
        if isinstance(request, CFindRequest | CGetRequest | CMoveRequest) and not isinstance(verdict, int):
            return Course.HOLD if request.has_data_set else DOES_NOT_MATCH_SOP_CLASS
        if isinstance(request, NCreateRequest | NSetRequest) and verdict is Course.PASS:
            action: Final = "C" if isinstance(request, NCreateRequest) else "U"
            self._record.steps.began(request.message_id, action, request.sop_instance)
        return verdict

    def held(self, operation: Operation, data: bytes, whole: bool) -> Course | int:
        request, context = operation.request, self._contexts[operation.context]
        syntax = context.transfer_syntax
        if isinstance(request, CStoreRequest):
            if operation.cause is not None:
                return self._object(operation, data, whole)
            modality = modality_in(data, syntax)
            if modality is None and not whole:
                return Course.HEAD
            operation.note = study_of(data, syntax)
            ask = self._request(Permission.DICOM_STORE, context.abstract_syntax, modality=modality or None)
            verdict = self._decide(operation, ask)
            if verdict is Course.PASS:
                self._record.to_archive.began(study_of(data, syntax))
            return verdict
        if isinstance(request, CFindRequest):
            operation.note = data
            self._record.query(context.abstract_syntax, data, syntax)
            return Course.PASS
        return self._retrieval(operation, data)

    def _retrieval(self, operation: Operation, data: bytes) -> Course | int:
        context = self._contexts[operation.context]
        name, syntax = context.abstract_syntax, context.transfer_syntax
        wanted = read_retrieval(data, syntax)
        if wanted is None:
            self._record.query(name, data, syntax, "it does not name what it retrieves")
            return DOES_NOT_MATCH_SOP_CLASS
        operation.note = wanted
        if not self._count(wanted.counted):
            self._record.query(name, data, syntax, "more studies than may be retrieved in an hour")
            return OUT_OF_RESOURCES
        self._record.query(name, data, syntax)
        return Course.PASS

    def answer(self, operation: Operation, response: Response) -> int | None:
        if isinstance(operation.request, CFindRequest) and operation.answers > self._rules.max_results:
            self._record.broad(self._rules.max_results)
            return CANCEL
        return None

    def report(self, operation: Operation) -> Course | int:
        request, cause = operation.request, operation.cause
        name = self._contexts[operation.context].abstract_syntax
        if not self._ruling.healthy():
            return OUT_OF_RESOURCES
        rules = self._rules = self._current()
        permission = needed(name, field_of(request), Direction.TO_PEER, rules.private)
        if permission is None:
            self._denied(request, "the archive may not ask for it")
            return NOT_AUTHORIZED
        verdict = self._decide(operation, self._request(permission, name))
        if verdict is not Course.PASS or cause is None:
            return verdict
        wanted = cause.note
        if isinstance(wanted, Retrieval) and not wanted.studies:
            return Course.HEAD
        return Course.PASS

    def _object(self, operation: Operation, data: bytes, whole: bool) -> Course | int:
        """An object of a C-GET that named no studies."""
        syntax = self._contexts[operation.context].transfer_syntax
        study = study_of(data, syntax)
        if study is None and not whole:
            return Course.HEAD
        operation.note = study
        assert isinstance(operation.request, CStoreRequest)
        if not self._count((study or f"?{operation.request.sop_instance}",)):  # what nobody could read counts each time
            return OUT_OF_RESOURCES
        self._record.to_peer.began(study)
        return Course.PASS

    # ---- what happened ----------------------------------------------------------------------------------------------

    def noted(self, operation: Operation, data: bytes) -> None:
        if isinstance(operation.request, CStoreRequest):
            study = study_of(data, self._contexts[operation.context].transfer_syntax)
            operation.note = study
            (self._record.to_peer if operation.cause else self._record.to_archive).began(study)
        elif isinstance(operation.request, NCreateRequest):
            study = study_of_step(data, self._contexts[operation.context].transfer_syntax)
            self._record.steps.read(operation.request.message_id, study)

    def ended(self, operation: Operation, status: int) -> None:
        request = operation.request
        good = classify(status) in (StatusClass.SUCCESS, StatusClass.WARNING)
        if isinstance(request, CStoreRequest):
            transfer = self._record.to_peer if operation.cause else self._record.to_archive
            study = operation.note if isinstance(operation.note, str) else None
            transfer.ended(study, self._contexts[operation.context].abstract_syntax, good)
        elif isinstance(request, CFindRequest):
            self._ruling.meter.answered(self._identity.name, operation.answers)
            if classify(status) is StatusClass.FAILURE and isinstance(operation.note, bytes):
                asked, failed = self._contexts[operation.context], f"it ended with status {status:04X}H"
                name, syntax = asked.abstract_syntax, asked.transfer_syntax
                self._record.query(name, operation.note, syntax, failed, Outcome.SERIOUS)
        elif isinstance(request, NCreateRequest | NSetRequest):
            self._record.steps.ended(request.message_id, None if good else f"it ended with status {status:04X}H")
        elif isinstance(request, CMoveRequest) and isinstance(operation.note, Retrieval):
            reason = None if good else f"it ended with status {status:04X}H"
            self._record.moved(operation.note.studies, request.destination, reason)

    # ---- below ------------------------------------------------------------------------------------------------------

    def _request(
        self,
        permission: Permission,
        sop_class: str | None,
        *,
        destination: str | None = None,
        modality: str | None = None,
    ) -> Request:
        return Request(
            permission=permission,
            address=self._address,
            when=self._ruling.clock.now(),
            called_ae=self._called,
            destination=destination,
            modality=modality,
            sop_class=sop_class,
        )

    def _decide(self, operation: Operation, ask: Request) -> Course | int:
        policy = self._ruling.policy()
        decision = policy.decide(self._identity.name, ask)
        if isinstance(decision, Allowed):
            return Course.PASS
        self._denied(operation.request, decision.reason)
        if ask.destination is None:
            return NOT_AUTHORIZED
        # Whether it is the destination that stands in the way, or the operation itself.
        elsewhere = policy.decide(self._identity.name, self._request(ask.permission, None))
        return NOT_AUTHORIZED if isinstance(elsewhere, Denied) else MOVE_DESTINATION_UNKNOWN

    def _denied(self, request: object, reason: str) -> None:
        self._record.denied(_NAMES.get(type(request), "a request"), reason)

    def _count(self, studies: tuple[str, ...]) -> bool:
        limit = self._rules.studies_per_hour
        if self._ruling.meter.retrieved(self._identity.name, studies, limit):
            return True
        self._record.bulk(limit + 1, limit)
        return False


def roles_of(policy: Policy, peer: str, address: str, when: datetime) -> Callable[[str], tuple[bool, bool]]:
    """Which roles the peer may propose for a SOP class: see `negotiation.Roles`."""
    known = policy.peer(peer)

    def roles(sop_class: str) -> tuple[bool, bool]:
        if known is None or isinstance(policy.offers(peer, sop_class, address, when), Denied):
            return False, False
        if not is_storage(sop_class, known.private):
            return True, False
        ask = Request(permission=Permission.DICOM_STORE, address=address, when=when, sop_class=sop_class)
        never = known.tells_modality(ask) and isinstance(known.modality(ask), Denied)
        return Permission.DICOM_STORE in known.grants and not never, Permission.DICOM_RETRIEVE in known.grants

    return roles
