"""Archives that don't tell all at once. Everything can be counted by asking for less at a time."""

from __future__ import annotations

from leadapron.lab.persona import Persona
from leadapron.lab.personas.archives import DCMTK, ORTHANC
from leadapron.lab.server.profile import Answers, Door

_FAMILY = "limits"


def _limited(name: str, summary: str, answers: Answers, door: Door = DCMTK, *, completable: bool = True) -> Persona:
    return Persona(
        name=name,
        family=_FAMILY,
        summary=summary,
        verdicts=("exposed",),
        door=door,
        answers=answers,
        archive=True,
        completable=completable,
        product="DCMTK",
    )


PERSONAS = (
    _limited("silent-limit", "stops at 500 answers and says Success", Answers(limit=500)),
    _limited("silent-limit-100", "stops at 100 answers and says Success", Answers(limit=100)),
    _limited("silent-limit-odd", "stops at 347 answers, no round number, and says Success", Answers(limit=347)),
    _limited(
        "cancels-at-limit",
        "like Orthanc with a limit: the answer ends with Cancel (FE00H)",
        Answers(limit=200, at_limit="cancel"),
        ORTHANC,
    ),
    _limited(
        "refuses-a700",
        "refuses a query with over 1,000 matches: out of resources (A700H)",
        Answers(limit=1000, at_limit="refuse", refusal=0xA700),
    ),
    _limited(
        "refuses-c001",
        "like dcm4chee-arc above its maximum: unable to process (C001H), no answer",
        Answers(limit=300, at_limit="refuse", refusal=0xC001, error_comment="Too many results"),
    ),
    _limited(
        "stops-a700", "sends 400 answers and then fails (A700H)", Answers(limit=400, at_limit="stop", refusal=0xA700)
    ),
    _limited(
        "limit-ignores-dates",
        "stops at 250 answers and ignores dates: the rest can't be reached",
        Answers(limit=250, ignores_dates=True),
        completable=False,
    ),
    _limited(
        "limit-one-by-one",
        "gives a single answer whatever is asked",
        Answers(limit=1),
        completable=False,
    ),
)
