"""The queue's own promises: order, recovery, bounds, and that nothing in it can be read without the key."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from guard.edge.edging import data_set
from leadapron.guard.gateway.edge import receipt as receipts
from leadapron.guard.gateway.edge.item import Full, QueueLimits
from leadapron.guard.gateway.edge.look import Look, describe, look
from leadapron.guard.gateway.edge.queue import Queue
from leadapron.guard.gateway.edge.sealed import CHUNK
from leadapron.kernel.errors import Failure
from leadapron.kernel.seal import Unsealable

KEY = bytes(range(32))
NO_RESERVE = QueueLimits(reserve=0)


def begin(queue: Queue, number: int, **more: Any) -> receipts.Receipt:
    fields = {"sop_class": "1.2", "transfer_syntax": "1.2.840.10008.1.2", "calling": "CT1", "called": "PACS"} | more
    return queue.begin(sop_instance=f"1.2.3.{number}", **fields)


async def put(queue: Queue, number: int, size: int = 1000) -> None:
    receipt = begin(queue, number)
    data = data_set(number, size)
    for at in range(0, size, 700):
        await receipt.add(data[at : at + 700])
    await receipt.commit()
    await receipt.discard()


async def content(queue: Queue) -> list[tuple[str, bytes]]:
    """Everything in order, delivered on the way."""
    found = []
    while (entry := queue.first()) is not None:
        item = await queue.read_item(entry)
        found.append((item.sop_instance, b"".join([chunk async for chunk in queue.data(entry)])))
        await queue.delivered(entry)
    return found


async def test_what_went_in_comes_out_in_order_also_by_another_process(tmp_path: Path) -> None:
    sizes = [0, 2, CHUNK - 2, CHUNK, CHUNK + 2, 3 * CHUNK]
    async with Queue(tmp_path, KEY, NO_RESERVE) as queue:
        for number, size in enumerate(sizes):
            await put(queue, number, size)
    async with Queue(tmp_path, KEY, NO_RESERVE) as queue:
        first = queue.first()
        assert first is not None and first.uncertain and len(queue) == len(sizes)
        await put(queue, 6, 10)
        expected = [(f"1.2.3.{n}", data_set(n, size)) for n, size in enumerate([*sizes, 10])]
        assert await content(queue) == expected
        assert (queue.octets, len(queue), queue.delivered_until_now) == (0, 0, 7)


async def test_the_order_is_that_of_arrival_whoever_ends_first(tmp_path: Path) -> None:
    async with Queue(tmp_path, KEY, NO_RESERVE) as queue:
        slow = begin(queue, 1)
        await put(queue, 2)
        await slow.commit()
        assert [instance for instance, _ in await content(queue)] == ["1.2.3.1", "1.2.3.2"]


async def test_what_was_not_committed_was_never_there(tmp_path: Path) -> None:
    async with Queue(tmp_path, KEY, NO_RESERVE) as queue:
        receipt = begin(queue, 1)
        await receipt.add(bytes(2 * CHUNK))
        assert list(queue.incoming.iterdir())
        # as if the process ended here
    async with Queue(tmp_path, KEY, NO_RESERVE) as queue:
        assert queue.first() is None and not list(queue.incoming.iterdir()) and queue.octets == 0
        given_up = begin(queue, 2)
        await given_up.add(bytes(2 * CHUNK))
        await given_up.discard()
        assert not list(queue.incoming.iterdir()) and queue.octets == 0


async def test_one_process_at_a_time_and_no_other_key(tmp_path: Path) -> None:
    async with Queue(tmp_path, KEY, NO_RESERVE):
        with pytest.raises(Failure, match="another edge"):
            async with Queue(tmp_path, KEY, NO_RESERVE):
                pass
    with pytest.raises(Failure, match="another key"):
        async with Queue(tmp_path, bytes(32), NO_RESERVE):
            pass


async def test_a_file_that_was_touched_does_not_open(tmp_path: Path) -> None:
    async with Queue(tmp_path, KEY, NO_RESERVE) as queue:
        await put(queue, 1, 3 * CHUNK)
        entry = queue.first()
        assert entry is not None
        path = queue.waiting / "000000000001.item"
        path.write_bytes(path.read_bytes()[:-10])
        await queue.read_item(entry)
        with pytest.raises(Unsealable):
            async for _ in queue.data(entry):
                pass


async def test_refused_items_are_kept_apart_and_come_back_to_their_places(tmp_path: Path) -> None:
    async with Queue(tmp_path, KEY, NO_RESERVE) as queue:
        for number in range(1, 4):
            await put(queue, number)
        entry = queue.first()
        assert entry is not None
        await queue.set_aside(entry, "refused: for a reason")
        assert (len(queue), queue.refusals) == (2, 1)
        assert look(tmp_path).refused == 1 and "refused: for a reason" in "\n".join(describe(tmp_path))
    async with Queue(tmp_path, KEY, NO_RESERVE) as queue:
        assert (len(queue), queue.refusals) == (2, 1)
        assert queue.take_back() == 1 and queue.refusals == 0
        assert [instance for instance, _ in await content(queue)] == ["1.2.3.1", "1.2.3.2", "1.2.3.3"]
        assert not list(queue.refused.iterdir())


@pytest.mark.parametrize(
    "limits",
    [
        QueueLimits(reserve=0, octets=2 * CHUNK),
        QueueLimits(reserve=1 << 60),
        QueueLimits(reserve=0, items=0),
        QueueLimits(reserve=0, largest=CHUNK),
    ],
    ids=["octets", "reserve", "items", "largest"],
)
async def test_bounds(tmp_path: Path, limits: QueueLimits) -> None:
    async with Queue(tmp_path, KEY, limits) as queue:
        with pytest.raises(Full):
            receipt = begin(queue, 1)
            try:
                await receipt.add(bytes(CHUNK + 2))
                await receipt.add(bytes(CHUNK + 2))
                await receipt.commit()
            finally:
                await receipt.discard()
        assert (len(queue), queue.octets) == (0, 0) and not list(queue.incoming.iterdir())


async def test_durable_before_it_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killing a process shows no missing sync, since the system keeps what was written; so the order is looked at."""
    order: list[str] = []

    def noted(name: str, work: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            order.append(name)
            return work(*arguments, **named)

        return call

    async with Queue(tmp_path, KEY, NO_RESERVE) as queue:
        monkeypatch.setattr(os, "write", noted("write", os.write))
        monkeypatch.setattr(os, "fsync", noted("sync", os.fsync))
        monkeypatch.setattr(os, "rename", noted("rename", os.rename))
        monkeypatch.setattr(queue, "arrived", noted("counts", queue.arrived))
        await put(queue, 1, 2 * CHUNK)
    assert order == ["write"] * 4 + ["sync", "rename", "sync", "counts"]


@pytest.mark.parametrize("broken", ["write", "fsync", "rename"])
async def test_a_disk_that_fails_acknowledges_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with Queue(tmp_path, KEY, NO_RESERVE) as queue:
        await put(queue, 1)
        with monkeypatch.context() as patch:
            patch.setattr(os, broken, fail)
            receipt = begin(queue, 2)
            with pytest.raises(Full, match="No space left"):
                await receipt.add(bytes(2 * CHUNK))
                await receipt.commit()
            await receipt.discard()
        await put(queue, 3)
        assert not list(queue.incoming.iterdir())
        assert [instance for instance, _ in await content(queue)] == ["1.2.3.1", "1.2.3.3"]
        assert queue.octets == 0


async def test_a_receipt_may_be_discarded_while_a_thread_writes(tmp_path: Path) -> None:
    async with Queue(tmp_path, KEY, NO_RESERVE) as queue:
        for number in range(20):
            receipt = begin(queue, number)
            writing = asyncio.create_task(receipt.add(bytes(8 * CHUNK)))
            await asyncio.sleep(0)
            writing.cancel()
            await receipt.discard()
        await put(queue, 99)
        assert [path.name for path in queue.incoming.iterdir()] == []
        assert len(queue) == 1
    async with Queue(tmp_path, KEY, NO_RESERVE) as queue:
        assert [instance for instance, _ in await content(queue)] == ["1.2.3.99"]


async def test_only_the_owner_may_look_in_and_nothing_is_in_clear(tmp_path: Path) -> None:
    home = tmp_path / "queue"
    async with Queue(home, KEY, NO_RESERVE) as queue:
        receipt = begin(queue, 1, sop_class="1.2.840.10008.5.1.4.1.1.2", move_originator="CANARYAE")
        await receipt.add(b"CANARY^PATIENT" * 50_000)
        written = list(queue.incoming.iterdir())
        assert written and b"CANARY" not in written[0].read_bytes()
        await receipt.commit()
        entry = queue.first()
        assert entry is not None
        await queue.set_aside(entry, "refused")
        await put(queue, 2)
    files = [path for path in home.rglob("*") if path.is_file()]
    assert len(files) >= 4
    for path in files:
        raw = path.read_bytes()
        assert b"CANARY" not in raw and b"1.2.3." not in raw, path
        assert path.stat().st_mode & 0o077 == 0, path
    assert home.stat().st_mode & 0o077 == 0


def test_look_at_nothing(tmp_path: Path) -> None:
    assert look(tmp_path / "none") == Look(0, 0, None, 0, False)
