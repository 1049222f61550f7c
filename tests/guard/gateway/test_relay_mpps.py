"""Performed procedure steps (PS3.4 Annex F) through the guard: a modality that creates and completes them over TLS, and
a server that takes them. The one real peer that has the service here is pynetdicom."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE
from pynetdicom.dsutils import encode

from guard.department import MPPS, NAME, STEP, STUDY, SYNTAXES, Verification, completed, created, department
from guard.relaying import House, Running, guard, table
from leadapron.guard.audit.codes import Outcome
from leadapron.guard.audit.events import NodeAuthenticationFailed, ProcedureRecorded, SecurityAlert
from leadapron.guard.gateway.dimse.identifiers import study_of_step
from leadapron.guard.policy.decide import parse_policy
from leadapron.wire import uids
from peers.loading import steady
from peers.process import HOST, wait_until


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    house = House.build(tmp_path_factory.mktemp("house"))
    for name in ("CT1", "WS1"):
        house.enrol(name)
    return house


def modality(house: House, running: Running, *, syntaxes: Any = SYNTAXES, calling: str = "CT1", also: Any = ()) -> Any:
    ae = AE(ae_title=calling)
    ae.add_requested_context(MPPS, syntaxes)
    for uid in also:
        ae.add_requested_context(uid)
    association = ae.associate(HOST, running.port, ae_title="RIS", tls_args=(house.context(calling), HOST))
    if association.is_established:
        steady(association)
    return association


@pytest.mark.parametrize("syntax", SYNTAXES, ids=["explicit", "implicit"])
def test_a_step_is_created_and_completed(house: House, syntax: str) -> None:
    with department() as (ris, port), guard(house, (HOST, port, "RIS"), table("CT1", may=("mpps",))) as running:
        association = modality(house, running, syntaxes=[syntax])
        status, answer = association.send_n_create(created(), MPPS, STEP)
        assert status.Status == 0 and answer == created()  # the answer's data set comes back whole
        status, _ = association.send_n_create(created(), MPPS, STEP)
        assert status.Status == 0x0111
        association.release()
        association = modality(house, running, syntaxes=[syntax])
        status, answer = association.send_n_set(completed(5_000), MPPS, STEP)  # some 600 kB
        assert status.Status == 0 and answer.PerformedProcedureStepStatus == "COMPLETED"
        association.release()
        running.quiet()
        kept = ris.steps[STEP]
        assert (kept.PatientName, kept.PerformedProcedureStepStatus) == (NAME, "COMPLETED")
        assert kept.PerformedSeriesSequence == completed(5_000).PerformedSeriesSequence
        told = running.told(ProcedureRecorded)
    assert [(one.action, one.study.uid, one.study.step, one.outcome) for one in told] == [
        ("C", STUDY, STEP, Outcome.SUCCESS),
        ("C", STUDY, STEP, Outcome.MINOR),
        ("U", "0", STEP, Outcome.SUCCESS),  # an N-SET does not name the study
    ]
    assert told[1].reason == "it ended with status 0111H"
    assert {(one.peer.user, one.archive.ae) for one in told} == {("CT1", "RIS")}
    assert NAME not in str(running.events) and "4711" not in str(running.events)


def test_without_the_permission_it_is_not_even_offered(house: House) -> None:
    every = ("echo", "store", "find", "worklist", "retrieve", "commit")
    with department() as (ris, port), guard(house, (HOST, port, "RIS"), table("CT1", may=every)) as running:
        association = modality(house, running, also=(Verification,))
        assert [str(one.abstract_syntax) for one in association.accepted_contexts] == [Verification]
        assert association.send_c_echo().Status == 0
        association.release()
        assert modality(house, running).is_rejected
        assert ris.offered == [[Verification]]
        running.quiet()
        assert not running.told(ProcedureRecorded) and len(running.told(NodeAuthenticationFailed)) == 1


def test_with_it_nothing_else_is_offered(house: House) -> None:
    printing = ("1.2.840.10008.5.1.1.9", "1.2.840.10008.5.1.1.18")
    with department() as (ris, port), guard(house, (HOST, port, "RIS"), table("CT1", may=("mpps",))) as running:
        reading = ("1.2.840.10008.3.1.2.3.4", "1.2.840.10008.3.1.2.3.5")
        modality(house, running, also=(Verification, *printing, *reading)).release()
        assert ris.offered == [[MPPS]]


def test_a_permission_that_is_taken_away_holds_for_the_next_request(house: House) -> None:
    with department() as (ris, port), guard(house, (HOST, port, "RIS"), table("CT1", may=("mpps",))) as running:
        association = modality(house, running)
        assert association.send_n_create(created(), MPPS, STEP)[0].Status == 0
        running.policy = parse_policy(table("CT1", may=("echo",)))
        refused: list[Callable[[], Any]] = [
            lambda: association.send_n_create(created(), MPPS, f"{STEP}.1"),
            lambda: association.send_n_set(completed(2_000), MPPS, STEP),
            lambda: association.send_n_get([0x00400252], MPPS, STEP),
            lambda: association.send_n_delete(MPPS, STEP),
        ]
        for ask in refused:
            answer = ask()
            assert getattr(answer, "Status", None) == 0x0124 or answer[0].Status == 0x0124
        running.policy = parse_policy(table("CT1", may=("mpps",)))
        assert association.send_n_set(completed(), MPPS, STEP)[0].Status == 0
        association.release()
        running.quiet()
        assert list(ris.steps) == [STEP]
        assert [one.action for one in running.told(ProcedureRecorded)] == ["C", "U"]
        assert all("was refused" in one.text for one in running.told(SecurityAlert))
        assert len(running.told(SecurityAlert)) == 2  # once for each reason


def test_a_step_that_is_not_answered_is_told(house: House) -> None:
    with department() as (ris, port), guard(house, (HOST, port, "RIS"), table("CT1", may=("mpps",))) as running:
        ris.deaf = True
        association = modality(house, running)
        status, _ = association.send_n_set(completed(), MPPS, STEP)
        assert "Status" not in status
        wait_until(lambda: association.is_aborted, "the modality is told")
        running.quiet()
        (told,) = running.wait_told(ProcedureRecorded)
    assert (told.action, told.outcome) == ("U", Outcome.MINOR)
    assert told.reason.startswith("it was not answered")


@pytest.mark.parametrize("syntax", SYNTAXES, ids=["explicit", "implicit"])
@given(st.data())
def test_the_study_is_read_off_the_first_octets_or_not_at_all(syntax: str, data: st.DataObject) -> None:
    step = created()
    if data.draw(st.booleans(), "a description that stands before the sequence"):
        step.PerformedProcedureStepDescription = "X" * data.draw(st.integers(1, 64))
    octets = encode(step, UID(syntax).is_implicit_VR, True)
    assert octets is not None and study_of_step(octets, syntax) == STUDY
    head = octets[: data.draw(st.integers(0, len(octets)), "cut")]
    assert study_of_step(head, syntax) in (None, STUDY)
    at = data.draw(st.integers(0, len(octets) - 1), "changed")
    changed = octets[:at] + bytes([data.draw(st.integers(0, 255))]) + octets[at + 1 :]
    found = study_of_step(changed, syntax)
    assert found is None or (0 < len(found) <= 64 and set(found) <= set("0123456789."))
    for other in (uids.DEFLATED_LE, uids.JPEG_BASELINE):
        study_of_step(octets, other)


def test_what_is_no_identifier_is_passed_on_and_told_without_a_study(house: House, tmp_path: Path) -> None:
    """Reading the study is for the trail only: the server judges what it gets."""
    with department() as (ris, port), guard(house, (HOST, port, "RIS"), table("CT1", may=("mpps",))) as running:
        association = modality(house, running)
        for number, step in enumerate((Dataset(), created(""))):
            step.PerformedProcedureStepStatus = "IN PROGRESS"
            assert association.send_n_create(step, MPPS, f"{STEP}.{number}")[0].Status == 0
        association.release()
        running.quiet()
        assert len(ris.steps) == 2
        assert [one.study.uid for one in running.told(ProcedureRecorded)] == ["0", "0"]
