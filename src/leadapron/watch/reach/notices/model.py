"""A notice: one message in a case, from the draft to what became of it.

    draft ──approve──▶ approved ──claim──▶ sending ──250──▶ sent ──bounce──▶ bounced
      │                 ▲   │                 │ 5xx ──▶ failed
      └──▶ dropped ◀────┼───┘                 │ not known ──▶ unsure ──a person──▶ sent | approved
                        └──── 4xx, later ─────┘

A message that was handed to a mail server cannot be taken back, and whether it was handed over cannot always be known:
the connection may end after our last octet and before the answer. Such a notice is ``unsure``, and a person decides;
sending it again by itself would write to some owners twice, giving it up would leave others without a word.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

from msgspec import Struct

Purpose = Literal["first", "reminder", "escalation", "thanks"]
Channel = Literal["email", "letter", "feed"]
State = Literal["draft", "approved", "sending", "sent", "unsure", "failed", "bounced", "dropped"]
Phase = Literal["claimed", "data"]

PURPOSES: Final[tuple[Purpose, ...]] = get_args(Purpose)
CHANNELS: Final[tuple[Channel, ...]] = get_args(Channel)
STATES: Final[tuple[State, ...]] = get_args(State)
LANGUAGES: Final = ("en", "de", "fr", "es", "pt", "tr")
WAITING: Final[frozenset[State]] = frozenset({"draft", "approved", "sending", "unsure"})
"""States of which somebody, a person or a sender, still has to make something."""


class Notice(Struct, frozen=True, kw_only=True):
    """A row of ``notices``. Times are ISO 8601 UTC; ``arms``: factor → arm as drawn for the case.

    ``recipient``: a mailbox, a postal address (lines) or, for the feed, whom it is for. ``body``: plain text, a
    paragraph a line, see ``layout``. ``phase``: how far a sender came, ``data`` from just before the message itself is
    handed over.
    ``answer``: what the receiving server said, in our words and its code.
    """

    id: int
    case_id: int
    purpose: Purpose
    channel: Channel
    level: int
    language: str
    arms: dict[str, str]
    recipient: str
    domain: str
    sender: str
    subject: str
    body: str
    state: State
    created_at: str
    created_by: str
    approved_at: str | None = None
    approved_by: str | None = None
    not_before: str | None = None
    claimed_at: str | None = None
    claimed_by: str | None = None
    phase: Phase | None = None
    sent_at: str | None = None
    message_id: str | None = None
    tries: int = 0
    answer: str | None = None


class Text(Struct, frozen=True, kw_only=True):
    """What a notice would say: a preview, of which nothing is kept."""

    channel: Channel
    language: str
    arms: dict[str, str]
    recipient: str
    sender: str
    subject: str
    body: str


class Sent(Struct, frozen=True, kw_only=True):
    """What one round of sending did, as numbers of notices. ``limited``: due, but a limit for the hour is reached.
    ``dropped``: refused, held or closed in the meantime."""

    sent: tuple[int, ...] = ()
    later: tuple[int, ...] = ()
    failed: tuple[int, ...] = ()
    unsure: tuple[int, ...] = ()
    dropped: tuple[int, ...] = ()
    limited: int = 0
    trouble: str | None = None
    """Why the round ended before its time: the server can't be reached, or won't let us in."""


class Read(Struct, frozen=True, kw_only=True):
    """What one reading of the incoming mail found. ``doubts``: opt-outs that name no notice of ours, for a person to
    decide; ``unread``: not to be understood, left to people."""

    bounces: int = 0
    refusals: int = 0
    doubts: int = 0
    answers: int = 0
    others: int = 0
    unread: int = 0
