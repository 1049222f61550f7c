"""The tables of ``identity.db``.

Times are text, ISO 8601 in UTC to the second: they sort as they stand. Certificates are never deleted, because the
audit trail names their serial numbers; what strangers can fill, is bounded where it is written.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Integer, MetaData, String, Table, Text

VERSION: Final = 1
"""``PRAGMA user_version`` of a file with these tables."""

metadata = MetaData()

certificates = Table(
    "certificates",
    metadata,
    Column("serial", String(40), primary_key=True),  # hexadecimal
    Column("fingerprint", String(64), nullable=False, unique=True),  # SHA-256 of the DER
    Column("name", String(63), nullable=False, index=True),
    Column("ae", String(16), nullable=False, index=True),
    Column("how", String(8), nullable=False),  # code, issue or renewal
    Column("issued_at", String(20), nullable=False),
    Column("not_after", String(20), nullable=False),  # as the certificate says
    Column("ends_at", String(20), nullable=False),  # when it ends for us: earlier once it was renewed
    Column("revoked_at", String(20)),
    Column("why", Text),
    Column("pem", Text, nullable=False),
)

codes = Table(
    "codes",
    metadata,
    Column("hash", String(64), primary_key=True),  # SHA-256 of a secret of 128 random bits
    Column("name", String(63), nullable=False, index=True),
    Column("ae", String(16), nullable=False, index=True),
    Column("days", Integer, nullable=False),  # how long the certificate shall live
    Column("created_at", String(20), nullable=False),
    Column("expires_at", String(20), nullable=False),
    Column("redeemed_at", String(20)),
    Column("redeemed_from", String(64)),  # address
    Column("serial", String(40)),  # what was issued for it
    Column("withdrawn_at", String(20)),
)

sightings = Table(
    "sightings",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("address", String(64), primary_key=True),
    Column("first_seen", String(20), nullable=False),
    Column("last_seen", String(20), nullable=False),
)

strangers = Table(
    "strangers",
    metadata,
    Column("ae", String(16), primary_key=True),  # as it was claimed; empty where none was
    Column("address", String(64), primary_key=True),
    Column("first_seen", String(20), nullable=False),
    Column("last_seen", String(20), nullable=False),
    Column("times", Integer, nullable=False),
    Column("reason", Text, nullable=False),  # ours, of the last time
)
