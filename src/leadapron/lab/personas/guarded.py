"""Servers that turn strangers away, each in its own way."""

from __future__ import annotations

from msgspec import structs

from leadapron.lab.persona import Persona, Verdict
from leadapron.lab.personas.archives import DCMTK, ORTHANC
from leadapron.lab.server.conversation import DicomTalk
from leadapron.lab.server.profile import CONGESTION, NO_REASON, UNCOMPRESSED, Answers, Door
from leadapron.lab.server.tls import over_tls
from leadapron.wire import uids

_FAMILY = "guarded"


def _guarded(
    name: str, summary: str, door: Door, answers: Answers | None = None, verdicts: tuple[Verdict, ...] = ("guarded",)
) -> Persona:
    return Persona(
        name=name,
        family=_FAMILY,
        summary=summary,
        verdicts=verdicts,
        door=door,
        answers=answers or Answers(),
        archive=True,
        product="DCMTK",
    )


PERSONAS = (
    _guarded(
        "rejects-calling",
        "lets in only calling AE titles that it knows",
        structs.replace(DCMTK, calling=("CT_ROOM_1",)),
    ),
    _guarded("rejects-called", "must be called by its own AE title", structs.replace(ORTHANC, called=("PACS_7F3A",))),
    _guarded("needs-identity", "wants a User Identity item (58H)", structs.replace(DCMTK, identity=True)),
    _guarded("rejects-everybody", "rejects, no reason given", structs.replace(DCMTK, reject=NO_REASON)),
    _guarded("congested", "rejects for the moment: temporary congestion", structs.replace(DCMTK, reject=CONGESTION)),
    _guarded(
        "refuses-contexts", "accepts the association and no presentation context", structs.replace(DCMTK, abstract=())
    ),
    _guarded(
        "refuses-syntaxes",
        "knows the services, but none of the uncompressed transfer syntaxes",
        structs.replace(DCMTK, transfer=(uids.JPEG_2000,)),
    ),
    _guarded(
        "not-authorized",
        "accepts, echoes, and refuses every C-FIND: not authorized (0124H)",
        DCMTK,
        Answers(find_status=0x0124, store_status=0x0124, move_status=0x0124, get_status=0x0124),
        ("guarded", "open"),
    ),
    Persona(
        name="any-scp-title",
        family=_FAMILY,
        summary="wants a called AE title that every tool sends: ANY-SCP",
        verdicts=("exposed",),
        door=structs.replace(DCMTK, called=("ANY-SCP",)),
        archive=True,
        completable=True,
        product="DCMTK",
    ),
    Persona(
        name="orthanc-title",
        family=_FAMILY,
        summary="wants the called AE title that its product comes with: ORTHANC",
        verdicts=("exposed", "guarded"),
        door=structs.replace(ORTHANC, called=("ORTHANC",)),
        archive=True,
        completable=True,
        product="DCMTK",
    ),
    Persona(
        name="tls-open",
        family=_FAMILY,
        summary="speaks TLS only, and then serves anybody",
        verdicts=("exposed",),
        talk=over_tls(DicomTalk),
        door=structs.replace(ORTHANC, transfer=UNCOMPRESSED),
        archive=True,
        completable=True,
        product="DCMTK",
        transport="tls",
        options={"certificate": ""},
    ),
    Persona(
        name="tls-titles",
        family=_FAMILY,
        summary="speaks TLS only, and lets in only calling AE titles that it knows",
        verdicts=("guarded",),
        talk=over_tls(DicomTalk, alerts=True),
        door=structs.replace(ORTHANC, calling=("CT_ROOM_1",)),
        archive=True,
        product="DCMTK",
        transport="tls",
    ),
    Persona(
        name="tls-mutual",
        family=_FAMILY,
        summary="wants a client certificate",
        verdicts=("guarded",),
        talk=over_tls(DicomTalk, client_certificate=True),
        door=ORTHANC,
        archive=True,
        product="DCMTK",
        transport="tls",
    ),
)
