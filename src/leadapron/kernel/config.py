"""Configuration: one ``leadapron.toml``, every key of it also a ``LEADAPRON_…`` variable, which wins.

The shape of the file is a frozen record (``Settings``; a section is a record in it), so the keys that exist, their
types and their defaults stand in one place. A key that nobody knows is an error that names the closest one: a
misspelt setting that is silently ignored sends data to the wrong place for months. That holds for the environment
too, where ``LEADAPRON_DATABSE_URL`` would be the same mistake.

Variables are the key in capitals; a section's keys stand behind a double underscore: ``LEADAPRON_SECTION__KEY``.
A variable that is set to nothing counts as not set. Values never appear in a message, because a database URL may
hold a password.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec
from msgspec import Struct

from leadapron.kernel.errors import UsageError
from leadapron.kernel.paths import APPLICATION, CONFIGURATION

PREFIX = "LEADAPRON_"
FILE_VARIABLE = "LEADAPRON_CONFIG"  # names the file itself, so it cannot stand in it
DEBUG_VARIABLE = "LEADAPRON_DEBUG"  # shows where a bug of ours comes from; read by the command's root
_NOT_KEYS = (FILE_VARIABLE, DEBUG_VARIABLE)


class Settings(Struct, frozen=True, kw_only=True):
    """What can be configured. ``data``: the data directory. ``database_url``: an SQLAlchemy URL, for sightings that
    shall live elsewhere than in the SQLite file of the data directory."""

    data: str | None = None
    database_url: str | None = None
    edge: dict[str, Any] | None = None  # the section [edge], which the command of that name reads


S = TypeVar("S", bound=Struct)


def find_file(environment: Mapping[str, str] | None = None) -> Path | None:
    """The configuration file that is used: ``$LEADAPRON_CONFIG``, else ``./leadapron.toml``, else the one in the user's
    configuration directory, else None."""
    environment = os.environ if environment is None else environment
    if named := environment.get(FILE_VARIABLE):
        return Path(named).expanduser()
    here = Path(CONFIGURATION)
    if here.is_file():
        return here
    from platformdirs import user_config_path

    own = user_config_path(APPLICATION, appauthor=False) / CONFIGURATION
    return own if own.is_file() else None


def load(
    schema: type[S],
    *,
    path: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> S:
    """Read file and environment into ``schema``, usually ``Settings``.

    ``path`` None looks for the file (``find_file``). Raises ``UsageError`` for a file that cannot be read, a key that
    does not exist (with the closest that does) and a value of the wrong type.
    """
    environment = os.environ if environment is None else environment
    path = find_file(environment) if path is None else path
    values: dict[str, Any] = {}
    if path is not None:
        values = _read(path)
        _refuse_unknown(values, schema, str(path), ())
    for name, value in environment.items():
        if name.startswith(PREFIX) and name not in _NOT_KEYS and value:
            _override(values, schema, name, value)
    try:
        # Everything in the environment is text, so numbers and booleans are read from text too (not strict).
        return msgspec.convert(values, schema, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"the configuration has a value of the wrong type: {error}") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise UsageError(f"cannot read the configuration file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error


def _section(schema: type[Struct], key: str) -> type[Struct] | None:
    """The record behind ``key`` if it is a section, also where the section is optional."""
    for field in msgspec.structs.fields(schema):
        if field.name == key:
            for candidate in (field.type, *get_args(field.type)):
                if isinstance(candidate, type) and issubclass(candidate, Struct):
                    return candidate
    return None


def _keys(schema: type[Struct]) -> list[str]:
    return [field.name for field in msgspec.structs.fields(schema)]


def _refuse_unknown(values: Mapping[str, Any], schema: type[Struct], where: str, above: tuple[str, ...]) -> None:
    for key, value in values.items():
        if key not in _keys(schema):
            known = [".".join((*above, name)) for name in _keys(schema)]
            raise _unknown(f"{where} has the key", ".".join((*above, key)), known)
        section = _section(schema, key)
        if section is not None and isinstance(value, Mapping):
            _refuse_unknown(value, section, where, (*above, key))


def _variables(schema: type[Struct], above: str = PREFIX) -> Iterator[str]:
    for key in _keys(schema):
        section = _section(schema, key)
        if section is None:
            yield above + key.upper()
        else:
            yield from _variables(section, f"{above}{key.upper()}__")


def _override(values: dict[str, Any], schema: type[Struct], name: str, value: str) -> None:
    """Put a variable where it belongs in ``values``. Raises ``UsageError`` where no such key exists."""
    *sections, key = name.removeprefix(PREFIX).lower().split("__")
    table, record = values, schema
    for section in sections:
        below = _section(record, section)
        if below is None:
            raise _unknown("the environment has", name, [*_NOT_KEYS, *_variables(schema)])
        record = below
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise UsageError(f"the configuration has a plain value where the section {section} is expected")
    if key not in _keys(record) or _section(record, key) is not None:
        raise _unknown("the environment has", name, [*_NOT_KEYS, *_variables(schema)])
    table[key] = value


def _unknown(where: str, key: str, known: list[str]) -> UsageError:
    closest = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
    return UsageError(f"{where} {key}, which does not exist. The closest one is {closest[0]}")
