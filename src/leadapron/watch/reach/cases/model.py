"""A case, its steps, and the table that says which step leads where.

A case is what people and rules do about one exposure. Its state is a row that changes; every change leaves a step that
is only ever added: when, who, from which state to which, what was said of it. The table below is the whole of the
behaviour, and `after` the only way from one state to another.

Two sorts of steps:

- *Decisions* (confirm, escalate, close …) are a person's or a rule's. They are allowed in some states, to some; where
  they aren't, nothing happens and whoever asked is told so.
- *Facts* (a notice went out, a mail came back, a scan proved it closed) happened whether they suit the case or not.
  They have a row for every state: a fact is never refused, at worst it changes nothing but the history.

What a rule may do is less than what a person may: it never says who the owner is, never closes what wasn't proved
closed, and takes a case up to the regulator only where the configuration allows it.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, get_args

import msgspec
from msgspec import Struct

from leadapron.kernel.errors import UsageError
from leadapron.kernel.hostport import HostPort
from leadapron.watch.reach.mailbox import encoded, is_mailbox
from leadapron.watch.track.owner.countries import country

State = Literal["new", "confirmed", "notified", "acknowledged", "escalated", "fixed", "closed", "reopened"]
Actor = Literal["person", "rule", "scan", "mail"]
Kind = Literal[
    "opened", "confirmed", "acknowledged", "escalated", "closed", "held", "released", "refused", "note", "drafted",
    "sent", "bounced", "answered", "fixed", "reopened", "moved", "guessed", "grew", "shrank",
]  # fmt: skip
Due = Literal["first", "reminder", "raise", "escalation", "thanks", "close"]
"""What a rule does with a case when its time has come: draft the notice of that purpose, take the case one level
up, or close it."""

STATES: Final[tuple[State, ...]] = get_args(State)
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
ACTORS: Final[tuple[Actor, ...]] = get_args(Actor)
LEVELS: Final = ("owner", "operator", "cert", "regulator")
"""Whom a case is taken to: the column ``level`` is the place in this list."""
TITLES: Final = ("owner", "operator", "CERT", "regulator")
"""The same, in sentences."""

OPEN: Final[frozenset[State]] = frozenset({"new", "confirmed", "notified", "acknowledged", "escalated", "reopened"})
"""States in which something is left to do for us or the owner."""

MOST_LINES: Final = 10  # of a postal address; set small, they still stand in the window

_ANY: Final[frozenset[State]] = frozenset(STATES)


class Line(NamedTuple):
    """A line of the table: in these states, by these, a step of ``kind`` leads to ``to`` (None: nowhere)."""

    kind: Kind
    actors: frozenset[Actor]
    states: frozenset[State]
    to: State | None


def _line(kind: Kind, actors: str, states: str | frozenset[State], to: State | None = None) -> Line:
    return Line(
        kind,
        frozenset(actor for actor in ACTORS if actor in actors.split()),
        states if isinstance(states, frozenset) else frozenset(state for state in STATES if state in states.split()),
        to,
    )


TABLE: Final[tuple[Line, ...]] = (
    # decisions
    _line("confirmed", "person", OPEN, "confirmed"),  # who the owner is; again where it was another
    _line("acknowledged", "person", "confirmed notified acknowledged escalated reopened", "acknowledged"),
    _line("escalated", "person", OPEN, "escalated"),  # also at once, where no owner can be found
    _line("escalated", "rule", "notified acknowledged escalated", "escalated"),
    _line("closed", "person", _ANY - {"closed"}, "closed"),
    _line("closed", "rule", "fixed", "closed"),
    _line("held", "person mail", _ANY),  # by mail: what may be an opt-out, until a person has decided
    _line("released", "person", _ANY),
    _line("drafted", "rule person", _ANY),
    _line("note", "person rule scan mail", _ANY),
    # facts
    _line("refused", "person rule mail", _ANY),  # somebody is not to be written to; the case is held for ever
    _line("sent", "person rule mail", "confirmed", "notified"),
    _line("sent", "person rule mail", _ANY - {"confirmed"}),
    _line("bounced", "person rule mail", "notified", "confirmed"),  # nobody has read it: another mailbox is needed
    _line("bounced", "person rule mail", _ANY - {"notified"}),
    _line("answered", "person rule mail", "notified escalated", "acknowledged"),
    _line("answered", "person rule mail", _ANY - {"notified", "escalated"}),
    _line("fixed", "scan", OPEN, "fixed"),  # proved closed
    _line("fixed", "scan", _ANY - OPEN),
    _line("reopened", "scan", "fixed closed", "reopened"),
    _line("reopened", "scan", _ANY - {"fixed", "closed"}),
    _line("moved", "scan", "fixed closed", "reopened"),  # the same server stands open at another address
    _line("moved", "scan", _ANY - {"fixed", "closed"}),
    # Perhaps the same server: the owner of another address is for a person to confirm before anything is written.
    _line("guessed", "scan", _ANY - {"new"}, "reopened"),
    _line("guessed", "scan", "new"),
    _line("grew", "scan", _ANY),
    _line("shrank", "scan", _ANY),
)

_CELLS: Final[dict[tuple[State, Kind, Actor], State]] = {
    (state, line.kind, actor): line.to or state for line in TABLE for state in line.states for actor in line.actors
}


class NotAllowed(UsageError):
    """The table has no such step from this state, or not for whoever asked."""


def actor(by: str) -> Actor:
    """Whose hands ``by`` means: ``rule``, ``scan`` and ``mail`` are ours, anything else is a person's name."""
    return by if by in ("rule", "scan", "mail") else "person"  # type: ignore[return-value]


