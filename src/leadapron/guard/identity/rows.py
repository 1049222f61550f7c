"""Certificates as rows, and what holds among them: an AE title belongs to one peer, a peer has one AE title."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec import Struct

from leadapron.guard.identity.authority import serial_text
from leadapron.guard.identity.tables import certificates, codes
from leadapron.kernel.clock import iso
from leadapron.kernel.errors import UsageError

GRACE: Final = timedelta(days=7)
"""How long the certificate before the newest still holds: a renewal must not cut what runs, and may need a restart."""


class Certificate(Struct, frozen=True):
    """A certificate that we gave to a peer. ``serial``: 40 hexadecimal digits; ``how``: ``code``, ``issue`` or
    ``renewal``; ``ends_at`` is when it ends for us, before ``not_after`` if there is a newer one."""

    serial: str
    name: str
    ae: str
    how: str
    issued_at: datetime
    not_after: datetime
    ends_at: datetime
    revoked_at: datetime | None = None
    why: str | None = None

    def holds(self, now: datetime) -> bool:
        return self.revoked_at is None and now < self.ends_at


def moment(text: str) -> datetime:
    """The other way of `iso`."""
    return datetime.fromisoformat(text)


def certificate_of(row: Mapping[str, Any] | sa.RowMapping) -> Certificate:
    return Certificate(
        serial=row["serial"],
        name=row["name"],
        ae=row["ae"],
        how=row["how"],
        issued_at=moment(row["issued_at"]),
        not_after=moment(row["not_after"]),
        ends_at=moment(row["ends_at"]),
        revoked_at=moment(row["revoked_at"]) if row["revoked_at"] else None,
        why=row["why"],
    )


def insert(connection: sa.Connection, chain: bytes, *, name: str, ae: str, how: str, now: datetime) -> Certificate:
    """Take in the first certificate of ``chain`` (PEM), just signed; those before it end after `GRACE`."""
    certificate = x509.load_pem_x509_certificates(chain)[0]
    ends = iso(certificate.not_valid_after_utc)
    values = {
        "serial": serial_text(certificate),
        "fingerprint": hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest(),
        "name": name,
        "ae": ae,
        "how": how,
        "issued_at": iso(now),
        "not_after": ends,
        "ends_at": ends,
        "revoked_at": None,
        "why": None,
        "pem": chain.decode("ascii"),
    }
    connection.execute(
        sa.update(certificates)
        .where(certificates.c.name == name, certificates.c.ends_at > iso(now + GRACE))
        .values(ends_at=iso(now + GRACE))
    )
    connection.execute(sa.insert(certificates).values(values))
    return certificate_of(values)


def bound_once(connection: sa.Connection, name: str, ae: str, now: datetime) -> None:
    """Raises `UsageError` if the AE title is another peer's, or the peer has another AE title, by a certificate that
    holds or a code that is open."""
    held = sa.select(certificates.c.name, certificates.c.ae).where(
        certificates.c.revoked_at.is_(None), certificates.c.ends_at > iso(now)
    )
    promised = sa.select(codes.c.name, codes.c.ae).where(
        codes.c.redeemed_at.is_(None), codes.c.withdrawn_at.is_(None), codes.c.expires_at > iso(now)
    )
    for row in connection.execute(sa.union(held, promised)):
        if row.ae == ae and row.name != name:
            raise UsageError(f"the AE title {ae} is bound to the peer {row.name}; revoke that one first")
        if row.name == name and row.ae != ae:
            raise UsageError(f"the peer {name} is bound to the AE title {row.ae}; revoke it first")
