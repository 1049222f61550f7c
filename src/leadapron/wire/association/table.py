"""The state machine of PS3.8 §9.2 as data: this table is the specification, `machine` only carries it out.

Two machines of this kind talk, one at each end of a transport connection. What can happen to one of them is an event
(§9.2.3, Table 9-10, rows): a primitive of its local user, a PDU of its peer, something that the transport does, or the
ARTIM timer, the only clock in the protocol. Where it stands is a state (§9.2.1, columns). The cell says which action to
take (§9.2.2, Tables 9-6 to 9-9), and the action says which state is next.

Three properties follow from the table, and the tests hold it to them:

- Whatever a peer sends has a cell in every state with an open connection: there is no octet sequence for which the
  standard does not say what to do. PDUs at the wrong time lead to A-ABORT (AA-1 before there is an association to speak
  of, AA-8 after), and once we are waiting for the connection to close, they are ignored (AA-6).
- An empty cell is an event that cannot happen, or that only our own user could cause by a mistake.
- From every state a closed connection leads back to Sta1. In Sta2 and Sta13, where there is no user who could lose
  patience, the ARTIM timer ends the wait; in the other states time-outs are the user's, by A-ABORT request (Evt15).

``python -m leadapron.wire.association.table`` prints the table as Markdown.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple


class State(enum.IntEnum):
    """Table 9-1 to 9-5, §9.2.1. ``meaning`` is the standard's definition, shortened."""

    meaning: str

    def __new__(cls, number: int, meaning: str) -> State:
        state = int.__new__(cls, number)
        state._value_ = number
        state.meaning = meaning
        return state

    STA1 = 1, "idle"
    STA2 = 2, "transport connection open, awaiting A-ASSOCIATE-RQ"
    STA3 = 3, "awaiting the local user's A-ASSOCIATE response"
    STA4 = 4, "awaiting the opening of the transport connection"
    STA5 = 5, "awaiting A-ASSOCIATE-AC or -RJ"
    STA6 = 6, "association established, ready for data transfer"
    STA7 = 7, "awaiting A-RELEASE-RP"
    STA8 = 8, "awaiting the local user's A-RELEASE response"
    STA9 = 9, "release collision, requestor: awaiting the local user's A-RELEASE response"
    STA10 = 10, "release collision, acceptor: awaiting A-RELEASE-RP"
    STA11 = 11, "release collision, requestor: awaiting A-RELEASE-RP"
    STA12 = 12, "release collision, acceptor: awaiting the local user's A-RELEASE response"
    STA13 = 13, "awaiting the closing of the transport connection"

    def __str__(self) -> str:
        return f"Sta{self.value}"


class Event(enum.IntEnum):
    """The rows of Table 9-10."""

    meaning: str

    def __new__(cls, number: int, meaning: str) -> Event:
        event = int.__new__(cls, number)
        event._value_ = number
        event.meaning = meaning
        return event

    EVT1 = 1, "A-ASSOCIATE request (local user)"
    EVT2 = 2, "transport connection confirmed (local transport)"
    EVT3 = 3, "A-ASSOCIATE-AC received"
    EVT4 = 4, "A-ASSOCIATE-RJ received"
    EVT5 = 5, "transport connection indication (local transport)"
    EVT6 = 6, "A-ASSOCIATE-RQ received"
    EVT7 = 7, "A-ASSOCIATE response: accept (local user)"
    EVT8 = 8, "A-ASSOCIATE response: reject (local user)"
    EVT9 = 9, "P-DATA request (local user)"
    EVT10 = 10, "P-DATA-TF received"
    EVT11 = 11, "A-RELEASE request (local user)"
    EVT12 = 12, "A-RELEASE-RQ received"
    EVT13 = 13, "A-RELEASE-RP received"
    EVT14 = 14, "A-RELEASE response (local user)"
    EVT15 = 15, "A-ABORT request (local user)"
    EVT16 = 16, "A-ABORT received"
    EVT17 = 17, "transport connection closed (local transport)"
    EVT18 = 18, "ARTIM timer expired"
    EVT19 = 19, "unrecognized or invalid PDU received"

    def __str__(self) -> str:
        return f"Evt{self.value}"


