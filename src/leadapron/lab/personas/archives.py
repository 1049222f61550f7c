"""Archives that let anybody in, with the identity that each product shows in its A-ASSOCIATE-AC."""

from __future__ import annotations

from typing import Final

from leadapron.lab.persona import Persona
from leadapron.lab.server.profile import ARCHIVE, PATIENT_ROOT, STUDY_ROOT, Answers, Door
from leadapron.wire import uids

_FAMILY = "open archives"
_GET = (uids.STUDY_ROOT_GET, uids.PATIENT_ROOT_GET)

ORTHANC: Final = Door(
    implementation_class_uid="1.2.276.0.7230010.3.0.3.6.8",  # Orthanc answers with its DCMTK's identity
    implementation_version_name="OFFIS_DCMTK_368",
    abstract=(*ARCHIVE, uids.STORAGE_COMMITMENT_PUSH),
    retrieve_ae="ORTHANC",
)
DCMTK: Final = Door(
    implementation_class_uid="1.2.276.0.7230010.3.0.3.6.7",
    implementation_version_name="OFFIS_DCMTK_367",
    retrieve_ae="COMMON",
)
PYNETDICOM: Final = Door(
    implementation_class_uid="1.2.826.0.1.3680043.9.3811.3.0.4",
    implementation_version_name="PYNETDICOM_304",
    max_pdu=16382,
    transfer=(),
)


def _open(name: str, product: str, summary: str, door: Door, answers: Answers | None = None) -> Persona:
    return Persona(
        name=name,
        family=_FAMILY,
        summary=summary,
        verdicts=("exposed",),
        door=door,
        answers=answers or Answers(),
        archive=True,
        completable=True,
        product=product,
    )


PERSONAS = (
    _open("orthanc", "DCMTK", "Orthanc: DCMTK's identity, storage commitment, C-GET and C-MOVE", ORTHANC),
    _open("dcmtk", "DCMTK", "DCMTK's dcmqrscp: query, retrieve and storage for anybody", DCMTK),
    _open(
        "dcm4chee",
        "dcm4che",
        "dcm4chee-arc, worklist and storage commitment included",
        Door(
            implementation_class_uid="1.2.40.0.13.1.3",
            implementation_version_name="dcm4che-5.31.1",
            abstract=(*ARCHIVE, uids.MODALITY_WORKLIST_FIND, uids.STORAGE_COMMITMENT_PUSH),
            retrieve_ae="DCM4CHEE",
        ),
    ),
    _open(
        "dcm4chee-2",
        "dcm4che",
        "dcm4chee 2, still found everywhere; no C-GET",
        Door(
            implementation_class_uid="1.2.40.0.13.1.1.1",
            implementation_version_name="dcm4che-1.4.31",
            abstract=tuple(uid for uid in ARCHIVE if uid not in _GET),
            retrieve_ae="DCM4CHEE",
        ),
    ),
    _open(
        "conquest",
        "ConQuest",
        "ConQuest DICOM server",
        Door(
            implementation_class_uid="1.2.826.0.1.3680043.2.135.1066.101",
            implementation_version_name="1.5.0/WIN32",
            max_pdu=16384,
            transfer=(uids.IMPLICIT_LE, uids.EXPLICIT_LE),
            retrieve_ae="CONQUESTSRV1",
        ),
    ),
    _open(
        "osirix",
        "OsiriX/Horos",
        "OsiriX on a reading room's Mac: study root only",
        Door(
            implementation_class_uid="1.2.276.0.7238010.5.0.3.5.4",
            implementation_version_name="OSIRIX_354",
            abstract=(uids.VERIFICATION, *STUDY_ROOT, *uids.COMMON_STORAGE),
            retrieve_ae="OSIRIX",
        ),
    ),
    _open(
        "horos",
        "OsiriX/Horos",
        "Horos, which announces the UID root registered for OsiriX",
        Door(
            implementation_class_uid="1.2.826.0.1.3680043.8.1057.1",
            implementation_version_name="HOROS",
            abstract=(uids.VERIFICATION, *STUDY_ROOT, *uids.COMMON_STORAGE),
            retrieve_ae="HOROS",
        ),
    ),
    _open(
        "clearcanvas",
        "ClearCanvas",
        "ClearCanvas workstation",
        Door(
            implementation_class_uid="1.3.6.1.4.1.25403.1.1.1",
            implementation_version_name="Dicom 0.1",
            max_pdu=116794,
            abstract=(uids.VERIFICATION, *STUDY_ROOT[:2], *uids.COMMON_STORAGE),
            retrieve_ae="CLEARCANVAS",
        ),
    ),
    _open("pynetdicom", "pynetdicom", "pynetdicom's qrscp, takes the first transfer syntax offered", PYNETDICOM),
    _open(
        "ge-pacs",
        "GE HealthCare",
        "a large maker's PACS: pending answers are FF01, no C-GET",
        Door(
            implementation_class_uid="1.2.840.113619.6.374",
            implementation_version_name="PACS_6.2",
            max_pdu=65536,
            abstract=tuple(uid for uid in ARCHIVE if uid not in _GET),
            transfer=(uids.IMPLICIT_LE,),
        ),
        Answers(status=0xFF01),
    ),
    _open(
        "siemens-console",
        "Siemens",
        "a scanner's own console, patient and study root, small PDUs",
        Door(
            implementation_class_uid="1.3.12.2.1107.5.2",
            implementation_version_name="MR_VB19A",
            max_pdu=28672,
            abstract=(uids.VERIFICATION, *STUDY_ROOT[:2], *PATIENT_ROOT[:2], uids.MR_IMAGE_STORAGE),
            transfer=(uids.IMPLICIT_LE,),
        ),
    ),
    _open(
        "unmatched",
        "",
        "a server whose implementation UID nobody knows",
        Door(implementation_class_uid="1.3.6.1.4.1.99999.77.1", implementation_version_name="PACS SERVER V3"),
    ),
    _open(
        "no-version-name",
        "DCMTK",
        "leaves out the optional version name (55H)",
        Door(implementation_class_uid="1.2.276.0.7230010.3.0.3.6.0", implementation_version_name=None),
    ),
)
