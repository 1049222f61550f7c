"""What the watch proposes in its one association, and how it reads the answer.

Everything that a stranger could do is read off one A-ASSOCIATE-AC: which of Verification, Query/Retrieve, worklist,
commitment and storage the server would serve. Nothing of it but C-ECHO and C-FIND is ever used. One abstract syntax is
invented: who accepts that accepts anything.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from leadapron.kernel.errors import ProtocolError
from leadapron.watch.measure.model import Accepted
from leadapron.wire import uids
from leadapron.wire.pdu import AssociateAccept, AssociateRequest, ProposedContext, UserInformation, decode, encode
from leadapron.wire.pdu.types import PduType

# A title that nobody registers: DCMTK's tools send it when they are told none.
CALLED: Final = "ANY-SCP"
CALLING: Final = "LEADAPRON"
# Announced as the longest P-DATA-TF that we take, octets.
MAXIMUM_LENGTH: Final = 128 * 1024

# Titles that products come with, tried only where the server says that ours is not its own (at most two more).
DEFAULT_CALLED: Final[dict[int | None, tuple[str, ...]]] = {
    4242: ("ORTHANC", "COMMON"),
    5678: ("CONQUESTSRV1", "ORTHANC"),
    11112: ("DCM4CHEE", "COMMON"),
    None: ("COMMON", "ORTHANC"),
}
MAX_CALLED: Final = 3
MAX_CALLING: Final = 2

QUERY_MODELS: Final = (uids.STUDY_ROOT_FIND, uids.PATIENT_ROOT_FIND)

ABSTRACT_SYNTAXES: Final[tuple[str, ...]] = (
    uids.VERIFICATION,
    uids.STUDY_ROOT_FIND,
    uids.PATIENT_ROOT_FIND,
    uids.STUDY_ROOT_MOVE,
    uids.PATIENT_ROOT_MOVE,
    uids.STUDY_ROOT_GET,
    uids.PATIENT_ROOT_GET,
    uids.MODALITY_WORKLIST_FIND,
    uids.STORAGE_COMMITMENT_PUSH,
    *uids.COMMON_STORAGE,
    uids.INVENTED_ABSTRACT_SYNTAX,
)
_ID_OF: Final = {uid: 2 * i + 1 for i, uid in enumerate(ABSTRACT_SYNTAXES)}
_SYNTAX_OF: Final = {number: uid for uid, number in _ID_OF.items()}
VERIFICATION_CONTEXT: Final = _ID_OF[uids.VERIFICATION]

TELL_NO_IMPLEMENTATION: Final = "no-implementation-class-uid"
TELL_INVENTED: Final = "invented-abstract-syntax-accepted"
TELL_UNPROPOSED: Final = "context-never-proposed"


@lru_cache(maxsize=64)
def request(called: str = CALLED, calling: str = CALLING) -> bytes:
    """The A-ASSOCIATE-RQ, encoded. Implicit VR little endian stands first: everybody must take it (PS3.5 §10.1)."""
    contexts = tuple(
        ProposedContext(_ID_OF[uid], uid, (uids.IMPLICIT_LE, uids.EXPLICIT_LE)) for uid in ABSTRACT_SYNTAXES
    )
    user = UserInformation(
        maximum_length=MAXIMUM_LENGTH,
        implementation_class_uid=uids.IMPLEMENTATION_CLASS_UID,
        implementation_version_name=uids.IMPLEMENTATION_VERSION_NAME,
    )
    return encode(AssociateRequest(called=called, calling=calling, contexts=contexts, user=user))


def read_accept(body: bytes) -> Accepted:
    """An A-ASSOCIATE-AC's body as what it tells. Raises ProtocolError.

    Servers sit in clusters of identical configuration (44 % of them in 2025), so that identical bodies are read once.
    """
    return _read_small(body) if len(body) <= 4096 else _read(body)


def _read(body: bytes) -> Accepted:
    accept = decode(PduType.ASSOCIATE_AC, body)
    if not isinstance(accept, AssociateAccept):
        raise ProtocolError("not an A-ASSOCIATE-AC")
    accepted = {result.id for result in accept.contexts if result.result == 0}
    tells = []
    if accept.user.implementation_class_uid is None:
        tells.append(TELL_NO_IMPLEMENTATION)
    if _ID_OF[uids.INVENTED_ABSTRACT_SYNTAX] in accepted:
        tells.append(TELL_INVENTED)
    if any(result.id not in _SYNTAX_OF for result in accept.contexts):
        tells.append(TELL_UNPROPOSED)
    return Accepted(
        contexts=tuple(uid for number, uid in _SYNTAX_OF.items() if number in accepted),
        max_pdu=accept.user.maximum_length,
        implementation_class_uid=_printable(accept.user.implementation_class_uid, 64),
        implementation_version_name=_printable(accept.user.implementation_version_name, 16),
        tells=tuple(tells),
    )


_read_small = lru_cache(maxsize=1024)(_read)


def _printable(text: str | None, longest: int) -> str | None:
    """A product's own name, without what could play tricks on a terminal or a page."""
    if text is None:
        return None
    return "".join(c if " " <= c <= "~" else "?" for c in text[:longest]).strip()
