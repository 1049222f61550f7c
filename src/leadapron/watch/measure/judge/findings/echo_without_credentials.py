"""C-ECHO is answered: harmless in itself, and how a server is found."""

from __future__ import annotations

from leadapron.watch.measure.judge import references as refs
from leadapron.watch.measure.judge.model import Facts, FindingKind, always


def _applies(facts: Facts) -> str | None:
    echo = facts.measurement.echo
    return "C-ECHO was answered with success" if echo is not None and echo.status == 0 else None


FINDING = FindingKind(
    id="echo-without-credentials",
    title="The server tells strangers that it is there",
    applies=_applies,
    severity=always("low"),
    severity_rule="always low",
    why="An answered C-ECHO gives nothing away but the server itself. Lists of servers are made this way, and what "
    "stands in them gets visits.",
    references=(refs.HIPAA_AUTHENTICATION, refs.PS38_AE_TITLE),
    remedy="access",
)
