"""Values of thousands of answers at once: a column is a fixed number of octets for each row.

A value is made of parts, constants and columns. Numbers are looked up four digits at a time, texts row by row in
tables; padding is by spaces, which DICOM does not count (PS3.5 §6.2), or NUL in UIDs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from leadapron.lab.archive.model import Indices, Rows

Text = NDArray[np.bytes_]
"""An array of octet strings of one width (numpy's S type)."""


class Column(Struct, frozen=True):
    """``width`` octets for each row; ``padded`` where spaces may be among them."""

    width: int
    values: Callable[[Rows], Text]
    padded: bool = True


Part = bytes | Column


class Attribute(Struct, frozen=True):
    """A value as parts, with its VR. No parts: zero length."""

    vr: str
    parts: tuple[Part, ...] = ()

    def width(self) -> int:
        """Octets in all, even."""
        length = sum(len(part) if isinstance(part, bytes) else part.width for part in self.parts)
        return length + length % 2

    def ends_with(self, suffix: bytes) -> Callable[[Rows], NDArray[np.bool_]] | None:
        """A test for how values end, in either case, thousands at once; None if only ``texts`` can tell."""
        last = self.parts[-1] if self.parts else b""
        if isinstance(last, bytes) or last.padded or not 0 < len(suffix) <= last.width:
            return None
        lower, upper = (np.frombuffer(text, np.uint8) for text in (suffix.lower(), suffix.upper()))

        def test(rows: Rows) -> NDArray[np.bool_]:
            ends = octets(last.values(rows))[:, -len(suffix) :]
            matching: NDArray[np.bool_] = ((ends == lower) | (ends == upper)).all(axis=1)
            return matching

        return test

    def texts(self, rows: Rows) -> list[bytes]:
        """The values of these rows, one by one, without padding: slow, for matching."""
        columns: list[Sequence[bytes]] = [
            [part] * len(rows) if isinstance(part, bytes) else part.values(rows).tolist() for part in self.parts
        ]
        # numpy drops trailing NULs of a cell, which only ever are padding here
        return [b"".join(cells).strip(b" \0") for cells in zip(*columns, strict=True)] if columns else [b""] * len(rows)


@lru_cache(1)
def _four_digits() -> Text:
    return np.array([b"%04d" % n for n in range(10_000)], dtype="S4")


def digits(values: Indices, width: int) -> Text:
    """Numbers as ``width`` digits with leading zeros; ``width`` is a multiple of four."""
    table = _four_digits()
    groups = width // 4
    parts = np.empty((len(values), groups), dtype="S4")
    for group in range(groups - 1, -1, -1):
        values, rest = (values // 10_000, values % 10_000) if group else (values, values)
        parts[:, group] = table[rest]
    return parts.view(f"S{width}")[:, 0]


def number(width: int, values: Callable[[Rows], Indices]) -> Column:
    """A column of digits; a number must not have more than ``width``, a multiple of four."""
    return Column(width, lambda rows: digits(values(rows), width), padded=False)


def text_table(texts: Iterable[bytes], width: int = 0) -> Text:
    """Texts padded with spaces to one even width, the longest one's unless given."""
    listed = list(texts)
    width = width or max(map(len, listed))
    width += width % 2
    return np.array([text.ljust(width) for text in listed], dtype=f"S{width}")


def lookup(table: Text, index: Callable[[Rows], Indices]) -> Column:
    """A column that reads ``table`` at the place that ``index`` says."""
    return Column(int(table.dtype.itemsize), lambda rows: table[index(rows)])


def octets(texts: Text) -> NDArray[np.uint8]:
    """The same cells as a matrix of octets."""
    width = texts.dtype.itemsize
    contiguous: NDArray[Any] = np.ascontiguousarray(texts)
    return contiguous.view(np.uint8).reshape(len(texts), width)