class Action(enum.StrEnum):
    """Tables 9-6 to 9-9, §9.2.2. ``meaning`` is the standard's definition, shortened."""

    meaning: str

    def __new__(cls, label: str, meaning: str) -> Action:
        action = str.__new__(cls, label)
        action._value_ = label
        action.meaning = meaning
        return action

    AE_1 = "AE-1", "open the transport connection"
    AE_2 = "AE-2", "send A-ASSOCIATE-RQ"
    AE_3 = "AE-3", "confirm the association to the user: accepted"
    AE_4 = "AE-4", "confirm the association to the user: rejected; close the transport connection"
    AE_5 = "AE-5", "accept the transport connection; start ARTIM"
    AE_6 = (
        "AE-6",
        "stop ARTIM; if acceptable to the provider, indicate the request; else send A-ASSOCIATE-RJ, start ARTIM",
    )
    AE_7 = "AE-7", "send A-ASSOCIATE-AC"
    AE_8 = "AE-8", "send A-ASSOCIATE-RJ; start ARTIM"
    DT_1 = "DT-1", "send P-DATA-TF"
    DT_2 = "DT-2", "indicate the data"
    AR_1 = "AR-1", "send A-RELEASE-RQ"
    AR_2 = "AR-2", "indicate the release"
    AR_3 = "AR-3", "confirm the release; close the transport connection"
    AR_4 = "AR-4", "send A-RELEASE-RP; start ARTIM"
    AR_5 = "AR-5", "stop ARTIM"
    AR_6 = "AR-6", "indicate the data"
    AR_7 = "AR-7", "send P-DATA-TF"
    AR_8 = "AR-8", "indicate the release (collision)"
    AR_9 = "AR-9", "send A-RELEASE-RP"
    AR_10 = "AR-10", "confirm the release"
    AA_1 = "AA-1", "send A-ABORT (service user); start or restart ARTIM"
    AA_2 = "AA-2", "stop ARTIM if it runs; close the transport connection"
    AA_3 = "AA-3", "indicate the abort, as the user's or the provider's; close the transport connection"
    AA_4 = "AA-4", "indicate A-P-ABORT"
    AA_5 = "AA-5", "stop ARTIM"
    AA_6 = "AA-6", "ignore the PDU"
    AA_7 = "AA-7", "send A-ABORT"
    AA_8 = "AA-8", "send A-ABORT (service provider); indicate A-P-ABORT; start ARTIM"


class Cell(NamedTuple):
    """One cell of Table 9-10. ``otherwise`` is set where the action has two outcomes: AE-6 (the provider does not find
    the request acceptable) and AR-8 (we are not the association requestor)."""

    action: Action
    next: State
    otherwise: State | None = None


