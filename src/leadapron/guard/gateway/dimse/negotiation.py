"""What is offered to the archive of what a peer proposes, and what the peer is told of its answer.

The archive never sees a presentation context, nor a role in it, that the peer has no use for under its rules: what was
not negotiated inside cannot be asked for inside, whatever else fails. Context IDs, transfer syntaxes, maximum lengths
and extended negotiation go through, so PDUs need no translation later. Not passed on: the asynchronous window (so it is
1, PS3.7 §D.3.3.3), user identity (it is for us), sub-items that we do not know, and who implemented the other end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct, structs

from leadapron.guard.policy.services import is_storage
from leadapron.wire import uids
from leadapron.wire.association.negotiate import ACCEPTANCE, NO_REASON, USER_REJECTION
from leadapron.wire.association.reasons import APPLICATION_CONTEXT_NOT_SUPPORTED, NO_REASON_GIVEN
from leadapron.wire.pdu import (
    APPLICATION_CONTEXT,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextResult,
    ProposedContext,
    RoleSelection,
    UserInformation,
)

MAX_LENGTH: Final = 256 * 1024
"""What is announced at most, and where the other end announces no limit (0)."""
DEFAULT_LENGTH: Final = 16 * 1024
"""Where the other end announces nothing at all."""
MIN_LENGTH: Final = 128
"""Who announces less cannot be given an answer in one piece."""

Roles = Callable[[str], tuple[bool, bool]]
"""Which of (SCU, SCP) the requestor may be for a SOP class; neither: the context is not offered."""


class Offer(Struct, frozen=True):
    """``request`` goes to the other side; ``asked`` is what came."""

    asked: AssociateRequest
    request: AssociateRequest


def unacceptable(asked: AssociateRequest) -> AssociateReject | None:
    """What is wrong with a request, whoever makes it."""
    if asked.application_context != APPLICATION_CONTEXT:
        return APPLICATION_CONTEXT_NOT_SUPPORTED
    numbers = {context.id for context in asked.contexts}
    if not numbers or len(numbers) < len(asked.contexts) or not all(number & 1 for number in numbers):
        return NO_REASON_GIVEN
    length = asked.user.maximum_length
    if length is not None and 0 < length < MIN_LENGTH:
        return NO_REASON_GIVEN
    return None


def offer(asked: AssociateRequest, roles: Roles, *, called: str, calling: str) -> Offer | None:
    """What goes on of ``asked``; None if that is nothing."""
    proposed = {role.sop_class: role for role in asked.user.roles}
    contexts: list[ProposedContext] = []
    selections: dict[str, RoleSelection] = {}
    for context in asked.contexts:
        name = context.abstract_syntax
        role = proposed.get(name, RoleSelection(name, True, False))  # the default: PS3.7 §D.3.3.4
        may_scu, may_scp = roles(name)
        scu, scp = role.scu and may_scu, role.scp and may_scp
        syntaxes = context.transfer_syntaxes
        if not is_storage(name):  # nobody can judge an identifier that is deflated
            syntaxes = tuple(syntax for syntax in syntaxes if syntax != uids.DEFLATED_LE)
        if not (scu or scp) or not syntaxes:
            continue
        contexts.append(structs.replace(context, transfer_syntaxes=syntaxes))
        if name in proposed:
            selections[name] = RoleSelection(name, scu, scp)
    if not contexts:
        return None
    offered = {context.abstract_syntax for context in contexts}
    request = AssociateRequest(
        called=called,
        calling=calling,
        contexts=tuple(contexts),
        user=_user(asked.user, offered, tuple(selections.values())),
    )
    return Offer(asked, request)


def answer(offered: Offer, accept: AssociateAccept) -> AssociateAccept:
    """What the requestor is told."""
    results = {result.id: result for result in accept.contexts}
    proposed = {context.id: context for context in offered.request.contexts}
    contexts = tuple(_result(context, proposed.get(context.id), results) for context in offered.asked.contexts)
    accepted = {result.id for result in contexts if result.result == ACCEPTANCE}
    names = {context.abstract_syntax for context in offered.request.contexts if context.id in accepted}
    wanted = {role.sop_class: role for role in offered.request.user.roles}
    roles = tuple(
        RoleSelection(role.sop_class, role.scu and wanted[role.sop_class].scu, role.scp and wanted[role.sop_class].scp)
        for role in accept.user.roles
        if role.sop_class in names and role.sop_class in wanted
    )
    identity = offered.asked.user.user_identity
    return AssociateAccept(
        contexts=contexts,
        called=offered.asked.called,
        calling=offered.asked.calling,
        user=structs.replace(
            _user(accept.user, names, roles),
            user_identity_response=b"" if identity is not None and identity.response_requested else None,
        ),
    )


def passed(length: int | None) -> int:
    """The maximum length that is announced on the other side for what was announced on this."""
    if length is None:
        return DEFAULT_LENGTH
    return min(length or MAX_LENGTH, MAX_LENGTH)


def _result(
    asked: ProposedContext, offered: ProposedContext | None, results: dict[int, ContextResult]
) -> ContextResult:
    # The transfer syntax of a refused context is not significant, but the sub-item is there (PS3.8 Table 9-18).
    if offered is None:
        return ContextResult(asked.id, USER_REJECTION, uids.IMPLICIT_LE)
    result = results.get(asked.id)
    if result is None or (result.result == ACCEPTANCE and result.transfer_syntax not in offered.transfer_syntaxes):
        return ContextResult(asked.id, NO_REASON, uids.IMPLICIT_LE)
    return structs.replace(result, transfer_syntax=result.transfer_syntax or uids.IMPLICIT_LE)


def _user(user: UserInformation, names: set[str], roles: tuple[RoleSelection, ...]) -> UserInformation:
    return UserInformation(
        maximum_length=passed(user.maximum_length),
        implementation_class_uid=uids.IMPLEMENTATION_CLASS_UID,
        implementation_version_name=uids.IMPLEMENTATION_VERSION_NAME,
        roles=roles,
        extended=tuple(entry for entry in user.extended if entry.sop_class in names),
        common_extended=tuple(entry for entry in user.common_extended if entry.sop_class in names),
    )
