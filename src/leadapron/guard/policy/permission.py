"""Permissions: one enum, ``surface:operation``. Whatever is not in it nobody may do."""

from __future__ import annotations

from enum import StrEnum


class Permission(StrEnum):
    """What a peer or a person may be allowed. The grammar is ``surface:operation``."""

    DICOM_ECHO = "dicom:echo"
    DICOM_STORE = "dicom:store"
    DICOM_FIND = "dicom:find"
    DICOM_WORKLIST = "dicom:worklist"
    DICOM_RETRIEVE = "dicom:retrieve"  # C-GET, and C-MOVE to a destination that is listed
    DICOM_COMMIT = "dicom:commit"
    WEB_VIEW = "web:view"  # pages of an older viewer
    WEB_QUERY = "web:query"  # QIDO-RS, and lists of Orthanc's REST
    WEB_RETRIEVE = "web:retrieve"  # WADO-RS, WADO-URI, downloads
    WEB_STORE = "web:store"  # STOW-RS, uploads
    WEB_DELETE = "web:delete"
    ADMIN_PEERS = "admin:peers"
    ADMIN_USERS = "admin:users"
    ADMIN_AUDIT = "admin:audit"

    @property
    def surface(self) -> str:
        return self.value.partition(":")[0]

    @property
    def operation(self) -> str:
        return self.value.partition(":")[2]
