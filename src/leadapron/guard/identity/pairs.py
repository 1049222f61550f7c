"""A key and its certificate chain lie in two files, which no file system replaces at once.

So the new ones are first written whole beside the old: ``next-NAME.key``, then ``next-NAME.pem``. Once the second is
there the change is decided, and `settle` carries it out, also after a crash in between; before that the old pair
stands. Everybody who reads a pair settles it first.
"""

from __future__ import annotations

import os
from pathlib import Path

from leadapron.kernel.files import private_directory, sync_directory, write_whole


def write_next_key(directory: Path, stem: str, key: bytes) -> None:
    """Keep the key of a pair whose certificate is still to come."""
    settle(directory, stem)
    write_whole(private_directory(directory) / f"next-{stem}.key", key)


def next_key(directory: Path, stem: str) -> bytes | None:
    """The key that an earlier try left, whose certificate never came."""
    try:
        return (directory / f"next-{stem}.key").read_bytes()
    except FileNotFoundError:
        return None


def complete(directory: Path, stem: str, chain: bytes) -> None:
    """The certificate chain for the key of `write_next_key` is there: both take their place."""
    write_whole(directory / f"next-{stem}.pem", chain)
    settle(directory, stem)


def settle(directory: Path, stem: str) -> None:
    """Finish a change that was decided. Costs one look where there is none."""
    chain, key = directory / f"next-{stem}.pem", directory / f"next-{stem}.key"
    if not chain.exists():
        return
    if key.exists():
        os.replace(key, directory / f"{stem}.key")
        sync_directory(directory)
    os.replace(chain, directory / f"{stem}.pem")
    sync_directory(directory)


def paths(directory: Path, stem: str) -> tuple[Path, Path]:
    """Certificate chain and key of a pair, settled."""
    settle(directory, stem)
    return directory / f"{stem}.pem", directory / f"{stem}.key"
