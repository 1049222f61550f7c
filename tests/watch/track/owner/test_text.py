"""What strangers write is made safe: properties that hold for any text, and the names and mailboxes that are let in."""

from __future__ import annotations

import unicodedata
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.watch.track.owner.domains import Domain, made_from_address, registrable
from leadapron.watch.track.owner.text import host_name, is_role, mailbox, one_line

ANY = st.text(max_size=400) | st.text(st.characters(categories=("Cc", "Cf", "Zl", "Zp", "Lu")), max_size=60)


@given(ANY, st.integers(1, 320))
def test_a_line_is_bounded_and_moves_no_cursor(text: str, longest: int) -> None:
    line = one_line(text, longest)
    assert line is None or 0 < len(line) <= longest
    for sign in line or "":
        assert sign == " " or (
            unicodedata.category(sign)[0] in "LMNPSZ" and unicodedata.category(sign) not in ("Zl", "Zp")
        )
    assert line is None or one_line(line, longest) == line


def test_what_turns_writing_around_goes() -> None:
    assert one_line("good\u202eevil\u2066\x1b[31m\x00\x9b2J\r\nTo: x") == "goodevil[31m2J To: x"
    assert one_line("Klinik am Südring – Großhadern") == "Klinik am Südring – Großhadern"
    assert one_line(17) is None and one_line(" \t\n") is None


@given(ANY)
def test_a_host_name_is_one(text: str) -> None:
    name = host_name(text)
    assert name is None or (name.isascii() and name == name.lower() and len(name) <= 253 and "." in name)
    assert name is None or not set(name) - set("abcdefghijklmnopqrstuvwxyz0123456789-_.")


@pytest.mark.parametrize(
    "text", ["localhost", "127.0.0.1", "a..b.de", "-a.de", "a" * 64 + ".de", "a b.de", "<b>.de", "::1"]
)
def test_no_host_name(text: str) -> None:
    assert host_name(text) is None


def test_host_names() -> None:
    assert host_name("*.Klinik.Example.DE.") == "klinik.example.de"
    assert host_name("xn--mnchen-3ya.de") == "xn--mnchen-3ya.de"


@given(ANY | st.emails())
def test_a_mailbox_is_one(text: str) -> None:
    address = mailbox(text)
    if address is not None:
        assert address.count("@") == 1 and address.isascii() and address.isprintable()
        assert not set(address) & set(" \"'<>(),;:\\|&$%\n\r")


@pytest.mark.parametrize(
    "text",
    [
        "abuse@localhost",
        "@example.de",
        "a@b@example.de",
        "x\r\nBcc: y@example.de",
        "<abuse@example.de>",
        '"; rm"@example.de',
        "-f@example.de",
        "a..b@example.de",
        "abuse@*.example.de",
        "abuse@127.0.0.1",
        7,
    ],
)
def test_no_mailbox(text: object) -> None:
    assert mailbox(text) is None


def test_mailboxes_and_roles() -> None:
    assert mailbox(" Abuse@Example.DE ") == "Abuse@example.de"
    for role in ("abuse@x.de", "noc@x.de", "ip-abuse@x.de", "abuse-desk@x.de", "security@x.de", "Abuse@x.de"):
        assert is_role(role), role
    for person in ("erika.mustermann@x.de", "itsuki@x.de", "jsmith@x.de", "certain.person@x.de", "abusir@x.de"):
        assert not is_role(person), person


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("pacs.klinik.example.de", Domain("example.de", False)),
        ("www.trust.nhs.uk", Domain("trust.nhs.uk", False)),
        ("pacs.hospital.com.tr", Domain("hospital.com.tr", False)),
        ("praxis.synology.me", Domain("praxis.synology.me", True)),
        ("pacs.local", None),
        ("localhost", None),
        ("co.uk", None),
        ("server.invalid", None),
    ],
)
def test_domains(name: str, domain: Domain | None) -> None:
    assert registrable(name) == domain


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("p5-145-140-7.dip.example.net", "5.145.140.7"),
        ("7.140.145.5.rev.example.net", "5.145.140.7"),
        ("host005145140007.example.net", "5.145.140.7"),
        ("ip05918c07.example.net", "5.145.140.7"),
        ("static-pool.example.net", "5.145.140.7"),
        ("customer-17.dsl.example.net", "5.145.140.7"),
        ("2a02-8108-1234-5678-0-0-0-9.example.net", "2a02:8108:1234:5678::9"),
    ],
)
def test_names_of_lines(name: str, address: str) -> None:
    assert made_from_address(name, address)


@pytest.mark.parametrize(
    "name", ["pacs.example.net", "mail2.klinik.example.de", "dcm4chee.hospital.example.com", "rx7.example.net"]
)
def test_names_of_owners(name: str) -> None:
    assert not made_from_address(name, "5.145.140.7")


@given(st.ip_addresses())
def test_an_address_in_its_own_name_is_seen(address: IPv4Address | IPv6Address) -> None:
    label = str(address.exploded).replace(".", "-").replace(":", "-")
    groups = [one for one in address.exploded.split(":") if one.strip("0")]
    if address.version == 4 or len(groups) >= 4:
        assert made_from_address(f"x-{label}.example.net", str(address))
