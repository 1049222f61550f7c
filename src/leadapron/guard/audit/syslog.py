"""An audit message as syslog: RFC 5424 in the octet-counting frames of RFC 5425, as PS3.15 A.6 (2025e) asks.

PRI is 85 (facility 10, security; severity 5, notice), MSGID ``DICOM+RFC3881``, the message UTF-8 behind a byte order
mark (RFC 5424 §6.4). Structured data bears ``meta sequenceId`` (§7.3.1): the record's number in the trail, so what is
sent a second time can be told by its number, time and text. A frame has no upper bound: A.6 wants receivers to
take at least 32,768 octets, and a query or a long list of studies may be more.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from msgspec import Struct

from leadapron.kernel.errors import UsageError
from leadapron.kernel.hostport import parse_host_port

PRI: Final = 85
MESSAGE_ID: Final = "DICOM+RFC3881"
PORT: Final = 6514  # RFC 5425 §4.1
BOM: Final = b"\xef\xbb\xbf"
_MAX_SEQUENCE: Final = 2**31 - 1  # RFC 5424 §7.3.1; 1 follows
_UNPRINTABLE: Final = re.compile(r"[^!-~]")


def frame(sequence: int, when: datetime, text: bytes, host: str, application: str = "leadapron") -> bytes:
    """One framed message: ``MSG-LEN SP SYSLOG-MSG``."""
    stamp = when.astimezone(UTC).isoformat(timespec="microseconds")[:-6]
    head = (
        f"<{PRI}>1 {stamp}Z {_word(host, 255)} {_word(application, 48)} {os.getpid()} {MESSAGE_ID} "
        f'[meta sequenceId="{(sequence - 1) % _MAX_SEQUENCE + 1}"] '
    )
    message = head.encode() + BOM + text
    return b"%d " % len(message) + message


def _word(text: str, limit: int) -> str:
    """PRINTUSASCII without spaces; ``-`` for nothing (RFC 5424 §6)."""
    return _UNPRINTABLE.sub("-", text)[:limit] or "-"


def host_name() -> str:
    return socket.gethostname()


class Collector(Struct, frozen=True, kw_only=True):
    """Where audit messages go: ``host:port`` (6514 without one). ``ca``: PEM file of who signed its certificate (the
    system's authorities without one). ``certificate``, ``key``: PEM files of our own, if it wants to know who sends."""

    address: str
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    def endpoint(self) -> tuple[str, int]:
        """Host and port. Raises `UsageError`."""
        return parse_host_port(self.address, "[guard.syslog] address", PORT)

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or 1.3, ECDHE and AEAD only; the certificate must be good for the name. Raises `UsageError`."""
        try:
            context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=self.ca)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
            context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
            if self.certificate is not None:
                context.load_cert_chain(Path(self.certificate), self.key)
        except OSError as error:  # ssl.SSLError is one
            files = ", ".join(name for name in (self.ca, self.certificate, self.key) if name)
            raise UsageError(f"cannot use {files} for syslog: {error.strerror or type(error).__name__}") from error
        return context
