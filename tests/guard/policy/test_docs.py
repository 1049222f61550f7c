"""``docs/guard-policy.md`` says what the code does."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from leadapron.guard.gateway.alarms import FLOORS
from leadapron.guard.gateway.baseline import Measure
from leadapron.guard.policy.decide import parse_policy
from leadapron.guard.policy.explain import explain
from leadapron.guard.policy.file import KEYS
from leadapron.guard.policy.permission import Permission
from leadapron.guard.policy.rules import PeerRules

PAGE = (Path(__file__).parents[3] / "docs" / "guard-policy.md").read_text("utf-8")
BLOCKS = dict(re.findall(r"```(\w+)\n(.*?)```", PAGE, re.S))


def test_the_example_is_a_policy() -> None:
    (peer,) = parse_policy(BLOCKS["toml"]).peers
    assert set(peer.grants) == {Permission.DICOM_FIND, Permission.DICOM_RETRIEVE}


def test_the_explanation_is_the_one_that_is_given() -> None:
    policy = parse_policy(
        '[[guard.peer]]\nname = "CT1"\nae = "CT1"\nmay = ["store", "echo"]\nfrom = ["10.1.0.0/16"]\n', "leadapron.toml"
    )
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert explain(policy, "CT1", Permission.DICOM_FIND, now).text == BLOCKS["text"]


def test_every_key_and_every_permission_stands_there_with_its_default() -> None:
    rows = {key: row for key, row in re.findall(r"^\| `(\w+)` \|(.*)$", PAGE, re.M)}
    assert set(KEYS) - {"name", "ae"} <= set(rows)
    defaults = PeerRules(name="x", ae="x")
    for key in ("max_results", "studies_per_hour", "requests_per_minute"):
        assert f"| {getattr(defaults, key)} |" in rows[key]
    for one in Permission:
        assert one.people_only or f"`{one.word}`" in PAGE


def test_the_floors_are_those_of_the_alarms() -> None:
    floor = FLOORS[Measure.STUDIES]
    assert f"{floor.hour} studies in an hour, {floor.day} in a day" in PAGE
