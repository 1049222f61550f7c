"""Records for programs: JSON lines, and one JSON object.

Both can be written to a terminal, so what is not printable in a peer's string is escaped beyond what JSON asks for
(C1 controls, DEL, marks that turn the reading direction round). It means the same to a parser.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

import msgspec
from msgspec import Struct

from leadapron.watch.measure.record import EndpointRecord, Summary, encoded

_encode = msgspec.json.Encoder().encode
_NOT_ASCII = re.compile(r"[^\x20-\x7e]")


def line(value: Struct) -> str:
    """One record as one line of JSON, without the line end."""
    text = encoded(value) if isinstance(value, EndpointRecord) else _encode(value).decode()
    return text if text.isascii() and "\x7f" not in text else _NOT_ASCII.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    """Printable characters stay; others become ``\\uXXXX``, as a surrogate pair above the basic plane (RFC 8259 §7)."""
    character = found.group()
    if character.isprintable():
        return character
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def lines(records: Iterable[EndpointRecord], summarise: Callable[[], Summary]) -> Iterator[str]:
    """``--format jsonl``: a line a record; the summary last, asked for when all records were read. With line ends."""
    for record in records:
        yield line(record) + "\n"
    yield line(summarise()) + "\n"


def document(records: Iterable[EndpointRecord], summarise: Callable[[], Summary]) -> Iterator[str]:
    """``--format json``: ``{"records": […], "summary": {…}}`` in pieces, so that it need not fit into memory."""
    yield '{"records":['
    for index, record in enumerate(records):
        yield ("\n" if index == 0 else ",\n") + line(record)
    yield '\n],\n"summary":' + line(summarise()) + "}\n"
