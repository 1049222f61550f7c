"""What a server looks like at the door, and how it answers: data that a persona is made of.

Each field can be overridden for one endpoint by the option of the same name in a population file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from leadapron.wire import uids
from leadapron.wire.pdu import AssociateReject

STUDY_ROOT = (uids.STUDY_ROOT_FIND, uids.STUDY_ROOT_MOVE, uids.STUDY_ROOT_GET)
PATIENT_ROOT = (uids.PATIENT_ROOT_FIND, uids.PATIENT_ROOT_MOVE, uids.PATIENT_ROOT_GET)
ARCHIVE = (uids.VERIFICATION, *STUDY_ROOT, *PATIENT_ROOT, *uids.COMMON_STORAGE)
UNCOMPRESSED = (uids.EXPLICIT_LE, uids.IMPLICIT_LE, uids.EXPLICIT_BE)

CALLING_UNKNOWN = AssociateReject(1, 1, 3)  # PS3.8 Table 9-21
CALLED_UNKNOWN = AssociateReject(1, 1, 7)
NO_REASON = AssociateReject(1, 1, 1)
CONGESTION = AssociateReject(2, 3, 1)
LIMIT_EXCEEDED = AssociateReject(2, 3, 2)


class Door(Struct, frozen=True, kw_only=True):
    """How an association is negotiated.

    ``called``, ``calling``: the AE titles that are let in, empty for any. ``identity``: only with a User Identity item
    (PS3.7 §D.3.3.7). ``abstract``: the abstract syntaxes accepted; None accepts any, even invented ones. ``transfer``:
    the server's preference; empty takes the first one offered. ``reject``: whoever comes. ``max_pdu`` is what it
    announces. ``context_result``: what a refused context says (3: abstract syntax not supported).
    """

    implementation_class_uid: str | None
    implementation_version_name: str | None
    max_pdu: int = 16384
    abstract: tuple[str, ...] | None = ARCHIVE
    transfer: tuple[str, ...] = UNCOMPRESSED
    called: tuple[str, ...] = ()
    calling: tuple[str, ...] = ()
    called_reject: AssociateReject = CALLED_UNKNOWN
    calling_reject: AssociateReject = CALLING_UNKNOWN
    identity: bool = False
    reject: AssociateReject | None = None
    context_result: int = 3
    retrieve_ae: str = ""


AtLimit = Literal["silent", "cancel", "refuse", "stop"]


class Answers(Struct, frozen=True, kw_only=True):
    """How requests are answered.

    Find: ``limit`` answers at most; at the limit it is ``silent`` (Success, as if that were all), ends with ``cancel``
    (FE00H), ends with ``refusal`` after sending that many (``stop``), or refuses a query with more matches with
    ``refusal`` and no answer at all (``refuse``). ``status``: of pending answers. ``find_status``: refuse every query.
    ``error_comment`` goes with refusals. ``ignores_dates``: StudyDate and StudyTime match everything; ``ignores_times``
    StudyTime alone. ``open_ranges``: else a range without a bound matches nothing. ``needs_patient``: a query below the
    patient level without PatientID is refused. ``levels``: the query levels that are supported; ``any_level`` takes
    every level for STUDY. ``rows``: one answer a match, or one for each file, whatever the level asked.
    ``duplicates``: every n-th answer comes twice. ``study_images``, ``series_images``: what the counts of related
    instances say: the truth, left out, empty, zero, or absurd. ``omit``: further tags left out; ``always``: answered
    though not asked. ``endless``: the same again and again, never a final response. ``stalls_after``: that many
    answers, and then never a word. ``pause_s``: between two answers. ``wrong_message_id``: responses belong to no
    request. ``mangle``: spoils each identifier. ``one_pdu``: command and identifier share a PDU.

    ``store_status``, ``move_status``, ``get_status``: what those requests are answered with. Nothing is kept of what is
    stored, and nothing can be retrieved: made-up studies have no pixels.
    """

    limit: int = 0
    at_limit: AtLimit = "silent"
    refusal: int = 0xA700
    status: int = 0xFF00
    find_status: int = 0
    error_comment: str = ""
    ignores_dates: bool = False
    ignores_times: bool = False
    open_ranges: bool = True
    rows: Literal["match", "file"] = "match"
    duplicates: int = 0
    study_images: Literal["true", "none", "empty", "zero", "absurd"] = "true"
    series_images: Literal["true", "none", "empty", "zero", "absurd"] = "true"
    omit: tuple[int, ...] = ()
    always: tuple[int, ...] = ()
    endless: bool = False
    levels: tuple[str, ...] = ("PATIENT", "STUDY", "SERIES", "IMAGE")
    any_level: bool = False
    pause_s: float = 0.0
    wrong_message_id: bool = False
    one_pdu: bool = False
    needs_patient: bool = False
    stalls_after: int = 0
    mangle: Callable[[bytes], bytes] | None = None
    store_status: int = 0
    move_status: int = 0xA801
    get_status: int = 0xA702


OPTIONS = frozenset((*Door.__struct_fields__, *Answers.__struct_fields__)) - {
    "mangle",
    "reject",
    "abstract",
    "transfer",
}
"""Fields that a population file may set (as far as TOML can say them)."""
