"""Pages from templates: everything that is printed into one is escaped, and a variable that is missing is an error.

What a server said of itself, what a register says of its owner and what a person typed all pass `clean` first: controls
and marks that turn the reading direction round become U+FFFD, and no text is longer than a page bears.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib import resources
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from leadapron import __version__
from leadapron.console import browser_parts
from leadapron.console.countries import country_name
from leadapron.watch.reach.notices.layout import blocks
from leadapron.watch.report import markdown, text, visit
from leadapron.watch.track.owner.suggestion import Suggestion

LONGEST: Final = 4000
LANGUAGES: Final = {
    "en": "English",
    "de": "German",
    "fr": "French",
    "es": "Spanish",
    "pt": "Portuguese",
    "tr": "Turkish",
}
_LINES: Final = frozenset("\n\t")


def page(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    return HTMLResponse(environment().get_template(template).render(**values), status)


def fit(value: str) -> str:
    """One line, of a length that a page bears."""
    value = value if len(value) <= LONGEST else value[: LONGEST - 1] + "…"
    return text.clean(" ".join(value.splitlines()) if "\n" in value else value)


def lines(value: str) -> str:
    """The same for what has lines: a notice's body."""
    return "".join(c if c.isprintable() or c in _LINES else "\ufffd" for c in value[:200_000].replace("\r\n", "\n"))


def short(value: int | None) -> str:
    """``1.19 billion``, ``35.1 million``, ``24,310``: for headlines."""
    if value is None:
        return "–"
    for unit, word in ((1e9, "billion"), (1e6, "million")):
        if value >= unit:
            return f"{value / unit:.3g} {word}"
    return f"{value:,}"


def count(value: int | None, complete: bool | None = True) -> str:
    """A number in a table; what is not complete says so."""
    if value is None:
        return "?"
    return f"{value:,}" if complete is not False else f"≥ {value:,}"


def studies(value: int | None) -> str:
    return "studies not counted" if value is None else text.quantity(value, "study", "studies")


def percent(part: float) -> str:
    if 0 < part < 0.001:
        return "< 0.1 %"
    return f"{100 * part:.1f} %" if part < 0.0995 else f"{100 * part:.0f} %"


def day(moment: str | None) -> str:
    """Only the day. It stays on one line."""
    return "–" if not moment else Markup('<time datetime="{0}">{0}</time>').format(fit(moment[:10]))


def language(code: str | None) -> str:
    """``German`` for ``de``; the code itself where it is none of those that notices have."""
    return LANGUAGES.get(code or "", code or "")


def reasons(advice: Suggestion) -> dict[str, str]:
    """Why, by the part that it is about; the first of a part counts."""
    return dict(reversed([(part, why) for part, _, why in (one.partition(": ") for one in advice.reasons)]))


def _finalize(value: object) -> object:
    return fit(value) if type(value) is str else value


def _query(values: dict[str, Any], **changes: Any) -> str:
    """A query string of what is set."""
    merged = {key: value for key, value in {**values, **changes}.items() if value not in (None, "", 0, False)}
    return "?" + urlencode(merged) if merged else "?"


def _asset(name: str) -> str:
    found = browser_parts.asset(name)
    return f"/static/{name}" if found is None else f"/static/{name}?v={found.mark}"


def _json(value: object) -> Markup:
    """For an attribute: whole, whatever its length."""
    return Markup.escape(msgspec.json.encode(value).decode())


@lru_cache(maxsize=1)
def environment() -> Environment:
    made = Environment(
        loader=FunctionLoader(_template),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        "number": text.number,
        "quantity": text.quantity,
        "short": short,
        "count": count,
        "studies": studies,
        "percent": percent,
        "day": day,
        "language": language,
        "channel": lambda value: "e-mail" if value == "email" else value,
        "blocks": lambda value: tuple(blocks(lines(value))),
        "moment": text.moment,
        "country": country_name,
        "lines": lambda value: Markup.escape(lines(value)),
        "json": _json,
        "counted": text.counted,
        "software": text.software,
        "listing": text.listing,
        "inline": markdown.inline,
        "step": markdown.step,
        "shapes": visit.shapes,
        "abilities": visit.abilities,
        "titles_checked": visit.titles_checked,
        "asked": visit.load,
        "counting": visit.counting,
        "attempts": visit.attempts,
        "query": _query,
        "reasons": reasons,
    }
    made.filters.update(filters)
    made.globals.update(asset=_asset, complete=browser_parts.complete, advice=browser_parts.ADVICE, version=__version__)
    return made


def compiled() -> None:
    """Compile all templates, so that nobody waits for it."""
    for file in resources.files(__package__).joinpath("templates").iterdir():
        environment().get_template(file.name)


def _template(name: str) -> str:
    return resources.files(__package__).joinpath("templates", name).read_text(encoding="utf-8")
