"""What the edge shows to the far side: ``peer.key``, ``peer.pem`` and ``authority.pem``, as joining wrote them.

The files are read again when they change, so a certificate that was renewed, by us or by hand, serves the next
association. The host name is checked by subject alternative names alone. In the last third of its life the certificate
is renewed where it was joined, once an hour until that succeeds; a month before its end it is also complained of. Other
authorities' certificates serve as well, and are for their owner to renew.
"""

from __future__ import annotations

import ssl
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from leadapron.guard.identity.contexts import server_context
from leadapron.guard.identity.join import held, renew
from leadapron.guard.identity.pairs import paths
from leadapron.kernel.errors import Failure, UsageError
from leadapron.wire.aio.tls import client_context

STEM: Final = "peer"
AUTHORITY: Final = "authority.pem"
WARN_BEFORE: Final = timedelta(days=30)
TRY_EVERY: Final = timedelta(hours=1)


class Credentials:
    """The identity in ``directory``. Raises `UsageError` where a file is missing, `Failure` where one is no good."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        files = [*paths(directory, STEM), directory / AUTHORITY]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise UsageError(
                f"{directory} holds no identity ({', '.join(missing)} not found): "
                "make one with 'leadapron peer join', with the code that 'leadapron peer enrol' printed"
            )
        key = files[1]
        if key.stat().st_mode & 0o077:
            raise UsageError(f"others may read {key}: chmod 600 {key}")
        self._stamp: tuple[int, ...] = ()
        self._context: ssl.SSLContext | None = None
        self._receiving: ssl.SSLContext | None = None
        self._certificate: x509.Certificate | None = None
        self._tried: datetime | None = None
        self.context()

    def context(self) -> ssl.SSLContext:
        """For the next association."""
        try:
            certificate, key = paths(self.directory, STEM)
            authority = self.directory / AUTHORITY
            stamp = tuple(path.stat().st_mtime_ns for path in (key, certificate, authority))
            if self._context is None or stamp != self._stamp:
                context = client_context(authorities=authority, certificate=certificate, key=key)
                context.hostname_checks_common_name = False
                self._certificate = x509.load_pem_x509_certificate(certificate.read_bytes())
                self._context, self._stamp = context, stamp
                if self._receiving is not None:
                    self._receiving.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError, ValueError) as error:
            if self._context is None:
                reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
                raise Failure(f"the identity in {self.directory} cannot be used ({reason}): join again") from None
            # Between two files that somebody copies, or broken ones: what served until now serves on.
        return self._context

    def receiving(self) -> ssl.SSLContext:
        """For the way back, where the guard connects to us: always the same one, with what `context` read last."""
        if self._receiving is None:
            self._receiving = server_context(self.directory, stem=STEM)
        return self._receiving

    def check_title(self, calling: str) -> None:
        """Raises `UsageError` where the certificate is bound to another AE title than the device's."""
        bound = _held_ae(self.directory)
        if bound and bound != calling:
            raise UsageError(
                f"the certificate in {self.directory} is for the AE title {bound}, and --calling says {calling}: "
                "the guard would turn it away"
            )

    @property
    def not_after(self) -> datetime:
        """When the certificate ends."""
        assert self._certificate is not None
        return self._certificate.not_valid_after_utc

    @property
    def not_before(self) -> datetime:
        assert self._certificate is not None
        return self._certificate.not_valid_before_utc

    def warning(self, now: datetime) -> str | None:
        """What to say about the certificate's end, if it is near or past."""
        left = self.not_after - now
        if left <= timedelta(0):
            return "the certificate has expired: nothing is delivered until there is another ('leadapron peer join')"
        if left <= WARN_BEFORE:
            return f"the certificate expires in {left.days} days ({self.not_after:%Y-%m-%d}) and is not renewed yet"
        return None

    async def renew_if_due(self, now: datetime) -> str | None:
        """Renews in the last third of its life, if it is known where; what to say of it."""
        third = (self.not_after - self.not_before) / 3
        late, lately = now >= self.not_after - third, self._tried is not None and now - self._tried < TRY_EVERY
        if not late or lately or now >= self.not_after or not _known_guard(self.directory):
            return None
        first, self._tried = self._tried is None, now
        try:
            joined = await renew(self.directory)
        except Failure as error:
            return f"the certificate cannot be renewed yet: {error}" if first else None
        self._tried = None
        self.context()
        return f"the certificate was renewed; the new one ends {joined.not_after:%Y-%m-%d}"


def _held_ae(directory: Path) -> str:
    try:
        return held(directory).ae
    except Failure:  # another authority's
        return ""


def _known_guard(directory: Path) -> bool:
    try:
        return held(directory).guard is not None
    except Failure:
        return False
