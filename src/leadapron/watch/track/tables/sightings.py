"""What was seen: scans, their sightings, and what was looked for and not there. Only added to."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, ForeignKey, Index, Integer, String, Table, Text

from leadapron.watch.track.tables.base import KEY, metadata

scans = Table(
    "scans",
    metadata,
    Column("id", KEY, primary_key=True),
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
    Column("campaign", String(64)),  # its name in the configuration; None for a scan that a person started
    Column("folded_at", String(20)),  # when its sightings were folded into exposures; None: there may be new ones
    Column("folded_sighting", BigInteger),  # up to which of its sightings, and absences, they were
    Column("folded_absence", BigInteger),
    CheckConstraint("state IN ('running', 'stopped', 'done', 'failed')", name="scan_state"),
)

sightings = Table(
    "sightings",
    metadata,
    Column("id", KEY, primary_key=True),
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
    # The first door of the same archive in this scan, as address:port; keyed hashes told, and died with the scan.
    Column("archive", String(80)),
    CheckConstraint("verdict <> 'closed'", name="sighting_not_closed"),
    Index("sightings_by_scan", "scan_id", "verdict"),
    Index("sightings_by_endpoint", "address", "port"),
)

# Endpoints that were known to be open and gave no connection. Others that are closed are only counted.
absences = Table(
    "absences",
    metadata,
    Column("id", KEY, primary_key=True),
    Column("scan_id", BigInteger, ForeignKey("scans.id"), nullable=False),
    Column("address", String(64), nullable=False),
    Column("port", Integer, nullable=False),
    Column("error", String(32), nullable=False),  # errno's name: ECONNREFUSED proves something, ETIMEDOUT nothing
    Column("observed_at", String(20), nullable=False),
    Index("absences_by_scan", "scan_id"),
)
