"""The fuzzer's seeds as a test: what `fuzz/fuzz_pdu.py` found or starts from holds in every run."""

from __future__ import annotations

from pathlib import Path

import pytest

from leadapron.kernel.errors import ProtocolError
from leadapron.wire.pdu import Pdu, PduReader

CORPUS = Path(__file__).parents[3] / "fuzz" / "corpus" / "pdu"
SEEDS = sorted(CORPUS.iterdir())


def read(data: bytes, size: int) -> tuple[list[Pdu], str | None]:
    reader, pdus = PduReader(), []
    try:
        for at in range(0, len(data), size):
            reader.feed(data[at : at + size])
            pdus += iter(reader.next_pdu, None)
    except ProtocolError as error:
        return pdus, str(error)
    return pdus, None


@pytest.mark.parametrize("seed", SEEDS, ids=lambda path: path.name)
def test_a_seed_reads_the_same_however_it_comes(seed: Path) -> None:
    data = seed.read_bytes()
    assert read(data, 1) == read(data, 7) == read(data, len(data))


def test_the_corpus_is_small_and_has_every_outcome() -> None:
    assert 20 <= len(SEEDS) <= 40
    assert sum(seed.stat().st_size for seed in SEEDS) < 20_000
    outcomes = [read(seed.read_bytes(), 4096) for seed in SEEDS]
    assert len({type(pdu) for pdus, _ in outcomes for pdu in pdus}) == 7
    assert any(error for _, error in outcomes) and any(not error for _, error in outcomes)
