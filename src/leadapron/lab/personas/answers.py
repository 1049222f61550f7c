"""Open archives whose answers are peculiar: what the standard leaves open, and what it doesn't."""

from __future__ import annotations

from leadapron.lab.persona import Persona, Verdict
from leadapron.lab.personas.archives import DCMTK
from leadapron.lab.server.profile import Answers

_FAMILY = "peculiar answers"


def _odd(
    name: str,
    summary: str,
    answers: Answers | None = None,
    *,
    completable: bool = True,
    images_told: bool = True,
    patients_told: bool = True,
    verdicts: tuple[Verdict, ...] = ("exposed",),
) -> Persona:
    return Persona(
        name=name,
        family=_FAMILY,
        summary=summary,
        verdicts=verdicts,
        door=DCMTK,
        answers=answers or Answers(),
        archive=True,
        completable=completable,
        images_told=images_told,
        patients_told=patients_told,
        product="DCMTK",
    )


PERSONAS = (
    _odd("all-ff01", "every pending answer is FF01, as in one reported query of 91,644", Answers(status=0xFF01)),
    _odd("undated", "some studies have no date and lie outside of every range; give it `undated`"),
    _odd(
        "undated-limit",
        "the same, and stops silently at 300: studies without a date are in no range, and some may stay unseen",
        Answers(limit=300),
        completable=False,
    ),
    _odd("malformed-dates", "some studies have a date that is none; give it `odd_dates`"),
    _odd(
        "no-image-counts",
        "leaves Number of Study Related Instances out",
        Answers(study_images="none"),
        images_told=False,
    ),
    _odd("empty-image-counts", "answers it empty", Answers(study_images="empty"), images_told=False),
    _odd(
        "no-counts-at-all",
        "leaves it out at series level too: only the images themselves could be counted",
        Answers(study_images="none", series_images="none"),
        images_told=False,
    ),
    _odd("zero-image-counts", "says zero images for every study", Answers(study_images="zero"), images_told=False),
    _odd(
        "absurd-image-counts",
        "says 4,294,967,295 images for every study",
        Answers(study_images="absurd"),
        images_told=False,
    ),
    _odd(
        "ignores-dates",
        "gives everything, whatever the date asked, so that nothing can be verified",
        Answers(ignores_dates=True),
        completable=False,
    ),
    _odd("no-open-ranges", "finds nothing for a range without a first or last day", Answers(open_ranges=False)),
    _odd(
        "no-open-ranges-limit",
        "the same, and stops silently at 200",
        Answers(open_ranges=False, limit=200),
    ),
    _odd(
        "row-per-file",
        "one answer for each image at study level, the study's UID again and again",
        Answers(rows="file"),
        verdicts=("exposed", "decoy"),
    ),
    _odd("duplicates", "every seventh answer comes twice", Answers(duplicates=7)),
    _odd(
        "duplicates-limit",
        "the same, and stops silently at 250 answers, copies included",
        Answers(duplicates=7, limit=250),
    ),
    _odd("one-day", "everything on one day (imported), silent limit 300: ranges of time split it", Answers(limit=300)),
    _odd(
        "one-moment",
        "everything at one moment, silent limit 300: no range splits it",
        Answers(limit=300),
        completable=False,
    ),
    _odd(
        "ignores-times",
        "a day with more than its silent limit of 50, and times are ignored",
        Answers(limit=50, ignores_times=True),
        completable=False,
    ),
    _odd("future-dates", "its clock is wrong: studies until 2035", Answers(limit=500)),
    _odd("one-pdu", "command and identifier share a PDU", Answers(one_pdu=True)),
    _odd("study-level-only", "knows no level below STUDY", Answers(levels=("STUDY",))),
    _odd("slow-answers", "a tenth of a second between two answers", Answers(pause_s=0.1)),
    _odd(
        "no-patient-id",
        "leaves PatientID out, so that patients can't be told apart",
        Answers(omit=(0x00100020,)),
        patients_told=False,
    ),
)
