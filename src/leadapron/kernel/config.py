"""Configuration: one ``leadapron.toml``, every key of it also a ``LEADAPRON_…`` variable, which wins.

The shape of the file is a frozen record (``Settings``; a section is a record in it), so the keys that exist, their
types and their defaults stand in one place. A key that nobody knows is an error that names the closest one: a
misspelt setting that is silently ignored sends data to the wrong place for months. That holds for the environment
too, where ``LEADAPRON_DATABSE_URL`` would be the same mistake.

A section that only one wing understands is a plain table here (``dict[str, Any]``): the kernel lets it stand as it is,
and the wing reads it with a record of its own.

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
from typing import Any, TypeVar, get_args, get_origin

import msgspec
from msgspec import Struct

from leadapron.kernel.errors import UsageError
from leadapron.kernel.misread import dotted, misread, with_line
from leadapron.kernel.paths import APPLICATION, CONFIGURATION

PREFIX = "LEADAPRON_"
FILE_VARIABLE = "LEADAPRON_CONFIG"  # names the file itself, so it cannot stand in it
DEBUG_VARIABLE = "LEADAPRON_DEBUG"  # shows where a bug of ours comes from; read by the command's root
BY_VARIABLE = "LEADAPRON_BY"  # who decides at the command line, without --by
_NOT_KEYS = (FILE_VARIABLE, DEBUG_VARIABLE, BY_VARIABLE)


class Settings(Struct, frozen=True, kw_only=True):
    """What can be configured. ``data``: the data directory. ``database_url``: an SQLAlchemy URL, for sightings that
    shall live elsewhere than in the SQLite file of the data directory."""

    data: str | None = None
    database_url: str | None = None
    guard: dict[str, Any] | None = None  # read by leadapron.guard.settings
    edge: dict[str, Any] | None = None  # the section [edge], which the command of that name reads
    watch: dict[str, Any] | None = None  # campaigns: leadapron.watch.campaign.settings
    lookups: dict[str, Any] | None = None  # where owners are looked up: leadapron.watch.track.owner.settings
    cases: dict[str, Any] | None = None  # waiting times and escalation: leadapron.watch.reach.cases.settings
    notices: dict[str, Any] | None = (
        None  # who writes, and through which server: leadapron.watch.reach.notices.settings
    )
    console: dict[str, Any] | None = None  # the pages: leadapron.console.settings


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
        _refuse_unknown(values, schema, path, ())
    for name, value in environment.items():
        if name.startswith(PREFIX) and name not in _NOT_KEYS and value:
            _override(values, schema, name, value)
    try:
        # Everything in the environment is text, so numbers and booleans are read from text too (not strict).
        return msgspec.convert(values, schema, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(misread(str(error), schema, path, environment, PREFIX)) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))  # some editors put a mark before UTF-8
    except OSError as error:
        raise UsageError(f"cannot read the configuration file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error


def _section(schema: type[Struct], key: str) -> type[Struct] | None:
    """The record behind ``key`` if it is a section, also where the section is optional."""
    for field in msgspec.structs.fields(schema):
        if field.encode_name == key:
            return _record(field.type, *get_args(field.type))
    return None


def _record(*candidates: Any) -> type[Struct] | None:
    for candidate in candidates:
        if isinstance(candidate, type) and issubclass(candidate, Struct):
            return candidate
    return None


def _element(schema: type[Struct], key: str) -> type[Struct] | None:
    """The record of which ``key`` is a list: what stands in the file as ``[[key]]``."""
    for field in msgspec.structs.fields(schema):
        if field.encode_name == key and get_origin(field.type) is tuple:
            return _record(*get_args(field.type))
    return None


def _is_table(schema: type[Struct], key: str) -> bool:
    """Whether ``key`` is a section of which only its own wing knows the keys."""
    types = [field.type for field in msgspec.structs.fields(schema) if field.encode_name == key]
    return any(get_origin(candidate) is dict for one in types for candidate in (one, *get_args(one)))


def _keys(schema: type[Struct]) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(schema)]


def _refuse_unknown(values: Mapping[str, Any], schema: type[Struct], path: Path, above: tuple[str | int, ...]) -> None:
    for key, value in values.items():
        if key not in _keys(schema):
            known = [dotted((*above, name)) for name in _keys(schema)]
            where = with_line(path, (*above, key))
            raise _unknown(f"{where} has the key", dotted((*above, key)), known)
        section = _section(schema, key)
        if section is not None and isinstance(value, Mapping):
            _refuse_unknown(value, section, path, (*above, key))
        element = _element(schema, key)
        if element is not None and isinstance(value, list):
            for number, one in enumerate(value):
                if isinstance(one, Mapping):
                    _refuse_unknown(one, element, path, (*above, key, number))


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
    if sections and _is_table(schema, sections[0]):
        _put(values, (*sections, key), value)
        return
    table, record = values, schema
    for section in sections:
        below = _section(record, section)
        if below is None:
            raise _unknown("the environment has", name, [*_NOT_KEYS, *_variables(schema)])
        record = below
        table = _below(table, section)
    if key not in _keys(record) or _section(record, key) is not None:
        raise _unknown("the environment has", name, [*_NOT_KEYS, *_variables(schema)])
    table[key] = value


def _put(values: dict[str, Any], keys: tuple[str, ...], value: str) -> None:
    *sections, key = keys
    for section in sections:
        values = _below(values, section)
    values[key] = value


def _below(table: dict[str, Any], section: str) -> dict[str, Any]:
    found = table.setdefault(section, {})
    if not isinstance(found, dict):
        raise UsageError(f"the configuration has a plain value where the section {section} is expected")
    return found


def _unknown(where: str, key: str, known: list[str]) -> UsageError:
    closest = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
    return UsageError(f"{where} {key}, which does not exist. The closest one is {closest[0]}")
