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
from leadapron.guard.policy.services import MOVES, uses

Table = dict[str, Any]
Place = tuple[str | int, ...]

WORDS = tuple(one.value for one in Permission if not one.people_only)
SHORT = ("store", "find", "retrieve", "echo", "dicom:commit", "dicom:find", "worklist")
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


# Hypothesis' own lists are short and its choices uniform, so nearly every answer was a denial. The configurations and
# the plausible requests are drawn from a seed instead, with the odds given here.
SEEDS = st.integers(0, 2**32 - 1)


def tables() -> st.SearchStrategy[list[Table]]:
    """Valid ``[[guard.peer]]`` tables, none to six."""
    return SEEDS.map(lambda seed: draw_tables(Random(seed)))


def draw_tables(random: Random) -> list[Table]:
    count = random.choice((0, 1, 3, 6, 6, 6, 6, 6))
    pairs = zip(random.sample(NAMES, count), random.sample(TITLES, count), strict=True)
    return [_draw_table(name, ae, random) for name, ae in pairs]


def _draw_table(name: str, ae: str, random: Random) -> Table:
    def some(values: tuple[str, ...]) -> list[str]:
        """Most of them, or a few, or none."""
        least = random.choice((0, 1, len(values) // 2, len(values) - 1))
        return random.sample(values, random.randint(least, len(values)))

    table: Table = {"name": name, "ae": ae}
    odds: dict[str, tuple[float, Any]] = {
        "may": (0.95, some(random.choice((WORDS, SHORT)))),
        "from": (0.3, some(NETWORKS)),
        "move_to": (0.7, some((*TITLES, "GONE"))),
        "modalities": (0.4, some(("CT", "MR", "US", "1.2.840.10008.5.1.4.1.1.7"))),
        "private": (0.3, some(("1.2.840.113619.4.27",))),
        "hours": (0.3, random.choice(HOURS)),
        "max_results": (0.2, random.randint(1, 5000)),
        "receive": (0.3, random.choice(("10.1.2.3:2762", "[fd00::1]:2762", "ws1.example:104"))),
        "user": (0.1, "anna"),
    }
    keys = [key for key in random.sample(sorted(odds), len(odds)) if random.random() < odds[key][0]]
    return table | {key: odds[key][1] for key in keys}


MOMENTS = st.datetimes(min_value=datetime(2026, 1, 1), max_value=datetime(2027, 1, 1), timezones=st.just(UTC))


def requests() -> st.SearchStrategy[Request]:
    """Requests that a gateway would send, and requests of every other kind."""
    wild = st.builds(
        Request,
        permission=st.sampled_from(Permission),
        address=st.sampled_from(ADDRESSES) | st.text(max_size=40),
        when=MOMENTS | st.datetimes() | st.datetimes(timezones=st.just(UTC)),
        called_ae=st.none() | st.text(max_size=20),
        destination=st.none() | st.sampled_from((*TITLES, "GONE", "", "WS1 ")) | st.text(max_size=20),
        modality=st.none() | st.sampled_from(("CT", "MR", "CT ", "")) | st.text(max_size=20),
        sop_class=st.none() | st.sampled_from(CLASSES) | st.text(max_size=70),
    )
    return st.tuples(SEEDS, MOMENTS, wild).map(
        lambda drawn: _draw_request(Random(drawn[0]), drawn[1]) if drawn[0] % 4 else drawn[2]
    )


def _draw_request(random: Random, when: datetime) -> Request:
    permission = random.choice([one for one in Permission if one.surface == "dicom" or random.random() < 0.3])
    sop_class = random.choice([None, *(uid for uid in CLASSES if permission in uses(uid, CLASSES))])
    return Request(
        permission=permission,
        address=random.choice(ADDRESSES[:5]),
        when=when,
        destination=random.choice((*TITLES, "GONE", "WS1 ")) if sop_class in MOVES else None,
        modality=random.choice((None, "CT", "MR", "OT")),
        sop_class=sop_class,
    )


def names() -> st.SearchStrategy[str | None]:
    return SEEDS.map(lambda seed: Random(seed).choice((*NAMES * 4, "nobody", "ct1", "", "A\nB", None)))


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
