"""Time-based one-time passwords (RFC 6238): the authenticator app that everybody has.

Six digits, SHA-1 and 30 s, because apps ignore what else the URI asks for. One step early or late is accepted (RFC
6238 §5.2). A step that was used, or one before it, is refused: `Factors.spend` writes it in the transaction that makes
the session, so that of two logins with the same code one fails, in whatever process.
"""

from __future__ import annotations

from typing import Final

import pyotp
from pyotp.exceptions import OTPVerificationError

WINDOW: Final = 1
ISSUER: Final = "Lead Apron"


def new_secret() -> str:
    """160 random bits in base 32, as RFC 4226 §4 (R6) recommends."""
    return pyotp.random_base32()


def uri(secret: str, name: str, issuer: str = ISSUER) -> str:
    """The ``otpauth:`` URI that an authenticator app scans."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=issuer)


def step_of(secret: str, code: str, now: int) -> int | None:
    """The step that ``code`` is for, or None where it is none of those around ``now`` (seconds since 1970)."""
    if len(code) != 6 or not (code.isascii() and code.isdigit()):
        return None
    try:
        return pyotp.TOTP(secret).verify_and_get_timecode(code, for_time=now, valid_window=WINDOW)
    except OTPVerificationError:
        return None


def qr(text: str) -> str:
    """A QR code of ``text`` for a terminal: two rows a line, drawn in half blocks; light on dark and dark on light."""
    import io

    import segno

    drawn = io.StringIO()
    segno.make(text, error="m").terminal(drawn, compact=True)
    return drawn.getvalue()
