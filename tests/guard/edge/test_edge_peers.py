"""Real peers around the edge: DCMTK's plain SCUs before it, its storescp with TLS, and ours, behind it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from guard.edge.edging import (
    CALLED,
    CALLING,
    HOST,
    STORE_CONTEXTS,
    FarSide,
    Log,
    configured,
    device,
    far_side,
    running,
    store,
    until,
)
from leadapron.guard.gateway.edge.look import Look, look, notes
from leadapron.guard.gateway.edge.outcome import TRIES, Kind
from leadapron.kernel.errors import ProtocolError
from leadapron.wire import uids
from leadapron.wire.aio import Call, ContextRequest, Supported, anyone, choose, serve
from leadapron.wire.aio.part10 import Part10, open_part10
from leadapron.wire.pdu import AssociateAccept, AssociateReject
from peers.certificates import Certificates
from peers.process import Peer, run
from peers.samples import TEST_FILES, make_studies

Factory = Callable[..., Peer]
OPTION = {  # of storescu, for files in that transfer syntax
    uids.IMPLICIT_LE: "-xi",
    uids.EXPLICIT_LE: "-xe",
    uids.EXPLICIT_BE: "-xb",
    uids.DEFLATED_LE: "-xd",
    uids.JPEG_BASELINE: "-xy",
    "1.2.840.10008.1.2.4.51": "-xx",
    uids.JPEG_LOSSLESS: "-xs",
    uids.JPEG_LS_LOSSLESS: "-xt",
    "1.2.840.10008.1.2.4.81": "-xu",
    uids.JPEG_2000_LOSSLESS: "-xv",
    uids.JPEG_2000: "-xw",
    uids.RLE_LOSSLESS: "-xr",
}


def every_file() -> list[Part10]:
    """Of pydicom's files, those that can be stored at all, each instance once in each transfer syntax."""
    found: dict[tuple[str, str], Part10] = {}
    for path in sorted(TEST_FILES.rglob("*")):
        try:
            file = open_part10(path) if path.is_file() and path.stat().st_size < 1 << 20 else None
        except ProtocolError:
            continue
        if file is not None and not file.sop_class.startswith("1.2.840.10008.1.3."):  # a DICOMDIR is not sent
            found.setdefault((file.sop_instance, file.transfer_syntax), file)
    return list(found.values())


FILES = every_file()
SYNTAXES = sorted({file.transfer_syntax for file in FILES})
TITLES = ("-aet", CALLING, "-aec", CALLED)


def taking_everything(far: FarSide) -> FarSide:
    classes = {file.sop_class for file in FILES} | {uids.VERIFICATION}
    far.supported = Supported(dict.fromkeys(classes, SYNTAXES))
    return far


def digest(file: Part10) -> str:
    return hashlib.sha256(b"".join(file.chunks())).hexdigest()


def size(file: Part10) -> int:
    return file.path.stat().st_size - file.offset


async def scu(*command: str) -> str:
    result = await asyncio.to_thread(partial(run, command))
    assert result.returncode == 0, result.stdout[-2000:]
    return result.stdout


class Plain(FarSide):
    """The same without TLS, to see what a device sends when there is no edge."""

    async def on_associate(self, call: Call) -> AssociateAccept | AssociateReject:
        return choose(call.request, self.supported, anyone)


def test_the_files_have_many_transfer_syntaxes() -> None:
    assert len(SYNTAXES) >= 11
    assert set(SYNTAXES) >= {uids.IMPLICIT_LE, uids.EXPLICIT_LE, uids.EXPLICIT_BE, uids.DEFLATED_LE, uids.RLE_LOSSLESS}


async def test_every_file_arrives_octet_by_octet(tmp_path: Path, certificates: Certificates) -> None:
    far, log = taking_everything(FarSide()), Log()
    async with far_side(far, certificates) as server:
        settings = configured(tmp_path, certificates, server.port)
        async with running(settings, log) as edge:
            for syntax in SYNTAXES:
                files = [file for file in FILES if file.transfer_syntax == syntax]
                contexts = [ContextRequest(uid, (syntax,)) for uid in sorted({file.sop_class for file in files})]
                async with device(settings, contexts) as association:
                    for file in files:
                        assert await association.store_file(file.path) == 0, str(log)
            await until(lambda: len(edge.queue) == 0, "all are delivered")
    assert far.stored == [
        (file.sop_instance, syntax, digest(file))
        for syntax in SYNTAXES
        for file in FILES
        if file.transfer_syntax == syntax
    ]


