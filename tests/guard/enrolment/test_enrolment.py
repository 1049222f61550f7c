"""Enrolment over real TLS on loopback: who gets a certificate, who does not, and what the trail is told of each try."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.identity.making import Guarded, der, guarded, peer_directory
from leadapron.guard.gateway.enrolment import (
    Bounds,
    Enrolled,
    Enrolment,
    EnrolmentRefused,
    Event,
    HandshakeFailed,
    serve_enrolment,
)
from leadapron.guard.gateway.one_request import NoRequest, Request, read_request
from leadapron.guard.identity import join as joining
from leadapron.guard.identity.codes import Code, new_code, render
from leadapron.guard.identity.contexts import client_context, joining_context, reload
from leadapron.guard.identity.csr import key_pem, new_key, request
from leadapron.guard.identity.issuing import invite
from leadapron.guard.identity.join import held, join, renew
from leadapron.guard.identity.registry import PeerIdentity, Refused
from leadapron.kernel.errors import Failure, UsageError
from leadapron.kernel.hostport import HostPort

WAIT_S = 10.0


class Place:
    """A guard with its enrolment service, and what it told."""

    def __init__(self, guard: Guarded) -> None:
        self.guard = guard
        self.events: list[Event] = []
        self.service: Enrolment

    @asynccontextmanager
    async def open(self, bounds: Bounds | None = None) -> AsyncIterator[Place]:
        guard = self.guard
        async with await serve_enrolment(
            guard.home,
            HostPort("127.0.0.1", 0),
            guard.registry,
            guard.authority,
            on_event=self.events.append,
            bounds=bounds,
        ) as self.service:
            yield self

    def code(self, name: str = "CT1", ae: str = "CT1", hours: float = 48) -> Code:
        registry, authority = self.guard.registry, self.guard.authority
        life = timedelta(hours=hours)
        return invite(registry, authority, name=name, ae=ae, host="127.0.0.1", port=self.service.port, life=life)

    async def told(self, count: int) -> list[Event]:
        async with asyncio.timeout(WAIT_S):
            while len(self.events) < count:
                await asyncio.sleep(0.005)
        return self.events

    async def say(self, octets: bytes, context: ssl.SSLContext | None = None) -> bytes:
        """Raw octets inside of TLS; all that comes back."""
        tls = joining_context(self.guard.home) if context is None else context
        async with asyncio.timeout(WAIT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.service.port, ssl=tls)
            writer.write(octets)
            try:
                return await reader.read()
            finally:
                writer.transport.abort()

    async def post(self, path: str, body: object, context: ssl.SSLContext | None = None) -> tuple[int, bytes]:
        octets = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(octets)}\r\n\r\n"
        answer = await self.say(head.encode() + octets, context)
        return int(answer[9:12]), answer.partition(b"\r\n\r\n")[2]


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = guarded(tmp_path / "guard")
    async with Place(made).open() as opened:
        yield opened
    made.registry.close()


def csr() -> str:
    return request(new_key()).decode()


# ---- joining ---------------------------------------------------------------------------------------------------------


async def test_a_machine_joins(place: Place, tmp_path: Path) -> None:
    directory = tmp_path / "peer"
    joined = await join(render(place.code("ct-1", "CT 1")), directory)
    assert (joined.name, joined.ae, joined.guard) == ("ct-1", "CT 1", f"127.0.0.1:{place.service.port}")
    files = {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}
    assert files == dict.fromkeys(["authority.pem", "guard.txt", "peer.key", "peer.pem"], 0o600)
    assert (directory / "authority.pem").read_bytes() == place.guard.authority.pem
    identity = place.guard.registry.identify(der((directory / "peer.pem").read_bytes()), "CT 1")
    assert isinstance(identity, PeerIdentity)
    assert await place.told(1) == [Enrolled("127.0.0.1", "ct-1", "CT 1", identity.serial)]
    with pytest.raises(UsageError, match="holds a certificate already"):
        await join(render(place.code("MR1", "MR1")), directory)


async def test_a_code_works_once(place: Place, tmp_path: Path) -> None:
    code = render(place.code())
    await join(code, tmp_path / "first")
    with pytest.raises(Failure, match="the guard refuses"):
        await join(code, tmp_path / "second")
    assert not (tmp_path / "second" / "peer.pem").exists()
    assert (await place.told(2))[1] == EnrolmentRefused("127.0.0.1", "code redeemed before")


async def test_of_many_that_redeem_it_at_once_one_gets_it(place: Place, tmp_path: Path) -> None:
    code = render(place.code())
    done = await asyncio.gather(*(join(code, tmp_path / f"{n}") for n in range(6)), return_exceptions=True)
    assert sum(isinstance(one, joining.Joined) for one in done) == 1
    assert sum(isinstance(one, Failure) for one in done) == 5
    events = await place.told(6)
    assert sum(isinstance(event, Enrolled) for event in events) == 1
    assert len(place.guard.registry.certificates()) == 1


async def test_an_answer_that_was_lost_is_had_again(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = render(place.code())
    with monkeypatch.context() as patch:
        patch.setattr(joining, "complete", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            await join(code, tmp_path / "peer")
    joined = await join(code, tmp_path / "peer")
    assert joined.name == "CT1" and len(place.guard.registry.certificates()) == 1
    client_context(tmp_path / "peer")


async def test_another_guard_is_told_nothing(place: Place, tmp_path: Path) -> None:
    """Somebody in between, with an authority of his own."""
    other = guarded(tmp_path / "other")
    async with Place(other).open() as between:
        code = place.code()
        led = render(Code(code.host, between.service.port, code.secret, code.pin))
        with pytest.raises(Failure, match="not the guard that made this code"):
            await join(led, tmp_path / "peer")
        assert not (tmp_path / "peer").exists()
        await asyncio.sleep(0)
        assert between.events == []  # not so much as a request
    other.registry.close()


async def test_a_peer_that_plays_the_guard_is_told_nothing(place: Place, tmp_path: Path) -> None:
    """It has a certificate of the right authority and hands out the right authority's, too."""
    directory = peer_directory(place.guard, tmp_path / "evil", "EVIL", "EVIL")
    code = place.code()
    reload(place.service._tls, directory, "peer")
    with pytest.raises(Failure, match="is a peer of the guard, not the guard"):
        await join(render(code), tmp_path / "peer")
    assert all(isinstance(event, EnrolmentRefused) for event in place.events)
    assert not (tmp_path / "peer" / "peer.pem").exists()


