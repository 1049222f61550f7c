"""Which presentation contexts the device gets: those that the far side accepts, as far as that is known.

What the device stores is acknowledged before the far side sees it, so what the far side would never take should be
refused when the association is negotiated, while the device can still choose something else. Therefore a proposal that
was not met before is shown to the far side first (`Agreements.passed_on`, when the line is up), its answers are
remembered, and the device gets the same ones. Only a definite no counts (Table 9-18: abstract syntax, or transfer
syntaxes, not supported); "user rejection" and "no reason" may be a bad day of the archive.

What is no UID (PS3.5 §9.1) is not accepted either: it could not be proposed again.

With the line down and nothing known, storage is accepted all the same, in the transfer syntax that archives are most
likely to take: an uncompressed one if it was proposed. What is relayed live falls back to Implicit VR Little Endian,
which everybody must be able to speak (PS3.5 §10.1).

Carried are storage, private SOP classes (which are storage as a rule), Verification, query, retrieval, worklist,
storage commitment and performed procedure steps. Printing and other normalised services are not, and not accepted.
"""

from __future__ import annotations

import enum
import re
from typing import Final

from msgspec import structs

from leadapron.kernel.clock import Clock, SystemClock
from leadapron.wire import uids
from leadapron.wire.association.negotiate import (
    ABSTRACT_SYNTAX_NOT_SUPPORTED,
    ACCEPTANCE,
    MAXIMUM_LENGTH,
    TRANSFER_SYNTAXES_NOT_SUPPORTED,
    AgreedContext,
    Supported,
    choose,
    recognised,
)
from leadapron.wire.pdu import (
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextResult,
    ProposedContext,
    RoleSelection,
    UserInformation,
)

MAX_REMEMBERED: Final = 4096
YES_S: Final = 24 * 3600.0
NO_S: Final = 600.0
"""A no is asked again soon: somebody may have repaired it."""

_STANDARD: Final = "1.2.840.10008."
_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
_MORE_STORAGE: Final = {  # PS3.4 Annex GG: stored like images, registered elsewhere
    "1.2.840.10008.5.1.4.34.7",
    "1.2.840.10008.5.1.4.34.10",
    "1.2.840.10008.5.1.4.38.1",
    "1.2.840.10008.5.1.4.39.1",
    "1.2.840.10008.5.1.4.43.1",
    "1.2.840.10008.5.1.4.44.1",
    "1.2.840.10008.5.1.4.45.1",
}
_RETRIEVE: Final = "1.2.840.10008.5.1.4.1.2."  # all of query and retrieval
_LIVE: Final = {
    uids.VERIFICATION,
    uids.MODALITY_WORKLIST_FIND,
    uids.STORAGE_COMMITMENT_PUSH,
    uids.MODALITY_PERFORMED_PROCEDURE_STEP,
}
_LIVE_FAMILIES: Final = (_RETRIEVE, "1.2.840.10008.5.1.4.37.", "1.2.840.10008.5.1.4.38.", "1.2.840.10008.5.1.4.39.")
_UNCOMPRESSED: Final = (uids.EXPLICIT_LE, uids.IMPLICIT_LE)
_BY_DEFAULT: Final = (uids.IMPLICIT_LE, uids.EXPLICIT_LE)

_UID: Final = re.compile(r"(?=.{1,64}\Z)(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*))+", re.ASCII)

Key = tuple[str, tuple[str, ...]]


class Use(enum.Enum):
    """What an abstract syntax is good for here."""

    STORE = "queued"
    LIVE = "relayed"
    NONE = "not carried"


def use_of(abstract_syntax: str) -> Use:
    if not _UID.fullmatch(abstract_syntax):
        return Use.NONE
    if abstract_syntax.startswith(_STORAGE) or abstract_syntax in _MORE_STORAGE:
        return Use.STORE
    if abstract_syntax in _LIVE or abstract_syntax.startswith(_LIVE_FAMILIES):
        return Use.LIVE
    return Use.NONE if abstract_syntax.startswith(_STANDARD) else Use.STORE


