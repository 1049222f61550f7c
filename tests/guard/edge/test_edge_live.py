"""What is not stored passes through while the line is up, and gets an error status, not a hang, when it is down."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from guard.edge.edging import (
    CALLED,
    CALLING,
    STORE_CONTEXTS,
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
from leadapron.kernel.errors import NotAccepted
from leadapron.wire import uids
from leadapron.wire.aio import ContextRequest, Instance, StoreRequest, Supported
from leadapron.wire.elements import Tag
from peers.certificates import Certificates
from peers.process import free_port

WORKLIST, MPPS = uids.MODALITY_WORKLIST_FIND, uids.MODALITY_PERFORMED_PROCEDURE_STEP
PRINTING = "1.2.840.10008.5.1.1.9"
ASKED = [(Tag.PatientName, "PN", "SOMEBODY")]
CONTEXTS = [
    ContextRequest(uids.VERIFICATION),
    ContextRequest(WORKLIST),
    ContextRequest(MPPS),
    ContextRequest(uids.STUDY_ROOT_MOVE),
    ContextRequest(uids.STUDY_ROOT_GET),
    ContextRequest(uids.STORAGE_COMMITMENT_PUSH),
    ContextRequest(uids.MR_IMAGE_STORAGE, (uids.EXPLICIT_LE,), scp=True),
    *STORE_CONTEXTS,
]


async def test_echo_find_move_and_store_on_one_association(tmp_path: Path, certificates: Certificates) -> None:
    far = FarSide()
    async with far_side(far, certificates) as server:
        settings = configured(tmp_path, certificates, server.port)
        async with running(settings) as edge, device(settings, CONTEXTS) as association:
            assert await association.echo() == 0
            found = association.find(WORKLIST, ASKED)
            names = [answer.text(Tag.PatientName, "PN") async for answer in found]
            assert (names, found.status) == ([f"SOMEBODY^{n}" for n in range(3)], 0)
            assert await store(association, 1) == 0
            moved = await association.move(uids.STUDY_ROOT_MOVE, "WS1", [(Tag.StudyInstanceUID, "UI", "1.2")])
            assert (moved.status, moved.completed) == (0, 2)
            assert await association.echo() == 0
            await until(lambda: len(edge.queue) == 0, "it is delivered")
    assert far.stored == [("1.2.3.1", uids.EXPLICIT_LE, digest(data_set(1)))]
    assert set(far.calls) == {(CALLING, CALLED)}


async def test_a_procedure_step_is_created_and_completed(tmp_path: Path, certificates: Certificates) -> None:
    far = FarSide()
    step = [(Tag.PatientName, "PN", "SOMEBODY")]
    images = b"\x40\x00\x40\x03\xfe\xff\xff\xff" + bytes(1_500_000)  # nothing looks into it
    async with far_side(far, certificates) as server:
        settings = configured(tmp_path, certificates, server.port)
        async with running(settings), device(settings, CONTEXTS) as association:
            created = await association.n_create(MPPS, "1.2.3", step)
            assert (created.status, created.instance) == (0, "1.2.3")
            assert created.data is not None and created.data.text(Tag.PatientName, "PN") == "SOMEBODY"
            named = await association.n_create(MPPS, None, step)  # the far side chooses
            assert (named.status, named.instance) == (0, "1.2.840.77")
            assert (await association.n_create(MPPS, "1.2.3", step)).status == 0x0111
            assert (await association.n_set(MPPS, "1.2.4", step)).status == 0x0112
            assert (await association.n_set(MPPS, "1.2.3", images)).status == 0
            assert await association.echo() == 0
    assert far.steps["1.2.3"] == len(images)


async def test_the_line_breaks_while_a_procedure_step_is_set(tmp_path: Path, certificates: Certificates) -> None:
    far = FarSide()
    async with far_side(far, certificates) as server:
        settings = configured(tmp_path, certificates, server.port)
        async with running(settings), device(settings, CONTEXTS) as association:
            assert (await association.n_create(MPPS, "1.2.3", ASKED)).status == 0
            far.gate.clear()
            setting = asyncio.create_task(association.n_set(MPPS, "1.2.3", ASKED))
            await asyncio.sleep(0)
            await server.close()
            assert (await setting).status == 0x0213
            assert (await association.n_create(MPPS, "1.2.4", ASKED)).status == 0x0213


async def test_get_brings_instances_back_and_their_statuses_out(tmp_path: Path, certificates: Certificates) -> None:
    far, taken = FarSide(), []
    far.instances = [
        Instance(uids.MR_IMAGE_STORAGE, f"1.2.{n}", uids.EXPLICIT_LE, data_set(n, 900_000)) for n in range(5)
    ]

    async def take(request: StoreRequest) -> int:
        data = b"".join([bytes(chunk) async for chunk in request])
        taken.append((request.sop_instance, digest(data)))
        return 0xA700 if request.sop_instance == "1.2.3" else 0

    async with far_side(far, certificates) as server:
        settings = configured(tmp_path, certificates, server.port)
        async with running(settings), device(settings, CONTEXTS) as association:
            ended = await association.get(uids.STUDY_ROOT_GET, [(Tag.StudyInstanceUID, "UI", "1.2")], take)
    assert taken == [(f"1.2.{n}", digest(data_set(n, 900_000))) for n in range(5)]
    assert (ended.status, ended.completed, ended.failed) == (0xB000, 4, 1)  # counted by the far side


async def test_a_cancel_reaches_the_far_side(tmp_path: Path, certificates: Certificates) -> None:
    far = FarSide()
    far.endless = True
    async with far_side(far, certificates) as server:
        settings = configured(tmp_path, certificates, server.port)
        async with running(settings), device(settings, CONTEXTS) as association:
            found = association.find(WORKLIST, ASKED)
            async for _ in found:
                if found.answers == 5:
                    found.cancel()
            assert found.status == 0xFE00
            assert far.cancelled.is_set()
            assert await association.echo() == 0


async def test_a_device_that_is_gone_ends_the_operation_behind(tmp_path: Path, certificates: Certificates) -> None:
    far = FarSide()
    far.endless = True
    async with far_side(far, certificates) as server:
        settings = configured(tmp_path, certificates, server.port)
        async with running(settings):
            with pytest.raises(RuntimeError):
                async with device(settings, CONTEXTS) as association:
                    async for _ in association.find(WORKLIST, ASKED):
                        raise RuntimeError  # aborts
            await until(far.cancelled.is_set, "the far side stops")
            await until(lambda: server.connections == 0, "nothing is left open")


async def test_a_commitment_waits_for_what_was_stored_before(tmp_path: Path, certificates: Certificates) -> None:
    far = FarSide()
    far.gate.clear()
    async with far_side(far, certificates) as server:
        settings = configured(tmp_path, certificates, server.port)
        async with running(settings), device(settings, CONTEXTS) as association:
            for number in range(3):
                assert await store(association, number) == 0
            asking = asyncio.create_task(_commit(association))
            await until(lambda: bool(far.attempts), "delivery has begun")
            assert not far.actions
            far.gate.set()
            assert await asking == 0
    assert far.actions == [(uids.STORAGE_COMMITMENT_PUSH_INSTANCE, 3)]


async def _commit(association) -> int:  # type: ignore[no-untyped-def]
    replied = await association.n_action(
        uids.STORAGE_COMMITMENT_PUSH, uids.STORAGE_COMMITMENT_PUSH_INSTANCE, 1, [(Tag.TransactionUID, "UI", "1.2.3")]
    )
    return int(replied.status)


async def test_the_line_is_down(tmp_path: Path, certificates: Certificates) -> None:
    settings = configured(tmp_path, certificates, free_port())
    async with running(settings) as edge, device(settings, CONTEXTS) as association:
        assert await association.echo() == 0x0110
        found = association.find(WORKLIST, ASKED)
        assert [answer async for answer in found] == [] and found.status == 0xA700
        moved = await association.move(uids.STUDY_ROOT_MOVE, "WS1", ASKED)
        assert moved.status == 0xA702
        got = await association.get(uids.STUDY_ROOT_GET, ASKED, lambda request: asyncio.sleep(0, 0))
        assert got.status == 0xA702
        assert await _commit(association) == 0x0213
        assert (await association.n_create(MPPS, "1.2.3", ASKED)).status == 0x0213
        assert (await association.n_set(MPPS, "1.2.3", ASKED)).status == 0x0213
        assert await store(association, 1) == 0  # stored all the same
        assert await _commit(association) == 0x0213
        assert len(edge.queue) == 1


async def test_the_line_breaks_and_comes_back_within_an_association(tmp_path: Path, certificates: Certificates) -> None:
    far, port = FarSide(), free_port()
    far.endless = True
    settings = configured(tmp_path, certificates, port)
    async with running(settings):
        async with far_side(far, certificates, port) as server:
            holding = device(settings, CONTEXTS)
            association = await holding.__aenter__()
            assert await association.echo() == 0
            found = association.find(WORKLIST, ASKED)
            async for _ in found:
                if found.answers == 3:
                    await server.close()
            assert found.status == 0xA700  # with the answers that had come
        assert await association.echo() == 0x0110
        assert await store(association, 1) == 0
        async with far_side(far, certificates, port):
            assert await association.echo() == 0
            await until(lambda: len(far.stored) == 1, "it is delivered")
        await holding.__aexit__(None, None, None)


async def test_what_the_far_side_never_takes_is_not_accepted(tmp_path: Path, certificates: Certificates) -> None:
    far = FarSide()
    far.supported = Supported({uids.CT_IMAGE_STORAGE: (uids.EXPLICIT_LE,), uids.VERIFICATION: (uids.IMPLICIT_LE,)})
    proposed = [
        ContextRequest(uids.CT_IMAGE_STORAGE, (uids.JPEG_LOSSLESS,)),
        ContextRequest(uids.CT_IMAGE_STORAGE, (uids.JPEG_LOSSLESS, uids.EXPLICIT_LE)),
        ContextRequest(uids.MR_IMAGE_STORAGE, (uids.EXPLICIT_LE,)),
        ContextRequest(PRINTING),  # is not carried
    ]
    async with far_side(far, certificates) as server:
        settings = configured(tmp_path, certificates, server.port)
        async with running(settings):
            for _ in range(2):  # asked, then remembered
                async with device(settings, proposed) as association:
                    assert association.accepted(uids.CT_IMAGE_STORAGE, uids.EXPLICIT_LE) is not None
                    assert len(association.contexts) == 1
                    with pytest.raises(NotAccepted):
                        await association.store(uids.MR_IMAGE_STORAGE, "1.2", b"")
    assert len(far.calls) == 1


async def test_nothing_known_and_the_line_down(tmp_path: Path, certificates: Certificates) -> None:
    proposed = [
        ContextRequest(uids.CT_IMAGE_STORAGE, (uids.JPEG_LOSSLESS, uids.IMPLICIT_LE)),
        ContextRequest(uids.MR_IMAGE_STORAGE, (uids.JPEG_LOSSLESS,)),
        ContextRequest("1.3.12.2.1107.5.9.1", (uids.EXPLICIT_LE,)),  # a private class: storage, as a rule
        ContextRequest(WORKLIST, (uids.EXPLICIT_LE, uids.IMPLICIT_LE)),
        ContextRequest(MPPS, (uids.EXPLICIT_LE, uids.IMPLICIT_LE)),
        ContextRequest(PRINTING),
    ]
    settings = configured(tmp_path, certificates, free_port())
    async with running(settings), device(settings, proposed) as association:
        agreed = [(context.abstract_syntax, context.transfer_syntax) for context in association.contexts]
    assert agreed == [
        (uids.CT_IMAGE_STORAGE, uids.IMPLICIT_LE),
        (uids.MR_IMAGE_STORAGE, uids.JPEG_LOSSLESS),
        ("1.3.12.2.1107.5.9.1", uids.EXPLICIT_LE),
        (WORKLIST, uids.IMPLICIT_LE),
        (MPPS, uids.IMPLICIT_LE),
    ]


async def test_a_far_side_that_turns_the_device_away(tmp_path: Path, certificates: Certificates) -> None:
    """Nothing is lost and nothing set aside: somebody has to open the guard for it."""

    class Closed(FarSide):
        async def on_associate(self, call):  # type: ignore[no-untyped-def]
            from leadapron.wire.association.reasons import CALLING_AE_NOT_RECOGNIZED

            return CALLING_AE_NOT_RECOGNIZED

    port, log = free_port(), Log()
    settings = configured(tmp_path, certificates, port)
    async with running(settings, log) as edge:
        async with far_side(Closed(), certificates, port):
            async with device(settings, CONTEXTS) as association:
                assert await association.echo() == 0x0110
                assert await store(association, 1) == 0
            await until(lambda: "calling AE title not recognized" in str(log), "it is told")
        far = FarSide()
        async with far_side(far, certificates, port):
            await until(lambda: len(edge.queue) == 0, "it is delivered")
    assert len(far.stored) == 1
