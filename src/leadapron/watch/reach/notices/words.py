"""Templates to text: one skeleton for each kind of notice, one file of sentences for each language.

A skeleton says what stands where and is the same for all; ``languages/de.txt`` holds the sentences as macros, each a
whole paragraph, so that no language has to follow another's order of words. What a template asks for and is not there
is an error, never a gap in a letter. Autoescaping is off because the result is plain text: whoever shows it on a page
escapes it there.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from leadapron.watch.reach.notices.facts import Facts
from leadapron.watch.reach.notices.layout import LONGEST, tidy
from leadapron.watch.reach.notices.model import LANGUAGES, Purpose

if TYPE_CHECKING:
    import jinja2
    from babel import Locale

KINDS: Final = ("first", "reminder", "operator", "cert", "regulator", "thanks")
_ESCALATIONS: Final = ("first", "operator", "cert", "regulator")  # by level
_LONGEST_SUBJECT: Final = 150
_ENGLISH: Final = frozenset({"US", "GB", "IE", "CA", "AU", "NZ", "IN", "ZA"})


def kind(purpose: Purpose, level: int) -> str:
    """The skeleton for a purpose at a level."""
    return _ESCALATIONS[level] if purpose == "escalation" or (level and purpose != "thanks") else purpose


def text(purpose: Purpose, facts: Facts, language: str, country: str | None = None) -> tuple[str, str]:
    """Subject and body. ``country`` (ISO 3166-1) decides how numbers and dates are written, within the language."""
    which = kind(purpose, facts.level)
    environment = _environment(language)
    words = environment.get_template(f"languages/{language}.txt")
    given = {"f": facts, "where": locale(language, country or "")}
    subject = str(getattr(words.make_module(given), f"subject_{which}")())
    body = environment.get_template(f"{which}.txt").render(given, words=words)
    return " ".join(subject.split())[:_LONGEST_SUBJECT], tidy(body)[:LONGEST]


def word(name: str, language: str) -> str:
    """A sentence that needs no facts, by its macro's name."""
    return str(getattr(_environment(language).get_template(f"languages/{language}.txt").module, name)())


def locale(language: str, country: str) -> Locale:
    """How numbers and dates are written: as in the country where that is a custom of the language, else as usual."""
    from babel import Locale, UnknownLocaleError

    if language == "en" and country not in _ENGLISH:
        country = "GB"
    try:
        return Locale.parse(f"{language}_{country}") if country else Locale.parse(language)
    except (UnknownLocaleError, ValueError):
        return Locale.parse(language)


def long_date(day: date, where: Locale) -> str:
    """The date in words. French and Brazilians write the first of a month as an ordinal, which CLDR leaves to us."""
    from babel.dates import format_date

    said = format_date(day, "long", locale=where)
    first = {"fr": "1er", "pt": "1º" if where.territory in (None, "BR") else "1"}.get(where.language)
    return re.sub(r"^1(?= )", first, said) if day.day == 1 and first is not None else said


@lru_cache(maxsize=len(LANGUAGES))
def _environment(language: str) -> jinja2.Environment:
    """The templates of a language, read once. ``where``, by which numbers are written, comes with the facts."""
    import jinja2
    from babel.numbers import format_decimal

    @jinja2.pass_context
    def number(context: jinja2.runtime.Context, value: int) -> str:
        return format_decimal(value, locale=context["where"])

    @jinja2.pass_context
    def day(context: jinja2.runtime.Context, value: str) -> str:
        return long_date(date.fromisoformat(value[:10]), context["where"])

    assert language in LANGUAGES
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("leadapron.watch.reach.notices"),
        autoescape=False,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    environment.filters["number"] = number
    environment.filters["day"] = day
    environment.filters["opening"] = lambda value: _opening(value, language)
    return environment


def _opening(sentence: str, language: str) -> str:
    """The first sentence after the salutation begins with a capital; in German it goes on after the comma."""
    if language == "de" or not sentence:
        return sentence
    first = "İ" if language == "tr" and sentence[0] == "i" else sentence[0].upper()
    return first + sentence[1:]
