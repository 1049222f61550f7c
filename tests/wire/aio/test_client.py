"""Our SCU against peers that say exactly what the test tells them to: every way in which an association can end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from leadapron.kernel.errors import (
    AssociationAborted,
    AssociationRejected,
    ConnectionLost,
    Failure,
    LimitExceeded,
    NotAccepted,
    ProtocolError,
    TimedOut,
)
from leadapron.wire import uids
from leadapron.wire.aio import ContextRequest, RequestorAssociation, StoreRequest, Timeouts, associate
from leadapron.wire.dimse.command import (
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CFindResponse,
    CGetRequest,
    CGetResponse,
    Command,
    CStoreRequest,
    CStoreResponse,
    decode_command,
    encode_command,
)
from leadapron.wire.dimse.fragments import fragment
from leadapron.wire.elements import Tag
from leadapron.wire.pdu import (
    Abort,
    AssociateReject,
    AssociateRequest,
    PData,
    Pdu,
    PresentationDataValue,
    ReleaseRequest,
    ReleaseResponse,
    encode,
)
from peers.process import free_port
from peers.raw import Script, accept_all, ended, header, raw_server, read_pdu, reset

PATIENT = Timeouts(connect=10, tls=10, associate=10, response=10, idle=10, write=10, release=10)
HASTY = Timeouts(connect=10, associate=0.4, response=0.4, idle=0.4, write=0.4, release=0.2)
BOTH = (uids.IMPLICIT_LE,)
CONTEXTS = [
    ContextRequest(uids.VERIFICATION, BOTH),
    ContextRequest(uids.STUDY_ROOT_FIND, BOTH),
    ContextRequest(uids.STUDY_ROOT_GET, BOTH),
    ContextRequest(uids.CT_IMAGE_STORAGE, BOTH, scp=True),
]
ECHO, FIND, GET, STORE = 1, 3, 5, 7  # their context ids
STUDY = [(Tag.QueryRetrieveLevel, "CS", "STUDY"), (Tag.StudyInstanceUID, "UI", "")]
IDENTIFIER = bytes.fromhex("20000d00 04000000 312e3200".replace(" ", ""))  # (0020,000D) 1.2, implicit little endian

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


def ours(port: int, **options: Any) -> Any:
    options = {"called": "CALLED", "calling": "CALLING", "contexts": CONTEXTS, "timeouts": PATIENT} | options
    return associate("127.0.0.1", port, **options)


def awaiting(error: type[Exception]) -> Timeouts:
    """Short ones only where a time-out is what the test is about: machines are slow at times."""
    return HASTY if error is TimedOut else PATIENT


def message(context_id: int, command: Command, data: bytes | None = None) -> bytes:
    return b"".join(fragment(context_id, encode_command(command), data, 16384))


async def read_message(reader: Reader) -> tuple[Command, bytes]:
    """A command and its data set, as our side sends them."""
    parts = {True: b"", False: b""}
    command: Command | None = None
    while True:
        pdu = await read_pdu(reader)
        assert isinstance(pdu, PData)
        for value in pdu.values:
            parts[value.command] += value.data
            if value.command and value.last:
                command = decode_command(parts[True])
            if value.last and command is not None and (not value.command or not command.has_data_set):
                return command, parts[False]


def accepting(script: Script) -> Script:
    """A peer that accepts the association, then follows ``script``."""

    async def accepted(reader: Reader, writer: Writer) -> None:
        asked = await read_pdu(reader)
        assert isinstance(asked, AssociateRequest)
        writer.write(accept_all(asked))
        await script(reader, writer)

    return accepted


def answering(*answers: bytes) -> Script:
    """A peer that accepts, reads one message, says ``answers``, and then waits for our side to end it."""

    async def script(reader: Reader, writer: Writer) -> None:
        await read_message(reader)
        for answer in answers:
            writer.write(answer)
            await writer.drain()
        await ended(reader)

    return accepting(script)


# ---- before the association stands ----------------------------------------------------------------------------------


def replying(answer: bytes, *, close: bool = False) -> Script:
    async def script(reader: Reader, writer: Writer) -> None:
        await read_pdu(reader)
        writer.write(answer)
        if close:
            await writer.drain()
        else:
            await ended(reader)

    return script


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (encode(AssociateReject(1, 1, 7)), AssociationRejected),
        (encode(AssociateReject(9, 9, 9)), AssociationRejected),
        (encode(Abort(2, 2)), AssociationAborted),
        (encode(ReleaseRequest()), ProtocolError),
        (encode(ReleaseResponse()), ProtocolError),
        (encode(PData((PresentationDataValue(1, True, True, b"12"),))), ProtocolError),
        (header(2, 0xFFFFFFFF), LimitExceeded),
        (header(3, 400), LimitExceeded),
        (header(2, 3), ProtocolError),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", ProtocolError),
        (b"SSH-2.0-OpenSSH_9.2\r\n", ProtocolError),
        (b"\x15\x03\x01\x00\x02\x02\x46", ProtocolError),
        (b"\x02", TimedOut),
        (header(2, 1000) + bytes(500), TimedOut),
        (b"", TimedOut),
    ],
)
async def test_what_is_no_acceptance_ends_in_its_error(answer: bytes, error: type[Exception]) -> None:
    async with raw_server(replying(answer)) as port:
        began = time.monotonic()
        with pytest.raises(error):
            async with ours(port, timeouts=awaiting(error)):
                pytest.fail("there is no association")
        assert time.monotonic() - began < 8


@pytest.mark.parametrize("answer", [b"", b"\x02", header(2, 1000) + bytes(999)])
async def test_a_peer_that_hangs_up_instead_of_answering(answer: bytes) -> None:
    async with raw_server(replying(answer, close=True)) as port:
        with pytest.raises(ConnectionLost) as caught:
            async with ours(port):
                pytest.fail("there is no association")
        assert caught.value.error is None


async def test_a_peer_that_resets_at_once() -> None:
    async def script(reader: Reader, writer: Writer) -> None:
        reset(writer)

    async with raw_server(script) as port:
        with pytest.raises(ConnectionLost):
            async with ours(port):
                pytest.fail("there is no association")


async def test_nobody_listens() -> None:
    with pytest.raises(ConnectionLost) as caught:
        async with ours(free_port()):
            pytest.fail("there is no association")
    assert caught.value.error == "ECONNREFUSED"


async def test_a_bad_title_is_our_mistake_and_nothing_is_sent() -> None:
    with pytest.raises(ValueError, match="16"):
        async with ours(free_port(), called="A TITLE THAT IS TOO LONG"):
            pytest.fail("there is no association")


# ---- release and abort ----------------------------------------------------------------------------------------------


def recording(heard: list[Pdu], then: Callable[[Reader, Writer], Any] | None = None) -> Script:
    """Accepts, notes what our side says without being asked, and answers a release."""

    async def script(reader: Reader, writer: Writer) -> None:
        if then is not None:
            await then(reader, writer)
        while True:
            heard.append(await read_pdu(reader))
            if isinstance(heard[-1], Abort):
                return
            if isinstance(heard[-1], ReleaseRequest):
                writer.write(encode(ReleaseResponse()))

    return accepting(script)


async def test_leaving_the_block_releases() -> None:
    heard: list[Pdu] = []
    async with raw_server(recording(heard)) as port:
        async with ours(port) as association:
            assert [context.id for context in association.contexts] == [1, 3, 5, 7]
        assert heard == [ReleaseRequest()]


async def test_an_exception_aborts() -> None:
    heard: list[Pdu] = []
    async with raw_server(recording(heard)) as port:
        with pytest.raises(RuntimeError, match="mine"):
            async with ours(port):
                raise RuntimeError("mine")
    assert heard == [Abort(0, 0)]


async def test_cancellation_aborts() -> None:
    heard: list[Pdu] = []
    standing = asyncio.Event()

    async def body(port: int) -> None:
        async with ours(port):
            standing.set()
            await asyncio.Event().wait()

    async with raw_server(recording(heard)) as port:
        task = asyncio.create_task(body(port))
        await standing.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert heard == [Abort(0, 0)]


async def test_a_release_that_is_not_answered_ends_in_bounded_time() -> None:
    async def script(reader: Reader, writer: Writer) -> None:
        assert isinstance(await read_pdu(reader), ReleaseRequest)
        assert isinstance(await read_pdu(reader), Abort)
        await ended(reader)

    async with raw_server(accepting(script)) as port:
        began = time.monotonic()
        async with ours(port, timeouts=HASTY):
            pass
        assert time.monotonic() - began < 3


async def test_a_release_collision_is_played_out() -> None:
    """PS3.8 §7.2.2: both ask at once; the requestor answers first."""
    heard: list[Pdu] = []

    async def script(reader: Reader, writer: Writer) -> None:
        heard.append(await read_pdu(reader))
        writer.write(encode(ReleaseRequest()))
        heard.append(await read_pdu(reader))
        writer.write(encode(ReleaseResponse()))
        heard.append(Abort(9, 9) if await ended(reader) else ReleaseResponse())

    async with raw_server(accepting(script)) as port:
        async with ours(port):
            pass
        assert heard[:2] == [ReleaseRequest(), ReleaseResponse()]


async def test_a_peer_that_releases_instead_of_answering() -> None:
    heard: list[Pdu] = []

    async def script(reader: Reader, writer: Writer) -> None:
        await read_message(reader)
        writer.write(encode(ReleaseRequest()))
        heard.append(await read_pdu(reader))

    async with raw_server(accepting(script)) as port, ours(port) as association:
        with pytest.raises(ConnectionLost, match="released"):
            await association.echo()
    assert heard == [ReleaseResponse()]


async def test_an_idle_peer_that_aborts_does_not_disturb_the_end() -> None:
    async def script(reader: Reader, writer: Writer) -> None:
        writer.write(encode(Abort(0, 0)))
        await writer.drain()

    async with raw_server(accepting(script)) as port, ours(port) as association:
        with pytest.raises(AssociationAborted):
            await association.echo()


# ---- answers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (message(ECHO, CEchoResponse(2, 0)), ProtocolError),  # to another request
        (message(ECHO, CFindResponse(1, 0)), ProtocolError),
        (message(ECHO, CEchoRequest(1)), ProtocolError),
        (message(99, CEchoResponse(1, 0)), ProtocolError),  # on a context that nobody accepted
        (encode(PData((PresentationDataValue(ECHO, False, True, b"12"),))), ProtocolError),  # data without a command
        (encode(PData((PresentationDataValue(ECHO, True, True, b"garbage!"),))), ProtocolError),
        (encode(PData((PresentationDataValue(ECHO, True, False, bytes(15000)),))) * 3, LimitExceeded),
        (header(4, 0xFFFFFFFF), LimitExceeded),
        (header(4, 20) + b"\xff\xff\xff\xff" + bytes(16), ProtocolError),  # a PDV of 4 GiB
        (header(9, 4) + bytes(4), ProtocolError),
        (encode(AssociateReject(1, 1, 1)), ProtocolError),
        (encode(Abort(2, 6)), AssociationAborted),
        (message(ECHO, CEchoResponse(1, 0))[:-1], TimedOut),
        (b"", TimedOut),
    ],
)
async def test_what_is_no_answer_ends_in_its_error(answer: bytes, error: type[Exception]) -> None:
    async with raw_server(answering(answer)) as port:
        began = time.monotonic()
        with pytest.raises(error):
            async with ours(port, timeouts=awaiting(error)) as association:
                await association.echo()
        assert time.monotonic() - began < 8


async def test_errors_quote_nothing_that_the_peer_sent() -> None:
    canary = "CANARY^PATIENT"
    answers = [
        message(ECHO, CEchoResponse(1, 0xC000, error_comment=canary)).replace(b"\x30\x80", b"\x77\x77"),
        message(ECHO, CEchoResponse(2, 0, error_comment=canary)),
        canary.encode(),
    ]
    for answer in answers:
        async with raw_server(answering(answer)) as port:
            with pytest.raises(ProtocolError) as caught:
                async with ours(port) as association:
                    await association.echo()
            assert canary not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize("cut", [True, False])
async def test_an_answer_in_many_pieces(cut: bool) -> None:
    answer = message(ECHO, CEchoResponse(1, 0))
    pieces = [answer[i : i + 1] for i in range(len(answer))] if cut else [answer]
    async with raw_server(answering(*pieces)) as port, ours(port) as association:
        assert await association.echo() == 0


async def test_nothing_is_sent_for_what_was_not_accepted() -> None:
    heard: list[Pdu] = []
    async with raw_server(recording(heard)) as port:
        async with ours(port) as association:
            with pytest.raises(NotAccepted):
                await association.move(uids.STUDY_ROOT_MOVE, "ELSEWHERE", STUDY)
            with pytest.raises(NotAccepted):
                await association.store(uids.CT_IMAGE_STORAGE, "1.2", b"", transfer_syntax=uids.EXPLICIT_LE)
        assert heard == [ReleaseRequest()]


async def test_an_operation_that_was_broken_off_lets_no_other_begin() -> None:
    async with raw_server(answering()) as port, ours(port, timeouts=HASTY) as association:
        with pytest.raises(TimedOut):
            await association.echo()
        with pytest.raises(Failure):
            await association.echo()


# ---- C-FIND ---------------------------------------------------------------------------------------------------------


def pending(status: int = 0xFF00, identifier: bytes = IDENTIFIER) -> bytes:
    return message(FIND, CFindResponse(1, status, True), identifier)


async def test_find_gives_each_answer_and_the_status() -> None:
    final = message(FIND, CFindResponse(1, 0xA700))
    async with raw_server(answering(pending(), pending(0xFF01), final)) as port, ours(port) as association:
        find = association.find(uids.STUDY_ROOT_FIND, STUDY)
        assert find.status is None
        assert [answer.text(Tag.StudyInstanceUID, "UI") async for answer in find] == ["1.2", "1.2"]
        assert (find.status, find.answers) == (0xA700, 2)


async def test_a_pending_answer_without_identifier_is_an_error() -> None:
    async with raw_server(answering(message(FIND, CFindResponse(1, 0xFF00)))) as port, ours(port) as association:
        with pytest.raises(ProtocolError):
            async for _ in association.find(uids.STUDY_ROOT_FIND, STUDY):
                pass


async def test_an_endless_identifier_ends_at_the_bound() -> None:
    async def script(reader: Reader, writer: Writer) -> None:
        await read_message(reader)
        writer.write(pending()[: len(pending()) - len(IDENTIFIER) - 12])
        while True:
            writer.write(encode(PData((PresentationDataValue(FIND, False, False, bytes(64 * 1024)),))))
            await writer.drain()

    async with raw_server(accepting(script)) as port:
        with pytest.raises(LimitExceeded):
            async with ours(port) as association:
                async for _ in association.find(uids.STUDY_ROOT_FIND, STUDY):
                    pass


async def test_a_find_left_early_is_cancelled_and_drained() -> None:
    heard: list[Command] = []

    async def script(reader: Reader, writer: Writer) -> None:
        heard.append((await read_message(reader))[0])
        writer.write(pending() * 5)
        heard.append((await read_message(reader))[0])
        writer.write(pending() * 3 + message(FIND, CFindResponse(1, 0xFE00)))
        heard.append((await read_message(reader))[0])
        writer.write(message(ECHO, CEchoResponse(2, 0)))
        await ended(reader)

    async with raw_server(accepting(script)) as port, ours(port) as association:
        find = association.find(uids.STUDY_ROOT_FIND, STUDY)
        async for _ in find:
            break
        assert await association.echo() == 0
        assert (find.status, find.answers) == (0xFE00, 8)
    assert [type(command) for command in heard] == [CFindRequest, CCancelRequest, CEchoRequest]


async def test_a_peer_that_does_not_heed_a_cancel_is_given_up() -> None:
    async def script(reader: Reader, writer: Writer) -> None:
        await read_message(reader)
        while True:
            writer.write(pending())
            await writer.drain()
            await asyncio.sleep(0.01)

    async with raw_server(accepting(script)) as port:
        began = time.monotonic()
        async with ours(port, timeouts=HASTY) as association:
            async for _ in association.find(uids.STUDY_ROOT_FIND, STUDY):
                break
            with pytest.raises(TimedOut):
                await association.echo()
        assert time.monotonic() - began < 5


async def test_find_into_counts_and_cancels_from_within() -> None:
    async def script(reader: Reader, writer: Writer) -> None:
        await read_message(reader)
        writer.write(pending() * 10)
        command, _ = await read_message(reader)
        assert command == CCancelRequest(1)
        writer.write(pending() * 3 + message(FIND, CFindResponse(1, 0xFE00)))
        await ended(reader)

    async with raw_server(accepting(script)) as port, ours(port) as association:
        seen = 0

        def sink(buffer: bytes, start: int, end: int) -> None:
            nonlocal seen
            seen += 1
            assert buffer[start:end] == IDENTIFIER
            if seen == 10:
                association.cancel()

        end = await association.find_into(uids.STUDY_ROOT_FIND, STUDY, association.raw_find(uids.STUDY_ROOT_FIND, sink))
        assert (end.status, end.answers, seen) == (0xFE00, 13, 13)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (encode(Abort(0, 0)), AssociationAborted),
        (header(4, 0xFFFFFFFF), LimitExceeded),
        (b"HTTP/1.1", ProtocolError),
        (pending() + b"\x04", TimedOut),
        (b"", TimedOut),
    ],
)
async def test_find_into_ends_in_the_same_errors(answer: bytes, error: type[Exception]) -> None:
    async with raw_server(answering(answer)) as port:
        with pytest.raises(error):
            async with ours(port, timeouts=awaiting(error)) as association:
                consumer = association.raw_find(uids.STUDY_ROOT_FIND, lambda *_: None)
                await association.find_into(uids.STUDY_ROOT_FIND, STUDY, consumer)


# ---- C-STORE and C-GET ----------------------------------------------------------------------------------------------


async def chunks(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


@pytest.mark.parametrize("kind", ["bytes", "list", "async"])
async def test_store_from_every_kind_of_source(kind: str) -> None:
    pieces = [bytes([i]) * (i * 7001) for i in range(20)]
    received = b""

    async def script(reader: Reader, writer: Writer) -> None:
        nonlocal received
        command, received = await read_message(reader)
        assert isinstance(command, CStoreRequest)
        assert (command.sop_class, command.sop_instance) == (uids.CT_IMAGE_STORAGE, "1.2.3")
        writer.write(message(STORE, CStoreResponse(1, 0xB000)))
        await ended(reader)

    data: Any = {"bytes": b"".join(pieces), "list": pieces, "async": chunks(*pieces)}[kind]
    async with raw_server(accepting(script)) as port, ours(port) as association:
        assert await association.store(uids.CT_IMAGE_STORAGE, "1.2.3", data) == 0xB000
    assert received == b"".join(pieces)


async def test_a_source_that_fails_aborts_the_association() -> None:
    heard: list[bool] = []

    async def broken() -> AsyncIterator[bytes]:
        yield bytes(600_000)
        raise OSError("disk")

    async def script(reader: Reader, writer: Writer) -> None:
        pdu = await read_pdu(reader)
        while isinstance(pdu, PData):
            heard.append(any(value.last and not value.command for value in pdu.values))
            pdu = await read_pdu(reader)
        assert isinstance(pdu, Abort)

    async with raw_server(accepting(script)) as port:
        with pytest.raises(OSError, match="disk"):
            async with ours(port) as association:
                await association.store(uids.CT_IMAGE_STORAGE, "1.2.3", broken())
    assert not any(heard)  # nothing was made to look complete


@pytest.mark.parametrize("rst", [False, True])
async def test_a_peer_that_aborts_while_we_send_is_heard(rst: bool) -> None:
    async def script(reader: Reader, writer: Writer) -> None:
        await read_pdu(reader)
        writer.write(encode(Abort(2, 5)))
        await writer.drain()
        if rst:
            return  # closes with octets unread: the kernel sends RST
        await asyncio.sleep(0.2)

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(64 * 1024)

    async with raw_server(accepting(script)) as port:
        with pytest.raises(AssociationAborted) as caught:
            async with ours(port) as association:
                await association.store(uids.CT_IMAGE_STORAGE, "1.2.3", endless())
        assert (caught.value.source, caught.value.reason) == (2, 5)


async def test_get_hands_each_instance_over_and_answers_it() -> None:
    statuses: list[int] = []

    async def script(reader: Reader, writer: Writer) -> None:
        command, _ = await read_message(reader)
        assert isinstance(command, CGetRequest)
        for number in range(3):
            store = CStoreRequest(number + 1, uids.CT_IMAGE_STORAGE, f"1.2.{number}")
            writer.write(message(STORE, store, bytes([number]) * 50_000))
            response, _ = await read_message(reader)
            assert isinstance(response, CStoreResponse)
            statuses.append(response.status)
            writer.write(message(GET, CGetResponse(1, 0xFF00, remaining=2 - number, completed=number + 1)))
        final = CGetResponse(1, 0, completed=3, failed=0, warning=0)
        writer.write(message(GET, final))
        await ended(reader)

    got: dict[str, int] = {}
    progress: list[int | None] = []

    async def handler(instance: StoreRequest) -> int:
        if instance.sop_instance == "1.2.1":
            return 0xA700  # without reading it
        got[instance.sop_instance] = sum([len(chunk) async for chunk in instance])
        return 0

    async with raw_server(accepting(script)) as port, ours(port) as association:
        end = await association.get(
            uids.STUDY_ROOT_GET, STUDY, handler, progress=lambda step: progress.append(step.remaining)
        )
    assert (end.status, end.completed) == (0, 3)
    assert got == {"1.2.0": 50_000, "1.2.2": 50_000}
    assert statuses == [0, 0xA700, 0]
    assert progress == [2, 1, 0]


async def test_an_instance_where_we_agreed_to_no_such_role() -> None:
    store = message(STORE, CStoreRequest(1, uids.CT_IMAGE_STORAGE, "1.2"), b"12")
    contexts = [*CONTEXTS[:3], ContextRequest(uids.CT_IMAGE_STORAGE, BOTH)]

    async def handler(_: StoreRequest) -> int:
        pytest.fail("nothing may be handed over")

    async with raw_server(answering(store)) as port:
        with pytest.raises(ProtocolError):
            async with ours(port, contexts=contexts) as association:
                await association.get(uids.STUDY_ROOT_GET, STUDY, handler)


async def test_message_ids_go_round() -> None:
    async def script(reader: Reader, writer: Writer) -> None:
        for message_id in (0xFFFF, 1):
            assert (await read_message(reader))[0] == CEchoRequest(message_id)
            writer.write(message(ECHO, CEchoResponse(message_id, 0)))
        assert await read_pdu(reader) == ReleaseRequest()

    async with raw_server(accepting(script)) as port:
        association: RequestorAssociation
        async with ours(port) as association:
            association._message_id = 0xFFFF
            assert await association.echo() == 0
            assert association.next_message_id == 1
            assert await association.echo() == 0
