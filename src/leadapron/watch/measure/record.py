"""The endpoint record and the summary: the contract that others read (``leadapron schema endpoint``)."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from leadapron.watch.measure.model import Interval, Load, Transport

Verdict = Literal["exposed", "open", "guarded", "decoy", "other", "silent", "closed", "failed"]
Severity = Literal["critical", "high", "medium", "low", "info"]
VERDICTS: tuple[Verdict, ...] = ("exposed", "open", "guarded", "decoy", "other", "silent", "closed", "failed")
SEVERITIES: tuple[Severity, ...] = ("critical", "high", "medium", "low", "info")


class Software(Struct, frozen=True):
    product: str | None
    version: str | None
    implementation_class_uid: str | None
    implementation_version_name: str | None


class Capabilities(Struct, frozen=True):
    """Read off the presentation contexts that were accepted: nothing was retrieved or written to learn it.

    ``any_calling_ae``/``any_called_ae``: a title that nobody registered was accepted; None: not known.
    ``store`` is how many of the storage classes that were proposed the server takes.
    """

    echo: bool
    find: tuple[Literal["study", "patient"], ...]
    retrieve: tuple[Literal["get", "move"], ...]
    store: int
    worklist: bool
    commitment: bool
    any_calling_ae: bool | None
    any_called_ae: bool | None


class Exposed(Struct, frozen=True):
    """See ``model.Count``."""

    patients: int | None
    studies: int
    images: int | None
    complete: bool
    method: Literal["exact", "lower-bound", "estimate"]
    interval: Interval | None = None
    note: str | None = None


class ShapesFound(Struct, frozen=True):
    names: bool | None
    birth_dates: bool | None
    national_ids: bool | None


class FindingRef(Struct, frozen=True):
    """A finding as the record carries it; text, evidence and remedy are computed by ``judge``."""

    id: str
    severity: Severity


class EndpointRecord(Struct, frozen=True, tag_field="type", tag="endpoint"):
    """One line of ``--format jsonl``."""

    address: str
    port: int
    transport: Transport
    service: str
    verdict: Verdict
    reason: str | None
    software: Software | None
    capabilities: Capabilities | None
    exposed: Exposed | None
    shapes: ShapesFound | None
    findings: tuple[FindingRef, ...]
    load: Load
    observed_at: str
    elapsed_s: float
    schema: int = 1


class ExposedTotal(Struct, frozen=True):
    patients: int
    studies: int
    images: int
    complete: bool


class Summary(Struct, frozen=True, tag_field="type", tag="summary"):
    """The last line. ``targets`` counts addresses; ``archives`` distinct ones, two doors to one count once."""

    targets: int
    endpoints: dict[str, int]
    archives: int
    exposed: ExposedTotal
    elapsed_s: float
    schema: int = 1


_encode = msgspec.json.Encoder().encode
_last: tuple[EndpointRecord | None, str] = (None, "")


def encoded(record: EndpointRecord) -> str:
    """The record as JSON. It goes to the database and to the output one after the other, so the last one is kept."""
    global _last
    before, text = _last
    if before is not record:
        text = _encode(record).decode()
        _last = (record, text)
    return text
