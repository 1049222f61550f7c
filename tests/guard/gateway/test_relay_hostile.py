"""Who is not to get in, and what is not to get through: strangers, archives that die, floods, and peers that dawdle."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from guard.relaying import House, Running, guard, table
from leadapron.guard.audit.codes import Outcome
from leadapron.guard.audit.events import InstancesTransferred, NodeAuthenticationFailed
from leadapron.guard.gateway.dimse.server import Contexts
from leadapron.guard.identity.contexts import server_context
from leadapron.guard.settings import Limits
from leadapron.kernel.errors import AssociationAborted, AssociationRejected, NotAccepted, WireError
from leadapron.wire import uids
from leadapron.wire.aio import ContextRequest, StoreRequest, Timeouts, associate, client_context
from leadapron.wire.dimse.command import CStoreRequest, encode_command
from leadapron.wire.dimse.fragments import fragment
from leadapron.wire.elements import Tag
from leadapron.wire.pdu import Abort, AssociateReject, decode, encode
from peers.certificates import Certificates
from peers.process import HOST, Peer, free_port, wait_until
from peers.raw import accept_all, request
from peers.servers import start_orthanc

SOON = Timeouts(connect=5, tls=5, associate=8, response=8, idle=8, write=8, release=3)
CT = uids.CT_IMAGE_STORAGE
STUDY = [(Tag.QueryRetrieveLevel, "CS", "STUDY"), (Tag.StudyInstanceUID, "UI", "1.2.3")]
CONTEXTS = [
    ContextRequest(uid, scp=uid == uids.MR_IMAGE_STORAGE)
    for uid in (
        uids.VERIFICATION,
        CT,
        uids.MR_IMAGE_STORAGE,
        uids.STUDY_ROOT_FIND,
        uids.STUDY_ROOT_MOVE,
        uids.STUDY_ROOT_GET,
        uids.STORAGE_COMMITMENT_PUSH,
        uids.MODALITY_WORKLIST_FIND,
    )
]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    house = House.build(tmp_path_factory.mktemp("house"))
    for name in ("CT1", "WS1", "GONE"):
        house.enrol(name)
    house.registry.revoke("GONE", "sold")
    return house


@pytest.fixture(scope="module")
def orthanc_(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with start_orthanc(tmp_path_factory.mktemp("archive")) as peer:
        yield peer


# ---- strangers ------------------------------------------------------------------------------------------------------


async def _echo(association: Any) -> int:
    return int(await association.echo())


async def _store(association: Any) -> int:
    return int(await association.store(CT, "1.2.3", b"\x08\0\x60\0CS\2\0CT"))


async def _find(association: Any) -> int:
    answers = association.find(uids.STUDY_ROOT_FIND, STUDY)
    assert [answer async for answer in answers] == []
    return int(answers.status)


async def _move(association: Any) -> int:
    return int((await association.move(uids.STUDY_ROOT_MOVE, "WS1", STUDY)).status)


async def _get(association: Any) -> int:
    async def keep(instance: StoreRequest) -> int:
        raise AssertionError("an object came")

    return int((await association.get(uids.STUDY_ROOT_GET, STUDY, keep)).status)


async def _commit(association: Any) -> int:
    return int((await association.n_action(uids.STORAGE_COMMITMENT_PUSH, "1.2.840.10008.1.20.1.1", 1, STUDY)).status)


OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "echo": _echo,
    "store": _store,
    "find": _find,
    "move": _move,
    "get": _get,
    "commit": _commit,
}


def _foreign(house: House, certificates: Certificates) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(house.peers["CT1"] / "authority.pem"))
    context.load_cert_chain(certificates.client_certificate, certificates.client_key)
    return context


def _anonymous(house: House, certificates: Certificates) -> ssl.SSLContext:
    return ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(house.peers["CT1"] / "authority.pem"))


STRANGERS: dict[str, tuple[Callable[[House, Certificates], ssl.SSLContext | None], str]] = {
    "plaintext": (lambda house, _: None, "CT1"),
    "no certificate": (_anonymous, "CT1"),
    "another authority": (_foreign, "CT1"),
    "revoked": (lambda house, _: house.context("GONE"), "GONE"),
    "another's title": (lambda house, _: house.context("WS1"), "CT1"),
    "unknown title": (lambda house, _: house.context("WS1"), "NOBODY"),
    "wrong address": (lambda house, _: house.context("WS1"), "WS1"),
}
RULES = table("CT1") + table("GONE") + table("WS1", from_=["192.0.2.0/24"])


@pytest.mark.parametrize("stranger", STRANGERS)
async def test_a_stranger_gets_nothing(stranger: str, house: House, orthanc_: Peer, certificates: Certificates) -> None:
    """Every kind of stranger × every operation: none succeeds, each attempt leaves one message, and none hangs."""
    make, calling = STRANGERS[stranger]
    with guard(house, (HOST, orthanc_.port, orthanc_.ae), RULES) as running:
        for number, operation in enumerate(OPERATIONS.values(), 1):
            before = time.monotonic()
            with pytest.raises(WireError):
                async with associate(
                    HOST,
                    running.port,
                    called=orthanc_.ae,
                    calling=calling,
                    contexts=CONTEXTS,
                    tls=make(house, certificates),
                    timeouts=SOON,
                ) as association:
                    await operation(association)
                    raise AssertionError("a stranger was let in")
            assert time.monotonic() - before < 8
            await asyncio.to_thread(running.wait_told, NodeAuthenticationFailed, number)
            assert len(running.events) == number


@pytest.mark.parametrize("may", [(), *((one,) for one in ("echo", "store", "find", "retrieve", "commit", "worklist"))])
async def test_what_is_not_allowed_is_not_even_offered(may: tuple[str, ...], house: House, orthanc_: Peer) -> None:
    """Each operation without its permission ends in a refusal, never in a hang; with it, it reaches the archive."""
    needs = {
        "echo": "echo",
        "store": "store",
        "find": "find",
        "move": "retrieve",
        "get": "retrieve",
        "commit": "commit",
    }
    with guard(house, (HOST, orthanc_.port, orthanc_.ae), table("CT1", may=may)) as running:
        for name, operation in OPERATIONS.items():
            outcome: int | None = None
            try:
                async with associate(
                    HOST, running.port, called=orthanc_.ae, calling="CT1", contexts=CONTEXTS,
                    tls=house.context("CT1"), timeouts=SOON,
                ) as association:  # fmt: skip
                    outcome = await operation(association)
            except (NotAccepted, AssociationRejected):
                outcome = None
            except AssociationAborted:  # Orthanc, of a request for commitment that names nothing
                assert name == "commit" and "commit" in may
                continue
            if needs[name] in may and name not in ("move", "commit"):
                assert outcome is not None and outcome != 0x0124
            elif name == "move" and needs[name] in may:
                assert outcome == 0xA801  # no destination is allowed
            elif needs[name] not in may:
                assert outcome is None


async def test_the_archive_is_not_told_of_what_a_peer_may_not(house: House) -> None:
    """What it is offered has the contexts and roles that the rules leave, and nothing of who is behind the guard."""
    seen: list[Any] = []
    with _archive(lambda sock: seen.append(_associate(sock))) as port:
        rules = table("CT1", may=("echo", "retrieve"))
        with guard(house, (HOST, port, "PACS"), rules) as running:
            async with associate(
                HOST, running.port, called="PACS", calling="CT1", contexts=CONTEXTS,
                tls=house.context("CT1"), timeouts=SOON,
            ) as association:  # fmt: skip
                accepted = {context.abstract_syntax for context in association.contexts}
                await association.abort()
            running.quiet()
    offered = {context.abstract_syntax: context.id for context in seen[0].contexts}
    assert set(offered) == accepted
    assert accepted == {uids.VERIFICATION, uids.MR_IMAGE_STORAGE, uids.STUDY_ROOT_MOVE, uids.STUDY_ROOT_GET}
    assert [(role.scu, role.scp) for role in seen[0].user.roles] == [(False, True)]
    assert seen[0].user.implementation_class_uid == uids.IMPLEMENTATION_CLASS_UID
    assert seen[0].user.asynchronous is None and seen[0].user.user_identity is None


async def test_called_by_another_name(house: House, orthanc_: Peer) -> None:
    with guard(house, (HOST, orthanc_.port, orthanc_.ae), table("CT1")) as running:
        with pytest.raises(AssociationRejected) as caught:
            async with associate(
                HOST, running.port, called="OTHER", calling="CT1", contexts=CONTEXTS, tls=house.context("CT1"),
                timeouts=SOON,
            ):  # fmt: skip
                pass
        assert (caught.value.result, caught.value.source, caught.value.reason) == (1, 1, 7)


async def test_an_archive_of_two_titles(house: House, tmp_path: Path) -> None:
    """The archive itself checks whom one calls: each title arrives as it was called, on both doors, and no other."""
    back = free_port()
    with (
        start_orthanc(tmp_path / "archive", {"DicomCheckCalledAet": True}, ae="PACSQR") as archive,
        guard(
            house, (HOST, archive.port, "PACS"), table("CT1", receive=f"{HOST}:1"), also=("PACSQR",), back=back
        ) as it,
    ):

        async def called(title: str) -> int:
            context = house.context("CT1")
            async with associate(
                HOST, it.port, called=title, calling="CT1", contexts=CONTEXTS, tls=context, timeouts=SOON
            ) as association:
                return int(await association.echo())

        async def delivered(title: str) -> str:
            with pytest.raises(AssociationRejected):
                async with associate(HOST, back, called="CT1", calling=title, contexts=CONTEXTS, timeouts=SOON):
                    pass
            return str(it.told(NodeAuthenticationFailed)[-1].reason)

        assert await called("PACSQR") == 0
        with pytest.raises(AssociationRejected, match=r"called AE title|congestion"):
            await called("PACS")  # this archive has not that one
        with pytest.raises(AssociationRejected):
            await called("OTHER")
        assert "CT1 did not take it" in await delivered("PACSQR") and "CT1 did not take it" in await delivered("PACS")
        assert "another calling AE title" in await delivered("OTHER")


# ---- archives that are down, or die ---------------------------------------------------------------------------------


def _receive(sock: socket.socket, size: int) -> bytes:
    octets = b""
    while len(octets) < size:
        more = sock.recv(size - len(octets))
        if not more:
            raise ConnectionError
        octets += more
    return octets


def _pdu(sock: socket.socket) -> tuple[int, bytes]:
    kind, length = struct.unpack(">BxI", _receive(sock, 6))
    return kind, _receive(sock, length)


def _associate(sock: socket.socket) -> Any:
    kind, body = _pdu(sock)
    assert kind == 1
    asked = decode(1, body)
    sock.sendall(accept_all(asked))  # type: ignore[arg-type]
    return asked


@contextlib.contextmanager
def _archive(script: Callable[[socket.socket], Any]) -> Iterator[int]:
    """An archive that follows ``script`` for each connection, then waits until the other side leaves."""
    listener = socket.create_server((HOST, 0))

    def serve(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            sock.settimeout(20)
            script(sock)
            while sock.recv(65536):
                pass

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


def _reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    raise OSError


def _dies(phase: str) -> Callable[[socket.socket], None]:
    def script(sock: socket.socket) -> None:
        if phase == "connected":
            _reset(sock)
        _associate(sock)
        if phase == "associated":
            _reset(sock)
        _pdu(sock)
        if phase == "command":
            _reset(sock)
        _receive(sock, 20_000)
        if phase == "data":
            _reset(sock)
        if phase == "abort":
            sock.sendall(encode(Abort(0, 0)))
            return
        while True:
            kind, body = _pdu_rest(sock)
            if kind == 4 and body[5] & 3 == 2:
                break
        if phase == "answer":
            sock.sendall(b"\4\0\0\0\0\x50\0\0\0\x4c\1\3")  # the beginning of one
        _reset(sock)

    return script


def _pdu_rest(sock: socket.socket) -> tuple[int, bytes]:
    """PDUs after 20,000 octets of a stream whose first PDU was cut: found again by the end of what is sent."""
    octets = sock.recv(1 << 20)
    if not octets:
        raise ConnectionError
    return 4, bytes(5) + bytes((2,)) if octets.endswith(b"THE END!") else bytes(6)


@pytest.mark.parametrize("phase", ["connected", "associated", "command", "data", "abort", "end", "answer"])
async def test_an_archive_that_dies_is_never_taken_for_success(phase: str, house: House) -> None:
    with _archive(_dies(phase)) as port, guard(house, (HOST, port, "PACS"), table("CT1")) as running:
        with pytest.raises((AssociationAborted, AssociationRejected)) as caught:
            async with associate(
                HOST, running.port, called="PACS", calling="CT1", contexts=[ContextRequest(CT)],
                tls=house.context("CT1"), timeouts=SOON,
            ) as association:  # fmt: skip
                await association.store(CT, "1.2.3", bytes(3_000_000) + b"THE END!")
        if phase == "connected":
            assert isinstance(caught.value, AssociationRejected)
            assert (caught.value.result, caught.value.source) == (2, 3)
        running.quiet()
        assert all(event.outcome is not Outcome.SUCCESS for event in running.told(InstancesTransferred))
        assert phase in ("connected", "associated", "command") or len(running.told(InstancesTransferred)) == 1


async def test_an_archive_that_is_not_there(house: House) -> None:
    with socket.create_server((HOST, 0)) as gone:
        port = gone.getsockname()[1]
    with guard(house, (HOST, port, "PACS"), table("CT1")) as running:
        with pytest.raises(AssociationRejected) as caught:
            async with associate(
                HOST, running.port, called="PACS", calling="CT1", contexts=CONTEXTS, tls=house.context("CT1"),
                timeouts=SOON,
            ):  # fmt: skip
                pass
        assert (caught.value.result, caught.value.source, caught.value.reason) == (2, 3, 1)


async def test_whoever_watches_the_guard_hears_that_the_archive_takes_nothing_and_when_it_does(house: House) -> None:
    refusing = True

    def script(sock: socket.socket) -> None:
        if refusing:
            _pdu(sock)
            sock.sendall(encode(AssociateReject(1, 1, 7)))
        else:
            _associate(sock)

    with _archive(script) as port, guard(house, (HOST, port, "PACS"), table("CT1")) as running:
        for refusing in (True, True, False, False):  # noqa: B007 (the script looks at it)
            with contextlib.suppress(AssociationRejected):
                async with associate(
                    HOST, running.port, called="PACS", calling="CT1", contexts=CONTEXTS, tls=house.context("CT1"),
                    timeouts=SOON,
                ) as association:  # fmt: skip
                    await association.abort()
        running.quiet()
    no, yes = running.said  # each once
    assert no.startswith(f"the archive PACS at {HOST}:{port} takes no associations: ") and "called AE title" in no
    assert yes == f"the archive PACS at {HOST}:{port} takes associations again"


@pytest.mark.parametrize("silent", ["association", "answer"])
async def test_an_archive_that_is_silent(silent: str, house: House) -> None:
    script: Callable[[socket.socket], Any] = _associate if silent == "answer" else lambda sock: _pdu(sock)
    hasty = Limits(associate_s=0.7, handshake_s=3, idle_s=5, response_s=0.7)
    with (
        _archive(script) as port,
        guard(house, (HOST, port, "PACS"), table("CT1"), limits=hasty) as running,
        pytest.raises((AssociationRejected, AssociationAborted)),
    ):
        async with associate(
            HOST, running.port, called="PACS", calling="CT1", contexts=CONTEXTS, tls=house.context("CT1"),
            timeouts=SOON,
        ) as association:  # fmt: skip
            await association.echo()


# ---- peers that dawdle, floods --------------------------------------------------------------------------------------


def _peer(house: House, running: Running, octets: bytes) -> ssl.SSLSocket:
    """A connection of CT1 with an association, and what it sends then."""
    sock = house.context("CT1").wrap_socket(
        socket.create_connection((HOST, running.port), timeout=10), server_hostname=HOST
    )
    asked = request([ContextRequest(CT), ContextRequest(uids.VERIFICATION)])
    sock.sendall(encode(type(asked)("PACS", "CT1", asked.contexts, asked.user)))
    assert _receive(sock, 6)[0] == 2  # type: ignore[arg-type]
    sock.sendall(octets)
    return sock


HASTY = Limits(associate_s=1, handshake_s=1, idle_s=1, response_s=1)
COMMAND = b"".join(fragment(1, encode_command(CStoreRequest(1, CT, "1.2.3")), None, 16384))


@pytest.mark.parametrize(
    "octets",
    [b"", COMMAND, COMMAND + struct.pack(">BxIIBB", 4, 100_000, 99_996, 1, 0) + bytes(10), b"\4\0\0"],
    ids=["idle", "no data set", "half a PDU", "half a header"],
)
def test_a_peer_that_says_no_more_is_left(octets: bytes, house: House) -> None:
    with (
        _archive(_associate) as port,
        guard(house, (HOST, port, "PACS"), table("CT1"), limits=HASTY) as running,
        _peer(house, running, octets) as sock,
    ):
        heard = b""
        while more := sock.recv(65536):
            heard += more
        assert heard[-10:-8] == b"\7\0"
        running.quiet()


def test_a_slow_archive_holds_the_sender_back(house: House) -> None:
    """Nothing is piled up in the guard: what the archive does not take stays with the sender."""
    go = threading.Event()

    def script(sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        _associate(sock)
        go.wait(20)

    with (
        _archive(script) as port,
        guard(house, (HOST, port, "PACS"), table("CT1")) as running,
        _peer(house, running, COMMAND) as sock,
    ):
        sock.settimeout(1.0)
        before = psutil.Process().memory_info().rss
        sent = 0
        piece = struct.pack(">BxIIBB", 4, 16384, 16380, 1, 0) + bytes(16378)
        with contextlib.suppress(TimeoutError):
            while sent < 200_000_000:
                sock.sendall(piece * 16)
                sent += 16 * len(piece)
        go.set()
        assert sent < 40_000_000
        assert psutil.Process().memory_info().rss - before < 40_000_000


def test_strangers_by_the_hundred_while_a_peer_works(house: House, orthanc_: Peer) -> None:
    """Connections that say nothing, noise, oversized headers, an A-ASSOCIATE-RQ full of tiny items: a healthy peer sees
    no error, and memory stays."""
    limits = Limits(connections=64, per_address=24, associate_s=2, handshake_s=2, idle_s=20, response_s=20)
    tiny = b"\1\0\xff\0\0\0" * 100
    fixed = struct.pack(">Hxx", 1) + b"PACS".ljust(16) + b"CT1".ljust(16) + bytes(32)
    body = fixed + b"\x50\0\xfd\0" + b"\x99\0\0\0" * (0xFD00 // 4)
    attacks = [b"", b"GET / HTTP/1.0\r\n\r\n", os.urandom(3000), b"\x16\x03\x01\xff\xff" + bytes(100), tiny]
    within = [struct.pack(">BxI", 1, 0x7FFFFFFF), struct.pack(">BxI", 1, len(body)) + body, b"HELLO", b"\4\0\0\0\0\6"]
    over = threading.Event()
    attempts = itertools.count()

    def attack(number: int) -> None:
        while not over.is_set():
            next(attempts)
            with contextlib.suppress(OSError):
                sock: Any = socket.create_connection((HOST, running.port), 2, source_address=(f"127.0.9.{number}", 0))
                with sock:
                    sock.settimeout(1)
                    if number % 2:
                        sock = house.context("CT1").wrap_socket(sock, server_hostname=HOST)
                        sock.sendall(within[number // 2 % len(within)])
                    else:
                        sock.sendall(attacks[number // 2 % len(attacks)])
                    sock.recv(100)

    with guard(house, (HOST, orthanc_.port, orthanc_.ae), table("CT1"), limits=limits) as running:
        before = psutil.Process().memory_info().rss
        threads = [threading.Thread(target=attack, args=(number,), daemon=True) for number in range(1, 17)]
        for thread in threads:
            thread.start()

        async def work() -> None:
            for _ in range(15):
                async with associate(
                    HOST, running.port, called=orthanc_.ae, calling="CT1", contexts=CONTEXTS,
                    tls=house.context("CT1"), timeouts=SOON,
                ) as association:  # fmt: skip
                    assert await association.echo() == 0

        try:
            asyncio.run(work())
            wait_until(lambda: next(attempts) > 100, "a hundred attacks")
        finally:
            over.set()
            for thread in threads:
                thread.join(10)
        assert psutil.Process().memory_info().rss - before < 100_000_000


def test_too_many_of_one_address_are_closed_before_anything_is_read(house: House, orthanc_: Peer) -> None:
    limits = Limits(connections=10, per_address=3, handshake_s=5, associate_s=5, idle_s=5, response_s=5)
    with (
        guard(house, (HOST, orthanc_.port, orthanc_.ae), table("CT1"), limits=limits) as running,
        contextlib.ExitStack() as stack,
    ):
        socks = [stack.enter_context(socket.create_connection((HOST, running.port))) for _ in range(4)]
        socks[3].settimeout(5)
        with contextlib.suppress(ConnectionResetError):
            assert socks[3].recv(1) == b""
        (told,) = running.wait_told(NodeAuthenticationFailed)
        assert told.reason == "too many connections"


# ---- the ways in which a guard runs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, None], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("secure", [False, True], ids=["plain inside", "TLS inside"])
async def test_either_loop_and_either_inside(
    factory: Callable[[], asyncio.AbstractEventLoop] | None, secure: bool, house: House, certificates: Certificates,
    orthanc: Any,
) -> None:  # fmt: skip
    """Large objects, both ways: 20 MB in, and out again by C-GET."""
    archive = orthanc(tls=certificates) if secure else orthanc()
    inside = client_context(authorities=certificates.authority) if secure else None
    pixels = os.urandom(20_000_000)
    head = (
        b"\x08\0\x16\0UI\x1a\0" + CT.encode() + b"\0" + b"\x08\0\x18\0UI\x06\x001.2.3\0" + b"\x08\0\x60\0CS\2\0CT"
        b"\x10\0\x20\0LO\2\0P1" + b"\x20\0\x0d\0UI\x06\x001.2.4\0" + b"\x20\0\x0e\0UI\x06\x001.2.5\0"
    )
    octets = head + b"\xe0\x7f\x10\0OW\0\0" + struct.pack("<I", len(pixels)) + pixels
    back: list[bytes] = []

    async def keep(instance: StoreRequest) -> int:
        back.append(b"".join([bytes(chunk) async for chunk in instance]))
        return 0

    with guard(
        house, (HOST, archive.port, archive.ae), table("CT1"), loop=factory,
        tls=lambda house: Contexts(server_context(house.home), archive=inside),
    ) as running:  # fmt: skip
        async with associate(
            HOST, running.port, called=archive.ae, calling="CT1", tls=house.context("CT1"), timeouts=SOON,
            contexts=[ContextRequest(CT, (uids.EXPLICIT_LE,), scp=True), ContextRequest(uids.STUDY_ROOT_GET)],
        ) as association:  # fmt: skip
            assert await association.store(CT, "1.2.3", octets) == 0
            study = [(Tag.QueryRetrieveLevel, "CS", "STUDY"), (Tag.StudyInstanceUID, "UI", "1.2.4")]
            assert (await association.get(uids.STUDY_ROOT_GET, study, keep)).status == 0
        assert [octets[-len(pixels) :] == whole[-len(pixels) :] for whole in back] == [True]


async def test_a_guard_that_closes_lets_associations_end(house: House, orthanc_: Peer) -> None:
    """Within the grace an association goes on; after it both sides are aborted."""
    with guard(house, (HOST, orthanc_.port, orthanc_.ae), table("CT1"), grace=1.0) as running:
        async with associate(
            HOST, running.port, called=orthanc_.ae, calling="CT1", contexts=CONTEXTS, tls=house.context("CT1"),
            timeouts=SOON,
        ) as association:  # fmt: skip
            assert running.loop is not None and running.server is not None
            closing = asyncio.run_coroutine_threadsafe(running.server.close(), running.loop)
            assert await association.echo() == 0
            await asyncio.to_thread(closing.result, 10)
            with pytest.raises(WireError):
                await association.echo()


@pytest.mark.parametrize(
    ("stranger", "reason"),
    [
        ("plaintext", "not TLS"),
        ("no certificate", "no certificate"),
        ("another authority", "certificate of another authority"),
        ("revoked", "certificate revoked"),
        ("another's title", "certificate bound to another AE title"),
        ("wrong address", "it comes from '127.0.0.1', which is not in its list"),
    ],
)
async def test_the_trail_says_why(
    stranger: str, reason: str, house: House, orthanc_: Peer, certificates: Certificates
) -> None:
    make, calling = STRANGERS[stranger]
    with guard(house, (HOST, orthanc_.port, orthanc_.ae), RULES) as running:
        with contextlib.suppress(WireError):
            async with associate(
                HOST, running.port, called=orthanc_.ae, calling=calling, contexts=CONTEXTS,
                tls=make(house, certificates), timeouts=SOON,
            ):  # fmt: skip
                pass
        (told,) = await asyncio.to_thread(running.wait_told, NodeAuthenticationFailed)
        assert told.reason == reason
        assert told.address == HOST
