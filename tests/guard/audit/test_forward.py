"""Syslog over TLS to a real collector: nothing lost however it dies, in order, whole, and only to whom it is meant."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from guard.audit.happenings import ALERT, KEY, QUERY
from leadapron.guard.audit.forward import Forwarder, Pace
from leadapron.guard.audit.place import Place
from leadapron.guard.audit.syslog import Collector, frame
from leadapron.guard.audit.trail import Trail
from leadapron.kernel.errors import UsageError
from peers.certificates import Certificates, issue
from peers.process import free_port, listening, wait_until

COLLECTING = Path(__file__).with_name("collecting.py")
PACE = Pace(linger=0.3, first_retry=0.05, last_retry=0.4, connect=5, send=10, close=10, poll=0.1)


@dataclass
class Repository:
    """The collector's process, its file, and what stands in it."""

    home: Path
    certificates: Certificates
    port: int = field(default_factory=free_port)
    manner: str = "polite"
    delay: float = 0.0
    mutual: bool = False
    process: subprocess.Popen[bytes] | None = None

    @property
    def file(self) -> Path:
        return self.home / "collected"

    @property
    def address(self) -> str:
        return f"localhost:{self.port}"

    def settings(self) -> Collector:
        known = self.certificates
        own = (str(known.client_certificate), str(known.client_key)) if self.mutual else (None, None)
        return Collector(address=self.address, ca=str(known.authority), certificate=own[0], key=own[1])

    def start(self) -> None:
        known = self.certificates
        authority = str(known.authority) if self.mutual else "-"
        with (self.home / "collector.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, COLLECTING, str(self.port), known.server_certificate, known.server_key),
                    *(authority, self.file, self.manner, str(self.delay)),
                ],
                stdout=log,
                stderr=log,
            )
        wait_until(lambda: listening(self.port), "the collector listens", 20)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def collected(self) -> list[list[str]]:
        """The messages it has: PRI, time, host, application, process, MSGID, structured data, text. A last line that
        it could not finish is none."""
        if not self.file.exists():
            return []
        lines = self.file.read_bytes().split(b"\n")
        messages = []
        for line in lines:
            try:
                messages.append(json.loads(line))
            except ValueError:
                continue
        return messages

    def numbers(self) -> list[int]:
        return [int(message[6].split('"')[1]) for message in self.collected()]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return issue(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def repository(tmp_path: Path, known: Certificates) -> Iterator[Repository]:
    found = Repository(tmp_path, known)
    yield found
    found.kill()


@contextmanager
def forwarding(trail: Trail, settings: Collector, pace: Pace = PACE) -> Iterator[Forwarder]:
    forwarder = Forwarder(trail, settings, pace=pace, host="guard.example")
    thread = threading.Thread(target=forwarder.work)
    thread.start()
    try:
        yield forwarder
    finally:
        forwarder.stop()
        thread.join(30)
        assert not thread.is_alive()


def in_order(numbers: list[int], last: int) -> bool:
    """Each is there, and the first copies are in order."""
    return list(dict.fromkeys(numbers)) == list(range(1, last + 1))


# ---- one message ----------------------------------------------------------------------------------------------------


def test_a_frame_octet_by_octet() -> None:
    when = datetime(2026, 11, 22, 9, 30, 15, 123456, UTC)
    framed = frame(7, when, "<é/>".encode(), "guard.example")
    count, _, message = framed.partition(b" ")
    assert int(count) == len(message)
    head, _, text = message.partition(b"\xef\xbb\xbf")
    pri, stamp, host, application, _, message_id, data = head.rstrip().split(b" ", 6)
    assert (pri, stamp, host) == (b"<85>1", b"2026-11-22T09:30:15.123456Z", b"guard.example")
    assert (application, message_id, data) == (b"leadapron", b"DICOM+RFC3881", b'[meta sequenceId="7"]')
    assert text.decode() == "<é/>"


def test_odd_host_names_and_large_numbers_stay_within_rfc_5424() -> None:
    framed = frame(2**31 + 5, datetime.now(UTC), b"<a/>", "büro pc\n" + "x" * 400)
    host = framed.split(b" ")[3]
    assert len(host) == 255 and host.startswith(b"b-ro-pc-x")
    assert b'sequenceId="6"' in framed


@pytest.mark.parametrize(
    ("address", "endpoint"),
    [
        ("audit.example", ("audit.example", 6514)),
        ("audit.example:7000", ("audit.example", 7000)),
        ("[2001:db8::1]:7000", ("2001:db8::1", 7000)),
        ("2001:db8::1", ("2001:db8::1", 6514)),
    ],
)
def test_addresses(address: str, endpoint: tuple[str, int]) -> None:
    assert Collector(address=address).endpoint() == endpoint


@pytest.mark.parametrize("address", ["", ":6514", "a:0", "a:99999", "a:b"])
def test_bad_addresses(address: str) -> None:
    with pytest.raises(UsageError):
        Collector(address=address).endpoint()


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    with Trail(tmp_path, KEY) as trail, pytest.raises(UsageError, match="nowhere"):
        Forwarder(trail, Collector(address="localhost:1", ca="/nowhere.pem"))


# ---- to a collector -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("manner", ["polite", "abrupt"])
@pytest.mark.parametrize("mutual", [False, True])
def test_all_arrives_whole_and_once(tmp_path: Path, repository: Repository, manner: str, mutual: bool) -> None:
    repository.manner, repository.mutual = manner, mutual
    repository.start()
    large = replace(QUERY, query=b"\x00\xff" * 60_000)  # far beyond 32,768 octets
    with Trail(tmp_path, KEY) as trail:
        for event in (QUERY, ALERT, large, ALERT):
            trail.record(event)
        with forwarding(trail, repository.settings()) as forwarder:
            wait_until(lambda: forwarder.state.sent == 4, "all is confirmed", 20)
            trail.record(ALERT)
            wait_until(lambda: forwarder.state.sent == 5, "what came later is confirmed", 20)
        assert forwarder.state.trouble is None
        expected = [trail.chain.open(record).decode() for record in _records(trail)]
    messages = repository.collected()
    assert repository.numbers() == [1, 2, 3, 4, 5]
    assert [message[7] for message in messages] == ["\ufeff" + text for text in expected]
    assert len(messages[2][7]) > 160_000
    assert {(message[0], message[2], message[5]) for message in messages} == {("85", "guard.example", "DICOM+RFC3881")}


def _records(trail: Trail) -> list:  # type: ignore[type-arg]
    from leadapron.guard.audit.tail import Tail

    return Tail(trail.place, trail.chain).read()


def test_after_an_orderly_end_nothing_is_sent_again(tmp_path: Path, repository: Repository) -> None:
    repository.start()
    for run in range(3):
        with Trail(tmp_path, KEY, segment_size=3_000) as trail:
            for _ in range(4):
                trail.record(QUERY)
            with forwarding(trail, repository.settings()) as forwarder:
                wait_until(lambda run=run: forwarder.state.sent == 4 * (run + 1), "all is confirmed", 20)  # type: ignore[misc]
    assert repository.numbers() == list(range(1, 13))


def test_a_mark_that_was_changed_means_sending_all_again(tmp_path: Path, repository: Repository) -> None:
    repository.start()
    for times in (1, 2):
        with Trail(tmp_path, KEY) as trail:
            if times == 1:
                for _ in range(3):
                    trail.record(QUERY)
            with forwarding(trail, repository.settings()) as forwarder:
                wait_until(lambda: forwarder.state.sent == 3, "all is confirmed", 20)
                wait_until(lambda n=times: len(repository.numbers()) == 3 * n, "all is there", 20)  # type: ignore[misc]
        (mark,) = (tmp_path / "audit").glob("sent-*")
        octets = bytearray(mark.read_bytes())
        octets[30] ^= 1
        mark.write_bytes(octets)
    assert repository.numbers() == [1, 2, 3, 1, 2, 3]


@pytest.mark.parametrize(("manner", "delay"), [("polite", 0.0), ("abrupt", 0.0), ("polite", 0.01), ("abrupt", 0.01)])
def test_a_collector_killed_again_and_again_gets_everything(
    tmp_path: Path, repository: Repository, manner: str, delay: float
) -> None:
    """SIGKILL in the middle of deliveries, with octets unread in its buffers, while records go on coming."""
    repository.manner, repository.delay = manner, delay
    random = Random(f"{manner} {delay}")
    padded = replace(QUERY, query=b"q" * 3_000)
    with Trail(tmp_path, KEY, segment_size=200_000) as trail:
        last = 0
        with forwarding(trail, repository.settings()) as forwarder:
            for _ in range(6):
                repository.start()
                end = time.monotonic() + random.uniform(0.2, 0.7)
                while time.monotonic() < end:
                    for _ in range(random.randrange(1, 20)):
                        last = trail.record(padded)
                    trail.wait_durable(last, 0.03)
                repository.kill()
            repository.delay = 0
            repository.start()
            wait_until(lambda: forwarder.state.sent == last, "all is confirmed in the end", 60)
    numbers = repository.numbers()
    assert last > 200
    assert in_order(numbers, last)
    texts: dict[int, list[str]] = {}
    for number, message in zip(numbers, repository.collected(), strict=True):
        assert texts.setdefault(number, [message[1], message[7]]) == [message[1], message[7]]  # copies are the same


def test_the_guard_killed_in_between_sends_the_rest(tmp_path: Path, repository: Repository) -> None:
    """A forwarder that ends before it was confirmed leaves the mark; the next one begins there."""
    with Trail(tmp_path, KEY) as trail:
        for _ in range(10):
            trail.record(QUERY, durable=False)
        with forwarding(trail, repository.settings()) as forwarder:
            wait_until(lambda: forwarder.state.failures > 1, "it tried in vain", 20)
            assert forwarder.state.sent == 0 and forwarder.state.trouble == "Connection refused"
    repository.start()
    with Trail(tmp_path, KEY) as trail, forwarding(trail, repository.settings()) as forwarder:
        wait_until(lambda: forwarder.state.sent == 10, "all is confirmed", 20)
    assert repository.numbers() == list(range(1, 11))


def test_only_what_is_durable_is_sent(tmp_path: Path, repository: Repository) -> None:
    repository.start()
    with Trail(tmp_path, KEY) as trail, forwarding(trail, repository.settings()) as forwarder:
        for _ in range(200):
            trail.record(QUERY)
            head = Place(tmp_path).read_head(trail.chain)
            assert head is not None and all(number <= trail.durable.sequence for number in repository.numbers()[-1:])
        wait_until(lambda: forwarder.state.sent == 200, "all is confirmed", 20)
    assert in_order(repository.numbers(), 200)


# ---- only to whom it is meant ---------------------------------------------------------------------------------------


def refused(tmp_path: Path, settings: Collector) -> str:
    with Trail(tmp_path, KEY) as trail:
        trail.record(QUERY)
        with forwarding(trail, settings) as forwarder:
            wait_until(lambda: forwarder.state.failures > 0, "it fails", 20)
            assert forwarder.state.sent == 0
            assert forwarder.state.trouble is not None
            return forwarder.state.trouble


def test_a_collector_of_another_authority_gets_nothing(tmp_path: Path, repository: Repository) -> None:
    repository.start()
    other = issue(tmp_path / "other")
    trouble = refused(tmp_path, replace(repository.settings(), ca=str(other.authority)))
    assert "certificate is not good" in trouble and not repository.collected()


def test_a_collector_of_another_name_gets_nothing(tmp_path: Path, repository: Repository) -> None:
    repository.start()
    trouble = refused(tmp_path, replace(repository.settings(), address=f"127.0.0.2:{repository.port}"))
    assert trouble == "Connection refused"  # it listens on 127.0.0.1 only
    certificates = issue(tmp_path / "other")
    repository.kill()
    repository.certificates = certificates
    repository.start()
    assert "not good" in refused(tmp_path, replace(repository.settings(), ca=str(issue(tmp_path / "x").authority)))
    assert not repository.collected()


def test_a_collector_that_wants_to_know_us_refuses_strangers(tmp_path: Path, repository: Repository) -> None:
    repository.mutual = True
    repository.start()
    settings = replace(repository.settings(), certificate=None, key=None)
    refused(tmp_path, settings)
    assert not repository.collected()


async def test_a_collector_without_tls_gets_nothing(tmp_path: Path, known: Certificates) -> None:
    heard = bytearray()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.read(65_536))
        writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = Collector(address=f"localhost:{port}", ca=str(known.authority))
    trouble = await asyncio.to_thread(refused, tmp_path, settings)
    server.close()
    assert trouble.startswith("TLS with the collector failed")
    assert heard[:2] == b"\x16\x03" and b"AuditMessage" not in heard  # a ClientHello, nothing else


async def test_run_ends_when_it_is_cancelled(tmp_path: Path, repository: Repository) -> None:
    repository.start()
    with Trail(tmp_path, KEY) as trail:
        trail.record(ALERT)
        forwarder = Forwarder(trail, repository.settings(), pace=replace(PACE, linger=60.0))
        task = asyncio.create_task(forwarder.run())
        end = time.monotonic() + 20
        while not repository.collected() and time.monotonic() < end:
            await asyncio.sleep(0.02)
        assert forwarder.state.sent == 0  # the delivery lingers
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 10)
        assert forwarder.state.sent == 1  # and was brought to its end
    assert repository.numbers() == [1]
