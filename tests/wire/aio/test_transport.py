"""One connection: bounds on waits and memory, in both directions, and what is said when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections import Counter

import pytest

from leadapron.kernel.errors import ConnectionLost, LimitExceeded, ProtocolError, TimedOut
from leadapron.wire.aio import transport
from leadapron.wire.aio.connect import connect
from leadapron.wire.aio.timeouts import Timeouts
from leadapron.wire.aio.transport import Connection, Consumer
from leadapron.wire.pdu import Abort, PData, PresentationDataValue, ReleaseRequest, encode
from peers.process import free_port
from peers.raw import Script, ended, header, raw_server, reset

QUICK = Timeouts(connect=2, tls=2, associate=2, response=2, idle=2, write=0.4, release=0.5)
ABORT = encode(Abort(0, 0))


async def connected(port: int) -> Connection:
    return await connect("127.0.0.1", port, timeouts=QUICK)


def says(*chunks: bytes) -> Script:
    """A peer that says this, then listens."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
        await ended(reader)

    return script


def asked(script: Script) -> Script:
    """A peer that waits for an octet of ours first, as for a request."""

    async def waiting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        await script(reader, writer)

    return waiting


async def consumes(connection: Connection, consumer: Consumer, first: float = 2, idle: float = 2) -> None:
    connection.write(b"?")
    await connection.consume(consumer, "records", first, idle)


async def test_a_silent_peer_is_timed_out() -> None:
    async with raw_server(says()) as port:
        connection = await connected(port)
        with pytest.raises(TimedOut) as caught:
            await connection.receive("an answer", 0.2)
        assert (caught.value.waiting_for, caught.value.seconds) == ("an answer", 0.2)
        connection.abort()
        await connection.closed(1)


async def test_a_peer_that_drips_octets_is_timed_out_all_the_same() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for octet in header(4, 1000) + bytes(500):
            writer.write(bytes([octet]))
            await asyncio.sleep(0.02)

    async with raw_server(script) as port:
        connection = await connected(port)
        began = time.monotonic()
        with pytest.raises(TimedOut):
            await connection.receive("an answer", 0.3)
        assert time.monotonic() - began < 2
        connection.abort()


async def test_an_answer_that_waits_in_the_kernel_is_no_time_out() -> None:
    """Our loop was late (a busy scan), not the peer."""
    listener = socket.create_server(("127.0.0.1", 0))
    connection = await connected(listener.getsockname()[1])
    peer, _ = listener.accept()
    with listener, peer:
        waiting = asyncio.create_task(connection.receive("an answer", 0.1))
        await asyncio.sleep(0)
        peer.sendall(ABORT)
        busy_until = time.monotonic() + 0.3
        while time.monotonic() < busy_until:
            pass
        assert await waiting == Abort(0, 0)
        connection.abort()
        await connection.closed(1)


async def test_an_announced_length_beyond_the_bound_is_refused_at_once() -> None:
    async with raw_server(says(header(4, 0xFFFFFFFF))) as port:
        connection = await connected(port)
        for _ in range(2):  # and again: the stream cannot be found any more
            with pytest.raises(LimitExceeded):
                await connection.receive("an answer", 2)
        connection.abort()


async def test_what_was_said_before_the_end_is_heard_first() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(encode(ReleaseRequest()) + ABORT)
        await writer.drain()

    async with raw_server(script) as port:
        connection = await connected(port)
        await connection.closed(2)
        assert await connection.receive("x", 1) == ReleaseRequest()
        assert await connection.receive("x", 1) == Abort(0, 0)
        with pytest.raises(ConnectionLost) as caught:
            await connection.receive("x", 1)
        assert caught.value.error is None


async def test_a_reset_says_so() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        reset(writer)

    async with raw_server(script) as port:
        connection = await connected(port)
        connection.write(b"x")
        with pytest.raises(ConnectionLost) as caught:
            await connection.receive("an answer", 2)
        assert caught.value.error == "ECONNRESET"
        with pytest.raises(ConnectionLost):
            connection.write(b"y")


async def test_refused() -> None:
    with pytest.raises(ConnectionLost) as caught:
        await connected(free_port())
    assert caught.value.error == "ECONNREFUSED"


async def test_an_unknown_host() -> None:
    with pytest.raises(ConnectionLost) as caught:
        await connect("no-such-host.invalid", 104, timeouts=QUICK)
    assert caught.value.error is not None
    assert caught.value.error.startswith("EAI_")


async def test_a_peer_that_floods_is_held_back() -> None:
    """Nobody asks for its PDUs, so it can place no more than the buffers hold."""
    sent = 0
    blob = encode(PData((PresentationDataValue(1, False, False, bytes(16 * 1024)),)))

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while True:
            writer.write(blob)
            await writer.drain()
            sent += len(blob)

    async with raw_server(script) as port:
        connection = await connected(port)
        before = -1
        while sent != before:  # until it stands still for a while
            before = sent
            await asyncio.sleep(0.3)
        assert connection._buffer.size <= 128 * 1024
        for _ in range(1000):
            pdu = await connection.receive("more", 2)
            assert isinstance(pdu, PData)
        connection.abort()


