"""Whatever is written in the rules and whoever comes: on DIMSE nobody gets more than stands there, and each attempt
leaves one message.

One guard runs for all examples, set up by ``init guard`` and run as ``leadapron up`` does it. Each example writes other
rules into leadapron.toml, and a few visitors come: machines that are known and do what they may or may not, and
strangers of every kind. The archive behind serves everybody and writes down what it hears.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from guard.relaying import table
from guard.whole.premises import ARCHIVE_AE, Premises, bare, premises
from guard.whole.recording import Archive
from guard.whole.visiting import OPERATIONS, PERMISSION, Met, associate, contexts, said
from leadapron.guard.identity import export
from leadapron.guard.identity.authority import Authority
from leadapron.guard.identity.contexts import client_context
from leadapron.guard.identity.csr import key_pem, new_key, request
from leadapron.wire.aio import serve
from leadapron.wire.aio.timeouts import Timeouts
from leadapron.wire.association.negotiate import build_request
from leadapron.wire.pdu import UserIdentity, encode
from peers.process import HOST, free_port

PEERS = ("CT1", "WS1", "WS2")
HOME_NETWORK = "127.77.0.0/16"  # where all visitors come from
ELSEWHERE = ("10.1.2.0/24", "127.78.0.0/16")
WORDS = ("echo", "store", "find", "worklist", "retrieve", "commit", "mpps")
STATIC = (
    *("plain", "http", "nothing", "garbage", "no-certificate", "no-certificate-1.2"),
    *("another-authority", "expired", "revoked", "the-guard"),
)
"""Credentials that are worth nothing under any rules."""
UNTOLD = ("echo", "commit")  # PS3.15 A.5.3 has no message for them
LIMITS = "\n[guard.limits]\nhandshake_s = 3.0\nassociate_s = 3.0\nidle_s = 10.0\nresponse_s = 10.0\n"


class Scene:
    """``tls``: what visitors have in their hands, by its kind."""

    def __init__(self, place: Premises, archive: Archive) -> None:
        self.premises, self.archive, self.tls = place, archive, credentials(place)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    root, port, archive = tmp_path_factory.mktemp("premises"), free_port(), Archive()

    @contextlib.asynccontextmanager
    async def beside() -> AsyncIterator[None]:
        async with serve(HOST, port, archive, timeouts=Timeouts(associate=10, idle=30, release=1), grace=0):
            yield

    with premises(root, (port, None), back=free_port(), beside=beside, limits=LIMITS) as place:
        for name in PEERS:
            place.enrol(name)
        yield Scene(place, archive)


def credentials(place: Premises) -> dict[str, ssl.SSLContext | None]:
    """What visitors have in their hands, by its kind."""
    tls: dict[str, ssl.SSLContext | None] = {name: client_context(place.peers[name]) for name in PEERS}
    tls["plain"] = None
    tls["no-certificate"] = bare(None)
    old = bare(None)
    old.maximum_version = ssl.TLSVersion.TLSv1_2  # here it is the server who speaks first of the missing certificate
    tls["no-certificate-1.2"] = old
    foreign = Authority.create(place.root / "foreign", "Lead Apron guard of localhost")
    directory = place.root / "forged"
    key = new_key()
    chain = foreign.sign_peer(request(key), name="CT1", ae="CT1")
    export.write_pem(directory, export.KeyPair(key_pem(key), chain))
    tls["another-authority"] = bare(directory)
    tls["expired"] = bare(_ended(place))
    place.enrol("REV1")
    tls["revoked"] = client_context(place.peers["REV1"])
    assert place.registry.revoke("REV1", "sold")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server.check_hostname, server.verify_mode = False, ssl.CERT_NONE
    server.load_cert_chain(place.home / "server.pem", place.home / "server.key")  # ours, signed by us, and no peer's
    tls["the-guard"] = server
    return tls


def _ended(place: Premises) -> Path:
    """A certificate of ours that was good until yesterday; all but its dates is as in one that holds."""
    name = "OLD1"
    directory, key = place.enrol(name), new_key()
    model = x509.load_pem_x509_certificates((directory / "peer.pem").read_bytes())[0]
    now = place.clock.now()
    builder = (
        x509.CertificateBuilder(model.issuer, model.subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=3))
        .not_valid_after(now - timedelta(days=1))
    )
    for extension in model.extensions:
        value = extension.value
        if isinstance(value, x509.SubjectKeyIdentifier):
            value = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = builder.add_extension(value, extension.critical)
    signing = serialization.load_pem_private_key((place.home / "authority.key").read_bytes(), None)
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    chain = builder.sign(signing, hashes.SHA256()).public_bytes(serialization.Encoding.PEM) + place.authority.pem
    ended = place.root / "ended"
    export.write_pem(ended, export.KeyPair(key_pem(key), chain))
    return ended


# ---- rules and visitors ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rules:
    """A table as it is written; ``closed``: its hours have no room for this hour."""

    may: tuple[str, ...] = ()
    networks: tuple[str, ...] | None = None
    closed: bool = False
    move_to: tuple[str, ...] = ()
    user: str | None = None

    def lets(self, operation: str, destination: str, titles: frozenset[str]) -> bool:
        """Our own reading of the rules, apart from the policy's."""
        inside = self.networks is None or HOME_NETWORK in self.networks
        if not inside or self.closed or self.user is not None or PERMISSION.get(operation, operation) not in self.may:
            return False
        return operation != "move" or (destination in self.move_to and destination in titles)


