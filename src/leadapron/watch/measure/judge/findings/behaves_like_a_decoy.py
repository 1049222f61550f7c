"""A decoy, said with what speaks for it: somebody should look before it is forgotten."""

from __future__ import annotations

from leadapron.watch.measure.judge import references as refs
from leadapron.watch.measure.judge.model import Facts, FindingKind, always
from leadapron.watch.measure.judge.tells import causes
from leadapron.watch.measure.record import Verdict

_DECOY: frozenset[Verdict] = frozenset({"decoy"})


def _applies(facts: Facts) -> str | None:
    return f"{len(causes(facts.tells))} independent ways in which no real archive behaves"


FINDING = FindingKind(
    id="behaves-like-a-decoy",
    title="This looks like a decoy for intruders, not like an archive",
    applies=_applies,
    severity=always("info"),
    severity_rule="always info",
    why="Decoys give out invented or public images to watch who comes. They are left out of all counts. If this is "
    "your own archive and no decoy, its records may be open all the same: tell us.",
    references=(refs.NIST_PACS,),
    remedy="decoy",
    verdicts=_DECOY,
)
