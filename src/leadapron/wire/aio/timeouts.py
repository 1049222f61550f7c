"""How long each wait may last (invariant 7: every wait ends).

A bound is on one whole thing: on the connection, on the handshake, on one complete PDU. It does not start again when a
few octets trickle in, so a peer that sends one octet a second is cut off as surely as one that sends none.
"""

from __future__ import annotations

from msgspec import Struct


class Timeouts(Struct, frozen=True):
    """Seconds. The defaults suit archives in a hospital; a scan of strangers takes shorter ones.

    ``connect``: name resolution and TCP, over all addresses of the host. ``tls``: the TLS handshake. ``associate``: the
    A-ASSOCIATE PDU (the ARTIM timer of PS3.8 §9.1.5). ``response``: the first PDU that answers a request. ``idle``:
    each further PDU of an answer; in a server also the pause before the next request. ``write``: room in the send
    buffer. ``release``: the answer to A-RELEASE-RQ, and closing the connection.
    """

    connect: float = 10.0
    tls: float = 10.0
    associate: float = 30.0
    response: float = 60.0
    idle: float = 60.0
    write: float = 60.0
    release: float = 5.0


DEFAULT_TIMEOUTS = Timeouts()
