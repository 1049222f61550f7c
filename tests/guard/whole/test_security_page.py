"""docs/security.md names a test for each row, and each of them is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("|")][2:]
ASKED = (
    *("access", "audit", "transmission", "monitoring", "C-MOVE", "preamble", "hostile input", "logoff", "emergency"),
    *("unique user", "asset", "integrity", "authentication", "syslog", "alert"),
)


def named(row: str) -> list[tuple[str, str]]:
    return re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_each_row_names_tests_that_are_there(row: str) -> None:
    assert named(row) and row.count("::") == len(named(row))
    for path, name in named(row):
        text = (ROOT / path).read_text("utf-8") if (ROOT / path).is_file() else ""
        assert re.search(rf"^(async )?def {name}\(", text, re.M), f"{path}::{name}"


def test_no_row_is_left_out() -> None:
    first = " ".join(row.split("|")[1] for row in ROWS)
    assert [word for word in ASKED if word not in first] == []
