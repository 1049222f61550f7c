"""The table: what comes first, what fits, and what a peer's string cannot do to a terminal."""

from __future__ import annotations

import io
import random
import re

import pytest
from msgspec.structs import replace
from rich.console import Console
from rich.text import Text

from leadapron.watch.measure.judge import record as judged
from leadapron.watch.measure.record import EndpointRecord, ExposedTotal, Software, Summary
from leadapron.watch.report.columns import Column, lay_out
from leadapron.watch.report.model import Facts, collect, importance
from leadapron.watch.report.table import endpoint_table, gravest, place
from leadapron.watch.report.terminal import ROWS, show
from sightings import about, archive, at_least, exact, other, refusing, web

RECORDS = [
    judged(archive(1, exact(1503, 48211))),
    judged(archive(2, at_least(120311))),
    judged(archive(3, about(1230000))),
    judged(archive(4, exact(17, 2400), where="2001:db8:1234:5678:9abc:def0:1234:5678")),
    judged(archive(5)),
    judged(refusing(6)),
    judged(web(7)),
]
FACTS = Facts(
    number=3,
    state="done",
    targets=("127.1.0.0/24",),
    started_at="2026-11-21T20:00:00Z",
    finished_at="2026-11-21T20:00:12Z",
    authorised_by=None,
    scope=None,
)


def printed(width: int, records: list[EndpointRecord], *, terminal: bool = False) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=terminal, highlight=False).print(endpoint_table(records, width))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 100, 132, 200, 400])
def test_no_line_is_wider_than_the_terminal_and_none_wraps(width: int) -> None:
    lines = printed(width, RECORDS)
    assert len(lines) == 1 + len(RECORDS)
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("width", [80, 100, 132, 200])
def test_numbers_and_ports_are_never_cut(width: int) -> None:
    said = "\n".join(printed(width, RECORDS))
    for number in ("1,503", "48,211", "≥ 120,311", "≥ 3,609,330", "≈ 1,230,000", "≈ 36,900,000"):
        assert number in said
    for port in (":11112", ":104"):
        assert port in said
    assert said.count("]:11112") == 1


def test_80_columns_hold_what_matters_and_more_grows_with_the_terminal() -> None:
    headings = [printed(width, RECORDS)[0].split() for width in (75, 80, 100, 170)]
    assert headings == [
        ["endpoint", "verdict", "studies", "images", "software"],
        ["endpoint", "verdict", "patients", "studies", "images", "software"],
        ["endpoint", "verdict", "patients", "studies", "images", "findings", "software"],
        ["endpoint", "verdict", "patients", "studies", "images", "findings", "software", "why"],
    ]


def test_what_matters_comes_first() -> None:
    verdicts = ["failed", "silent", "other", "decoy", "guarded", "open"]
    plain = [replace(other(n)[1], verdict=v) for n, v in enumerate(verdicts)]
    exposed = [
        judged(archive(10, exact(5, 100))),
        judged(archive(11, exact(5, 900))),
        judged(archive(12, exact(400, None))),  # no image count: a study has one image at least
        judged(archive(13, exact(7, 900))),
    ]
    records = [*plain, *exposed]
    random.Random(1).shuffle(records)
    ordered = sorted(records, key=importance)
    assert [r.address for r in ordered[:4]] == ["127.0.0.13", "127.0.0.11", "127.0.0.12", "127.0.0.10"]
    assert [r.verdict for r in ordered[4:]] == ["open", "guarded", "decoy", "other", "silent", "failed"]


HOSTILE = "\x1b]0;owned\x07\x1b[2J\x1b[31m[bold red]x[/] \u202e\u2066evil\r\n\x9b1A"


def test_a_peers_name_is_text_and_nothing_else() -> None:
    record = replace(RECORDS[0], software=Software(HOSTILE, HOSTILE, HOSTILE, HOSTILE), service=HOSTILE, reason=HOSTILE)
    lines = printed(250, [record])
    assert len(lines) == 2
    assert all(character.isprintable() for line in lines for character in line)
    assert "[bold red]x[/]" in lines[1], "no markup is read"
    styled = "\n".join(printed(250, [record], terminal=True))
    own = re.compile(r"\x1b\[[0-9;]*m")
    assert "\x1b" not in own.sub("", styled), "only our own colours"


def test_long_addresses_keep_their_port() -> None:
    assert place(RECORDS[3], 80) == "[2001:db8:123…]:11112"
    assert place(RECORDS[3], 200) == "[2001:db8:1234:5678:9abc:def0:1234:5678]:11112"
    assert place(replace(RECORDS[0], transport="tls"), 80) == "127.0.0.1:11112 TLS"


def test_the_gravest_finding_stands_for_all() -> None:
    assert gravest(RECORDS[6]) == ""
    assert gravest(RECORDS[0]).startswith("critical +")
    assert gravest(replace(RECORDS[0], findings=RECORDS[0].findings[-1:])) == RECORDS[0].findings[-1].severity


def test_columns_give_way_in_their_order() -> None:
    columns = [
        Column(header="a", cells=[Text("x" * 30)], least=10),
        Column(header="n", cells=[Text("123456789")]),
        Column(header="o", cells=[Text("optional")], optional=True),
        Column(header="p", cells=[Text("optional")], optional=True),
    ]
    for width, widths in (
        (90, [30, 9, 8, 8]),
        (50, [19, 9, 8, 8]),
        (40, [19, 9, 8]),
        (30, [19, 9]),
        (21, [10, 9]),
        (12, [8, 9]),
    ):
        assert [column.width for column in lay_out(columns, width).columns] == widths, width


def shown(measurements: int, *, terminal: bool) -> str:
    pairs = [(m, judged(m)) for m in (archive(n, exact(n + 1)) if n < 5 else web(n) for n in range(measurements))]
    summary = Summary(measurements, {"exposed": 5, "other": measurements - 5}, 5, ExposedTotal(5, 15, 100, True), 1.0)
    out = io.StringIO()
    report = collect(FACTS, pairs, lambda: summary)
    show(report, Console(file=out, width=100, force_terminal=terminal, color_system=None, highlight=False))
    return out.getvalue()


def _lines(said: str) -> int:
    return sum(line.startswith("127.") for line in said.splitlines())


def test_a_terminal_shows_the_first_and_says_what_is_left_out() -> None:
    said = shown(500, terminal=True)
    assert _lines(said) == ROWS
    assert f"and {500 - ROWS} more: {500 - ROWS} other. --format csv lists them all." in said


def test_a_pipe_gets_all() -> None:
    said = shown(500, terminal=False)
    assert _lines(said) == 500
    assert "more:" not in said


def test_below_the_table_stand_the_sentences_and_the_next_step() -> None:
    said = " ".join(shown(6, terminal=False).split())
    assert "5 endpoints give patient records to any stranger who asks." in said
    assert "nothing of any patient was kept" in said
    assert "Next: Close 127.0.0.4:11112 first" in said or "Next: Close 127.0.0.0:11112 first" in said


def test_nothing_found_has_no_table() -> None:
    out = io.StringIO()
    report = collect(FACTS, [], lambda: Summary(4, {"closed": 20}, 0, ExposedTotal(0, 0, 0, True), 1.0))
    show(report, Console(file=out, width=80, highlight=False))
    assert out.getvalue().startswith("No imaging server was found")