@dataclass(frozen=True)
class Visit:
    """``who``: whose certificate or what else; ``as_``: the title that is claimed."""

    who: str
    as_: str
    operation: str
    called: str = ARCHIVE_AE
    destination: str = "WS1"
    eager: bool = False
    beside_echo: bool = False
    user: bool = False


networks = st.none() | st.lists(st.sampled_from((HOME_NETWORK, *ELSEWHERE)), max_size=2, unique=True).map(tuple)
rules = st.builds(
    Rules,
    may=st.lists(st.sampled_from(WORDS), unique=True).map(tuple),
    networks=st.one_of(st.none(), st.just((HOME_NETWORK,)), networks),
    closed=st.sampled_from([False, False, False, True]),
    move_to=st.lists(st.sampled_from(("WS1", "WS2", "GONE")), unique=True).map(tuple),
    user=st.sampled_from([None, None, None, None, "reader"]),
)
tables = st.dictionaries(st.sampled_from(PEERS), rules, min_size=1)
strangers = st.builds(
    Visit,
    who=st.sampled_from(STATIC),
    as_=st.sampled_from(PEERS),
    operation=st.sampled_from(OPERATIONS),
    eager=st.booleans(),
)
machines = st.builds(
    Visit,
    who=st.sampled_from(PEERS),
    as_=st.sampled_from(PEERS),
    operation=st.sampled_from(OPERATIONS),
    called=st.sampled_from([ARCHIVE_AE, ARCHIVE_AE, ARCHIVE_AE, "ANY-SCP"]),
    destination=st.sampled_from(("WS1", "WS2", "GONE", "EVIL")),
    beside_echo=st.booleans(),
    user=st.booleans(),
)
ourselves = machines.map(lambda visit: Visit(visit.who, visit.who, visit.operation, destination=visit.destination))


def written(tables: dict[str, Rules], now: Any) -> str:
    parts = []
    for name, one in sorted(tables.items()):
        more: dict[str, Any] = {"move_to": one.move_to, "requests_per_minute": 100_000, "studies_per_hour": 10_000}
        if one.networks is not None:
            more["from_"] = one.networks
        if one.closed:
            begin = now.astimezone() + timedelta(hours=3)
            more["hours"] = f"{begin:%H:%M}-{begin + timedelta(hours=2):%H:%M}"
        if one.user is not None:
            more["user"] = one.user
        parts.append(table(name, may=one.may, **more))
    return "\n".join(parts)


# ---- the property ----------------------------------------------------------------------------------------------------


