"""Where a command's results go: standard output, or a file that is there whole or not at all.

What can be known before is found out before (``options.output``); this is for what goes wrong in the middle.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from leadapron.kernel.errors import Failure, LeadApronError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

FILE_WIDTH: Final = 160
"""Of a table that goes to a file or a pipe."""
_MISNAMED: Final = (
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM),
    *(errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.ENXIO),
)
"""The place is wrong, and another one is right: not our failure."""


def print_pieces(pieces: Iterable[str]) -> None:
    """Write to stdout, to its last octet. A reader that went away is no error of ours, a full disk is one to name."""
    try:
        sys.stdout.writelines(pieces)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Failure(f"cannot write to standard output: {error.strerror or type(error).__name__}") from error


def write_file(path: Path, pieces: Iterable[str], *, private: bool = False) -> None:
    """Write ``pieces`` as UTF-8. A regular file is replaced when all is written, so nobody sees half of it; a device or
    a pipe is written to. ``private``: for its owner's eyes alone, since it names open servers or people; else the umask
    says who may read it. Raises ``UsageError`` or ``Failure`` with what to do next."""
    write_bytes(path, (piece.encode() for piece in pieces), private=private)


def write_bytes(path: Path, pieces: Iterable[bytes], *, private: bool = False) -> None:
    """``write_file`` of what is no text."""
    from leadapron.kernel.files import PRIVATE, write_pieces

    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as file:
                file.writelines(pieces)
            return
        write_pieces(path, pieces, mode=PRIVATE if private else _shared())
    except OSError as error:
        raise unwritable(path, error) from error


def put(output: Path | None, pieces: Iterable[str], *, private: bool = False) -> None:
    """To the file, or to stdout where there is none."""
    if output is None:
        print_pieces(pieces)
    else:
        write_file(output, pieces, private=private)


def unwritable(path: Path | str, error: OSError, more: str = "") -> LeadApronError:
    """The error to raise where a file or directory could not be written. ``more``: what else is to be known."""
    why = f"cannot write {path}: {error.strerror or type(error).__name__}."
    if error.errno in _MISNAMED:
        return UsageError(f"{why} Name another place, or make this one writable{more}")
    return Failure(f"{why} Free some space or choose another place{more}")


def _shared() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


@contextlib.contextmanager
def console_on(output: Path | None) -> Iterator[Console]:
    """A console on stdout, or one whose text goes to a file at the end."""
    from rich.console import Console

    text = io.StringIO()
    like = Console(highlight=False)
    if output is None and like.is_terminal:
        yield like
        return
    console = Console(file=text, width=like.width if output is None else FILE_WIDTH, highlight=False)
    yield console
    put(output, [line.rstrip() + "\n" for line in text.getvalue().splitlines()])  # columns are padded with spaces
