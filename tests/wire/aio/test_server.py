"""Our SCP: who is let in, what handlers can do, and clients that mean harm or are gone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from leadapron.kernel.errors import (
    AssociationAborted,
    AssociationRejected,
    ConnectionLost,
    Failure,
    LeadApronError,
    LimitExceeded,
    ProtocolError,
    TimedOut,
    WireError,
)
from leadapron.wire import uids
from leadapron.wire.aio import (
    ActionRequest,
    Call,
    ContextRequest,
    CreateRequest,
    EchoRequest,
    Encoded,
    EndWith,
    EventRequest,
    FindRequest,
    GetRequest,
    Instance,
    MoveRequest,
    Progress,
    Reply,
    Server,
    ServerLimits,
    Service,
    SetRequest,
    StoreRequest,
    Supported,
    Timeouts,
    anyone,
    associate,
    choose,
    recognised,
    serve,
)
from leadapron.wire.dimse.command import (
    RESPONSE_OF,
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CFindResponse,
    NDeleteRequest,
    NGetRequest,
    encode_command,
)
from leadapron.wire.dimse.fragments import fragment
from leadapron.wire.elements import Tag
from leadapron.wire.pdu import (
    Abort,
    AssociateAccept,
    AssociateReject,
    PData,
    PresentationDataValue,
    ReleaseRequest,
    ReleaseResponse,
    encode,
)
from peers.raw import ended, header, raw_client, read_pdu, request, reset

PATIENT = Timeouts(connect=10, tls=10, associate=10, response=10, idle=10, write=10, release=10)
HASTY = Timeouts(associate=0.4, response=0.4, idle=0.4, write=0.4, release=0.2)
BOTH = (uids.IMPLICIT_LE,)
MODELS = (
    uids.VERIFICATION,
    uids.STUDY_ROOT_FIND,
    uids.STUDY_ROOT_MOVE,
    uids.STUDY_ROOT_GET,
    uids.STORAGE_COMMITMENT_PUSH,
    uids.MODALITY_PERFORMED_PROCEDURE_STEP,
    uids.CT_IMAGE_STORAGE,
)
SUPPORTED = Supported(dict.fromkeys(MODELS, BOTH), roles={uids.CT_IMAGE_STORAGE: (True, True)})
CONTEXTS = [ContextRequest(uid, BOTH, scp=uid == uids.CT_IMAGE_STORAGE) for uid in MODELS]
MPPS = uids.MODALITY_PERFORMED_PROCEDURE_STEP
STUDY = [(Tag.QueryRetrieveLevel, "CS", "STUDY"), (Tag.StudyInstanceUID, "UI", "")]
CANARY = "CANARY^PATIENT"

Items = list[tuple[int, str, str]]


class Open(Service):
    """Lets everybody in and notes how associations ended."""

    def __init__(self) -> None:
        self.ends: list[LeadApronError | None] = []
        self.ended_one = asyncio.Event()

    async def on_associate(self, call: Call) -> AssociateAccept | AssociateReject:
        return choose(call.request, SUPPORTED, anyone)

    async def ended(self, call: Call, error: LeadApronError | None) -> None:
        self.ends.append(error)
        self.ended_one.set()


@contextlib.asynccontextmanager
async def serving(service: Service, **options: Any) -> AsyncIterator[Server]:
    options = {"timeouts": PATIENT, "grace": 0.3} | options
    async with asyncio.timeout(30), serve("127.0.0.1", 0, service, **options) as server:
        yield server
    assert server.connections == 0


def ours(server: Server, **options: Any) -> Any:
    options = {"called": "CALLED", "calling": "CALLING", "contexts": CONTEXTS, "timeouts": PATIENT} | options
    return associate("127.0.0.1", server.port, **options)


async def until(condition: Callable[[], bool]) -> None:
    """Polls, within the bound of ``serving``."""
    while not condition():
        await asyncio.sleep(0.01)


# ---- who is let in --------------------------------------------------------------------------------------------------


async def test_an_empty_service_turns_everybody_away() -> None:
    async with serving(Service()) as server:
        with pytest.raises(AssociationRejected) as caught:
            async with ours(server):
                pass
        assert (caught.value.result, caught.value.source, caught.value.reason) == (1, 1, 1)


async def test_titles_are_what_the_service_says() -> None:
    class Known(Open):
        async def on_associate(self, call: Call) -> AssociateAccept | AssociateReject:
            return choose(call.request, SUPPORTED, recognised(called={"PACS"}, calling={"CT1"}))

    async with serving(Known()) as server:
        for called, calling, reason in (("OTHER", "CT1", 7), ("PACS", "CT2", 3)):
            with pytest.raises(AssociationRejected) as caught:
                async with ours(server, called=called, calling=calling):
                    pass
            assert caught.value.reason == reason
        async with ours(server, called="PACS", calling="CT1") as association:
            assert await association.echo() == 0


async def test_connections_above_the_bound_are_closed_at_once() -> None:
    service = Open()
    async with serving(service, limits=ServerLimits(connections=5, per_address=5)) as server:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(5):
                await stack.enter_async_context(raw_client(server.port))
            await until(lambda: server.connections == 5)
            for _ in range(20):
                async with raw_client(server.port) as (reader, _):
                    assert await ended(reader) == b""
            assert (server.connections, server.turned_away) == (5, 20)
        await until(lambda: server.connections == 0)
        async with ours(server) as association:  # and it serves again
            assert await association.echo() == 0


async def test_one_address_cannot_take_all_places() -> None:
    limits = ServerLimits(connections=100, per_address=2)
    async with serving(Open(), limits=limits) as server, raw_client(server.port), raw_client(server.port):
        await until(lambda: server.connections == 2)
        async with raw_client(server.port) as (reader, _):
            assert await ended(reader) == b""
        assert server.turned_away == 1


# ---- clients that mean harm, or are gone ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\x01",
        header(1, 1000) + bytes(600),
        header(1, 0xFFFFFFFF),
        header(4, 100),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
        encode(ReleaseRequest()),
        encode(ReleaseResponse()),
        encode(Abort(0, 0)),
        encode(AssociateReject(1, 1, 1)),
        encode(PData((PresentationDataValue(1, True, True, b"12"),))),
        header(1, 68) + bytes(68),
        bytes(1000),
    ],
)
async def test_what_is_no_request_ends_in_bounded_time(said: bytes) -> None:
    service = Open()
    async with serving(service, timeouts=HASTY) as server:
        began = time.monotonic()
        async with raw_client(server.port) as (reader, writer):
            writer.write(said)
            await ended(reader)
        await until(lambda: server.connections == 0)
        assert time.monotonic() - began < 5
        assert service.ends == []  # it never was an association
        async with ours(server) as association:
            assert await association.echo() == 0


async def test_a_request_that_drips_in_is_cut_off() -> None:
    async with serving(Open(), timeouts=HASTY) as server, raw_client(server.port) as (_, writer):
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            for octet in encode(request()):
                writer.write(bytes([octet]))
                await writer.drain()
                await asyncio.sleep(0.02)
                if server.connections == 0:
                    break
        await until(lambda: server.connections == 0)
        assert time.monotonic() - began < 4


async def test_an_idle_association_is_aborted() -> None:
    service = Open()
    async with serving(service, timeouts=HASTY) as server:
        async with raw_client(server.port) as (reader, writer):
            writer.write(encode(request()))
            assert isinstance(await read_pdu(reader), AssociateAccept)
            assert await read_pdu(reader) == Abort(0, 0)
        await service.ended_one.wait()
    assert isinstance(service.ends[0], TimedOut)


def echo(message_id: int = 1) -> bytes:
    return b"".join(fragment(1, encode_command(CEchoRequest(message_id)), None, 16384))


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (header(4, 0xFFFFFFFF), LimitExceeded),
        (b"HTTP", ProtocolError),
        (encode(request()), ProtocolError),
        (encode(ReleaseResponse()), ProtocolError),
        (encode(PData((PresentationDataValue(99, True, True, b"12"),))), ProtocolError),
        (encode(PData((PresentationDataValue(1, False, True, b"12"),))), ProtocolError),
        (encode(PData((PresentationDataValue(1, True, True, b"garbage!"),))), ProtocolError),
        (b"".join(fragment(1, encode_command(CEchoResponse(1, 0)), None, 16384)), ProtocolError),
        (echo()[:-5], TimedOut),
        (encode(PData((PresentationDataValue(1, True, False, bytes(15000)),))) * 3, LimitExceeded),
        (encode(Abort(0, 0)), AssociationAborted),
    ],
)
async def test_what_breaks_the_protocol_ends_the_association(said: bytes, error: type[WireError]) -> None:
    service = Open()
    async with serving(service, timeouts=HASTY if error is TimedOut else PATIENT) as server:
        async with raw_client(server.port) as (reader, writer):
            writer.write(encode(request()))
            assert isinstance(await read_pdu(reader), AssociateAccept)
            writer.write(said)
            heard = await ended(reader)
            assert (heard[:1] == b"\x07") is (error is not AssociationAborted)
        await service.ended_one.wait()
    assert isinstance(service.ends[0], error)


@pytest.mark.parametrize("state", ["connected", "requesting", "standing", "asking", "storing", "released"])
@pytest.mark.parametrize("way", ["reset", "close"])
async def test_a_client_that_is_gone(state: str, way: str) -> None:
    service = Open()
    async with serving(service) as server:
        async with raw_client(server.port) as (reader, writer):
            if state == "requesting":
                writer.write(encode(request())[:50])
            elif state != "connected":
                writer.write(encode(request()))
                assert isinstance(await read_pdu(reader), AssociateAccept)
            if state == "asking":
                writer.write(echo()[:20])
            elif state == "storing":
                writer.write(encode(PData((PresentationDataValue(1, True, False, b"12"),))))
            elif state == "released":
                writer.write(encode(ReleaseRequest()))
                assert await read_pdu(reader) == ReleaseResponse()
            await writer.drain()
            if way == "reset":
                reset(writer)
            else:
                writer.close()
        await until(lambda: server.connections == 0)
    if state in ("standing", "asking", "storing"):
        assert isinstance(service.ends[0], ConnectionLost)
    elif state == "released":
        assert service.ends == [None]


async def test_a_half_open_client_is_answered_and_closed() -> None:
    """It sends FIN after its request and goes on listening."""
    service = Open()
    async with serving(service) as server:
        async with raw_client(server.port) as (reader, writer):
            writer.write(encode(request()))
            assert isinstance(await read_pdu(reader), AssociateAccept)
            writer.write_eof()
            assert await ended(reader) == b""
        await until(lambda: server.connections == 0)


async def test_a_client_that_takes_no_answers_is_cut_off() -> None:
    class Endless(Open):
        async def find(self, request: FindRequest) -> AsyncIterator[Items]:
            while True:
                yield [(Tag.PatientName, "PN", "X" * 60)] * 1

    service = Endless()
    async with serving(service, timeouts=HASTY) as server:
        asked = request((ContextRequest(uids.STUDY_ROOT_FIND, BOTH),))
        async with raw_client(server.port) as (reader, writer):
            writer.write(encode(asked))
            assert isinstance(await read_pdu(reader), AssociateAccept)
            find = CFindRequest(1, uids.STUDY_ROOT_FIND)
            writer.write(b"".join(fragment(1, encode_command(find), b"", 16384)))
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            await service.ended_one.wait()
    assert isinstance(service.ends[0], TimedOut)


# ---- handlers -------------------------------------------------------------------------------------------------------


class Finding(Open):
    """A C-FIND whose generator notes how it was ended; ``wait`` makes it wait after the first answers."""

    def __init__(self, *, wait: bool = False, count: int = 1000) -> None:
        super().__init__()
        self.wait, self.count = wait, count
        self.given = 0
        self.over: list[str] = []

    async def find(self, request: FindRequest) -> AsyncIterator[Items]:
        try:
            for number in range(self.count):
                if self.wait and number == 5:
                    await asyncio.Event().wait()
                self.given += 1
                yield [(Tag.StudyInstanceUID, "UI", f"1.2.{number}")]
            self.over.append("done")
        except asyncio.CancelledError:
            self.over.append("cancelled")
            raise
        finally:
            self.over.append("cleaned")


async def test_find() -> None:
    service = Finding()
    async with serving(service) as server, ours(server) as association:
        find = association.find(uids.STUDY_ROOT_FIND, STUDY)
        found = [answer.text(Tag.StudyInstanceUID, "UI") async for answer in find]
        assert found == [f"1.2.{number}" for number in range(1000)]
        assert find.status == 0
    assert service.over == ["done", "cleaned"]
    assert service.ends == [None]


async def test_a_cancel_interrupts_a_handler_that_waits() -> None:
    service = Finding(wait=True)
    async with serving(service) as server, ours(server) as association:
        find = association.find(uids.STUDY_ROOT_FIND, STUDY)
        async for _ in find:
            if find.answers == 5:
                find.cancel()
        assert (find.status, find.answers) == (0xFE00, 5)
        assert service.over == ["cancelled", "cleaned"]
        assert await association.echo() == 0  # and the association goes on


async def test_a_cancel_stops_a_handler_that_never_waits() -> None:
    service = Finding(count=10**9)
    async with serving(service) as server, ours(server) as association:
        find = association.find(uids.STUDY_ROOT_FIND, STUDY)
        async for _ in find:
            if find.answers == 100:
                find.cancel()
        assert find.status == 0xFE00
        assert service.over == ["cleaned"]
        assert service.given < 10**6
        assert await association.echo() == 0


@pytest.mark.parametrize("way", ["abort", "reset", "close"])
@pytest.mark.parametrize("wait", [True, False])
async def test_the_end_of_the_association_interrupts_a_handler(way: str, wait: bool) -> None:
    service = Finding(wait=wait, count=10**9)
    async with serving(service) as server, raw_client(server.port) as (reader, writer):
        writer.write(encode(request((ContextRequest(uids.STUDY_ROOT_FIND, BOTH),))))
        assert isinstance(await read_pdu(reader), AssociateAccept)
        find = CFindRequest(1, uids.STUDY_ROOT_FIND)
        writer.write(b"".join(fragment(1, encode_command(find), b"", 16384)))
        await read_pdu(reader)
        if way == "abort":
            writer.write(encode(Abort(0, 0)))
            while await reader.read(65536):
                pass
        elif way == "reset":
            reset(writer)
        else:
            writer.close()
        await service.ended_one.wait()
    assert service.over[-1] == "cleaned"
    assert isinstance(service.ends[0], AssociationAborted if way == "abort" else ConnectionLost)


async def test_a_cancel_that_comes_too_late_is_not_answered() -> None:
    async with serving(Finding(count=1)) as server, ours(server) as association:
        find = association.find(uids.STUDY_ROOT_FIND, STUDY)
        async for _ in find:
            pass
        association._current = (1, association.contexts[1])
        association.cancel()
        association._current = None
        assert await association.echo() == 0


async def test_a_handler_ends_with_the_status_that_it_says() -> None:
    class Busy(Open):
        async def find(self, request: FindRequest) -> AsyncIterator[Items]:
            yield [(Tag.StudyInstanceUID, "UI", "1.2")]
            raise EndWith(0xA700, "come back later")

        async def echo(self, request: EchoRequest) -> int:
            raise EndWith(0x0124)

    async with serving(Busy()) as server, ours(server) as association:
        find = association.find(uids.STUDY_ROOT_FIND, STUDY)
        assert len([answer async for answer in find]) == 1
        assert find.status == 0xA700
        assert await association.echo() == 0x0124


async def test_a_handler_that_fails_says_so_without_a_word_of_its_error(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Open):
        async def find(self, request: FindRequest) -> AsyncIterator[Items]:
            raise RuntimeError(CANARY)
            yield []

        async def store(self, request: StoreRequest) -> int:
            async for _ in request:
                raise ConnectionLost(CANARY)  # of some other connection
            return 0

    caplog.set_level(logging.DEBUG)
    service = Broken()
    async with serving(service) as server, ours(server) as association:
        find = association.find(uids.STUDY_ROOT_FIND, STUDY)
        assert [answer async for answer in find] == []
        assert find.status == 0x0110
        assert await association.store(uids.CT_IMAGE_STORAGE, "1.2", bytes(500_000)) == 0x0110
        assert await association.echo() == 0
    assert CANARY not in caplog.text
    assert "RuntimeError" in caplog.text
    assert service.ends == [None]


async def test_what_is_not_served_is_refused_in_the_protocols_words() -> None:
    async def never(_: StoreRequest) -> int:
        return 0

    async with serving(Open()) as server, ours(server) as association:
        find = association.find(uids.STUDY_ROOT_FIND, STUDY)
        assert [answer async for answer in find] == []
        assert find.status == 0x0211
        assert await association.store(uids.CT_IMAGE_STORAGE, "1.2", b"12") == 0x0211
        assert (await association.move(uids.STUDY_ROOT_MOVE, "X", STUDY)).status == 0x0211
        assert (await association.get(uids.STUDY_ROOT_GET, STUDY, never)).status == 0x0211
        action = await association.n_action(uids.STORAGE_COMMITMENT_PUSH, "1.2", 1, STUDY)
        assert action.status == 0x0211
        event = await association.n_event_report(uids.STORAGE_COMMITMENT_PUSH, "1.2", 1)
        assert event.status == 0x0211
        assert (await association.n_create(MPPS, "1.2", STUDY)).status == 0x0211
        assert (await association.n_set(MPPS, "1.2", STUDY)).status == 0x0211
        context = association.accepted(MPPS)
        assert context is not None
        for request in (NGetRequest(900, MPPS, "1.2"), NDeleteRequest(901, MPPS, "1.2")):
            await association.send(context, request, None)
            _, response = await association.response(RESPONSE_OF[type(request)], request.message_id, 10)
            assert response.status == 0x0211
        assert await association.echo() == 0


async def test_another_sop_class_than_the_contexts_is_refused() -> None:
    class Storing(Open):
        async def store(self, request: StoreRequest) -> int:
            pytest.fail("must not be called")

    async with serving(Storing()) as server, ours(server) as association:
        context = association.accepted(uids.CT_IMAGE_STORAGE)
        assert context is not None
        association.contexts = (*association.contexts, type(context)(context.id, "1.2.3", context.transfer_syntax))
        assert await association.store("1.2.3", "1.2", b"12") == 0x0122


async def test_answers_encoded_in_advance_and_warnings() -> None:
    class Fast(Open):
        async def find(self, request: FindRequest) -> AsyncIterator[Encoded | Items]:
            response = CFindResponse(request.command.message_id, 0xFF00, True)
            data = bytes.fromhex("20000d0004000000312e3200")
            one = b"".join(fragment(request.context.id, encode_command(response), data, request.max_length))
            for _ in range(10):
                yield Encoded(one * 100)
            request.pending = 0xFF01
            yield [(Tag.StudyInstanceUID, "UI", "1.3")]

    async with serving(Fast()) as server, ours(server) as association:
        consumer = association.raw_find(uids.STUDY_ROOT_FIND, lambda *_: None)
        end = await association.find_into(uids.STUDY_ROOT_FIND, STUDY, consumer)
        assert (end.status, end.answers) == (0, 1001)


class Retrieving(Open):
    def __init__(self, count: int = 5) -> None:
        super().__init__()
        self.count = count
        self.cleaned = False

    async def get(self, request: GetRequest) -> AsyncIterator[Instance]:
        request.total = self.count
        try:
            for number in range(self.count):
                sop_class = "1.2.840.10008.5.1.4.1.1.66" if number == 3 else uids.CT_IMAGE_STORAGE
                yield Instance(sop_class, f"1.2.{number}", uids.IMPLICIT_LE, [b"ab" * 5000, b"cd"])
        finally:
            self.cleaned = True

    async def move(self, request: MoveRequest) -> AsyncIterator[Progress]:
        try:
            for number in range(self.count):
                yield Progress(self.count - number - 1, completed=number, failed=1)
                await asyncio.sleep(0)
        finally:
            self.cleaned = True


async def test_get_counts_what_was_sent_and_what_nobody_takes() -> None:
    got: list[tuple[str, int]] = []
    steps: list[Any] = []

    async def handler(instance: StoreRequest) -> int:
        if instance.sop_instance == "1.2.4":
            return 0xA700
        got.append((instance.sop_instance, len((await instance.read(20_000)).data)))
        return 0

    async with serving(Retrieving()) as server, ours(server) as association:
        end = await association.get(uids.STUDY_ROOT_GET, STUDY, handler, progress=steps.append)
        assert (end.status, end.completed, end.failed, end.warning) == (0xB000, 3, 2, 0)
        assert [step.remaining for step in steps] == [4, 3, 2, 1, 0]
    assert got == [(f"1.2.{number}", 10_002) for number in range(3)]


async def test_get_is_cancelled_between_instances() -> None:
    service = Retrieving(count=10**6)
    async with serving(service) as server, ours(server) as association:

        async def handler(instance: StoreRequest) -> int:
            if instance.sop_instance == "1.2.2":
                association.cancel()
            return 0

        end = await association.get(uids.STUDY_ROOT_GET, STUDY, handler)
        assert end.status == 0xFE00
        assert end.remaining is not None
        assert end.remaining == 0xFFFF
        assert await association.echo() == 0
    assert service.cleaned


async def test_move_reports_and_is_cancelled() -> None:
    service = Retrieving(count=10**6)
    async with serving(service) as server, ours(server) as association:
        seen: list[Any] = []

        def progress(step: Any) -> None:
            seen.append(step)
            if len(seen) == 10:
                association.cancel()

        end = await association.move(uids.STUDY_ROOT_MOVE, "THERE", STUDY, progress=progress)
        assert (end.status, end.failed) == (0xFE00, 1)
        assert seen[0].remaining == 0xFFFF
    assert service.cleaned


async def test_commitment_both_ways() -> None:
    class Committing(Open):
        async def n_action(self, request: ActionRequest) -> Reply:
            assert request.data is not None
            return Reply(0, [(Tag.TransactionUID, "UI", request.data.text(Tag.TransactionUID, "UI") + ".1")])

        async def n_event_report(self, request: EventRequest) -> Reply:
            return Reply(0 if request.command.event_type == 1 and request.data is None else 0x0110)

    async with serving(Committing()) as server, ours(server) as association:
        reply = await association.n_action(
            uids.STORAGE_COMMITMENT_PUSH, uids.STORAGE_COMMITMENT_PUSH_INSTANCE, 1, [(Tag.TransactionUID, "UI", "1.2")]
        )
        assert reply.status == 0
        assert reply.data is not None
        assert reply.data.text(Tag.TransactionUID, "UI") == "1.2.1"
        event = await association.n_event_report(uids.STORAGE_COMMITMENT_PUSH, "1.2", 1)
        assert (event.status, event.data) == (0, None)


async def test_a_procedure_step_is_created_and_set() -> None:
    class Steps(Open):
        held: dict[str, str] = {}  # noqa: RUF012

        async def n_create(self, request: CreateRequest) -> Reply:
            assert request.data is not None
            name = request.command.sop_instance or "1.2.840.1"
            if name in self.held:
                return Reply(0x0111)
            self.held[name] = request.data.text(Tag.StudyInstanceUID, "UI")
            return Reply(0, instance=name)

        async def n_set(self, request: SetRequest) -> Reply:
            assert request.data is not None
            if request.command.sop_instance not in self.held:
                return Reply(0x0112)
            return Reply(0, [(Tag.StudyInstanceUID, "UI", self.held[request.command.sop_instance])])

    one = [(Tag.StudyInstanceUID, "UI", "1.9")]
    async with serving(Steps()) as server, ours(server) as association:
        created = await association.n_create(MPPS, "1.2.3", one)
        assert (created.status, created.data, created.instance) == (0, None, "1.2.3")
        assert (await association.n_create(MPPS, "1.2.3", one)).status == 0x0111
        named = await association.n_create(MPPS, None, one)
        assert (named.status, named.instance) == (0, "1.2.840.1")
        done = await association.n_set(MPPS, "1.2.3", one)
        assert done.status == 0
        assert done.data is not None
        assert done.data.text(Tag.StudyInstanceUID, "UI") == "1.9"
        assert (await association.n_set(MPPS, "1.2.4", one)).status == 0x0112


# ---- the end of the server ------------------------------------------------------------------------------------------


async def test_closing_waits_for_associations_and_then_aborts() -> None:
    service = Finding(wait=True)
    server = await serve("127.0.0.1", 0, service, timeouts=Timeouts(idle=60, release=0.3), grace=0.2)
    waiting = asyncio.create_task(server.wait())
    with pytest.raises((AssociationAborted, ConnectionLost)):
        async with ours(server) as association:
            find = association.find(uids.STUDY_ROOT_FIND, STUDY)
            async for _ in find:
                if find.answers == 5:
                    began = time.monotonic()
                    await server.close()
                    assert time.monotonic() - began < 3
    assert service.over == ["cancelled", "cleaned"]
    assert isinstance(service.ends[0], ConnectionLost)
    await waiting
    assert server.connections == 0
    with pytest.raises(ConnectionLost):
        async with ours(server):
            pass


async def test_a_port_that_is_taken_is_our_failure() -> None:
    async with serving(Open()) as server:
        with pytest.raises(Failure, match="cannot listen"):
            await serve("127.0.0.1", server.port, Open())
