"""While an association runs: a revocation ends it with the next PDU, other rules hold from the next request on."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from guard.relaying import table
from guard.survive.besieged import CT, HOST, Besieged, besieged, image
from leadapron.kernel.errors import AssociationRejected, WireError
from leadapron.wire import uids
from leadapron.wire.aio import ContextRequest
from leadapron.wire.dimse.command import CStoreRequest, encode_command
from leadapron.wire.dimse.fragments import fragment
from leadapron.wire.dimse.status import NOT_AUTHORIZED
from leadapron.wire.elements import Tag
from leadapron.wire.pdu import decode, encode
from peers.process import Peer, wait_until
from peers.raw import accept_all, header, request
from peers.servers import start_orthanc

PIECE = 16_000


class Sink:
    """An archive that takes whatever comes and counts its octets."""

    def __init__(self) -> None:
        self.octets = 0
        self.ended = threading.Event()
        self._listener = socket.create_server((HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.octets, self.ended = 0, threading.Event()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            sock.settimeout(60)
            head = sock.recv(6, socket.MSG_WAITALL)
            asked = decode(head[0], sock.recv(int.from_bytes(head[2:], "big"), socket.MSG_WAITALL))
            sock.sendall(accept_all(asked))  # type: ignore[arg-type]
            while octets := sock.recv(1 << 16):
                self.octets += len(octets)
        self.ended.set()

    def close(self) -> None:
        self._listener.close()


@dataclass
class Revoking:
    guard: Besieged
    sink: Sink


@pytest.fixture(scope="module")
def revoking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Revoking]:
    home = tmp_path_factory.mktemp("revoking")
    with contextlib.closing(Sink()) as sink:
        archive = Peer("sink", "PACS", sink.port, home)
        with besieged(home, archive, peers=("CT1", "CT2", "CT3", "GOOD"), web=False) as guard:
            yield Revoking(guard, sink)


@contextlib.contextmanager
def storing(guard: Besieged, ae: str) -> Iterator[ssl.SSLSocket]:
    """An association on which a C-STORE has begun."""
    with socket.create_connection((HOST, guard.port), 10) as plain:
        plain.settimeout(20)
        with guard.house.context(ae).wrap_socket(plain, server_hostname="localhost") as sock:
            asked = request([ContextRequest(CT, (uids.EXPLICIT_LE,))])
            sock.sendall(encode(type(asked)("PACS", ae, asked.contexts, asked.user)))
            kind = sock.recv(65536)
            assert kind[0] == 2
            sock.sendall(b"".join(fragment(1, encode_command(CStoreRequest(1, CT, "1.2.3")), None, 16384)))
            yield sock


def piece() -> bytes:
    inner = struct.pack(">IBB", PIECE + 2, 1, 0) + bytes(PIECE)
    return header(4, len(inner)) + inner


def told_to_leave(sock: ssl.SSLSocket) -> bool:
    """Whether an A-ABORT comes, or the connection ends; fails when neither does."""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        heard = sock.recv(100)
        return heard == b"" or heard[0] == 7
    return True


def test_the_next_PDU_after_a_revocation_does_not_pass(revoking: Revoking) -> None:
    """Sent one by one: not an octet of the next PDU reaches the archive, and what was begun is not taken for whole."""
    guard, sink = revoking.guard, revoking.sink
    with storing(guard, "CT1") as sock:
        for _ in range(3):
            sock.sendall(piece())
        wait_until(lambda: sink.octets > 3 * PIECE, "they have passed")
        passed = sink.octets
        guard.house.registry.revoke("CT1", "stolen")
        with contextlib.suppress(OSError):
            for _ in range(3):
                sock.sendall(piece())
        assert told_to_leave(sock)
        assert sink.ended.wait(10)
        assert sink.octets - passed <= 10, "the A-ABORT, and nothing else"


def test_half_a_PDU_passes_and_the_next_one_does_not(revoking: Revoking) -> None:
    guard, sink = revoking.guard, revoking.sink
    with storing(guard, "CT2") as sock:
        sock.sendall(piece() + piece()[: PIECE // 2])
        wait_until(lambda: sink.octets > PIECE, "the first has passed")
        done = guard.lead("peer", "revoke", "CT2", "--why", "sold", "--config", guard.config)  # another process
        assert done.code == 0, done.err
        before = sink.octets
        with contextlib.suppress(OSError):
            sock.sendall(piece()[PIECE // 2 :] + piece())
        assert told_to_leave(sock)
        assert sink.ended.wait(10)
        assert sink.octets - before <= len(piece()) + 10


def test_octets_that_pass_at_full_speed(revoking: Revoking) -> None:
    """A sender that goes as fast as it can: what reaches the archive after `revoke` has come back is at most what stood
    in the sockets between guard and archive. (Seen: the A-ABORT's 10 octets, for `revoke` comes back when it is on
    disk, and the guard sees it with the next PDU.)"""
    guard, sink = revoking.guard, revoking.sink
    many = piece() * 60
    with storing(guard, "CT3") as sock:
        over = threading.Event()

        def send() -> None:
            with contextlib.suppress(OSError):
                while not over.is_set():
                    sock.sendall(many)

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        try:
            wait_until(lambda: sink.octets > 50_000_000, "it runs")
            guard.house.registry.revoke("CT3", "stolen")
            passed, begin = sink.octets, time.monotonic()
            assert sink.ended.wait(10)
            assert time.monotonic() - begin < 5
            assert sink.octets - passed < 16_000_000
        finally:
            over.set()
            thread.join(20)
        assert not thread.is_alive()


async def test_who_was_revoked_does_not_come_again(revoking: Revoking) -> None:
    for ae in ("CT1", "CT2", "CT3"):
        with pytest.raises(WireError):
            async with revoking.guard.associate(ae):
                pass
    with contextlib.suppress(WireError):
        async with revoking.guard.associate("GOOD") as association:
            await association.abort()


# ---- other rules -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Besieged]:
    home = tmp_path_factory.mktemp("rules")
    with start_orthanc(home / "archive", ae="PACS") as archive, besieged(home, archive, web=False) as guard:
        yield guard


async def test_other_rules_hold_for_a_running_association_and_do_not_drop_it(guard: Besieged, tmp_path: Path) -> None:
    data = image("1.2.840.99.4.1", bytes(1000))
    study = [(Tag.QueryRetrieveLevel, "CS", "STUDY"), (Tag.StudyInstanceUID, "UI", "1.2.840.99.1")]
    async with guard.associate() as association:
        assert await association.store(CT, "1.2.840.99.4.1", data) == 0
        guard.rules(table("GOOD", may=("echo", "find")), table("EVIL"))
        assert await association.echo() == 0
        assert await association.store(CT, "1.2.840.99.4.1", data) == NOT_AUTHORIZED
        answers = association.find(uids.STUDY_ROOT_FIND, study)
        assert len([one async for one in answers]) == 1
        guard.rules(table("GOOD", may=("echo", "store")), table("EVIL"))
        assert await association.store(CT, "1.2.840.99.4.1", data) == 0
        answers = association.find(uids.STUDY_ROOT_FIND, study)
        assert [one async for one in answers] == [] and answers.status == NOT_AUTHORIZED
        # A file that cannot be read changes nothing, and says so.
        text = guard.config.read_text()
        guard.config.write_text(text + "\n[[guard.peer]]\nname = ")
        guard.up.until("it is said", lambda: "leadapron.toml:" in guard.up.err or "TOML" in guard.up.err)
        assert await association.echo() == 0
        assert await association.store(CT, "1.2.840.99.4.1", data) == 0
        guard.config.write_text(text)
        # Nor does the rest of the file, which is read at the start only.
        guard.config.write_text(text + "\n[guard.wbe]\n")
        guard.up.until("it is said", lambda: "The closest one is guard.web. The guard goes on" in guard.up.err)
        guard.config.write_text(text + "\n[guard.audit]\nkeep_days = 7\n")
        guard.up.until("it is said", lambda: "they hold from the next start" in guard.up.err)
        assert await association.echo() == 0
        guard.config.write_text(text)
        # Who is taken out of the file is shown the door with the next request.
        guard.rules(table("EVIL"))
        with pytest.raises(WireError):
            await association.echo()
    with pytest.raises(AssociationRejected):
        async with guard.associate():
            pass
    guard.rules(table("GOOD"), table("EVIL"))
    async with guard.associate() as association:
        assert await association.echo() == 0