@settings(max_examples=100, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow])
@given(
    given_tables=tables,
    visits=st.lists(st.one_of(strangers, machines, ourselves, ourselves), min_size=4, max_size=10),
)
def test_nobody_gets_more_than_is_written_and_each_attempt_leaves_one_message(
    scene: Scene, given_tables: dict[str, Rules], visits: list[Visit]
) -> None:
    place, archive = scene.premises, scene.archive
    place.rules(written(given_tables, place.clock.now()))
    titles = frozenset(given_tables)
    for visit in visits:
        address, heard, calls = place.address(), len(archive.heard), len(archive.calls)
        messages = len(place.trail())
        met = place.call(visited(scene, visit, address))
        known = visit.who in PEERS and visit.who == visit.as_ and visit.called == ARCHIVE_AE
        one = given_tables.get(visit.who)
        let = known and one is not None and one.lets(visit.operation, visit.destination, titles)
        place.quiet()
        if let:
            event(f"{visit.operation} is let through")
            assert met.accepted and met.served, (visit, met)
            assert archive.heard[heard:] == [visit.operation], "what is allowed reaches the archive"
            assert place.by_address()[address] >= (visit.operation not in UNTOLD)
        else:
            event(
                f"refused: {'a known machine' if known and one else visit.who if visit.who not in PEERS else 'other'}"
            )
            assert not met.served, (visit, one, met)
            assert archive.heard[heard:] == [], (visit, one)
            if not known or one is None or not (one.lets("echo", "", titles) or _moves(one, visit, titles)):
                assert not met.accepted and archive.calls[calls:] == [], "not even the archive's name is learnt"
            place.wait_told(address)
            told = place.since(messages)
            assert len(told) == 1, (visit, one, told)
            assert told == place.about(address) and told[0].event == "alert" and told[0].outcome != 0 and told[0].text


def _moves(one: Rules, visit: Visit, titles: frozenset[str]) -> bool:
    """Whether what is refused is the destination, which is not told before the request comes."""
    return visit.operation == "move" and one.lets("get", "", titles)


async def visited(scene: Scene, visit: Visit, address: str) -> Met:
    port = scene.premises.dimse
    if visit.who == "http":
        heard = await said(port, address, b"GET /dicom-web/studies HTTP/1.1\r\nHost: pacs\r\n\r\n")
        assert not heard.startswith(b"HTTP"), "nobody answers HTTP there"
        return Met()
    if visit.who in ("nothing", "garbage"):
        await said(port, address, bytes(range(256)) * 4 if visit.who == "garbage" else b"", hang_up=True)
        return Met()
    user = UserIdentity(2, False, b"reader", b"wrong password") if visit.user else None
    return await associate(
        port,
        address,
        scene.tls[visit.who],
        visit.operation,
        calling=visit.as_,
        called=visit.called,
        destination=visit.destination,
        eager=visit.eager,
        beside_echo=visit.beside_echo,
        user=user,
    )


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("who", STATIC)
def test_every_kind_of_stranger_with_every_operation(scene: Scene, who: str, operation: str) -> None:
    """Where the rules could not be wider."""
    place, archive = scene.premises, scene.archive
    place.rules("\n".join(table(name, may=WORDS, move_to=PEERS) for name in PEERS))
    before, address = archive.count, place.address()
    assert place.call(visited(scene, Visit(who, "CT1", operation), address)) == Met()
    place.wait_told(address)
    place.quiet()
    assert len(place.about(address)) == 1 and archive.count == before


def test_with_no_rules_at_all_nobody_gets_in(scene: Scene) -> None:
    place, archive = scene.premises, scene.archive
    place.rules("")
    before = archive.count
    for name in PEERS:
        for operation in OPERATIONS:
            address = place.address()
            assert place.call(visited(scene, Visit(name, name, operation), address)) == Met()
            place.wait_told(address)
            assert len(place.about(address)) == 1
    assert archive.count == before


def test_a_machine_that_must_show_a_user_and_does_not(scene: Scene) -> None:
    """The second proof of PS3.7 §D.3.3.7: none, unknown, no passcode, another's; then the right one."""
    place, archive = scene.premises, scene.archive
    tokens = {}
    for name in ("anna", "berta"):
        place.person(name, ("web:query",))
        tokens[name] = place.people.manage.make_token(name, ("web:query",), 30, "test").encode()
    place.rules(table("WS1", may=WORDS, user="anna"))
    shown = [
        None,
        UserIdentity(1, False, b"anna"),
        UserIdentity(2, False, b"carla", tokens["anna"]),
        UserIdentity(2, False, b"anna", b"password"),
        UserIdentity(2, False, b"anna", b"\xff\x1b[2J"),
        UserIdentity(2, False, b"berta", tokens["berta"]),
        UserIdentity(2, False, b"anna", tokens["berta"]),
        UserIdentity(2, False, b"anna", tokens["anna"]),
    ]
    for number, user in enumerate(shown):
        address, messages, calls = place.address(), len(place.trail()), len(archive.calls)
        met = place.call(
            associate(place.dimse, address, scene.tls["WS1"], "find", calling="WS1", called=ARCHIVE_AE, user=user)
        )
        place.quiet()
        right = number == len(shown) - 1
        assert met.served == right and (len(archive.calls) > calls) == right, user
        assert [one.event for one in place.since(messages)] == (["query"] if right else ["alert"]), user