def after(state: State, kind: Kind, by: Actor) -> State:
    """The state that a step leads to. Raises `NotAllowed` with what may be done instead."""
    found = _CELLS.get((state, kind, by))
    if found is None:
        may = [other for other in ("confirmed", "acknowledged", "escalated", "closed") if (state, other, by) in _CELLS]
        raise NotAllowed(
            f"a case that is {state} can't become {kind} by a {by}; "
            + (f"it can become {', '.join(may)}" if may else "it stays as it is until something happens")
        )
    return found


class Owner(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who a person confirmed as the owner, and how to reach them: text as a person entered or confirmed it.

    ``person``: whom to address; ``language``: of notices (ISO 639-1), None for the country's; ``country``: ISO 3166-1.
    """

    organisation: str
    mailbox: str | None = None
    postal: str | None = None
    person: str | None = None
    language: str | None = None
    country: str | None = None


class Case(Struct, frozen=True, kw_only=True):
    """A row of ``cases``, and what it is about. Times are ISO 8601 UTC.

    ``due``: what a rule does at ``due_at``; None: nothing, it is a person's turn or the owner's. ``level``: the place
    in `LEVELS`; ``reminders``: sent at that level; ``hold``: why nothing is written; ``trouble``: why a rule could not
    do what is due; ``retest_at``: when a re-test was last asked for; ``event_id``: the last event of its exposure that
    is in its history. From ``address`` on: the exposure as it stands.
    """

    id: int
    exposure_id: int
    state: State
    opened_at: str
    changed_at: str
    due_at: str | None
    due: Due | None
    level: int
    reminders: int
    owner: Owner | None
    mailbox: str | None
    language: str | None
    arms: dict[str, str]
    hold: str | None
    trouble: str | None
    retest_at: str | None
    event_id: int
    address: str
    port: int
    country: str | None
    product: str | None
    studies: int | None
    is_open: bool

    @property
    def endpoint(self) -> str:
        return str(HostPort(self.address, self.port))


class Step(Struct, frozen=True, kw_only=True):
    """A row of ``steps``: one thing that happened to a case. ``by``: a person, ``rule``, ``scan`` or ``mail``."""

    id: int
    case_id: int
    at: str
    by: str
    kind: Kind
    before: State | None
    after: State
    text: str
    notice_id: int | None


def checked_owner(owner: Owner) -> Owner:
    """Raises ``UsageError`` for an owner who can't be written to."""
    organisation = " ".join(owner.organisation.split())
    if not organisation or len(organisation) > 200 or not organisation.isprintable():
        raise UsageError("the owner's organisation should be one line of at most 200 printable characters")
    if owner.mailbox is None and owner.postal is None:
        raise UsageError("an owner needs a mailbox or a postal address; where neither can be found, escalate the case")
    mailbox = None if owner.mailbox is None else encoded(owner.mailbox)
    if mailbox is not None and not is_mailbox(mailbox):
        raise UsageError("the owner's mailbox should be a plain one, as it@clinic.example")
    postal = None if owner.postal is None else [line.strip() for line in owner.postal.splitlines() if line.strip()]
    if postal is not None and not (postal and len("\n".join(postal)) <= 500 and "".join(postal).isprintable()):
        raise UsageError("the owner's postal address should be lines of printable characters, 500 at most")
    if postal is not None and len(postal) > MOST_LINES:
        raise UsageError(f"the owner's postal address has {len(postal)} lines; a window envelope shows {MOST_LINES}")
    if owner.person is not None and (len(owner.person) > 200 or not owner.person.isprintable()):
        raise UsageError("the owner's person should be one line of at most 200 printable characters")
    for key, code in (("language", owner.language), ("country", owner.country)):
        if code is not None and not (len(code) == 2 and code.isascii() and code.isalpha()):
            raise UsageError(f"the owner's {key} should be a code of two letters, as de")
    if owner.country and owner.country.upper() != "XK" and country(owner.country) is None:  # Kosovo: used, no standard
        raise UsageError(f"no country has the code {owner.country.upper()} in ISO 3166-1; the United Kingdom's is GB")
    return msgspec.structs.replace(
        owner,
        organisation=organisation,
        mailbox=mailbox,
        postal=None if postal is None else "\n".join(postal),
        language=owner.language.lower() if owner.language else None,
        country=owner.country.upper() if owner.country else None,
    )
