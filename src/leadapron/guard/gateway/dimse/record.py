"""What one association tells the audit trail: who moved which studies where, as PS3.15 A.5.3.3 and A.5.3.7 ask.

Objects are counted by study and SOP class while they pass; one message a direction tells the sum, when the association
is over or when there are ``MAX_STUDIES`` of them. The messages that tell a beginning come with a study's first object.
Whose object it is stands in its first octets; where it does not, it is counted under a study without a name.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from typing import Final, Literal

from leadapron.guard.audit.codes import Alert, Outcome
from leadapron.guard.audit.events import (
    BeginTransferring,
    BulkAlarm,
    Event,
    InstancesTransferred,
    NodeAuthenticationFailed,
    Participant,
    ProcedureRecorded,
    QueryMade,
    SecurityAlert,
    SopClass,
    Study,
)
from leadapron.guard.audit.place import AuditFailed

OnEvent = Callable[[Event], None]
"""Takes what happened; quick. It raises `AuditFailed` where that cannot be recorded: then it must not happen."""

MAX_STUDIES: Final = 256
UNKNOWN: Final = "0"
"""Stands for a study that could not be read. No study has this UID (PS3.5 §9.1: a root and a suffix)."""


class Transfer:
    """One direction."""

    def __init__(
        self, on_event: OnEvent, sender: Participant, receiver: Participant, requestor: Participant | None = None
    ) -> None:
        self.requestor = requestor
        self._on_event = on_event
        self._sender, self._receiver = sender, receiver
        self._studies: dict[str, Counter[str]] = {}
        self._failed = 0

    def began(self, study: str | None) -> None:
        """An object of that study begins to pass."""
        uid = study or UNKNOWN
        if uid in self._studies:
            return
        if len(self._studies) >= MAX_STUDIES:
            self.close(None)
        self._studies[uid] = Counter()
        self._on_event(
            BeginTransferring(
                sender=self._sender, receiver=self._receiver, requestor=self.requestor, studies=(Study(uid),)
            )
        )

    def ended(self, study: str | None, sop_class: str, good: bool) -> None:
        """Its receiver has answered."""
        if good:
            self._studies.setdefault(study or UNKNOWN, Counter())[sop_class] += 1
        else:
            self._failed += 1

    def close(self, reason: str | None) -> None:
        """The sum, if there is one. ``reason``: why the association did not end as it should."""
        if not self._studies and not self._failed:
            return
        studies = tuple(
            Study(uid, tuple(SopClass(name, number) for name, number in sorted(classes.items())))
            for uid, classes in self._studies.items()
        )
        failures = f"{self._failed} objects were not taken" if self._failed else None
        why = "; ".join(filter(None, (reason, failures))) or None
        self._on_event(
            InstancesTransferred(
                sender=self._sender,
                receiver=self._receiver,
                requestor=self.requestor,
                studies=studies,
                outcome=Outcome.SUCCESS if why is None else Outcome.MINOR,
                reason=why,
            )
        )
        self._studies, self._failed = {}, 0


class Steps:
    """Procedure steps that the peer creates and changes: one message each, when the archive has answered, or when it
    is clear that it never will. Each is known by the message ID of its request."""

    def __init__(self, on_event: OnEvent, peer: Participant, archive: Participant) -> None:
        self._on_event, self._peer, self._archive = on_event, peer, archive
        self._open: dict[int, tuple[Literal["C", "U"], Study]] = {}

    def began(self, number: int, action: Literal["C", "U"], step: str | None) -> None:
        self._open[number] = action, Study(UNKNOWN, step=step)

    def read(self, number: int, study: str | None) -> None:
        """Its data set says which study it is of."""
        if number in self._open and study is not None:
            action, known = self._open[number]
            self._open[number] = action, Study(study, step=known.step)

    def ended(self, number: int, reason: str | None) -> None:
        """``reason``: why it is not done. One that was refused never began, and is told as that."""
        if number not in self._open:
            return
        action, study = self._open.pop(number)
        self._on_event(
            ProcedureRecorded(
                peer=self._peer,
                archive=self._archive,
                action=action,
                study=study,
                outcome=Outcome.SUCCESS if reason is None else Outcome.MINOR,
                reason=reason,
            )
        )

    def close(self, reason: str | None) -> None:
        for number in tuple(self._open):
            self.ended(number, f"it was not answered: {reason or 'the association ended'}")


class Record:
    """One association between ``peer`` and ``archive``."""

    def __init__(self, on_event: OnEvent, peer: Participant, archive: Participant) -> None:
        self.peer, self.archive = peer, archive
        self.to_archive = Transfer(on_event, peer, archive)
        self.to_peer = Transfer(on_event, archive, peer)
        self.steps = Steps(on_event, peer, archive)
        self._on_event = on_event
        self._told: set[str] = set()

    def query(
        self,
        sop_class: str,
        identifier: bytes,
        transfer_syntax: str,
        refused: str | None = None,
        outcome: Outcome = Outcome.MINOR,
    ) -> None:
        """It was asked, which is told before it is passed on; or with ``outcome`` what came of it: ``refused``."""
        self._on_event(
            QueryMade(
                peer=self.peer,
                archive=self.archive,
                query=identifier,
                sop_class=sop_class,
                transfer_syntax=transfer_syntax,
                outcome=Outcome.SUCCESS if refused is None else outcome,
                reason=refused,
            )
        )

    def denied(self, what: str, reason: str) -> None:
        """A request was refused; told once for each reason, for who is refused often asks on."""
        if reason in self._told or len(self._told) >= MAX_STUDIES:
            return
        self._told.add(reason)
        self._alert(Alert.REQUEST_DENIED, f"{what} was refused: {reason}", Outcome.MINOR)

    def broad(self, limit: int) -> None:
        self._alert(Alert.BROAD_QUERY, f"a query had more than {limit} answers and was cut short", Outcome.MINOR)

    def bulk(self, studies: int, limit: int, who: Participant | None = None) -> None:
        self._on_event(BulkAlarm(peer=who or self.peer, studies=studies, limit=limit, window_s=3600))

    def moved(self, studies: tuple[str, ...], destination: str, reason: str | None) -> None:
        """A C-MOVE is over; what went to a peer of ours is told by its own association, too."""
        transfer = InstancesTransferred(
            sender=self.archive,
            receiver=Participant(destination, ae=destination),
            requestor=self.peer,
            studies=tuple(Study(uid) for uid in studies[:MAX_STUDIES]) or (Study(UNKNOWN),),
            outcome=Outcome.SUCCESS if reason is None else Outcome.MINOR,
            reason=reason,
        )
        self._on_event(transfer)

    def close(self, reason: str | None) -> None:
        self.to_archive.close(reason)
        self.to_peer.close(reason)
        self.steps.close(reason)

    def _alert(self, kind: Alert, text: str, outcome: Outcome) -> None:
        self._on_event(
            SecurityAlert(kind=kind, text=text, subject=self.archive, performers=(self.peer,), outcome=outcome)
        )


def turned_away(on_event: OnEvent, address: str, reason: str, *, ae: str | None = None) -> None:
    """Somebody was not let in: one message. Turned away they are, whether it can be recorded or not."""
    with contextlib.suppress(AuditFailed):
        on_event(NodeAuthenticationFailed(address=address, reason=reason, ae=ae))


def failed(on_event: OnEvent, record: Record, reason: str) -> None:
    """An association that was let in ended as it should not, and it was not the network's fault."""
    with contextlib.suppress(AuditFailed):
        on_event(
            SecurityAlert(
                kind=Alert.RESTRICTED_FUNCTION,
                text=f"an association was ended: {reason}",
                subject=record.archive,
                performers=(record.peer,),
                outcome=Outcome.MINOR,
            )
        )
