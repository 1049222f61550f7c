from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from guard.people.somebody import House, MakeHouse


@pytest.fixture
def make_house(tmp_path: Path) -> Iterator[MakeHouse]:
    made: list[House] = []

    def make(**more: object) -> House:
        made.append(House(tmp_path / f"guard{len(made)}", **more))
        return made[-1]

    yield make
    for house in made:
        house.close()


@pytest.fixture
def house(make_house: MakeHouse) -> House:
    return make_house()
