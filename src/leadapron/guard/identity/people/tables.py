"""The tables of ``people.db``, as SQLAlchemy Core knows them.

Times are whole seconds since 1970, because they are compared and never shown as they stand. Secrets with enough
randomness (sessions, tokens, codes) are there as keyed hashes, passwords as sealed argon2id strings, keys of factors
sealed: who has the file without ``guard.key`` has names, times and addresses.

People are never deleted, only disabled: the audit trail names them, and a name must not pass to somebody else.
"""

from __future__ import annotations

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

VERSION = 1
"""``PRAGMA user_version`` of a file with these tables."""

metadata = MetaData()

people = Table(
    "people",
    metadata,
    Column("id", String(32), primary_key=True),  # random: the context in which its secrets are sealed
    Column("name", Text, nullable=False),
    Column("key", Text, nullable=False, unique=True),  # the name without case
    Column("password", LargeBinary),  # sealed argon2id string; None: no password, so no login with one
    Column("permissions", Text, nullable=False),  # JSON list
    Column("created_at", Integer, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("disabled_at", Integer),
    Column("generation", Integer, nullable=False),  # device cookies of an earlier one are void
    Column("oidc", Text, unique=True),  # the claim's value that is this person at the OpenID provider
    Column("used_at", Integer),
)

factors = Table(
    "factors",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("person", String(32), ForeignKey("people.id"), nullable=False),
    Column("kind", String(8), nullable=False),  # totp, webauthn
    Column("secret", LargeBinary, nullable=False),  # sealed: the TOTP key, or the public key as COSE
    Column("credential", LargeBinary, unique=True),  # WebAuthn's credential ID
    Column("counter", Integer, nullable=False),  # TOTP: last step used; WebAuthn: signature counter
    Column("added_at", Integer, nullable=False),
    Column("used_at", Integer),
    Index("factors_of", "person"),
)

recovery = Table(
    "recovery",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("person", String(32), ForeignKey("people.id"), nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("used_at", Integer),
    Index("recovery_of", "person"),
)

places = Table(
    "places",  # networks from which a person has signed in
    metadata,
    Column("person", String(32), ForeignKey("people.id"), nullable=False),
    Column("network", String(64), nullable=False),
    Column("used_at", Integer, nullable=False),
    PrimaryKeyConstraint("person", "network"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("person", String(32), ForeignKey("people.id")),
    Column("emergency", Integer, ForeignKey("emergencies.id")),  # one of the two
    Column("how", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("created_at", Integer, nullable=False),
    Column("seen_at", Integer, nullable=False),
    Column("ends_at", Integer, nullable=False),
    Index("sessions_of", "person"),
    sqlite_autoincrement=True,  # a number in the audit trail means one session for ever
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("person", String(32), ForeignKey("people.id"), nullable=False),
    Column("label", Text, nullable=False),
    Column("permissions", Text, nullable=False),
    Column("created_at", Integer, nullable=False),
    Column("ends_at", Integer, nullable=False),
    Column("used_at", Integer),
    Column("used_from", Text),
    Column("revoked_at", Integer),
)

invitations = Table(
    "invitations",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("kind", String(8), nullable=False),  # setup, join, factor
    Column("person", String(32), ForeignKey("people.id")),  # None: set-up
    Column("permissions", Text, nullable=False),  # of the first person
    Column("created_by", Text, nullable=False),
    Column("created_at", Integer, nullable=False),
    Column("ends_at", Integer, nullable=False),
    Column("used_at", Integer),
)

emergencies = Table(
    "emergencies",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("label", Text, nullable=False),
    Column("permissions", Text, nullable=False),
    Column("duration_s", Integer, nullable=False),
    Column("armed_by", Text, nullable=False),
    Column("armed_at", Integer, nullable=False),
    Column("ends_at", Integer, nullable=False),  # of the envelope
    Column("disarmed_at", Integer),
    Column("used_at", Integer),
    Column("used_by", Text),
    Column("used_from", Text),
    Column("reason", Text),
    Column("until", Integer),  # of the permission
    Column("closed_at", Integer),  # when its end was recorded
)

spent = Table(
    "spent",  # challenges that were answered, until they would have expired anyway
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("ends_at", Integer, nullable=False),
)

outbox = Table(
    "outbox",  # events of the command line, for the process that writes the audit trail
    metadata,
    Column("id", Integer, primary_key=True),
    Column("event", LargeBinary, nullable=False),
)
