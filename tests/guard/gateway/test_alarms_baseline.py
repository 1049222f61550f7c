from __future__ import annotations

import stat
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.gateway.clinic import STATIONS, Practice
from leadapron.guard.gateway import baseline as module
from leadapron.guard.gateway.baseline import DAYS, EVIDENCE, RECENT, WINDOW, Baseline, Measure, Series, day_of


def test_what_is_usual_survives_a_restart_and_nothing_of_a_patient_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    practice = Practice(7)
    for _ in range(10):
        practice.day()
    practice.meter.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = Baseline.load(path)
    assert again.notice is None
    for name in STATIONS:
        kept, known = (one.series(name, Measure.STUDIES) for one in (again, practice.meter.baseline))
        assert kept == known and kept.high() is not None
    document = msgspec.json.decode(path.read_bytes())
    assert set(document) == {"version", "names"}
    for series in (one for measures in document["names"].values() for one in measures.values()):
        assert all(isinstance(value, int | float | list | None) for value in series.values())
        assert all(isinstance(value, int) for value in series["days"])


def test_the_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    practice = Practice(3)
    for _ in range(50):
        practice.day()
    path = tmp_path / "baseline.json"
    practice.meter.save(path)
    assert path.stat().st_size < 7 * 4 * 400
    monkeypatch.setattr(module, "MAX_NAMES", 10)
    baseline = Baseline()
    for number in range(30):
        baseline.series(f"WS{number}", Measure.STUDIES)
    assert baseline.names() == tuple(f"WS{number}" for number in range(20, 30))
    baseline.forget("WS29")
    assert len(baseline.names()) == 9


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"version": 1}',
        b'{"version": 2, "names": {}}',
        b'{"version": 1, "names": {"WS1": {"studies": {"days": [-1]}}}}',
        b'{"version": 1, "names": {"WS1": {"studies": {"days": [1.5]}}}}',
        b'{"version": 1, "names": {"WS1": {"other": {}}}}',
        b'{"version": 1, "names": {"WS1": {"studies": {"days": [%s]}}}}' % b",".join([b"1"] * 36),
        b'{"version": 1, "names": {"WS1": {"studies": {"today": 1e999}}}}',
        b"[" * 100_000,
    ],
)
def test_a_file_that_is_no_baseline_is_a_notice(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "baseline.json"
    path.write_bytes(data)
    loaded = Baseline.load(path)
    assert loaded.notice is not None and "learnt anew" in loaded.notice
    assert loaded.names() == ()


def test_no_file_is_no_notice(tmp_path: Path) -> None:
    assert Baseline.load(tmp_path / "baseline.json").notice is None
    assert Baseline.load(tmp_path).notice is not None


@given(st.lists(st.integers(0, 2**53), max_size=DAYS))
def test_busy_is_what_nine_days_in_ten_do_not_exceed(days: list[int]) -> None:
    series = Series(days=days)
    for high, of in ((series.high(), days[-WINDOW:]), (series.settled(), days[:-RECENT])):
        if len(of) < EVIDENCE:
            assert high is None
        else:
            assert high is not None and 1 <= high <= max(*of, 1)
            assert sum(day <= high for day in of) >= 0.9 * len(of)


def test_single_days_do_not_move_it() -> None:
    series = Series(days=[10] * 18 + [5000] + [10] * 16)
    assert (series.high(), series.settled()) == (10, 10)
    assert day_of(0) == 0 and day_of(86_399.9) == 0 and day_of(86_400) == 1
