"""How countries are called on pages, and their numbers on the map."""

from __future__ import annotations

from leadapron.watch.track.owner.countries import country, name


def country_name(code: str | None) -> str:
    """``Germany`` for ``DE``; the code itself where nobody calls it anything."""
    return name(code, "en") if code else "Country not known"


def numeric(code: str) -> str:
    """ISO 3166-1 numeric, as the map knows countries; '' where there is none."""
    found = country(code) if code else None
    return "" if found is None else found.numeric
