"""What every archive has in common: a volume that is known exactly, a selection of rows, and their encoding."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from leadapron.lab.archive.query import Query

Indices = NDArray[np.int64]

ROWS_PER_TURN = 2048  # how many rows are looked at before others get a turn


class Volume(Struct, frozen=True):
    """What an archive holds. ``undated`` studies have no StudyDate, or one that no range matches."""

    studies: int
    images: int
    patients: int
    series: int
    undated: int = 0


class Rows(Struct, frozen=True):
    """Some answers: parallel arrays of the numbers of study, series in it and image in that.

    ``group`` is one for all of them: rows of a group have the same shape when encoded.
    """

    group: int
    study: Indices
    series: Indices | None = None
    image: Indices | None = None

    def __len__(self) -> int:
        return len(self.study)

    def at(self, index: slice | Indices | NDArray[np.bool_]) -> Rows:
        """The rows at these places, in that order, repeated where a place is."""
        return Rows(
            self.group,
            self.study[index],
            None if self.series is None else self.series[index],
            None if self.image is None else self.image[index],
        )

    def of_images(self, numbers: Indices) -> Rows:
        """The same rows, one level down."""
        return Rows(self.group, self.study, self.series, numbers)


class Framing(Struct, frozen=True):
    """How a pending C-FIND response goes on the wire.

    ``message_id`` is the request's; ``max_pdu`` what the peer said it takes (0: any length). ``one_pdu`` puts command
    and identifier in the same P-DATA-TF. ``shown`` changes what the archive would say: a tag mapped to None is left
    out, to bytes is answered with just these. ``always`` are attributes answered whether asked for or not.
    """

    transfer_syntax: str
    context_id: int
    message_id: int
    sop_class: str
    status: int = 0xFF00
    max_pdu: int = 16384
    one_pdu: bool = False
    retrieve_ae: str = ""
    shown: tuple[tuple[int, bytes | None], ...] = ()
    always: tuple[int, ...] = ()
    mangle: Callable[[bytes], bytes] | None = None


class Archive(Protocol):
    """What a C-FIND service needs of an archive."""

    @property
    def name(self) -> str:
        """Equal for two doors to one archive, different otherwise."""
        ...

    @property
    def volume(self) -> Volume: ...

    def select(self, query: Query) -> Iterator[Rows]:
        """Rows that match, in chunks of at most ``ROWS_PER_TURN``; a chunk may be empty, so that a long search yields.

        Raises ``Unanswerable`` where the standard wants a unique key that the query lacks.
        """
        ...

    def encoder(self, query: Query, framing: Framing) -> Callable[[Rows], bytes]:
        """A function from rows to whole P-DATA-TF PDUs, one pending response for each row."""
        ...

    def files_of(self, rows: Rows) -> Indices:
        """Images in each of these rows (for servers that answer one row per file)."""
        ...
