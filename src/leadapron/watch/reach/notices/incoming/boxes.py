"""Messages out of a Maildir or an mbox file, as octets, none longer than a bound.

We look into a mailbox that people use too, so nothing in it is moved, marked or deleted. Files that vanish while we
look (another program moved them from ``new`` to ``cur``) are met again in the next round.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from leadapron.kernel.errors import UsageError

LONGEST: Final = 512 << 10  # octets of a message that are looked at; a bounce that quotes more says it before
MOST: Final = 50_000  # messages of one round
_FOLDERS: Final = ("new", "cur")
_LONGEST_LINE: Final = 64 << 10


def messages(place: Path) -> Iterator[bytes]:
    """The messages, each cut at ``LONGEST``. Raises ``UsageError`` where there is neither Maildir nor mbox."""
    if all((place / folder).is_dir() for folder in _FOLDERS):
        yield from _maildir(place)
    elif place.is_file():
        yield from _mbox(place)
    else:
        raise UsageError(f"[notices] maildir: {place} is neither a Maildir (with new and cur) nor an mbox file")


def _maildir(place: Path) -> Iterator[bytes]:
    left = MOST
    for folder in _FOLDERS:
        try:
            with os.scandir(place / folder) as entries:
                # Names begin with the time of arrival: the newest first.
                names = sorted((entry.name for entry in entries if not entry.name.startswith(".")), reverse=True)
        except OSError as error:
            raise UsageError(f"[notices] maildir: {place / folder} can't be read: {error.strerror}") from None
        for name in names[:left]:
            path = place / folder / name
            try:
                if path.is_file():
                    with path.open("rb") as file:
                        yield file.read(LONGEST)
            except OSError:
                continue
        left = max(0, left - len(names))


def _mbox(place: Path) -> Iterator[bytes]:
    """Messages begin behind a line ``From …`` that follows an empty one, or begins the file (RFC 4155, Appendix A)."""
    kept, size, number, empty = list[bytes](), 0, 0, True
    begun = False
    try:
        with place.open("rb") as file:
            while line := file.readline(_LONGEST_LINE):
                if empty and line.startswith(b"From "):
                    if begun:
                        yield b"".join(kept)
                        number += 1
                        if number >= MOST:
                            return
                    kept, size, begun = [], 0, True
                elif begun and size < LONGEST:
                    kept.append(line[: LONGEST - size])
                    size += len(line)
                empty = line in (b"\n", b"\r\n")
    except OSError as error:
        raise UsageError(f"[notices] maildir: {place} can't be read: {error.strerror}") from None
    if begun:
        yield b"".join(kept)
