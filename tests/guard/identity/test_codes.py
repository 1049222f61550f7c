"""The code that is typed: what it says, and that no slip of the finger goes unnoticed."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from leadapron.guard.identity.codes import Code, new_code, parse, render, secret_hash, where
from leadapron.kernel.errors import UsageError
from leadapron.kernel.hostport import HostPort

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
hosts = st.sampled_from(["guard.example", "192.0.2.7", "2001:db8::7", "localhost", "a-b.c_d.example"])
codes = st.builds(
    Code, hosts, st.integers(1, 65535), st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16)
)


@given(codes)
def test_what_is_written_is_read(code: Code) -> None:
    assert parse(render(code)) == code


@given(codes, st.data())
def test_as_people_type_it(code: Code, data: st.DataObject) -> None:
    place, _, rest = render(code).rpartition("/")
    look_alikes = {"1": "1iIlL", "0": "0oO"}
    typed = "".join(data.draw(st.sampled_from(look_alikes.get(c, c + c.lower()))) for c in rest if c != "-")
    pieces = [typed[at : at + 7] for at in range(0, len(typed), 7)]
    assert parse(f"  {place.upper()}/ {' '.join(pieces)}\n") == code


@given(codes, st.integers(0, 55), st.sampled_from(ALPHABET))
def test_one_wrong_character_is_noticed(code: Code, at: int, wrong: str) -> None:
    place, _, rest = render(code).rpartition("/")
    typed = rest.replace("-", "")
    assume(typed[at] != wrong)
    with pytest.raises(UsageError, match="mistyped"):
        parse(f"{place}/{typed[:at]}{wrong}{typed[at + 1 :]}")


@given(codes, st.integers(0, 54))
def test_two_that_changed_places_are_noticed(code: Code, at: int) -> None:
    place, _, rest = render(code).rpartition("/")
    typed = rest.replace("-", "")
    assume(typed[at] != typed[at + 1])
    with pytest.raises(UsageError, match="mistyped"):
        parse(f"{place}/{typed[:at]}{typed[at + 1]}{typed[at]}{typed[at + 2 :]}")


def test_another_host_or_port_is_noticed() -> None:
    text = render(Code("guard.example", 2780, bytes(16), bytes(16)))
    for other in ("guard.exampel:2780", "guard.example:2781"):
        with pytest.raises(UsageError, match="mistyped"):
            parse(text.replace("guard.example:2780", other))


@given(st.text(max_size=120))
def test_what_is_no_code_is_told_without_repeating_it(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert len(text) < 12 or text not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ABCD", "begins with host and port"),
        ("guard.example:2780/ABCD", "has 4 characters"),
        ("guard.example:2780/" + "U" * 56, "characters after the slash that no code has"),
        ("guard.example/" + "A" * 56, "should be HOST:PORT"),
    ],
)
def test_what_is_wrong_is_said(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse(text)


@pytest.mark.parametrize(
    "text", ["", "x", "x:", ":1", "x:0", "x:65536", "x:1a", "::1:80", "a b:1", "x:-1", "x:٣", "[::1]", "x\n:1"]
)
def test_places_that_are_none(text: str) -> None:
    with pytest.raises(UsageError):
        where(text)


@given(hosts, st.integers(1, 65535))
def test_places_that_are_some(host: str, port: int) -> None:
    assert where(str(HostPort(host, port))) == (host, port)


def test_secrets_are_random_and_hidden() -> None:
    made = [new_code("guard.example", 2780, "ab" * 32) for _ in range(100)]
    assert len({code.secret for code in made}) == 100 and all(len(code.secret) * 8 >= 128 for code in made)
    code = made[0]
    assert code.secret.hex() not in repr(code) and repr(code.secret) not in repr(code)
    assert secret_hash(code.secret) != secret_hash(made[1].secret) and len(render(code)) < 100


def test_it_knows_its_authority() -> None:
    import hashlib

    code = new_code("guard.example", 2780, hashlib.sha256(b"certificate").hexdigest())
    assert code.is_of(b"certificate") and not code.is_of(b"certificatf")
