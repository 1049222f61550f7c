"""Every study of a small archive written out, and answers decoded again: the slow truth that arithmetic is held to."""

from __future__ import annotations

from typing import NamedTuple

from leadapron.lab.archive import query as q
from leadapron.lab.archive.model import Archive, Framing
from leadapron.lab.archive.query import Query
from leadapron.wire import uids
from leadapron.wire.dimse import CFindResponse, MessageComplete, Reassembler
from leadapron.wire.elements import read_elements
from leadapron.wire.pdu import PData, PduReader

KEYS = (
    (q.STUDY_DATE, "DA"),
    (q.STUDY_TIME, "TM"),
    (q.PATIENT_NAME, "PN"),
    (q.PATIENT_ID, "LO"),
    (q.PATIENT_BIRTH_DATE, "DA"),
    (q.STUDY_INSTANCE_UID, "UI"),
    (q.STUDY_SERIES, "IS"),
    (q.STUDY_INSTANCES, "IS"),
)


class Study(NamedTuple):
    uid: bytes
    date: bytes
    time: bytes
    patient: bytes
    name: bytes
    series: int
    images: int


def answers(
    archive: Archive,
    query: Query,
    *,
    transfer_syntax: str = uids.EXPLICIT_LE,
    max_pdu: int = 16384,
    one_pdu: bool = False,
    charset: bool = True,
) -> list[dict[int, bytes]]:
    """What a client reads: values by tag, stripped, of each answer."""
    framing = Framing(transfer_syntax, 3, 77, uids.STUDY_ROOT_FIND, max_pdu=max_pdu, one_pdu=one_pdu)
    encode = archive.encoder(query, framing)
    reader, messages = PduReader(), Reassembler(gather=1 << 20)
    found = []
    for rows in archive.select(query):
        octets = encode(rows)
        reader.feed(octets)
        while (pdu := reader.next_pdu()) is not None:
            assert isinstance(pdu, PData)
            if max_pdu:
                assert sum(len(value.data) + 6 for value in pdu.values) <= max_pdu
            for value in pdu.values:
                for event in messages.feed(value):
                    if isinstance(event, MessageComplete):
                        assert event.context_id == 3
                        assert isinstance(event.command, CFindResponse)
                        assert (event.command.responds_to, event.command.status) == (77, 0xFF00)
                        assert event.data_set is not None
                        elements = list(read_elements(event.data_set, transfer_syntax))
                        tags = [element.tag for element in elements]
                        assert tags == sorted(set(tags))
                        found.append({e.tag: bytes(e.value).strip(b" \0") for e in elements})
    assert reader.buffered == 0 and messages.idle
    return found


def studies(archive: Archive) -> list[Study]:
    """All of them, in the order in which they are answered."""
    return [study(values) for values in answers(archive, Query("STUDY", KEYS))]


def study(values: dict[int, bytes]) -> Study:
    return Study(
        values[q.STUDY_INSTANCE_UID],
        values[q.STUDY_DATE],
        values[q.STUDY_TIME],
        values[q.PATIENT_ID],
        values[q.PATIENT_NAME],
        int(values[q.STUDY_SERIES]),
        int(values[q.STUDY_INSTANCES]),
    )


def asked(level: str, keys: tuple[tuple[int, str], ...] = KEYS, **matches: str) -> Query:
    """A query by names of this module's ``q``: ``asked("STUDY", STUDY_DATE="20200101-")``."""
    return Query(level, keys, tuple((getattr(q, name), value.encode()) for name, value in matches.items()))