# fmt: off
# Table 9-10, PS3.8 §9.2.3. One row an event, one column a state, "." an empty cell.
_TABLE_9_10: Final[dict[Event, str]] = {
    #              Sta1  Sta2  Sta3  Sta4  Sta5  Sta6  Sta7  Sta8  Sta9  Sta10 Sta11 Sta12 Sta13
    Event.EVT1:  " AE-1  .     .     .     .     .     .     .     .     .     .     .     .    ",
    Event.EVT2:  " .     .     .     AE-2  .     .     .     .     .     .     .     .     .    ",
    Event.EVT3:  " .     AA-1  AA-8  .     AE-3  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6 ",
    Event.EVT4:  " .     AA-1  AA-8  .     AE-4  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6 ",
    Event.EVT5:  " AE-5  .     .     .     .     .     .     .     .     .     .     .     .    ",
    Event.EVT6:  " .     AE-6  AA-8  .     AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-7 ",
    Event.EVT7:  " .     .     AE-7  .     .     .     .     .     .     .     .     .     .    ",
    Event.EVT8:  " .     .     AE-8  .     .     .     .     .     .     .     .     .     .    ",
    Event.EVT9:  " .     .     .     .     .     DT-1  .     AR-7  .     .     .     .     .    ",
    Event.EVT10: " .     AA-1  AA-8  .     AA-8  DT-2  AR-6  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6 ",
    Event.EVT11: " .     .     .     .     .     AR-1  .     .     .     .     .     .     .    ",
    Event.EVT12: " .     AA-1  AA-8  .     AA-8  AR-2  AR-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6 ",
    Event.EVT13: " .     AA-1  AA-8  .     AA-8  AA-8  AR-3  AA-8  AA-8  AR-10 AR-3  AA-8  AA-6 ",
    Event.EVT14: " .     .     .     .     .     .     .     AR-4  AR-9  .     .     AR-4  .    ",
    Event.EVT15: " .     .     AA-1  AA-2  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  .    ",
    Event.EVT16: " .     AA-2  AA-3  .     AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-2 ",
    Event.EVT17: " .     AA-5  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AR-5 ",
    Event.EVT18: " .     AA-2  .     .     .     .     .     .     .     .     .     .     AA-2 ",
    Event.EVT19: " .     AA-1  AA-8  .     AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-7 ",
}

# Next states, Tables 9-6 to 9-9. The second of a pair is ``Cell.otherwise``.
_NEXT: Final[dict[Action, tuple[State, State | None]]] = {
    Action.AE_1: (State.STA4, None),   Action.AE_2: (State.STA5, None),  Action.AE_3: (State.STA6, None),
    Action.AE_4: (State.STA1, None),   Action.AE_5: (State.STA2, None),
    Action.AE_6: (State.STA3, State.STA13),
    Action.AE_7: (State.STA6, None),   Action.AE_8: (State.STA13, None),
    Action.DT_1: (State.STA6, None),   Action.DT_2: (State.STA6, None),
    Action.AR_1: (State.STA7, None),   Action.AR_2: (State.STA8, None),  Action.AR_3: (State.STA1, None),
    Action.AR_4: (State.STA13, None),  Action.AR_5: (State.STA1, None),  Action.AR_6: (State.STA7, None),
    Action.AR_7: (State.STA8, None),
    Action.AR_8: (State.STA9, State.STA10),
    Action.AR_9: (State.STA11, None),  Action.AR_10: (State.STA12, None),
    Action.AA_1: (State.STA13, None),  Action.AA_2: (State.STA1, None),  Action.AA_3: (State.STA1, None),
    Action.AA_4: (State.STA1, None),   Action.AA_5: (State.STA1, None),  Action.AA_6: (State.STA13, None),
    Action.AA_7: (State.STA13, None),  Action.AA_8: (State.STA13, None),
}
# fmt: on

_BY_LABEL: Final = {str(action): action for action in Action}

TABLE: Final[dict[tuple[State, Event], Cell]] = {
    (state, event): Cell(_BY_LABEL[label], *_NEXT[_BY_LABEL[label]])
    for event, row in _TABLE_9_10.items()
    for state, label in zip(State, row.split(), strict=True)
    if label != "."
}


def markdown() -> str:
    """Table 9-10 and its legend as Markdown, generated from the data."""
    lines = ["| | " + " | ".join(str(state) for state in State) + " |", "|---" * (len(State) + 1) + "|"]
    for event in Event:
        cells = (TABLE.get((state, event)) for state in State)
        lines.append(f"| {event} {event.meaning} | " + " | ".join(cell.action if cell else "" for cell in cells) + " |")
    lines += ["", *(f"- {state}: {state.meaning}" for state in State), ""]
    for action in Action:
        following, otherwise = _NEXT[action]
        lines.append(f"- {action}: {action.meaning} → {following}" + (f" or {otherwise}" if otherwise else ""))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
