"""What exists on the web side: the table of methods and paths, and what each of them needs. All else is refused.

The table is the specification. A row names where it belongs (``DICOMWEB``: PS3.18; ``WADO``: its WADO-URI;
``ORTHANC``: the REST interface of Orthanc), the method, the path below that mount, the permission, what is
answered, the query parameters that go inside, and how the study is found that the request counts for. Of Orthanc's
REST this is what a reader and a viewer use; scripts, jobs, modalities, peers, plugins, metadata, configuration and
shutdown have no row, so they do not exist here, whoever asks.

``{study}``, ``{series}``, ``{instance}`` are UIDs, ``{id}`` an identifier of Orthanc, ``{frames}`` numbers with commas,
``{number}`` one number, ``{bulk*}`` and ``{file*}`` the rest of the path.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from msgspec import Struct

from leadapron.guard.gateway.web.target import is_uid
from leadapron.guard.policy.permission import Permission

QUERY, RETRIEVE, STORE, DELETE, VIEW = (
    Permission.WEB_QUERY,
    Permission.WEB_RETRIEVE,
    Permission.WEB_STORE,
    Permission.WEB_DELETE,
    Permission.WEB_VIEW,
)


class Kind(Enum):
    """Which interface of the archive a row belongs to."""

    DICOMWEB = "dicomweb"
    WADO = "wado"
    ORTHANC = "orthanc"


class Answer(Enum):
    """What may come back; everything else is handed out as a file to be saved, or not at all."""

    DICOM_JSON = "the DICOM JSON model: lists and metadata, with addresses rewritten"
    JSON = "JSON of Orthanc"
    MEDIA = "DICOM files, frames, images, bulk data"
    ARCHIVE = "ZIP of DICOM files"
    PAGE = "a file of a viewer"
    TEXT = "plain text"


class Body(Enum):
    """What a request may carry."""

    NONE = "nothing"
    RELATED = "multipart/related of application/dicom"
    DICOM = "one DICOM file"
    FIND = "a query of Orthanc's /tools/find"
    LOOKUP = "one identifier for Orthanc's /tools/lookup"


class Counts(Enum):
    """How it is known which study a retrieval counts for."""

    NOTHING = "not a retrieval"
    PATH = "the study's UID stands in the path"
    PARAMETER = "the study's UID stands in the query"
    ORTHANC = "the archive must be asked which study an identifier belongs to"


class Event(Enum):
    """What the audit trail calls it (PS3.15 §A.5.3)."""

    NONE = "nothing of a patient"
    QUERY = "Query"
    ACCESS = "DICOM Instances Accessed"
    EXPORT = "DICOM Instances Transferred, out"
    IMPORT = "DICOM Instances Transferred, in"
    DELETE = "DICOM Study Deleted"


class Route(Struct, frozen=True):
    """A row of the table. ``parameters`` None: DICOM attributes and options of QIDO-RS."""

    kind: Kind
    method: str
    path: tuple[str, ...]
    permission: Permission
    answer: Answer
    event: Event
    counts: Counts
    parameters: frozenset[str] | None
    body: Body


class Match(Struct, frozen=True):
    """A row, and what stood for its placeholders."""

    route: Route
    values: dict[str, str]


_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{8}){4}")
_FRAMES: Final = re.compile(r"[1-9][0-9]{0,8}(?:,[1-9][0-9]{0,8}){0,255}")
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_FILE: Final = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}\."
    r"(?:html|js|mjs|css|png|jpg|jpeg|gif|ico|woff|woff2|ttf|json|wasm|txt|eot|map)",
    re.IGNORECASE,
)
MAX_REST: Final = 12


def _table() -> list[Route]:
    rows: list[Route] = []

    def add(
        kind: Kind,
        method: str,
        paths: str,
        permission: Permission,
        answer: Answer,
        event: Event = Event.NONE,
        counts: Counts = Counts.NOTHING,
        parameters: str | None = "",
        body: Body = Body.NONE,
    ) -> None:
        known = None if parameters is None else frozenset(parameters.split())
        rows.extend(
            Route(kind, method, tuple(path.split("/")), permission, answer, event, counts, known, body)
            for path in paths.split()
        )

    web, study = Kind.DICOMWEB, "studies/{study}"
    series = f"{study}/series/{{series}}"
    instance = f"{series}/instances/{{instance}}"
    levels = f"{study} {series} {instance}"
    shown = "accept viewport window quality annotation charset iccprofile presentationSeriesUID presentationUID"

    # QIDO-RS, PS3.18 §10.6
    lists = f"studies series instances {study}/series {study}/instances {series}/instances"
    add(web, "GET", lists, QUERY, Answer.DICOM_JSON, Event.QUERY, parameters=None)
    # WADO-RS, PS3.18 §10.4
    metadata = " ".join(f"{level}/metadata" for level in levels.split())
    add(web, "GET", metadata, RETRIEVE, Answer.DICOM_JSON, Event.ACCESS, Counts.PATH, "accept charset includefield")
    add(web, "GET", levels, RETRIEVE, Answer.MEDIA, Event.EXPORT, Counts.PATH, "accept")
    pieces = f"{instance}/frames/{{frames}} {instance}/bulkdata/{{bulk*}} {instance}/bulk/{{bulk*}} " + " ".join(
        f"{level}/{what}" for level in levels.split() for what in ("bulkdata", "pixeldata")
    )
    add(web, "GET", pieces, RETRIEVE, Answer.MEDIA, Event.ACCESS, Counts.PATH, "accept")
    pictures = " ".join(
        f"{level}/{what}"
        for level in (*levels.split(), f"{instance}/frames/{{frames}}")
        for what in ("rendered", "thumbnail")
    )
    add(web, "GET", pictures, RETRIEVE, Answer.MEDIA, Event.ACCESS, Counts.PATH, shown)
    # STOW-RS, PS3.18 §10.5
    add(web, "POST", f"studies {study}", STORE, Answer.DICOM_JSON, Event.IMPORT, body=Body.RELATED)
    add(web, "DELETE", levels, DELETE, Answer.TEXT, Event.DELETE)
    # WADO-URI, PS3.18 §9
    uri = (
        "requestType studyUID seriesUID objectUID contentType charset anonymize annotation rows columns region "
        "windowCenter windowWidth frameNumber imageQuality presentationUID presentationSeriesUID transferSyntax"
    )
    add(Kind.WADO, "GET", "wado", RETRIEVE, Answer.MEDIA, Event.EXPORT, Counts.PARAMETER, uri)

    rest, found = Kind.ORTHANC, Counts.ORTHANC
    paged = "expand since limit full short requestedTags requested-tags"
    add(rest, "GET", "system statistics", VIEW, Answer.JSON)
    add(rest, "GET", "app/{file*} stone-webviewer/{file*} ohif/{file*}", VIEW, Answer.PAGE, parameters="v version")
    add(rest, "GET", "patients studies series instances", QUERY, Answer.JSON, Event.QUERY, parameters=paged)
    below = (
        "patients/{id} patients/{id}/studies patients/{id}/series patients/{id}/instances patients/{id}/statistics "
        "studies/{id} studies/{id}/patient studies/{id}/series studies/{id}/instances studies/{id}/statistics "
        "series/{id} series/{id}/patient series/{id}/study series/{id}/instances series/{id}/statistics "
        "series/{id}/ordered-slices "
        "instances/{id} instances/{id}/patient instances/{id}/study instances/{id}/series instances/{id}/statistics"
    )
    add(rest, "GET", below, QUERY, Answer.JSON, Event.QUERY, parameters="expand full short requestedTags")
    add(rest, "POST", "tools/find", QUERY, Answer.JSON, Event.QUERY, body=Body.FIND)
    add(rest, "POST", "tools/lookup", QUERY, Answer.JSON, Event.QUERY, body=Body.LOOKUP)
    tags = (
        "instances/{id}/tags instances/{id}/simplified-tags instances/{id}/header instances/{id}/frames "
        "patients/{id}/shared-tags studies/{id}/shared-tags series/{id}/shared-tags "
        "patients/{id}/module studies/{id}/module series/{id}/module instances/{id}/module studies/{id}/module-patient "
        "studies/{id}/instances-tags series/{id}/instances-tags"
    )
    add(rest, "GET", tags, RETRIEVE, Answer.JSON, Event.ACCESS, found, "simplify short full ignore-length")
    renditions = ("preview", "rendered", "image-uint8", "image-uint16", "image-int16")
    pictures = " ".join(
        f"{base}/{what}" for base in ("instances/{id}", "instances/{id}/frames/{number}") for what in renditions
    )
    drawn = "quality returnUnsupportedImage width height smooth window-center window-width"
    add(rest, "GET", pictures, RETRIEVE, Answer.MEDIA, Event.ACCESS, found, drawn)
    raw = "instances/{id}/frames/{number}/raw"
    add(rest, "GET", raw, RETRIEVE, Answer.MEDIA, Event.ACCESS, found)
    add(rest, "GET", "instances/{id}/file", RETRIEVE, Answer.MEDIA, Event.EXPORT, found)
    whole = "patients/{id}/archive studies/{id}/archive series/{id}/archive"
    add(rest, "GET", whole, RETRIEVE, Answer.ARCHIVE, Event.EXPORT, found)
    add(rest, "POST", "instances", STORE, Answer.JSON, Event.IMPORT, body=Body.DICOM)
    below = "patients/{id} studies/{id} series/{id} instances/{id}"
    add(rest, "DELETE", below, DELETE, Answer.JSON, Event.DELETE, found)
    return rows


ROUTES: Final = tuple(_table())


def find(kind: Kind, method: str, segments: tuple[str, ...]) -> Match | None:
    """The row for a request, None where there is none."""
    for route in _BY_METHOD.get((kind, method), ()):
        values = _values(route.path, segments)
        if values is not None:
            return Match(route, values)
    return None


def is_orthanc_id(text: str) -> bool:
    """Whether it looks as Orthanc's identifiers do: a SHA-1 in five groups."""
    return _ID.fullmatch(text) is not None


