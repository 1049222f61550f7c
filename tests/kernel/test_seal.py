"""Sealing at rest, and files that are private and whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.kernel.errors import Failure
from leadapron.kernel.files import write_whole
from leadapron.kernel.seal import OVERHEAD, Sealer, Unsealable, key_file

KEY = bytes(range(32))


@given(st.binary(max_size=300), st.binary(max_size=20))
def test_what_was_sealed_opens_in_its_context(data: bytes, context: bytes) -> None:
    sealer = Sealer(KEY, "test")
    sealed = sealer.seal(data, context)
    assert len(sealed) == len(data) + OVERHEAD
    assert sealer.open(sealed, context) == data


@given(st.data())
def test_a_changed_octet_does_not_open(data: st.DataObject) -> None:
    sealer = Sealer(KEY, "test")
    sealed = bytearray(sealer.seal(b"DOE^JANE"))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Unsealable):
        sealer.open(bytes(sealed))


def test_another_context_purpose_or_key_does_not_open() -> None:
    sealed = Sealer(KEY, "audit").seal(b"x", b"row 1")
    for sealer, context in (
        (Sealer(KEY, "audit"), b"row 2"),
        (Sealer(KEY, "queue"), b"row 1"),
        (Sealer(bytes(32), "audit"), b"row 1"),
    ):
        with pytest.raises(Unsealable):
            sealer.open(sealed, context)
    for short in (b"", b"x", sealed[:OVERHEAD], sealed[:-1]):
        with pytest.raises(Unsealable):
            Sealer(KEY, "audit").open(short, b"row 1")


def test_a_key_file_is_made_once_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "guard.key"
    key = key_file(path)
    assert len(key) == 32 and key_file(path) == key
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(Failure, match="chmod 600"):
        key_file(path)
    write_whole(path, b"short")
    with pytest.raises(Failure, match="5 octets"):
        key_file(path)


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_the_mode_holds_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o777)
    try:
        write_whole(tmp_path / "public", b"x", mode=0o644)
    finally:
        os.umask(before)
    assert (tmp_path / "public").stat().st_mode & 0o777 == 0o644
