"""An item of the edge's queue: what is known of it, what its files are called, and how much of all may be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from leadapron.kernel.errors import Failure
from leadapron.kernel.seal import Unsealable

_DIGITS: Final = 12


class Full(Failure):
    """No room for what the device wants to store: it is to be told so, and nothing is acknowledged."""


class QueueLimits(Struct, frozen=True, kw_only=True):
    """``octets``: all files together. ``reserve``: octets of the disk that stay free. ``items``: their number.
    ``largest``: octets of one data set."""

    octets: int = 50 << 30
    reserve: int = 1 << 30
    items: int = 250_000
    largest: int = 8 << 30


class Item(Struct, frozen=True, kw_only=True):
    """What is kept beside a data set, as the device said it in its C-STORE-RQ and its association."""

    sequence: int
    sop_class: str
    sop_instance: str
    transfer_syntax: str
    calling: str
    called: str
    received: str
    priority: int = 0
    move_originator: str | None = None
    move_originator_message_id: int | None = None

    @property
    def kind(self) -> tuple[str, str]:
        """SOP class and transfer syntax: what a presentation context is needed for."""
        return self.sop_class, self.transfer_syntax


class Entry:
    """An item that waits: its number, octets of its file, since when (seconds since 1970)."""

    __slots__ = ("item", "sequence", "since", "size", "tries", "uncertain")

    def __init__(self, sequence: int, size: int, since: float, item: Item | None = None) -> None:
        self.sequence, self.size, self.since, self.item = sequence, size, since, item
        self.tries: dict[object, int] = {}
        """Failed deliveries by class of failure (``outcome.Kind``)."""
        self.uncertain = False
        """It may have arrived: the line was lost before the answer came."""


def numbered(directory: Path) -> Iterator[tuple[int, Path]]:
    """The items in a directory, in no order."""
    if directory.is_dir():
        for path in directory.iterdir():
            if path.suffix == ".item" and path.stem.isdigit():
                yield int(path.stem), path


def name_of(sequence: int) -> str:
    """The name of an item's files, without the suffix."""
    return f"{sequence:0{_DIGITS}d}"


def decode_item(head: bytes) -> Item:
    """The head of an item's file. Raises `Unsealable`."""
    try:
        return msgspec.json.decode(head, type=Item)
    except msgspec.MsgspecError:
        raise Unsealable("a file of the edge's queue has a head that another version wrote") from None
