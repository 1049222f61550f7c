"""The line that is typed or pasted on a machine that joins: where the guard is, a secret, and who the guard is.

``guard.example:2780/7ZK4-…``: host and port, then 35 octets in Crockford's base 32 (no I, L, O or U; small letters and
the look-alikes are read as what was meant), in groups of four. The octets are

- 16 of the secret: random, so nothing can be guessed, and its hash can stand in the database without salt or stretch;
- 16 of the SHA-256 of the authority's certificate: the joining machine knows nobody yet, and would else give its secret
  to whoever answers. To make another certificate with the same 128 bits takes 2¹²⁸ tries;
- 3 of the SHA-256 of host, port and all of this, so that a typing error is told from a code that does not hold.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Final

from msgspec import Struct

from leadapron.kernel.errors import UsageError
from leadapron.kernel.hostport import HostPort, parse_host_port

SECRET: Final = 16
PIN: Final = 16
CHECK: Final = 3
GROUP: Final = 4
LENGTH: Final = (SECRET + PIN + CHECK) * 8 // 5  # 56 characters, no padding

_STANDARD: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"  # RFC 4648 §6
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_OUT: Final = str.maketrans(_STANDARD, _CROCKFORD)
_IN: Final = str.maketrans(_CROCKFORD + "ILO", _STANDARD + "BBA")  # I and L are read as 1, O as 0


class Code(Struct, frozen=True):
    """``secret``: 16 octets; ``pin``: the first 16 octets of the SHA-256 of the authority's certificate (DER)."""

    host: str
    port: int
    secret: bytes
    pin: bytes

    def __repr__(self) -> str:  # a traceback must not show the secret
        return f"Code({self.host!r}, {self.port})"

    def is_of(self, certificate: bytes) -> bool:
        """Whether ``certificate`` (DER) is the authority that made this code."""
        return hmac.compare_digest(hashlib.sha256(certificate).digest()[:PIN], self.pin)


def new_code(host: str, port: int, fingerprint: str) -> Code:
    """A code with a new secret, for the authority with this fingerprint (SHA-256, hexadecimal)."""
    host, port = where(str(HostPort(host, port)))
    return Code(host, port, secrets.token_bytes(SECRET), bytes.fromhex(fingerprint)[:PIN])


def secret_hash(secret: bytes) -> str:
    """How the secret stands in the database."""
    return hashlib.sha256(b"leadapron code\0" + secret).hexdigest()


def render(code: Code) -> str:
    """One line."""
    place = str(HostPort(code.host, code.port))
    octets = code.secret + code.pin
    text = base64.b32encode(octets + _check(place, octets)).decode("ascii").translate(_OUT)
    return f"{place}/" + "-".join(text[at : at + GROUP] for at in range(0, LENGTH, GROUP))


def parse(text: str) -> Code:
    """The other way. Raises `UsageError` for what is no code, or was mistyped; the text is not in the message."""
    place, slash, rest = "".join(text.split()).rpartition("/")
    typed = rest.replace("-", "").upper()
    if not slash:
        raise UsageError("a code begins with host and port and a slash: guard.example:2780/…")
    if len(typed) != LENGTH:
        raise UsageError(f"the code has {len(typed)} characters after the slash, it should have {LENGTH}")
    strange = sorted(set(typed) - set(_CROCKFORD + "ILO"))
    if strange:
        raise UsageError("the code has characters after the slash that no code has; letters and digits, but no U")
    octets = base64.b32decode(typed.translate(_IN))
    octets, check = octets[: SECRET + PIN], octets[SECRET + PIN :]
    host, port = where(place)
    if not hmac.compare_digest(check, _check(str(HostPort(host, port)), octets)):
        raise UsageError("the code was mistyped: its check does not fit. Compare it with what was given to you")
    return Code(host, port, octets[:SECRET], octets[SECRET:])


def where(text: str) -> HostPort:
    """``host:port`` or ``[IPv6]:port``, in small letters. Raises `UsageError`."""
    host, port = parse_host_port(text, "where the guard is")
    return HostPort(host.lower(), port)


def _check(place: str, octets: bytes) -> bytes:
    return hashlib.sha256(place.encode("ascii") + b"/" + octets).digest()[:CHECK]
