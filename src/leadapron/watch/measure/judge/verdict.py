"""The verdict: a table, read from the top; the first row whose outcome and condition fit decides.

First one attempt is chosen from the visit, the one that tells most (``_RANK``): an association that was accepted over
one that was refused, that over silence. A TLS attempt that followed a plain one thereby stands for the endpoint where
it told more.

Choices that could have been made otherwise:

- *A transient rejection is a guard that proves nothing.* It turned us away, so it is ``guarded`` by the word; but
  congestion and local limits say that the server was busy, not that it knows us for strangers. The reason says so,
  ``conclusive`` is False, and no exposure ends by it: ask again.
- *A decoy outranks an exposure.* Dicompot answers queries with public images; counted, they would be patients.
- *Hanging up is silence.* Who connects and closes without an answer may filter addresses, may be something else.
- *Broken DICOM is no archive.* One octet in 65,536 of noise begins like an answer of ours, and one oddity is no decoy.
- *A server that wants a client certificate is guarded* on DICOM's ports, and another service on the web's.
- *Accepted contexts are a service* unless all that was asked over them was refused. An abort after C-ECHO and C-FIND
  (Orthanc refuses so) leaves storage as it was accepted: open. "Not authorized" (0124H) is a word about the asker, and
  stands for storage too: guarded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from leadapron.watch.measure.judge import tells as decoys
from leadapron.watch.measure.judge.model import Facts
from leadapron.watch.measure.judge.words import TRANSIENT, abortion, rejection
from leadapron.watch.measure.model import (
    Aborted,
    Accepted,
    Attempt,
    Failed,
    HungUp,
    Malformed,
    NotDicom,
    Outcome,
    Refused,
    Rejected,
    Silent,
    TlsFailed,
)
from leadapron.watch.measure.record import Verdict
from leadapron.watch.measure.software import printable
from leadapron.wire.uids import INVENTED_ABSTRACT_SYNTAX

# Where TLS with client certificates is somebody's web server, not DICOM (PS3.8 §9.1.1 and IANA register 2761, 2762).
WEB_PORTS: Final = frozenset({80, 443, 8000, 8042, 8043, 8080, 8081, 8443, 9443})
NOT_AUTHORIZED: Final = 0x0124  # PS3.7 §C.5.6
_REFUSALS: Final = frozenset({NOT_AUTHORIZED, 0x0122})  # 0122H: SOP class not supported
_LONGEST: Final = 160


class Row(Struct, frozen=True):
    """``when`` says the condition in words, ``holds`` computes it; ``reason`` gives the sentence of the record."""

    outcome: type[Outcome]
    when: str
    holds: Callable[[Facts], bool]
    verdict: Verdict
    reason: Callable[[Facts], str | None]
    conclusive: bool = True


class Decision(Struct, frozen=True):
    verdict: Verdict
    reason: str | None
    conclusive: bool


# ---- conditions ------------------------------------------------------------------------------------------------------


def _always(_: Facts) -> bool:
    return True


def _is_decoy(facts: Facts) -> bool:
    return len(facts.tells) >= decoys.NEEDED and len(decoys.causes(facts.tells)) >= decoys.NEEDED


def _gave_records(facts: Facts) -> bool:
    count = facts.count
    return count is not None and (count.answers > 0 or count.studies > 0 or (count.patients or 0) > 0)


def _serves_nothing(facts: Facts) -> bool:
    accepted = facts.accepted
    assert accepted is not None
    return not accepted.contexts or accepted.contexts == (INVENTED_ABSTRACT_SYNTAX,)


def _all_was_refused(facts: Facts) -> bool:
    echo, refusal, offered = facts.measurement.echo, facts.refusal, facts.capabilities
    assert offered is not None
    if facts.count is not None or (echo is None and refusal is None) or (echo is not None and echo.status == 0):
        return False
    if echo is not None and echo.status is not None and echo.status not in _REFUSALS:
        return False  # it did answer, if only with a failure
    if NOT_AUTHORIZED in (echo and echo.status, refusal and refusal.status):
        return True
    untried_find = bool(offered.find) and refusal is None
    return not (untried_find or offered.store or offered.worklist)


def _is_transient(facts: Facts) -> bool:
    outcome = facts.attempt.outcome
    return type(outcome) is Rejected and outcome.result == TRANSIENT


def _wants_certificate(facts: Facts) -> bool:
    outcome = facts.attempt.outcome
    wanted = type(outcome) is TlsFailed and outcome.client_certificate_wanted
    return wanted and facts.measurement.port not in WEB_PORTS


def _port_is_closed(facts: Facts) -> bool:
    outcome = facts.attempt.outcome
    return type(outcome) is Refused and outcome.error == "ECONNREFUSED"


# ---- reasons ---------------------------------------------------------------------------------------------------------


def _plain(_: Facts) -> None:
    return None


def _clean(text: str) -> str:
    """Our own words out of a measurement, once more bounded and printable: stored ones may come from anywhere."""
    return printable(text, _LONGEST) or "no reason was recorded"


def _decoy_reason(facts: Facts) -> str:
    return f"behaves as no real archive does: {decoys.sentence(facts.tells)}"


def _nothing_accepted(_: Facts) -> str:
    return "A-ASSOCIATE-AC, but none of the services that were proposed is accepted"


def _refused_reason(facts: Facts) -> str:
    said = []
    echo, refusal = facts.measurement.echo, facts.refusal
    if echo is not None:
        said.append(f"C-ECHO {_status(echo.status) if echo.status is not None else 'got no answer'}")
    if refusal is not None:
        said.append(f"C-FIND {_status(refusal.status) if refusal.status is not None else 'got no answer'}")
    return f"A-ASSOCIATE-AC, then all that was asked was refused: {', '.join(said)}"


def _status(status: int) -> str:
    return f"{status:04X}H (not authorized)" if status == NOT_AUTHORIZED else f"{status:04X}H"


def _open_reason(facts: Facts) -> str | None:
    return None if facts.refusal is None else f"C-FIND gave no records: {_clean(facts.refusal.reason)}"


def _rejected_reason(facts: Facts) -> str:
    outcome = facts.attempt.outcome
    assert type(outcome) is Rejected
    tried = sum(type(attempt.outcome) is Rejected for attempt in facts.measurement.attempts)
    return rejection(outcome) + (f"; {tried} attempts with different AE titles" if tried > 1 else "")


def _aborted_reason(facts: Facts) -> str:
    outcome = facts.attempt.outcome
    assert type(outcome) is Aborted
    return abortion(outcome)


def _tls_reason(facts: Facts) -> str:
    outcome = facts.attempt.outcome
    assert type(outcome) is TlsFailed
    return f"the TLS handshake failed: {_clean(outcome.error)}"


def _certificate_reason(_: Facts) -> str:
    return "TLS: a client certificate is wanted"


def _malformed_reason(facts: Facts) -> str:
    outcome = facts.attempt.outcome
    assert type(outcome) is Malformed
    return f"began like DICOM and broke it: {_clean(outcome.detail)}"


def _hung_up_reason(facts: Facts) -> str:
    outcome = facts.attempt.outcome
    assert type(outcome) is HungUp
    after = f"after {outcome.received} octets" if outcome.received else "without an answer"
    return f"{'reset' if outcome.reset else 'closed'} the connection {after}"


def _silent_reason(facts: Facts) -> str:
    outcome = facts.attempt.outcome
    assert type(outcome) is Silent
    got = f"{outcome.received} octets, no whole answer" if outcome.received else "nothing"
    return f"{got} within {outcome.waited_s:g} s"


def _failed_reason(facts: Facts) -> str:
    outcome = facts.attempt.outcome
    assert type(outcome) is Failed
    return _clean(outcome.reason)


TABLE: Final[tuple[Row, ...]] = (
    Row(Accepted, "two independent tells of a decoy", _is_decoy, "decoy", _decoy_reason),
    Row(Accepted, "at least one patient record was answered", _gave_records, "exposed", _plain),
    Row(Accepted, "no service is accepted", _serves_nothing, "guarded", _nothing_accepted),
    Row(Accepted, "all that was asked was refused", _all_was_refused, "guarded", _refused_reason),
    Row(Accepted, "else", _always, "open", _open_reason),
    Row(Rejected, "transient (result 2)", _is_transient, "guarded", _rejected_reason, conclusive=False),
    Row(Rejected, "else", _always, "guarded", _rejected_reason),
    Row(Aborted, "always", _always, "guarded", _aborted_reason),
    Row(TlsFailed, "wants a certificate, no web port", _wants_certificate, "guarded", _certificate_reason),
    Row(TlsFailed, "else", _always, "other", _tls_reason),
    Row(Malformed, "always", _always, "other", _malformed_reason),
    Row(NotDicom, "always", _always, "other", _plain),
    Row(HungUp, "always", _always, "silent", _hung_up_reason, conclusive=False),
    Row(Silent, "always", _always, "silent", _silent_reason, conclusive=False),
    Row(Refused, "the port is closed", _port_is_closed, "closed", _plain),
    Row(Refused, "no way there", _always, "closed", _plain, conclusive=False),
    Row(Failed, "always", _always, "failed", _failed_reason, conclusive=False),
)
_ROWS: Final[dict[type[Outcome], tuple[Row, ...]]] = {
    kind: tuple(row for row in TABLE if row.outcome is kind) for kind in {row.outcome for row in TABLE}
}

# How much an outcome tells about the server; among equals the later attempt counts.
_RANK: Final[dict[type[Outcome], int]] = {
    Accepted: 10,
    Rejected: 9,
    Aborted: 8,
    TlsFailed: 4,
    Malformed: 6,
    NotDicom: 5,
    HungUp: 3,
    Failed: 2,
    Silent: 1,
    Refused: 0,
}
_TRANSIENT_RANK: Final = 7
_CERTIFICATE_RANK: Final = 8


def _rank(outcome: Outcome) -> int:
    if type(outcome) is Rejected and outcome.result == TRANSIENT:
        return _TRANSIENT_RANK
    if type(outcome) is TlsFailed and outcome.client_certificate_wanted:
        return _CERTIFICATE_RANK
    return _RANK[type(outcome)]


def most_telling(attempts: tuple[Attempt, ...]) -> Attempt:
    """The attempt that stands for the visit. Of several accepted ones the first: the others only added to it."""
    best, highest = attempts[0], -1
    for attempt in attempts:
        if type(attempt.outcome) is Accepted:
            return attempt
        rank = _rank(attempt.outcome)
        if rank >= highest:
            best, highest = attempt, rank
    return best


def decide(facts: Facts) -> Decision:
    """The first row of ``TABLE`` that fits."""
    for row in _ROWS[type(facts.attempt.outcome)]:
        if row.holds(facts):
            return Decision(row.verdict, row.reason(facts), row.conclusive)
    raise AssertionError(f"no row of the verdict table fits {type(facts.attempt.outcome).__name__}")
