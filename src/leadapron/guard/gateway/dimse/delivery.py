"""What the archive may do on an association that it asked for: deliver, to a peer behind the guard, what a C-MOVE asked
for, and report on a storage commitment (PS3.4 Annex J). Nothing else is asked from that side.

Objects are counted for who asked for them, as the C-STORE request names it (0000,1030): so a C-MOVE of whole patients
cannot bring more studies than its requester may have, though its identifier does not tell how many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from leadapron.guard.audit.events import Participant
from leadapron.guard.gateway.dimse.conversation import Ended, Operation
from leadapron.guard.gateway.dimse.flow import Course
from leadapron.guard.gateway.dimse.identifiers import study_of
from leadapron.guard.gateway.dimse.judge import Ruling
from leadapron.guard.gateway.dimse.record import Record
from leadapron.guard.identity.registry import PeerIdentity
from leadapron.guard.policy.permission import Permission
from leadapron.guard.policy.rules import PeerRules
from leadapron.guard.policy.services import COMMITMENT_PUSH, VERIFICATION, is_storage
from leadapron.wire.association.negotiate import AgreedContext
from leadapron.wire.dimse.command import CEchoRequest, CStoreRequest, NEventReportRequest, Response
from leadapron.wire.dimse.status import NOT_AUTHORIZED, OUT_OF_RESOURCES, StatusClass, classify


class DeliveryJudge:
    """``identity``: the peer that receives, by the certificate that it showed."""

    def __init__(
        self, ruling: Ruling, identity: PeerIdentity, contexts: Mapping[int, AgreedContext], record: Record
    ) -> None:
        self._ruling, self._identity, self._contexts, self._record = ruling, identity, contexts, record
        self._valid = ruling.registry.valid

    def pdu(self) -> None:
        if not self._valid(self._identity):
            raise Ended("its certificate does not hold any more")

    def request(self, operation: Operation) -> Course | int:
        request = operation.request
        if not self._ruling.healthy():  # what cannot be recorded must not happen
            return OUT_OF_RESOURCES
        rules = self._ruling.policy().rules(self._identity.name)
        if rules is None or rules.receive is None:
            raise Ended("the peer receives nothing any more")
        name = self._contexts[operation.context].abstract_syntax
        if isinstance(request, CStoreRequest) and is_storage(name, rules.private):
            originator = self._originator(request)
            if originator is None or not request.has_data_set:
                return Course.PASS
            self._record.to_peer.requestor = Participant(originator.name, ae=originator.ae)
            return Course.HEAD
        if isinstance(request, CEchoRequest) and name == VERIFICATION:
            return Course.PASS
        if isinstance(request, NEventReportRequest) and name == COMMITMENT_PUSH and may_commit(self._ruling, rules):
            return Course.PASS
        self._record.denied("a request of the archive", "only what was moved or committed is delivered")
        return NOT_AUTHORIZED

    def held(self, operation: Operation, data: bytes, whole: bool) -> Course | int:
        request = operation.request
        assert isinstance(request, CStoreRequest)
        study = study_of(data, self._contexts[operation.context].transfer_syntax)
        if study is None and not whole:
            return Course.HEAD
        operation.note = study
        originator = self._originator(request)
        if originator is not None:
            limit = originator.studies_per_hour
            counted = (study or f"?{request.sop_instance}",)
            if not self._ruling.meter.retrieved(originator.name, counted, limit):
                self._record.bulk(limit + 1, limit, Participant(originator.name, ae=originator.ae))
                return OUT_OF_RESOURCES
        self._record.to_peer.began(study)
        return Course.PASS

    def answer(self, operation: Operation, response: Response) -> int | None:
        return None

    def report(self, operation: Operation) -> Course | int:
        return NOT_AUTHORIZED

    def noted(self, operation: Operation, data: bytes) -> None:
        study = operation.note = study_of(data, self._contexts[operation.context].transfer_syntax)
        self._record.to_peer.began(study)

    def ended(self, operation: Operation, status: int) -> None:
        if isinstance(operation.request, CStoreRequest):
            study = operation.note if isinstance(operation.note, str) else None
            good = classify(status) in (StatusClass.SUCCESS, StatusClass.WARNING)
            self._record.to_peer.ended(study, self._contexts[operation.context].abstract_syntax, good)

    def _originator(self, request: CStoreRequest) -> PeerRules | None:
        return None if request.move_originator is None else self._ruling.policy().by_ae(request.move_originator)


def may_commit(ruling: Ruling, rules: PeerRules) -> bool:
    peer = ruling.policy().peer(rules.name)
    return peer is not None and Permission.DICOM_COMMIT in peer.grants


def roles_for(ruling: Ruling, rules: PeerRules) -> Callable[[str], tuple[bool, bool]]:
    """Which roles the archive may propose to the peer: see `negotiation.Roles`. It reports in the role of an SCP."""

    def roles(sop_class: str) -> tuple[bool, bool]:
        if sop_class == COMMITMENT_PUSH:
            return (may_commit(ruling, rules),) * 2
        return sop_class == VERIFICATION or is_storage(sop_class, rules.private), False

    return roles
