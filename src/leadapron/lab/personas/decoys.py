"""Honeypots: they want to be found, and behave as no real archive does."""

from __future__ import annotations

from leadapron.lab.persona import Persona
from leadapron.lab.personas.archives import PYNETDICOM
from leadapron.lab.server.profile import ARCHIVE, Answers, Door

_FAMILY = "decoys"

PERSONAS = (
    Persona(
        name="dicompot",
        family=_FAMILY,
        summary="Dicompot: no Implementation Class UID, any abstract syntax, one answer a file, no C-STORE (0211H)",
        verdicts=("decoy",),
        door=Door(
            implementation_class_uid=None,
            implementation_version_name=None,
            max_pdu=4194304,
            abstract=None,
            transfer=(),
            retrieve_ae="radiant",
        ),
        answers=Answers(rows="file", any_level=True, store_status=0x0211),
        archive=True,
    ),
    Persona(
        name="dicomhawk",
        family=_FAMILY,
        summary="DICOMHawk: pynetdicom with a few public research studies; nothing on the wire gives it away",
        verdicts=("decoy", "exposed"),
        door=PYNETDICOM,
        archive=True,
        completable=True,
        product="pynetdicom",
    ),
    Persona(
        name="accepts-anything",
        family=_FAMILY,
        summary="accepts even an abstract syntax that does not exist, but has an identity",
        verdicts=("decoy", "exposed"),
        door=Door(
            implementation_class_uid="1.2.276.0.7230010.3.0.3.6.7",
            implementation_version_name="OFFIS_DCMTK_367",
            abstract=None,
            transfer=(),
        ),
        archive=True,
        completable=True,
        product="DCMTK",
    ),
    Persona(
        name="no-implementation-uid",
        family=_FAMILY,
        summary="a real archive but for the missing Implementation Class UID",
        verdicts=("exposed", "decoy"),
        door=Door(implementation_class_uid=None, implementation_version_name=None, abstract=ARCHIVE),
        archive=True,
        completable=True,
    ),
)
