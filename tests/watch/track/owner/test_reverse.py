"""Reverse DNS against a server on loopback: UDP and TCP, decent and broken zones."""

from __future__ import annotations

import time

import pytest

from leadapron.kernel.hostport import HostPort
from leadapron.watch.track.owner import certificate, reverse
from leadapron.watch.track.owner.asking import Unanswered
from leadapron.watch.track.owner.model import Found
from leadapron.watch.track.owner.reverse import Resolver
from owners.names import NameServer, Zone, name_server

ADDRESS = "5.145.140.7"
POINTER = ("7.140.145.5.in-addr.arpa", "PTR")


def resolver(server: NameServer, within: float = 10.0) -> Resolver:
    return Resolver(HostPort("127.0.0.1", server.port), rate=1000, within=within)


async def names(zone: Zone, **how: object) -> dict[str, str]:
    with name_server(zone, **how) as server:
        return {one.value: one.source for one in await resolver(server).names(ADDRESS)}


async def test_a_name_is_confirmed_by_its_own_zone() -> None:
    zone = {
        POINTER: ["Mail.Praxis.example.", "claims.hospital.example.", "p5-145-140-7.dip.isp.example."],
        ("mail.praxis.example", "A"): ["192.0.2.1", ADDRESS],
        ("claims.hospital.example", "A"): ["192.0.2.9"],
    }
    assert await names(zone) == {
        "mail.praxis.example": reverse.CONFIRMED,
        "claims.hospital.example": reverse.UNCONFIRMED,
        "p5-145-140-7.dip.isp.example": reverse.LINE,
    }


async def test_ipv6_is_confirmed_by_aaaa() -> None:
    zone = {
        ("9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.7.6.5.4.3.2.1.8.0.1.8.2.0.a.2.ip6.arpa", "PTR"): ["pacs.praxis.example."],
        ("pacs.praxis.example", "AAAA"): ["2a02:8108:1234:5678:0::9"],
    }
    with name_server(zone) as server:
        found = await resolver(server).names("2a02:8108:1234:5678::9")
    assert found == (Found("reverse-dns", "pacs.praxis.example", reverse.CONFIRMED),)


async def test_classless_delegation_is_followed() -> None:
    """RFC 2317: the name of the address is an alias."""
    zone = {POINTER: ["pacs.praxis.example."], ("pacs.praxis.example", "A"): [ADDRESS]}
    zone["7.0-15.140.145.5.in-addr.arpa", "PTR"] = zone.pop(POINTER)
    zone[POINTER[0], "CNAME"] = ["7.0-15.140.145.5.in-addr.arpa."]
    assert await names(zone) == {"pacs.praxis.example": reverse.CONFIRMED}


async def test_a_long_answer_comes_over_tcp_and_is_bounded() -> None:
    zone = {POINTER: [f"n{number}.praxis.example." for number in range(900)]}
    found = await names(zone, truncate=True)
    assert len(found) == reverse.MOST_NAMES


async def test_no_name_is_an_answer() -> None:
    assert await names({}) == {}
    assert await names({(POINTER[0], "TXT"): ['"x"']}) == {}


async def test_what_is_no_host_name_is_left_out() -> None:
    zone = {POINTER: ["evil\\010name.praxis.example.", "localhost.", "\\<b\\>.praxis.example.", "1.2.3.4."]}
    assert await names(zone) == {}


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda _: None, "not answer within 1 s"),
        (lambda wire: wire[:7], "not answer within 1 s"),
        (lambda wire: b"\x00\x01" + wire[2:], "not answer within 1 s"),
        (lambda wire: wire[:3] + b"\x82" + wire[4:], "could not find it out"),
        (lambda wire: wire[:3] + b"\x85" + wire[4:], "could not find it out"),
    ],
    ids=["silent", "cut", "another question", "SERVFAIL", "REFUSED"],
)
async def test_a_broken_resolver_is_named_in_time(spoil: object, why: str) -> None:
    began = time.monotonic()
    with name_server({POINTER: ["a.praxis.example."]}, spoil=spoil) as server, pytest.raises(Unanswered, match=why):
        await resolver(server, within=1.0).names(ADDRESS)
    assert time.monotonic() - began < 8


async def test_a_dead_resolver_is_given_up() -> None:
    with name_server({}, spoil=lambda _: None) as server:
        one = resolver(server, within=0.3)
        for _ in range(3):
            with pytest.raises(Unanswered):
                await one.names(ADDRESS)
        questions, began = len(server.asked), time.monotonic()
        for _ in range(100):
            with pytest.raises(Unanswered, match="does not answer within"):
                await one.names(ADDRESS)
        assert len(server.asked) == questions and time.monotonic() - began < 1


async def test_a_certificate_s_name_that_leads_to_the_address() -> None:
    with name_server({("pacs.praxis.example", "A"): [ADDRESS]}) as server:
        one = resolver(server)
        assert await one.leads("pacs.praxis.example", ADDRESS) == (
            Found("certificate-name", "pacs.praxis.example", certificate.LEADS),
        )
        assert await one.leads("pacs.praxis.example", "5.145.140.8") == ()
        assert await one.leads("other.example", ADDRESS) == ()
