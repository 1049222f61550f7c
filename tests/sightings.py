"""Measurements and records that tests of store and report share. A number makes the address."""

from __future__ import annotations

from leadapron.watch.measure.model import (
    Accepted,
    Attempt,
    Count,
    Echo,
    Interval,
    Load,
    Measurement,
    NotDicom,
    Rejected,
    Shapes,
)
from leadapron.watch.measure.record import (
    Capabilities,
    EndpointRecord,
    Exposed,
    FindingRef,
    ShapesFound,
    Software,
    Verdict,
)
from leadapron.wire import uids

OBSERVED = "2026-11-21T20:00:00Z"


def address(number: int) -> str:
    return f"127.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def exposed(number: int = 5, studies: int = 1503) -> tuple[Measurement, EndpointRecord]:
    """An open archive at the address of that number."""
    where = address(number)
    accept = Accepted(
        (uids.VERIFICATION, uids.STUDY_ROOT_FIND), 16384, "1.2.276.0.7230010.3.0.3.6.7", "OFFIS_DCMTK_367"
    )
    measurement = Measurement(
        where,
        11112,
        "count",
        (Attempt("tcp", "ANY-SCP", "LEADAPRON", accept),),
        OBSERVED,
        1.8,
        Load(2, 2, 5),
        Echo(0),
        Count(1200, studies, 48211, True, "exact"),
        Shapes(True, True, False),
    )
    record = EndpointRecord(
        where,
        11112,
        "tcp",
        "dicom",
        "exposed",
        None,
        Software("DCMTK", "3.6.7", "1.2.276.0.7230010.3.0.3.6.7", "OFFIS_DCMTK_367"),
        Capabilities(True, ("study",), (), 0, False, False, True, True),
        Exposed(1200, studies, 48211, True, "exact"),
        ShapesFound(True, True, False),
        (FindingRef("query-without-credentials", "critical"),),
        Load(2, 2, 5),
        OBSERVED,
        1.8,
    )
    return measurement, record


def other(number: int, verdict: Verdict = "other") -> tuple[Measurement, EndpointRecord]:
    """A web server at the address of that number."""
    where = address(number)
    attempt = Attempt("tcp", "ANY-SCP", "LEADAPRON", NotDicom("http"))
    measurement = Measurement(where, 104, "touch", (attempt,), OBSERVED, 0.1, Load(1, 0, 0))
    record = EndpointRecord(
        where, 104, "tcp", "http", verdict, None, None, None, None, None, (), Load(1, 0, 0), OBSERVED, 0.1
    )
    return measurement, record


# ---- measurements to be judged, for tests of the report --------------------------------------------------------------


def archive(
    number: int,
    count: Count | None = None,
    *,
    port: int = 11112,
    name: str | None = "OFFIS_DCMTK_367",
    uid: str | None = "1.2.276.0.7230010.3.0.3.6.7",
    where: str | None = None,
) -> Measurement:
    """A server that accepts everybody; exposed with a count, open without."""
    accept = Accepted((uids.VERIFICATION, uids.STUDY_ROOT_FIND, *uids.COMMON_STORAGE), 16384, uid, name)
    return Measurement(
        where or address(number),
        port,
        "count",
        (Attempt("tcp", "ANY-SCP", "LEADAPRON", accept),),
        OBSERVED,
        1.8,
        Load(2, 2, 5),
        Echo(0),
        count,
        Shapes(True, True, False) if count else None,
    )


def exact(studies: int, images: int | None = 48211, patients: int | None = 1200) -> Count:
    return Count(patients, studies, images, True, "exact", requests=3, answers=studies)


def at_least(studies: int) -> Count:
    note = "the server gives at most 500 answers at once, and one day holds more"
    return Count(10, studies, studies * 30, False, "lower-bound", None, note, limit=500, requests=9, answers=studies)


def about(studies: int) -> Count:
    interval = Interval((studies * 9 // 10, studies * 11 // 10), (studies * 25, studies * 35))
    return Count(None, studies, studies * 30, False, "estimate", interval, "estimated from a sample", requests=40)


def refusing(number: int) -> Measurement:
    """A server that turns strangers away."""
    attempt = Attempt("tcp", "ANY-SCP", "LEADAPRON", Rejected(1, 1, 7))
    return Measurement(address(number), 11112, "count", (attempt,), OBSERVED, 0.2, Load(1, 1, 0))


def web(number: int) -> Measurement:
    return other(number)[0]
