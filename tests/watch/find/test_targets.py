from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.watch.find import Spec, TargetSet, TargetSetBuilder, parse_target
from leadapron.watch.scope.addresses import V6, Block, point_of, text_of


def target_set(*texts: str) -> TargetSet:
    builder = TargetSetBuilder()
    for text in texts:
        builder.add(parse_target(text))
    return builder.build()


def test_duplicates_and_overlaps_count_once() -> None:
    targets = target_set("10.0.0.0/24", "10.0.0.128/25", "10.0.0.5", "10.0.1.0-255", "::ffff:10.0.0.7")
    assert len(targets) == 512 and len(targets.rows) == 1
    assert targets.address(0) == "10.0.0.0" and targets.address(511) == "10.0.1.255"
    assert "10.0.1.255" in targets and "10.0.2.0" not in targets


def test_explicit_ports_stay_with_their_addresses() -> None:
    targets = target_set("10.0.0.0/30", "10.0.0.1:104", "10.0.0.1:11112", "10.0.0.1:104", "10.0.0.9:4242")
    assert len(targets) == 5
    assert targets.ports_of("10.0.0.0") == ((), True)
    assert targets.ports_of("10.0.0.1") == ((104, 11112), True)
    assert targets.ports_of("10.0.0.9") == ((4242,), False)
    assert targets.ports_of("10.0.0.8") == ((), False)
    assert [row.size for row in targets.rows] == [1, 1, 2, 1]


def test_names_stay_with_their_addresses() -> None:
    builder = TargetSetBuilder()
    builder.add_named(Spec(name="pacs", port=104), ("10.0.0.1", "2001:db8::1"))
    builder.add_named(Spec(name="archive"), ["10.0.0.1"])
    targets = builder.build()
    assert list(targets) == ["10.0.0.1", "2001:db8::1"]
    assert targets.names_of("10.0.0.1") == ("pacs", "archive")
    assert targets.names_of("2001:db8::1") == ("pacs",)
    assert targets.names_of("10.0.0.2") == ()
    assert targets.ports_of("10.0.0.1") == ((104,), True)


def test_memory_goes_by_ranges() -> None:
    targets = target_set("0.0.0.0/0", "10.0.0.0/8:104")
    assert len(targets) == 2**32 and len(targets.rows) == 3
    assert targets.address(2**32 - 1) == "255.255.255.255"


def test_an_index_outside_is_an_error() -> None:
    targets = target_set("10.0.0.0/30")
    for index in (-1, 4):
        with pytest.raises(IndexError):
            targets.address(index)
    assert len(TargetSetBuilder().build()) == 0


blocks = st.tuples(st.sampled_from([0, V6 - 20, V6 + 40]), st.integers(0, 40), st.integers(0, 12)).map(
    lambda triple: Block(triple[0] + triple[1], triple[0] + triple[1] + triple[2])
)


@given(st.lists(st.tuples(blocks, st.none() | st.sampled_from([104, 11112]))))
def test_it_is_the_set_of_what_was_added(added: list[tuple[Block, int | None]]) -> None:
    builder = TargetSetBuilder()
    wanted: dict[int, set[int | None]] = {}
    for block, port in added:
        builder.add(Spec((block,), port=port))
        for point in range(block.start, block.end + 1):
            wanted.setdefault(point, set()).add(port)
    targets = builder.build()
    assert len(targets) == len(wanted)
    assert [targets.address(index) for index in range(len(targets))] == [text_of(point) for point in sorted(wanted)]
    for point, ports in wanted.items():
        named, scan_ports = targets.ports_of(text_of(point))
        assert set(named) == ports - {None} and scan_ports == (None in ports)
        assert point_of(text_of(point)) == point
    rows = targets.rows
    for before, after in itertools.pairwise(rows):
        same = (before.ports, before.scan_ports) == (after.ports, after.scan_ports)
        assert before.end < after.start and not (same and before.end + 1 == after.start), "neighbours merge"
