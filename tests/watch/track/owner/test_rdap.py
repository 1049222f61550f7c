"""Registries: what is kept of an answer, what never is, and servers that answer badly."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.watch.track.owner import asking, rdap
from leadapron.watch.track.owner.asking import Client, Turns, Unanswered
from leadapron.watch.track.owner.bootstrap import Bootstrap
from leadapron.watch.track.owner.model import LONGEST, Found
from leadapron.watch.track.owner.rdap import Rdap, read
from owners import rows, web

ADDRESS = "5.145.140.7"
PATH = f"/ip/{ADDRESS}"


async def never(family: int, fetch: Callable[[], Awaitable[bytes]]) -> bytes:
    raise AssertionError("the bootstrap data is not asked for")


@asynccontextmanager
async def asking_at(base: str, within: float = 20.0) -> Any:
    client = Client(Turns(1000), within=within, most=rdap.LARGEST)
    try:
        yield Rdap(client, base, never)
    finally:
        await client.close()


@pytest.fixture
def server() -> Iterator[web.Web]:
    with web.web_server() as running:
        yield running


def kept(network: Any, address: str = ADDRESS) -> set[tuple[str, str]]:
    return {(one.kind, one.value) for one in read(network, address, "rdap.example.net")}


# ---- what is kept ----------------------------------------------------------------------------------------------------


def test_organisations_and_roles_are_kept_and_people_are_not() -> None:
    found = kept(rows.network("5.145.140.0", "5.145.140.255"))
    assert found == {
        ("rdap-network", "EXAMPLE-NET (NET-1), 5.145.140.0–5.145.140.255"),
        ("country", "DE"),
        ("rdap-organisation", "Example Telecom AG"),
        ("abuse-mailbox", "abuse@telecom.example.com"),
    }


def entities(*some: tuple[list[str], list[Any]]) -> dict[str, Any]:
    cards = [{"roles": roles, "vcardArray": card} for roles, card in some]
    return rows.network("5.145.140.0", "5.145.140.255", entities=cards)


def test_a_person_gives_a_role_mailbox_and_the_organisation_at_most() -> None:
    person = rows.card("Erika Mustermann", "individual", "erika.mustermann@isp.example.com", org="Example Clinic")
    found = kept(entities((["registrant", "abuse"], person)))
    assert ("rdap-organisation", "Example Clinic") in found
    assert not [value for kind, value in found if kind == "abuse-mailbox" or "Erika" in value]
    role = rows.card("Erika Mustermann", "individual", "abuse@isp.example.com")
    assert ("abuse-mailbox", "abuse@isp.example.com") in kept(entities((["abuse"], role)))
    unsaid = rows.card("Erika Mustermann", None, "erika@isp.example.com")
    assert not [
        one for one in kept(entities((["registrant", "abuse"], unsaid))) if one[0] not in ("country", "rdap-network")
    ]


def test_the_registrant_goes_before_an_administrative_contact() -> None:
    some = entities(
        (["administrative"], rows.card("Registry Services", "group")),
        (["registrant"], rows.card("Example Clinic", "org")),
    )
    assert [value for kind, value in kept(some) if kind == "rdap-organisation"] == ["Example Clinic"]


def test_text_of_a_registry_is_made_one_line() -> None:
    card = rows.card(
        "<script>alert(1)</script>\x1b[2J\r\nEvil\u202e", "org", "abuse@isp.example.com\r\nBcc: all@x.example"
    )
    network = entities((["registrant", "abuse"], card)) | {"name": "A\nB" * 300, "handle": {"x": 1}, "country": "D\n"}
    found = kept(network)
    assert ("rdap-organisation", "<script>alert(1)</script>[2J Evil") in found
    assert {kind for kind, _ in found} == {"rdap-organisation", "rdap-network"}
    assert all(len(value) <= LONGEST and value.isprintable() for _, value in found)


@pytest.mark.parametrize(
    ("parameters", "value", "code"),
    [
        ({"label": "1 Main Street\nSpringfield\nIL\n62701\nUnited States"}, [""] * 7, "US"),
        ({}, ["", "", "1 Main Street", "Springfield", "IL", "62701", "Germany"], "DE"),
        ({}, ["", "", "", "", "", "", "tr"], "TR"),
        ({"label": "1 Main Street\nNowhere"}, [""] * 7, None),
        ({"label": 7}, ["", 9], None),
        ([], "x", None),
    ],
)
def test_the_country_of_an_organisation_where_the_network_s_is_left_out(parameters: Any, value: Any, code: str) -> None:
    address = ["adr", parameters, "text", value]
    for kind, expected in (("org", code), ("individual", None)):
        properties = [["fn", {}, "text", "Example"], ["kind", {}, "text", kind], address]
        network = entities((["registrant"], ["vcard", properties])) | {"country": None}
        assert dict(kept(network)).get("country") == expected
        assert not [text for _, text in kept(network) if "Street" in text]


def test_a_registry_s_own_block_says_nothing() -> None:
    assert kept(rows.network("5.0.0.0", "5.255.255.255")) == set()


@pytest.mark.parametrize(
    "network",
    [
        [],
        7,
        None,
        {"objectClassName": "entity"},
        rows.network("5.145.141.0", "5.145.141.255"),
        rows.network("2001:db8::", "2001:db8::ffff"),
        rows.network("x", "y"),
        rows.network("5.145.140.0", "5.145.140.255") | {"endAddress": 9},
    ],
    ids=["list", "number", "null", "entity", "another", "another family", "no range", "wrong type"],
)
def test_what_is_no_answer_is_none(network: Any) -> None:
    with pytest.raises(Unanswered):
        kept(network)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=20)
    | st.sampled_from(["registrant", "abuse", "org", "fn", "kind"]),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.sampled_from(["entities", "roles", "vcardArray", "name", "handle", "country"]), inner, max_size=5
        )
    ),
    max_leaves=40,
)


@given(JSON, JSON, JSON)
def test_any_shape_is_borne(some: Any, name: Any, country: Any) -> None:
    network = rows.network("5.145.140.0", "5.145.140.255", entities=some, name=name, country=country)
    for one in read(network, ADDRESS, "rdap.example.net"):
        assert isinstance(one, Found) and one.value.isprintable() and len(one.value) <= LONGEST


def test_entities_in_entities_end() -> None:
    deep: Any = {"roles": ["abuse"], "vcardArray": rows.card("x", "org", "abuse@isp.example.com")}
    for _ in range(50):
        deep = {"roles": [], "entities": [deep]}
    assert ("abuse-mailbox", "abuse@isp.example.com") not in kept(
        rows.network("5.145.140.0", "5.145.140.255", entities=[deep])
    )


# ---- servers ---------------------------------------------------------------------------------------------------------


async def test_a_network_that_is_not_there_is_no_failure(server: web.Web) -> None:
    async with asking_at(server.base) as one:
        assert await one.about(ADDRESS) == ()


@pytest.mark.parametrize(
    ("page", "why"),
    [
        (web.endless(), "more than 1,048,576 octets"),
        (web.send(200, b" " * 10_000_000, "application/json"), "more than 1,048,576 octets"),
        (web.drip(), "not answer within 1 s"),
        (web.mute, "not answer within 1 s"),
        (web.hang_up, "cannot be reached"),
        (web.send(200, b"<html>", "text/html"), "something else than JSON"),
        (web.send(200, b"[" * 100_000, "application/json"), "something else than JSON"),
        (web.send(200, b"\xff\xfe", "application/json"), "something else than JSON"),
        (web.send(200, b"{}", "application/json", Content_Encoding="gzip"), "compresses"),
        (web.send(500, b"secret text", "text/plain"), "HTTP 500"),
        (web.send(429, b"", "text/plain", Retry_After="99999"), "asks for a pause"),
        (web.json({"objectClassName": "ip network"}), "without a range"),
    ],
    ids=["endless", "10 MB", "drip", "mute", "hangs up", "html", "deep", "no text", "gzip", "500", "429", "empty"],
)
async def test_bad_servers_are_named_and_cost_little(server: web.Web, page: web.Page, why: str) -> None:
    server.pages[PATH] = page
    began = time.monotonic()
    async with asking_at(server.base, within=1.0 if "within" in why else 20.0) as one:
        with pytest.raises(Unanswered, match=why) as error:
            await one.about(ADDRESS)
    assert time.monotonic() - began < 15
    assert "secret" not in str(error.value)


async def test_a_redirect_goes_to_the_named_server_only(server: web.Web) -> None:
    server.pages["/moved"] = web.json(rows.network("5.145.140.0", "5.145.140.255"))
    async with asking_at(server.base) as one:
        server.pages[PATH] = web.redirect("/moved")
        assert len(await one.about(ADDRESS)) == 4
        with web.web_server() as other:
            for to in (
                f"{other.base}moved",
                f"http://x@127.0.0.1:{server.port}/moved",
                "file:///etc/passwd",
                "http://[",
                "",
            ):
                server.pages[PATH] = web.redirect(to)
                with pytest.raises(Unanswered):
                    await one.about(ADDRESS)
            assert other.asked == []
        server.pages[PATH] = web.redirect(PATH)
        with pytest.raises(Unanswered, match="circle"):
            await one.about(ADDRESS)


async def test_a_server_that_fails_is_let_be(server: web.Web) -> None:
    server.pages[PATH] = web.hang_up
    async with asking_at(server.base) as one:
        for _ in range(asking.MOST_FAILURES + 5):
            with pytest.raises(Unanswered):
                await one.about(ADDRESS)
    assert len(server.asked) == asking.MOST_FAILURES


async def test_a_server_is_asked_at_its_rate(server: web.Web) -> None:
    client = Client(Turns(20), within=5, most=rdap.LARGEST)
    began = time.monotonic()
    for _ in range(6):
        await client.get(f"{server.base}x", "application/json")
    await client.close()
    assert time.monotonic() - began >= 5 / 20


# ---- the list of registries ------------------------------------------------------------------------------------------

SERVICES = [
    [["5.0.0.0/8", "80.0.0.0/4"], ["http://rdap.ripe.example/", "https://rdap.ripe.example/"]],
    [["5.145.0.0/16", "no block", 7], ["https://rdap.longer.example"]],
    [["41.0.0.0/8"], ["http://only.plain.example/"]],
    [["2a00::/12"], ["https://rdap.ripe.example/"]],
    "wrong",
    [["9.0.0.0/8"]],
]


def test_the_longest_block_names_the_server() -> None:
    bootstrap = Bootstrap(json.dumps({"version": "1.0", "services": SERVICES}).encode())
    assert bootstrap.server("5.9.9.9") == "https://rdap.ripe.example/"
    assert bootstrap.server("5.145.140.7") == "https://rdap.longer.example/"
    assert bootstrap.server("2a02::1") == "https://rdap.ripe.example/"
    assert bootstrap.server("41.1.1.1") is None and bootstrap.server("9.9.9.9") is None
    assert bootstrap.hosts == {"rdap.ripe.example", "rdap.longer.example"}


@pytest.mark.parametrize("text", [b"", b"[]", b'{"services": []}', b'{"services": 1}', b"[" * 99_999, b"\xff"])
def test_a_list_that_is_none(text: bytes) -> None:
    with pytest.raises(Unanswered):
        Bootstrap(text)


BLOCKS = {f"{first}.0.0.0/8": f"https://rdap.{first % 5}.example/" for first in range(1, 224) if first not in (10, 127)}


@given(st.ip_addresses(v=4).filter(lambda one: one.is_global))
def test_whoisit_names_the_same_server(address: Any) -> None:
    from whoisit.bootstrap import BaseBootstrap

    services = [[[block], [url]] for block, url in BLOCKS.items()]
    ours = Bootstrap(json.dumps({"services": services}).encode())
    theirs = BaseBootstrap()
    whole = {
        key: {"services": services if key == "ipv4" else [[[], ["https://x.example/"]]]}
        for key in theirs.BOOTSTRAP_URLS
    }
    theirs.load_bootstrap_data({"timestamp": 1, **whole}, from_json=False)
    endpoints, exact = theirs.get_ipv4_endpoints(ip_address(str(address)))
    assert ours.server(str(address)) == (endpoints[0] if exact else None)


async def test_the_list_is_fetched_once_and_wrong_ones_are_not_kept() -> None:
    loads: list[int] = []

    async def load(family: int, fetch: Callable[[], Awaitable[bytes]]) -> bytes:
        loads.append(family)
        return json.dumps({"services": [[["41.0.0.0/8"], ["https://rdap.afrinic.example/"]]]}).encode()

    client = Client(Turns(1000), within=1, most=rdap.LARGEST)
    one = Rdap(client, None, load)
    for _ in range(3):
        with pytest.raises(Unanswered, match="no registry"):
            await one.about("5.145.140.7")
    await client.close()
    assert loads == [4]
