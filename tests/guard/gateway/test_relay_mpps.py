"""Performed procedure steps (PS3.4 Annex F) through the guard: a modality that creates and completes them over TLS, and
a server that takes them. The one real peer that has the service here is pynetdicom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.sop_class import ModalityPerformedProcedureStep as MPPS  # type: ignore[attr-defined]
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from guard.relaying import House, Running, guard, table
from leadapron.guard.audit.codes import Outcome
from leadapron.guard.audit.events import NodeAuthenticationFailed, ProcedureRecorded, SecurityAlert
from leadapron.guard.policy.decide import parse_policy
from peers.loading import steady
from peers.process import HOST, free_port, wait_until

STUDY, STEP = "1.2.826.0.1.3680043.9.1", "1.2.826.0.1.3680043.9.2"
NAME = "CANARY^STEP"
SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]


class Department:
    """An MPPS SCP. ``steps`` are those it holds; ``offered`` the abstract syntaxes of each association."""

    def __init__(self) -> None:
        self.steps: dict[str, Dataset] = {}
        self.offered: list[list[str]] = []
        self.deaf = False

    def on_request(self, event: evt.Event) -> None:
        self.offered.append([str(one.abstract_syntax) for one in event.assoc.requestor.requested_contexts])

    def on_create(self, event: evt.Event) -> tuple[int, Dataset | None]:
        name = str(event.request.AffectedSOPInstanceUID)
        if name in self.steps:
            return 0x0111, None
        self.steps[name] = event.attribute_list
        return 0x0000, self.steps[name]

    def on_set(self, event: evt.Event) -> tuple[int, Dataset | None]:
        if self.deaf:
            event.assoc.abort()
            return 0x0110, None
        step = self.steps.get(str(event.request.RequestedSOPInstanceUID))
        if step is None:
            return 0x0112, None
        step.update(event.modification_list)
        return 0x0000, step


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    house = House.build(tmp_path_factory.mktemp("house"))
    for name in ("CT1", "WS1"):
        house.enrol(name)
    return house


@contextmanager
def department() -> Iterator[tuple[Department, int]]:
    ris, port = Department(), free_port()
    ae = AE(ae_title="RIS")
    ae.add_supported_context(MPPS, SYNTAXES)
    ae.add_supported_context(Verification)
    server = ae.start_server(
        (HOST, port),
        block=False,
        evt_handlers=[
            (evt.EVT_REQUESTED, ris.on_request),
            (evt.EVT_N_CREATE, ris.on_create),
            (evt.EVT_N_SET, ris.on_set),
        ],
    )
    assert server is not None
    try:
        yield ris, port
    finally:
        server.shutdown()


def created(study: str = STUDY) -> Dataset:
    """What a CT sends when it begins: PS3.4 Table F.7.2-1, as far as it is mandatory."""
    scheduled = Dataset()
    scheduled.StudyInstanceUID, scheduled.AccessionNumber = study, "A77"
    scheduled.ReferencedStudySequence = Sequence([])
    step = Dataset()
    step.ScheduledStepAttributesSequence = Sequence([scheduled])
    step.PatientName, step.PatientID, step.PatientSex = NAME, "4711", "O"
    step.PerformedProcedureStepID, step.PerformedStationAETitle = "P1", "CT1"
    step.PerformedProcedureStepStartDate, step.PerformedProcedureStepStartTime = "20261122", "0930"
    step.PerformedProcedureStepStatus, step.Modality = "IN PROGRESS", "CT"
    step.PerformedSeriesSequence = Sequence([])
    return step


def completed(images: int = 3) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID, series.ProtocolName = f"{STUDY}.1", "HEAD"
    references = []
    for number in range(images):
        one = Dataset()
        one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", f"{STUDY}.1.{number}"
        references.append(one)
    series.ReferencedImageSequence = Sequence(references)
    step = Dataset()
    step.PerformedProcedureStepStatus = "COMPLETED"
    step.PerformedSeriesSequence = Sequence([series])
    return step


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
