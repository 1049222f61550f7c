"""Fuzz the PDU reader: ``python fuzz/fuzz_pdu.py [work folder] fuzz/corpus/pdu -max_total_time=60``.

New inputs are written to the first folder.

The input is taken twice: as a stream of octets from a peer, and, so that lengths of PDUs are no obstacle, as one body
behind a header that fits. What must hold, whatever the octets are:

1. Only the ProtocolError family is raised, with an offset and a message of printable ASCII.
2. Fed at once, octet by octet, and in uneven pieces, the stream gives the same PDUs and the same error.
3. What was read can be written, and reads again as the same value. The one exception is an A-ASSOCIATE-RQ with AE
   titles that we would not send: it is written with titles of ours in their place.
4. An association ends when its connection does, whatever it was told before.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["leadapron"]):
    sys.path.insert(0, str(Path(__file__).parents[1] / "src"))
    from leadapron.kernel.errors import ProtocolError
    from leadapron.wire.association.machine import Association, Role
    from leadapron.wire.pdu import (
        AssociateAccept,
        AssociateRequest,
        Pdu,
        PduReader,
        ae_title,
        decode,
        decode_accept_cached,
        encode,
    )

from msgspec.structs import replace

Outcome = tuple[list[Pdu], tuple[str, int | None] | None]


def read(data: bytes, sizes: tuple[int, ...]) -> Outcome:
    """All PDUs of the stream, and the error that ended it. The stream comes in pieces of the given sizes, in turn."""
    reader, pdus, at, turn = PduReader(), [], 0, 0
    try:
        while at < len(data):
            size = sizes[turn % len(sizes)]
            reader.feed(data[at : at + size])
            while (pdu := reader.next_pdu()) is not None:
                pdus.append(pdu)
            at, turn = at + size, turn + 1
    except ProtocolError as error:
        return pdus, (str(error), error.offset)
    return pdus, None


def sendable(title: str) -> str:
    try:
        ae_title(title)
    except ValueError:
        return "STRANGER"
    return title


def again(pdu: Pdu) -> None:
    """Write it, read it, compare."""
    if isinstance(pdu, AssociateRequest):
        pdu = replace(pdu, called=sendable(pdu.called), calling=sendable(pdu.calling))
    raw = encode(pdu)
    assert decode(raw[0], raw[6:]) == pdu, "a PDU does not survive being written"
    assert decode(raw[0], memoryview(raw)[6:]) == pdu, "a memoryview reads otherwise"
    if isinstance(pdu, AssociateAccept):
        assert decode_accept_cached(raw[6:]) == pdu, "the cached reading differs"


def converse(data: bytes) -> None:
    """Both roles, as the stream finds them after the connection is open."""
    acceptor = Association(Role.ACCEPTOR)
    acceptor.transport_accepted()
    acceptor.receive(data)
    acceptor.timer_expired()
    acceptor.transport_closed()
    assert acceptor.idle, "a closed connection did not end the association"


FIXED = b"\0\1\0\0" + b"CALLED".ljust(16) + b"CALLING".ljust(16) + bytes(32)


def framed(data: bytes) -> bytes:
    """One PDU: the type from the first octet, the fixed fields where it has some, then the rest as it is."""
    kind = data[0] % 9
    body = FIXED + data[1:] if kind in (1, 2) else data[1:]
    return bytes((kind, 0)) + len(body).to_bytes(4, "big") + body


def one_input(data: bytes) -> None:
    judge(data)
    if data:
        judge(framed(data))


def judge(data: bytes) -> None:
    outcome = read(data, (len(data) or 1,))
    assert read(data, (1,)) == outcome, "octet by octet reads otherwise"
    assert read(data, (7, 1, 64)) == outcome, "uneven pieces read otherwise"
    for pdu in outcome[0]:
        again(pdu)
    if outcome[1] is not None:
        message, offset = outcome[1]
        assert offset is not None and message.isascii() and message.isprintable()
    converse(data)


if __name__ == "__main__":
    # A hang and a leak are findings too; what is given on the command line counts.
    atheris.Setup([sys.argv[0], "-timeout=10", "-rss_limit_mb=1024", *sys.argv[1:]], one_input)
    atheris.Fuzz()
