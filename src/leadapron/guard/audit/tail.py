"""Reading on from a place in the trail, while it grows: for what follows it and for what forwards it."""

from __future__ import annotations

import os
from typing import Final

from leadapron.guard.audit.chain import MAX_MESSAGE, RECORD_OVERHEAD, SEGMENT_HEADER, Chain, Position, Record
from leadapron.guard.audit.place import Place
from leadapron.guard.audit.walk import Good, walk
from leadapron.kernel.seal import OVERHEAD

CHUNK: Final = 1 << 20
_LARGEST: Final = MAX_MESSAGE + OVERHEAD + RECORD_OVERHEAD


class Tail:
    """Gives the records behind ``at`` (None: from the first), each once, in order, as far as there are any.

    Where the trail is damaged it goes on at the next record of ours; `skipped` counts these places. Not thread-safe.
    """

    def __init__(self, place: Place, chain: Chain, at: Position | None = None) -> None:
        self.place, self.chain = place, chain
        self.at = at or place.start(chain)
        self.skipped = 0

    def read(self, until: int | None = None) -> list[Record]:
        """What is there now, about a megabyte at most; empty if there is nothing new.

        ``until``: not beyond this sequence number, which is known to be there.
        """
        while True:
            last = max(self.place.numbers(), default=0)
            records = self._from_here(until)
            if records or (self.at.segment >= last if until is None else self.at.sequence >= until):
                return records
            # There is more, and not here: a segment is complete before the next one is begun.
            if not self._go_on():
                return []

    def _from_here(self, until: int | None) -> list[Record]:
        records: list[Record] = []
        data = self._octets(CHUNK)
        offset = 0
        while until is None or self.at.sequence < until:
            record = self.chain.parse(data, offset)
            if record is None:
                if not records and len(data) > offset:
                    wanted = self.chain.wanted(data, offset)
                    if CHUNK < wanted <= _LARGEST and len(data) == CHUNK:
                        data, offset = self._octets(wanted), 0
                        if len(data) >= wanted and self.chain.parse(data, 0) is not None:
                            continue
                break
            if record.sequence != self.at.sequence + 1 or record.previous != self.at.hash:
                break
            records.append(record)
            self.at = Position(self.at.segment, self.at.offset + record.end - offset, record.sequence, record.hash)
            offset = record.end
        return records

    def _octets(self, count: int) -> bytes:
        try:
            descriptor = os.open(self.place.segment(self.at.segment), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return b""
        try:
            return os.pread(descriptor, count, self.at.offset)
        finally:
            os.close(descriptor)

    def _go_on(self) -> bool:
        """To the next segment; over damage to the next record. False if there is none."""
        try:
            with self.place.segment(self.at.segment + 1).open("rb") as file:
                begin = self.chain.parse_segment(file.read(SEGMENT_HEADER))
        except FileNotFoundError:
            begin = None
        if begin is not None and begin.first - 1 == self.at.sequence and begin.hash == self.at.hash:
            self.at = Position(begin.number, SEGMENT_HEADER, self.at.sequence, self.at.hash)
            return True
        self.skipped += 1
        for found in walk(self.place, self.chain):
            if isinstance(found, Good) and found.at.sequence > self.at.sequence:
                behind = found.record
                start = found.at.offset - (behind.end - self._begin(behind))
                self.at = Position(found.at.segment, start, behind.sequence - 1, behind.previous)
                return True
        return False

    @staticmethod
    def _begin(record: Record) -> int:
        return record.end - RECORD_OVERHEAD - len(record.sealed)
