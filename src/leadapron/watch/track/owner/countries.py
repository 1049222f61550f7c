"""What is known of a country: its CERT, its regulator, the duty of whoever holds patients' data there.

Those stand in ``data/countries.toml``, with the page where each is to be read. Names, numbers (ISO 3166-1) and
languages are CLDR's, by babel, so every country has them, also one without a table of its own.
"""

from __future__ import annotations

import functools
import tomllib
from importlib import resources
from typing import Final

import msgspec
from babel import Locale, UnknownLocaleError
from babel.core import get_global
from babel.languages import get_official_languages
from msgspec import Struct

LANGUAGES: Final = ("en", "de", "fr", "es", "pt", "tr")
"""Those that notices are written in."""


class Contact(Struct, frozen=True, forbid_unknown_fields=True):
    """``page`` is where it is to be read, and how to reach them where no mailbox is certain."""

    name: str
    page: str
    mailbox: str | None = None


class Duty(Struct, frozen=True, forbid_unknown_fields=True):
    """``summary`` names one of the file's sentences; ``source``: where the law is to be read; ``article`` may be ''."""

    law: str
    summary: str
    source: str
    article: str = ""
    law_in: dict[str, str] = {}

    def name(self, language: str) -> str:
        """The law as it is called in that language, with the article: ``Verordnung (EU) 2016/679 (DSGVO), Art. 32``."""
        law = self.law_in.get(language, self.law)
        return f"{law}, {self.article}" if self.article else law

    def sentence(self, language: str) -> str:
        """What the law demands, in one sentence; in English where there is none in that language."""
        sentences = _data().summaries[self.summary]
        return sentences.get(language, sentences["en"])


class Country(Struct, frozen=True):
    """``code``: ISO 3166-1 alpha-2; ``numeric``: its three digits; ``name``: in English; ``languages``: official ones
    (ISO 639), that of most people first."""

    code: str
    numeric: str
    name: str
    languages: tuple[str, ...]
    cert: Contact | None = None
    regulator: Contact | None = None
    duty: Duty | None = None
    language: str = "en"
    """The language to write there in: one of `LANGUAGES`."""


class _Entry(Struct, frozen=True, forbid_unknown_fields=True):
    language: str | None = None  # where the first official one that notices have is not the one to write in
    cert: Contact | None = None
    regulator: Contact | None = None
    duty: str | None = None


class _Data(Struct, frozen=True, forbid_unknown_fields=True):
    summaries: dict[str, dict[str, str]]
    duties: dict[str, Duty]
    countries: dict[str, _Entry]


@functools.cache
def country(code: str) -> Country | None:
    """The country of that alpha-2 code, whatever its case; None where ISO 3166-1 has none."""
    code = code.upper()
    numeric = _numbers().get(code)
    if numeric is None:
        return None
    entry = _data().countries.get(code, _Entry())
    languages = _languages(code)
    return Country(
        code=code,
        numeric=numeric,
        name=name(code, "en"),
        languages=languages,
        cert=entry.cert,
        regulator=entry.regulator,
        duty=None if entry.duty is None else _data().duties[entry.duty],
        language=entry.language or next((one for one in languages if one in LANGUAGES), "en"),
    )


def code_of(text: str) -> str | None:
    """The code of a country that is written as a code or by its English name; None for all else."""
    clean = " ".join(text.split())[:80]
    code = clean.upper() if clean.upper() in _numbers() else _codes().get(clean.casefold())
    return code if code is not None and country(code) is not None else None


def known() -> tuple[str, ...]:
    """Codes of the countries that have a table in the file."""
    return tuple(_data().countries)


def name(code: str, language: str) -> str:
    """A country's name in a language; the code itself where there is none."""
    try:
        return str(Locale.parse(language).territories.get(code.upper(), code))
    except (UnknownLocaleError, ValueError):
        return name(code, "en") if language != "en" else code


def _languages(code: str) -> tuple[str, ...]:
    # CLDR counts English in the US as official "de facto". A script (zh_Hant) is no language of its own here.
    tags = get_official_languages(code, regional=False, de_facto=True)
    return tuple(dict.fromkeys(tag.partition("_")[0] for tag in tags))


@functools.cache
def _numbers() -> dict[str, str]:
    aliases = get_global("territory_aliases")
    return {
        codes[0]: number
        for number, codes in aliases.items()
        if number.isdigit() and len(codes) == 1 and number < "900"  # from 900 on they are not assigned by ISO
    }


@functools.cache
def _codes() -> dict[str, str]:
    territories = Locale("en").territories
    names = {str(territories[code]).casefold(): code for code in _numbers() if code in territories}
    return names | {"united states of america": "US", "great britain": "GB", "russian federation": "RU"}


@functools.cache
def _data() -> _Data:
    text = resources.files(__package__).joinpath("data", "countries.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), _Data)
