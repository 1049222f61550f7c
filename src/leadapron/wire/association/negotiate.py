"""Negotiation, PS3.8 §7.1 and Annex B, PS3.7 Annex D.3: what is asked, what is answered, what both then have.

Three pure functions. `build_request` turns what a requestor wants (`ContextRequest`) into an A-ASSOCIATE-RQ with odd
context ids. `choose` answers one: the first of the acceptor's transfer syntaxes, in the acceptor's order, that was
proposed. `agreed` reads the answer beside the request, which is the only way to read it: an accept names no abstract
syntax, and a peer may accept ids and transfer syntaxes that were never proposed; those are left out.

Who may associate is the caller's to say: `choose` takes a check and has no default for it, since a default would be an
open door. `recognised` makes the usual one from AE titles, where an empty set lets in nobody, and `anyone` is the one
that is to be asked for by its name.

Values of the peer are answered, never repeated in messages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from msgspec import Struct

from leadapron.wire import uids
from leadapron.wire.association.reasons import (
    APPLICATION_CONTEXT_NOT_SUPPORTED,
    CALLED_AE_NOT_RECOGNIZED,
    CALLING_AE_NOT_RECOGNIZED,
    NO_REASON_GIVEN,
)
from leadapron.wire.pdu import (
    APPLICATION_CONTEXT,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextResult,
    ExtendedNegotiation,
    ProposedContext,
    RoleSelection,
    UserIdentity,
    UserInformation,
)

# Result/Reason of a presentation context, PS3.8 Table 9-18.
ACCEPTANCE: Final = 0
USER_REJECTION: Final = 1
NO_REASON: Final = 2
ABSTRACT_SYNTAX_NOT_SUPPORTED: Final = 3
TRANSFER_SYNTAXES_NOT_SUPPORTED: Final = 4

# What we announce in 51H: a C-FIND answer, and half a CT slice, is one PDU; thousands of peers can be buffered.
MAXIMUM_LENGTH: Final = 256 * 1024

_UID: Final = re.compile(r"(?=.{1,64}\Z)(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*))+", re.ASCII)  # PS3.5 §9.1
_DEFAULT_SYNTAXES: Final = (uids.EXPLICIT_LE, uids.IMPLICIT_LE)

Check = Callable[[AssociateRequest], AssociateReject | None]
"""Who may associate: None lets the request pass, an AssociateReject is the answer."""


class ContextRequest(Struct, frozen=True):
    """What a requestor wants: an abstract syntax, transfer syntaxes by preference, and in which roles it can act.

    The defaults of ``scu`` and ``scp`` are those of PS3.7 §D.3.3.4 and are not sent; a C-GET requestor takes
    ``scp=True`` for the storage classes that it is to receive.
    """

    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...] = _DEFAULT_SYNTAXES
    scu: bool = True
    scp: bool = False


class AgreedContext(Struct, frozen=True):
    """A presentation context that both ends have. ``scu`` and ``scp`` are the roles of the association requestor."""

    id: int
    abstract_syntax: str
    transfer_syntax: str
    scu: bool = True
    scp: bool = False


class Supported(Struct, frozen=True):
    """What an acceptor offers.

    ``syntaxes``: abstract syntax → transfer syntaxes by preference. ``roles``: SOP class → which of (SCU, SCP) the
    requestor may be; classes that are not named keep the default roles. ``extended``: SOP class → the information that
    answers an extended negotiation (56H).
    """

    syntaxes: Mapping[str, Sequence[str]]
    roles: Mapping[str, tuple[bool, bool]] = {}
    extended: Mapping[str, bytes] = {}
    maximum_length: int = MAXIMUM_LENGTH
    implementation_class_uid: str = uids.IMPLEMENTATION_CLASS_UID
    implementation_version_name: str = uids.IMPLEMENTATION_VERSION_NAME


def propose(contexts: Sequence[ContextRequest]) -> tuple[ProposedContext, ...]:
    """Presentation contexts with the ids 1, 3, 5 … Raises ValueError for none, more than 128, or what is no UID."""
    if not 1 <= len(contexts) <= 128:
        raise ValueError(f"{len(contexts)} presentation contexts; an association has 1 to 128 (PS3.8 §9.3.2.2)")
    for context in contexts:
        names = (context.abstract_syntax, *context.transfer_syntaxes)
        if len(names) < 2 or not all(_UID.fullmatch(name) for name in names):
            raise ValueError(
                "a presentation context has one abstract syntax and at least one transfer syntax, all UIDs"
            )
    return tuple(
        ProposedContext(2 * index + 1, context.abstract_syntax, tuple(context.transfer_syntaxes))
        for index, context in enumerate(contexts)
    )


def build_request(
    contexts: Sequence[ContextRequest],
    *,
    called: str,
    calling: str,
    maximum_length: int = MAXIMUM_LENGTH,
    user_identity: UserIdentity | None = None,
    extended: tuple[ExtendedNegotiation, ...] = (),
) -> AssociateRequest:
    """The A-ASSOCIATE-RQ for what is wanted. ``maximum_length``: octets of a P-DATA-TF that we take, 0 for any number.

    Raises ValueError as `propose` does; AE titles are checked when the request is encoded.
    """
    roles = {context.abstract_syntax: context for context in contexts if not context.scu or context.scp}
    return AssociateRequest(
        called=called,
        calling=calling,
        contexts=propose(contexts),
        user=UserInformation(
            maximum_length=maximum_length,
            implementation_class_uid=uids.IMPLEMENTATION_CLASS_UID,
            implementation_version_name=uids.IMPLEMENTATION_VERSION_NAME,
            roles=tuple(RoleSelection(name, wanted.scu, wanted.scp) for name, wanted in roles.items()),
            extended=extended,
            user_identity=user_identity,
        ),
    )


def anyone(_: AssociateRequest) -> None:
    """A check that lets everybody in: for tests, and for simulated servers that are open on purpose."""


def recognised(*, called: Collection[str] | None, calling: Collection[str] | None) -> Check:
    """A check of AE titles. None does not look at that title; an empty collection recognises nobody."""

    def check(request: AssociateRequest) -> AssociateReject | None:
        if called is not None and request.called not in called:
            return CALLED_AE_NOT_RECOGNIZED
        if calling is not None and request.calling not in calling:
            return CALLING_AE_NOT_RECOGNIZED
        return None

    return check


def choose(
    request: AssociateRequest, supported: Supported, check: Check, *, identity_response: bytes | None = None
) -> AssociateAccept | AssociateReject:
    """The answer to a request. ``identity_response`` is sent only where a user identity asked for one (PS3.7 §D.3.3.7).

    Rejected are another application context, no or ill-numbered contexts, and whom ``check`` turns away, in this order.
    An accept may hold no accepted context: that is for the requestor to judge (PS3.8 §7.1.1.14).
    """
    if request.application_context != APPLICATION_CONTEXT:
        return APPLICATION_CONTEXT_NOT_SUPPORTED
    numbers = {context.id for context in request.contexts}
    if not numbers or len(numbers) < len(request.contexts) or not all(number & 1 for number in numbers):
        return NO_REASON_GIVEN
    reject = check(request)
    if reject is not None:
        return reject
    results = tuple(_result(context, supported.syntaxes) for context in request.contexts)
    served = {
        context.abstract_syntax
        for context, result in zip(request.contexts, results, strict=True)
        if result.result == ACCEPTANCE
    }
    identity = request.user.user_identity
    asked = identity is not None and identity.response_requested
    return AssociateAccept(
        contexts=results,
        called=request.called,
        calling=request.calling,
        user=UserInformation(
            maximum_length=supported.maximum_length,
            implementation_class_uid=supported.implementation_class_uid,
            implementation_version_name=supported.implementation_version_name,
            roles=tuple(_roles(request, supported, served)),
            extended=tuple(
                ExtendedNegotiation(name, supported.extended[name])
                for name in dict.fromkeys(entry.sop_class for entry in request.user.extended)
                if name in served and name in supported.extended
            ),
            user_identity_response=identity_response if asked else None,
        ),
    )


def _result(context: ProposedContext, syntaxes: Mapping[str, Sequence[str]]) -> ContextResult:
    ours = syntaxes.get(context.abstract_syntax)
    # The transfer syntax of a refused context is not significant, but the sub-item is there (PS3.8 Table 9-18).
    if ours is None:
        return ContextResult(context.id, ABSTRACT_SYNTAX_NOT_SUPPORTED, uids.IMPLICIT_LE)
    for syntax in ours:
        if syntax in context.transfer_syntaxes:
            return ContextResult(context.id, ACCEPTANCE, syntax)
    return ContextResult(context.id, TRANSFER_SYNTAXES_NOT_SUPPORTED, uids.IMPLICIT_LE)


def _roles(request: AssociateRequest, supported: Supported, served: Collection[str]) -> list[RoleSelection]:
    """What was proposed and is allowed, for classes that are served (PS3.7 §D.3.3.4.2)."""
    proposed = {role.sop_class: role for role in request.user.roles}
    answers: list[RoleSelection] = []
    for name, role in proposed.items():
        allowed = supported.roles.get(name)
        if allowed is not None and name in served:
            answers.append(RoleSelection(name, role.scu and allowed[0], role.scp and allowed[1]))
    return answers


def agreed(request: AssociateRequest, accept: AssociateAccept) -> tuple[AgreedContext, ...]:
    """The contexts that both ends have, in the order of the request: accepted, with a proposed transfer syntax.

    A role counts if it was proposed and answered with 1; without an answer the default roles hold (PS3.7 §D.3.3.4).
    """
    results = {result.id: result for result in accept.contexts if result.result == ACCEPTANCE}
    proposed = {role.sop_class: role for role in request.user.roles}
    answered = {role.sop_class: role for role in accept.user.roles}
    contexts: list[AgreedContext] = []
    for context in request.contexts:
        result = results.get(context.id)
        if result is None or result.transfer_syntax not in context.transfer_syntaxes:
            continue
        scu, scp = True, False
        wanted, given = proposed.get(context.abstract_syntax), answered.get(context.abstract_syntax)
        if wanted is not None and given is not None:
            scu, scp = wanted.scu and given.scu, wanted.scp and given.scp
        contexts.append(AgreedContext(context.id, context.abstract_syntax, result.transfer_syntax, scu, scp))
    return tuple(contexts)
