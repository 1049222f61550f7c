from __future__ import annotations

from datetime import UTC, datetime

import pytest

from leadapron.guard.policy.decide import Policy, parse_policy
from leadapron.guard.policy.explain import explain
from leadapron.guard.policy.permission import permission
from leadapron.wire import uids

FILE = """\
[[guard.peer]]
name = "CT1"
ae = "CT1"
may = ["store", "echo"]
from = ["10.1.0.0/16"]
modalities = ["CT"]

[[guard.peer]]
name = "WS1"
ae = "WS1"
may = [
  "find",
  "retrieve",  # tumour board
]
move_to = ["WS1", "GONE"]
hours = "mo-fr 07:00-20:00"
"""
FRIDAY = datetime(2026, 11, 20, 12, tzinfo=UTC)
SATURDAY = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def policy() -> Policy:
    return parse_policy(FILE, "leadapron.toml", UTC)


def test_a_denial_names_the_line_and_what_to_write(policy: Policy) -> None:
    told = explain(policy, "CT1", permission("find"), FRIDAY)
    assert told.answer == "no"
    assert told.text == (
        "CT1 may not find.\n"
        '  no  operation   leadapron.toml:4  may = ["store", "echo"]\n'
        "                  find is not among what it may do\n"
        '                  to allow it: write may = ["store", "echo", "find"]\n'
        '  if  address     leadapron.toml:5  from = ["10.1.0.0/16"]\n'
        "                  the address must be one of these\n"
    )


def test_what_the_question_leaves_open_is_said(policy: Policy) -> None:
    told = explain(policy, "CT1", permission("store"), FRIDAY)
    assert told.answer == "depends"
    assert told.text.splitlines()[0] == "CT1 may store, if what follows holds."
    assert 'if  modality    leadapron.toml:6  modalities = ["CT"]' in told.text


def test_a_whole_question_gets_a_plain_answer(policy: Policy) -> None:
    told = explain(
        policy, "CT1", permission("store"), FRIDAY, address="10.1.2.3", sop_class=uids.CT_IMAGE_STORAGE, modality="CT"
    )
    assert told.text == (
        "CT1 may store.\n"
        '  yes operation   leadapron.toml:4  may = ["store", "echo"]\n'
        '  yes address     leadapron.toml:5  from = ["10.1.0.0/16"]\n'
        '  yes modality    leadapron.toml:6  modalities = ["CT"]\n'
    )


def test_retrieving_is_explained_for_get_and_move(policy: Policy) -> None:
    open_ended = explain(policy, "WS1", permission("retrieve"), FRIDAY)
    assert 'leadapron.toml:13  "retrieve",  # tumour board' in open_ended.text
    assert "by C-GET, or by C-MOVE to one of these, save GONE: no peer has that AE title" in open_ended.text
    assert explain(policy, "WS1", permission("retrieve"), FRIDAY, destination="WS1").answer == "yes"
    assert explain(policy, "WS1", permission("retrieve"), FRIDAY, destination="CT1").answer == "no"
    assert explain(policy, "WS1", permission("retrieve"), FRIDAY, sop_class=uids.STUDY_ROOT_GET).answer == "yes"
    assert explain(policy, "WS1", permission("retrieve"), SATURDAY, destination="WS1").answer == "no"
    assert "outside of its hours" in explain(policy, "WS1", permission("find"), SATURDAY).text


def test_a_name_that_nobody_has_gets_the_closest_one(policy: Policy) -> None:
    told = explain(policy, "ct2", permission("find"), FRIDAY)
    assert (told.answer, told.text) == (
        "no", "'ct2' may do nothing: no peer has that name; the closest one is CT1.\n",
    )  # fmt: skip
    assert "no [[guard.peer]] table" in explain(Policy(), "\x1b[2J", permission("find"), FRIDAY).text
    assert "\x1b" not in explain(Policy(), "\x1b[2J", permission("find"), FRIDAY).text
