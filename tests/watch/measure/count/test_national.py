"""National identifiers: published examples pass, running numbers do not, and one coincidence proves nothing."""

from __future__ import annotations

import random

import pytest

from leadapron.watch.measure.count.national import WEAK, kinds_of, looks_like_national_id
from leadapron.watch.measure.count.shape import ShapeTally, has_birth_date, has_name
from leadapron.watch.measure.model import Shapes

# Specimens and textbook examples, nobody's.
EXAMPLES = {
    "us-ssn": ["123-45-6789", "078-05-1120"],
    "us-ssn-bare": ["123456789"],
    "de-tax": ["86095742719", "47036892816", "65 929 970 489"],
    "de-health": ["A123456780", "A000500015"],
    "fr": ["255081416802538", "2 55 08 14 168 025 38"],
    "it": ["RSSMRA85T10A562S", "rssmra85t10a562s"],
    "es": ["12345678Z", "X1234567L", "12.345.678-Z"],
    "tr": ["10000000146"],
    "br": ["529.982.247-25", "11144477735"],
    "cn": ["11010519491231002X"],
    "in": ["9999 4105 7058"],
    "gb": ["943 476 5919"],
    "kr": ["971013-9019902"],
    "za": ["8001015009087", "7503305044089"],
    "ca": ["123-456-782", "130692544"],
    "ir": ["0499370899"],
    "th": ["3100600445635", "1-2345-45678-78-1"],
    "mx": ["BOXW310820HNERXN09"],
}
CASES = [(kind, example) for kind, examples in EXAMPLES.items() for example in examples]


@pytest.mark.parametrize(("kind", "example"), CASES)
def test_published_examples(kind: str, example: str) -> None:
    assert kind in kinds_of(example.encode() + b" ")
    assert looks_like_national_id(example.encode())


@pytest.mark.parametrize(("kind", "example"), [case for case in CASES if not case[0].startswith("us-ssn")])
def test_a_wrong_check_digit_is_noticed(kind: str, example: str) -> None:
    last = example[-1]
    for other in "0123456789" if last.isdigit() else "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
        if other != last.upper():
            assert kind not in kinds_of((example[:-1] + other).encode())


NONE = "1 12345678 ANONYMOUS PAT-0001 00000000000 11111111111 1.2.840.113619.2.1 11019999123100220X 2024-01-15"


@pytest.mark.parametrize("value", [*NONE.split(), "", "   ", "ｱｲｳｴｵ123456", "A" * 16, "1" * 24, "99991399999"])
def test_others(value: str) -> None:
    assert not looks_like_national_id(value.encode())


@pytest.mark.parametrize("value", ["000-12-3456", "666-12-3456", "900-12-3456", "123-00-6789", "123-45-0000"])
def test_social_security_numbers_that_were_never_given(value: str) -> None:
    assert not kinds_of(value.encode()) & {"us-ssn", "us-ssn-bare"}


def tallied(ids: list[bytes], name: bytes = b"", birth: bytes = b"") -> Shapes:
    shape = ShapeTally()
    for patient in ids:
        shape.add(name, birth, patient)
    return shape.shapes()


@pytest.mark.parametrize("digits", [9, 10, 11, 12, 13, 15, 18])
def test_running_numbers_are_no_national_numbers(digits: int) -> None:
    rng = random.Random(digits)
    for _ in range(200):
        start = rng.randrange(10 ** (digits - 1), 10**digits - 20)
        assert tallied([b"%d" % (start + i) for i in range(10)]).national_ids is False


@pytest.mark.parametrize("digits", [10, 11, 12, 13, 18])
def test_random_numbers_are_no_national_numbers(digits: int) -> None:
    rng = random.Random(digits)
    wrong = 0
    for _ in range(1000):
        wrong += bool(tallied([b"%d" % rng.randrange(10 ** (digits - 1), 10**digits) for _ in range(10)]).national_ids)
    assert wrong <= 5


def of_kind(kind: str, n: int) -> list[bytes]:
    """``n`` different ones, found by trying: an example with other digits."""
    rng, example = random.Random(kind), EXAMPLES[kind][0]
    digits = [i for i, c in enumerate(example) if c.isdigit()]
    found: set[bytes] = set()
    while len(found) < n:
        text = list(example)
        for i in rng.sample(digits[-6:], min(3, len(digits))):
            text[i] = rng.choice("0123456789")
        if example[-1].isalpha():
            text[-1] = rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        if kind in kinds_of("".join(text).encode()):
            found.add("".join(text).encode())
    return sorted(found)


OTHERS = [b"PAT%d" % i for i in range(20)]


@pytest.mark.parametrize("kind", [kind for kind in EXAMPLES if kind not in WEAK])
def test_strong_kinds_need_two_or_all(kind: str) -> None:
    one, two = of_kind(kind, 2)
    assert tallied([one, one]).national_ids is True
    assert tallied([one, two, *OTHERS[:4]]).national_ids is True
    assert tallied([one, two, *OTHERS[:6]]).national_ids is False
    assert tallied([one, one, *OTHERS[:1]]).national_ids is False


@pytest.mark.parametrize("kind", [kind for kind in EXAMPLES if kind in WEAK and kind != "us-ssn-bare"])
def test_weak_kinds_need_many(kind: str) -> None:
    some = of_kind(kind, 3)
    assert tallied(some[:2]).national_ids is False
    assert tallied(some).national_ids is True
    assert tallied([*some, *OTHERS[:2]]).national_ids is True
    assert tallied([*some, *OTHERS[:3]]).national_ids is False


def test_bare_social_security_numbers_come_from_several_areas() -> None:
    assert tallied([b"123456789", b"345671234", b"567221111"]).national_ids is True
    assert tallied([b"123456789", b"123456790", b"123456791"]).national_ids is False


def test_names_and_birth_dates() -> None:
    assert has_name(b"Doe^Jane ") and has_name("山田^太郎".encode("shift_jis")) and has_name(b"=\xd4=")
    assert not has_name(b"") and not has_name(b"^^^^") and not has_name(b" 0012^ ")
    assert has_birth_date(b"19600229") and not has_birth_date(b"19610229")
    assert not has_birth_date(b"") and not has_birth_date(b"19000101") and not has_birth_date(b"00000000")
    assert tallied([b"1"], b"Doe^J", b"19700101") == Shapes(names=True, birth_dates=True, national_ids=False)
    assert tallied([b"", b""]) == Shapes(names=False, birth_dates=False, national_ids=False)
    assert ShapeTally().shapes() == Shapes(names=None, birth_dates=None, national_ids=None)
