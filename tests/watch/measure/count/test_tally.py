"""From rows to an answer: each study once, whatever the size; what cannot be believed is not."""

from __future__ import annotations

import random
import tracemalloc
from collections import Counter

import pytest
from fake_archive import fixed_hash
from hypothesis import given, settings
from hypothesis import strategies as st

from leadapron.watch.measure.count.days import DayCounts, valid_day
from leadapron.watch.measure.count.hashes import Memory
from leadapron.watch.measure.count.inquiry import SAMPLE
from leadapron.watch.measure.count.query import Answer, DateRange, StudyQuery, TimeRange
from leadapron.watch.measure.count.tally import (
    SERIES_KEPT,
    ImageTally,
    SeriesTally,
    Tally,
    clock_second,
    image_count,
)

Row = tuple[bytes, bytes, bytes, bytes]
uids = st.integers(1, 12).map(lambda i: b"1.2.%d" % i) | st.just(b"") | st.just(b"\0")
rows = st.tuples(
    uids,
    st.sampled_from([b"20200101", b"20200102 ", b"", b"2019.01.02", b"20201301", b"18991231"]),
    st.sampled_from([b"5", b"12 ", b"", b"0", b"-3", b"9999999", b"many", b"1" * 40]),
    st.sampled_from([b"A", b"A ", b"B", b"", b"  "]),
)


def tallied(items: list[Row], query: StudyQuery | None = None, **options: object) -> Answer:
    tally = Tally(query or StudyQuery(), hash_of=fixed_hash, **options)  # type: ignore[arg-type]
    for row in items:
        tally.add(*row)
    assert tally.answers == len(items)
    return tally.finish(0)


@given(st.lists(rows, max_size=40), st.integers(0, 1))
@settings(deadline=None)
def test_each_study_counts_once(items: list[Row], padding: int) -> None:
    first: dict[bytes, Row] = {}
    for uid, *rest in items:
        name = uid.strip(b"\0 ")
        if name:
            first.setdefault(name, (name, *rest))  # type: ignore[arg-type]
    answer = tallied([(uid + b"\0" * padding, *rest) for uid, *rest in items])  # type: ignore[misc]
    counts = {name: image_count(row[2]) for name, row in first.items()}
    days = {name: valid_day(row[1]) for name, row in first.items()}
    assert answer.ok and answer.answers == len(items)
    assert len(answer.studies) == len(first)
    assert answer.without_uid == sum(not uid.strip(b"\0 ") for uid, *_ in items)
    assert answer.duplicates == len(items) - answer.without_uid - len(first)
    named = [(row[0].strip(b"\0 "), image_count(row[2])) for row in items if row[0].strip(b"\0 ")]
    assert answer.conflicts == sum(counts[name] != n for name, n in named)
    assert dict(answer.dates) == Counter(day for day in days.values() if day)
    assert len(answer.undated) == sum(not day for day in days.values())
    assert answer.images == sum(n for n in counts.values() if n > 0)
    assert answer.images_missing == sum(n < 0 for n in counts.values())
    assert answer.undated_images == sum(n for name, n in counts.items() if n > 0 and not days[name])
    assert answer.undated_images_missing == sum(n < 0 for name, n in counts.items() if not days[name])
    assert len(answer.patients) == len({row[3].strip() for row in first.values()} - {b""})
    assert answer.patients_missing == sum(not row[3].strip() for row in first.values())


