"""A full disk: the device is told A700H, nothing acknowledged is lost, and it goes on when there is room again."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pydicom
import pytest

from guard.edge.dying import Edges
from guard.edge.edging import (
    FarSide,
    Log,
    configured,
    data_set,
    device,
    digest,
    far_side,
    running,
    store,
    until,
)
from guard.edge.test_edge_kill import options
from leadapron.guard.gateway.edge import sealed
from leadapron.guard.gateway.edge.look import look
from leadapron.wire import uids
from leadapron.wire.aio import ContextRequest
from peers.certificates import Certificates
from peers.process import free_port, listening
from peers.samples import make_studies

FULL = 0xA700


async def test_no_space_left(tmp_path: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    far, port, log = FarSide(), free_port(), Log()
    settings = configured(tmp_path, certificates, port)
    room = 1_000_000
    write = os.write

    def limited(descriptor: int, data: bytes | memoryview) -> int:
        nonlocal room
        if room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        room -= len(data)
        return write(descriptor, data)

    monkeypatch.setattr(sealed.os, "write", limited)
    async with running(settings, log) as edge:
        async with device(settings) as association:
            statuses = [await store(association, number, 300_000) for number in range(10)]
            assert set(statuses) == {0, FULL} and 2 <= statuses.count(0) <= 4
            assert len(edge.queue) == statuses.count(0)
            room = 1 << 40
            assert await store(association, 10, 300_000) == 0  # on the same association
        monkeypatch.undo()
        async with far_side(far, certificates, port):
            await until(lambda: len(edge.queue) == 0, "all are delivered")
    stored = [number for number, status in enumerate([*statuses, 0]) if status == 0]
    assert [(i, d) for i, _, d in far.stored] == [(f"1.2.3.{n}", digest(data_set(n, 300_000))) for n in stored]
    assert "No space left on device" in str(log)


async def test_a_bounded_queue(tmp_path: Path, certificates: Certificates) -> None:
    far, port = FarSide(), free_port()
    settings = configured(tmp_path, certificates, port, max_queue=2 / 1024)  # 2 MiB
    async with running(settings) as edge, device(settings) as association:
        statuses = [await store(association, number, 300_000) for number in range(10)]
        assert set(statuses) == {0, FULL} and edge.queue.octets <= 2 << 20
        async with far_side(far, certificates, port):
            await until(lambda: len(edge.queue) == 0, "all are delivered")
            assert await store(association, 11, 300_000) == 0
            await until(lambda: len(far.stored) == statuses.count(0) + 1, "the last one")


async def test_a_file_that_may_not_grow(tmp_path: Path, certificates: Certificates) -> None:
    """RLIMIT_FSIZE, in a process of its own: the system itself says no."""
    settings = configured(tmp_path, certificates, free_port())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        edges = Edges(options(settings), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    with edges:
        await asyncio.to_thread(edges.start)
        await until(lambda: listening(settings.listen_port), "the edge listens")
        async with device(settings) as association:
            sizes = [3000, 3 << 20, 900_000, 3 << 20, 3000]
            statuses = [await store(association, number, size) for number, size in enumerate(sizes)]
        assert statuses == [0, FULL, 0, FULL, 0]
        assert await asyncio.to_thread(edges.end, signal.SIGTERM) == 0
    assert look(settings.queue).waiting == 3
    assert not list((settings.queue / "incoming").iterdir())


async def test_nothing_of_a_patient_is_in_clear_anywhere(tmp_path: Path, certificates: Certificates) -> None:
    """Not in the queue while an item is written, waits, or is set aside; not in the log, not in the audit trail."""
    far, port, log = FarSide(), free_port(), Log()
    canary, pixels = "CANARYNAME", b"PIXELMARKER!" * 1000
    (path,) = make_studies(tmp_path / "made", 1, canary=canary)
    image = pydicom.dcmread(path)
    image.PixelData = pixels
    image.Rows, image.Columns = 100, 120
    image.save_as(path)
    seen: set[str] = set()

    def search() -> None:
        for file in (tmp_path / "queue").rglob("*"):
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                raw = file.read_bytes()
                seen.add(file.parent.name)
                for word in (canary.encode(), b"PIXELMARKER", str(image.SOPInstanceUID).encode(), b"CANARY"):
                    assert word not in raw, file

    far.answer = lambda request: 0xA900
    settings = configured(tmp_path, certificates, port)
    contexts = [ContextRequest(uids.SECONDARY_CAPTURE_STORAGE, (uids.EXPLICIT_LE,))]
    async with running(settings, log) as edge:
        async with device(settings, contexts) as association:
            assert await association.store_file(path) == 0

            async def slowly() -> AsyncIterator[bytes]:
                for _ in range(30):
                    yield path.read_bytes()[132:] * 10
                await until(lambda: any((settings.queue / "incoming").iterdir()), "it is being written")
                search()

            assert await association.store(uids.SECONDARY_CAPTURE_STORAGE, str(image.SOPInstanceUID), slowly()) == 0
        search()
        async with far_side(far, certificates, port):
            await until(lambda: edge.queue.refusals == 2, "both are refused")
        search()
    search()
    assert seen >= {"incoming", "waiting", "refused", "audit"}
    assert canary not in str(log) and str(image.SOPInstanceUID) not in str(log)
