"""Comparing scans between which servers moved, more than once, or went for good; and that every difference is told."""

from __future__ import annotations

import random

import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from leadapron.watch.measure.model import Measurement
from leadapron.watch.track.database import open_engine
from leadapron.watch.track.exposures.compare import Change, compare
from sightings import archive, exact
from watch_folding import rejecting, round_of, with_certificate

PORT = 11112
Moving = list[tuple[str, str, str | None, bool | None]]


def shown(number: int, studies: int = 20) -> Measurement:
    return with_certificate(archive(number, exact(studies)), "ab")


def told(changes: list[Change]) -> Moving:
    return [(one.what, one.address.rpartition(".")[2], one.moved_from, one.sure) for one in changes]


def gone(*numbers: int, error: str = "ECONNREFUSED") -> dict[tuple[str, int], str]:
    return {(f"127.0.0.{number}", PORT): error for number in numbers}


def test_one_that_moved_and_was_closed_there_is_closed(engine: sa.Engine) -> None:
    round_of(engine, 0, [shown(1)])
    round_of(engine, 1, [shown(2)], gone(1))
    round_of(engine, 2, [], gone(2))
    round_of(engine, 3, [], gone(2, error="ETIMEDOUT"))
    assert told(compare(engine, 1, 3)[0]) == [("closed", "1", None, None)]
    assert told(compare(engine, 1, 4)[0]) == [("silent", "1", None, None)]
    assert told(compare(engine, 2, 3)[0]) == [("closed", "2", None, None)]


def test_one_that_moved_twice_came_from_the_first_place(engine: sa.Engine) -> None:
    round_of(engine, 0, [shown(1, 20)])
    round_of(engine, 1, [shown(2, 30)], gone(1))
    round_of(engine, 2, [shown(3, 40)], gone(2))
    changes, both = compare(engine, 1, 3)
    assert told(changes) == [("moved", "3", f"127.0.0.1:{PORT}", True)]
    assert (changes[0].studies_before, changes[0].studies) == (20, 40)
    assert sum(both.counts.values()) == 1


def test_what_stands_at_the_old_place_again_makes_the_new_one_one_more(engine: sa.Engine) -> None:
    round_of(engine, 0, [shown(1)])
    round_of(engine, 1, [shown(2)], gone(1))
    round_of(engine, 2, [shown(1), shown(2)])
    changes, both = compare(engine, 1, 3)
    assert told(changes) == [("opened", "2", None, None)] and both.unchanged == 1


def test_one_that_came_and_moved_in_between_is_new(engine: sa.Engine) -> None:
    round_of(engine, 0, [archive(9, exact(5))])
    round_of(engine, 1, [archive(9, exact(5)), shown(1)])
    round_of(engine, 2, [archive(9, exact(5)), shown(2)], gone(1))
    assert told(compare(engine, 1, 3)[0]) == [("opened", "2", None, None)]


HOSTS = 5
ROUNDS = st.lists(
    st.lists(st.sampled_from("ab-rgt"), min_size=HOSTS, max_size=HOSTS),  # whose certificate, or what is there instead
    min_size=2,
    max_size=5,
)


@settings(max_examples=40, deadline=None)
@given(ROUNDS, st.integers(1, 2), st.randoms(use_true_random=False))
def test_every_difference_is_told_once(rounds: list[list[str]], closed_after: int, drawn: random.Random) -> None:
    engine = open_engine("sqlite://")
    for day, row in enumerate(rounds):
        seen: list[Measurement] = []
        absent: dict[tuple[str, int], str] = {}
        for number, what in enumerate(row, 1):
            if what in "ab":
                seen.append(with_certificate(archive(number, exact(20 + number)), what + "0"))
            elif what == "g":
                seen.append(rejecting(f"127.0.0.{number}"))
            elif what in "rt":
                absent |= gone(number, error="ECONNREFUSED" if what == "r" else "ETIMEDOUT")
        round_of(engine, day, seen, absent, closed_after=closed_after)
    old, new = sorted(drawn.sample(range(1, len(rounds) + 1), 2))
    changes, both = compare(engine, old, new)
    count = both.counts
    assert sum(count.values()) == len(changes)
    stood = {f"127.0.0.{number}:{PORT}" for number, what in enumerate(rounds[old - 1], 1) if what in "ab"}
    came = count["opened"] + count["reopened"] + count["again"]
    came += sum(one.what == "moved" and one.moved_from not in stood for one in changes)
    went = count["closed"] + count["silent"] + count["unseen"]
    assert both.after.open - both.before.open == came - went
    origins = [one.moved_from for one in changes if one.moved_from is not None]
    assert len(set(origins)) == len(origins), "one server, one place"
    engine.dispose()
