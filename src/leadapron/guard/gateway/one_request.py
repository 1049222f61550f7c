"""HTTP/1.1 for one small request on one connection: read it within its bounds, answer, close.

Enrolment has three paths and messages of a few kilobytes. What a server of the web brings besides (keep-alive, chunks,
pipelining, upgrades) would be a surface for strangers that nobody needs, and it would hide the peer's certificate. So
what is not a plain request with a ``Content-Length`` is refused (RFC 9112).
"""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from typing import Final

from msgspec import Struct

MAX_HEAD: Final = 8 * 1024
MAX_BODY: Final = 32 * 1024
_LINE: Final = re.compile(rb"(GET|POST) (/[!-~]{0,200}) HTTP/1\.[01]")
_FIELD: Final = re.compile(rb"([!#-'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*)")
_LENGTH: Final = re.compile(rb"[0-9]{1,9}")


class NoRequest(Exception):
    """What came is no request that is answered; ``status`` says so."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class Request(Struct, frozen=True):
    method: str
    path: str
    body: bytes


async def read_request(reader: asyncio.StreamReader) -> Request:
    """The request; ``reader`` must be limited to `MAX_HEAD`. Raises `NoRequest`."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise NoRequest(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE) from None
    except asyncio.IncompleteReadError:
        raise NoRequest(HTTPStatus.BAD_REQUEST) from None
    first, *lines = head[:-4].split(b"\r\n")
    asked = _LINE.fullmatch(first)
    if asked is None:
        raise NoRequest(HTTPStatus.BAD_REQUEST)
    fields: dict[bytes, bytes] = {}
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None or ((name := field[1].lower()) in fields and name == b"content-length"):
            raise NoRequest(HTTPStatus.BAD_REQUEST)
        fields[name] = field[2].strip()
    if b"transfer-encoding" in fields:
        raise NoRequest(HTTPStatus.LENGTH_REQUIRED)
    length = fields.get(b"content-length", b"0")
    if not _LENGTH.fullmatch(length):
        raise NoRequest(HTTPStatus.BAD_REQUEST)
    if int(length) > MAX_BODY:
        raise NoRequest(_TOO_LARGE)
    try:
        body = await reader.readexactly(int(length))
    except asyncio.IncompleteReadError:
        raise NoRequest(HTTPStatus.BAD_REQUEST) from None
    return Request(asked[1].decode("ascii"), asked[2].decode("ascii"), body)


_TOO_LARGE: Final = HTTPStatus(413)  # its name changed with Python 3.13


def answer(status: HTTPStatus, body: bytes = b"", kind: str = "application/json") -> bytes:
    """A whole answer, after which the connection ends."""
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
