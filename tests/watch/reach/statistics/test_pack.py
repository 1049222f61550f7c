"""The pack as it is published: from the tables of a database to the files, and what must not be in them."""

from __future__ import annotations

import csv
import io
import json
import random
import re
import stat
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from leadapron.cli.statistics import command
from leadapron.kernel.errors import Failure, UsageError
from leadapron.watch.reach.statistics import history, page, paper, svg, tables, words
from leadapron.watch.reach.statistics.networks import kind_of, names
from leadapron.watch.reach.statistics.pack import Pack, publish
from planted import Planting

FIRST, LAST = "2026-09-01", "2026-11-22"
DAY = "2026-09-{:02}T10:00:00Z"


def census(engine: sa.Engine, number: int = 90, **columns: Any) -> Planting:
    """A few countries and products of very different sizes; a third closed again; seeded."""
    drawn = random.Random(4)
    planting = Planting(engine)
    for index in range(number):
        story = [(DAY.format(drawn.randint(1, 28)), "opened")]
        if drawn.random() < 0.35:
            story.append((f"2026-{drawn.randint(10, 11)}-{drawn.randint(1, 20):02}T10:00:00Z", "closed"))
        studies = round(drawn.lognormvariate(9, 1.7))
        values: dict[str, Any] = {
            "country": drawn.choices(["US", "DE", "IN", "TR", "FR", None], [40, 20, 15, 9, 3, 2])[0],
            "product": drawn.choices(["DCMTK", "Orthanc", "dcm4che", "ClearCanvas", None], [40, 30, 9, 4, 6])[0],
            "operator": drawn.choice(["Example Telecom", "Hetzner Online", "St. Canary Hospital", None]),
            "studies": studies,
            "images": studies * 30,
            "asn": 64500 + index,
            **columns,
        }
        planting.put(story=story, **values)
    return planting


def made(engine: sa.Engine, minimum: int = 5, first: str = FIRST, last: str = LAST) -> Pack:
    return publish(history.read(engine, first, last), minimum)


# ---- from tables to history -----------------------------------------------------------------------------------------


def test_history_is_what_happened(engine: sa.Engine) -> None:
    planting = Planting(engine)
    story = [("2026-09-02T00:00:00Z", "opened"), ("2026-09-12T00:00:00Z", "closed")]
    planting.put(story=story, studies=10)
    planting.put(story=[*story, ("2026-09-20T00:00:00Z", "reopened")], studies=20)
    first = planting.put(story=story[:1], studies=30, images=90)
    planting.put(story=[("2026-09-03T00:00:00Z", "opened")], studies=25, images=99, door_of=first)
    found = history.read(engine, FIRST, "2026-09-30")
    assert [(week.end, week.open, week.opened, week.closed) for week in found.weeks] == [
        ("2026-09-06", 3, 3, 0),
        ("2026-09-13", 1, 0, 2),
        ("2026-09-20", 2, 1, 0),
        ("2026-09-27", 2, 0, 0),
        ("2026-09-30", 2, 0, 0),
    ]
    assert found.weeks[0].studies == (10, 20, 30), "two doors to one archive count once"
    assert found.spans == ((10, False, 1), (10, True, 2), (28, False, 1))
    assert sorted(archive.images for archive in found.standing) == [90, 48000], "of the count that says most"
    earlier = history.read(engine, FIRST, "2026-09-10")
    assert len(earlier.standing) == 3 and all(not closed for _, closed, _ in earlier.spans)


def test_a_move_is_no_fix(engine: sa.Engine) -> None:
    planting = Planting(engine)
    old = planting.put(story=[("2026-09-02T00:00:00Z", "opened")], state="closed", closed_at="2026-09-12T00:00:00Z")
    new = planting.put(story=[("2026-09-12T00:00:00Z", "moved")], country="AT")
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE events SET other_id = {old} WHERE exposure_id = {new}"))
    found = history.read(engine, FIRST, "2026-09-30")
    assert found.spans == ((28, False, 1),) and [one.country for one in found.standing] == ["AT"]
    assert sum(week.opened for week in found.weeks) == 1 and sum(week.closed for week in found.weeks) == 0


def test_an_archive_is_closed_when_its_last_door_is(engine: sa.Engine) -> None:
    planting = Planting(engine)
    first = planting.put(story=[("2026-09-02T00:00:00Z", "opened"), ("2026-09-05T00:00:00Z", "closed")])
    planting.put(story=[("2026-09-03T00:00:00Z", "opened"), ("2026-09-22T00:00:00Z", "closed")], door_of=first)
    assert history.read(engine, FIRST, "2026-09-30").spans == ((20, True, 1),)


def test_since_looks_at_episodes_that_began_then(engine: sa.Engine) -> None:
    planting = Planting(engine)
    planting.put(story=[("2026-08-02T00:00:00Z", "opened"), ("2026-09-05T00:00:00Z", "closed")])
    planting.put(story=[("2026-09-02T00:00:00Z", "opened")])
    found = history.read(engine, FIRST, "2026-09-30")
    assert found.spans == ((28, False, 1),)
    assert [week.closed for week in found.weeks] == [1, 0, 0, 0, 0] and found.weeks[0].open == 1


