"""The table of states, for any sequence of inputs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.watch.reach.cases.model import (
    ACTORS,
    KINDS,
    OPEN,
    STATES,
    TABLE,
    Actor,
    Kind,
    NotAllowed,
    State,
    actor,
    after,
)

INPUTS = st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(ACTORS)), max_size=40)
FACTS: tuple[Kind, ...] = ("sent", "bounced", "answered", "fixed", "reopened", "moved", "guessed", "grew", "shrank")


def test_no_two_lines_say_different_things_of_one_cell() -> None:
    seen: set[tuple[State, Kind, Actor]] = set()
    for line in TABLE:
        assert line.states and line.actors
        for cell in ((state, line.kind, who) for state in line.states for who in line.actors):
            assert cell not in seen
            seen.add(cell)


@given(INPUTS)
def test_whatever_happens_a_case_is_in_a_state_that_a_line_leads_to(inputs: list[tuple[Kind, Actor]]) -> None:
    state: State = "new"
    for kind, who in inputs:
        lines = [line for line in TABLE if line.kind == kind and who in line.actors and state in line.states]
        if not lines:
            with pytest.raises(NotAllowed, match=f"a case that is {state}"):
                after(state, kind, who)
            continue
        (line,) = lines
        state = after(state, kind, who)
        assert state == (line.to or state) and state in STATES


def test_facts_are_never_refused() -> None:
    for kind in FACTS:
        told = {who for line in TABLE if line.kind == kind for who in line.actors}
        assert told and all(after(state, kind, who) in STATES for state in STATES for who in told)


def test_only_people_say_who_the_owner_is_and_give_up_what_is_not_proved_closed() -> None:
    for state in STATES:
        for who in ("rule", "scan", "mail"):
            with pytest.raises(NotAllowed):
                after(state, "confirmed", who)
            if (state, who) != ("fixed", "rule"):
                with pytest.raises(NotAllowed):
                    after(state, "closed", who)


def test_only_a_scan_says_that_it_is_fixed_or_open_again() -> None:
    for line in TABLE:
        if line.to in ("fixed", "reopened"):
            assert line.actors == {"scan"}


def test_every_state_is_reached_and_every_state_has_a_way_to_the_end() -> None:
    ways = {(state, line.to) for line in TABLE if line.to for state in line.states}

    def reach(start: str) -> set[str]:
        found = {start}
        while more := {to for state, to in ways if state in found} - found:
            found |= more
        return found

    assert reach("new") == set(STATES)
    assert all("closed" in reach(state) for state in STATES)
    assert {state for state, to in ways if to == "fixed"} == OPEN


def test_names_are_people_but_for_ours() -> None:
    assert [actor(by) for by in ("rule", "scan", "mail", "ada", "Rule")] == ["rule", "scan", "mail", "person", "person"]


def test_a_refusal_says_what_may_be_done_instead() -> None:
    with pytest.raises(NotAllowed, match="it can become confirmed, acknowledged, escalated, closed"):
        after("notified", "fixed", "person")
