"""What ``--from FILE`` reads: the kind of file is recognised by its beginning, not by its name.

A format is a module with ``NAME``, ``recognises(head)`` and ``read(source)``, which yields (line, target) and raises
UsageError with file and line; JSON of several tools is told apart record by record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from leadapron.watch.find.formats import greppable, masscan, nmap, plain, records, table
from leadapron.watch.find.formats.source import Source
from leadapron.watch.find.parse import Spec

# Raw printing: what is sent to these ports comes out on paper, and our association request would, too.
PRINTING: Final = range(9100, 9108)

Reader = Callable[[Source], Iterator[tuple[int, Spec]]]


def recognise(head: str) -> tuple[str, Reader]:
    """Name and reader of the format that begins like ``head``."""
    for format in (nmap, records, masscan, greppable, table):
        if format.recognises(head):
            return format.NAME, format.read
    return plain.NAME, plain.read


__all__ = ["PRINTING", "Source", "recognise"]
