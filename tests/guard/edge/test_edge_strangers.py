"""Nobody but the device at its address and by its titles; and what even that may send is bounded."""

from __future__ import annotations

import asyncio
import os
import resource
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from guard.edge.edging import (
    CALLED,
    CALLING,
    HOST,
    STORE_CONTEXTS,
    FarSide,
    Log,
    configured,
    data_set,
    device,
    far_side,
    running,
    store,
    until,
)
from leadapron.cli.main import root
from leadapron.guard.gateway.edge import door
from leadapron.guard.gateway.edge.item import QueueLimits
from leadapron.guard.gateway.edge.record import LINES, MESSAGES, Record, Sparing
from leadapron.kernel.errors import AssociationAborted, AssociationRejected, ConnectionLost
from leadapron.wire import uids
from leadapron.wire.aio import Timeouts
from leadapron.wire.association.negotiate import build_request
from leadapron.wire.dimse.command import CStoreRequest, encode_command
from leadapron.wire.dimse.fragments import Fragmenter
from leadapron.wire.pdu import encode
from peers.certificates import Certificates, issue
from peers.process import free_port

ELSEWHERE = "127.0.0.9"


async def connected(port: int, source: str = HOST) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(HOST, port, local_addr=(source, 0))


async def said(port: int, octets: bytes, source: str = HOST) -> bytes:
    """All that comes back until the edge closes."""
    async with asyncio.timeout(20):
        reader, writer = await connected(port, source)
        try:
            writer.write(octets)
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.transport.abort()


def trail(queue: Path) -> str:
    shown = CliRunner().invoke(root, ["audit", "show", "--data", str(queue)])
    assert shown.exit_code == 0, shown.output
    return shown.stdout


async def test_another_address_is_cut_off_before_anything_is_read(tmp_path: Path, certificates: Certificates) -> None:
    log, settings_ = Log(), configured(tmp_path, certificates, free_port())
    request = encode(build_request(STORE_CONTEXTS, called=CALLED, calling=CALLING))
    async with running(settings_, log) as edge:
        assert await said(settings_.listen_port, request, ELSEWHERE) == b""
        assert await said(settings_.listen_port, b"", ELSEWHERE) == b""  # cut off though it says nothing
        assert len(edge.queue) == 0
    assert str(log).count(f"turned away: {ELSEWHERE}: this address may not connect") == 2
    assert trail(settings_.queue).count(ELSEWHERE) >= 2


@pytest.mark.parametrize(
    "titles",
    [
        {"calling": "CT2"},
        {"called": "PACS2"},
        {"calling": "ct1"},
        {"calling": "X\x7f", "called": "Y"},
        {"calling": CALLED, "called": CALLING},
    ],
)
async def test_another_title_is_rejected(tmp_path: Path, certificates: Certificates, titles: dict[str, str]) -> None:
    log, settings_ = Log(), configured(tmp_path, certificates, free_port())
    async with running(settings_, log):
        with pytest.raises((AssociationRejected, ValueError)) as caught:
            async with device(settings_, **titles):
                pass
        if isinstance(caught.value, AssociationRejected):
            assert (caught.value.result, caught.value.source) == (1, 1)
    lines = [line for line in log.lines if line.startswith("turned away")]
    assert len(lines) == isinstance(caught.value, AssociationRejected)
    assert all(line.isprintable() for line in log.lines)


ADDRESSES = tuple(f"127.0.0.{n}" for n in (1, 2, 3, 21))
TITLES = ("CT1", "ct1", "CT", "CT11", "PACS", "PAC", "CT1 PACS", "ANY-SCP", "A" * 16)
Who = tuple[str, str, str]  # address, calling, called
WHOEVER = st.tuples(st.sampled_from(ADDRESSES), st.sampled_from(TITLES), st.sampled_from(TITLES))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sources=st.sets(st.sampled_from(ADDRESSES), min_size=1, max_size=2),
    titles=st.tuples(st.sampled_from(TITLES), st.sampled_from(TITLES)),
    strangers=st.lists(WHOEVER, min_size=1, max_size=8, unique=True),
)
def test_whoever_is_not_the_device_gets_nothing_and_leaves_one_message(
    tmp_path_factory: pytest.TempPathFactory,
    certificates: Certificates,
    sources: set[str],
    titles: tuple[str, str],
    strangers: list[Who],
) -> None:
    """For every configuration: who comes from elsewhere, or under other titles, achieves nothing."""
    home, let_in = tmp_path_factory.mktemp("edge"), 0
    told = {"from": tuple(sorted(sources)), "calling": titles[0], "called": titles[1]}
    settings_ = configured(home, certificates, free_port(), **told)
    the_device = (min(sources), *titles)
    strangers = [*(who for who in strangers if who != the_device), the_device]

    async def visit(who: Who) -> bool:
        """Whether the association was accepted; a store follows it at once, answered or not."""
        address, calling, called = who
        octets = encode(build_request(STORE_CONTEXTS, called=called, calling=calling)) + _stored(1)[_REQUEST:]
        async with asyncio.timeout(20):
            reader, writer = await connected(settings_.listen_port, address)
            try:
                writer.write(octets)
                return (await reader.read(1)) == b"\x02"
            except ConnectionError:
                return False
            finally:
                writer.transport.abort()

    async def main() -> list[bool]:
        nonlocal let_in
        log = Log()
        async with running(settings_, log) as edge:
            accepted = await asyncio.gather(*(visit(who) for who in strangers))
            let_in = sum(accepted)
            await until(lambda: len([t for t in log.lines if t[:6] == "turned"]) == len(strangers) - let_in, "all told")
            assert len(edge.queue) <= let_in
        return accepted

    known = [who[0] in sources and who[1:] == titles for who in strangers]
    assert asyncio.run(main()) == known and let_in
    shown = CliRunner().invoke(root, ["audit", "show", "--data", str(settings_.queue), "--format", "jsonl"])
    assert shown.stdout.count("Node Authentication") == len(strangers) - let_in, shown.stdout


