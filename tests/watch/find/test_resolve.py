from __future__ import annotations

import socket
import threading

import pytest

from leadapron.kernel.errors import ScopeError
from leadapron.watch.find import Resolved, Unresolved, bind_names, resolve
from leadapron.watch.find.resolve import MAX_ADDRESSES
from leadapron.watch.scope import Allowed, Scope, parse_scope


async def test_the_resolver_of_this_machine() -> None:
    answer = (await resolve(["localhost"]))["localhost"]
    assert isinstance(answer, Resolved) and set(answer.addresses) & {"127.0.0.1", "::1"}


async def test_every_address_once_in_order_and_bounded() -> None:
    table = {"two": ["127.0.0.2", "::1", "127.0.0.2"], "many": [f"127.0.0.{n}" for n in range(200)], "none": []}
    answers = await resolve(["two", "many", "two", "none"], look_up=table.__getitem__)
    assert answers["two"] == Resolved(("127.0.0.2", "::1"))
    assert answers["many"] == Resolved(tuple(table["many"][:MAX_ADDRESSES]))
    assert answers["none"] == Unresolved("the name has no usable address")
    assert list(answers) == ["two", "many", "none"]


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), "the name does not exist"),
        (socket.gaierror(socket.EAI_AGAIN, "x"), "the resolver has no answer just now"),
        (socket.gaierror(socket.EAI_FAIL, "x"), "the look-up failed"),
        (UnicodeError("x"), "the look-up failed"),
    ],
)
async def test_a_failure_is_a_value(failure: Exception, reason: str) -> None:
    def fail(name: str) -> list[str]:
        raise failure

    assert await resolve(["a"], look_up=fail) == {"a": Unresolved(reason)}


async def test_a_resolver_that_hangs_costs_its_time_and_no_more() -> None:
    let_go = threading.Event()

    def hang(name: str) -> list[str]:
        let_go.wait(60)
        return ["127.0.0.1"]

    try:
        answers = await resolve([f"n{n}" for n in range(100)], at_once=3, timeout=0.02, look_up=hang)
    finally:
        let_go.set()
    reasons = [answer.reason for answer in answers.values() if isinstance(answer, Unresolved)]
    assert len(reasons) == 100
    assert reasons.count("the resolver does not answer") >= 100 - 9, "given up on after a few"


async def test_look_ups_are_bounded() -> None:
    lock, now, most = threading.Lock(), 0, 0
    four = threading.Barrier(4)

    def count(name: str) -> list[str]:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        four.wait(30)  # all four must be there at the same time
        with lock:
            now -= 1
        return ["127.0.0.1"]

    await resolve([f"n{n}" for n in range(20)], at_once=4, timeout=30, look_up=count)
    assert most == 4


SCOPE = """authorised_by = "a"
contact = "b"
valid_until = 2899-01-01
include = ["pacs.example.org", "gone.example.org", "8.8.8.0/24"]
exclude = ["ct.example.org"]
"""


async def test_names_of_a_scope() -> None:
    table = {"pacs.example.org": ["9.9.9.9"], "ct.example.org": ["8.8.8.8"], "gone.example.org": []}
    scope, failed = await bind_names(Scope(parse_scope(SCOPE)), look_up=table.__getitem__)
    assert failed == {"gone.example.org": "the name has no usable address"}
    assert [isinstance(scope.allows(a), Allowed) for a in ("9.9.9.9", "8.8.8.8", "8.8.8.9")] == [True, False, True]
    with pytest.raises(ScopeError, match=r"ct\.example\.org"):
        await bind_names(Scope(parse_scope(SCOPE)), look_up={**table, "ct.example.org": []}.__getitem__)
    plain = Scope.loopback_only()
    assert await bind_names(plain) == (plain, {})
