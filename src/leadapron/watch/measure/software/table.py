"""``products.toml`` as records."""

from __future__ import annotations

import re
import tomllib
from functools import lru_cache
from importlib import resources

from msgspec import Struct, convert


class _Row(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    source: str
    roots: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    uid_version: str | None = None
    remedy: str | None = None
    needs_name: bool = False


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    product: tuple[_Row, ...]


class Product(Struct, frozen=True):
    """One product of the table; see the head of ``products.toml`` for what the fields mean."""

    name: str
    roots: tuple[str, ...]
    names: tuple[re.Pattern[str], ...]
    uid_version: re.Pattern[str] | None
    needs_name: bool
    remedy: str | None
    source: str


@lru_cache(maxsize=1)
def products() -> tuple[Product, ...]:
    """All of them, in the order of the file."""
    text = resources.files(__package__).joinpath("products.toml").read_text(encoding="utf-8")
    return tuple(
        Product(
            name=row.name,
            roots=row.roots,
            names=tuple(re.compile(name, re.ASCII) for name in row.names),
            uid_version=None if row.uid_version is None else re.compile(row.uid_version, re.ASCII),
            needs_name=row.needs_name,
            remedy=row.remedy,
            source=row.source,
        )
        for row in convert(tomllib.loads(text), _File).product
    )
