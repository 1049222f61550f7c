"""Permissions: one enum, ``surface:operation``. Whatever is not in it nobody may do.

In a file the surface may be left out where it is ``dicom``: ``store`` is ``dicom:store``. There are no wildcards.
``dicom:*`` would grant what a later version adds, to peers that nobody thought of then, and the longest honest list
has seven words. An unknown word is an error that names the closest one, never a word that is silently ignored: a rule
that is not understood must not be half applied.
"""

from __future__ import annotations

from enum import StrEnum

from leadapron.guard.policy.words import closest, shown
from leadapron.kernel.errors import UsageError


class Permission(StrEnum):
    """What a peer or a person may be allowed. The grammar is ``surface:operation``."""

    DICOM_ECHO = "dicom:echo"
    DICOM_STORE = "dicom:store"
    DICOM_FIND = "dicom:find"
    DICOM_WORKLIST = "dicom:worklist"
    DICOM_RETRIEVE = "dicom:retrieve"  # C-GET, and C-MOVE to a destination that is listed
    DICOM_COMMIT = "dicom:commit"
    DICOM_MPPS = "dicom:mpps"  # performed procedure steps: create and set
    WEB_VIEW = "web:view"  # pages of an older viewer
    WEB_QUERY = "web:query"  # QIDO-RS, and lists of Orthanc's REST
    WEB_RETRIEVE = "web:retrieve"  # WADO-RS, WADO-URI, downloads
    WEB_STORE = "web:store"  # STOW-RS, uploads
    WEB_DELETE = "web:delete"
    CONSOLE_VIEW = "console:view"  # what stands open, and what is done about it
    CONSOLE_WORK = "console:work"  # cases and owners; drafts of notices
    CONSOLE_SEND = "console:send"  # approve and send notices
    CONSOLE_SCAN = "console:scan"  # begin, pause and resume rounds
    ADMIN_PEERS = "admin:peers"
    ADMIN_USERS = "admin:users"
    ADMIN_AUDIT = "admin:audit"

    @property
    def surface(self) -> str:
        return self.value.partition(":")[0]

    @property
    def operation(self) -> str:
        return self.value.partition(":")[2]

    @property
    def people_only(self) -> bool:
        """Whether no machine can be allowed it."""
        return self.surface in ("console", "admin")

    @property
    def word(self) -> str:
        """As one writes it: ``store`` for ``dicom:store``, else the whole."""
        return self.operation if self.surface == "dicom" else self.value


def permission(word: str) -> Permission:
    """What ``word`` means: ``store``, ``dicom:store``, ``web:query``. Raises UsageError with the closest one."""
    found = _WORDS.get(word)
    if found is not None:
        return found
    if "*" in word:
        raise UsageError(f"{shown(word)}: there are no wildcards; write each operation: {', '.join(_SHORT)}")
    meant = _MEANT.get(word.casefold().removeprefix("dicom:").removeprefix("c-"))
    if meant is not None:
        raise UsageError(f'there is no operation {shown(word)}; it belongs to "{meant.word}"')
    raise UsageError(f'there is no operation {shown(word)}; the closest one is "{closest(word, _WORDS)}"')


_WORDS = {name: one for one in Permission for name in (one.value, one.word)}
_MEANT = {
    **dict.fromkeys(("move", "get", "read", "pull", "receive"), Permission.DICOM_RETRIEVE),
    **dict.fromkeys(("send", "write", "push", "upload"), Permission.DICOM_STORE),
    **dict.fromkeys(("query", "search", "list"), Permission.DICOM_FIND),
    **dict.fromkeys(("ping", "verify", "verification"), Permission.DICOM_ECHO),
    **dict.fromkeys(("mwl", "schedule"), Permission.DICOM_WORKLIST),
    **dict.fromkeys(("commitment", "n-action"), Permission.DICOM_COMMIT),
    **dict.fromkeys(("n-create", "n-set", "procedure"), Permission.DICOM_MPPS),
}
"""What others call them."""
_SHORT = tuple(one.word for one in Permission if not one.people_only)
