"""Large data sets to and from DCMTK: streamed, whole at the other end, and in bounded memory on ours."""

from __future__ import annotations

import asyncio
import hashlib
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pydicom

from leadapron.wire import uids
from leadapron.wire.aio import (
    Call,
    ContextRequest,
    Service,
    StoreRequest,
    Supported,
    Timeouts,
    anyone,
    associate,
    choose,
    serve,
)
from leadapron.wire.aio.part10 import open_part10
from leadapron.wire.pdu import AssociateAccept, AssociateReject
from peers.process import Peer, run
from peers.samples import make_studies

Factory = Callable[..., Peer]
SIDE = 8000  # 64 MB
BOUND = 16 * 1024 * 1024
QUICK = Timeouts(response=60, idle=60, write=60, release=2)


async def test_a_large_data_set_to_storescp(storescp: Factory, tmp_path: Path) -> None:
    (path,) = make_studies(tmp_path / "made", 1, pixels=SIDE)
    peer = storescp()
    contexts = [ContextRequest(uids.SECONDARY_CAPTURE_STORAGE, (uids.EXPLICIT_LE,))]
    async with associate(
        peer.host, peer.port, called=peer.ae, calling="OURS", contexts=contexts, timeouts=QUICK
    ) as association:
        tracemalloc.start()
        try:
            assert await association.store_file(path) == 0
            assert tracemalloc.get_traced_memory()[1] < BOUND
        finally:
            tracemalloc.stop()
    (received,) = (peer.home / "received").iterdir()
    assert pydicom.dcmread(received).PixelData == pydicom.dcmread(path).PixelData


async def test_a_large_data_set_from_storescu(tmp_path: Path) -> None:
    (path,) = make_studies(tmp_path / "made", 1, pixels=SIDE)

    class Sink(Service):
        sums: dict[str, str]

        async def on_associate(self, call: Call) -> AssociateAccept | AssociateReject:
            return choose(call.request, Supported({uids.SECONDARY_CAPTURE_STORAGE: (uids.EXPLICIT_LE,)}), anyone)

        async def store(self, request: StoreRequest) -> int:
            whole = hashlib.blake2b()
            async for chunk in request:
                whole.update(chunk)
            self.sums = {request.sop_instance: whole.hexdigest()}
            return 0

    service = Sink()
    async with serve("127.0.0.1", 0, service, timeouts=QUICK) as server:
        tracemalloc.start()
        try:
            command = ("storescu", "-xe", "127.0.0.1", str(server.port), str(path))
            result = await asyncio.to_thread(partial(run, command))
            assert result.returncode == 0, result.stdout
            assert tracemalloc.get_traced_memory()[1] < BOUND
        finally:
            tracemalloc.stop()
    file = open_part10(path)
    whole = hashlib.blake2b()
    for chunk in file.chunks():
        whole.update(chunk)
    assert service.sums == {file.sop_instance: whole.hexdigest()}
