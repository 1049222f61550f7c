"""A comparison as people and programs read it."""

from __future__ import annotations

import csv
import io
import json

from rich.console import Console

from leadapron.watch.report.compare import MEANINGS, SHOWN, comparison, document, lines, rows
from leadapron.watch.track.exposures.compare import KINDS, Change, Comparison, Side

BEFORE = Side(3, "2026-11-15T02:30:00Z", "done", "city", 60, 58, 24_000_000, 700_000_000, 9_000_000, True)
AFTER = Side(5, "2026-11-22T02:30:00Z", "done", "city", 55, 53, 35_000_000, 1_190_000_000, 12_000_000, False)


def change(what: str, number: int, **values: object) -> Change:
    fields: dict[str, object] = {
        "product": "DCMTK",
        "country": "DE",
        "studies_before": 100,
        "studies": 200,
        "images_before": None,
        "images": None,
    }
    return Change(what=what, address=f"192.0.2.{number}", port=104, **{**fields, **values})  # type: ignore[arg-type]


def both(changes: list[Change], **values: object) -> Comparison:
    counts = {kind: sum(one.what == kind for one in changes) for kind in KINDS}
    return Comparison(BEFORE, AFTER, 7, bool(values.pop("alike", True)), counts)


def page(changes: list[Change], summed: Comparison, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(comparison(changes, summed, console.width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


CHANGES = [
    change("opened", 1, studies_before=None),
    change("moved", 2, moved_from="192.0.2.9:104", sure=False),
    change("moved", 3, moved_from="192.0.2.8:104", sure=True),
    change("closed", 4, studies=None),
]


def test_totals_changes_and_what_the_words_mean() -> None:
    text = page(CHANGES, both(CHANGES))
    assert "From scan 3 of city, 2026-11-15 02:30 UTC" in text
    assert "24,000,000" in text and "≥ 35,000,000" in text and "+11,000,000" in text and "-5" in text
    assert "perhaps 192.0.2.9:104" in text and " 192.0.2.8:104" in text
    for kind in ("opened", "moved", "closed"):
        assert MEANINGS[kind].split(":")[0] in " ".join(text.split())  # type: ignore[index]
    assert "silent" not in text, "only words that occur are explained"
    assert "7 as before" in text and "did not ask the same" not in text
    assert all(len(line) <= 80 for line in text.splitlines())


def test_two_questions_are_not_compared_in_silence() -> None:
    assert "did not ask the same" in page([], both([], alike=False))
    assert "Nothing changed" in page([], both([]))


def test_a_long_list_is_cut_and_says_so() -> None:
    many = [change("grew", number) for number in range(SHOWN + 5)]
    text = page(many, both(many))
    assert text.count("192.0.2.") == SHOWN and f"the first {SHOWN} are shown; --format csv lists all" in " ".join(
        text.split()
    )


def test_programs_get_everything() -> None:
    *changes, summed = [json.loads(line) for line in lines(CHANGES, both(CHANGES))]
    assert [one["what"] for one in changes] == ["opened", "moved", "moved", "closed"]
    assert (summed["type"], summed["before"]["scan"], summed["counts"]["moved"]) == ("comparison", 3, 2)
    whole = json.loads("".join(document(CHANGES, both(CHANGES))))
    assert whole == {"changes": changes, "comparison": summed}
    assert json.loads("".join(document([], both([]))))["changes"] == []
    table = list(csv.DictReader(io.StringIO("".join(rows(CHANGES)))))
    assert [row["moved_from"] for row in table] == ["", "192.0.2.9:104", "192.0.2.8:104", ""]
    assert [row["sure"] for row in table] == ["", "false", "true", ""]
