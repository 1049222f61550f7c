"""What counts as the same mailbox, domain or network."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.kernel.errors import UsageError
from leadapron.watch.reach.mailbox import canonical, classify, domain_of, is_mailbox, matches


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("Anna+PACS@Klinik.Example", "mailbox", "anna@klinik.example"),
        ("it@bücher.example", "mailbox", "it@xn--bcher-kva.example"),
        ("Klinik.Example.", "domain", "klinik.example"),
        ("@klinik.example", "domain", "klinik.example"),
        ("*.klinik.example", "domain", "klinik.example"),
        ("192.0.2.7", "network", "192.0.2.7/32"),
        ("192.0.2.7/24", "network", "192.0.2.0/24"),
        ("2001:db8::1/32", "network", "2001:db8::/32"),
        ("::ffff:192.0.2.7", "network", "192.0.2.7/32"),
    ],
)
def test_what_somebody_meant(text: str, kind: str, value: str) -> None:
    assert classify(text) == (kind, value)
    assert classify(value) == (kind, value)


@pytest.mark.parametrize(
    "text",
    ["", "@", "clinic", "it@", "a b@c.example", "it@clinic.example\nBcc: x@y.example", "0.0.0.0/0", "::/0", "1.2.3.4.5",
     "300.1.1.1", "x" * 300 + ".example", "<it@clinic.example>", "..example",
     "straße.example", "it@stra\u1e9ee.example", "θάλασσας.example"],
)  # fmt: skip
def test_what_can_only_be_a_slip(text: str) -> None:
    with pytest.raises(UsageError):
        classify(text)


@pytest.mark.parametrize(
    ("refused", "mailbox", "address", "same"),
    [
        ("it@clinic.example", "IT@Clinic.example", None, True),
        ("it@clinic.example", "it+images@clinic.example", None, True),
        ("it+x@clinic.example", "it@clinic.example", None, True),
        ("it@clinic.example", "it@mail.clinic.example", None, False),
        ("clinic.example", "it@mail.clinic.example", None, True),
        ("clinic.example", "it@clinic.example", None, True),
        ("clinic.example", "it@myclinic.example", None, False),
        ("mail.clinic.example", "it@clinic.example", None, False),
        ("192.0.2.0/24", None, "192.0.2.255", True),
        ("192.0.2.0/24", "it@clinic.example", "::ffff:192.0.2.1", True),
        ("192.0.2.0/24", None, "192.0.3.0", False),
        ("192.0.2.0/24", None, "2001:db8::1", False),
        ("192.0.2.0/24", None, "clinic.example", False),
        ("clinic.example", None, "192.0.2.1", False),
    ],
)
def test_who_is_meant(refused: str, mailbox: str | None, address: str | None, same: bool) -> None:
    assert matches(*classify(refused), mailbox, address) is same


LOCAL = st.from_regex(r"[a-zA-Z0-9_-]{1,20}(\+[a-z0-9]{0,8})?", fullmatch=True)
DOMAIN = st.from_regex(r"([a-zA-Z0-9]{1,12}\.){1,3}[a-zA-Z]{2,6}", fullmatch=True)


@given(LOCAL, DOMAIN)
def test_a_mailbox_is_meant_by_itself_its_spellings_and_its_domains(local: str, domain: str) -> None:
    mailbox = f"{local}@{domain}"
    assert is_mailbox(mailbox)
    assert canonical(canonical(mailbox)) == canonical(mailbox) == canonical(mailbox.upper())
    assert matches(*classify(mailbox), mailbox, None)
    assert matches(*classify(domain), mailbox, None)
    assert domain_of(mailbox) == domain.lower()