async def test_what_is_no_guard_at_all(tmp_path: Path) -> None:
    code = new_code("127.0.0.1", 1, "00" * 32)
    with pytest.raises(Failure, match="cannot reach"):
        await join(render(code), tmp_path / "peer")

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Failure, match="no answer"):
            await join(render(new_code("127.0.0.1", port, "00" * 32)), tmp_path / "peer", seconds=0.2)


# ---- renewing --------------------------------------------------------------------------------------------------------


async def test_a_peer_renews_with_a_new_key(place: Place, tmp_path: Path) -> None:
    directory = tmp_path / "peer"
    await join(render(place.code()), directory)
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    place.guard.clock.move(hours=1)
    renewed = await renew(directory)
    assert (renewed.name, renewed.ae) == ("CT1", "CT1")
    after = {path.name: path.read_bytes() for path in directory.iterdir()}
    assert after.keys() == before.keys() and after["peer.key"] != before["peer.key"]
    assert after["peer.pem"] != before["peer.pem"]
    client_context(directory)
    assert isinstance(place.guard.registry.identify(der(after["peer.pem"]), "CT1"), PeerIdentity)
    first, second = await place.told(2)
    assert isinstance(first, Enrolled) and isinstance(second, Enrolled)
    assert second.renewal and second.serial != first.serial


async def test_who_was_revoked_does_not(place: Place, tmp_path: Path) -> None:
    directory = tmp_path / "peer"
    await join(render(place.code()), directory)
    place.guard.registry.revoke("CT1", "stolen")
    before = (directory / "peer.pem").read_bytes()
    with pytest.raises(Failure, match="the guard refuses"):
        await renew(directory)
    assert (directory / "peer.pem").read_bytes() == before
    assert (await place.told(2))[1] == EnrolmentRefused("127.0.0.1", "certificate revoked")


