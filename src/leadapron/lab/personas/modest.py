"""Servers that let anybody in and have little, or nothing, to give."""

from __future__ import annotations

from msgspec import structs

from leadapron.lab.persona import Persona
from leadapron.lab.personas.archives import DCMTK, ORTHANC
from leadapron.lab.server.profile import PATIENT_ROOT, STUDY_ROOT, Answers
from leadapron.wire import uids

_FAMILY = "open, with little to give"

PERSONAS = (
    Persona(
        name="empty",
        family=_FAMILY,
        summary="an archive without a study",
        verdicts=("open",),
        door=ORTHANC,
        completable=True,
        product="DCMTK",
    ),
    Persona(
        name="echo-only",
        family=_FAMILY,
        summary="Verification and nothing else",
        verdicts=("open",),
        door=structs.replace(DCMTK, abstract=(uids.VERIFICATION,)),
        product="DCMTK",
    ),
    Persona(
        name="store-only",
        family=_FAMILY,
        summary="takes images from anybody, answers no query",
        verdicts=("open",),
        door=structs.replace(DCMTK, abstract=(uids.VERIFICATION, *uids.COMMON_STORAGE)),
        product="DCMTK",
    ),
    Persona(
        name="worklist-only",
        family=_FAMILY,
        summary="Modality Worklist, today empty",
        verdicts=("open",),
        door=structs.replace(DCMTK, abstract=(uids.VERIFICATION, uids.MODALITY_WORKLIST_FIND)),
        product="DCMTK",
    ),
    Persona(
        name="find-only",
        family=_FAMILY,
        summary="study root C-FIND without Verification, retrieval or storage",
        verdicts=("exposed",),
        door=structs.replace(DCMTK, abstract=(STUDY_ROOT[0],)),
        archive=True,
        completable=True,
        product="DCMTK",
    ),
    Persona(
        name="patient-root-only",
        family=_FAMILY,
        summary="knows the patient root only, where a study query without PatientID is refused (A900H)",
        verdicts=("exposed", "open"),
        door=structs.replace(DCMTK, abstract=(uids.VERIFICATION, *PATIENT_ROOT)),
        answers=Answers(needs_patient=True),
        archive=True,
        product="DCMTK",
    ),
    Persona(
        name="find-fails",
        family=_FAMILY,
        summary="accepts C-FIND and then can't process any (C000H)",
        verdicts=("open",),
        door=DCMTK,
        answers=Answers(find_status=0xC000),
        archive=True,
        product="DCMTK",
    ),
)
