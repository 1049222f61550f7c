"""The swarm: many small conversations over real loopback sockets."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import AsyncIterator

import pytest

from leadapron.wire.aio.swarm import Conversation, End, Link, Swarm


class Recorder(Conversation):
    """Keeps what happened; ``over`` is set at the end."""

    def __init__(self, first: bytes = b"", expect: int = 0) -> None:
        self.first, self.expect = first, expect
        self.data = b""
        self.events: list[object] = []
        self.link: Link | None = None
        self.over = asyncio.Event()

    def opened(self, link: Link) -> None:
        self.link = link
        link.deadline(5)
        if self.first:
            link.send(self.first)

    def received(self, data: bytes) -> None:
        self.data += data
        if self.expect and len(self.data) >= self.expect:
            assert self.link
            self.link.close()

    def timed_out(self) -> None:
        self.events.append("timed out")
        assert self.link
        self.link.abort()

    def ended(self, end: End) -> None:
        self.events.append(end)
        self.over.set()

    def refused(self, error: int) -> None:
        self.events.append(error)
        self.over.set()

    def failed(self, error: Exception) -> None:
        self.events.append(error)
        self.over.set()


class Echoing(Conversation):
    def opened(self, link: Link) -> None:
        self.link = link

    def received(self, data: bytes) -> None:
        self.link.send(data)


@pytest.fixture
async def swarm() -> AsyncIterator[Swarm]:
    swarm = Swarm()
    yield swarm
    swarm.close()


async def finished(*recorders: Recorder) -> None:
    await asyncio.wait_for(asyncio.gather(*(r.over.wait() for r in recorders)), 10)


async def test_two_thousand_conversations_both_ways(swarm: Swarm) -> None:
    listener = swarm.listen("127.0.0.1", 0, Echoing)
    recorders = [Recorder(b"%06d" % i, 6) for i in range(2000)]
    for recorder in recorders:
        swarm.connect(*listener.address, recorder, 5)
    await finished(*recorders)
    assert [r.data for r in recorders] == [b"%06d" % i for i in range(2000)]
    assert {tuple(r.events) for r in recorders} == {(End.CLOSED,)}


async def test_refused_is_told_as_such(swarm: Swarm) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        recorder = Recorder()
        swarm.connect("127.0.0.1", sock.getsockname()[1], recorder, 5)
        await finished(recorder)
    assert recorder.events == [errno.ECONNREFUSED]


async def test_a_full_backlog_times_out(swarm: Swarm) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(0)
        recorders = [Recorder() for _ in range(4)]
        for recorder in recorders:
            swarm.connect("127.0.0.1", sock.getsockname()[1], recorder, 0.3)
        await finished(recorders[-1])
        assert recorders[-1].events == [errno.ETIMEDOUT]


async def test_more_than_the_kernel_takes_goes_out_in_order_and_is_announced(swarm: Swarm) -> None:
    block = bytes(range(256)) * 1024  # 256 KiB

    class Producer(Conversation):
        left = 64
        most = 0

        def opened(self, link: Link) -> None:
            self.link = link
            self.writable()

        def writable(self) -> None:
            while self.left and not self.link.unsent:
                self.left -= 1
                self.link.send(block)
                Producer.most = max(Producer.most, self.link.unsent)

    listener = swarm.listen("127.0.0.1", 0, Producer)
    recorder = Recorder(expect=64 * len(block))
    swarm.connect(*listener.address, recorder, 5)
    await finished(recorder)
    assert recorder.data == block * 64
    assert Producer.most <= len(block)


async def test_an_answer_that_waits_in_the_kernel_is_never_late(swarm: Swarm) -> None:
    """The loop is blocked for longer than the deadline: what came meanwhile counts."""
    listener = swarm.listen("127.0.0.1", 0, Echoing)
    with socket.create_server(("127.0.0.1", 0)) as server:
        recorder = Recorder(b"ping", 4)
        swarm.connect(*server.getsockname(), recorder, 5)
        peer, _ = server.accept()
        with peer:
            while recorder.link is None:
                await asyncio.sleep(0)
            recorder.link.deadline(0.1)
            peer.sendall(b"pong")
            time.sleep(0.4)
            await finished(recorder)
    assert recorder.events == [End.CLOSED]
    listener.close()


async def test_deadline_can_be_moved_and_fires_once(swarm: Swarm) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        recorder = Recorder()
        started = time.monotonic()
        swarm.connect(*server.getsockname(), recorder, 0.1)
        while recorder.link is None:
            await asyncio.sleep(0.001)
        recorder.link.deadline(0.2)
        recorder.link.deadline(0.5)
        await finished(recorder)
        assert time.monotonic() - started >= 0.5
        assert recorder.events == ["timed out", End.CLOSED]


async def test_reset_and_close_of_the_peer_are_told_apart(swarm: Swarm) -> None:
    class Resetting(Echoing):
        def received(self, data: bytes) -> None:
            self.link.abort()

    class Closing(Echoing):
        def received(self, data: bytes) -> None:
            self.link.send(b"bye")
            self.link.close()

    recorders = []
    for factory in (Resetting, Closing):
        recorder = Recorder(b"hello")
        swarm.connect(*swarm.listen("127.0.0.1", 0, factory).address, recorder, 5)
        recorders.append(recorder)
    await finished(*recorders)
    assert recorders[0].events == [End.RESET]
    assert (recorders[1].events, recorders[1].data) == ([End.PEER_CLOSED], b"bye")


async def test_a_bug_in_one_conversation_ends_only_that_one(swarm: Swarm) -> None:
    class Broken(Recorder):
        def received(self, data: bytes) -> None:
            raise ValueError("ours")

    listener = swarm.listen("127.0.0.1", 0, Echoing)
    broken, sound = Broken(b"x"), Recorder(b"x", 1)
    swarm.connect(*listener.address, broken, 5)
    swarm.connect(*listener.address, sound, 5)
    await finished(broken, sound)
    assert isinstance(broken.events[0], ValueError)
    assert sound.data == b"x"


async def test_a_talkative_peer_does_not_starve_the_others(swarm: Swarm) -> None:
    class Endless(Conversation):
        def opened(self, link: Link) -> None:
            self.link = link
            self.writable()

        def writable(self) -> None:
            while not self.link.unsent and self.link.open:
                self.link.send(b"x" * 65536)

    endless = Recorder()
    endless.received = lambda data: None  # type: ignore[method-assign]
    swarm.connect(*swarm.listen("127.0.0.1", 0, Endless).address, endless, 5)
    while endless.link is None:
        await asyncio.sleep(0.001)
    small = Recorder(b"x", 1)
    swarm.connect(*swarm.listen("127.0.0.1", 0, Echoing).address, small, 5)
    await finished(small)
    assert endless.link.open
