"""Table 9-10 as data: held to the properties that PS3.8 states in words, and to pynetdicom's own copy of it."""

from __future__ import annotations

import subprocess
import sys

from pynetdicom import fsm

from leadapron.wire.association.table import TABLE, Action, Event, State, markdown

RECEIVED = [Event.EVT3, Event.EVT4, Event.EVT6, Event.EVT10, Event.EVT12, Event.EVT13, Event.EVT16, Event.EVT19]
CONNECTED = [state for state in State if state not in (State.STA1, State.STA4)]


def test_there_are_thirteen_states_nineteen_events_and_twenty_eight_actions() -> None:
    assert [str(state) for state in State] == [f"Sta{number}" for number in range(1, 14)]
    assert [str(event) for event in Event] == [f"Evt{number}" for number in range(1, 20)]
    assert len(Action) == 28
    assert all(member.meaning for kind in (State, Event, Action) for member in kind)


def test_the_table_is_pynetdicoms() -> None:
    """Written by others from the same standard."""
    theirs = {(state, event): action for (event, state), action in fsm.TRANSITION_TABLE.items()}
    assert {(str(state), str(event)): str(cell.action) for (state, event), cell in TABLE.items()} == theirs


def test_next_states_are_pynetdicoms() -> None:
    for cell in TABLE.values():
        theirs = fsm.ACTIONS[str(cell.action)][2]
        ours = (str(cell.next), str(cell.otherwise)) if cell.otherwise else str(cell.next)
        assert ours == theirs


def test_every_action_is_used_and_two_have_two_outcomes() -> None:
    assert {cell.action for cell in TABLE.values()} == set(Action)
    assert {cell.action for cell in TABLE.values() if cell.otherwise} == {Action.AE_6, Action.AR_8}


def test_whatever_a_peer_sends_has_a_cell_while_connected() -> None:
    for state in CONNECTED:
        for event in (*RECEIVED, Event.EVT17):
            assert (state, event) in TABLE, (state, event)


def test_nothing_can_be_received_without_a_connection() -> None:
    assert not [key for key in TABLE if key[0] in (State.STA1, State.STA4) and key[1] in RECEIVED]


EXPECTED = {
    Event.EVT3: {State.STA5},
    Event.EVT4: {State.STA5},
    Event.EVT6: {State.STA2},
    Event.EVT10: {State.STA6, State.STA7},
    Event.EVT12: {State.STA6, State.STA7},
    Event.EVT13: {State.STA7, State.STA10, State.STA11},
    Event.EVT16: set(CONNECTED),
    Event.EVT19: set(),
}


def test_a_pdu_at_the_wrong_time_aborts() -> None:
    """AA-1 while awaiting A-ASSOCIATE-RQ, AA-8 after; ignored (AA-6) or answered again (AA-7) in Sta13."""
    for event, states in EXPECTED.items():
        for state in set(CONNECTED) - states:
            action = TABLE[state, event].action
            if state is State.STA2:
                assert action is Action.AA_1
            elif state is State.STA13:
                assert action is (Action.AA_7 if event in (Event.EVT6, Event.EVT19) else Action.AA_6)
            else:
                assert action is Action.AA_8
            assert TABLE[state, event].next is State.STA13
        for state in states:
            assert TABLE[state, event].action not in (Action.AA_1, Action.AA_6, Action.AA_7, Action.AA_8)


def test_a_closed_connection_always_ends_it() -> None:
    for state in State:
        if state is not State.STA1:
            assert TABLE[state, Event.EVT17].next is State.STA1


def test_the_user_can_abort_whenever_it_knows_of_an_association() -> None:
    unknown_to_the_user = (State.STA1, State.STA2, State.STA13)
    assert {state for state in State if (state, Event.EVT15) in TABLE} == set(State) - set(unknown_to_the_user)


def test_every_state_is_reached_from_the_first() -> None:
    reached, frontier = {State.STA1}, [State.STA1]
    while frontier:
        state = frontier.pop()
        for (origin, _), cell in TABLE.items():
            if origin is state:
                new = {cell.next, cell.otherwise or cell.next} - reached
                reached |= new
                frontier += new
    assert reached == set(State)


def test_the_drawing_shows_each_cell() -> None:
    lines = markdown().splitlines()
    rows = [[cell.strip() for cell in line.split("|")[2:-1]] for line in lines if line.startswith("| Evt")]
    assert len(rows) == len(Event)
    for event, row in zip(Event, rows, strict=True):
        shown = {state: cell for state, cell in zip(State, row, strict=True) if cell}
        assert shown == {state: str(cell.action) for (state, at), cell in TABLE.items() if at is event}
    text = markdown()
    assert all(f"- {state}: {state.meaning}" in text for state in State)
    assert "- AR-8: indicate the release (collision) → Sta9 or Sta10" in text


def test_the_module_prints_the_drawing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "leadapron.wire.association.table"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == markdown()
    assert done.stderr == ""
