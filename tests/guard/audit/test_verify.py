"""Whatever is done to a trail without its key is found and named: the first record that is wrong, and what is."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.audit.happenings import KEY
from guard.audit.trails import HEADER, copy, cuts, make, segments
from leadapron.guard.audit.place import AuditFailed
from leadapron.guard.audit.trail import Trail
from leadapron.guard.audit.verify import verify

RECORDS = 12
SMALL = 2_000  # octets of a segment: about two records
LARGE = 64 << 20


ORIGINALS: dict[int, Path] = {}


@pytest.fixture(scope="module", autouse=True)
def originals(tmp_path_factory: pytest.TempPathFactory) -> None:
    for size in (SMALL, LARGE):
        ORIGINALS[size] = make(tmp_path_factory.mktemp("trail"), RECORDS, segment_size=size)


def original(segment_size: int) -> Path:
    """A trail that nobody touched; copied before it is."""
    return ORIGINALS[segment_size]


@contextmanager
def tampered(segment_size: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as home:
        yield copy(original(segment_size), Path(home))


def first(directory: Path) -> tuple[str, int]:
    """Kind and record of the first problem."""
    verdict = verify(directory.parent, KEY)
    assert verdict.problems, "nothing was found"
    assert not verdict.whole
    return verdict.problems[0].kind, verdict.problems[0].sequence


def place_of(directory: Path, sequence: int) -> tuple[Path, int, int]:
    """File, beginning and end of a record, by counting."""
    left = sequence
    for path in segments(directory):
        found = cuts(path.read_bytes())
        if left <= len(found):
            return path, *found[left - 1]
        left -= len(found)
    raise AssertionError(sequence)


sizes = st.sampled_from([SMALL, LARGE])
numbers = st.integers(1, RECORDS)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_an_untouched_trail_is_whole(size: int) -> None:
    verdict = verify(original(size).parent, KEY)
    assert verdict.whole and verdict.records == RECORDS and not verdict.unfinished
    assert verdict.segments == len(segments(original(size))) and (verdict.segments > 3) == (size == SMALL)


@given(sizes, st.data())
def test_any_flipped_octet_of_a_record(size: int, data: st.DataObject) -> None:
    with tampered(size) as directory:
        sequence = data.draw(numbers)
        path, begin, end = place_of(directory, sequence)
        at, bit = data.draw(st.integers(begin, end - 1)), data.draw(st.integers(0, 7))
        octets = bytearray(path.read_bytes())
        octets[at] ^= 1 << bit
        path.write_bytes(octets)
        assert first(directory) == ("changed", sequence)


@given(sizes, st.data())
def test_any_flipped_octet_of_a_beginning_or_the_head(size: int, data: st.DataObject) -> None:
    with tampered(size) as directory:
        path = data.draw(st.sampled_from([*segments(directory), directory / "head"]))
        octets = bytearray(path.read_bytes())
        octets[data.draw(st.integers(0, min(len(octets), HEADER) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(octets)
        problems = verify(directory.parent, KEY).problems
        assert [(problem.kind, problem.file) for problem in problems] == [("changed", path.name)]


@given(sizes, st.data())
def test_any_removed_records(size: int, data: st.DataObject) -> None:
    with tampered(size) as directory:
        sequence = data.draw(numbers)
        path, begin, _ = place_of(directory, sequence)
        octets = path.read_bytes()
        ends = [end for _, end in cuts(octets) if end > begin]
        end = data.draw(st.sampled_from(ends))
        path.write_bytes(octets[:begin] + octets[end:])
        # At the end of a file nothing follows that would not fit: what is missing there was cut off.
        assert first(directory) == ("truncated" if end == len(octets) else "removed", sequence)


@given(sizes, st.data())
def test_any_two_swapped(size: int, data: st.DataObject) -> None:
    with tampered(size) as directory:
        one = data.draw(st.integers(1, RECORDS - 1))
        path, begin, end = place_of(directory, one)
        octets = path.read_bytes()
        later = [cut for cut in cuts(octets) if cut[0] >= end]
        if not later:
            return
        other_begin, other_end = data.draw(st.sampled_from(later))
        path.write_bytes(
            octets[:begin]
            + octets[other_begin:other_end]
            + octets[end:other_begin]
            + octets[begin:end]
            + octets[other_end:]
        )
        assert first(directory) == ("reordered", one)


@given(sizes, st.data())
def test_a_record_that_stands_twice(size: int, data: st.DataObject) -> None:
    with tampered(size) as directory:
        path, begin, end = place_of(directory, data.draw(numbers))
        octets = path.read_bytes()
        at, count = data.draw(st.sampled_from([(e, n) for n, (_, e) in enumerate(cuts(octets), 1) if e >= end]))
        path.write_bytes(octets[:at] + octets[begin:end] + octets[at:])
        before = sum(len(cuts(other.read_bytes())) for other in segments(directory) if other < path)
        assert first(directory) == ("reordered", before + count + 1)


@given(sizes, st.data())
def test_any_tail_cut_off(size: int, data: st.DataObject) -> None:
    with tampered(size) as directory:
        path = data.draw(st.sampled_from(segments(directory)))
        octets = path.read_bytes()
        at = data.draw(st.integers(HEADER, len(octets) - 1))
        path.write_bytes(octets[:at])
        before = sum(len(cuts(other.read_bytes())) for other in segments(directory) if other < path)
        whole = sum(end <= at for _, end in cuts(octets))
        assert first(directory) == ("truncated", before + whole + 1)


@given(st.data())
def test_any_segment_removed_or_swapped(data: st.DataObject) -> None:
    with tampered(SMALL) as directory:
        paths = segments(directory)
        path = data.draw(st.sampled_from(paths))
        other = data.draw(st.sampled_from(paths))
        before = sum(len(cuts(earlier.read_bytes())) for earlier in paths if earlier < min(path, other))
        if path == other:
            path.unlink()
            assert first(directory) == ("removed", before + 1)
        else:
            spare = directory / "spare"
            path.rename(spare)
            other.rename(path)
            spare.rename(other)
            assert first(directory) == ("reordered", before + 1)


@given(sizes, st.binary(min_size=1, max_size=600), st.data())
def test_anything_put_in_between(size: int, octets: bytes, data: st.DataObject) -> None:
    with tampered(size) as directory:
        sequence = data.draw(numbers)
        path, begin, _ = place_of(directory, sequence)
        was = path.read_bytes()
        path.write_bytes(was[:begin] + octets + was[begin:])
        assert first(directory) == ("changed", sequence)


@given(sizes, st.data())
def test_whatever_is_edited_is_found(size: int, data: st.DataObject) -> None:
    """Any splices of any octets of any files: whatever is no longer as it was is a problem, and reading never fails."""
    with tampered(size) as directory:
        for path in data.draw(st.lists(st.sampled_from([*segments(directory), directory / "head"]), min_size=1)):
            was = path.read_bytes()
            begin = data.draw(st.integers(0, len(was)))
            end = min(len(was), begin + data.draw(st.integers(0, 3_000)))
            where = data.draw(st.integers(0, len(was)))
            path.write_bytes(
                was[:begin] + data.draw(st.binary(max_size=40) | st.just(was[where : where + 900])) + was[end:]
            )
        before = {path.name: path.read_bytes() for path in original(size).iterdir() if path.is_file()}
        after = {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}
        verdict = verify(directory.parent, KEY)
        last = segments(directory)[-1].name
        appended = after[last].startswith(before[last]) and before == after | {last: before[last]}
        if appended:  # behind the head: nothing that was ever durable
            assert verdict.whole and verdict.unfinished == len(after[last]) - len(before[last])
        else:
            assert not verdict.whole
        try:
            with Trail(directory.parent, KEY) as trail:  # and the trail goes on
                assert trail.healthy
        except AuditFailed:
            assert not verdict.records  # nothing there bears our key's mark


def test_the_head_removed() -> None:
    with tampered(SMALL) as directory:
        (directory / "head").unlink()
        assert first(directory) == ("removed", 0)


def test_all_but_the_head_removed() -> None:
    with tampered(SMALL) as directory:
        for path in segments(directory):
            path.unlink()
        assert first(directory)[0] == "removed"


def test_the_other_records_are_read_all_the_same() -> None:
    with tampered(LARGE) as directory:
        path, begin, _ = place_of(directory, 4)
        octets = bytearray(path.read_bytes())
        octets[begin + 70] ^= 1
        path.write_bytes(octets)
        verdict = verify(directory.parent, KEY)
        assert verdict.records == RECORDS - 1 and len(verdict.problems) == 1


def test_a_file_too_large_to_be_ours_is_not_read(tmp_path: Path) -> None:
    directory = copy(original(SMALL), tmp_path)
    with segments(directory)[1].open("r+b") as file:
        file.truncate(5 << 30)  # sparse
    kind, _ = first(directory)
    assert kind == "changed"


# ---- what opening makes of it ---------------------------------------------------------------------------------------


@given(sizes, st.sampled_from(["flip", "cut", "head", "segment"]), st.integers(0, 10**6))
def test_opening_never_mends_damage(size: int, what: str, where: int) -> None:
    """The trail goes on behind the damage, an alert says so, and verify still finds it; what is new is good."""
    with tampered(size) as directory:
        last = segments(directory)[-1]
        octets = bytearray(last.read_bytes())
        if what == "flip":
            octets[-32 + where % 32] ^= 1  # opening looks at the end only: the rest is verify's
            last.write_bytes(octets)
        elif what == "cut":
            last.write_bytes(octets[: HEADER + where % (len(octets) - HEADER)])
        elif what == "head":
            (directory / "head").unlink()
        else:
            last.unlink()
            if not segments(directory):
                return
        before = verify(directory.parent, KEY)
        with Trail(directory.parent, KEY) as trail:
            assert trail.healthy and trail.written.sequence >= RECORDS - (what == "head")
        after = verify(directory.parent, KEY)
        assert not before.whole and not after.whole
        assert after.problems[-1].kind == "damaged"
        assert after.records >= before.records + 1


def test_a_trail_of_another_key_is_not_touched() -> None:
    with tampered(SMALL) as directory:
        was = {path.name: path.read_bytes() for path in directory.iterdir()}
        with pytest.raises(AuditFailed, match="another key"):
            Trail(directory.parent, b"x" * 32)
        assert {path.name: path.read_bytes() for path in directory.iterdir()} == was
