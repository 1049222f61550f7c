"""Data sets of any size pass in bounded memory, and a slow end slows the other one down."""

from __future__ import annotations

import asyncio
import hashlib
import tracemalloc
from collections.abc import AsyncIterator

import pytest

from leadapron.wire import uids
from leadapron.wire.aio import (
    Call,
    ContextRequest,
    GetRequest,
    Instance,
    Service,
    StoreRequest,
    Supported,
    Timeouts,
    anyone,
    associate,
    choose,
    serve,
)
from leadapron.wire.elements import Tag
from leadapron.wire.pdu import AssociateAccept, AssociateReject

SYNTAX = (uids.EXPLICIT_LE,)
MODELS = (uids.CT_IMAGE_STORAGE, uids.STUDY_ROOT_GET)
CONTEXTS = [
    ContextRequest(uids.CT_IMAGE_STORAGE, SYNTAX, scp=True),
    ContextRequest(uids.STUDY_ROOT_GET, SYNTAX),
]
STUDY = [(Tag.QueryRetrieveLevel, "CS", "STUDY")]
CHUNK = 256 * 1024
SIZE = 128 * 1024 * 1024
BOUND = 16 * 1024 * 1024  # both ends and what lies between them, in Python's memory
QUICK = Timeouts(idle=20, response=20, write=20, release=1)


async def source(counter: list[int], size: int = SIZE) -> AsyncIterator[bytes]:
    """``size`` octets in chunks; ``counter[0]`` tells how many were taken."""
    for number in range(size // CHUNK):
        counter[0] += CHUNK
        yield bytes([number & 0xFF]) * CHUNK


def digest() -> str:
    """Of all that `source` gives."""
    whole = hashlib.blake2b()
    for number in range(SIZE // CHUNK):
        whole.update(bytes([number & 0xFF]) * CHUNK)
    return whole.hexdigest()


class Archive(Service):
    def __init__(self) -> None:
        self.sum = hashlib.blake2b()
        self.size = 0
        self.go = asyncio.Event()
        self.go.set()

    async def on_associate(self, call: Call) -> AssociateAccept | AssociateReject:
        roles = {uids.CT_IMAGE_STORAGE: (True, True)}
        return choose(call.request, Supported(dict.fromkeys(MODELS, SYNTAX), roles), anyone)

    async def store(self, request: StoreRequest) -> int:
        async for chunk in request:
            await self.go.wait()
            self.sum.update(chunk)
            self.size += len(chunk)
        return 0

    async def get(self, request: GetRequest) -> AsyncIterator[Instance]:
        yield Instance(uids.CT_IMAGE_STORAGE, "1.2.3", uids.EXPLICIT_LE, source([0]))


async def measured(service: Archive, way: str) -> tuple[str, int]:
    """Moves SIZE octets one way; the digest of what arrived, and the peak of memory above the start."""
    async with (
        serve("127.0.0.1", 0, service, timeouts=QUICK) as server,
        associate("127.0.0.1", server.port, called="A", calling="B", contexts=CONTEXTS, timeouts=QUICK) as association,
    ):
        tracemalloc.start()
        try:
            if way == "store":
                assert await association.store(uids.CT_IMAGE_STORAGE, "1.2.3", source([0])) == 0
                arrived = service.sum
            else:
                arrived = hashlib.blake2b()

                async def keep(instance: StoreRequest) -> int:
                    async for chunk in instance:
                        arrived.update(chunk)
                    return 0

                assert (await association.get(uids.STUDY_ROOT_GET, STUDY, keep)).status == 0
            return arrived.hexdigest(), tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("way", ["store", "get"])
async def test_a_large_data_set_passes_in_bounded_memory(way: str) -> None:
    arrived, peak = await measured(Archive(), way)
    assert arrived == digest()
    assert peak < BOUND


async def test_a_slow_receiver_holds_the_source_back() -> None:
    service = Archive()
    service.go.clear()
    taken = [0]
    async with (
        serve("127.0.0.1", 0, service, timeouts=QUICK) as server,
        associate("127.0.0.1", server.port, called="A", calling="B", contexts=CONTEXTS, timeouts=QUICK) as association,
    ):
        storing = asyncio.create_task(association.store(uids.CT_IMAGE_STORAGE, "1.2.3", source(taken)))
        before = -1
        while taken[0] != before:  # until it stands still for a while
            before = taken[0]
            await asyncio.sleep(0.3)
        assert 0 < taken[0] < 32 * 1024 * 1024  # the kernel's socket buffers are the most of it
        service.go.set()
        assert await storing == 0
        assert service.size == SIZE


async def test_what_a_handler_does_not_read_is_skipped() -> None:
    class Lazy(Archive):
        async def store(self, request: StoreRequest) -> int:
            async for _ in request:
                return 0xA700
            return 0

    async with (
        serve("127.0.0.1", 0, Lazy(), timeouts=QUICK) as server,
        associate("127.0.0.1", server.port, called="A", calling="B", contexts=CONTEXTS, timeouts=QUICK) as association,
    ):
        for _ in range(3):
            assert await association.store(uids.CT_IMAGE_STORAGE, "1.2.3", source([0], 4 * CHUNK)) == 0xA700