class Agreements:
    """What the far side said to each proposal, for a while."""

    def __init__(self, clock: Clock = SystemClock()) -> None:  # noqa: B008 (without state)
        self._clock = clock
        self._answers: dict[Key, tuple[float, ContextResult]] = {}

    def complete(self, request: AssociateRequest) -> bool:
        """Whether the answer to this request is known, and nothing in it needs the far side's own word (C-GET)."""
        return not _receives(request) and all(self._recall(context) is not None for context in _carried(request))

    def learn(self, request: AssociateRequest, accept: AssociateAccept) -> None:
        """``accept`` answered ``request``, which was passed on."""
        now, results = self._clock.monotonic(), {result.id: result for result in accept.contexts}
        for context in request.contexts:
            result = results.get(context.id)
            key = _key(context)
            self._answers.pop(key, None)
            if result is None:
                continue
            if result.result == ACCEPTANCE and result.transfer_syntax in context.transfer_syntaxes:
                self._answers[key] = (now + YES_S, result)
            elif result.result in (ABSTRACT_SYNTAX_NOT_SUPPORTED, TRANSFER_SYNTAXES_NOT_SUPPORTED):
                self._answers[key] = (now + NO_S, result)
        while len(self._answers) > MAX_REMEMBERED:
            del self._answers[next(iter(self._answers))]

    def forget(self) -> None:
        """The far side did not keep to what it had said."""
        self._answers.clear()

    def passed_on(self, request: AssociateRequest) -> AssociateRequest | None:
        """The request as the far side shall see it, None if nothing of it is carried. Numbers of contexts are kept."""
        contexts = _carried(request)
        return _mirrored(request, contexts) if contexts else None

    def answer(self, request: AssociateRequest, far: AssociateAccept | None) -> AssociateAccept | AssociateReject:
        """For the device. ``far``: the far side's answer, if it was asked. Titles are not looked at here."""
        # Everything is judged as `choose` does it, with nothing supported; the contexts are then answered one by one.
        answer = choose(request, Supported({}), recognised(called=None, calling=None))
        if isinstance(answer, AssociateReject):
            return answer
        results = tuple(self._result(context) for context in request.contexts)
        roles = _roles(request, far)
        return structs.replace(answer, contexts=results, user=structs.replace(answer.user, roles=roles))

    def _result(self, context: ProposedContext) -> ContextResult:
        use = use_of(context.abstract_syntax)
        if use is Use.NONE:
            return ContextResult(context.id, ABSTRACT_SYNTAX_NOT_SUPPORTED, uids.IMPLICIT_LE)
        known = self._recall(context)
        if known is not None:
            return ContextResult(context.id, known.result, known.transfer_syntax)
        proposed = _spoken(context)
        liked = _BY_DEFAULT if use is Use.LIVE else _UNCOMPRESSED
        syntax = next((uid for uid in liked if uid in proposed), proposed[0] if proposed else None)
        if syntax is None:
            return ContextResult(context.id, TRANSFER_SYNTAXES_NOT_SUPPORTED, uids.IMPLICIT_LE)
        return ContextResult(context.id, ACCEPTANCE, syntax)

    def _recall(self, context: ProposedContext) -> ContextResult | None:
        found = self._answers.get(_key(context))
        return None if found is None or found[0] < self._clock.monotonic() else found[1]


def anew(request: AssociateRequest, contexts: tuple[AgreedContext, ...]) -> AssociateRequest:
    """The request for another association of the far side: what was agreed on with the device and is relayed."""
    wanted = tuple(
        ProposedContext(context.id, context.abstract_syntax, (context.transfer_syntax,))
        for context in contexts
        if use_of(context.abstract_syntax) is Use.LIVE or context.scp
    )
    return _mirrored(request, wanted)


def _mirrored(request: AssociateRequest, contexts: tuple[ProposedContext, ...]) -> AssociateRequest:
    names = {context.abstract_syntax for context in contexts}
    user = UserInformation(
        maximum_length=MAXIMUM_LENGTH,
        implementation_class_uid=uids.IMPLEMENTATION_CLASS_UID,
        implementation_version_name=uids.IMPLEMENTATION_VERSION_NAME,
        roles=tuple(role for role in request.user.roles if role.sop_class in names),
    )
    return AssociateRequest(request.called, request.calling, contexts, user)


def _carried(request: AssociateRequest) -> tuple[ProposedContext, ...]:
    """The contexts that can be passed on, with the transfer syntaxes that can."""
    return tuple(
        structs.replace(context, transfer_syntaxes=_spoken(context))
        for context in request.contexts
        if use_of(context.abstract_syntax) is not Use.NONE and _spoken(context)
    )


def _spoken(context: ProposedContext) -> tuple[str, ...]:
    return tuple(syntax for syntax in context.transfer_syntaxes if _UID.fullmatch(syntax))


def _receives(request: AssociateRequest) -> bool:
    return any(role.scp for role in request.user.roles)


def _roles(request: AssociateRequest, far: AssociateAccept | None) -> tuple[RoleSelection, ...]:
    """A device may store whatever happens, and receive (C-GET) what the far side said that it sends."""
    said = {role.sop_class: role for role in far.user.roles} if far is not None else {}
    return tuple(
        RoleSelection(name, role.scu, role.scp and name in said and said[name].scp)
        for name, role in {role.sop_class: role for role in request.user.roles}.items()
        if use_of(name) is not Use.NONE
    )


def _key(context: ProposedContext) -> Key:
    return context.abstract_syntax, _spoken(context)
