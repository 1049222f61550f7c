"""From an A-ASSOCIATE-RQ to the answer of a given door, remembered: ten thousand equal requests are read once."""

from __future__ import annotations

from msgspec import Struct

from leadapron.kernel.errors import ProtocolError
from leadapron.lab.server.profile import Door
from leadapron.wire.pdu import (
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextResult,
    RoleSelection,
    UserInformation,
    decode,
    encode,
)

_REMEMBERED = 512


class Accepted(Struct, frozen=True):
    """``contexts``: abstract and transfer syntax by context id, of those accepted. ``max_pdu``: the requestor's."""

    contexts: dict[int, tuple[str, str]]
    max_pdu: int
    calling: str
    scp_roles: frozenset[str]
    """SOP classes for which the requestor offered to be SCP (PS3.7 §D.3.3.4): it can receive a C-GET's images."""


class Negotiated(Struct, frozen=True):
    """The answer as octets, ``accepted`` if it is an A-ASSOCIATE-AC."""

    answer: bytes
    request: AssociateRequest
    accepted: Accepted | None
    replies: dict[bytes, bytes]
    """P-DATA-TF PDUs that are always answered alike (C-ECHO), with their answers."""


class Negotiator:
    """A door at work. One is shared by all endpoints with the same door."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self._known: dict[bytes, Negotiated] = {}

    def negotiate(self, pdu: bytes) -> Negotiated:
        """``pdu``: a whole A-ASSOCIATE-RQ. Raises ProtocolError."""
        known = self._known.get(pdu)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[pdu] = self._decide(pdu)
        return known

    def _decide(self, pdu: bytes) -> Negotiated:
        request = decode(pdu[0], pdu[6:])
        if not isinstance(request, AssociateRequest):
            raise ProtocolError("not an A-ASSOCIATE-RQ")
        answer = answer_to(self.door, request)
        if isinstance(answer, AssociateReject):
            return Negotiated(encode(answer), request, None, {})
        proposed = {context.id: context.abstract_syntax for context in request.contexts}
        contexts = {c.id: (proposed[c.id], c.transfer_syntax) for c in answer.contexts if c.result == 0}
        roles = frozenset(role.sop_class for role in answer.user.roles if role.scp)
        accepted = Accepted(contexts, request.user.maximum_length or 0, request.calling, roles)
        return Negotiated(encode(answer), request, accepted, {})


def answer_to(door: Door, request: AssociateRequest) -> AssociateAccept | AssociateReject:
    """What a server with this door says to a request."""
    if door.reject is not None:
        return door.reject
    if door.called and request.called not in door.called:
        return door.called_reject
    if door.calling and request.calling not in door.calling:
        return door.calling_reject
    if door.identity and request.user.user_identity is None:
        return AssociateReject(1, 1, 1)  # PS3.7 §D.3.3.7.3: rejected, no reason given
    contexts = []
    for context in request.contexts:
        result, transfer = 0, _transfer(door, context.transfer_syntaxes)
        if door.abstract is not None and context.abstract_syntax not in door.abstract:
            result = door.context_result
        elif transfer is None:
            result = 4
        contexts.append(ContextResult(context.id, result, transfer or context.transfer_syntaxes[0]))
    return AssociateAccept(
        contexts=tuple(contexts),
        user=UserInformation(
            maximum_length=door.max_pdu,
            implementation_class_uid=door.implementation_class_uid,
            implementation_version_name=door.implementation_version_name,
            roles=tuple(RoleSelection(r.sop_class, r.scu, r.scp) for r in request.user.roles),
        ),
        called=request.called,
        calling=request.calling,
    )


def _transfer(door: Door, offered: tuple[str, ...]) -> str | None:
    """The server's first choice among those offered; without a choice, the requestor's first."""
    if not door.transfer:
        return offered[0] if offered else None
    return next((syntax for syntax in door.transfer if syntax in offered), None)