def methods(kind: Kind, segments: tuple[str, ...]) -> list[str]:
    """With which methods a path exists."""
    return sorted(
        {route.method for route in ROUTES if route.kind is kind and _values(route.path, segments) is not None}
    )


def _values(path: tuple[str, ...], segments: tuple[str, ...]) -> dict[str, str] | None:
    if path[-1].endswith("*}"):
        rest = segments[len(path) - 1 :]
        if not 1 <= len(rest) <= MAX_REST or not all(rest) or not _rest_fits(path[-1], rest):
            return None
        path, segments = path[:-1], segments[: len(path) - 1]
    elif len(path) != len(segments):
        return None
    values: dict[str, str] = {}
    for expected, segment in zip(path, segments, strict=True):
        if not expected.startswith("{"):
            if expected != segment:
                return None
        elif _fits(expected, segment):
            values[expected[1:-1]] = segment
        else:
            return None
    return values


def _fits(placeholder: str, segment: str) -> bool:
    match placeholder:
        case "{study}" | "{series}" | "{instance}":
            return is_uid(segment)
        case "{id}":
            return _ID.fullmatch(segment) is not None
        case "{frames}":
            return _FRAMES.fullmatch(segment) is not None
        case _:
            return _NUMBER.fullmatch(segment) is not None


def _rest_fits(placeholder: str, rest: tuple[str, ...]) -> bool:
    return placeholder != "{file*}" or _FILE.fullmatch(rest[-1]) is not None


_BY_METHOD: Final = {
    key: [route for route in ROUTES if (route.kind, route.method) == key]
    for key in {(route.kind, route.method) for route in ROUTES}
}
