"""What must hold for any doors and any moves."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from leadapron.watch.track.exposures.doors import regroup
from leadapron.watch.track.exposures.episode import Size
from leadapron.watch.track.exposures.model import Marks
from leadapron.watch.track.exposures.moves import GROWTH, MORE, TELLING, Trace, _may_have_grown, moves

IDS = st.integers(1, 8)


@st.composite
def scans(draw: st.DrawFn) -> tuple[list[list[int]], dict[int, bool]]:
    """Who was found to belong together in one scan, and who is open after it."""
    group_of = {member: draw(st.integers(0, 4)) for member in range(1, 9)}
    is_open = {member: draw(st.booleans()) for member in range(1, 9)}
    groups: dict[int, list[int]] = {}
    for member, group in group_of.items():
        if is_open[member] and group:  # group 0 was not met by this scan
            groups.setdefault(group, []).append(member)
    return list(groups.values()), is_open


@given(st.lists(scans(), max_size=5))
def test_doors_always_lead_to_one_that_stands_for_itself(
    history: list[tuple[list[list[int]], dict[int, bool]]],
) -> None:
    door_of: dict[int, int] = {}
    for together, is_open in history:
        for member, door in regroup(door_of, together, is_open).items():
            if door is None:
                del door_of[member]
            else:
                door_of[member] = door
        assert not set(door_of) & set(door_of.values()), "one step, never two"
        for member, first in door_of.items():
            assert not is_open[member] or is_open[first], "an open door does not hide behind a closed one"
        for group in together:
            assert len({door_of.get(member, member) for member in group}) == 1
        owners = [{door_of.get(member, member) for member in group} for group in together]
        assert len(set.union(set(), *owners)) == len(together), "what is apart stays apart"
        assert regroup(door_of, together, is_open) == {}, "again changes nothing"


TRACES = st.lists(
    st.builds(
        lambda host, port, archive, certificate, product, studies: (host, port, archive, certificate, product, studies),
        st.integers(1, 4),
        st.sampled_from([104, 11112]),
        st.integers(1, 4),
        st.sampled_from([None, "ab", "cd"]),
        st.sampled_from(["Orthanc", "DCMTK"]),
        st.sampled_from([50, 100, 120, 500, 560, 601]),
    ),
    max_size=6,
    unique_by=lambda row: row[:2],
)


def traces(rows: list[tuple[int, int, int, str | None, str, int]], first: int) -> list[Trace]:
    return [
        Trace(
            key=first + n,
            address=f"{first}.{host}",
            port=port,
            archive=f"{first}.{archive}",
            certificate=certificate,
            product=product,
            version="1",
            marks=Marks(implementation_uid="1.2", size=Size(studies, studies, None)),
        )
        for n, (host, port, archive, certificate, product, studies) in enumerate(rows)
    ]


ALONE = st.lists(st.tuples(st.integers(90, 700), st.sampled_from([None, 900, 960, 5000])), max_size=8)


@given(ALONE, ALONE)
def test_each_pair_that_can_only_be_one_is_guessed(gone: list[tuple[int, int | None]], new: list) -> None:  # type: ignore[type-arg]
    def alone(rows: list[tuple[int, int | None]], first: int) -> list[Trace]:
        found = traces([(n, 104, n, None, "DCMTK", studies) for n, (studies, _) in enumerate(rows)], first)
        return [
            structs.replace(one, marks=structs.replace(one.marks, size=Size(studies, studies, images)))
            for one, (studies, images) in zip(found, rows, strict=True)
        ]

    olds, news = alone(gone, 100), alone(new, 200)
    fits = {
        (a.key, b.key)
        for a, b in itertools.product(olds, news)
        if gone[a.key - 100][0] >= TELLING <= new[b.key - 200][0] and _may_have_grown(a, b)
    }
    olds_of, news_of = Counter(b for _, b in fits), Counter(a for a, _ in fits)
    expected = {(a, b) for a, b in fits if olds_of[b] == news_of[a] == 1}
    assert {(move.old, move.new) for move in moves(olds, news)} == expected


def test_a_country_that_is_renumbered_takes_no_time() -> None:
    def street(first: int, certificate: Callable[[int], str | None], port: int = 104) -> list[Trace]:
        rows = [(n, port, n, certificate(n), "DCMTK", 500 + n) for n in range(4000)]
        return traces(rows, first)

    began = time.monotonic()
    assert len(moves(street(10_000, str), street(20_000, str, 11112))) == 4000
    assert moves(street(10_000, lambda n: "one"), street(20_000, lambda n: "one")) == []
    assert moves(street(10_000, lambda n: None), street(20_000, lambda n: None)) == []
    assert time.monotonic() - began < 15  # a bound, not a speed: pair by pair it would be minutes


@given(TRACES, TRACES, st.sets(st.sampled_from(["ab", "cd"])))
def test_a_move_is_of_one_to_one_and_for_its_reason(gone: list, new: list, elsewhere: set[str]) -> None:  # type: ignore[type-arg]
    olds, news = traces(gone, 100), traces(new, 200)
    found = moves(olds, news, elsewhere)
    assert len({move.old for move in found}) == len({move.new for move in found}) == len(found)
    by_key = {trace.key: trace for trace in (*olds, *news)}
    for move in found:
        a, b = by_key[move.old], by_key[move.new]
        if move.sure:
            assert a.certificate == b.certificate and a.certificate is not None and a.certificate not in elsewhere
            assert {t.address for t in olds if t.certificate == a.certificate} == {a.address}
            assert {t.address for t in news if t.certificate == a.certificate} == {b.address}
        else:
            assert a.product == b.product and a.marks.size is not None and b.marks.size is not None
            before, after = a.marks.size.least, b.marks.size.least
            assert TELLING <= before <= after <= before * GROWTH + MORE
    assert {(m.old, m.new) for m in moves(list(reversed(olds)), list(reversed(news)), elsewhere)} == {
        (m.old, m.new) for m in found
    }, "the order in which they are met decides nothing"


@pytest.mark.parametrize(
    ("before", "after", "moved"),
    [
        ((1_000, 30_000), (1_040, 31_300), True),
        ((1_000, 30_000), (1_000, 30_000), True),
        ((1_000, None), (1_040, None), True),
        ((1_000, 30_000), (1_000, 29_999), False),  # an archive that lost images is another one
        ((1_000, 30_000), (1_040, 50_000), False),
        ((1_000, 30_000), (1_040, None), False),
        ((1_000, None), (1_040, 31_300), False),
    ],
)
def test_a_guess_wants_as_many_images_too(
    before: tuple[int, int | None], after: tuple[int, int | None], moved: bool
) -> None:
    old, new = (
        structs.replace(trace, marks=structs.replace(trace.marks, size=Size(studies, studies, images)))
        for trace, (studies, images) in zip(
            traces([(1, 104, 1, None, "Orthanc", 1), (2, 104, 2, None, "Orthanc", 1)], 100),
            (before, after),
            strict=True,
        )
    )
    assert bool(moves([old], [new])) == moved
