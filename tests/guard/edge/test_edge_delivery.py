"""What the device was told is stored arrives: in order, bit-exact, also when the line was down in between."""

from __future__ import annotations

from pathlib import Path

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
from leadapron.guard.gateway.edge.look import look
from leadapron.wire import uids
from peers.certificates import Certificates
from peers.process import free_port


async def test_what_is_stored_is_delivered_in_order(tmp_path: Path, certificates: Certificates) -> None:
    far, log = FarSide(), Log()
    async with far_side(far, certificates) as server:
        settings = configured(tmp_path, certificates, server.port)
        async with running(settings, log) as edge:
            async with device(settings) as association:
                for number in range(30):
                    assert await store(association, number, 1000 * number) == 0
            await until(lambda: len(edge.queue) == 0, "all are delivered")
    expected = [(f"1.2.3.{n}", uids.EXPLICIT_LE, digest(data_set(n, 1000 * n))) for n in range(30)]
    assert far.stored == expected, str(log)
    assert look(settings.queue).waiting == 0 and look(settings.queue).octets == 0


async def test_the_line_is_down_and_comes_back(tmp_path: Path, certificates: Certificates) -> None:
    far, port, log = FarSide(), free_port(), Log()
    settings = configured(tmp_path, certificates, port)
    async with running(settings, log) as edge:
        async with device(settings) as association:
            for number in range(10):
                assert await store(association, number) == 0
        assert len(edge.queue) == 10
        await until(lambda: edge.line.up is False, "the line is known to be down")
        async with far_side(far, certificates, port):
            await until(lambda: len(edge.queue) == 0, "all are delivered")
            async with device(settings) as association:
                assert await store(association, 10) == 0
                await until(lambda: len(far.stored) == 11, "the last one")
    assert [instance for instance, _, _ in far.stored] == [f"1.2.3.{n}" for n in range(11)]
    assert "is down: " in str(log) and "is up" in str(log)
