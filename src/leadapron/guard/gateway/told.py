"""What people and enrolment tell, as messages of the audit trail (PS3.15 A.5.3)."""

from __future__ import annotations

from leadapron.guard.audit.codes import Alert, Outcome
from leadapron.guard.audit.events import (
    EmergencyOverride,
    NetworkEntry,
    NodeAuthenticationFailed,
    Participant,
    SecurityAlert,
    UserAuthentication,
)
from leadapron.guard.audit.events import Event as AuditEvent
from leadapron.guard.gateway.enrolment import Enrolled, EnrolmentRefused, HandshakeFailed
from leadapron.guard.gateway.enrolment import Event as EnrolmentEvent
from leadapron.guard.identity.people.model import Event as PeopleEvent
from leadapron.guard.identity.people.model import Kind
from leadapron.guard.policy.reload import Reloaded


def of_people(event: PeopleEvent) -> AuditEvent:
    """Log in and out, tokens, accounts, emergencies, attacks."""
    person = Participant(event.person or "nobody", address=event.source or None)
    outcome = Outcome.SUCCESS if event.success else Outcome.MINOR
    reason = event.reason or None
    if event.kind in (Kind.LOGIN, Kind.TOKEN):
        return UserAuthentication(
            person=person, login=True, how=event.how, outcome=outcome, reason=reason, when=event.when
        )
    if event.kind in (Kind.LOGOUT, Kind.SESSION_ENDED):
        return UserAuthentication(person=person, login=False, how=event.how, reason=reason, when=event.when)
    if event.kind is Kind.EMERGENCY:
        started = "over" not in (event.reason or "")
        return EmergencyOverride(person=person, started=started, text=event.reason or event.how, when=event.when)
    kind = Alert.USER_ATTRIBUTES_CHANGED if event.kind is Kind.ACCOUNT else Alert.RESTRICTED_FUNCTION
    text = f"{event.how}: {event.reason}" if event.reason else event.how
    about = person if event.person or not event.by else None  # None: the guard itself, as with an envelope's code
    return SecurityAlert(
        kind=kind,
        text=text,
        subject=about,
        performers=(Participant(event.by),) if event.by else (person,),
        outcome=Outcome.SERIOUS if event.alert or not event.success else Outcome.SUCCESS,
        when=event.when,
    )


def of_enrolment(event: EnrolmentEvent) -> AuditEvent:
    """A certificate was issued, or somebody got none."""
    if isinstance(event, Enrolled):
        return NetworkEntry(node=Participant(event.name, ae=event.ae, address=event.address), attached=True)
    assert isinstance(event, EnrolmentRefused | HandshakeFailed)
    return NodeAuthenticationFailed(address=event.address, reason=f"enrolment: {event.reason}")


def of_rules(reloaded: Reloaded) -> AuditEvent:
    """The rules were read again, or could not be."""
    if reloaded.error is not None:
        return SecurityAlert(kind=Alert.SECURITY_CONFIGURATION, text=reloaded.error, resource="leadapron.toml")
    changes = [
        f"{word} {', '.join(names)}" for word, names in (("new:", reloaded.added), ("gone:", reloaded.removed)) if names
    ]
    text = "the rules of peers were read again" + (f" ({'; '.join(changes)})" if changes else "")
    return SecurityAlert(
        kind=Alert.SECURITY_CONFIGURATION, text=text, resource="leadapron.toml", outcome=Outcome.SUCCESS
    )
