"""The remedy files as records, and their text."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Any, Final, Literal

from msgspec import Struct, convert

GENERIC: Final = "generic"
FIRST: Final = "first"  # the generic section that every closing of access begins with
_PLACE: Final = re.compile(r"\{(\w+)\}")

Value = str | int
Kind = Literal["json", "text", "command"]


class Part(Struct, frozen=True, forbid_unknown_fields=True):
    """What is put in place. ``json``: settings to merge into ``file``; ``text``: lines of ``file``; ``command``: a
    command line. Places look like ``{name}``; ``example`` gives each a value for the text."""

    kind: Kind
    value: Any
    file: str | None = None
    example: dict[str, Value] = {}

    def filled(self, values: Mapping[str, Value]) -> Any:
        """The part with its places filled; raises KeyError for a place without a value.

        A string that is nothing but one place takes the value's own type, so that a port stays a number.
        """
        return _fill(self.value, values)

    def rendered(self) -> str:
        """The part as Markdown, filled with its example."""
        filled = self.filled(self.example)
        body = json.dumps(filled, indent=2) if self.kind == "json" else str(filled).strip("\n")
        language = {"json": "json", "text": "", "command": "sh"}[self.kind]
        return f"```{language}\n{body}\n```"


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    title: str
    steps: tuple[str, ...]
    parts: dict[str, Part] = {}


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    product: str
    sources: tuple[str, ...]
    tried: str
    section: dict[str, Section]


class Remedy(Struct, frozen=True):
    """``steps`` are Markdown, a part of a step a fenced block. ``tried`` says what this was tried on."""

    product: str
    title: str
    steps: tuple[str, ...]
    parts: dict[str, Part]
    tried: str


@lru_cache(maxsize=1)
def files() -> tuple[str, ...]:
    """The names of the remedy files, the generic one last."""
    names = sorted(
        entry.name.removesuffix(".toml")
        for entry in resources.files(__package__).iterdir()
        if entry.name.endswith(".toml")
    )
    return (*(name for name in names if name != GENERIC), GENERIC)


@lru_cache(maxsize=32)
def _load(file: str) -> _File:
    text = resources.files(__package__).joinpath(f"{file}.toml").read_text(encoding="utf-8")
    return convert(tomllib.loads(text), _File)


def product_of(file: str) -> str:
    """The product that the file is for, as people call it."""
    return _load(file).product


def sources_of(file: str) -> tuple[str, ...]:
    """Where the file's facts were read."""
    return _load(file).sources


@lru_cache(maxsize=256)
def remedy(file: str, section: str) -> Remedy:
    """The file's section, or the generic one where it has none. Raises KeyError for a section that nobody has."""
    own = _load(file)
    if section not in own.section:
        own = _load(GENERIC)
    found = own.section[section]
    return Remedy(
        product=own.product,
        title=found.title,
        steps=tuple(_step(step, found.parts) for step in found.steps),
        parts=found.parts,
        tried=own.tried,
    )


def has(file: str, section: str) -> bool:
    """Whether the file itself holds that section."""
    return section in _load(file).section


def sections() -> frozenset[str]:
    """All sections that the generic file has, and with that everybody."""
    return frozenset(_load(GENERIC).section)


def _step(step: str, parts: Mapping[str, Part]) -> str:
    """``<name>`` alone on a line stands for the part of that name."""
    lines = [
        parts[line[1:-1]].rendered() if line.startswith("<") and line.endswith(">") and line[1:-1] in parts else line
        for line in step.strip().splitlines()
    ]
    return "\n".join(lines)


def _fill(value: Any, values: Mapping[str, Value]) -> Any:
    if isinstance(value, str):
        whole = _PLACE.fullmatch(value)
        if whole is not None:
            return values[whole.group(1)]
        return _PLACE.sub(lambda place: str(values[place.group(1)]), value)
    if isinstance(value, dict):
        return {_fill(key, values): _fill(inner, values) for key, inner in value.items()}
    if isinstance(value, list):
        return [_fill(inner, values) for inner in value]
    return value