async def test_a_directory_that_was_filled_by_hand_must_say_where(place: Place, tmp_path: Path) -> None:
    directory = peer_directory(place.guard, tmp_path / "peer")
    assert held(directory).guard is None
    with pytest.raises(UsageError, match="--guard"):
        await renew(directory)
    assert (await renew(directory, guard=f"127.0.0.1:{place.service.port}")).name == "CT1"


# ---- strangers -------------------------------------------------------------------------------------------------------

Try = Callable[[Place, Path], Awaitable[tuple[int, bytes]]]


def _enrol(secret: str, text: str | None = None) -> dict[str, str]:
    return {"secret": secret, "request": csr() if text is None else text}


async def no_code(place: Place, tmp: Path) -> tuple[int, bytes]:
    return await place.post("/enrol", _enrol("00" * 16))


async def tampered_code(place: Place, tmp: Path) -> tuple[int, bytes]:
    secret = bytearray(place.code().secret)
    secret[3] ^= 1
    return await place.post("/enrol", _enrol(secret.hex()))


async def half_a_code(place: Place, tmp: Path) -> tuple[int, bytes]:
    return await place.post("/enrol", _enrol(place.code().secret[:8].hex()))


async def expired_code(place: Place, tmp: Path) -> tuple[int, bytes]:
    code = place.code(hours=1)
    place.guard.clock.move(hours=2)
    return await place.post("/enrol", _enrol(code.secret.hex()))


async def withdrawn_code(place: Place, tmp: Path) -> tuple[int, bytes]:
    code = place.code()
    place.guard.registry.revoke("CT1")
    return await place.post("/enrol", _enrol(code.secret.hex()))


async def hash_from_the_database(place: Place, tmp: Path) -> tuple[int, bytes]:
    place.code()
    with place.guard.registry.database.reading() as connection:
        hashed = connection.exec_driver_sql("SELECT hash FROM codes").scalar_one()
    return await place.post("/enrol", _enrol(hashed[:32]))


async def renewal_without_certificate(place: Place, tmp: Path) -> tuple[int, bytes]:
    return await place.post("/renew", {"request": csr()})


async def renewal_by_the_guards_own(place: Place, tmp: Path) -> tuple[int, bytes]:
    context = joining_context(place.guard.home)
    context.load_cert_chain(place.guard.home / "server.pem", place.guard.home / "server.key")
    return await place.post("/renew", {"request": csr()}, context)


async def renewal_by_one_never_taken_in(place: Place, tmp: Path) -> tuple[int, bytes]:
    key = new_key()
    chain = place.guard.authority.sign_peer(request(key), name="CT1", ae="CT1")
    (tmp / "x.pem").write_bytes(chain)
    (tmp / "x.key").write_bytes(key_pem(key))
    context = joining_context(place.guard.home)
    context.load_cert_chain(tmp / "x.pem", tmp / "x.key")
    return await place.post("/renew", {"request": csr()}, context)


REFUSED: list[tuple[Try, str]] = [
    (no_code, "no such code"),
    (tampered_code, "no such code"),
    (half_a_code, "no such code"),
    (expired_code, "code expired"),
    (withdrawn_code, "code withdrawn"),
    (hash_from_the_database, "no such code"),
    (renewal_without_certificate, "no certificate"),
    (renewal_by_the_guards_own, "certificate that is not a peer's"),
    (renewal_by_one_never_taken_in, "certificate that is not a peer's"),
]


@pytest.mark.parametrize(("attempt", "reason"), REFUSED, ids=[made.__name__ for made, _ in REFUSED])
async def test_strangers_get_nothing_and_are_not_told_why(
    place: Place, tmp_path: Path, attempt: Try, reason: str
) -> None:
    assert await attempt(place, tmp_path) == (403, b"")
    assert place.guard.registry.certificates() == []
    assert await place.told(1) == [EnrolmentRefused("127.0.0.1", reason)]
    (noted,) = place.guard.registry.strangers()
    assert (noted.address, noted.reason, noted.times) == ("127.0.0.1", reason, 1)


