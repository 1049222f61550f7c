"""Every reason that a count can give is explained on the page about counting."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from leadapron.watch.measure.count import words

PAGE = (Path(__file__).parents[4] / "docs" / "counting.md").read_text("utf-8")
CONSTANTS = sorted(value for name, value in vars(words).items() if name.isupper() and isinstance(value, str))
SENTENCES = [
    words.at_most(500),
    words.long_days(1),
    words.gaps(1),
    words.odd_status(0xB000),
    words.images_unknown(3),
    words.images_sampled(60, 903),
    words.estimated(40, 3650),
    words.STOPPED["requests"],
    words.STOPPED["silence"],
]


@pytest.mark.parametrize("sentence", [*CONSTANTS, *SENTENCES])
def test_every_reason_is_explained(sentence: str) -> None:
    assert re.search(rf"^\| (studies are complete; )?{re.escape(sentence)} \|", PAGE, re.M)


def test_sentences_count_properly() -> None:
    assert words.at_most(1) == "the server gives at most 1 study at once"
    assert words.long_days(2) == "2 days hold more than that"
    assert words.gaps(1_200) == "1,200 ranges of dates could not be had"
    assert len(CONSTANTS) > 10
