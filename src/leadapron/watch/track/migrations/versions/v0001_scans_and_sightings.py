"""Scans and sightings.

A migration says what the tables were on its day, so it does not import ``tables``.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "scans",
        sa.Column("id", key, primary_key=True),
        sa.Column("started_at", sa.String(20), nullable=False),
        sa.Column("finished_at", sa.String(20)),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("targets", sa.Text, nullable=False),
        sa.Column("authorised_by", sa.Text),
        sa.Column("scope", sa.Text),
        sa.Column("options", sa.Text, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("process", sa.Text),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("tally", sa.Text, nullable=False),
        sa.Column("summary", sa.Text),
        sa.CheckConstraint("state IN ('running', 'stopped', 'done', 'failed')", name="scan_state"),
    )
    op.create_table(
        "sightings",
        sa.Column("id", key, primary_key=True),
        sa.Column("scan_id", sa.BigInteger, sa.ForeignKey("scans.id"), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("port", sa.Integer, nullable=False),
        sa.Column("transport", sa.String(8), nullable=False),
        sa.Column("service", sa.String(32), nullable=False),
        sa.Column("verdict", sa.String(10), nullable=False),
        sa.Column("studies", sa.BigInteger),
        sa.Column("images", sa.BigInteger),
        sa.Column("patients", sa.BigInteger),
        sa.Column("complete", sa.Boolean),
        sa.Column("observed_at", sa.String(20), nullable=False),
        sa.Column("measurement", sa.Text, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sa.CheckConstraint("verdict <> 'closed'", name="sighting_not_closed"),
    )
    op.create_index("sightings_by_scan", "sightings", ["scan_id", "verdict"])


def downgrade() -> None:
    op.drop_table("sightings")
    op.drop_table("scans")