async def test_a_request_with_anothers_name_gets_the_codes_name(place: Place) -> None:
    status, body = await place.post("/enrol", _enrol(place.code().secret.hex(), request(new_key(), "MR1").decode()))
    assert status == 200
    identity = place.guard.registry.recognise(der(json.loads(body)["chain"].encode()))
    assert isinstance(identity, PeerIdentity) and (identity.name, identity.ae) == ("CT1", "CT1")
    assert isinstance(place.guard.registry.identify(der(json.loads(body)["chain"].encode()), "MR1"), Refused)


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"GET /authority?x HTTP/1.1\r\n\r\n", 404),
        (b"GET /enrol HTTP/1.1\r\n\r\n", 404),
        (b"POST /authority HTTP/1.1\r\n\r\n", 404),
        (b"PUT /enrol HTTP/1.1\r\n\r\n", 400),
        (b"GET http://x/authority HTTP/1.1\r\n\r\n", 400),
        (b"GET /authority HTTP/2\r\n\r\n", 400),
        (b"nothing\r\n\r\n", 400),
        (b"POST /enrol HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400),
        (b"POST /enrol HTTP/1.1\r\nContent-Length: +1\r\n\r\nx", 400),
        (b"POST /enrol HTTP/1.1\r\nContent-Length : 1\r\n\r\nx", 400),
        (b"POST /enrol HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\nx", 400),
        (b"POST /enrol HTTP/1.1\r\nContent-Length: 4000000\r\n\r\nx", 413),
        (b"POST /enrol HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"GET /authority HTTP/1.1\r\n" + b"X: " + b"a" * 20000 + b"\r\n\r\n", 431),
        (b"POST /enrol HTTP/1.1\r\nContent-Length: 4\r\n\r\nnull", 400),
        (b"POST /enrol HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", 400),
        (b'POST /enrol HTTP/1.1\r\nContent-Length: 26\r\n\r\n{"secret":"","request":""}', 400),
        (b"POST /enrol HTTP/1.1\r\nContent-Length: 3\r\n\r\n\xff\xff\xff", 400),
    ],
)
async def test_what_is_no_request_is_told_once(place: Place, octets: bytes, status: int) -> None:
    answer = await place.say(octets)
    assert answer.startswith(b"HTTP/1.1 %d " % status) and answer.endswith(b"\r\n\r\n")
    (event,) = await place.told(1)
    assert isinstance(event, EnrolmentRefused) and event.reason.isascii()


