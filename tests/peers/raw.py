"""Peers made of octets: a server or client that says exactly what a test tells it to, and nothing more."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from leadapron.wire import uids
from leadapron.wire.association.negotiate import ContextRequest, Supported, anyone, build_request, choose
from leadapron.wire.pdu import AssociateRequest, Pdu, decode, encode

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

VERIFY = (ContextRequest(uids.VERIFICATION, (uids.IMPLICIT_LE,)),)
LAST_WORDS = (b"\x07\0\0\0\0\4", b"\x05\0\0\0\0\4")  # how A-ABORT and A-RELEASE-RQ begin; four octets follow
BOUND_S = 20.0  # for everything here: a test that hangs says so


def request(contexts: Sequence[ContextRequest] = VERIFY, max_length: int = 16384) -> AssociateRequest:
    return build_request(contexts, called="CALLED", calling="CALLING", maximum_length=max_length)


def accept_all(asked: AssociateRequest, max_length: int = 16384) -> bytes:
    """The A-ASSOCIATE-AC that grants everything, roles included."""
    syntaxes = {context.abstract_syntax: context.transfer_syntaxes for context in asked.contexts}
    roles = dict.fromkeys(syntaxes, (True, True))
    return encode(choose(asked, Supported(syntaxes, roles, maximum_length=max_length), anyone))


@contextlib.asynccontextmanager
async def raw_server(script: Script) -> AsyncIterator[int]:
    """Runs ``script`` for each connection; gives the port. What the script raises fails the test."""
    failures: list[BaseException] = []
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            async with asyncio.timeout(BOUND_S):
                await script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # our side left: that is for the test to judge
        except BaseException as error:
            failures.append(error)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    real = [error for error in failures if not isinstance(error, asyncio.CancelledError)]
    if real:
        raise real[0]


@contextlib.asynccontextmanager
async def raw_client(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(BOUND_S):
            yield reader, writer
    finally:
        writer.transport.abort()


async def read_pdu(reader: asyncio.StreamReader) -> Pdu:
    """The next PDU that our side sends."""
    header = await reader.readexactly(6)
    return decode(header[0], await reader.readexactly(int.from_bytes(header[2:], "big")))


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What our side still says until it aborts, asks for release, or closes, cleanly or not."""
    heard = b""
    with contextlib.suppress(ConnectionError):
        while heard[-10:-4] not in LAST_WORDS and (chunk := await reader.read(65536)):
            heard += chunk
    return heard


def reset(writer: asyncio.StreamWriter) -> None:
    """Ends the connection with RST."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def header(pdu_type: int, length: int) -> bytes:
    """The six octets in front of every PDU (PS3.8 §9.3.1)."""
    return struct.pack(">BxI", pdu_type, length)
