"""Measurements for the tests of judging: small makers, and a Hypothesis strategy over everything that can be stored."""

from __future__ import annotations

from hypothesis import strategies as st

from leadapron.watch.measure.model import (
    Aborted,
    Accepted,
    Attempt,
    Certificate,
    Count,
    CountFailed,
    Echo,
    Failed,
    HungUp,
    Interval,
    Load,
    Malformed,
    Measurement,
    NotDicom,
    Outcome,
    Refused,
    Rejected,
    Shapes,
    Silent,
    Tls,
    TlsFailed,
)
from leadapron.wire import uids

FIND = (uids.STUDY_ROOT_FIND, uids.PATIENT_ROOT_FIND)
RETRIEVE = (uids.STUDY_ROOT_MOVE, uids.PATIENT_ROOT_MOVE, uids.STUDY_ROOT_GET, uids.PATIENT_ROOT_GET)
EVERYTHING = (
    uids.VERIFICATION,
    *FIND,
    *RETRIEVE,
    uids.MODALITY_WORKLIST_FIND,
    uids.STORAGE_COMMITMENT_PUSH,
    *uids.COMMON_STORAGE,
)
DCMTK = ("1.2.276.0.7230010.3.0.3.6.7", "OFFIS_DCMTK_367")


def accepted(*contexts: str, identity: tuple[str | None, str | None] = DCMTK, tells: tuple[str, ...] = ()) -> Accepted:
    return Accepted(contexts, 16384, identity[0], identity[1], tells)


def attempt(outcome: Outcome, *, transport: str = "tcp", called: str = "ANY-SCP", tls: Tls | None = None) -> Attempt:
    assert transport in ("tcp", "tls")
    return Attempt("tls" if transport == "tls" else "tcp", called, "LEADAPRON", outcome, tls)


def visit(
    *attempts: Attempt | Outcome,
    port: int = 11112,
    echo: Echo | None = None,
    count: Count | CountFailed | None = None,
    shapes: Shapes | None = None,
) -> Measurement:
    return Measurement(
        address="127.1.0.5",
        port=port,
        depth="count",
        attempts=tuple(one if isinstance(one, Attempt) else attempt(one) for one in attempts),
        observed_at="2026-11-21T20:00:00Z",
        elapsed_s=0.1,
        load=Load(1, 1, 2),
        echo=echo,
        count=count,
        shapes=shapes,
    )


STUDIES = Count(1200, 1503, 48211, complete=True, method="exact", requests=3, answers=1503)
NO_STUDIES = Count(0, 0, 0, complete=True, method="exact", requests=1)

# ---- everything that a store could hand back ------------------------------------------------------------------------

_text = st.text(max_size=30)
_some_number = st.integers(0, 2**40)
_octet = st.integers(0, 255)
_tell = st.sampled_from(
    ("no-implementation-class-uid", "invented-abstract-syntax-accepted", "context-never-proposed", "rows-per-file")
)
_identity = st.sampled_from((None, *DCMTK, "1.2.826.0.1.3680043.8.641", "ORTHANC_1.12.3", "1.5.0/WIN32")) | _text
_contexts = st.lists(
    st.sampled_from((*EVERYTHING, uids.INVENTED_ABSTRACT_SYNTAX)) | _text, unique=True, max_size=24
).map(tuple)
_moment = st.sampled_from(("2026-11-21T20:00:00Z", "2020-01-01T00:00:00Z", "2031-01-01T00:00:00+00:00")) | _text

outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(
        Accepted,
        contexts=_contexts,
        max_pdu=st.none() | _some_number,
        implementation_class_uid=_identity,
        implementation_version_name=_identity,
        tells=st.lists(_tell | _text, max_size=3).map(tuple),
    ),
    st.builds(Rejected, _octet, _octet, _octet),
    st.builds(Aborted, _octet, _octet),
    st.builds(Refused, st.sampled_from(("ECONNREFUSED", "ETIMEDOUT", "EHOSTUNREACH")) | _text),
    st.builds(Silent, st.floats(0, 100), st.integers(0, 10**6)),
    st.builds(HungUp, st.booleans(), st.integers(0, 10**6)),
    st.builds(NotDicom, st.sampled_from(("http", "tls", "unknown")) | _text),
    st.builds(Malformed, _text),
    st.builds(TlsFailed, _text, st.booleans()),
    st.builds(Failed, _text),
)
_certificates = st.builds(
    Certificate,
    sha256=_text,
    subject=_text,
    issuer=_text,
    names=st.lists(_text, max_size=2).map(tuple),
    not_before=_moment,
    not_after=_moment,
    self_signed=st.booleans(),
)
_tls = st.builds(
    Tls,
    version=st.sampled_from(("TLSv1.3", "TLSv1.2", "TLSv1")) | _text,
    cipher=st.sampled_from(("TLS_AES_256_GCM_SHA384", "DES-CBC3-SHA", "NULL-SHA")) | _text,
    certificate=st.none() | _certificates,
)
_attempts = st.builds(
    Attempt,
    transport=st.sampled_from(("tcp", "tls")),
    called=st.sampled_from(("ANY-SCP", "ORTHANC", "COMMON")) | _text,
    calling=st.sampled_from(("LEADAPRON", "ANY")) | _text,
    outcome=outcomes,
    tls=st.none() | _tls,
)
_range = st.tuples(_some_number, _some_number)
_counts = st.builds(
    Count,
    patients=st.none() | _some_number,
    studies=_some_number,
    images=st.none() | _some_number,
    complete=st.booleans(),
    method=st.sampled_from(("exact", "lower-bound", "estimate")),
    interval=st.none() | st.builds(Interval, _range, st.none() | _range),
    note=st.none() | _text,
    limit=st.none() | _some_number,
    undated=_some_number,
    requests=_some_number,
    answers=_some_number,
    tells=st.lists(_tell | _text, max_size=2).map(tuple),
)
_maybe = st.none() | st.booleans()
_status = st.none() | st.sampled_from((0, 0x0124, 0x0122, 0xA700, 0xC000)) | st.integers(0, 0xFFFF)
measurements: st.SearchStrategy[Measurement] = st.builds(
    Measurement,
    address=_text,
    port=st.sampled_from((104, 443, 2762, 4242, 11112)) | st.integers(0, 65535),
    depth=st.sampled_from(("touch", "capabilities", "count", "estimate")),
    attempts=st.lists(_attempts, max_size=4).map(tuple),
    observed_at=_moment,
    elapsed_s=st.floats(0, 1e6),
    load=st.builds(Load, _some_number, _some_number, _some_number),
    echo=st.none() | st.builds(Echo, _status, st.none() | _text),
    count=st.none() | _counts | st.builds(CountFailed, _text, _status, _some_number),
    shapes=st.none() | st.builds(Shapes, _maybe, _maybe, _maybe),
)