async def test_whoever_asks_gets_the_authority(place: Place) -> None:
    answer = await place.say(b"GET /authority HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.endswith(b"\r\n\r\n" + place.guard.authority.pem) and place.events == []


async def test_failed_handshakes_are_told_once_each(place: Place, tmp_path: Path) -> None:
    foreign = guarded(tmp_path / "foreign")
    context = joining_context(place.guard.home)
    directory = peer_directory(foreign, tmp_path / "peer")
    context.load_cert_chain(directory / "peer.pem", directory / "peer.key")
    with pytest.raises((ssl.SSLError, OSError)):
        assert await place.say(b"GET /authority HTTP/1.1\r\n\r\n", context) == b""
        raise OSError
    assert await place.told(1) == [HandshakeFailed("127.0.0.1", "certificate of another authority")]
    with socket.create_connection(("127.0.0.1", place.service.port)) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert (await place.told(2))[1] == HandshakeFailed("127.0.0.1", "not TLS")
    foreign.registry.close()


async def test_slow_ones_are_not_waited_for(tmp_path: Path) -> None:
    made = guarded(tmp_path / "guard")
    async with Place(made).open(Bounds(handshake_s=0.3, request_s=0.3)) as place:
        with socket.create_connection(("127.0.0.1", place.service.port)):
            assert await place.told(1) == [HandshakeFailed("127.0.0.1", "no TLS handshake in time")]
        tls = joining_context(made.home)
        _, writer = await asyncio.open_connection("127.0.0.1", place.service.port, ssl=tls)
        writer.write(b"GET /auth")
        assert (await place.told(2))[1] == EnrolmentRefused("127.0.0.1", "no request in time")
        writer.transport.abort()
    made.registry.close()


async def test_who_holds_every_connection_keeps_nobody_out(tmp_path: Path) -> None:
    made = guarded(tmp_path / "guard")
    bounds = Bounds(waiting=8, active=4, rate=500, handshake_s=30)
    async with Place(made).open(bounds) as place:
        door, away = ("127.0.0.1", place.service.port), ("127.0.0.66", 0)
        held_open = [socket.create_connection(door, source_address=away) for _ in range(40)]
        joined = await join(render(place.code()), tmp_path / "peer")
        assert joined.name == "CT1"
        for link in held_open:
            link.close()
    made.registry.close()


async def test_many_wrong_codes_lock_nobody_out(tmp_path: Path) -> None:
    made = guarded(tmp_path / "guard")
    async with Place(made).open(Bounds(rate=2000)) as place:
        code = render(place.code())
        for _ in range(10):
            answers = await asyncio.gather(*(place.post("/enrol", _enrol("00" * 16)) for _ in range(5)))
            assert answers == [(403, b"")] * 5
        assert (await join(code, tmp_path / "peer")).name == "CT1"
    made.registry.close()


async def test_work_is_paced(tmp_path: Path) -> None:
    made = guarded(tmp_path / "guard")
    async with Place(made).open(Bounds(rate=20, burst=1)) as place:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        get = b"GET /authority HTTP/1.1\r\n\r\n"
        answers = await asyncio.gather(*(place.say(get) for _ in range(6)))
        assert all(answers) and loop.time() - begin >= 4 / 20
    made.registry.close()


async def test_a_decision_is_told_though_nobody_waits_for_it(place: Place) -> None:
    """The asker hangs up at once, and the service closes: what was issued is told all the same."""
    body = json.dumps(_enrol(place.code().secret.hex())).encode()
    tls = joining_context(place.guard.home)
    _, writer = await asyncio.open_connection("127.0.0.1", place.service.port, ssl=tls)
    writer.write(b"POST /enrol HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()
    writer.transport.abort()
    async with asyncio.timeout(WAIT_S):
        while not place.events:
            await asyncio.sleep(0.005)
    await place.service.close()
    (event,) = place.events
    assert isinstance(event, Enrolled) == bool(place.guard.registry.certificates())


async def test_a_listener_that_fails_does_not_hurt(tmp_path: Path) -> None:
    made = guarded(tmp_path / "guard")

    def broken(event: Event) -> None:
        raise RuntimeError("the trail is full")

    service = await serve_enrolment(made.home, HostPort("127.0.0.1", 0), made.registry, made.authority, on_event=broken)
    code = invite(made.registry, made.authority, name="CT1", ae="CT1", host="127.0.0.1", port=service.port)
    assert (await join(render(code), tmp_path / "peer")).name == "CT1"
    with pytest.raises(Failure, match="cannot listen"):
        await serve_enrolment(made.home, f"127.0.0.1:{service.port}", made.registry, made.authority)
    await service.close()
    made.registry.close()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(octets=st.binary(max_size=300))
def test_octets_of_any_kind_are_answered_or_refused(tmp_path_factory: pytest.TempPathFactory, octets: bytes) -> None:
    async def read(pieces: list[bytes]) -> Request | int:
        reader = asyncio.StreamReader(limit=8192)
        for piece in pieces:
            reader.feed_data(piece)
        reader.feed_eof()
        try:
            return await read_request(reader)
        except NoRequest as error:
            return error.status.value

    for whole in (
        octets,
        b"POST /enrol HTTP/1.1\r\n" + octets,
        b"POST /enrol HTTP/1.1\r\nContent-Length: 4\r\n\r\n" + octets,
    ):
        at_once = asyncio.run(read([whole]))
        assert at_once == asyncio.run(read([whole[at : at + 1] for at in range(len(whole))]))
