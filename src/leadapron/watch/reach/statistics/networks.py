"""The kind of a network by its operator's name; ``networks.toml`` has the words."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from importlib import resources
from typing import Final

import msgspec
from msgspec import Struct

UNKNOWN: Final = "not known"


class _Kind(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    words: tuple[str, ...]


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    kind: tuple[_Kind, ...]


@lru_cache(maxsize=1)
def _kinds() -> tuple[_Kind, ...]:
    text = resources.files(__package__).joinpath("networks.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), _File).kind


def names() -> tuple[str, ...]:
    return (*(kind.name for kind in _kinds()), UNKNOWN)


@lru_cache(maxsize=4096)
def kind_of(operator: str | None) -> str:
    name = (operator or "")[:200].lower()
    return next((kind.name for kind in _kinds() if any(word in name for word in kind.words)), UNKNOWN)
