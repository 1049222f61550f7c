"""Whoever comes: one association with one operation, one request of a browser or program, from an address of choice.

Octets are put on the wire as they are, whether the guard wants to hear them or not.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from guard.talking import message, messages
from leadapron.wire import uids
from leadapron.wire.association.negotiate import ContextRequest, build_request
from leadapron.wire.dimse.command import (
    CEchoRequest,
    CFindRequest,
    CGetRequest,
    CMoveRequest,
    CStoreRequest,
    NActionRequest,
    NCreateRequest,
)
from leadapron.wire.elements import encode_dataset
from leadapron.wire.elements.dictionary import Tag
from leadapron.wire.pdu import ReleaseRequest, UserIdentity, encode
from peers.process import HOST

BOUND_S = 20.0
SYNTAX = uids.IMPLICIT_LE
STUDY = "1.2.3"
OPERATIONS = ("echo", "store", "find", "worklist", "move", "get", "commit", "mpps")
PERMISSION = {"move": "retrieve", "get": "retrieve"}  # the others are called as what they need

_CLASS = {
    "echo": uids.VERIFICATION,
    "store": uids.CT_IMAGE_STORAGE,
    "find": uids.STUDY_ROOT_FIND,
    "worklist": uids.MODALITY_WORKLIST_FIND,
    "move": uids.STUDY_ROOT_MOVE,
    "get": uids.STUDY_ROOT_GET,
    "commit": uids.STORAGE_COMMITMENT_PUSH,
    "mpps": uids.MODALITY_PERFORMED_PROCEDURE_STEP,
}


def contexts(operation: str, *, beside_echo: bool = False) -> list[ContextRequest]:
    """What is proposed for it: the first one is the operation's own, or Verification where that stands beside it."""
    wanted = [ContextRequest(_CLASS[operation], (SYNTAX,))]
    if operation == "get":
        wanted.append(ContextRequest(uids.CT_IMAGE_STORAGE, (SYNTAX,), scu=False, scp=True))
    return [ContextRequest(uids.VERIFICATION, (SYNTAX,)), *wanted] if beside_echo else wanted


def octets(operation: str, destination: str = "WS1", context: int = 1) -> bytes:
    """The operation as a requestor sends it."""
    level = (Tag.QueryRetrieveLevel, "CS", "STUDY")
    study = encode_dataset([level, (Tag.StudyInstanceUID, "UI", STUDY)], SYNTAX)
    name, instance = _CLASS[operation], uids.STORAGE_COMMITMENT_PUSH_INSTANCE
    if operation == "echo":
        return message(CEchoRequest(1), context=context)
    if operation == "store":
        image = encode_dataset([(Tag.StudyInstanceUID, "UI", STUDY)], SYNTAX)
        return message(CStoreRequest(1, name, "1.2.3.4"), image, context=context)
    if operation in ("find", "worklist"):
        return message(CFindRequest(1, name), study, context=context)
    if operation == "move":
        return message(CMoveRequest(1, name, destination), study, context=context)
    if operation == "get":
        return message(CGetRequest(1, name), study, context=context)
    if operation == "mpps":
        return message(NCreateRequest(1, name, "1.2.3.5"), study, context=context)
    return message(NActionRequest(1, name, instance, 1, True), study, context=context)


@dataclass(frozen=True)
class Met:
    """What became of a visit. ``status``: of the operation's final answer; None: there was none."""

    accepted: bool = False
    status: int | None = None

    @property
    def served(self) -> bool:
        """Any answer that is no refusal or failure."""
        return self.status is not None and (self.status == 0 or self.status >> 12 in (0xB, 0xF))


