"""What is done about it: cases, their steps, notices, and who is never to be written to."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from leadapron.watch.track.tables.base import KEY, metadata

cases = Table(
    "cases",
    metadata,
    Column("id", KEY, primary_key=True),
    Column("exposure_id", BigInteger, ForeignKey("exposures.id"), nullable=False),
    Column("state", String(12), nullable=False),
    Column("opened_at", String(20), nullable=False),
    Column("changed_at", String(20), nullable=False),
    Column("due_at", String(20)),  # when a rule does something about it
    Column("due", String(12)),  # what: first, reminder, raise, escalation, thanks, close
    Column("level", Integer, nullable=False),  # how far it was escalated: 0 owner, then operator, CERT, regulator
    Column("reminders", Integer, nullable=False),  # at this level
    Column("owner", Text),  # JSON: who a person confirmed as the owner, and how to reach them
    Column("mailbox", String(320)),  # the owner's, as refusals and other cases are compared with it
    Column("language", String(5)),
    Column("arms", Text, nullable=False),  # JSON object: factor → arm that was drawn
    Column("hold", Text),  # why nothing is sent: do-not-contact, a person's wish
    Column("trouble", Text),  # why a rule could not do what is due
    Column("retest_at", String(20)),  # when a re-test was last asked for
    Column("event_id", BigInteger, nullable=False),  # the last event of its exposure that it knows, 0: none
    UniqueConstraint("exposure_id", name="case_exposure"),
    Index("cases_by_state", "state", "due_at"),
    Index("cases_by_due", "due_at"),
    Index("cases_by_mailbox", "mailbox"),
)

steps = Table(
    "steps",
    metadata,
    Column("id", KEY, primary_key=True),
    Column("case_id", BigInteger, ForeignKey("cases.id"), nullable=False),
    Column("at", String(20), nullable=False),
    Column("by", Text, nullable=False),  # a person's name, or 'rule', 'scan', 'mail'
    Column("kind", String(24), nullable=False),
    Column("before", String(12)),  # state
    Column("after", String(12)),
    Column("text", Text, nullable=False),  # '' or what was said of it
    Column("notice_id", BigInteger, ForeignKey("notices.id")),  # that it is about
    Index("steps_by_case", "case_id"),
)

# Who asked not to be written to, for ever.
refusals = Table(
    "refusals",
    metadata,
    Column("id", KEY, primary_key=True),
    Column("kind", String(12), nullable=False),
    Column("value", String(320), nullable=False),
    Column("at", String(20), nullable=False),
    Column("by", Text, nullable=False),
    Column("why", Text, nullable=False),
    CheckConstraint("kind IN ('mailbox', 'domain', 'network')", name="refusal_kind"),
    UniqueConstraint("kind", "value", name="refusal_once"),
)

notices = Table(
    "notices",
    metadata,
    Column("id", KEY, primary_key=True),
    Column("case_id", BigInteger, ForeignKey("cases.id"), nullable=False),
    Column("purpose", String(12), nullable=False),  # first, reminder, escalation, thanks
    Column("channel", String(8), nullable=False),  # email, letter, feed
    Column("level", Integer, nullable=False),
    Column("language", String(5), nullable=False),
    Column("arms", Text, nullable=False),  # JSON, as drawn
    Column("recipient", Text, nullable=False),  # mailbox, or postal address
    Column("domain", String(255), nullable=False),  # of the mailbox; '' for letters
    Column("sender", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("state", String(10), nullable=False),
    Column("created_at", String(20), nullable=False),
    Column("created_by", Text, nullable=False),
    Column("approved_at", String(20)),
    Column("approved_by", Text),
    Column("not_before", String(20)),
    Column("claimed_at", String(20)),  # by a sender: from here on it may have left
    Column("claimed_by", Text),
    Column("phase", String(8)),  # claimed; data: from just before the message itself is handed over
    Column("sent_at", String(20)),
    Column("message_id", String(255)),
    Column("tries", Integer, nullable=False),
    Column("answer", Text),  # what the receiving server said, in our words and its code
    CheckConstraint(
        "state IN ('draft', 'approved', 'sending', 'sent', 'unsure', 'failed', 'bounced', 'dropped')",
        name="notice_state",
    ),
    UniqueConstraint("message_id", name="notice_message"),
    Index("notices_by_case", "case_id"),
    Index("notices_by_state", "state", "not_before"),
    Index("notices_by_domain", "domain", "claimed_at"),
)

# Incoming mail that was read, so that it is read once; of its text nothing is kept.
mails = Table(
    "mails",
    metadata,
    Column("digest", String(64), primary_key=True),  # SHA-256 of the Message-ID, hex
    Column("at", String(20), nullable=False),
    Column("fact", String(12), nullable=False),  # bounce, refusal, answer, other
    Column("notice_id", BigInteger, ForeignKey("notices.id")),
    CheckConstraint("fact IN ('bounce', 'refusal', 'answer', 'other')", name="mail_fact"),
)

# A filter and order of a console page that a person saved.
views = Table(
    "views",
    metadata,
    Column("id", KEY, primary_key=True),
    Column("person", Text, nullable=False),
    Column("page", String(20), nullable=False),
    Column("name", String(80), nullable=False),
    Column("query", Text, nullable=False),
    UniqueConstraint("person", "page", "name", name="view_once"),
)
