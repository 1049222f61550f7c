"""The states of an exposure, for any sequence of answers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from leadapron.watch.measure.model import Interval
from leadapron.watch.measure.record import Exposed
from leadapron.watch.track.exposures.episode import NOTHING, Answer, Episode, Size, change, size_of, step

ANSWERS = st.lists(st.sampled_from(["open", "proof", "nothing"]), max_size=60)


def walk(answers: list[Answer], closed_after: int) -> tuple[Episode | None, list[str]]:
    episode: Episode | None = None
    turns: list[str] = []
    for answer in answers:
        episode, turn = step(episode, answer, closed_after)
        if turn:
            turns.append(turn)
    return episode, turns


@given(ANSWERS, st.integers(1, 4))
def test_it_opens_first_then_closes_and_reopens_in_turn(answers: list[Answer], closed_after: int) -> None:
    episode, turns = walk(answers, closed_after)
    assert turns == (["opened", *["closed", "reopened"] * len(turns)])[: len(turns)]
    assert (episode is None) == ("open" not in answers)
    if episode is not None:
        assert episode.episodes == turns.count("opened") + turns.count("reopened")
        assert episode.open == (turns[-1] != "closed")


@given(ANSWERS, st.integers(1, 4))
def test_silence_changes_nothing_at_all(answers: list[Answer], closed_after: int) -> None:
    assert walk(answers, closed_after) == walk([a for a in answers if a != "nothing"], closed_after)


@given(ANSWERS, st.integers(1, 4))
def test_only_enough_proofs_in_a_row_close(answers: list[Answer], closed_after: int) -> None:
    episode, _ = walk(answers, closed_after)
    row = 0
    for answer in reversed([a for a in answers if a != "nothing"]):
        if answer == "open":
            break
        row += 1
    if episode is not None:
        assert episode.open == (row < closed_after)
        assert episode.proofs == min(row, closed_after)


SIZES = st.builds(
    lambda least, more, images: Size(least, None if more is None else least + more, images),
    st.integers(0, 10**6),
    st.none() | st.integers(0, 10**5),
    st.none() | st.integers(0, 10**7),
)


@given(SIZES, SIZES)
def test_growth_one_way_is_shrinking_the_other(a: Size, b: Size) -> None:
    opposite = {"grew": "shrank", "shrank": "grew", None: None}
    assert change(b, a) == opposite[change(a, b)]
    assert change(a, a) is None


@given(SIZES, SIZES)
def test_what_may_be_equal_is_no_change(a: Size, b: Size) -> None:
    overlap = (a.most is None or b.least <= a.most) and (b.most is None or a.least <= b.most)
    exact = a.least == a.most == b.least == b.most
    if overlap and not exact:
        assert change(a, b) is None
    if not overlap:
        assert change(a, b) is not None


def test_what_each_way_of_counting_says_for_certain() -> None:
    exact = size_of(Exposed(10, 500, 9000, True, "exact"))
    at_least = size_of(Exposed(10, 500, 9000, False, "lower-bound"))
    about = size_of(Exposed(None, 500, 9000, False, "estimate", Interval((450, 550))))
    assert (exact, at_least, about) == (Size(500, 500, 9000), Size(500, None), Size(450, 550))
    assert change(about, size_of(Exposed(10, 540, 9000, True, "exact"))) is None
    assert change(about, size_of(Exposed(10, 551, 9000, True, "exact"))) == "grew"
    assert change(at_least, size_of(Exposed(10, 499, 9000, True, "exact"))) == "shrank"
    assert change(at_least, size_of(Exposed(10, 9999, 9000, True, "exact"))) is None
    assert change(exact, size_of(Exposed(10, 500, 9001, True, "exact"))) == "grew"
    assert change(exact, NOTHING) == "shrank"
    assert change(exact, None) is None
