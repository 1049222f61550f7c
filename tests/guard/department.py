"""A server that takes performed procedure steps (PS3.4 Annex F) and gives a worklist, and what a CT says to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.sop_class import ModalityPerformedProcedureStep as MPPS  # type: ignore[attr-defined]
from pynetdicom.sop_class import ModalityWorklistInformationFind as WORKLIST  # type: ignore[attr-defined]
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from peers.process import HOST, free_port

STUDY, STEP = "1.2.826.0.1.3680043.9.1", "1.2.826.0.1.3680043.9.2"
NAME = "CANARY^STEP"
SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]


class Department:
    """``steps`` are those it holds; ``offered`` the abstract syntaxes of each association."""

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

    def on_find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        answer = Dataset()
        answer.PatientName, answer.StudyInstanceUID = NAME, STUDY
        yield 0xFF00, answer


@contextmanager
def department() -> Iterator[tuple[Department, int]]:
    ris, port = Department(), free_port()
    ae = AE(ae_title="RIS")
    ae.add_supported_context(MPPS, SYNTAXES)
    ae.add_supported_context(WORKLIST, SYNTAXES)
    ae.add_supported_context(Verification)
    server = ae.start_server(
        (HOST, port),
        block=False,
        evt_handlers=[
            (evt.EVT_REQUESTED, ris.on_request),
            (evt.EVT_N_CREATE, ris.on_create),
            (evt.EVT_N_SET, ris.on_set),
            (evt.EVT_C_FIND, ris.on_find),
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
