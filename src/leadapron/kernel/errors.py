"""One error tree, flat families.

A message says what was found, what was expected and what to do next. Nothing that a stranger's server sent
goes into one: not a name, not an identifier, not a UID (invariant 2).
"""

from __future__ import annotations


class LeadApronError(Exception):
    """Root of every error that this package raises on purpose. ``exit_code`` is what the command returns."""

    exit_code = 1


class Failure(LeadApronError):
    """Something on our side failed: a full disk, a dead database, a missing program. Exit code 1."""


class UsageError(LeadApronError):
    """Wrong option, target, population or configuration. Exit code 2."""

    exit_code = 2


class ScopeError(UsageError):
    """A target lies outside of what the user is authorised to touch. Exit code 2."""


class WireError(LeadApronError):
    """Family of everything that can go wrong with a DICOM peer."""


class ProtocolError(WireError):
    """The peer broke PS3.7 or PS3.8. ``offset`` is where in the PDU (octets), if known."""

    def __init__(self, message: str, offset: int | None = None) -> None:
        super().__init__(message if offset is None else f"{message} (at octet {offset})")
        self.offset = offset


class LimitExceeded(ProtocolError):
    """A length or a number of items is above our bound; raised before anything of that size is read."""


class AssociationRejected(WireError):
    """A-ASSOCIATE-RJ was received (PS3.8 §9.3.4)."""

    def __init__(self, result: int, source: int, reason: int, message: str) -> None:
        super().__init__(message)
        self.result, self.source, self.reason = result, source, reason


class AssociationAborted(WireError):
    """A-ABORT was received (PS3.8 §9.3.8); source and reason are as sent."""

    def __init__(self, source: int, reason: int, message: str = "the peer aborted the association") -> None:
        super().__init__(message)
        self.source, self.reason = source, reason


class ConnectionLost(WireError):
    """The transport could not be made, or ended while an answer was awaited.

    ``error`` is the name of the errno (``ECONNREFUSED``, ``ECONNRESET``, …), None where the peer simply closed.
    """

    def __init__(self, message: str = "the connection was lost", error: str | None = None) -> None:
        super().__init__(message)
        self.error = error


class TlsFailed(WireError):
    """The TLS handshake, or the session after it, failed. ``reason`` is OpenSSL's name for it."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class TimedOut(WireError):
    """A wait reached its bound. ``waiting_for`` names it: connect, TLS handshake, A-ASSOCIATE-AC, response …"""

    def __init__(self, waiting_for: str, seconds: float) -> None:
        super().__init__(f"nothing within {seconds:g} s while waiting for {waiting_for}")
        self.waiting_for, self.seconds = waiting_for, seconds


class NotAccepted(WireError):
    """No presentation context was accepted for what is asked."""
