"""Hypothesis strategies for whole configurations and requests, and a writer of TOML that knows its lines.

The writer takes every freedom that TOML gives, so that reading lines back is tested against something that did not find
them the same way.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from random import Random
from typing import Any

from hypothesis import strategies as st

from leadapron.guard.policy.decision import Request
from leadapron.guard.policy.permission import Permission

Table = dict[str, Any]
Place = tuple[str | int, ...]

WORDS = tuple(one.value for one in Permission if one.surface != "admin")
NAMES = ("CT1", "CT2", "MR1", "WS1", "ws-2", "R.3")
TITLES = ("CT1", "CT 2", "MR1", "WS1", "WS2", "ROOM'3")
NETWORKS = ("10.1.0.0/16", "10.1.2.3", "10.2.0.1-10.2.0.9", "fd00::/8", "::1", "0.0.0.0/0")
ADDRESSES = ("10.1.2.3", "10.2.0.5", "::ffff:10.1.2.3", "192.168.7.7", "fd00::17", "fe80::1%eth0", "", "nonsense")
HOURS = ("07:00-20:00", "mo-fr 07:00-20:00", "22:00-06:00", "fr,sa 22:00-06:00; su 00:00-24:00")
CLASSES = (
    "1.2.840.10008.1.1",
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.4",
    "1.2.840.10008.5.1.4.1.1.7",
    "1.2.840.10008.5.1.4.1.2.2.1",
    "1.2.840.10008.5.1.4.1.2.2.2",
    "1.2.840.10008.5.1.4.1.2.2.3",
    "1.2.840.113619.4.27",
    "1.2.840.10008.5.1.4.38.1",
)


def _some(values: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), max_size=4, unique=True)


def _table(name: str, ae: str) -> st.SearchStrategy[Table]:
    return st.fixed_dictionaries(
        {"name": st.just(name), "ae": st.just(ae)},
        optional={
            "may": _some((*WORDS, "store", "find", "retrieve", "echo")),
            "from": _some(NETWORKS),
            "move_to": _some((*TITLES, "GONE")),
            "modalities": _some(("CT", "MR", "US", "1.2.840.10008.5.1.4.1.1.7")),
            "private": _some(("1.2.840.113619.4.27",)),
            "hours": st.sampled_from(HOURS),
            "max_results": st.integers(1, 5000),
            "receive": st.sampled_from(("10.1.2.3:2762", "[fd00::1]:2762", "ws1.example:104")),
            "user": st.just("anna"),
        },
    )


def tables() -> st.SearchStrategy[list[Table]]:
    """Valid ``[[guard.peer]]`` tables, none to six."""
    every = st.tuples(*(_table(name, ae) for name, ae in zip(NAMES, TITLES, strict=True)))
    return st.tuples(every, st.integers(0, len(NAMES))).map(lambda drawn: list(drawn[0][: drawn[1]]))


def requests() -> st.SearchStrategy[Request]:
    """Requests of every kind, also of kinds that no gateway would send."""
    return st.builds(
        Request,
        permission=st.sampled_from(Permission),
        address=st.sampled_from(ADDRESSES) | st.text(max_size=40),
        when=st.datetimes(min_value=datetime(2026, 1, 1), max_value=datetime(2027, 1, 1), timezones=st.just(UTC))
        | st.datetimes()
        | st.datetimes(timezones=st.just(UTC)),
        called_ae=st.none() | st.text(max_size=20),
        destination=st.none() | st.sampled_from((*TITLES, "GONE", "", "WS1 ")) | st.text(max_size=20),
        modality=st.none() | st.sampled_from(("CT", "MR", "CT ", "")) | st.text(max_size=20),
        sop_class=st.none() | st.sampled_from(CLASSES) | st.text(max_size=70),
    )


def names() -> st.SearchStrategy[str | None]:
    return st.none() | st.sampled_from((*NAMES, "nobody", "ct1")) | st.text(max_size=10)


class Writer:
    """Writes tables as TOML in ways that ``random`` picks; ``lines`` has where each path ended up, from 1."""

    def __init__(self, tables: list[Table], random: Random) -> None:
        self.random, self.lines = random, dict[Place, int]()
        self.text = ""
        self._noise()
        if tables and random.random() < 0.25:
            self._inline(tables)
        else:
            for index, table in enumerate(tables):
                self._header(index, table)
        self._noise()
        if random.random() < 0.3:
            self.text = self.text.replace("\n", "\r\n")

    @property
    def _line(self) -> int:
        return self.text.count("\n") + 1

    def _pick(self, *texts: str) -> str:
        return self.random.choice(texts)

    def _noise(self) -> None:
        for _ in range(self.random.randrange(3)):
            self.text += self._pick("\n", '  # a note: may = ["all"]\n', "# [[guard.peer]] {\n", "\t\n", "# '''\n")

    def _header(self, index: int, table: Table) -> None:
        self.text += self._pick("", "  ")
        self.lines[("guard", "peer", index)] = self._line
        self.text += self._pick(
            "[[guard.peer]]", "[[ guard . peer ]]", "[[\"guard\".'peer']]", '[["gu\\u0061rd".peer]]'
        )
        self.text += self._pick("\n", " # one\n", "\t# ]]\n")
        for key, value in table.items():
            self._noise()
            self.text += self._pick("", "    ")
            self._pair(("guard", "peer", index), key, value, wide=True)
            self.text += self._pick("\n", "  # why\n")

    def _inline(self, tables: list[Table]) -> None:
        self.text += self._pick("[guard]\n", "[ 'guard' ]\n", "guard.archive.host = 'x'\nguard.")
        self.text += "peer" + self._pick("=", " = ") + "["
        for index, table in enumerate(tables):
            self._gap()
            self.lines[("guard", "peer", index)] = self._line
            self.text += "{"
            for number, (key, value) in enumerate(table.items()):
                self.text += ", " if number else " "
                self._pair(("guard", "peer", index), key, value, wide=True)
            self.text += "}"
            self._gap()
            self.text += "," if index + 1 < len(tables) else self._pick("", ",")
        self._gap()
        self.text += "]\n"

    def _gap(self) -> None:
        """What may stand between the items of an array."""
        self.text += self._pick("", " ", "\n", "\n  # ]}\n", "  # 'x\n\n")

    def _pair(self, above: Place, key: str, value: Any, *, wide: bool) -> None:
        self.lines[(*above, key)] = self._line
        self.text += self._pick(key, f'"{key}"', f"'{key}'", f'"\\u{ord(key[0]):04x}{key[1:]}"') + self._pick(
            "=", " = "
        )
        if not isinstance(value, list):
            self.text += self._value(value)
            return
        self.text += "["
        for index, item in enumerate(value):
            if wide:
                self._gap()
            self.lines[(*above, key, index)] = self._line
            self.text += self._value(item)
            if wide:
                self._gap()
            self.text += "," if index + 1 < len(value) else self._pick("", ",")
        if wide:
            self._gap()
        self.text += "]"

    def _value(self, value: Any) -> str:
        if not isinstance(value, str):
            return str(value)
        plain = [json.dumps(value), f'"""{value}"""', f'"""\\\n   {value}"""', f'"""\n{value}"""']
        return self._pick(*plain, *([f"'{value}'", f"'''{value}'''"] if "'" not in value else []))