@pytest.mark.parametrize("n", [900, 3_000, 30_000])
def test_large_answers_add_up_like_small_ones(n: int) -> None:
    rng = random.Random(n)
    items = []
    for i in range(n):
        day = b"%04d%02d%02d" % (rng.randint(1995, 2026), rng.randint(1, 12), rng.randint(1, 28))
        items.append((b"1.2.%d" % i, rng.choice([day] * 9 + [b""]), rng.choice([b"7", b"7", b""]), b"P%d" % (i // 3)))
    answer = tallied(items + items[: n // 2], StudyQuery(sample=50))
    dates = Counter(int(d) for _, d, _, _ in items if d)
    missing = [uid for uid, _, images, _ in items if not images]
    assert (len(answer.studies), answer.duplicates) == (n, n // 2)
    assert dict(answer.dates) == dates and len(answer.dates) == len(dates)
    assert len(answer.undated) == sum(not d for _, d, _, _ in items)
    assert (answer.images, answer.images_missing) == (7 * (n - len(missing)), len(missing))
    assert len(answer.patients) == len({p for *_, p in items})
    assert sorted(answer.sample) == sorted(fixed_hash(uid) for uid in missing)[:50]
    assert all(fixed_hash(uid) == key for key, uid in answer.sample.items())


def test_answers_that_were_not_asked_for() -> None:
    query = StudyQuery(DateRange(20200101, 20200131), TimeRange(36_000, 39_599), patient="*7")
    tally = Tally(query, hash_of=fixed_hash)
    inside = {"date": b"20200115", "time": b"103000", "patient": b"P17 "}
    for number, change in enumerate(
        (
            {},
            {"date": b"20200201"},
            {"date": b""},
            {"time": b"0930"},
            {"time": b""},
            {"time": b"10"},
            {"patient": b"P71"},
        )
    ):
        tally.add(b"1.2.%d" % number, **{**inside, **change})  # type: ignore[arg-type]
    assert tally.finish(0).outside == 3  # another month, half past nine, another patient


@pytest.mark.parametrize(("pattern", "outside"), [("*", 0), (None, 0), ("*7", 1), ("P17", 1), ("p17", 1), ("17", 2)])
def test_patient_patterns(pattern: str | None, outside: int) -> None:
    answer = tallied([(b"1", b"", b"", b"P17"), (b"2", b"", b"", b"P18")], StudyQuery(patient=pattern))
    assert answer.outside == outside


def test_another_level_is_noticed() -> None:
    tally = Tally(StudyQuery(), hash_of=fixed_hash)
    for level in (b"STUDY", b"STUDY ", b"", b"IMAGE", b"SERIES"):
        tally.add(b"1.2", level=level)
    answer = tally.finish(0)
    assert (answer.wrong_level, answer.duplicates, len(answer.studies)) == (2, 4, 1)


def test_how_an_answer_ended() -> None:
    assert Tally(StudyQuery()).finish(0).ok
    for bad in (
        Tally(StudyQuery()).finish(0xA700),
        Tally(StudyQuery()).finish(None, "no answer in time"),
        Tally(StudyQuery()).finish(0xFE00, cancelled=True),
    ):
        assert not bad.ok and bad.nothing


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        *((b"12", 12), (b" 12 \0", 12), (b"1000000", 1_000_000), (b"1000001", -1), (b"0", -1), (b"", -1)),
        *((b"-1", -1), (b"1.5", -1), (b"n/a", -1), (b"\xb2", -1), (b"9" * 5000, -1)),
    ],
)
def test_image_counts(value: bytes, meaning: int) -> None:
    assert image_count(value) == meaning


@pytest.mark.parametrize(
    ("value", "second"),
    [
        *((b"000000", 0), (b"235959.999999", 86_399), (b"1030", 37_800), (b"10 ", 36_000), (b"235960", 86_399)),
        *((b"", -1), (b"24", -1), (b"10:30", -1), (b"1061", -1), (b"noon", -1), (b"1", -1)),
    ],
)
def test_times(value: bytes, second: int) -> None:
    assert clock_second(value) == second


def test_series_and_images() -> None:
    series = SeriesTally(b"1.2\0")
    for uid, images, study in (
        (b"1.2.1", b"10", b"1.2"),
        (b"1.2.1", b"10", b"1.2"),
        (b"1.2.2\0", b"", b""),
        (b"1.9.1", b"99", b"1.9"),
    ):
        series.add(uid, images, study)
    answer = series.finish(0)
    assert (answer.series, answer.images, answer.uncounted, answer.foreign) == (2, 10, (b"1.2.2",), 1)
    assert answer.ok and not answer.overflow and not SeriesTally(b"1").finish(0xA900).ok
    images = ImageTally(b"1.2.1", hash_of=fixed_hash)
    for uid, of in ((b"1", b"1.2.1"), (b"1\0", b"1.2.1"), (b"2", b""), (b"3", b"1.2.9")):
        images.add(uid, of)
    found = images.finish(0)
    assert (found.images, found.foreign, found.overflow, found.answers) == (2, 1, False, 4)
    images.add(b"")
    assert images.finish(0).overflow


def test_more_series_than_are_kept() -> None:
    series = SeriesTally(b"1.2")
    for i in range(SERIES_KEPT + 1):
        series.add(b"1.2.%d" % i, b"1", b"1.2")
    answer = series.finish(0)
    assert answer.overflow and answer.series == SERIES_KEPT
    series = SeriesTally(b"1.2")
    series.add(b"9" * 65, b"1", b"1.2")
    assert series.finish(0).overflow


def test_days_in_a_table_and_by_month() -> None:
    days = [20000101 + 100 * (i % 12) + i % 28 + 10000 * (i % 20) for i in range(3000)]
    table = DayCounts(Memory(10_000_000))
    months = DayCounts(Memory(0))
    table.update(days)
    table.update(days)
    for start in range(0, 3000, 100):
        months.update(days[start : start + 100])
    truth = Counter(days)
    assert dict(table) == {day: 2 * n for day, n in truth.items()} and list(table) == sorted(truth)
    assert 20000101 in table and 19990101 not in table and table.get(19990101, 0) == 0
    assert sum(months.values()) == 3000 and set(months) == {day // 100 * 100 + 1 for day in truth}


def test_a_thousand_hostile_answers_fit() -> None:
    """Endless rows with every kind of value that is kept: what is not paid from the purse stays small."""
    purse = Memory(2_000_000)
    rng = random.Random(1)
    tallies = [Tally(StudyQuery(sample=SAMPLE), hash_of=fixed_hash, memory=purse) for _ in range(12)]
    tracemalloc.start()
    for i in range(40_000):  # the caches are shared by all
        valid_day(b"%016d" % i)
        image_count(b"%016d" % i)
    before, _ = tracemalloc.get_traced_memory()
    for tally in tallies:
        for i in range(3_000):
            day = b"%04d%02d%02d" % (rng.randint(1900, 2100), rng.randint(1, 12), rng.randint(1, 28))
            long = b"9" * (20_000 if i % 10 == 0 else 40)
            tally.add(long + b"%d" % rng.getrandbits(60), day + b" " * rng.randint(0, 50), long, long + b"%d" % i)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert purse.taken <= purse.octets
    assert peak - before < purse.octets + 12 * 300_000  # and at most 64 count at once
