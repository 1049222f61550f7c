"""Which certificates we gave to whom, and which of them hold: ``identity.db``.

Who is asking is decided by the certificate as a whole: its SHA-256 must be among those we issued. So nothing in it has
to be read to believe it; name and AE title come from our own row. That our authority signed it is verified all the
same: a database restored from a backup must not bring back what an older authority signed.

`Registry.valid` is asked for every PDU: a look at eight octets of shared memory (see `revision`), one in a dictionary
and one at the clock, half a microsecond in all. What holds is read again when the octets have changed. If it
cannot be read nobody is valid.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Self

import sqlalchemy as sa
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from msgspec import Struct

from leadapron.guard.identity.authority import load_authority_certificate, serial_text
from leadapron.guard.identity.database import Database
from leadapron.guard.identity.inventory import Inventory, PeerRecord, Stranger
from leadapron.guard.identity.revision import Revision
from leadapron.guard.identity.rows import Certificate, certificate_of, moment
from leadapron.guard.identity.tables import certificates, codes
from leadapron.kernel.clock import Clock, SystemClock, iso
from leadapron.kernel.errors import Failure

MIN_PREFIX: Final = 8
"""Digits of a serial number that name a certificate, if no other begins so."""

_log: Final = logging.getLogger(__name__)


class PeerIdentity(Struct, frozen=True):
    """A peer that has shown who it is. ``serial``: 40 hexadecimal digits; ``not_after``: when its certificate ends."""

    name: str
    ae: str
    serial: str
    not_after: datetime


class Refused(Struct, frozen=True):
    """Nobody we know. ``reason`` is for the audit trail only; it quotes nothing that was sent."""

    reason: str


class Revoked(Struct, frozen=True):
    """What a revocation ended: certificates that held, and how many open codes."""

    certificates: tuple[Certificate, ...]
    codes: int

    def __bool__(self) -> bool:
        return bool(self.certificates or self.codes)


class _View(Struct, frozen=True):
    """What holds, as last read: ``live`` by serial number, serial numbers by the SHA-256 of the certificate."""

    live: Mapping[str, PeerIdentity] = {}
    serials: Mapping[str, str] = {}


class Registry:
    """Open one for each process; good for several threads."""

    def __init__(self, home: Path, clock: Clock | None = None) -> None:
        self.home = home
        self.clock: Clock = clock or SystemClock()
        self.database = Database(home)
        self._inventory = Inventory(self.database)
        self._now = self.clock.now
        self._authority: x509.Certificate | None = None
        self._revision = Revision(home)
        self._memory = self._revision.memory
        self._stamp: bytes | None = None
        self._view = _View()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what was seen, and give everything back."""
        try:
            self._inventory.flush()
        finally:
            self._revision.close()
            self.database.close()

    # ---- who is asking ----------------------------------------------------------------------------------------------

    def identify(self, certificate: bytes | None, calling_ae: str) -> PeerIdentity | Refused:
        """Who shows ``certificate`` (DER, its chain verified by TLS) and calls itself ``calling_ae``. Never raises for
        what was sent."""
        found = self.recognise(certificate)
        if isinstance(found, PeerIdentity) and found.ae != calling_ae.strip(" "):  # PS3.8 Table 9-11: padded
            return Refused("certificate bound to another AE title")
        return found

    def recognise(self, certificate: bytes | None) -> PeerIdentity | Refused:
        """The same where no AE title is said."""
        if not certificate:
            return Refused("no certificate")
        self._refresh()
        view = self._view
        serial = view.serials.get(hashlib.sha256(certificate).hexdigest())
        if serial is None:
            return Refused(self._why_not(certificate))
        identity = view.live[serial]
        parsed = x509.load_der_x509_certificate(certificate)
        try:
            if not self._ours(parsed):
                return Refused("certificate of another authority")
        except Failure as error:
            _log.error("nobody is let in: %s", error)
            return Refused("our own authority cannot be read")
        now = self._now()
        if now < parsed.not_valid_before_utc:
            return Refused("certificate not yet valid")
        return identity if now < identity.not_after else Refused("certificate expired")

    def valid(self, identity: PeerIdentity) -> bool:
        """Whether ``identity`` still holds: neither revoked nor expired. For every PDU."""
        if self._memory[:8] != self._stamp:
            self._refresh()
        live = self._view.live.get(identity.serial)
        return live is not None and self._now() < live.not_after

    # ---- who was seen -----------------------------------------------------------------------------------------------

    def seen(self, identity: PeerIdentity, address: str, when: datetime | None = None) -> None:
        """Note that a peer was there. Kept in memory until `flush`."""
        self._inventory.seen(identity.name, address, when or self._now())

    def unknown(self, ae: str, address: str, reason: str, when: datetime | None = None) -> None:
        """Note somebody who was refused: the AE title that was claimed (empty if none) and our reason. As `seen`."""
        self._inventory.unknown(ae, address, reason, when or self._now())

    def flush(self) -> None:
        """Write what was seen. To be called every few seconds, off the event loop; `close` does it too."""
        self._inventory.flush()

    def peers(self) -> list[PeerRecord]:
        """Every peer that ever had a certificate, by name, with what was seen of it."""
        return self._inventory.peers()

    def strangers(self) -> list[Stranger]:
        """Who tried and is nobody we know, the latest first."""
        return self._inventory.strangers()

    # ---- certificates -----------------------------------------------------------------------------------------------

    def certificates(self, name: str | None = None) -> list[Certificate]:
        """All of them, or those of one peer; the newest first."""
        query = sa.select(certificates).order_by(certificates.c.issued_at.desc(), certificates.c.ends_at.desc())
        if name is not None:
            query = query.where(certificates.c.name == name)
        with self.database.reading() as connection:
            return [certificate_of(row) for row in connection.execute(query).mappings()]

    def expiring(self, within: timedelta) -> list[Certificate]:
        """The certificates that end in that time and have no later one behind them, the most pressing first."""
        now = self._now()
        last: dict[str, Certificate] = {}
        for row in self.certificates():
            if row.holds(now) and (row.name not in last or row.ends_at > last[row.name].ends_at):
                last[row.name] = row
        return sorted((row for row in last.values() if row.ends_at <= now + within), key=lambda row: row.ends_at)

    def revoke(self, which: str, why: str = "") -> Revoked:
        """End all certificates and open codes of the peer ``which``, or the one certificate with that serial number (or
        the first eight digits or more of it). Running associations end with their next PDU."""
        now = self._now()
        with self.changing() as connection:
            rows = [certificate_of(row) for row in connection.execute(sa.select(certificates)).mappings()]
            chosen = [row for row in rows if row.name == which] or _by_serial(rows, which)
            ended = [row for row in chosen if row.revoked_at is None]
            connection.execute(
                sa.update(certificates)
                .where(certificates.c.serial.in_([row.serial for row in ended]))
                .values(revoked_at=iso(now), why=why)
            )
            withdrawn = connection.execute(
                sa.update(codes)
                .where(codes.c.name == which, codes.c.redeemed_at.is_(None), codes.c.withdrawn_at.is_(None))
                .values(withdrawn_at=iso(now))
            )
        return Revoked(tuple(row for row in ended if row.holds(now)), withdrawn.rowcount)

    @contextmanager
    def changing(self) -> Iterator[sa.Connection]:
        """A transaction that nobody else writes beside, and whose commit every process sees at its next `valid`."""
        with self._revision.changing(), self.database.writing() as connection:
            yield connection

    # ---- below ------------------------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        stamp = self._revision.stable()  # before the rows are read: what changes meanwhile is read again
        if stamp is not None and stamp == self._stamp:
            return
        columns = certificates.c
        query = sa.select(columns.serial, columns.fingerprint, columns.name, columns.ae, columns.ends_at)
        try:
            with self.database.reading() as connection:
                rows = connection.execute(query.where(columns.revoked_at.is_(None))).all()
        except Failure as error:
            _log.error("nobody is let in: %s", error)
            self._view, self._stamp = _View(), None
            return
        self._view = _View(
            {row.serial: PeerIdentity(row.name, row.ae, row.serial, moment(row.ends_at)) for row in rows},
            {row.fingerprint: row.serial for row in rows},
        )
        self._stamp = stamp

    def _why_not(self, octets: bytes) -> str:
        """Why a certificate is nobody's; only for the audit trail."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what is odd in it is no news for our terminal
                certificate = x509.load_der_x509_certificate(octets)
                serial = serial_text(certificate)
            ours = self._ours(certificate)
        except Failure:
            return "our own authority cannot be read"
        except Exception:  # a stranger's octets: there is no list of what reading them may raise
            return "certificate that cannot be read"
        if not ours:
            return "certificate of another authority"
        try:
            with self.database.reading() as connection:
                revoked = connection.execute(
                    sa.select(certificates.c.revoked_at).where(certificates.c.serial == serial)
                ).scalar_one_or_none()
        except Failure:  # told by `_refresh`
            return "our own registry cannot be read"
        return "certificate revoked" if revoked else "certificate that is not a peer's"

    def _ours(self, certificate: x509.Certificate) -> bool:
        if self._authority is None:
            self._authority = load_authority_certificate(self.home)
        try:
            certificate.verify_directly_issued_by(self._authority)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True


def _by_serial(rows: list[Certificate], digits: str) -> list[Certificate]:
    digits = digits.lower().replace(":", "")
    if len(digits) < MIN_PREFIX:
        return []
    found = [row for row in rows if row.serial.startswith(digits)]
    return found if len(found) == 1 else []