@pytest.mark.parametrize(
    ("operator", "kind"),
    [
        ("University Hospital Example", "healthcare"),
        ("Deutsche Telekom AG", "internet access"),
        ("HETZNER-AS", "cloud or hosting"),
        ("Universidad de Example", "university or research"),
        ("\u001b[2J", "not known"),
        (None, "not known"),
    ],
)
def test_kinds_of_networks(operator: str | None, kind: str) -> None:
    assert kind_of(operator) == kind and kind in names()


# ---- from history to what is published ------------------------------------------------------------------------------


def numbers(value: Any) -> list[int]:
    if isinstance(value, dict):
        return [n for inner in value.values() for n in numbers(inner)]
    if isinstance(value, (list, tuple)):
        return [n for inner in value for n in numbers(inner)]
    return [value] if isinstance(value, int) else []


@pytest.mark.parametrize("minimum", [3, 5, 12])
def test_no_count_below_the_minimum_and_parts_that_add_up(engine: sa.Engine, minimum: int) -> None:
    census(engine)
    pack = made(engine, minimum)
    for rows in pack.tables.values():
        assert sum(row.archives for row in rows) == pack.total.archives
        assert all(row.archives >= minimum for row in rows)
        for row in rows:
            assert pack.total.studies.unit >= row.studies.unit and pack.total.images.unit >= row.images.unit
            assert row.studies.value % row.studies.unit == 0
    for week in pack.weeks:
        assert all(cell is None or not 0 < cell < minimum for cell in (week.open, week.opened, week.closed))
        assert week.studies is None or week.studies.unit == pack.total.studies.unit
    assert pack.weeks[-1].open == pack.total.archives
    if pack.crossed is not None:
        assert all(cell is None or not 0 < cell < minimum for row in pack.crossed.cells for cell in row)


def test_a_giant_is_not_told(engine: sa.Engine) -> None:
    """One archive of 1.23 million studies among small ones: neither its country nor any total tells it to 10 %."""
    planting = Planting(engine)
    for _ in range(8):
        planting.put(country="TR", studies=100, images=None)
    planting.put(country="TR", studies=1_230_000, images=None)
    for _ in range(30):
        planting.put(country="US", studies=40_000, images=None)
    pack = made(engine)
    turkey = next(row for row in pack.tables["country"] if row.name == "TR")
    assert turkey.studies.unit >= 2 * 123_000 and pack.total.studies.unit >= turkey.studies.unit
    assert all(week.studies.unit >= turkey.studies.unit for week in pack.weeks if week.studies)
    assert pack.top_step * pack.total.studies.value >= 100 * turkey.studies.unit or pack.top_step == 20


def test_a_giant_that_opens_is_not_told_by_the_difference_of_two_weeks(engine: sa.Engine) -> None:
    planting = Planting(engine)
    for _ in range(120):
        planting.put(studies=50_000, images=None)
    assert made(engine).total.studies.unit == 10_000
    planting.put(studies=1_230_000, images=None, story=[("2026-10-10T10:00:00Z", "opened")])
    pack = made(engine)
    assert pack.total.studies.unit >= 2 * 123_000
    assert {week.studies.unit for week in pack.weeks if week.studies} == {pack.total.studies.unit}


def test_the_curve_is_coarse_enough(engine: sa.Engine) -> None:
    census(engine, 120)
    read = history.read(engine, FIRST, LAST)
    pack = publish(read)
    assert len(pack.fixes) > 2 and pack.fixes[0].share == 100
    for before, after in zip(pack.fixes, pack.fixes[1:], strict=False):
        within = sum(count for days, closed, count in read.spans if closed and before.day < days <= after.day)
        assert within >= 5 and after.low <= after.share <= after.high <= 100
    few = Planting(engine)
    assert few and publish(history.read(engine, "2026-11-20", LAST)).fixes == ()


def test_too_few_are_not_published(engine: sa.Engine) -> None:
    planting = Planting(engine)
    for _ in range(4):
        planting.put()
    with pytest.raises(Failure, match="fewer than 5"):
        made(engine)
    planting.put()
    pack = made(engine)
    assert pack.total.archives == 5 and pack.top_share is None and pack.fixes == ()
    assert b"%PDF" in paper.render(pack)[:8] and "5" in page.render(pack)


# ---- files ----------------------------------------------------------------------------------------------------------

CANARY = "ZAUNKOENIG"
HOSTILE = {
    "product": f"{CANARY}<script>",
    "version": f"=cmd|{CANARY}",
    "operator": f"{CANARY} Hospital \u001b[2J </style>",
    "address": None,
    "campaign": CANARY,
}


