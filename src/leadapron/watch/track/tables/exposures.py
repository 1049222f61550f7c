"""What stands open, how that changed, who may own it, and the sums that charts are drawn from."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
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

# One row for each endpoint that was ever exposed or open; its numbers are those of the last sighting that showed it so.
exposures = Table(
    "exposures",
    metadata,
    Column("id", KEY, primary_key=True),
    Column("address", String(64), nullable=False),
    Column("port", Integer, nullable=False),
    Column("transport", String(8), nullable=False),
    Column("service", String(32), nullable=False),
    Column("campaign", String(64)),  # whose scan saw it last
    Column("state", String(8), nullable=False),
    Column("verdict", String(10), nullable=False),  # of the last sighting that showed it open
    Column("severity", String(10)),  # the worst of its findings
    Column("first_seen", String(20), nullable=False),  # first shown open, ever
    Column("opened_at", String(20), nullable=False),  # beginning of the present, or last, episode
    Column("last_open", String(20), nullable=False),  # last shown open
    Column("last_answer", String(20), nullable=False),  # last time that anything was learnt of it
    Column("closed_at", String(20)),
    Column("proofs", Integer, nullable=False),  # consecutive answers that prove it closed
    Column("episodes", Integer, nullable=False),
    Column("sighting_id", BigInteger, ForeignKey("sightings.id"), nullable=False),  # the last that showed it open
    Column("studies", BigInteger),
    Column("images", BigInteger),
    Column("patients", BigInteger),
    Column("complete", Boolean),
    Column("product", String(80)),
    Column("version", String(40)),
    Column("certificate", String(64)),  # SHA-256 of the TLS certificate, hex
    Column("marks", Text, nullable=False),  # JSON object: what recognises it at another address; no patient data
    Column("door_of", BigInteger, ForeignKey("exposures.id")),  # another exposure that leads to the same archive
    Column("moved_to", BigInteger, ForeignKey("exposures.id")),
    Column("moved_sure", Boolean),  # False: a guess
    Column("country", String(2)),  # ISO 3166-1 alpha-2
    Column("asn", BigInteger),
    Column("operator", Text),  # of the network
    CheckConstraint("state IN ('open', 'closed')", name="exposure_state"),
    UniqueConstraint("address", "port", name="exposure_endpoint"),
    Index("exposures_by_state", "state", "studies"),
    Index("exposures_by_country", "country", "state"),
    Index("exposures_by_certificate", "certificate"),
)

# What happened to an exposure; each kind with the numbers before and after.
events = Table(
    "events",
    metadata,
    Column("id", KEY, primary_key=True),
    Column("exposure_id", BigInteger, ForeignKey("exposures.id"), nullable=False),
    Column("scan_id", BigInteger, ForeignKey("scans.id"), nullable=False),
    Column("sighting_id", BigInteger, ForeignKey("sightings.id")),
    Column("at", String(20), nullable=False),
    Column("kind", String(10), nullable=False),
    Column("studies_before", BigInteger),
    Column("studies", BigInteger),
    Column("images_before", BigInteger),
    Column("images", BigInteger),
    Column("other_id", BigInteger, ForeignKey("exposures.id")),  # moved: from where
    Column("sure", Boolean),
    CheckConstraint("kind IN ('opened', 'grew', 'shrank', 'closed', 'reopened', 'moved')", name="event_kind"),
    Index("events_by_exposure", "exposure_id"),
    Index("events_by_scan", "scan_id"),
    Index("events_by_time", "at", "kind"),
)

# Sums for each day, country and campaign on which something was folded: what charts are drawn from.
days = Table(
    "days",
    metadata,
    Column("day", String(10), primary_key=True),  # 2026-11-21
    Column("country", String(2), primary_key=True),  # '' where it is not known
    Column("campaign", String(64), primary_key=True),  # '' for scans that a person started
    Column("open", Integer, nullable=False),  # exposures at the end of the day
    Column("archives", Integer, nullable=False),  # without second doors
    Column("studies", BigInteger, nullable=False),
    Column("images", BigInteger, nullable=False),
    Column("patients", BigInteger, nullable=False),
    Column("opened", Integer, nullable=False),
    Column("closed", Integer, nullable=False),
    Column("reopened", Integer, nullable=False),
)

hints = Table(
    "hints",
    metadata,
    Column("id", KEY, primary_key=True),
    Column("exposure_id", BigInteger, ForeignKey("exposures.id"), nullable=False),
    Column("kind", String(24), nullable=False),
    Column("value", Text, nullable=False),
    Column("source", Text, nullable=False),  # where it was read
    Column("at", String(20), nullable=False),
    Column("state", String(10), nullable=False),
    Column("decided_by", Text),
    Column("decided_at", String(20)),
    CheckConstraint("state IN ('hint', 'confirmed', 'rejected')", name="hint_state"),
    UniqueConstraint("exposure_id", "kind", "value", name="hint_once"),
)

# What was looked up elsewhere (RDAP, security.txt), so that nobody is asked twice for the same.
lookups = Table(
    "lookups",
    metadata,
    Column("what", String(200), primary_key=True),
    Column("answer", Text, nullable=False),  # JSON
    Column("at", String(20), nullable=False),
)

# How far a feed has come that tells only what is new.
feeds = Table(
    "feeds",
    metadata,
    Column("what", String(32), primary_key=True),  # digest of its selection and format
    Column("event_id", BigInteger, nullable=False),  # the last event that was told
    Column("at", String(20), nullable=False),
)

# What the console or the command line says of a campaign; what it is stands in the configuration.
campaigns = Table(
    "campaigns",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("paused", Boolean, nullable=False),
    Column("wanted", Boolean, nullable=False),  # somebody asked for a round now
    Column("next_at", String(20)),
    Column("last_scan", BigInteger, ForeignKey("scans.id")),
    Column("changed_by", Text),
)