def test_whoever_holds_on_and_says_nothing_is_told_once_too(scene: Scene) -> None:
    """Nothing at all, half a handshake, no request after a good handshake, half a request: each ends by itself."""
    place, archive = scene.premises, scene.archive
    place.rules(table("CT1", may=WORDS))
    tls, before = scene.tls["CT1"], archive.count
    half = encode(build_request(contexts("echo"), calling="CT1", called=ARCHIVE_AE))[:60]
    kinds: list[tuple[str, bytes, ssl.SSLContext | None]] = [
        (place.address(), b"", None),
        (place.address(), b"\x16\x03\x01\x02\x00\x01", None),
        (place.address(), b"", tls),
        (place.address(), half, tls),
    ]

    async def hold() -> None:
        await asyncio.gather(*(said(place.dimse, address, octets, context) for address, octets, context in kinds))

    place.call(hold())
    for address, *_ in kinds:
        place.wait_told(address)
        assert len(place.about(address)) == 1
    assert archive.count == before


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_back_door_is_the_archives_alone(scene: Scene, operation: str) -> None:
    """Where what was moved comes back: by the archive's address, in its name, for a machine that receives something."""
    place, archive = scene.premises, scene.archive
    place.rules("\n".join([table("WS1", may=WORDS, receive=f"{HOST}:{free_port()}"), table("CT1", may=WORDS)]))
    back = int((place.running.settings.archive.back or "").rpartition(":")[2])
    before = archive.count
    for source, calling, called in (
        ("", ARCHIVE_AE, "WS1"),  # another address than the archive's
        ("", "WS1", ARCHIVE_AE),
        (HOST, "CT1", "WS1"),  # the archive's, by another name
        (HOST, ARCHIVE_AE, "CT1"),  # it receives nothing
        (HOST, ARCHIVE_AE, "EVIL"),
        (HOST, ARCHIVE_AE, ARCHIVE_AE),
        (HOST, ARCHIVE_AE, "WS1"),  # nobody is there, and what is asked for is no delivery
    ):
        for eager in (False, True):
            stranger = place.address()
            messages = len(place.trail())
            met = place.call(
                associate(back, source or stranger, None, operation, calling=calling, called=called, eager=eager)
            )
            place.quiet()
            told = place.since(messages)
            assert not met.accepted and len(told) == 1 and told[0].event == "alert", (source, calling, called, told)
    assert archive.count == before


def test_a_revoked_certificate_ends_what_is_under_way(scene: Scene) -> None:
    """The next PDU of a running association is the last; one message, and the operation reaches nobody."""
    place, archive = scene.premises, scene.archive
    place.enrol("WS9")
    place.rules(table("WS9", may=WORDS))
    context, address = client_context(place.peers["WS9"]), place.address()
    met = place.call(associate(place.dimse, address, context, "echo", calling="WS9", called=ARCHIVE_AE))
    assert met.served
    before = len(archive.heard)
    assert place.registry.revoke("WS9", "lost")
    met = place.call(associate(place.dimse, address, context, "find", calling="WS9", called=ARCHIVE_AE))
    assert met == Met() and len(archive.heard) == before
    place.wait_told(address)
    place.quiet()
    (told,) = place.about(address)
    assert told.text is not None and "revoked" in told.text


def test_the_trail_is_whole_and_holds_nothing_twice(scene: Scene) -> None:
    """At the end, read anew: whoever was refused stands there once, also of what was told late."""
    place = scene.premises
    place.quiet()
    refused = [one for one in place.trail() if one.event == "alert" and one.outcome != 0]
    told = [(name, one.text) for one in refused for name in one.names() if name.startswith("127.77.")]
    assert len(told) == len({name for name, _ in told}) > 100
