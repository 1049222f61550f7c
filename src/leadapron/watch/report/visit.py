"""What one visit to an endpoint did and met, in words: for whoever runs that server and wants to know."""

from __future__ import annotations

from leadapron.watch.measure.model import (
    Aborted,
    Accepted,
    Attempt,
    CountFailed,
    Failed,
    HungUp,
    Malformed,
    Measurement,
    NotDicom,
    Outcome,
    Refused,
    Rejected,
    Silent,
    TlsFailed,
)
from leadapron.watch.measure.record import Capabilities, EndpointRecord, ShapesFound
from leadapron.watch.report.text import listing, number, quantity, seconds
from leadapron.wire.association.reasons import explain_abort, explain_reject
from leadapron.wire.pdu.types import Abort, AssociateReject


def outcome(ended: Outcome) -> str:
    """How an attempt to associate ended."""
    match ended:
        case Accepted(contexts=contexts):
            return f"accepted, with {quantity(len(contexts), 'service')} of those proposed"
        case Rejected(result=result, source=source, reason=reason):
            return explain_reject(AssociateReject(result, source, reason))
        case Aborted(source=source, reason=reason):
            return explain_abort(Abort(source, reason))
        case Refused(error=error):
            return f"no connection ({error})"
        case Silent(waited_s=waited, received=received):
            said = f"{quantity(received, 'octet')} and no more" if received else "nothing"
            return f"connected, then {said} within {seconds(waited)}"
        case HungUp(reset=reset):
            return f"connected, then {'reset' if reset else 'closed'} by the server without an answer"
        case NotDicom(protocol=protocol):
            return (
                "answered in no protocol that we know" if protocol == "unknown" else f"answered as {protocol.upper()}"
            )
        case Malformed(detail=detail):
            return f"answered with broken DICOM: {detail}"
        case TlsFailed(error=error, client_certificate_wanted=wanted):
            return f"TLS failed: {'the server wants a client certificate' if wanted else error}"
        case Failed(reason=reason):
            return f"our own fault: {reason}"


def attempts(measurement: Measurement) -> list[str]:
    """A line an attempt, with the titles that were used."""
    return [f"{_titles(attempt)}: {outcome(attempt.outcome)}" for attempt in measurement.attempts]


def _titles(attempt: Attempt) -> str:
    return f"{'TLS' if attempt.transport == 'tls' else 'Plain'}, calling {attempt.calling}, called {attempt.called}"


def load(record: EndpointRecord) -> str:
    """What the device was asked, all in all."""
    asked = record.load
    return (
        f"{quantity(asked.connections, 'connection')}, {quantity(asked.associations, 'association')} and "
        f"{quantity(asked.requests, 'request')} in {seconds(record.elapsed_s)}"
    )


def counting(measurement: Measurement) -> str | None:
    """How a count came about, or why there is none."""
    count = measurement.count
    if count is None:
        return None
    if isinstance(count, CountFailed):
        return f"No query was answered: {count.reason}."
    said = f"{quantity(count.requests, 'query', 'queries')}, {quantity(count.answers, 'answer')}."
    if count.limit is not None:
        said += f" The server gives at most {number(count.limit)} answers at once."
    if count.undated:
        carry = "carries" if count.undated == 1 else "carry"
        said += f" {quantity(count.undated, 'study', 'studies')} {carry} no date."
    return said


def abilities(found: Capabilities) -> list[str]:
    """What a stranger may do, read off the presentation contexts that were accepted."""
    said = []
    if found.find:
        said.append(f"search by {listing(list(found.find))}")
    if found.retrieve:
        said.append(f"fetch images ({listing([f'C-{way.upper()}' for way in found.retrieve])})")
    if found.store:
        said.append(f"send images in ({quantity(found.store, 'storage class', 'storage classes')})")
    if found.worklist:
        said.append("read the modality worklist")
    if found.commitment:
        said.append("ask for storage commitment")
    if found.echo and not said:
        said.append("nothing but an echo")
    return said


def shapes(found: ShapesFound) -> str:
    """Which kinds of identifiers the answers held: ``names and birth dates; not seen: national identifiers``."""
    kinds = {"names": found.names, "birth dates": found.birth_dates, "national identifiers": found.national_ids}
    parts = (
        ("", [kind for kind, there in kinds.items() if there]),
        ("not seen: ", [kind for kind, there in kinds.items() if there is False]),
        ("not looked for: ", [kind for kind, there in kinds.items() if there is None]),
    )
    return "; ".join(lead + listing(names) for lead, names in parts if names)


def titles_checked(found: Capabilities) -> str | None:
    """Whether AE titles keep anyone out. They are names and no credential, so this is never enough."""
    match found.any_calling_ae, found.any_called_ae:
        case True, True:
            return "Any calling and any called AE title is accepted."
        case True, False:
            return "The called AE title is checked, the calling one is not."
        case False, True:
            return "The calling AE title is checked, the called one is not."
        case False, False:
            return "Both AE titles are checked."
        case True, None:
            return "Any calling AE title is accepted."
        case _:
            return None
