"""Only a title that the product comes with stands before the archive."""

from __future__ import annotations

from leadapron.watch.measure.judge import references as refs
from leadapron.watch.measure.judge.capabilities import refused_titles
from leadapron.watch.measure.judge.model import Facts, FindingKind, always


def _applies(facts: Facts) -> str | None:
    attempts = facts.measurement.attempts
    if len(attempts) < 2:
        return None
    called, calling = refused_titles(attempts, facts.attempt)
    if not called and not calling:
        return None
    which = "called and calling AE titles" if called and calling else f"{'called' if called else 'calling'} AE title"
    return f"the {which} got past at attempt {attempts.index(facts.attempt) + 1}: a title that products come with"


FINDING = FindingKind(
    id="default-ae-title",
    title="The AE title that guards the server can be guessed",
    applies=_applies,
    severity=always("medium"),
    severity_rule="always medium",
    why="The server refuses titles that it does not know, and takes one that the product is delivered with. Such "
    "titles stand in every manual.",
    references=(refs.HIPAA_AUTHENTICATION, refs.HIPAA_UNIQUE, refs.PS38_AE_TITLE),
    remedy="access",
)
