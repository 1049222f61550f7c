"""Country and network of an address from the operator's own files in MaxMind's format: nobody is asked.

No such file comes with us: the free ones carry duties that we can't pass on. Those of MaxMind, DB-IP and IPinfo are
read, one file or two; the layout differs a little, so each fact is looked for where these three put it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import maxminddb
from msgspec import Struct

from leadapron.kernel.errors import UsageError
from leadapron.watch.track.owner.model import Found
from leadapron.watch.track.owner.text import one_line

SOURCE: Final = "MMDB file"
_OPERATOR: Final = 120


class Place(Struct, frozen=True):
    country: str | None = None
    asn: int | None = None
    operator: str | None = None


class Locations:
    """The open files. Close it when done, or use ``with``."""

    def __init__(self, countries: str | None, networks: str | None) -> None:
        self._countries = None if countries is None else _opened(countries, "countries")
        self._networks = None if networks is None else _opened(networks, "networks")

    def __enter__(self) -> Locations:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for one in (self._countries, self._networks):
            if one is not None:
                one.reader.close()

    def of(self, address: str) -> tuple[Found, ...]:
        """Country, number of the autonomous system and its operator, as far as the files know them."""
        found: list[Found] = []
        if self._countries is not None:
            country = _country(self._countries.get(address))
            if country is not None:
                found.append(Found("country", country, self._countries.source))
        if self._networks is not None:
            record = self._networks.get(address)
            number, operator = _number(record), _operator(record)
            if number is not None:
                found.append(Found("asn", f"AS{number}", self._networks.source))
            if operator is not None:
                found.append(Found("operator", operator, self._networks.source))
        return tuple(found)


class _File:
    def __init__(self, reader: maxminddb.Reader, path: Path, key: str) -> None:
        self.reader, self._path, self._key = reader, path, key
        built = reader.metadata()
        day = datetime.fromtimestamp(min(max(built.build_epoch, 0), 2**36), UTC).date().isoformat()
        self.source = f"{SOURCE} {one_line(built.database_type, 60) or 'without a name'} of {day}"

    def get(self, address: str) -> dict[str, Any]:
        try:
            record = self.reader.get(address)
        except maxminddb.InvalidDatabaseError as error:
            raise _broken(self._path, self._key) from error
        except ValueError:
            return {}  # an IPv6 address, and the file has IPv4 only
        return record if isinstance(record, dict) else {}


def _opened(name: str, key: str) -> _File:
    path = Path(name).expanduser()
    try:
        return _File(maxminddb.open_database(path), path, key)
    except OSError as error:
        raise UsageError(
            f"[lookups] {key}: cannot read {path}: {error.strerror or type(error).__name__}. "
            "Name a file in MaxMind's format (.mmdb), or leave the key out"
        ) from error
    except (maxminddb.InvalidDatabaseError, ValueError, OverflowError) as error:
        raise _broken(path, key) from error


def _broken(path: Path, key: str) -> UsageError:
    return UsageError(
        f"[lookups] {key}: {path} is not a file in MaxMind's format (.mmdb), or it is damaged. Fetch it again"
    )


def _country(record: dict[str, Any]) -> str | None:
    place = record.get("country")
    code = place.get("iso_code") if isinstance(place, dict) else record.get("country_code") or place
    code = code.upper() if isinstance(code, str) else ""
    return code if re.fullmatch("[A-Z]{2}", code) else None


def _number(record: dict[str, Any]) -> int | None:
    number = record.get("autonomous_system_number", record.get("asn"))
    if isinstance(number, str):
        digits = number.upper().removeprefix("AS")
        number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 10 else None
    return number if isinstance(number, int) and 0 < number < 2**32 else None


def _operator(record: dict[str, Any]) -> str | None:
    return one_line(record.get("autonomous_system_organization", record.get("as_name")), _OPERATOR)
