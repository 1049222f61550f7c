"""How a peer comes to a certificate: a one-time code, the certificate that it has, or a person at the guard.

Whatever is asked for, name and AE title are those that stand with us; only the public key comes from the other side. A
code is spent in the transaction in which the certificate is taken in, so there are never two for one code, and none is
spent for nothing. If the answer is lost on the way, the same code with the same key gets the same certificate again:
that issues nothing new, and only the holder of the key has a use for it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec import Struct

from leadapron.guard.identity.authority import LEAF_DAYS, Authority
from leadapron.guard.identity.codes import Code, new_code, secret_hash
from leadapron.guard.identity.csr import proven_key
from leadapron.guard.identity.names import ae_title, peer_name
from leadapron.guard.identity.registry import PeerIdentity, Refused, Registry
from leadapron.guard.identity.rows import Certificate, bound_once, certificate_of, insert, moment
from leadapron.guard.identity.tables import certificates, codes
from leadapron.kernel.clock import iso

CODE_LIFE: Final = timedelta(hours=48)
MAX_CODE_LIFE: Final = timedelta(days=30)
MAX_LIVE: Final = 16
"""Certificates of one peer that hold at a time; more renewals than this in a week are a fault, or a thief's."""


class Issued(Struct, frozen=True):
    """``chain``: PEM, the peer's certificate first."""

    certificate: Certificate
    chain: bytes


class OpenCode(Struct, frozen=True):
    """A code that nobody has redeemed yet."""

    name: str
    ae: str
    expires_at: datetime


def invite(
    registry: Registry,
    authority: Authority,
    *,
    name: str,
    ae: str,
    host: str,
    port: int,
    life: timedelta = CODE_LIFE,
    days: int = LEAF_DAYS,
) -> Code:
    """A code for a peer; earlier ones of the same peer are withdrawn. ``host`` and ``port``: the enrolment service."""
    name, ae = peer_name(name), ae_title(ae)
    code = new_code(host, port, authority.fingerprint)
    now = registry.clock.now()
    with registry.database.writing() as connection:
        bound_once(connection, name, ae, now)
        connection.execute(
            sa.update(codes)
            .where(codes.c.name == name, codes.c.redeemed_at.is_(None), codes.c.withdrawn_at.is_(None))
            .values(withdrawn_at=iso(now))
        )
        connection.execute(
            sa.insert(codes).values(
                hash=secret_hash(code.secret),
                name=name,
                ae=ae,
                days=days,
                created_at=iso(now),
                expires_at=iso(now + min(life, MAX_CODE_LIFE)),
            )
        )
    return code


def open_codes(registry: Registry) -> list[OpenCode]:
    """Codes that can still be redeemed."""
    query = sa.select(codes.c.name, codes.c.ae, codes.c.expires_at).where(*_open(registry.clock.now()))
    with registry.database.reading() as connection:
        return [OpenCode(row.name, row.ae, moment(row.expires_at)) for row in connection.execute(query)]


def redeem(registry: Registry, authority: Authority, secret: bytes, csr: bytes, address: str) -> Issued | Refused:
    """A certificate for whoever holds the secret of a code. Raises `BadRequest` for a ``csr`` that is none."""
    proven_key(csr)
    hashed, now = secret_hash(secret), registry.clock.now()
    mine = codes.c.hash == hashed
    with registry.database.reading() as connection:  # whoever guesses does not get as far as the lock
        row = connection.execute(sa.select(codes).where(mine)).one_or_none()
    if row is None:
        return Refused("no such code")
    with registry.changing() as connection:
        spent = connection.execute(
            sa.update(codes).where(mine, *_open(now)).values(redeemed_at=iso(now), redeemed_from=address[:64])
        )
        if spent.rowcount != 1:
            return _again(connection, hashed, csr, now)
        chain = authority.sign_peer(csr, name=row.name, ae=row.ae, days=row.days)
        certificate = insert(connection, chain, name=row.name, ae=row.ae, how="code", now=now)
        connection.execute(sa.update(codes).where(mine).values(serial=certificate.serial))
        return Issued(certificate, chain)


def renew(
    registry: Registry, authority: Authority, identity: PeerIdentity, csr: bytes, days: int = LEAF_DAYS
) -> Issued | Refused:
    """The next certificate for a peer that has just shown its present one. Raises `BadRequest` as `redeem`."""
    proven_key(csr)
    now = registry.clock.now()
    held = sa.select(sa.func.count()).where(
        certificates.c.name == identity.name, certificates.c.revoked_at.is_(None), certificates.c.ends_at > iso(now)
    )
    with registry.changing() as connection:
        still = connection.execute(held.where(certificates.c.serial == identity.serial)).scalar_one()
        if not still:
            return Refused("certificate revoked or expired")
        if connection.execute(held).scalar_one() >= MAX_LIVE:
            return Refused("too many renewals")
        chain = authority.sign_peer(csr, name=identity.name, ae=identity.ae, days=days)
        return Issued(insert(connection, chain, name=identity.name, ae=identity.ae, how="renewal", now=now), chain)


def issue(registry: Registry, authority: Authority, csr: bytes, *, name: str, ae: str, days: int = LEAF_DAYS) -> Issued:
    """A certificate by the word of whoever sits at the guard. Raises `BadRequest`, `UsageError`."""
    name, ae = peer_name(name), ae_title(ae)
    now = registry.clock.now()
    with registry.changing() as connection:
        bound_once(connection, name, ae, now)
        chain = authority.sign_peer(csr, name=name, ae=ae, days=days)
        return Issued(insert(connection, chain, name=name, ae=ae, how="issue", now=now), chain)


def _open(now: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    return (codes.c.redeemed_at.is_(None), codes.c.withdrawn_at.is_(None), codes.c.expires_at > iso(now))


def _again(connection: sa.Connection, hashed: str, csr: bytes, now: datetime) -> Issued | Refused:
    """What a code gets that is not open any more."""
    code = connection.execute(sa.select(codes).where(codes.c.hash == hashed)).one()
    if code.redeemed_at is None:
        return Refused("code withdrawn" if code.withdrawn_at else "code expired")
    row = connection.execute(sa.select(certificates).where(certificates.c.serial == code.serial)).mappings().one()
    certificate = certificate_of(row)
    if code.expires_at <= iso(now) or not certificate.holds(now):
        return Refused("code redeemed before")
    chain: bytes = row["pem"].encode("ascii")
    issued_to = x509.load_pem_x509_certificates(chain)[0].public_key()
    if _spki(issued_to) != _spki(proven_key(csr)):
        return Refused("code redeemed before")
    return Issued(certificate, chain)


def _spki(key: object) -> bytes:
    octets: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return octets
