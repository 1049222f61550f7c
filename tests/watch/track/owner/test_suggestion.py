"""Whom to tell: what goes before what, and what names nobody."""

from __future__ import annotations

import itertools

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from leadapron.kernel.errors import UsageError
from leadapron.watch.track.exposures.store import Exposures
from leadapron.watch.track.owner import certificate, reverse
from leadapron.watch.track.owner.hints import SOURCES, Hints, Said
from leadapron.watch.track.owner.model import ENTERED, KINDS, Found, Hint, State
from leadapron.watch.track.owner.suggestion import suggestion
from leadapron.watch.track.tables import days
from owners import rows
from sightings import archive, exact
from watch_folding import round_of

_numbers = itertools.count(1)


def hint(kind: str, value: str, source: str = "x", state: State = "hint") -> Hint:
    by = None if state == "hint" else "A. Person"
    return Hint(
        id=next(_numbers), exposure_id=1, kind=kind, value=value, source=source, at=rows.AT, state=state, decided_by=by
    )


LINE = hint("reverse-dns", "p5-145-140-7.dip.isp.example.net", reverse.LINE)
SELF_SIGNED = hint("certificate-name", "pacs.self.de", certificate.SELF_SIGNED)
ISSUED = hint("certificate-name", "pacs.issued.de", certificate.ISSUED)
REVERSE = hint("reverse-dns", "mail.reverse.de", reverse.CONFIRMED)
UNCONFIRMED = hint("reverse-dns", "mail.claimed.de", reverse.UNCONFIRMED)
LEADS = hint("certificate-name", "pacs.leads.de", certificate.LEADS)
SECURITY = hint("security-txt", "report@leads.de", "security.txt of leads.de")
FORM = hint("security-txt", "https://leads.de/report", "security.txt of leads.de")
ABUSE = hint("abuse-mailbox", "abuse@isp.de", "RDAP at rdap.example")
OPERATOR = hint("operator", "Example Telecom", "MMDB file x")
NETWORK = hint("rdap-organisation", "Example Telecom AG", "RDAP at rdap.example")
COUNTRY = hint("country", "DE", "MMDB file x")


def test_without_hints_nobody() -> None:
    advice = suggestion([])
    assert (advice.mailbox, advice.cert, advice.language) == (None, None, "en")
    assert advice.reasons == ("instead: nobody to write to is known",)


def test_domains_go_by_who_says_so() -> None:
    some = [LINE, UNCONFIRMED, SELF_SIGNED, ISSUED, REVERSE, LEADS]
    for expected in ("leads.de", "reverse.de", "issued.de", "self.de", None, None):
        assert suggestion(some).domain == expected
        some.pop()


def test_what_is_published_goes_before_a_guess() -> None:
    assert (suggestion([LEADS]).mailbox, suggestion([LEADS]).guess) == (None, "security@leads.de")
    published = suggestion([LEADS, FORM, SECURITY])
    assert (published.mailbox, published.guess, published.page) == ("report@leads.de", None, "https://leads.de/report")
    entered = suggestion([LEADS, SECURITY, hint("mailbox", "office@clinic.de", "telephone", "confirmed")])
    assert entered.mailbox == "office@clinic.de" and "mailbox: confirmed by A. Person" in entered.reasons


def test_without_an_owner_the_operator_then_the_cert() -> None:
    advice = suggestion([LINE, ABUSE, OPERATOR, COUNTRY])
    assert advice.mailbox is None and advice.organisation is None
    assert (advice.operator, advice.operator_mailbox) == ("Example Telecom", "abuse@isp.de")
    assert advice.cert is not None and advice.cert.name == "CERT-Bund" and advice.language == "de"
    assert "operator knows whose line" in advice.reasons[-1]
    assert "the national CERT is the one" in suggestion([COUNTRY]).reasons[-1]


def test_names_in_the_operator_s_domain_and_at_services_name_nobody() -> None:
    assert suggestion([hint("reverse-dns", "mail.isp.de", reverse.CONFIRMED), ABUSE]).domain is None
    assert suggestion([hint("certificate-name", "praxis.synology.me", certificate.LEADS)]).domain is None
    assert (
        suggestion([hint("certificate-name", "mail.isp.de", certificate.ISSUED, "confirmed"), ABUSE]).domain == "isp.de"
    )


def test_the_institution_is_named_by_a_person_only() -> None:
    assert suggestion([NETWORK, OPERATOR, LEADS, ISSUED]).organisation is None
    confirmed = hint("rdap-organisation", "Example Clinic", "RDAP at rdap.example", "confirmed")
    assert suggestion([confirmed]).organisation == "Example Clinic"


