"""Exposures and what is done about them: absences, events, hints, campaigns, cases, notices.

A migration says what the tables were on its day, so it does not import ``tables``.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("scans", sa.Column("campaign", sa.String(64)))
    op.add_column("scans", sa.Column("folded_at", sa.String(20)))
    op.add_column("scans", sa.Column("folded_sighting", sa.BigInteger))
    op.add_column("scans", sa.Column("folded_absence", sa.BigInteger))
    op.add_column("sightings", sa.Column("archive", sa.String(80)))
    op.create_index("sightings_by_endpoint", "sightings", ["address", "port"])
    op.create_table(
        "days",
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("country", sa.String(2), primary_key=True),
        sa.Column("campaign", sa.String(64), primary_key=True),
        sa.Column("open", sa.Integer, nullable=False),
        sa.Column("archives", sa.Integer, nullable=False),
        sa.Column("studies", sa.BigInteger, nullable=False),
        sa.Column("images", sa.BigInteger, nullable=False),
        sa.Column("patients", sa.BigInteger, nullable=False),
        sa.Column("opened", sa.Integer, nullable=False),
        sa.Column("closed", sa.Integer, nullable=False),
        sa.Column("reopened", sa.Integer, nullable=False),
    )
    op.create_table(
        "lookups",
        sa.Column("what", sa.String(200), primary_key=True),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("at", sa.String(20), nullable=False),
    )
    op.create_table(
        "feeds",
        sa.Column("what", sa.String(32), primary_key=True),
        sa.Column("event_id", sa.BigInteger, nullable=False),
        sa.Column("at", sa.String(20), nullable=False),
    )
    op.create_table(
        "refusals",
        sa.Column("id", key, primary_key=True),
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("value", sa.String(320), nullable=False),
        sa.Column("at", sa.String(20), nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.CheckConstraint("kind IN ('mailbox', 'domain', 'network')", name="refusal_kind"),
        sa.UniqueConstraint("kind", "value", name="refusal_once"),
    )
    op.create_table(
        "views",
        sa.Column("id", key, primary_key=True),
        sa.Column("person", sa.Text, nullable=False),
        sa.Column("page", sa.String(20), nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("query", sa.Text, nullable=False),
        sa.UniqueConstraint("person", "page", "name", name="view_once"),
    )
    op.create_table(
        "absences",
        sa.Column("id", key, primary_key=True),
        sa.Column("scan_id", sa.BigInteger, sa.ForeignKey("scans.id"), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("port", sa.Integer, nullable=False),
        sa.Column("error", sa.String(32), nullable=False),
        sa.Column("observed_at", sa.String(20), nullable=False),
    )
    op.create_index("absences_by_scan", "absences", ["scan_id"])
    op.create_table(
        "campaigns",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("paused", sa.Boolean, nullable=False),
        sa.Column("wanted", sa.Boolean, nullable=False),
        sa.Column("next_at", sa.String(20)),
        sa.Column("last_scan", sa.BigInteger, sa.ForeignKey("scans.id")),
        sa.Column("changed_by", sa.Text),
    )
    op.create_table(
        "exposures",
        sa.Column("id", key, primary_key=True),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("port", sa.Integer, nullable=False),
        sa.Column("transport", sa.String(8), nullable=False),
        sa.Column("service", sa.String(32), nullable=False),
        sa.Column("campaign", sa.String(64)),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("verdict", sa.String(10), nullable=False),
        sa.Column("severity", sa.String(10)),
        sa.Column("first_seen", sa.String(20), nullable=False),
        sa.Column("opened_at", sa.String(20), nullable=False),
        sa.Column("last_open", sa.String(20), nullable=False),
        sa.Column("last_answer", sa.String(20), nullable=False),
        sa.Column("closed_at", sa.String(20)),
        sa.Column("proofs", sa.Integer, nullable=False),
        sa.Column("episodes", sa.Integer, nullable=False),
        sa.Column("sighting_id", sa.BigInteger, sa.ForeignKey("sightings.id"), nullable=False),
        sa.Column("studies", sa.BigInteger),
        sa.Column("images", sa.BigInteger),
        sa.Column("patients", sa.BigInteger),
        sa.Column("complete", sa.Boolean),
        sa.Column("product", sa.String(80)),
        sa.Column("version", sa.String(40)),
        sa.Column("certificate", sa.String(64)),
        sa.Column("marks", sa.Text, nullable=False),
        sa.Column("door_of", sa.BigInteger, sa.ForeignKey("exposures.id")),
        sa.Column("moved_to", sa.BigInteger, sa.ForeignKey("exposures.id")),
        sa.Column("moved_sure", sa.Boolean),
        sa.Column("country", sa.String(2)),
        sa.Column("asn", sa.BigInteger),
        sa.Column("operator", sa.Text),
        sa.UniqueConstraint("address", "port", name="exposure_endpoint"),
        sa.CheckConstraint("state IN ('open', 'closed')", name="exposure_state"),
    )
    op.create_index("exposures_by_certificate", "exposures", ["certificate"])
    op.create_index("exposures_by_country", "exposures", ["country", "state"])
    op.create_index("exposures_by_state", "exposures", ["state", "studies"])
    op.create_table(
        "cases",
        sa.Column("id", key, primary_key=True),
        sa.Column("exposure_id", sa.BigInteger, sa.ForeignKey("exposures.id"), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("opened_at", sa.String(20), nullable=False),
        sa.Column("changed_at", sa.String(20), nullable=False),
        sa.Column("due_at", sa.String(20)),
        sa.Column("due", sa.String(12)),
        sa.Column("level", sa.Integer, nullable=False),
        sa.Column("reminders", sa.Integer, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("mailbox", sa.String(320)),
        sa.Column("language", sa.String(5)),
        sa.Column("arms", sa.Text, nullable=False),
        sa.Column("hold", sa.Text),
        sa.Column("trouble", sa.Text),
        sa.Column("retest_at", sa.String(20)),
        sa.Column("event_id", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("exposure_id", name="case_exposure"),
    )
    op.create_index("cases_by_due", "cases", ["due_at"])
    op.create_index("cases_by_mailbox", "cases", ["mailbox"])
    op.create_index("cases_by_state", "cases", ["state", "due_at"])
    op.create_table(
        "events",
        sa.Column("id", key, primary_key=True),
        sa.Column("exposure_id", sa.BigInteger, sa.ForeignKey("exposures.id"), nullable=False),
        sa.Column("scan_id", sa.BigInteger, sa.ForeignKey("scans.id"), nullable=False),
        sa.Column("sighting_id", sa.BigInteger, sa.ForeignKey("sightings.id")),
        sa.Column("at", sa.String(20), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("studies_before", sa.BigInteger),
        sa.Column("studies", sa.BigInteger),
        sa.Column("images_before", sa.BigInteger),
        sa.Column("images", sa.BigInteger),
        sa.Column("other_id", sa.BigInteger, sa.ForeignKey("exposures.id")),
        sa.Column("sure", sa.Boolean),
        sa.CheckConstraint("kind IN ('opened', 'grew', 'shrank', 'closed', 'reopened', 'moved')", name="event_kind"),
    )
    op.create_index("events_by_exposure", "events", ["exposure_id"])
    op.create_index("events_by_scan", "events", ["scan_id"])
    op.create_index("events_by_time", "events", ["at", "kind"])
    op.create_table(
        "hints",
        sa.Column("id", key, primary_key=True),
        sa.Column("exposure_id", sa.BigInteger, sa.ForeignKey("exposures.id"), nullable=False),
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("at", sa.String(20), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("decided_by", sa.Text),
        sa.Column("decided_at", sa.String(20)),
        sa.UniqueConstraint("exposure_id", "kind", "value", name="hint_once"),
        sa.CheckConstraint("state IN ('hint', 'confirmed', 'rejected')", name="hint_state"),
    )
    op.create_table(
        "notices",
        sa.Column("id", key, primary_key=True),
        sa.Column("case_id", sa.BigInteger, sa.ForeignKey("cases.id"), nullable=False),
        sa.Column("purpose", sa.String(12), nullable=False),
        sa.Column("channel", sa.String(8), nullable=False),
        sa.Column("level", sa.Integer, nullable=False),
        sa.Column("language", sa.String(5), nullable=False),
        sa.Column("arms", sa.Text, nullable=False),
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("domain", sa.String(255), nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("created_at", sa.String(20), nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("approved_at", sa.String(20)),
        sa.Column("approved_by", sa.Text),
        sa.Column("not_before", sa.String(20)),
        sa.Column("claimed_at", sa.String(20)),
        sa.Column("claimed_by", sa.Text),
        sa.Column("phase", sa.String(8)),
        sa.Column("sent_at", sa.String(20)),
        sa.Column("message_id", sa.String(255)),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("answer", sa.Text),
        sa.UniqueConstraint("message_id", name="notice_message"),
        sa.CheckConstraint(
            "state IN ('draft', 'approved', 'sending', 'sent', 'unsure', 'failed', 'bounced', 'dropped')",
            name="notice_state",
        ),
    )
    op.create_index("notices_by_case", "notices", ["case_id"])
    op.create_index("notices_by_domain", "notices", ["domain", "claimed_at"])
    op.create_index("notices_by_state", "notices", ["state", "not_before"])
    op.create_table(
        "mails",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("at", sa.String(20), nullable=False),
        sa.Column("fact", sa.String(12), nullable=False),
        sa.Column("notice_id", sa.BigInteger, sa.ForeignKey("notices.id")),
        sa.CheckConstraint("fact IN ('bounce', 'refusal', 'answer', 'other')", name="mail_fact"),
    )
    op.create_table(
        "steps",
        sa.Column("id", key, primary_key=True),
        sa.Column("case_id", sa.BigInteger, sa.ForeignKey("cases.id"), nullable=False),
        sa.Column("at", sa.String(20), nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("before", sa.String(12)),
        sa.Column("after", sa.String(12)),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("notice_id", sa.BigInteger, sa.ForeignKey("notices.id")),
    )
    op.create_index("steps_by_case", "steps", ["case_id"])


def downgrade() -> None:
    for table in (
        "steps",
        "mails",
        "notices",
        "hints",
        "events",
        "cases",
        "exposures",
        "campaigns",
        "absences",
        "views",
        "refusals",
        "feeds",
        "lookups",
        "days",
    ):
        op.drop_table(table)
    op.drop_index("sightings_by_endpoint", "sightings")
    op.drop_column("sightings", "archive")
    op.drop_column("scans", "folded_absence")
    op.drop_column("scans", "folded_sighting")
    op.drop_column("scans", "folded_at")
    op.drop_column("scans", "campaign")
