"""Counting where only patients can be listed."""

from __future__ import annotations

from leadapron.watch.measure.count.patient_level import PatientTally, count_patients


def test_sums_of_what_can_be_believed_are_a_lower_bound() -> None:
    tally = PatientTally()
    for patient, studies, images in (
        (b"A ", b"2", b"40 "),
        (b"B\0", b"1", b"7"),
        (b"A", b"2", b"40"),
        (b"", b"9", b"9"),
    ):
        tally.add(patient, studies, images)
    listed = count_patients(tally.finish(0), requests=3)
    assert listed is not None
    count, _ = listed
    assert (count.patients, count.studies, count.images) == (2, 3, 47)
    assert (count.complete, count.method, count.requests, count.answers) == (False, "lower-bound", 4, 4)


def test_a_patient_of_whom_nothing_is_said_has_a_study() -> None:
    tally = PatientTally()
    for patient in (b"A", b"B", b"C"):
        tally.add(patient, b"", b"-5")
    listed = count_patients(tally.finish(0), requests=1)
    assert listed is not None
    assert (listed[0].studies, listed[0].images) == (3, None)


def test_no_patient_is_no_count() -> None:
    assert count_patients(PatientTally().finish(0xA900), requests=1) is None