async def test_a_title_is_shown_escaped(tmp_path: Path, certificates: Certificates) -> None:
    log, settings_ = Log(), configured(tmp_path, certificates, free_port())
    raw = bytearray(encode(build_request(STORE_CONTEXTS, called=CALLED, calling="EVIL")))
    raw[26:42] = b"\x1b[2J\nEVIL       "
    async with running(settings_, log):
        await said(settings_.listen_port, bytes(raw))
    assert all(line.isprintable() for line in log.lines), log.lines
    assert all(line.isprintable() for line in trail(settings_.queue).splitlines())


async def test_a_healthy_device_among_strangers(tmp_path: Path, certificates: Certificates) -> None:
    """Strangers that connect and hold on, from several addresses, take no place away from it."""
    far = FarSide()
    async with far_side(far, certificates) as server:
        settings_ = configured(tmp_path, certificates, server.port)
        async with running(settings_) as edge:
            held = [await connected(settings_.listen_port, f"127.0.1.{n % 8 + 1}") for n in range(80)]
            async with device(settings_) as association:
                for number in range(5):
                    assert await store(association, number) == 0
            await until(lambda: len(edge.queue) == 0, "all are delivered")
            for _, writer in held:
                writer.transport.abort()


async def test_the_record_of_strangers_is_bounded(tmp_path: Path) -> None:
    log = Log()
    with Record(tmp_path / "queue", CALLING, log) as record:
        for number in range(MESSAGES + 300):
            record.stranger(ELSEWHERE, "this address may not connect", f"AE{number % 9}")
    assert len(log.lines) == LINES + 1 and f"{MESSAGES + 300 - LINES} more" in log.lines[-1]
    assert "further attempts in a short time: 300" in trail(tmp_path / "queue")


def test_the_log_is_bounded() -> None:
    class Clock:
        time = 0.0

        def monotonic(self) -> float:
            return self.time

        def now(self) -> datetime:
            return datetime.now(UTC)

    log, clock = Log(), Clock()
    told = Sparing(log, clock)
    for number in range(1000):
        told(f"line {number}")
    clock.time += 11
    told("after")
    assert log.lines == [*(f"line {n}" for n in range(200)), "800 more lines within 10 s were left out", "after"]


# ---- the far side must prove itself ----------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["authority", "name", "plain"])
async def test_nothing_is_delivered_to_another_far_side(tmp_path: Path, certificates: Certificates, wrong: str) -> None:
    far, log = FarSide(), Log()
    theirs = issue(tmp_path / "others") if wrong == "authority" else certificates
    more = {"server_name": "other.example"} if wrong == "name" else {}
    async with far_side(far, theirs) as server:
        if wrong == "plain":
            plain = await asyncio.start_server(lambda reader, writer: writer.close(), HOST, 0)
            port = plain.sockets[0].getsockname()[1]
        else:
            port = server.port
        settings_ = configured(tmp_path, certificates, port, **more)
        async with running(settings_, log) as edge:
            async with device(settings_) as association:
                assert await store(association, 1) == 0
            await until(lambda: edge.line.up is False, "the line is refused")
            assert len(edge.queue) == 1 and not far.calls
        if wrong == "plain":
            plain.close()
    assert "TLS" in str(log) or "during" in str(log)


async def test_the_far_side_demands_our_certificate(tmp_path: Path, certificates: Certificates) -> None:
    """Ours is of another authority: the far side lets nothing in, and nothing is lost."""
    others, far = issue(tmp_path / "others"), FarSide()
    async with far_side(far, certificates) as server:
        settings_ = configured(tmp_path, others, server.port)
        (settings_.identity / "authority.pem").write_bytes(certificates.authority.read_bytes())
        async with running(settings_) as edge:
            async with device(settings_) as association:
                assert await store(association, 1) == 0
            await until(lambda: edge.line.up is False, "the line is refused")
            assert len(edge.queue) == 1 and not far.calls


