"""Which permission an operation needs: SOP class, DIMSE command and direction → Permission, or None: nobody may.

Everything that an archive might offer beyond this table (printing, hanging protocols, colour palettes, implant
templates, inventories, protocol approval, reading procedure steps back) is refused until somebody needs it and a
permission is made for it. So are the composite instance models: their requests name instances, not studies, so the cap
on studies could not be kept.

Storage classes are a prefix and not a list, because PS3.4 Annex B gets new ones each year and a device must not stop
working for it. What stands under that prefix and stores no patient's object is taken out.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from enum import Enum, IntEnum
from typing import Final

from leadapron.guard.policy.permission import Permission
from leadapron.guard.policy.words import is_uid


class Command(IntEnum):
    """Command Field (0000,0100) of requests, PS3.7 Table E.1-1."""

    C_STORE = 0x0001
    C_GET = 0x0010
    C_FIND = 0x0020
    C_MOVE = 0x0021
    C_ECHO = 0x0030
    N_EVENT_REPORT = 0x0100
    N_GET = 0x0110
    N_SET = 0x0120
    N_ACTION = 0x0130
    N_CREATE = 0x0140
    N_DELETE = 0x0150
    C_CANCEL = 0x0FFF


class Direction(Enum):
    """Who sends the request: the peer, or the archive to the peer."""

    FROM_PEER = "from peer"
    TO_PEER = "to peer"


VERIFICATION: Final = "1.2.840.10008.1.1"
COMMITMENT_PUSH: Final = "1.2.840.10008.1.20.1"  # PS3.4 Annex J; the pull model is retired
MPPS: Final = "1.2.840.10008.3.1.2.3.3"  # PS3.4 §F.7; retrieving (§F.8) and being told (§F.9) are other classes
WORKLIST_FIND: Final = "1.2.840.10008.5.1.4.31"
# PS3.4 Annex C: patient root, study root, patient/study only (retired, and still asked for)
_MODELS: Final = tuple(f"1.2.840.10008.5.1.4.1.2.{root}." for root in (1, 2, 3))
FINDS: Final = frozenset(f"{model}1" for model in _MODELS)
MOVES: Final = frozenset(f"{model}2" for model in _MODELS)
GETS: Final = frozenset(f"{model}3" for model in _MODELS)

_STORAGE: Final = re.compile(r"1\.2\.840\.10008\.5\.1\.4\.1\.1\.(?!200\.[456]\Z|201\.)")
# Storage classes of radiotherapy that stand elsewhere (PS3.4 Table B.5-1).
_STORAGE_ELSEWHERE: Final = frozenset({"1.2.840.10008.5.1.4.34.7", "1.2.840.10008.5.1.4.34.10"})


def is_storage(sop_class: str, private: Collection[str] = ()) -> bool:
    """Whether objects of that class may be stored: a standard storage class, or one of ``private``."""
    return is_uid(sop_class) and (
        _STORAGE.match(sop_class) is not None or sop_class in _STORAGE_ELSEWHERE or sop_class in private
    )


def needed(
    sop_class: str, command: int, direction: Direction = Direction.FROM_PEER, private: Collection[str] = ()
) -> Permission | None:
    """The permission that the peer needs for a request with this Command Field on a context of that abstract syntax.

    None: nobody may. Requests that the archive sends to the peer are what the peer asked for earlier: objects of a
    C-GET (PS3.4 §C.4.3) need ``retrieve``, the report of a storage commitment (PS3.4 §J.3.3) needs ``commit``. A peer
    that sends such a report itself would tell the archive that something was kept that was not: nobody may.
    """
    found = _FROM_PEER.get((sop_class, command)) if direction is Direction.FROM_PEER else None
    if found is not None:
        return found
    if direction is Direction.TO_PEER and sop_class == COMMITMENT_PUSH and command == Command.N_EVENT_REPORT:
        return Permission.DICOM_COMMIT
    if command == Command.C_STORE and is_storage(sop_class, private):
        return Permission.DICOM_STORE if direction is Direction.FROM_PEER else Permission.DICOM_RETRIEVE
    return None


def uses(sop_class: str, private: Collection[str] = ()) -> frozenset[Permission]:
    """The permissions of which any gives a use for a presentation context of that abstract syntax; none: nobody's.

    A storage context is of use to who may store, and, where the peer takes the SCP role, to who may C-GET.
    """
    if is_storage(sop_class, private):
        return frozenset({Permission.DICOM_STORE, Permission.DICOM_RETRIEVE})
    return frozenset(one for (uid, _), one in _FROM_PEER.items() if uid == sop_class)


_FROM_PEER: Final[dict[tuple[str, int], Permission]] = {
    (VERIFICATION, Command.C_ECHO): Permission.DICOM_ECHO,
    (WORKLIST_FIND, Command.C_FIND): Permission.DICOM_WORKLIST,
    (WORKLIST_FIND, Command.C_CANCEL): Permission.DICOM_WORKLIST,
    (COMMITMENT_PUSH, Command.N_ACTION): Permission.DICOM_COMMIT,
    (MPPS, Command.N_CREATE): Permission.DICOM_MPPS,
    (MPPS, Command.N_SET): Permission.DICOM_MPPS,
    **{(uid, command): Permission.DICOM_FIND for uid in FINDS for command in (Command.C_FIND, Command.C_CANCEL)},
    **{(uid, command): Permission.DICOM_RETRIEVE for uid in MOVES for command in (Command.C_MOVE, Command.C_CANCEL)},
    **{(uid, command): Permission.DICOM_RETRIEVE for uid in GETS for command in (Command.C_GET, Command.C_CANCEL)},
}
