"""Listening for who speaks to connections himself: what is handed over, and who hears of what was not opened."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import cast

import pytest

from leadapron.kernel.errors import ConnectionLost, LimitExceeded
from leadapron.wire.aio.server import ServerLimits, listen
from leadapron.wire.aio.timeouts import Timeouts
from leadapron.wire.aio.tls import server_context
from leadapron.wire.aio.transport import Connection
from leadapron.wire.pdu import AssociateRequest, encode
from peers.certificates import Certificates
from peers.raw import request

HASTY = Timeouts(tls=0.4, associate=5, release=0.2)


class Echo(asyncio.BufferedProtocol):
    """Takes a connection over, and gives back what comes."""

    def __init__(self) -> None:
        self.lost = asyncio.get_running_loop().create_future()
        self._room = bytearray(100)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self._room)

    def buffer_updated(self, nbytes: int) -> None:
        self.transport.write(bytes(self._room[:nbytes]))

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(None)


@pytest.mark.parametrize("secure", [False, True])
async def test_a_connection_is_handed_over_with_what_came(secure: bool, certificates: Certificates) -> None:
    left: list[bytes] = []

    async def attend(connection: Connection, address: str, port: int) -> None:
        assert isinstance(await connection.receive("a request", 5), AssociateRequest)
        echo = Echo()
        left.append(connection.hand_over(echo))
        assert not connection.open
        with pytest.raises(ConnectionLost):
            connection.write(b"")
        with pytest.raises(ConnectionLost):
            connection.hand_over(echo)
        await connection.closed(5)  # over at once
        echo.transport.write(left[0])
        echo.transport.resume_reading()
        await echo.lost

    tls = server_context(certificates.server_certificate, certificates.server_key) if secure else None
    context = certificates.plain_client_context() if secure else None
    async with listen("127.0.0.1", 0, attend, tls=tls) as server, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", server.port, ssl=context, server_hostname="localhost" if secure else None
        )
        writer.write(encode(request()) + b"and then")
        assert await reader.readexactly(8) == b"and then"
        writer.write(b"more")
        assert await reader.readexactly(4) == b"more"
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    assert left == [b"and then"]


@pytest.mark.parametrize(
    ("said", "kind"),
    [(b"GET / HTTP/1.1\r\n\r\n", ssl.SSLError), (None, TimeoutError), (b"", (ConnectionError, ssl.SSLError, OSError))],
)
async def test_who_was_not_let_in_is_told(
    said: bytes | None, kind: type[Exception], certificates: Certificates
) -> None:
    refused: list[tuple[str, Exception]] = []

    async def attend(connection: Connection, address: str, port: int) -> None:
        raise AssertionError("it was let in")

    tls = server_context(certificates.server_certificate, certificates.server_key)
    async with listen(
        "127.0.0.1", 0, attend, tls=tls, timeouts=HASTY, refused=lambda *told: refused.append(told)
    ) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            if said is not None:
                sock.sendall(said)
                sock.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(10):
                while not refused:
                    await asyncio.sleep(0.01)
    ((address, error),) = refused
    assert address == "127.0.0.1" and isinstance(error, kind)


async def test_a_connection_whose_handler_fails_is_closed() -> None:
    async def attend(connection: Connection, address: str, port: int) -> None:
        raise OSError("out of something")

    async with listen("127.0.0.1", 0, attend) as server, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()


async def test_too_many_are_told() -> None:
    refused: list[Exception] = []

    async def attend(connection: Connection, address: str, port: int) -> None:
        await connection.closed(20)

    async with listen(
        "127.0.0.1", 0, attend, limits=ServerLimits(5, 2), refused=lambda _, error: refused.append(error), grace=0
    ) as server:
        socks = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(3)]
        async with asyncio.timeout(10):
            while not refused:
                await asyncio.sleep(0.01)
        for sock in socks:
            sock.close()
    assert [type(error) for error in refused] == [LimitExceeded]
    assert server.turned_away == 1
