"""Measurements and what must be concluded from them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings

from leadapron.watch.measure.dicom import proposal
from leadapron.watch.measure.judge import finding_text, judge, known_findings, record, record_text
from leadapron.watch.measure.judge.capabilities import NEUTRAL_CALLED
from leadapron.watch.measure.judge.tells import TELLS
from leadapron.watch.measure.judge.verdict import TABLE, most_telling
from leadapron.watch.measure.model import (
    Aborted,
    Certificate,
    Count,
    CountFailed,
    Echo,
    Failed,
    HungUp,
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
from leadapron.watch.measure.record import SEVERITIES, VERDICTS, EndpointRecord
from leadapron.wire import uids
from watch.measure.judge.measurements import (
    DCMTK,
    EVERYTHING,
    FIND,
    NO_STUDIES,
    RETRIEVE,
    STUDIES,
    accepted,
    attempt,
    measurements,
    visit,
)

OK = Echo(0)
NOT_AUTHORIZED = Echo(0x0124)
ABORTED = Echo(None, "the association was aborted after C-ECHO")
PROMISCUOUS = accepted(*EVERYTHING, uids.INVENTED_ABSTRACT_SYNTAX, tells=("invented-abstract-syntax-accepted",))
DICOMPOT = accepted(
    *EVERYTHING,
    uids.INVENTED_ABSTRACT_SYNTAX,
    identity=(None, None),
    tells=("no-implementation-class-uid", "invented-abstract-syntax-accepted"),
)
CALLED_REJECTED = Rejected(1, 1, 7)
CALLING_REJECTED = Rejected(1, 1, 3)
BUSY = Rejected(2, 3, 2)
CALLED_REASON = "A-ASSOCIATE-RJ: called AE title not recognized (result 1, source 1, reason 7)"


@pytest.mark.parametrize(
    ("measurement", "verdict", "reason", "service"),
    [
        # an association was accepted
        (visit(accepted(*EVERYTHING), echo=OK, count=STUDIES), "exposed", None, "dicom"),
        (visit(accepted(*EVERYTHING), echo=ABORTED, count=STUDIES), "exposed", None, "dicom"),
        (visit(accepted(*EVERYTHING), echo=OK, count=NO_STUDIES), "open", None, "dicom"),
        (visit(accepted(*EVERYTHING), echo=OK), "open", None, "dicom"),
        (visit(accepted(*EVERYTHING)), "open", None, "dicom"),
        (visit(accepted(uids.VERIFICATION), echo=OK), "open", None, "dicom"),
        (visit(accepted(uids.CT_IMAGE_STORAGE), echo=None), "open", None, "dicom"),
        (
            visit(accepted(*EVERYTHING), echo=OK, count=CountFailed("the association was aborted")),
            "open",
            "C-FIND gave no records: the association was aborted",
            "dicom",
        ),
        (
            visit(accepted()),
            "guarded",
            "A-ASSOCIATE-AC, but none of the services that were proposed is accepted",
            "dicom",
        ),
        # all that was asked was refused
        (
            visit(accepted(*EVERYTHING), echo=NOT_AUTHORIZED, count=CountFailed("refused", 0x0124, 1)),
            "guarded",
            "A-ASSOCIATE-AC, then all that was asked was refused: C-ECHO 0124H (not authorized), "
            "C-FIND 0124H (not authorized)",
            "dicom",
        ),
        (
            visit(accepted(uids.VERIFICATION, *FIND, *RETRIEVE), echo=ABORTED, count=CountFailed("aborted")),
            "guarded",
            "A-ASSOCIATE-AC, then all that was asked was refused: C-ECHO got no answer, C-FIND got no answer",
            "dicom",
        ),
        (
            # Orthanc with DicomAlwaysAllowStore: what was not asked for, storage, stands open
            visit(accepted(*EVERYTHING), echo=ABORTED, count=CountFailed("the association was aborted")),
            "open",
            "C-FIND gave no records: the association was aborted",
            "dicom",
        ),
        (visit(accepted(*EVERYTHING), echo=ABORTED), "open", None, "dicom"),
        (visit(accepted(uids.VERIFICATION), echo=Echo(0x0110)), "open", None, "dicom"),
        # decoys: two tells with different causes
        (
            visit(DICOMPOT, echo=OK, count=STUDIES),
            "decoy",
            "behaves as no real archive does: no Implementation Class UID (52H), which is mandatory; "
            "an abstract syntax accepted that exists nowhere",
            "dicom",
        ),
        (visit(PROMISCUOUS, echo=OK), "open", None, "dicom"),
        (
            visit(accepted(*EVERYTHING, identity=(None, None), tells=("no-implementation-class-uid",))),
            "open",
            None,
            "dicom",
        ),
        (
            visit(PROMISCUOUS, echo=OK, count=Count(9, 99, None, False, "exact", answers=99, tells=("rows-per-file",))),
            "decoy",
            "behaves as no real archive does: an abstract syntax accepted that exists nowhere; "
            "one answer for each file where studies were asked for",
            "dicom",
        ),
        # refused
        (visit(CALLED_REJECTED), "guarded", CALLED_REASON, "dicom"),
        (
            visit(CALLED_REJECTED, attempt(CALLED_REJECTED, called="ORTHANC")),
            "guarded",
            f"{CALLED_REASON}; 2 attempts with different AE titles",
            "dicom",
        ),
        (
            visit(CALLING_REJECTED),
            "guarded",
            "A-ASSOCIATE-RJ: calling AE title not recognized (result 1, source 1, reason 3)",
            "dicom",
        ),
        (
            visit(Rejected(1, 2, 99)),
            "guarded",
            "A-ASSOCIATE-RJ: a reason that PS3.8 reserves (result 1, source 2, reason 99)",
            "dicom",
        ),
        (
            visit(BUSY),
            "guarded",
            "A-ASSOCIATE-RJ: local limit exceeded (result 2, source 3, reason 2), transient",
            "dicom",
        ),
        (
            visit(CALLED_REJECTED, attempt(BUSY, called="ORTHANC")),
            "guarded",
            f"{CALLED_REASON}; 2 attempts with different AE titles",
            "dicom",
        ),
        (visit(Aborted(0, 0)), "guarded", "A-ABORT by the service user (source 0)", "dicom"),
        (
            visit(Aborted(2, 2)),
            "guarded",
            "A-ABORT by the service provider: unexpected PDU (source 2, reason 2)",
            "dicom",
        ),
        # TLS
        (
            visit(NotDicom("tls"), attempt(TlsFailed("CERTIFICATE_REQUIRED", True), transport="tls"), port=2762),
            "guarded",
            "TLS: a client certificate is wanted",
            "tls",
        ),
        (
            visit(attempt(TlsFailed("CERTIFICATE_REQUIRED", True), transport="tls"), port=443),
            "other",
            "the TLS handshake failed: CERTIFICATE_REQUIRED",
            "tls",
        ),
        (
            visit(HungUp(False), attempt(TlsFailed("NO_SHARED_CIPHER"), transport="tls")),
            "other",
            "the TLS handshake failed: NO_SHARED_CIPHER",
            "tls",
        ),
        (visit(NotDicom("tls"), attempt(NotDicom("http"), transport="tls")), "other", None, "http"),
        (visit(NotDicom("tls"), attempt(accepted(*EVERYTHING), transport="tls"), echo=OK), "open", None, "dicom"),
        # not an imaging service, not there, not seen
        (visit(NotDicom("ssh")), "other", None, "ssh"),
        (visit(NotDicom("a name from a broken store")), "other", None, "unknown"),
        (
            visit(Malformed("a PDU of type 02H announces 4294967295 octets")),
            "other",
            "began like DICOM and broke it: a PDU of type 02H announces 4294967295 octets",
            "unknown",
        ),
        (visit(HungUp(False)), "silent", "closed the connection without an answer", "unknown"),
        (visit(HungUp(True, 3)), "silent", "reset the connection after 3 octets", "unknown"),
        (visit(Silent(5.0)), "silent", "nothing within 5 s", "unknown"),
        (visit(Silent(2.5, 4)), "silent", "4 octets, no whole answer within 2.5 s", "unknown"),
        (visit(Refused("ECONNREFUSED")), "closed", None, "unknown"),
        (visit(Refused("ETIMEDOUT")), "closed", None, "unknown"),
        (visit(Failed("out of file descriptors")), "failed", "out of file descriptors", "unknown"),
        (visit(), "failed", "the visit holds no attempt to associate", "unknown"),
        (
            visit(HungUp(False), attempt(Failed("a bug of ours"), transport="tls")),
            "silent",
            "closed the connection without an answer",
            "unknown",
        ),
    ],
)
def test_verdicts(measurement: Measurement, verdict: str, reason: str | None, service: str) -> None:
    judgement = judge(measurement)
    assert (judgement.verdict, judgement.reason, judgement.service) == (verdict, reason, service)


@pytest.mark.parametrize(
    ("outcome", "conclusive"),
    [
        (accepted(*EVERYTHING), True),
        (CALLED_REJECTED, True),
        (BUSY, False),
        (Silent(5.0), False),
        (HungUp(True), False),
        (Refused("ECONNREFUSED"), True),
        (Refused("ETIMEDOUT"), False),
        (Failed("ours"), False),
        (NotDicom("http"), True),
    ],
)
def test_what_was_not_really_seen_proves_nothing(outcome: Outcome, conclusive: bool) -> None:
    assert judge(visit(outcome)).conclusive is conclusive


def _ids(measurement: Measurement) -> dict[str, str]:
    return {finding.id: finding.severity for finding in judge(measurement).findings}


def test_findings_of_an_archive_that_is_wide_open() -> None:
    everything = visit(
        accepted(*EVERYTHING), echo=OK, count=STUDIES, shapes=Shapes(names=True, birth_dates=True, national_ids=True)
    )
    assert _ids(everything) == {
        "national-ids-exposed": "critical",
        "query-without-credentials": "critical",
        "retrieve-possible": "critical",
        "store-without-credentials": "high",
        "plain-transport": "high",
        "worklist-open": "high",
        "any-ae-title": "medium",
        "commitment-open": "medium",
        "echo-without-credentials": "low",
        "outdated-software": "low",
    }
    evidence = {finding.id: finding.evidence for finding in judge(everything).findings}
    assert evidence["query-without-credentials"] == (
        "C-FIND without credentials listed 1,503 studies of 1,200 patients with 48,211 images"
    )


@pytest.mark.parametrize(
    ("measurement", "expected"),
    [
        # the query was refused: no query finding, and what hangs on it weighs less
        (
            visit(accepted(uids.VERIFICATION, *FIND, *RETRIEVE), echo=OK, count=CountFailed("aborted")),
            {"retrieve-possible": "medium", "echo-without-credentials": "low"},
        ),
        (
            visit(accepted(uids.VERIFICATION, *FIND), echo=OK, count=NO_STUDIES),
            {"query-without-credentials": "high", "echo-without-credentials": "low"},
        ),
        (visit(accepted(*FIND)), {"query-without-credentials": "high"}),
        (visit(accepted(uids.CT_IMAGE_STORAGE)), {"store-without-credentials": "high"}),
        (visit(accepted(uids.MODALITY_WORKLIST_FIND)), {"worklist-open": "high"}),
        (visit(accepted(uids.STORAGE_COMMITMENT_PUSH)), {"commitment-open": "low"}),
        (
            visit(accepted(uids.VERIFICATION, uids.INVENTED_ABSTRACT_SYNTAX)),
            {"accepts-unknown-sop-classes": "low"},
        ),
    ],
)
def test_findings_by_capability(measurement: Measurement, expected: dict[str, str]) -> None:
    always = {"plain-transport": "medium", "any-ae-title": "medium", "outdated-software": "low"}
    assert _ids(measurement) == always | expected


def test_a_decoy_has_one_finding_and_no_counts() -> None:
    measurement = visit(DICOMPOT, echo=OK, count=STUDIES, shapes=Shapes(True, True, True))
    assert _ids(measurement) == {"behaves-like-a-decoy": "info"}
    assert record(measurement).exposed is None
    assert record(measurement).shapes is None


def test_titles() -> None:
    guessed = visit(CALLED_REJECTED, attempt(accepted(*EVERYTHING), called="ORTHANC"), echo=OK)
    offered = judge(guessed).capabilities
    assert offered is not None
    assert (offered.any_called_ae, offered.any_calling_ae) == (False, True)
    assert _ids(guessed)["default-ae-title"] == "medium"
    assert _ids(guessed)["any-ae-title"] == "medium"
    assert judge(guessed).findings[0].remedies[0] == "orthanc"  # DCMTK's identity behind Orthanc's title
    given_title = judge(visit(attempt(accepted(*EVERYTHING), called="PRAXIS7"), echo=OK)).capabilities
    assert given_title is not None
    assert given_title.any_called_ae is None
    assert NEUTRAL_CALLED == proposal.CALLED


def _tls(version: str = "TLSv1.3", cipher: str = "TLS_AES_256_GCM_SHA384", ends: str = "2028-01-01T00:00:00Z") -> Tls:
    certificate = Certificate("00", "CN=pacs", "CN=ca", ("pacs",), "2026-01-01T00:00:00Z", ends, self_signed=False)
    return Tls(version, cipher, certificate)


@pytest.mark.parametrize(
    ("tls", "expected"),
    [
        (_tls(), set()),
        (_tls("TLSv1.2", "ECDHE-RSA-AES256-GCM-SHA384"), set()),
        (_tls("TLSv1.1"), {"weak-tls"}),
        (_tls("TLSv1.2", "DES-CBC3-SHA"), {"weak-tls"}),
        (_tls("TLSv1.2", "ECDHE-RSA-NULL-SHA"), {"weak-tls"}),
        (_tls(ends="2026-11-20T20:00:00Z"), {"expired-certificate"}),
        (msgspec.structs.replace(_tls(), certificate=None), set()),
    ],
)
def test_tls_findings(tls: Tls, expected: set[str]) -> None:
    for outcome in (accepted(uids.VERIFICATION), CALLING_REJECTED):
        found = set(_ids(visit(attempt(outcome, transport="tls", tls=tls))))
        assert found & {"weak-tls", "expired-certificate", "self-signed-certificate", "plain-transport"} == expected


def test_self_signed_certificates_are_found() -> None:
    certificate = _tls().certificate
    assert certificate is not None
    own = msgspec.structs.replace(_tls(), certificate=msgspec.structs.replace(certificate, self_signed=True))
    assert "self-signed-certificate" in _ids(visit(attempt(accepted(uids.VERIFICATION), transport="tls", tls=own)))


@pytest.mark.parametrize(
    ("identity", "outdated"),
    [
        (DCMTK, True),
        (("1.2.276.0.7230010.3.0.3.7.1", "OFFIS_DCMTK_371"), False),
        (("1.2.826.0.1.3680043.9.3811.3.0.4", "PYNETDICOM_304"), False),
        (("1.2.826.0.1.3680043.8.641", "ORTHANC_1.12.10"), True),
        (("1.2.826.0.1.3680043.8.641", "ORTHANC_1.12.11"), False),
        ((None, "NOBODY"), False),
    ],
)
def test_published_weaknesses(identity: tuple[str | None, str | None], outdated: bool) -> None:
    assert ("outdated-software" in _ids(visit(accepted(uids.VERIFICATION, identity=identity)))) is outdated


def test_findings_come_gravest_first() -> None:
    order = [SEVERITIES.index(f.severity) for f in judge(visit(accepted(*EVERYTHING), echo=OK, count=STUDIES)).findings]
    assert order == sorted(order)


def test_the_record_is_the_contract() -> None:
    measurement = visit(
        accepted(*EVERYTHING), echo=OK, count=STUDIES, shapes=Shapes(names=True, birth_dates=True, national_ids=False)
    )
    line = msgspec.json.decode(msgspec.json.encode(record(measurement)))
    assert list(line) == [
        "type", "address", "port", "transport", "service", "verdict", "reason", "software", "capabilities", "exposed",
        "shapes", "findings", "load", "observed_at", "elapsed_s", "schema",
    ]  # fmt: skip
    assert line["software"] == {
        "product": "DCMTK",
        "version": "3.6.7",
        "implementation_class_uid": "1.2.276.0.7230010.3.0.3.6.7",
        "implementation_version_name": "OFFIS_DCMTK_367",
    }
    assert line["capabilities"] == {
        "echo": True, "find": ["study", "patient"], "retrieve": ["get", "move"], "store": 12, "worklist": True,
        "commitment": True, "any_calling_ae": True, "any_called_ae": True,
    }  # fmt: skip
    assert line["exposed"]["studies"] == 1503
    assert line["exposed"]["complete"] is True
    assert {"id": "query-without-credentials", "severity": "critical"} in line["findings"]
    assert record(measurement, judge(measurement)) == record(measurement)


def test_tells_have_the_names_that_the_probe_uses() -> None:
    assert {proposal.TELL_NO_IMPLEMENTATION, proposal.TELL_INVENTED, proposal.TELL_UNPROPOSED} <= set(TELLS)


def test_every_row_of_the_table_is_reached() -> None:
    """The parametrized visits above leave no row of the verdict table untried."""
    mark = next(mark for mark in test_verdicts.pytestmark if mark.name == "parametrize")  # type: ignore[attr-defined]
    seen = {(type(_telling(measurement)), verdict) for measurement, verdict, *_ in mark.args[1] if measurement.attempts}
    assert seen == {(row.outcome, row.verdict) for row in TABLE}


def _telling(measurement: Measurement) -> Outcome:
    return most_telling(measurement.attempts).outcome


# ---- whatever is stored ----------------------------------------------------------------------------------------------


@given(measurements)
@settings(max_examples=400, deadline=None)
def test_a_record_is_the_same_whoever_was_judged_before(measurement: Measurement) -> None:
    assert record(measurement) == record(measurement, judge(measurement))


@given(measurements)
@settings(max_examples=400, deadline=None)
def test_any_measurement_is_judged(measurement: Measurement) -> None:
    judgement = judge(measurement)
    assert judgement.verdict in VERDICTS
    assert judgement == judge(measurement)
    if judgement.reason is not None:
        assert judgement.reason.isprintable() and len(judgement.reason) < 400
    assert judgement.reason is not None or judgement.verdict not in ("guarded", "silent", "failed", "decoy")
    for finding in judgement.findings:
        assert finding.severity in SEVERITIES
        assert finding.evidence.isprintable() and finding.evidence.isascii()
        assert finding.id in known_findings()
        text = finding_text(finding)
        assert text.title and text.why and text.references and text.evidence == finding.evidence
        assert text.remedies and all(remedy.steps for remedy in text.remedies)
    line = record(measurement)
    assert msgspec.json.decode(msgspec.json.encode(line), type=EndpointRecord) == line
    if line.verdict != "exposed":
        assert line.exposed is None and line.shapes is None


@given(measurements)
@settings(deadline=None)
def test_a_stored_measurement_is_judged_the_same(measurement: Measurement) -> None:
    stored = msgspec.json.decode(msgspec.json.encode(measurement), type=Measurement)
    assert stored == measurement
    assert judge(stored) == judge(measurement)
    assert record(stored) == record(measurement)


def test_what_a_stranger_sent_as_words_never_comes_out() -> None:
    canary = "DOE^JANE"
    measurement = visit(
        accepted(*EVERYTHING, identity=("1.2.3", "X"), tells=(canary, "no-implementation-class-uid")),
        echo=Echo(0, canary),
        count=Count(1, 1, 1, True, "exact", answers=1),
    )
    assert canary not in str(judge(measurement))


@pytest.mark.parametrize("product", [None, "Orthanc", "DCMTK", "dcm4che", "ConQuest", "OsiriX/Horos", "ClearCanvas"])
def test_every_finding_has_steps_for_every_product(product: str | None) -> None:
    for finding in record(visit(accepted(*EVERYTHING), echo=OK, count=STUDIES)).findings:
        text = record_text(finding, product)
        assert text.evidence == ""
        assert text.remedies[-1].steps
        assert all("{" not in step or "```" in step for remedy in text.remedies for step in remedy.steps)