def written(engine: sa.Engine) -> dict[str, bytes]:
    pack = made(engine)
    files = {name: text.encode() for name, text in tables.files(pack)}
    return {**files, "statistics.html": page.render(pack).encode(), "statistics.pdf": paper.render(pack)}


def test_nothing_of_anybody_is_in_the_files(engine: sa.Engine) -> None:
    columns = {key: value for key, value in HOSTILE.items() if value}
    told = {"reverse-dns": f"{CANARY}.example.org", "abuse-mailbox": f"{CANARY}@example.org"}
    planting = census(engine)
    for index in range(7):
        planting.put(**columns, told=told, asn=4_200_000_000 + index, country="DE", certificate=CANARY)
    files = written(engine)
    assert set(files) >= {"summary.csv", "by-country.csv", "by-week.csv", "statistics.html", "statistics.pdf"}
    for name, content in files.items():
        text = content.decode("latin-1")
        assert CANARY.lower() not in text.lower(), name
        if not name.endswith(".pdf"):
            assert not re.search(r"198\.51\.|\b645\d\d\b|420000000|script>|\x1b", text), name
    assert "http" not in files["statistics.html"].decode().replace('xmlns="http://www.w3.org/2000/svg"', "").replace(
        "http-equiv", ""
    ), "it asks for nothing from elsewhere"
    assert "Other software" in files["statistics.html"].decode()


def test_the_same_pack_makes_the_same_files(engine: sa.Engine) -> None:
    census(engine)
    assert written(engine) == written(engine)


def test_csv_says_what_the_pack_says(engine: sa.Engine) -> None:
    census(engine)
    pack = made(engine)
    files = dict(tables.files(pack))
    for by, rows in pack.tables.items():
        lines = list(csv.DictReader(io.StringIO(files[f"by-{by}.csv"])))
        assert [int(line["archives"]) for line in lines] == [row.archives for row in rows]
        assert [line[by] for line in lines] == [row.name or "others" for row in rows]
    assert ("archives", str(pack.total.archives)) in [
        tuple(row) for row in csv.reader(io.StringIO(files["summary.csv"]))
    ]
    weekly = list(csv.DictReader(io.StringIO(files["by-week.csv"])))
    assert [line["archives"] for line in weekly] == ["" if w.open is None else str(w.open) for w in pack.weeks]


def test_suppressed_weeks_are_gaps_in_the_chart() -> None:
    rows = [
        svg.WeekRow(f"2026-09-{day:02}", cell, None, None, None, None) for day, cell in ((6, 9), (13, None), (20, 8))
    ]
    drawn = svg.weeks(rows, "open", "open <&>")
    assert drawn.count("<circle") == 2 and "polyline" not in drawn and "open &lt;&amp;&gt;" in drawn


@pytest.mark.parametrize("highest", [0, 1, 3, 9, 10, 99, 590, 1_193_404_000])
def test_an_axis_ends_above_the_highest_value_at_a_round_number(highest: int) -> None:
    top, ticks = svg._axis(highest)
    assert top >= highest and ticks[0] == 0 and ticks[-1] == top and 2 <= len(ticks) <= 6


def test_words() -> None:
    assert words.short(950) == "950" and words.short(1_190_000_000) == "1.19 bn" and words.short(35_000_000) == "35 M"
    assert words.name("country", "TR") == "Türkiye" and words.name("country", "XQ") == "XQ"
    assert words.name("product", None) == "Others" and words.number(None) == words.SUPPRESSED


# ---- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def place(location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADAPRON_DATABASE_URL", location)
    monkeypatch.delenv("LEADAPRON_CONFIG", raising=False)


@pytest.mark.usefixtures("place")
def test_the_command_writes_a_pack(engine: sa.Engine, tmp_path: Path) -> None:
    census(engine)
    arguments = ["--output", str(tmp_path / "new" / "pack"), "--since", FIRST, "--until", LAST]
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0 and done.stdout == "" and "files in" in done.stderr
    files = {path.name: path for path in (tmp_path / "new" / "pack").iterdir()}
    assert files["statistics.pdf"].read_bytes() == written(engine)["statistics.pdf"]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o644 for path in files.values())
    assert not any(name.startswith(".") for name in files)


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    "arguments", [["--since", "soon"], ["--until", "2026-13-01"], ["--since", "2027-01-01"]], ids=str
)
def test_wrong_days_are_wrong_usage(engine: sa.Engine, tmp_path: Path, arguments: list[str]) -> None:
    Planting(engine).put()
    done = CliRunner().invoke(command, ["--output", str(tmp_path / "pack"), "--until", LAST, *arguments])
    assert isinstance(done.exception, UsageError) and not (tmp_path / "pack").exists()


@pytest.mark.usefixtures("place")
def test_nothing_found_yet(engine: sa.Engine, tmp_path: Path) -> None:
    done = CliRunner().invoke(command, ["--output", str(tmp_path / "pack")])
    assert isinstance(done.exception, Failure) and not (tmp_path / "pack").exists()
    assert json.dumps(str(done.exception))