def test_two_countries_go_by_source_and_by_person() -> None:
    registry = hint("country", "US", "RDAP at rdap.example")
    assert suggestion([registry, COUNTRY]).country == "DE"
    assert suggestion([registry, hint("country", "DE", "MMDB file x", "rejected")]).country == "US"
    assert suggestion([COUNTRY, hint("country", "US", "RDAP at rdap.example", "confirmed")]).country == "US"
    unknown = suggestion([hint("country", "QQ", "MMDB file x")])
    assert (unknown.country, unknown.cert, unknown.language) == ("QQ", None, "en")


SOME = st.lists(
    st.builds(
        hint,
        st.sampled_from([*KINDS, *ENTERED]),
        st.sampled_from(["DE", "abuse@isp.de", "pacs.leads.de", "https://x.de/", "AS7", "Example", ""])
        | st.text(max_size=30),
        st.sampled_from([certificate.LEADS, reverse.CONFIRMED, reverse.LINE, "MMDB file", "RDAP at x", "telephone"]),
        st.sampled_from(["hint", "confirmed", "rejected"]),
    ),
    max_size=12,
)


@given(SOME)
def test_rejected_hints_count_for_nothing(some: list[Hint]) -> None:
    assert suggestion(some) == suggestion([one for one in some if one.state != "rejected"])
    assert suggestion([one for one in some if one.state == "rejected"]) == suggestion([])


@given(SOME)
def test_an_organisation_was_confirmed(some: list[Hint]) -> None:
    name = suggestion(some).organisation
    assert name is None or name in {
        one.value for one in some if one.state != "rejected" and (one.decided_by or one.kind in ENTERED)
    }


# ---- as stored -------------------------------------------------------------------------------------------------------


def test_sources_cover_every_kind() -> None:
    assert {kind for source in SOURCES.values() for kind in source.kinds} == set(KINDS)


def test_what_a_person_does(engine: sa.Engine) -> None:
    key, store = rows.add(engine, "5.145.140.7"), Hints(engine)
    store.put({key: {"files": Said((Found("country", "DE", "MMDB file x"),), rows.AT)}})
    (country,) = store.of(key)
    assert rows.place(engine, key)[0] == "DE"
    entered = store.add(key, "country", "AT", "telephone", "A. Person")
    assert rows.place(engine, key)[0] == "AT"
    store.decide(entered.id, "rejected", "B. Person")
    assert rows.place(engine, key)[0] == "DE"
    assert store.get(entered.id).decided_by == "B. Person"
    assert [one.id for one in store.of(key)] == [country.id, entered.id]
    assert store.decide(country.id, "hint", "A. Person").decided_by is None
    assert store.add(key, "mailbox", " Office@Clinic.DE ", "letterhead", "A. Person").value == "Office@clinic.de"


def test_what_a_person_cannot_do(engine: sa.Engine) -> None:
    key, store = rows.add(engine, "5.145.140.7"), Hints(engine)
    for arguments in (
        (key, "shoe-size", "44", "x", "A"),
        (key, "organisation", " \n", "x", "A"),
        (key, "organisation", "Clinic", "", "A"),
        (key, "organisation", "Clinic", "x", " "),
        (key, "mailbox", "nobody", "x", "A"),
        (key, "country", "Germany", "x", "A"),
        (key + 999, "organisation", "Clinic", "x", "A"),
    ):
        with pytest.raises(UsageError):
            store.add(*arguments)
    with pytest.raises(UsageError, match="no hint 999"):
        store.decide(999, "confirmed", "A")
    with pytest.raises(UsageError, match="one of hint, confirmed, rejected"):
        store.decide(999, "sure", "A")
    assert store.of(key) == []


def test_what_a_person_rejects_does_not_stay_on_the_exposure(engine: sa.Engine) -> None:
    round_of(engine, 0, [archive(1, exact(500))])
    store = Hints(engine)
    found = tuple(
        Found(kind, value, "MMDB file x")
        for kind, value in (("country", "DE"), ("asn", "AS64500"), ("operator", "Net"))
    )
    store.put({1: {"files": Said(found, "2026-11-22T08:00:00Z")}})

    def stands() -> tuple[str | None, int | None, str | None]:
        one = Exposures(engine).get(1)
        return one.country, one.asn, one.operator

    def sums() -> set[tuple[str, int]]:
        with engine.connect() as connection:
            return {(c, n) for c, n in connection.execute(sa.select(days.c.country, days.c.studies)) if n}

    assert stands() == ("DE", 64500, "Net")
    by_kind = {hint.kind: hint for hint in store.of(1)}
    for kind in ("country", "asn", "operator"):
        store.decide(by_kind[kind].id, "rejected", "A. Person")
    assert stands() == (None, None, None) and sums() == {("", 500)}
    store.add(1, "country", "AT", "telephone", "A. Person")
    assert stands() == ("AT", None, None) and sums() == {("AT", 500)}
    store.decide(by_kind["operator"].id, "hint", "A. Person")
    assert stands() == ("AT", None, "Net")
