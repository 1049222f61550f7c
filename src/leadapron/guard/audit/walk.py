"""Reading a trail through, record by record, whatever was done to it.

One pass gives what is good and what is not, in order: `verify` keeps the problems, `show` the records, opening the
trail both. After damage it goes on at the next record that is ours, so that one changed octet does not hide the rest.

How damage is told apart. A record that verifies but is not the next one: those between are **removed**, unless they
stand further on in the segment, then it is **reordered**. Octets that are no record of ours: **changed**, unless the
file is shorter than it was (the head, or the next segment's beginning, says how long it was), then it is
**truncated**. What is behind the head's position and is no whole record is the **unfinished** end of a run that was
killed; no problem, because nothing there was ever called durable. **Damaged** marks the place where the trail went on
behind damage that was found when it was opened, so that it shows even if its traces are gone (a lost head).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from msgspec import Struct

from leadapron.guard.audit.chain import RECORD_OVERHEAD, SEGMENT_HEADER, SEQUENCE_AT, Chain, Position, Record
from leadapron.guard.audit.place import Place

LOOK_AHEAD: Final = 64
"""How many sequence numbers are searched for behind a damaged place."""

Kind = Literal["changed", "removed", "reordered", "truncated", "damaged"]


class Good(Struct, frozen=True):
    """A record in its place (or, behind a problem, at least ours). ``at``: the position behind it."""

    record: Record
    at: Position


class Problem(Struct, frozen=True):
    """Damage: at ``offset`` of the file ``file``, where record ``sequence`` should stand."""

    kind: Kind
    file: str
    offset: int
    sequence: int
    text: str


class Unfinished(Struct, frozen=True):
    """``octets`` behind the last whole record at ``at``, never durable. ``whole``: as long as a record, but none."""

    at: Position
    octets: int
    whole: bool


Found = Good | Problem | Unfinished


def walk(place: Place, chain: Chain, begin: Position | None = None) -> Iterator[Found]:
    """Everything from ``begin`` (None: the trail's first record) to the end, in order."""
    return _Walk(place, chain).run(begin)


class _Walk:
    def __init__(self, place: Place, chain: Chain) -> None:
        self.place, self.chain = place, chain
        # The head first: what is read after it can only be more.
        self.head = place.read_head(chain)
        self.at = place.start(chain)
        # What lies before the beginning is of a removal that was killed.
        self.numbers = [number for number in place.numbers() if number >= self.at.segment]
        self.excused = False  # a problem was told that explains the next gap

    def run(self, begin: Position | None) -> Iterator[Found]:
        if self.head is None and self.numbers:
            there = self.place.head.exists()
            yield Problem(
                "changed" if there else "removed",
                self.place.head.name,
                0,
                0,
                "the head was changed, so nobody can tell where the trail ended"
                if there
                else "the head is missing, so nobody can tell where the trail ended",
            )
        if self.at == self.chain.start and self.place.begin.exists():
            yield Problem("changed", self.place.begin.name, 0, 0, "the mark of the trail's beginning was changed")
        if begin is not None:
            self.at = begin
        last = max([*self.numbers, self.head.segment if self.head else 1])
        if not self.numbers and self.head is None:
            return
        if self.head is not None and not self.numbers and self.head.sequence == 0:
            return  # killed between the first head and the first segment
        for number in range(self.at.segment, last + 1):
            if number not in self.numbers:
                yield self._missing(number)
                self.excused = True
                continue
            data = self.place.read_segment(number)
            if data is None:
                yield self._problem("changed", number, 0, "the file is larger than any segment")
                self.excused = True
                continue
            yield from self._segment(number, data)
        if self.head is not None and self.at.sequence < self.head.sequence and not self.excused:
            yield self._gap("truncated", self.head.segment, self.place.size(self.head.segment), self.head.sequence + 1)

    # ---- one segment ------------------------------------------------------------------------------------------------

    def _segment(self, number: int, data: bytes) -> Iterator[Found]:
        if self.at.segment == number and self.at.offset > SEGMENT_HEADER:
            offset = self.at.offset  # begun in the middle
            if len(data) < offset:
                yield self._gap("truncated", number, len(data), self.at.sequence + 1, before=True)
                return
            if data[offset - len(self.at.hash) : offset] != self.at.hash:
                yield self._problem("changed", number, offset, "the record before this place is another one")
                self.excused = True
        else:
            yield from self._beginning(number, data)
            offset = SEGMENT_HEADER
        size = self._size_told(number)
        while offset < len(data):
            record = self.chain.parse(data, offset)
            if record is None:
                found = self._next_good(data, offset)
                if found is None:
                    yield from self._bad_end(number, data, offset, size)
                    return
                where, record = found
                due = self.at.sequence + 1
                which = "" if record.sequence == due else f"record {due} was changed: "
                text = f"{which}{where - offset} octets here are no record of ours"
                yield self._problem("changed", number, offset, text)
                self.at = Position(number, where, record.sequence - 1, record.previous)
                offset = where
            expected = self.at.sequence + 1
            if record.sequence != expected or record.previous != self.at.hash:
                if not self.excused:
                    yield self._out_of_place(number, data, offset, record)
                if record.sequence < expected:  # it was told; go on behind it as if it were not there
                    offset = record.end
                    yield Good(record, Position(number, offset, self.at.sequence, self.at.hash))
                    continue
            self.excused = False
            offset = record.end
            self.at = Position(number, offset, record.sequence, record.hash)
            yield Good(record, self.at)
        if (
            size is not None
            and len(data) < size
            and self.at.sequence + 1 < self._next_first(number)
            and not self.excused
        ):
            yield self._gap("truncated", number, len(data), self._next_first(number))
            self.excused = True

    def _beginning(self, number: int, data: bytes) -> Iterator[Found]:
        """The segment's own head: is it ours, in its place, and does it continue what was read?"""
        begin = self.chain.parse_segment(data)
        if begin is None:
            yield self._problem("changed", number, 0, "the beginning of the segment was changed")
            self.excused = True
        elif begin.number != number:
            yield self._problem("reordered", number, 0, f"this is segment {begin.number}, where {number} belongs")
            self.excused = True
        elif begin.first - 1 != self.at.sequence or begin.hash != self.at.hash:
            if not self.excused:
                if begin.first - 1 > self.at.sequence:
                    yield self._gap("truncated", self.at.segment, self.at.offset, begin.first)
                else:
                    yield self._problem("reordered", number, 0, "the segment does not continue the one before")
            self.excused = False
        else:
            self.excused = False
        if begin is not None and begin.number == number:
            if begin.damaged:
                text = f"the trail was found damaged when it was opened; record {begin.first} says how"
                yield self._problem("damaged", number, 0, text)
            self.at = Position(number, SEGMENT_HEADER, begin.first - 1, begin.hash)
        else:
            self.at = Position(number, SEGMENT_HEADER, self.at.sequence, self.at.hash)

    def _size_told(self, number: int) -> int | None:
        """How long the segment was, by the next one or the head; None if nobody says."""
        if self.head is not None and self.head.segment == number:
            return self.head.offset
        following = self._begin_of(number + 1)
        return None if following is None else following[0]

    def _next_first(self, number: int) -> int:
        """The sequence number that the next segment begins with, or the one behind the head."""
        if self.head is not None and self.head.segment == number:
            return self.head.sequence + 1
        following = self._begin_of(number + 1)
        return 0 if following is None else following[1]

    def _begin_of(self, number: int) -> tuple[int, int] | None:
        try:
            with self.place.segment(number).open("rb") as file:
                begin = self.chain.parse_segment(file.read(SEGMENT_HEADER))
        except OSError:
            return None
        return None if begin is None or begin.number != number else (begin.before, begin.first)

    def _next_good(self, data: bytes, offset: int) -> tuple[int, Record] | None:
        """The nearest record of ours behind ``offset``, looked for by the sequence numbers that are due."""
        due = self.at.sequence + 1
        for sequence in range(due, due + LOOK_AHEAD):
            found = self._find(data, offset, sequence)
            if found is not None:
                return found
        return None

    def _find(self, data: bytes, offset: int, sequence: int) -> tuple[int, Record] | None:
        """The record with this number at or behind ``offset``."""
        pattern = sequence.to_bytes(8, "big")
        index = data.find(pattern, offset + SEQUENCE_AT)
        while index >= 0:
            record = self.chain.parse(data, index - SEQUENCE_AT)
            if record is not None and record.sequence == sequence:
                return index - SEQUENCE_AT, record
            index = data.find(pattern, index + 1)
        return None

    # ---- telling ----------------------------------------------------------------------------------------------------

    def _bad_end(self, number: int, data: bytes, offset: int, size: int | None) -> Iterator[Found]:
        """From ``offset`` on nothing is ours."""
        is_last = number == self.numbers[-1]
        if is_last and self.head is not None and (self.head.segment, self.head.offset) <= (number, offset):
            whole = self.chain.wanted(data, offset) <= len(data) - offset
            yield Unfinished(self.at, len(data) - offset, whole)
            return
        if size is not None and len(data) < size:
            yield self._gap("truncated", number, offset, max(self._next_first(number), self.at.sequence + 2))
        elif size is None and len(data) - offset < max(RECORD_OVERHEAD, self.chain.wanted(data, offset)):
            yield self._problem("truncated", number, offset, f"record {self.at.sequence + 1} is not there as a whole")
        else:
            yield self._problem(
                "changed",
                number,
                offset,
                f"record {self.at.sequence + 1} was changed: the last {len(data) - offset} octets are none of ours",
            )
        self.excused = True

    def _out_of_place(self, number: int, data: bytes, offset: int, record: Record) -> Problem:
        expected, found = self.at.sequence + 1, record.sequence
        if found < expected:
            return self._problem("reordered", number, offset, f"record {found} stands behind record {expected - 1}")
        if found == expected:
            return self._problem("changed", number, offset, f"record {found} continues another trail")
        if self._find(data, record.end, expected) is not None:
            return self._problem("reordered", number, offset, f"record {found} stands before record {expected}")
        return self._gap("removed", number, offset, found)

    def _missing(self, number: int) -> Problem:
        return self._problem("removed", number, 0, "the segment is missing")

    def _gap(self, kind: Kind, number: int, offset: int, until: int, *, before: bool = False) -> Problem:
        """Records from the one that is due to the one before ``until`` are not there."""
        if before:
            return self._problem(kind, number, offset, f"the file ends before record {until - 1}, which was durable")
        first, last = self.at.sequence + 1, until - 1
        which = f"record {first} is" if first >= last else f"records {first} to {last} are"
        return self._problem(kind, number, offset, f"{which} missing")

    def _problem(self, kind: Kind, number: int, offset: int, text: str) -> Problem:
        return Problem(kind, self.place.segment(number).name, offset, self.at.sequence + 1, text)