async def said(
    port: int, source: str, what: bytes, tls: ssl.SSLContext | None = None, *, hang_up: bool = False
) -> bytes:
    """All that comes back until the other side closes. ``hang_up``: say it, and listen to nothing."""
    async with asyncio.timeout(BOUND_S):
        writer: asyncio.StreamWriter | None = None
        try:
            name = None if tls is None else "localhost"
            reader, writer = await asyncio.open_connection(
                HOST, port, local_addr=(source, 0), ssl=tls, server_hostname=name
            )
            writer.write(what)
            if hang_up:
                writer.write_eof()
            return await reader.read()
        except OSError:
            return b""
        finally:
            if writer is not None:
                writer.transport.abort()


async def associate(
    port: int,
    source: str,
    tls: ssl.SSLContext | None,
    operation: str,
    *,
    calling: str,
    called: str,
    destination: str = "WS1",
    eager: bool = False,
    beside_echo: bool = False,
    user: UserIdentity | None = None,
) -> Met:
    """One association for one operation. ``eager``: the operation follows the request at once, unasked.

    ``beside_echo``: Verification is proposed too, and the operation comes whether its context was accepted or not.
    """
    asked = contexts(operation, beside_echo=beside_echo)
    request = encode(build_request(asked, called=called, calling=calling, user_identity=user))
    wanted = octets(operation, destination, 3 if beside_echo else 1)
    async with asyncio.timeout(BOUND_S):
        writer: asyncio.StreamWriter | None = None
        try:
            name = None if tls is None else "localhost"
            reader, writer = await asyncio.open_connection(
                HOST, port, local_addr=(source, 0), ssl=tls, server_hostname=name
            )
            writer.write(request + (wanted if eager else b""))
            head = await reader.readexactly(6)
            await reader.readexactly(int.from_bytes(head[2:], "big"))
            if head[0] != 2:  # A-ASSOCIATE-AC
                writer.write(wanted)  # somebody who does not listen
                return Met()
            writer.write(wanted)
            met = Met(True, await _status(reader))
            writer.write(encode(ReleaseRequest()))
            await reader.read(10)
            return met
        except (OSError, asyncio.IncompleteReadError):
            return Met()
        finally:
            if writer is not None:
                writer.transport.abort()


async def _status(reader: asyncio.StreamReader) -> int | None:
    """The operation's final status; None where the association was ended instead."""
    heard = b""
    while True:
        head = await reader.readexactly(6)
        heard += head + await reader.readexactly(int.from_bytes(head[2:], "big"))
        if head[0] != 4:  # P-DATA-TF
            return None
        with contextlib.suppress(AssertionError):  # not whole yet
            for _, command, _ in messages(heard):
                status = getattr(command, "status", None)
                if status is not None and status >> 8 != 0xFF:
                    return int(status)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    cookies: tuple[str, ...]
    body: bytes


async def fetch(
    port: int,
    source: str,
    tls: ssl.SSLContext | None,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> Answer | None:
    """One request on a connection of its own; None where no answer came."""
    fields = {"Host": f"localhost:{port}", "Connection": "close", "Content-Length": str(len(body))} | dict(
        headers or {}
    )
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    heard = await said(port, source, f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body, tls)
    first, _, rest = heard.partition(b"\r\n")
    words = first.split(b" ")
    if len(words) < 2 or not words[0].startswith(b"HTTP/"):
        return None
    top, _, content = rest.partition(b"\r\n\r\n")
    pairs = [line.decode("latin-1").partition(": ")[::2] for line in top.split(b"\r\n")]
    cookies = tuple(value.partition(";")[0] for name, value in pairs if name.lower() == "set-cookie")
    return Answer(int(words[1]), {name.lower(): value for name, value in pairs}, cookies, content)


async def post_form(port: int, source: str, tls: ssl.SSLContext, path: str, **fields: str) -> Answer | None:
    """A form as a browser sends it from a page of the guard's own."""
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Origin": f"https://localhost:{port}",
        "Sec-Fetch-Site": "same-origin",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
    }
    return await fetch(port, source, tls, "POST", path, headers, urlencode(fields).encode())
