"""security.txt: what is read of a file, and what is asked of whose web server."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
import trustme
from hypothesis import given
from hypothesis import strategies as st

from leadapron.kernel.clock import SystemClock
from leadapron.kernel.hostport import HostPort
from leadapron.watch.track.owner import security_txt
from leadapron.watch.track.owner.asking import Client, Turns, Unanswered
from leadapron.watch.track.owner.gather import gather
from leadapron.watch.track.owner.reverse import Resolver
from leadapron.watch.track.owner.security_txt import PATH, SecurityTxt, read
from leadapron.watch.track.owner.suggestion import suggestion
from owners import rows, web
from owners.names import NameServer, name_server

NOW = datetime(2026, 11, 22, tzinfo=UTC)
DOMAIN = "praxis-muster.de"
FILE = "Contact: mailto:security@praxis-muster.de\nExpires: 2099-01-01T00:00:00Z\n"


def contacts(text: str) -> list[str]:
    return [one.value for one in read(text.encode(), DOMAIN, NOW)]


# ---- the file --------------------------------------------------------------------------------------------------------


def test_contacts_in_their_order_without_telephone() -> None:
    text = (
        "# Our policy\r\nContact: tel:+49-30-5550199\r\ncontact:mailto:Security@Praxis-Muster.DE?subject=x\r\n"
        "Contact: https://praxis-muster.de/report?x=1\r\nContact: http://plain.example/\r\n"
        "Contact: mailto:a b@x.de\r\nExpires: 2027-01-01T00:00:00.000Z\r\nPreferred-Languages: de\r\n"
    )
    assert contacts(text) == ["Security@praxis-muster.de", "https://praxis-muster.de/report?x=1"]


def test_a_signature_is_said_and_not_checked() -> None:
    text = (
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nContact: mailto:security@praxis-muster.de\n"
        "Expires: 2027-01-01T00:00:00Z\n-----BEGIN PGP SIGNATURE-----\nContact: mailto:evil@example.org\n"
    )
    (found,) = read(text.encode(), DOMAIN, NOW)
    assert found.value == "security@praxis-muster.de"
    assert found.source == "security.txt of praxis-muster.de, holds until 2027-01-01; signed, which is not checked"


@pytest.mark.parametrize(
    ("expires", "why"),
    [
        ("", "until when"),
        ("Expires: 2027-01-01T00:00:00Z\nExpires: 2028-01-01T00:00:00Z\n", "until when"),
        ("Expires: some day\n", "until when"),
        ("Expires: 2027-01-01T00:00:00\n", "until when"),
        ("Expires: 2026-11-21T23:59:59Z\n", "expired"),
        ("Expires: 0001-01-01T00:00:00+23:59\n", "until when|expired"),
    ],
)
def test_a_file_without_an_end_or_past_it_is_not_used(expires: str, why: str) -> None:
    with pytest.raises(Unanswered, match=why):
        contacts(f"Contact: mailto:security@praxis-muster.de\n{expires}")


@given(
    st.binary(max_size=400)
    | st.text(max_size=200).map(lambda text: f"Contact: {text}\nExpires: 2027-01-01T00:00:00Z".encode())
)
def test_any_octets_are_borne(body: bytes) -> None:
    try:
        found = read(body, DOMAIN, NOW)
    except Unanswered:
        return
    assert all(one.value.isascii() and one.value.isprintable() and " " not in one.value for one in found)


# ---- the web server --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server(authority: trustme.CA) -> Iterator[web.Web]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(DOMAIN, f"www.{DOMAIN}").configure_cert(context)
    with web.web_server(context) as running:
        yield running


@pytest.fixture
def dns() -> Iterator[NameServer]:
    with name_server({(name, "A"): ["127.0.0.1"] for name in (DOMAIN, f"www.{DOMAIN}", "elsewhere.de")}) as running:
        yield running


Ask = Callable[[], AsyncIterator[SecurityTxt]]


@asynccontextmanager
async def asking(
    server: web.Web,
    dns: NameServer,
    authority: trustme.CA,
    tmp_path: Path,
    *,
    loopback: bool = True,
    within: float = 20.0,
) -> AsyncIterator[SecurityTxt]:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    client = Client(Turns(1000), within=within, most=security_txt.LARGEST, ca=str(tmp_path / "ca.pem"))
    resolver = Resolver(HostPort("127.0.0.1", dns.port), rate=1000, within=10.0)
    try:
        yield SecurityTxt(client, resolver, SystemClock(), lambda _: loopback, server.port)
    finally:
        await client.close()


async def test_a_file_is_read_over_tls_by_name(
    server: web.Web, dns: NameServer, authority: trustme.CA, tmp_path: Path
) -> None:
    server.pages[PATH] = web.text(FILE)
    async with asking(server, dns, authority, tmp_path) as one:
        (found,) = await one.of(DOMAIN)
    assert found.value == "security@praxis-muster.de"
    assert server.asked == [(f"{DOMAIN}:{server.port}", PATH)]


async def test_nobody_there_is_no_failure(
    server: web.Web, dns: NameServer, authority: trustme.CA, tmp_path: Path
) -> None:
    async with asking(server, dns, authority, tmp_path) as one:
        assert await one.of(DOMAIN) == ()


async def test_a_redirect_stays_in_the_domain(
    server: web.Web, dns: NameServer, authority: trustme.CA, tmp_path: Path
) -> None:
    server.pages["/here"] = web.text(FILE)
    async with asking(server, dns, authority, tmp_path) as one:
        server.pages[PATH] = web.redirect(f"https://www.{DOMAIN}:{server.port}/here")
        assert len(await one.of(DOMAIN)) == 1
        for to in (
            f"https://elsewhere.de:{server.port}/here",
            f"http://www.{DOMAIN}:{server.port}/here",
            f"https://www.{DOMAIN}/here",
            f"https://127.0.0.1:{server.port}/here",
            f"https://{DOMAIN}@elsewhere.de:{server.port}/here",
            "https://[",
        ):
            server.pages[PATH] = web.redirect(to)
            with pytest.raises(Unanswered, match="sends on"):
                await one.of(DOMAIN)
        server.pages[PATH] = web.redirect(PATH)
        with pytest.raises(Unanswered, match="HTTP 302"):
            await one.of(DOMAIN)
    assert not [host for host, _ in server.asked if "elsewhere" in host]


@pytest.mark.parametrize(
    ("page", "why"),
    [
        (web.endless("text/plain"), "more than 32,768 octets"),
        (web.drip("text/plain"), "not answer within 1 s"),
        (web.mute, "not answer within 1 s"),
        (web.hang_up, "cannot be reached"),
        (web.send(200, FILE.encode(), "text/html"), "no plain text"),
        (web.send(200, b"\xff\xfe\x00", "text/plain"), "not text"),
    ],
    ids=["endless", "drip", "mute", "hangs up", "html", "no text"],
)
async def test_bad_servers_are_named_without_their_words(
    server: web.Web, dns: NameServer, authority: trustme.CA, tmp_path: Path, page: web.Page, why: str
) -> None:
    server.pages[PATH] = page
    async with asking(server, dns, authority, tmp_path, within=1.0 if "within" in why else 20.0) as one:
        with pytest.raises(Unanswered, match=why) as error:
            await one.of(DOMAIN)
    assert DOMAIN not in str(error.value)


async def test_a_certificate_of_another_name_is_not_taken(
    server: web.Web, dns: NameServer, authority: trustme.CA, tmp_path: Path
) -> None:
    server.pages[PATH] = web.text(FILE)
    async with asking(server, dns, authority, tmp_path) as one:
        with pytest.raises(Unanswered, match="cannot be reached"):
            await one.of("elsewhere.de")
    assert server.asked == []


async def test_a_domain_that_leads_inside_is_not_asked(
    server: web.Web, dns: NameServer, authority: trustme.CA, tmp_path: Path
) -> None:
    async with asking(server, dns, authority, tmp_path, loopback=False) as one:
        with pytest.raises(Unanswered, match="not public"):
            await one.of(DOMAIN)
        with pytest.raises(Unanswered, match="no web server"):
            await one.of("nowhere.de")
    assert server.asked == []


async def test_a_round_with_security_txt(
    engine: sa.Engine, server: web.Web, authority: trustme.CA, tmp_path: Path
) -> None:
    server.pages[PATH] = web.text(FILE)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    shown = rows.certificate(f"pacs.{DOMAIN}", "localhost", "pacs.local")
    keys = [rows.add(engine, "127.0.0.9", port=port, shown=shown) for port in (104, 11112)]
    with name_server({(DOMAIN, "A"): ["127.0.0.1"], ("x", "TXT"): ['"x"']}) as dns:
        settings = rows.quick(
            dns=True, resolver=dns.address, inside=True, security_txt=True, ca=str(tmp_path / "ca.pem")
        )
        for _ in range(2):
            gathered = await gather(engine, keys, settings, web_port=server.port)
    assert len(server.asked) == 1, "one question for both, and none in the second round"
    for key in keys:
        advice = suggestion([one for one in gathered.hints if one.exposure_id == key])
        assert (advice.mailbox, advice.guess, advice.domain) == ("security@praxis-muster.de", None, DOMAIN)
