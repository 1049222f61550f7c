"""The tables, as SQLAlchemy Core knows them; ``migrations/`` makes them, and a test holds the two together.

Core and not the ORM: rows are appended and read in order, and nothing is ever changed but the state of a scan.

- Times are text, ISO 8601 in UTC to the second (``2026-11-21T20:00:00Z``): they sort as they stand, and mean the same
  in every database.
- What is structured is JSON in a text column, not the database's own JSON type: it is written and read by msgspec as
  text that no database needs to understand, and U+0000 in a product's name, which PostgreSQL's ``jsonb`` refuses, is
  an escape like any other.
- The columns of a sighting beside its JSON are those that questions are asked about ("exposed since", "at this
  address"). The measurement is the truth; the record beside it is what was judged at the time, and can be judged again.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

HEAD = "0001"  # the newest revision in migrations/versions

# SQLite numbers rows by itself only where the key is declared INTEGER.
_KEY = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData()

scans = Table(
    "scans",
    metadata,
    Column("id", _KEY, primary_key=True),
    Column("started_at", String(20), nullable=False),
    Column("finished_at", String(20)),
    Column("state", String(10), nullable=False),
    Column("targets", Text, nullable=False),  # JSON list, as the user gave them
    Column("authorised_by", Text),
    Column("scope", Text),  # JSON object: the scope file in brief
    Column("options", Text, nullable=False),  # JSON object
    Column("seed", BigInteger, nullable=False),
    Column("process", Text),  # who runs it, to tell a killed scan from a running one
    Column("position", BigInteger, nullable=False),  # everything before it in the permuted order is in the database
    Column("tally", Text, nullable=False),  # JSON object: what was only counted, such as closed endpoints
    Column("summary", Text),  # JSON, when finished
    CheckConstraint("state IN ('running', 'stopped', 'done', 'failed')", name="scan_state"),
)

sightings = Table(
    "sightings",
    metadata,
    Column("id", _KEY, primary_key=True),
    Column("scan_id", BigInteger, ForeignKey("scans.id"), nullable=False),
    Column("address", String(64), nullable=False),
    Column("port", Integer, nullable=False),
    Column("transport", String(8), nullable=False),
    Column("service", String(32), nullable=False),
    Column("verdict", String(10), nullable=False),
    Column("studies", BigInteger),
    Column("images", BigInteger),
    Column("patients", BigInteger),
    Column("complete", Boolean),
    Column("observed_at", String(20), nullable=False),
    Column("measurement", Text, nullable=False),
    Column("record", Text, nullable=False),
    CheckConstraint("verdict <> 'closed'", name="sighting_not_closed"),
    Index("sightings_by_scan", "scan_id", "verdict"),
)