# ---- hostile input of the device itself ------------------------------------------------------------------------------


_REQUEST = len(encode(build_request(STORE_CONTEXTS, called=CALLED, calling=CALLING)))


def _stored(number: int) -> bytes:
    """An association request and a C-STORE, as octets."""
    request = encode(build_request(STORE_CONTEXTS, called=CALLED, calling=CALLING))
    cutter = Fragmenter(1, 16384)
    command = encode_command(CStoreRequest(1, uids.CT_IMAGE_STORAGE, f"1.2.3.{number}"))
    return request + cutter.command(command) + cutter.data(data_set(number)) + cutter.finish()


def _broken() -> st.SearchStrategy[bytes]:
    """Octets of any kind; a store that ends in the middle; one with an octet changed."""
    whole = _stored(1)
    return st.one_of(
        st.binary(max_size=400),
        st.integers(0, len(whole)).map(lambda length: whole[:length]),
        st.tuples(st.integers(0, 500), st.integers(0, 255)).map(
            lambda change: whole[: change[0]] + bytes([change[1]]) + whole[change[0] + 1 :]
        ),
    )


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.data_too_large])
@given(st.lists(_broken(), min_size=30, max_size=30))
def test_octets_of_any_kind(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates, broken: list[bytes]
) -> None:
    async def main() -> None:
        far, log = FarSide(), Log()
        async with far_side(far, certificates) as server:
            settings_ = configured(tmp_path_factory.mktemp("edge"), certificates, server.port)
            async with running(settings_, log) as edge:
                for octets in broken:
                    _, writer = await connected(settings_.listen_port)
                    writer.write(octets)
                    writer.close()
                async with device(settings_) as association:
                    assert await store(association, 5) == 0
                await until(lambda: len(edge.queue) == 0, "all are delivered, or set aside")
        assert "1.2.3.5" in {instance for instance, _, _ in far.stored}
        assert "bug" not in str(log) and all(line.isprintable() for line in log.lines), log.lines

    asyncio.run(main())


async def test_a_pdu_of_four_gigabytes_ends_the_association(tmp_path: Path, certificates: Certificates) -> None:
    settings_ = configured(tmp_path, certificates, free_port())
    request = encode(build_request(STORE_CONTEXTS, called=CALLED, calling=CALLING))
    async with running(settings_):
        huge = [struct.pack(">BxI", kind, 0xFFFFFFFF) + bytes(1000) for kind in range(8)]
        answers = await asyncio.gather(*(said(settings_.listen_port, octets) for octets in huge))
        assert {answer[:1] for answer in answers} <= {b"", b"\x07"}
        answers = await asyncio.gather(*(said(settings_.listen_port, request + octets) for octets in huge))
        assert {answer[:1] for answer in answers} == {b"\x02"}


async def test_a_data_set_without_end_is_refused_and_then_cut_off(tmp_path: Path, certificates: Certificates) -> None:
    small = QueueLimits(reserve=0, largest=4 << 20)
    settings_ = structs.replace(configured(tmp_path, certificates, free_port()), limits=small)
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while True:
            sent += 65536
            yield bytes(65536)

    log = Log()
    async with running(settings_, log) as edge:
        with pytest.raises((AssociationAborted, ConnectionLost)):
            async with device(settings_) as association:
                await association.store(uids.CT_IMAGE_STORAGE, "1.2.3", endless())
        assert (len(edge.queue), edge.queue.octets) == (0, 0)
    assert sent < 64 << 20
    assert not list((settings_.queue / "incoming").iterdir())


async def test_a_large_data_set_passes_in_bounded_memory(tmp_path: Path, certificates: Certificates) -> None:
    size, far = 256 << 20, FarSide()

    async def source() -> Any:
        chunk = os.urandom(1 << 20)
        for _ in range(size >> 20):
            yield chunk

    async with far_side(far, certificates) as server:
        settings_ = configured(tmp_path, certificates, server.port)
        async with running(settings_) as edge:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            async with device(settings_) as association:
                assert await association.store(uids.CT_IMAGE_STORAGE, "1.2.3", source()) == 0
            await until(lambda: len(edge.queue) == 0, "it is delivered", 60)
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert len(far.stored) == 1
    assert grown < 64 << 20


async def test_a_device_that_says_nothing_is_let_go(
    tmp_path: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = Timeouts(associate=0.3, idle=0.3, write=1, release=0.2)
    monkeypatch.setattr(door.Door.__init__, "__kwdefaults__", {"timeouts": quick})
    settings_ = configured(tmp_path, certificates, free_port())
    request = encode(build_request(STORE_CONTEXTS, called=CALLED, calling=CALLING))
    async with running(settings_):
        for octets in (b"", request[:50], request, _stored(1)[:-100]):
            answer = await said(settings_.listen_port, octets)
            assert answer == b"" or answer[-10:-8] == b"\x07\0"
