"""Files that nobody else may read, and files that are whole or not there."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

PRIVATE = 0o600
PRIVATE_DIRECTORY = 0o700


def private_directory(path: Path) -> Path:
    """Make ``path`` (and what is missing above it) so that only its owner may look in; gives it back."""
    path.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    return path


def write_whole(path: Path, data: bytes, *, mode: int = PRIVATE, owner: tuple[int, int] | None = None) -> None:
    """Write ``data`` to ``path`` at once: afterwards, also after a crash, it holds all of it or what it held before.

    It is on stable storage on return. ``owner``: user and group to whom the file is given where that is
    allowed, to root mostly. Raises OSError; what was there then still stands.
    """
    write_pieces(path, (data,), mode=mode, owner=owner)


def write_pieces(
    path: Path, pieces: Iterable[bytes], *, mode: int = PRIVATE, owner: tuple[int, int] | None = None
) -> None:
    """`write_whole` of what need not fit into memory. What ``pieces`` raises comes through, and nothing is written."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if owner is not None:
                with contextlib.suppress(PermissionError):
                    os.fchown(descriptor, *owner)
            os.fchmod(descriptor, mode)  # whatever the umask
            file.writelines(pieces)
            file.flush()
            os.fsync(descriptor)
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Put the names in a directory on stable storage: a file that was created or renamed may else be gone."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
