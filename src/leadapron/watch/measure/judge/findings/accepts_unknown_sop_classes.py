"""Whatever is proposed is accepted."""

from __future__ import annotations

from leadapron.watch.measure.judge import references as refs
from leadapron.watch.measure.judge.model import Facts, FindingKind, always
from leadapron.wire.uids import INVENTED_ABSTRACT_SYNTAX


def _applies(facts: Facts) -> str | None:
    accepted = facts.accepted
    if accepted is None:
        return None
    if INVENTED_ABSTRACT_SYNTAX in accepted.contexts or "invented-abstract-syntax-accepted" in facts.tells:
        return "an abstract syntax that exists nowhere was accepted"
    return None


FINDING = FindingKind(
    id="accepts-unknown-sop-classes",
    title="The server accepts objects of kinds that do not exist",
    applies=_applies,
    severity=always("low"),
    severity_rule="always low",
    why="What the server cannot know it cannot check: any file can be left there under an invented class.",
    references=(refs.HIPAA_INTEGRITY, refs.PS34_STORE),
    remedy="classes",
)
