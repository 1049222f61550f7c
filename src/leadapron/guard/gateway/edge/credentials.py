"""What the edge shows to the far side: ``peer.key``, ``peer.pem`` and ``authority.pem``, as joining wrote them.

The files are read again when they change, so a certificate that was renewed, by us or by hand, serves the next
association. The host name is checked by subject alternative names alone.
"""

from __future__ import annotations

import ssl
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from leadapron.kernel.errors import Failure, UsageError
from leadapron.wire.aio.tls import client_context

KEY: Final = "peer.key"
CERTIFICATE: Final = "peer.pem"
AUTHORITY: Final = "authority.pem"
WARN_BEFORE: Final = timedelta(days=30)


class Credentials:
    """The identity in ``directory``. Raises `UsageError` where a file is missing, `Failure` where one is no good."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        missing = [name for name in (KEY, CERTIFICATE, AUTHORITY) if not (directory / name).is_file()]
        if missing:
            raise UsageError(
                f"{directory} holds no identity ({', '.join(missing)} not found): "
                "make one with 'leadapron peer join', with the code that 'leadapron peer enrol' printed"
            )
        if (directory / KEY).stat().st_mode & 0o077:
            raise UsageError(f"others may read {directory / KEY}: chmod 600 {directory / KEY}")
        self._stamp: tuple[int, ...] = ()
        self._context: ssl.SSLContext | None = None
        self._certificate: x509.Certificate | None = None
        self.context()

    def context(self) -> ssl.SSLContext:
        """For the next association."""
        paths = [self.directory / name for name in (KEY, CERTIFICATE, AUTHORITY)]
        try:
            stamp = tuple(path.stat().st_mtime_ns for path in paths)
            if self._context is None or stamp != self._stamp:
                key, certificate, authority = paths
                context = client_context(authorities=authority, certificate=certificate, key=key)
                context.hostname_checks_common_name = False
                self._certificate = x509.load_pem_x509_certificate(certificate.read_bytes())
                self._context, self._stamp = context, stamp
        except (OSError, ssl.SSLError, ValueError) as error:
            if self._context is None:
                reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
                raise Failure(f"the identity in {self.directory} cannot be used ({reason}): join again") from None
            # Between two files of a renewal, or a broken one: what served until now serves on.
        return self._context

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
            return "the certificate has expired: nothing can be delivered until it is renewed ('leadapron peer join')"
        if left <= WARN_BEFORE:
            return f"the certificate expires in {left.days} days ({self.not_after:%Y-%m-%d}): renew it"
        return None
