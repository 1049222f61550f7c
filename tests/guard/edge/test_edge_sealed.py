"""A file of the queue opens whole and unchanged under its own name and key, or not at all."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.guard.gateway.edge.sealed import CHUNK, MAGIC, MAX_HEAD, SALT, SealedReader, SealedWriter
from leadapron.kernel.seal import Unsealable

KEY = bytes(range(32))
NAME = "000000000007"
LENGTHS = st.sampled_from([0, 1, 15, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 7])


def sealed(data: bytes, head: bytes = b"head", *, key: bytes = KEY, name: str = NAME, piece: int = 100_000) -> bytes:
    with tempfile.TemporaryFile() as file:
        writer = SealedWriter(file.fileno(), key, name, head)
        for at in range(0, len(data), piece):
            writer.add(data[at : at + piece])
        writer.finish()
        assert writer.written == os.fstat(file.fileno()).st_size
        file.seek(0)
        return file.read()


def opened(raw: bytes, *, key: bytes = KEY, name: str = NAME) -> tuple[bytes, bytes]:
    reader = SealedReader(io.BytesIO(raw), key, name)
    return reader.head, b"".join(reader)


def records(raw: bytes) -> tuple[bytes, list[bytes]]:
    """The start, and each record with its length."""
    start, at = raw[: len(MAGIC) + SALT], len(MAGIC) + SALT
    found = []
    while at < len(raw):
        end = at + 4 + int.from_bytes(raw[at : at + 4], "big")
        found.append(raw[at:end])
        at = end
    return start, found


@given(LENGTHS, st.binary(max_size=300), st.integers(1000, 400_000))
def test_what_was_written_is_read(length: int, head: bytes, piece: int) -> None:
    data = os.urandom(64) * (length // 64 + 1)
    raw = sealed(data[:length], head, piece=piece)
    assert opened(raw) == (head, data[:length])
    assert len(raw) <= length + len(head) + 24 + 20 * (length // CHUNK + 2)


@given(st.data())
def test_any_changed_bit_is_noticed(data: st.DataObject) -> None:
    raw = bytearray(sealed(b"patient data" * 30))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Unsealable):
        opened(bytes(raw))


@given(st.data())
def test_any_cut_is_noticed(data: st.DataObject) -> None:
    raw = sealed(b"x" * (CHUNK + 100))
    with pytest.raises(Unsealable):
        opened(raw[: data.draw(st.integers(0, len(raw) - 1))])


def test_records_cannot_be_left_out_swapped_doubled_or_added() -> None:
    raw, other = sealed(b"x" * (3 * CHUNK)), sealed(b"y" * (3 * CHUNK))
    start, parts = records(raw)
    assert len(parts) == 4  # the head, three chunks
    _, others = records(other)
    for wrong in (
        parts[:-1],
        parts[:1],
        [],
        [parts[0], parts[2], parts[1], parts[3]],
        [parts[0], *parts[2:]],
        [*parts, parts[-1]],
        [*parts[:3], others[3]],
        [others[0], *parts[1:]],
    ):
        with pytest.raises(Unsealable):
            opened(start + b"".join(wrong))


def test_another_key_or_another_name_does_not_open_it() -> None:
    raw = sealed(b"data")
    for other in ({"key": bytes(32)}, {"name": "000000000008"}):
        with pytest.raises(Unsealable):
            opened(raw, **other)  # type: ignore[arg-type]


@given(st.binary(max_size=200))
def test_octets_of_any_kind_do_not_open(raw: bytes) -> None:
    for start in (b"", MAGIC + bytes(SALT)):
        with pytest.raises(Unsealable):
            opened(start + raw)


def test_the_same_data_never_looks_the_same() -> None:
    assert records(sealed(b"data"))[1] != records(sealed(b"data"))[1]


def test_a_head_is_bounded(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file, pytest.raises(ValueError, match="head"):
        SealedWriter(file.fileno(), KEY, NAME, bytes(MAX_HEAD + 1))
