"""A sender that stores one image step by step, so that somebody can be killed between any two of its steps."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable
from typing import Any

from guard.survive.besieged import CT, HOST
from leadapron.wire import uids
from leadapron.wire.aio import ContextRequest
from leadapron.wire.dimse.command import CStoreRequest, decode_command, encode_command
from leadapron.wire.dimse.fragments import fragment
from leadapron.wire.pdu import encode
from peers.raw import header, request

PHASES = ("accepted", "command", "first", "middle", "last", "response")
"""After the A-ASSOCIATE-AC; the command set; the first PDV of the data set; half of them; the last; when the first
octets of the response are there."""
PIECE = 16_000
BOUND_S = 30.0
"""A sender that has heard nothing for so long hangs."""

Deed = Callable[[], None]


def store(
    port: int, ae: str, instance: str, data: bytes, tls: ssl.SSLContext | None, at: str = "", deed: Deed | None = None
) -> int | None:
    """The status that the sender was told, or None for an error. ``deed`` is done at the phase ``at``. Fails with
    TimeoutError where the sender hangs."""
    try:
        with socket.create_connection((HOST, port), BOUND_S) as plain:
            plain.settimeout(BOUND_S)
            if tls is None:
                return _store(plain, ae, instance, data, at, deed)
            with tls.wrap_socket(plain, server_hostname="localhost") as sock:
                return _store(sock, ae, instance, data, at, deed)
    except TimeoutError:
        raise
    except OSError:  # reset, closed, TLS ended in its middle
        return None


def _store(sock: Any, ae: str, instance: str, data: bytes, at: str, deed: Deed | None) -> int | None:
    def now(phase: str) -> None:
        if phase == at and deed is not None:
            deed()

    asked = request([ContextRequest(CT, (uids.EXPLICIT_LE,))])
    sock.sendall(encode(type(asked)("PACS", ae, asked.contexts, asked.user)))
    if _pdu(sock)[0] != 2:
        return None
    now("accepted")
    sock.sendall(b"".join(fragment(1, encode_command(CStoreRequest(1, CT, instance)), None, 16384)))
    now("command")
    pieces = [data[begin : begin + PIECE] for begin in range(0, len(data), PIECE)]
    for number, piece in enumerate(pieces):
        last = number == len(pieces) - 1
        inner = struct.pack(">IBB", len(piece) + 2, 1, 2 if last else 0) + piece
        sock.sendall(header(4, len(inner)) + inner)
        if number == 0:
            now("first")
        if number == len(pieces) // 2:
            now("middle")
    now("last")
    begin = _exactly(sock, 1)
    now("response")
    kind, body = begin[0], _exactly(sock, 5)
    body = _exactly(sock, int.from_bytes(body[1:], "big"))
    if kind != 4:
        return None
    answer: Any = decode_command(body[6:])
    sock.sendall(header(5, 4) + bytes(4))
    return int(answer.status)


def _pdu(sock: Any) -> tuple[int, bytes]:
    head = _exactly(sock, 6)
    return head[0], _exactly(sock, int.from_bytes(head[2:], "big"))


def _exactly(sock: Any, size: int) -> bytes:
    octets = b""
    while len(octets) < size:
        more = sock.recv(size - len(octets))
        if not more:
            raise ConnectionError("closed")
        octets += more
    return octets