async def test_a_peer_that_takes_nothing_is_timed_out() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(10)

    async with raw_server(script) as port:
        connection = await connected(port)
        with pytest.raises(TimedOut, match="to take"):
            for _ in range(1000):
                connection.write(bytes(256 * 1024))
                await connection.drain()
        connection.abort()


async def test_a_wait_for_room_ends_with_the_connection() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(0.1)
        reset(writer)

    async with raw_server(script) as port:
        connection = await connected(port)
        with pytest.raises(ConnectionLost):
            for _ in range(1000):
                connection.write(bytes(256 * 1024))
                await connection.drain()


class Taking:
    """Takes records of ten octets, ``wanted`` of them."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.views: list[int] = []

    @property
    def done(self) -> bool:
        return self.wanted <= 0

    def consume(self, view: memoryview) -> int:
        self.views.append(len(view))
        whole = min(len(view) // 10, self.wanted)
        if 0xFF in view[: whole * 10].tobytes():
            raise ProtocolError("bad record")
        self.wanted -= whole
        return whole * 10


async def test_a_consumer_sees_the_rest_again_with_more_behind_it() -> None:
    async with raw_server(asked(says(b"0123456", b"789abc", b"defghij" + ABORT))) as port:
        connection = await connected(port)
        await consumes(connection, Taking(2))
        assert await connection.receive("what follows", 1) == Abort(0, 0)
        connection.abort()


async def test_a_consumer_that_gets_nothing_whole_is_timed_out() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes(10))
        for _ in range(9):
            await asyncio.sleep(0.1)
            writer.write(b"x")
        await ended(reader)

    async with raw_server(asked(script)) as port:
        connection = await connected(port)
        began = time.monotonic()
        with pytest.raises(TimedOut) as caught:
            await consumes(connection, Taking(5), first=10, idle=0.4)
        assert caught.value.seconds == 0.4
        assert time.monotonic() - began < 5
        connection.abort()


async def test_what_a_consumer_raises_comes_out() -> None:
    async with raw_server(asked(says(b"0123456789", b"\xff" * 10))) as port:
        connection = await connected(port)
        with pytest.raises(ProtocolError, match="bad record"):
            await consumes(connection, Taking(5))
        connection.abort()


async def test_a_consumer_that_takes_nothing_ends_at_the_bound() -> None:
    class Never(Taking):
        def consume(self, view: memoryview) -> int:
            self.views.append(len(view))
            return 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(bytes(64 * 1024))
            await writer.drain()

    async with raw_server(asked(script)) as port:
        connection = await connected(port)
        consumer = Never(1)
        with pytest.raises(LimitExceeded):
            await consumes(connection, consumer)
        assert max(consumer.views) <= 1024 * 1024 + 8192
        connection.abort()


async def test_a_peer_that_sends_without_end_leaves_the_loop_to_others() -> None:
    """uvloop reads up to 32 times in one turn: with a slow consumer nobody else would be served for seconds."""
    turns = 0
    seen: list[int] = []

    def turn() -> None:
        nonlocal turns
        turns += 1
        asyncio.get_running_loop().call_soon(turn)

    class Slow(Taking):
        def consume(self, view: memoryview) -> int:
            seen.append(turns)
            time.sleep(0.005)  # the peer has more ready by then
            return super().consume(view)

    def flood(listener: socket.socket) -> None:
        with listener, listener.accept()[0] as sock, contextlib.suppress(ConnectionError):
            sock.recv(1)
            sock.sendall(bytes(10_000_000))

    listener = socket.create_server(("127.0.0.1", 0))
    flooding = asyncio.get_running_loop().run_in_executor(None, flood, listener)
    connection = await connected(listener.getsockname()[1])
    turn()
    await consumes(connection, Slow(900_000))
    connection.abort()
    await flooding
    assert max(Counter(seen).values()) <= 3


async def test_the_end_of_the_connection_ends_a_consumer() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"0123456789" + b"x")
        await writer.drain()

    async with raw_server(asked(script)) as port:
        connection = await connected(port)
        consumer = Taking(5)
        with pytest.raises(ConnectionLost):
            await consumes(connection, consumer)
        assert consumer.wanted == 4


async def test_after_our_last_word_a_flood_is_dropped_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_DISCARDED", 256 * 1024)
    heard = b""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heard
        heard = await reader.readexactly(len(ABORT))
        while True:
            writer.write(bytes(64 * 1024))
            await writer.drain()

    async with raw_server(script) as port:
        connection = await connected(port)
        connection.last_words(ABORT)
        connection.await_close(30)
        await connection.closed(10)
        assert heard == ABORT
        with pytest.raises(ConnectionLost):
            connection.write(b"x")
