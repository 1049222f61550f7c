"""C-FIND as each server does it: limits, refusals, omissions and worse, over any archive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from msgspec import structs

from leadapron.kernel.errors import ProtocolError
from leadapron.lab.archive import query as q
from leadapron.lab.archive.model import Archive, Framing, Rows
from leadapron.lab.archive.query import Query, Unanswerable
from leadapron.lab.server.profile import Answers
from leadapron.wire.dimse import CFindResponse, encode_command, fragment
from leadapron.wire.dimse.status import CANCEL, SUCCESS
from leadapron.wire.elements import read_elements, vr_of

MAX_IDENTIFIER: Final = 256 * 1024
FILES_PER_TURN: Final = 2048

_ABSURD: Final = b"4294967295"
_COUNTS: Final[dict[str, bytes | None]] = {"none": None, "empty": b"", "zero": b"0 ", "absurd": _ABSURD}
_TEXT_TAGS: Final = (
    q.ACCESSION_NUMBER,
    q.INSTITUTION_NAME,
    q.REFERRING_PHYSICIAN,
    q.STUDY_DESCRIPTION,
    q.PATIENT_NAME,
    q.PATIENT_ID,
    q.STUDY_ID,
)

Step = bytes | float
"""Octets to send, or seconds to wait before going on."""


def read_query(identifier: bytes, transfer_syntax: str) -> Query:
    """The query of an identifier. Raises ProtocolError where it can't be read."""
    keys: list[tuple[int, str]] = []
    matches: list[tuple[int, bytes]] = []
    level = ""
    for element in read_elements(identifier, transfer_syntax):
        value = bytes(element.value).strip(b" \0")
        keys.append((element.tag, element.vr or vr_of(element.tag) or "UN"))
        if element.tag == q.QUERY_RETRIEVE_LEVEL:
            level = value.decode("ascii", "replace")
        elif value and value.strip(b"*") and element.tag not in q.NO_MATCH_KEYS:
            matches.append((element.tag, value))
    return Query(level, tuple(keys), tuple(matches))


class Finder:
    """One C-FIND request being answered. ``framing`` says for whom; ``steps`` are what to do, in order."""

    def __init__(self, archive: Archive | None, answers: Answers, framing: Framing, canary: str) -> None:
        self._archive, self._answers = archive, answers
        shown: list[tuple[int, bytes | None]] = [(tag, None) for tag in answers.omit]
        for tag, said in ((q.STUDY_INSTANCES, answers.study_images), (q.SERIES_INSTANCES, answers.series_images)):
            if said != "true":
                shown.append((tag, _COUNTS[said]))
        self._framing = structs.replace(
            framing,
            status=answers.status,
            one_pdu=answers.one_pdu,
            mangle=answers.mangle,
            message_id=self._responds_to(framing.message_id),
            shown=tuple(shown),
            always=answers.always or (_TEXT_TAGS if canary else ()),
        )

    def _responds_to(self, message_id: int) -> int:
        return (message_id + 7) & 0xFFFF if self._answers.wrong_message_id else message_id

    def steps(self, identifier: bytes) -> Iterator[Step]:
        """Everything from the first pending response to the final one (endless where the server is)."""
        answers = self._answers
        if answers.find_status:
            yield self.final(answers.find_status)
            return
        try:
            query = self._understood(read_query(identifier, self._framing.transfer_syntax))
        except ProtocolError:
            yield self.final(0xC000)
            return
        if query is None or self._archive is None:
            yield self.final(SUCCESS)
            return
        if query.level not in answers.levels:
            yield self.final(0xA900)
            return
        if answers.needs_patient and query.level != "PATIENT" and query.value(q.PATIENT_ID) is None:
            yield self.final(0xA900)
            return
        try:
            yield from self._answered(self._archive, query)
        except Unanswerable as refusal:
            yield self.final(refusal.status)

    def final(self, status: int) -> bytes:
        """The last response."""
        framing, comment = self._framing, self._answers.error_comment
        command = encode_command(
            CFindResponse(
                framing.message_id,
                status,
                sop_class=framing.sop_class,
                error_comment=comment[:64] if comment and status not in (SUCCESS, CANCEL) else None,
            )
        )
        return b"".join(fragment(framing.context_id, command, None, framing.max_pdu))

    def _understood(self, query: Query) -> Query | None:
        """The query as this server takes it; None if it holds for nothing."""
        answers = self._answers
        if answers.any_level:
            query = Query("STUDY", query.keys, query.matches)
        if answers.ignores_dates:
            query = query.without(q.STUDY_DATE, q.STUDY_TIME)
        if answers.ignores_times:
            query = query.without(q.STUDY_TIME)
        if not answers.open_ranges:
            for tag in (q.STUDY_DATE, q.STUDY_TIME):
                value = query.value(tag)
                if value is not None and (value.startswith(b"-") or value.endswith(b"-")):
                    return None
        return query

    def _answered(self, archive: Archive, query: Query) -> Iterator[Step]:
        answers = self._answers
        limit = answers.limit
        if limit and answers.at_limit == "refuse":
            matches = 0
            for rows in self._rows(archive, query):
                matches += len(rows)
                if matches > limit:
                    yield self.final(answers.refusal)
                    return
                yield b""
        encode = archive.encoder(query, self._framing)
        sent = 0
        while True:
            for rows in self._rows(archive, query):
                if limit and answers.at_limit != "refuse" and sent + len(rows) > limit:
                    yield encode(rows.at(slice(0, limit - sent)))
                    yield self.final({"silent": SUCCESS, "cancel": CANCEL}.get(answers.at_limit, answers.refusal))
                    return
                sent += len(rows)
                if answers.stalls_after and sent >= answers.stalls_after:
                    yield encode(rows.at(slice(0, len(rows) - sent + answers.stalls_after)))
                    return
                if answers.pause_s:
                    for place in range(len(rows)):
                        yield answers.pause_s
                        yield encode(rows.at(slice(place, place + 1)))
                else:
                    yield encode(rows)
            if not answers.endless:
                break
        yield self.final(SUCCESS)

    def _rows(self, archive: Archive, query: Query) -> Iterator[Rows]:
        answers = self._answers
        for rows in archive.select(query):
            if answers.rows == "file":
                yield from _by_file(rows, archive)
            elif answers.duplicates and len(rows):
                again = np.arange(len(rows))
                yield rows.at(np.sort(np.concatenate((again, again[:: answers.duplicates]))))
            else:
                yield rows


def _by_file(rows: Rows, archive: Archive) -> Iterator[Rows]:
    """Each row as often as it has files, in chunks of one turn."""
    if not len(rows):
        yield rows
        return
    ends = np.cumsum(archive.files_of(rows))
    for low in range(0, int(ends[-1]), FILES_PER_TURN):
        numbers = np.arange(low, min(low + FILES_PER_TURN, int(ends[-1])))
        yield rows.at(np.searchsorted(ends, numbers, side="right"))
