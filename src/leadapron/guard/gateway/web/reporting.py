"""What the web side tells the audit trail (PS3.15 §A.5.3): one message for each attempt and each thing done.

Reading a study takes hundreds of requests for frames. The first of a person for a study within a while is told as
"accessed", those after it are not; what leaves as whole files, comes in, is deleted, searched, refused or fails is
always told. An alert is flushed to the disk at once, so refusals of a kind that a script repeats are alerts once an
hour for each person, and ordinary messages in between.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from leadapron.guard.audit.codes import Alert, Outcome
from leadapron.guard.audit.events import (
    BulkAlarm,
    InstancesAccessed,
    InstancesTransferred,
    Participant,
    QueryMade,
    SecurityAlert,
    Study,
    StudyDeleted,
    UserAuthentication,
)
from leadapron.guard.audit.events import Event as AuditEvent
from leadapron.guard.gateway.web.exchange import Exchange
from leadapron.guard.gateway.web.ports import Who
from leadapron.guard.gateway.web.route import Event, Match
from leadapron.kernel.clock import Clock

WINDOW_S: Final = 900.0
HOUR_S: Final = 3600
MAX_WINDOWS: Final = 10_000
MAX_REASON: Final = 500
MAX_RESOURCE: Final = 1000

OnEvent = Callable[[AuditEvent], None]


class Done(Struct, frozen=True):
    """What a request came to: the archive's status, the studies, files stored, preambles zeroed in and out."""

    status: int
    studies: tuple[str, ...]
    files: int | None = None
    zeroed_in: int = 0
    zeroed_out: int = 0


class Reporter:
    """``archive``: how the archive behind is called in the trail."""

    def __init__(self, on_event: OnEvent, archive: Participant, clock: Clock) -> None:
        self._on_event, self._archive, self._clock = on_event, archive, clock
        self._windows: OrderedDict[tuple[str, str], float] = OrderedDict()

    # ---- those who get nothing ---------------------------------------------------------------------------------------

    def stranger(self, exchange: Exchange, reason: str) -> None:
        """Nobody who is known asked for something."""
        how = "token" if exchange.headers.get("authorization") else "no session"
        person = Participant("", address=exchange.address)
        self._on_event(UserAuthentication(person=person, login=True, how=how, outcome=Outcome.MINOR, reason=reason))

    def refused(self, exchange: Exchange, who: Who | None, reason: str) -> None:
        """A request was turned away before anything was said to the archive."""
        person = _participant(exchange, who)
        path = exchange.raw_path[:MAX_RESOURCE].decode("latin-1")
        self._on_event(
            SecurityAlert(
                kind=Alert.REQUEST_DENIED,
                text=f"{exchange.method}: {reason[:MAX_REASON]}",
                resource=path,
                performers=(person,),
                outcome=Outcome.MINOR,
            )
        )

    def flood(self, exchange: Exchange) -> None:
        """From now on requests of this address without a session or token are not looked at."""
        self._on_event(
            SecurityAlert(
                kind=Alert.NODE_AUTHENTICATION,
                text="refusals of this address are above the bound; what it asks for is not looked at for a while",
                subject=_participant(exchange, None),
            )
        )

    def bulk(self, exchange: Exchange, who: Who, match: Match, path: str, studies: tuple[str, ...], limit: int) -> None:
        """More studies in an hour than allowed."""
        if self._new(("bulk", who.name), HOUR_S):
            person = _participant(exchange, who)
            self._on_event(BulkAlarm(peer=person, studies=limit + 1, limit=limit, window_s=HOUR_S))
        else:
            self.failed(exchange, who, match, path, studies, "more studies in an hour than allowed")

    # ---- those who get something -------------------------------------------------------------------------------------

    def done(self, exchange: Exchange, who: Who, match: Match, path: str, done: Done) -> None:
        """The request was carried and answered."""
        for number, way in ((done.zeroed_in, "in"), (done.zeroed_out, "out")):
            if number:
                text = f"{number} DICOM files had something else than zeros or TIFF in the preamble on the way {way}"
                self._on_event(
                    SecurityAlert(
                        kind=Alert.OBJECT_ATTRIBUTES_CHANGED,
                        text=f"{text}; it was zeroed",
                        resource=path,
                        performers=(_participant(exchange, who),),
                        outcome=Outcome.MINOR,
                    )
                )
        reason = None if done.status < 400 else f"the archive answered {done.status}"
        if match.route.event is Event.ACCESS and reason is None and not self._first(who, done.studies):
            return
        self._tell(exchange, who, match, path, done.studies, reason)

    def failed(
        self, exchange: Exchange, who: Who, match: Match, path: str, studies: tuple[str, ...], reason: str
    ) -> None:
        """The request was refused on the way, or broke off."""
        self._tell(exchange, who, match, path, studies, reason[:MAX_REASON])

    def _tell(
        self,
        exchange: Exchange,
        who: Who,
        match: Match,
        path: str,
        uids: tuple[str, ...],
        reason: str | None,
    ) -> None:
        outcome = Outcome.SUCCESS if reason is None else Outcome.MINOR
        person, archive = _participant(exchange, who), self._archive
        studies = tuple(Study(uid) for uid in uids)
        event: AuditEvent
        match match.route.event:
            case Event.QUERY:
                event = QueryMade(
                    peer=person,
                    archive=archive,
                    query=f"{exchange.method} {path}".encode(),
                    outcome=outcome,
                    reason=reason,
                )
            case Event.ACCESS:
                event = InstancesAccessed(who=(person,), studies=studies, outcome=outcome, reason=reason)
            case Event.EXPORT | Event.IMPORT as way:
                sender, receiver = (archive, person) if way is Event.EXPORT else (person, archive)
                event = InstancesTransferred(
                    sender=sender,
                    receiver=receiver,
                    requestor=person,
                    studies=studies,
                    action="R" if way is Event.EXPORT else "C",
                    outcome=outcome,
                    reason=reason,
                )
            case Event.DELETE if _whole(match):
                event = StudyDeleted(who=(person,), studies=studies, outcome=outcome, reason=reason)
            case Event.DELETE:
                event = InstancesAccessed(who=(person,), action="D", studies=studies, outcome=outcome, reason=reason)
            case _ if reason is not None:
                event = SecurityAlert(
                    kind=Alert.REQUEST_DENIED,
                    text=reason,
                    resource=path,
                    performers=(person,),
                    outcome=Outcome.MINOR,
                )
            case _:
                return
        self._on_event(event)

    def _first(self, who: Who, studies: tuple[str, ...]) -> bool:
        """Whether one of these was not told within a while; from now on they were."""
        return any([self._new((who.name, study), WINDOW_S) for study in studies])

    def _new(self, key: tuple[str, str], window: float) -> bool:
        now = self._clock.monotonic()
        last = self._windows.get(key)
        if last is not None and now - last < window:
            return False
        self._windows[key] = now
        self._windows.move_to_end(key)
        if len(self._windows) > MAX_WINDOWS:
            self._windows.popitem(last=False)
        return True


def _participant(exchange: Exchange, who: Who | None) -> Participant:
    return Participant("" if who is None else who.name, address=exchange.address)


def _whole(match: Match) -> bool:
    """Whether a deletion takes whole studies: a patient's are, a series' or an instance is a part."""
    last = [part for part in match.route.path if not part.startswith("{")][-1]
    return last in ("studies", "patients")