@pytest.mark.parametrize("syntax", SYNTAXES)
async def test_storescu_through_the_edge_is_as_without_it(
    tmp_path: Path, certificates: Certificates, syntax: str
) -> None:
    if syntax not in OPTION:
        pytest.skip("storescu has no option for it; it is sent by our own SCU above")
    direct, behind = taking_everything(Plain()), taking_everything(FarSide())
    files = [str(file.path) for file in FILES if file.transfer_syntax == syntax]
    sending = ("storescu", "-nh", "-R", OPTION[syntax], *TITLES, HOST)
    async with serve(HOST, 0, direct) as server:
        await asyncio.to_thread(partial(run, (*sending, str(server.port), *files)))
    assert direct.stored
    async with far_side(behind, certificates) as server:
        settings = configured(tmp_path, certificates, server.port)
        async with running(settings) as edge:
            await asyncio.to_thread(partial(run, (*sending, str(settings.listen_port), *files)))
            await until(lambda: len(edge.queue) == 0, "all are delivered")
    assert behind.stored == direct.stored
    assert {taken for _, taken, _ in behind.stored} == {syntax}


async def test_a_real_storescp_with_mutual_tls_behind(
    tmp_path: Path, certificates: Certificates, storescp: Factory
) -> None:
    peer = storescp("+xa", "--bit-preserving", "-rc", ae=CALLED, tls=certificates, mutual=True)
    # One of each instance, as storescp names its files by them; and none of odd length, see the next test.
    unique = {file.sop_instance: file for file in FILES if file.transfer_syntax in OPTION}
    files = [file for file in unique.values() if not size(file) & 1]
    log = Log()
    settings = configured(tmp_path, certificates, peer.port)
    async with running(settings, log) as edge:
        sent: list[Part10] = []
        for syntax in sorted({file.transfer_syntax for file in files}):
            some = [file for file in files if file.transfer_syntax == syntax]
            contexts = [ContextRequest(uid, (syntax,)) for uid in sorted({file.sop_class for file in some})]
            async with device(settings, contexts) as association:
                for file in some:
                    assert await association.store_file(file.path) == 0, str(log)
                    sent.append(file)
        await until(lambda: len(edge.queue) == 0, "all are delivered", 60)
        assert edge.queue.refusals == 0, str(log)
    received = {file.sop_instance: file for file in map(open_part10, (peer.home / "received").iterdir())}
    assert len(sent) > 30
    for file in sent:
        assert received[file.sop_instance].transfer_syntax == file.transfer_syntax
        assert digest(received[file.sop_instance]) == digest(file), file.path


async def test_what_makes_the_far_side_abort_holds_up_nobody_for_ever(
    tmp_path: Path, certificates: Certificates, storescp: Factory
) -> None:
    """A data set of odd length (PS3.8 Annex E.1 forbids its last fragment) ends every association with storescp."""
    peer = storescp("+xa", "--bit-preserving", "-rc", ae=CALLED, tls=certificates, mutual=True)
    odd = next(file for file in FILES if size(file) & 1)
    log = Log()
    settings = configured(tmp_path, certificates, peer.port)
    async with running(settings, log) as edge:
        contexts = [ContextRequest(odd.sop_class, (odd.transfer_syntax,)), *STORE_CONTEXTS]
        async with device(settings, contexts) as association:
            assert await store(association, 1, 2000) == 0
            assert await association.store_file(odd.path) == 0
            assert await store(association, 2, 2000) == 0
        await until(lambda: len(edge.queue) == 0, "all are delivered or set aside", 60)
        assert (edge.queue.refusals, edge.queue.delivered_until_now) == (1, 2), str(log)
    assert f"refused {TRIES[Kind.BROKEN]} times: aborted" in "".join(notes(settings.queue, 10))
    peer.stop()
    far = taking_everything(FarSide())
    async with far_side(far, certificates, peer.port), running(settings, log, retry_refused=True) as edge:
        await until(lambda: len(edge.queue) == 0, "it is tried again")
    assert far.stored == [(odd.sop_instance, odd.transfer_syntax, digest(odd))]
    assert look(settings.queue) == Look(0, 0, None, 0, False)


async def test_echoscu_and_a_series_by_default_storescu(tmp_path: Path, certificates: Certificates) -> None:
    files = make_studies(tmp_path / "made", 2, instances=30, pixels=300)
    far = FarSide()
    async with far_side(far, certificates) as server:
        settings = configured(tmp_path, certificates, server.port)
        async with running(settings) as edge:
            await scu("echoscu", *TITLES, HOST, str(settings.listen_port))
            await scu("storescu", *TITLES, HOST, str(settings.listen_port), *map(str, files))
            await until(lambda: len(edge.queue) == 0, "all are delivered")
    assert [instance for instance, _, _ in far.stored] == [open_part10(path).sop_instance for path in files]
