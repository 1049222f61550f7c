"""The data about countries: its shape, its sources, and that it speaks each language of the notices."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from babel import Locale

from leadapron.watch.reach.notices import recipients
from leadapron.watch.reach.notices.settings import Notices as Settings
from leadapron.watch.track.owner.countries import LANGUAGES, Contact, Country, country, known, name
from leadapron.watch.track.owner.countries import _data as data
from leadapron.watch.track.owner.text import mailbox

WANTED = [
    "AT",
    "BE",
    "BG",
    "HR",
    "CY",
    "CZ",
    "DK",
    "EE",
    "FI",
    "FR",
    "DE",
    "GR",
    "HU",
    "IE",
    "IT",
    "LV",
    "LT",
    "LU",
    "MT",
    "NL",
    "PL",
    "PT",
    "RO",
    "SK",
    "SI",
    "ES",
    "SE",
    "IS",
    "LI",
    "NO",
    "AR",
    "AU",
    "BR",
    "CA",
    "CN",
    "IN",
    "ID",
    "JP",
    "KR",
    "MX",
    "RU",
    "SA",
    "ZA",
    "TR",
    "GB",
    "US",
    "IR",
    "TH",
    "CH",
    "UA",
    "RS",
    "TW",
    "VN",
    "MY",
    "PH",
    "PK",
    "BD",
    "LK",
    "NP",
    "AE",
    "IL",
    "EG",
    "MA",
    "DZ",
    "TN",
    "NG",
    "KE",
    "CO",
    "CL",
    "PE",
    "EC",
    "VE",
    "UY",
    "BO",
    "PY",
    "NZ",
    "SG",
    "HK",
    "LB",
    "JO",
    "IQ",
    "KW",
    "KZ",
]


def of(code: str) -> Country:
    found = country(code)
    assert found is not None
    return found


def test_every_country_that_matters_is_there() -> None:
    assert set(WANTED) <= set(known())
    assert len(known()) >= 60


@pytest.mark.parametrize("code", known())
def test_a_country_is_whole(code: str) -> None:
    one = of(code)
    assert one.code == code and re.fullmatch(r"\d{3}", one.numeric)
    assert one.name == Locale("en").territories[code] != code
    assert one.languages and all(language in Locale("en").languages for language in one.languages)
    assert one.language in LANGUAGES and one.language in (*one.languages, "en")
    assert one.cert or one.regulator, "nobody to tell there"
    for contact in (one.cert, one.regulator):
        assert contact is None or sound(contact)


def sound(contact: Contact) -> bool:
    assert contact.name.strip() == contact.name != ""
    assert contact.mailbox is None or mailbox(contact.mailbox) == contact.mailbox
    return is_page(contact.page)


def is_page(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" and "." in (parts.hostname or "") and not re.search(r"\s", url)


@pytest.mark.parametrize("key", data().duties)
def test_a_duty_names_its_law_in_every_language_and_where_it_stands(key: str) -> None:
    duty = data().duties[key]
    assert is_page(duty.source)
    assert set(duty.law_in) <= set(LANGUAGES)
    for language in LANGUAGES:
        assert len(duty.name(language)) > 5
        sentence = duty.sentence(language)
        assert sentence.endswith(".") and 40 < len(sentence) < 260
    assert any(entry.duty == key for entry in data().countries.values()), "no country has it"


def test_sentences_are_in_every_language_and_in_their_own() -> None:
    for sentences in data().summaries.values():
        assert set(sentences) == set(LANGUAGES)
        assert len(set(sentences.values())) == len(LANGUAGES)


def test_numbers_names_and_duties_that_everybody_knows() -> None:
    assert {code: of(code).numeric for code in ("US", "DE", "TR", "CN", "BR", "IR")} == {
        "US": "840", "DE": "276", "TR": "792", "CN": "156", "BR": "076", "IR": "364",
    }  # fmt: skip
    duties = {code: found.name("en") for code in known() if (found := of(code).duty) is not None}
    assert duties["DE"] == duties["IS"] == "Regulation (EU) 2016/679 (GDPR), Art. 32"
    assert "164.312" in duties["US"] and "m. 12" in duties["TR"] and "Art. 46" in duties["BR"]
    german = of("DE").duty
    assert german is not None and german.name("de").endswith("(DSGVO), Art. 32")
    assert name("TR", "tr") == "Türkiye" and name("DE", "fr") == "Allemagne" and name("QQ", "de") == "QQ"


def test_a_country_without_a_table_is_still_a_country() -> None:
    fiji = of("fj")
    assert (fiji.numeric, fiji.name, fiji.language, fiji.cert) == ("242", "Fiji", "en", None)
    assert country("XX") is None and country("") is None and country("DEU") is None


@pytest.mark.parametrize(
    ("code", "language"),
    [("CY", "en"), ("BE", "en"), ("CH", "de"), ("LU", "fr"), ("CA", "en"), ("BR", "pt"), ("MU", "en"), ("RE", "fr")],
)
def test_nobody_is_written_to_in_the_language_of_the_neighbours(code: str, language: str) -> None:
    found = country(code)
    assert found is not None and found.language == language
    assert recipients._language(None, found, Settings(), {}) == language
    assert recipients._language("fr", found, Settings(), {}) == "fr", "what a person confirmed goes first"
    assert recipients._language(None, found, Settings(languages=("tr", "en")), {}) == "en"
