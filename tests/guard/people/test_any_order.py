"""Whatever is done in whatever order: what was taken away opens nothing, and nothing opens more than it may.

A model keeps by hand which sessions and tokens must hold and what they may; after each step the house must agree.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from guard.people.somebody import HERE, PASSWORD, House
from leadapron.guard.identity.people import LoggedIn, RecoveryCode
from leadapron.guard.identity.people.sessions import MOST_SESSIONS
from leadapron.kernel.errors import UsageError

PERMISSIONS = ("web:query", "web:retrieve", "web:view", "admin:audit")
some = st.sets(st.sampled_from(PERMISSIONS)).map(frozenset)
IDLE_S, ABSOLUTE_S = 900, 36_000


@dataclass
class Session:
    begun: float
    seen: float


@dataclass
class Token:
    may: frozenset[str]
    ends: float


class AnyOrder(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.TemporaryDirectory()
        self.house = House(Path(self.home.name) / "guard", idle_s=IDLE_S, absolute_s=ABSOLUTE_S)
        self.manage = self.house.people.manage
        self.may: frozenset[str] = frozenset({"web:query", "web:retrieve"})
        self.disabled, self.factor = False, True
        self.time = 0.0
        self.codes = list(self.house.recovery)
        self.sessions: dict[str, Session] = {}
        self.tokens: dict[str, Token] = {}
        self.dead: set[str] = set()
        self.count = 0

    def teardown(self) -> None:
        self.house.close()
        self.home.cleanup()

    def end_all(self) -> None:
        self.dead |= set(self.sessions)
        self.sessions.clear()

    # ---- what can be done --------------------------------------------------------------------------------------------

    @rule(right=st.booleans(), source=st.sampled_from([HERE, "203.0.113.4", "2001:db8::1"]))
    def log_in(self, right: bool, source: str) -> None:
        self.wait(60)
        done = asyncio.run(self.house.enter(source, password=PASSWORD if right else "wrong wrong wrong"))
        if isinstance(done, LoggedIn):
            assert right and not self.disabled and self.factor
            self.sessions[done.session_token] = Session(self.time, self.time)
            for old in list(self.sessions)[:-MOST_SESSIONS]:
                del self.sessions[old]
        else:
            assert not right or self.disabled or not self.factor or done.retry_after_s is not None

    @precondition(lambda self: self.codes)
    @rule(data=st.data())
    def use_a_recovery_code(self, data: st.DataObject) -> None:
        code = data.draw(st.sampled_from(self.codes))
        done = asyncio.run(self.house.people.login(self.house.name, PASSWORD, RecoveryCode(code), "198.51.100.2"))
        if isinstance(done, LoggedIn):
            assert not self.disabled
            self.codes.remove(code)
            self.dead.add(code)
            self.sessions[done.session_token] = Session(self.time, self.time)
            for old in list(self.sessions)[:-MOST_SESSIONS]:
                del self.sessions[old]

    @rule(may=some, days=st.integers(1, 3))
    def make_a_token(self, may: frozenset[str], days: int) -> None:
        with contextlib.suppress(UsageError):
            secret = self.manage.make_token(self.house.name, may, days, "test")
            assert may and may <= self.may
            self.tokens[secret] = Token(may, self.time + days * 86_400)

    @rule(may=some)
    def change_permissions(self, may: frozenset[str]) -> None:
        self.manage.set_permissions(self.house.name, may, "test")
        self.may = may

    @rule(disabled=st.booleans())
    def disable_or_enable(self, disabled: bool) -> None:
        self.manage.set_disabled(self.house.name, disabled, "test")
        self.disabled = disabled
        self.end_all()

    @rule()
    def set_the_password(self) -> None:
        self.manage.set_password(self.house.name, PASSWORD, "test")
        self.end_all()

    @rule()
    def forget_factors(self) -> None:
        self.manage.forget_factors(self.house.name, "test")
        self.factor = False
        self.codes.clear()
        self.end_all()

    @rule()
    def set_a_factor(self) -> None:
        self.wait(60)
        self.house.secret, _ = self.manage.new_totp(self.house.name)
        codes = self.manage.confirm_totp(self.house.name, self.house.secret, self.house.digits(), "test")
        assert codes is not None
        self.codes, self.factor = list(codes), True
        self.end_all()

    @precondition(lambda self: self.sessions)
    @rule(data=st.data())
    def log_out(self, data: st.DataObject) -> None:
        token = data.draw(st.sampled_from(sorted(self.sessions)))
        asyncio.run(self.house.people.logout(token))
        del self.sessions[token]
        self.dead.add(token)

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def revoke_a_token(self, data: st.DataObject) -> None:
        row = data.draw(st.sampled_from(self.manage.tokens()))
        if self.manage.revoke_token(row.id, "test"):
            secret = list(self.tokens)[row.id - 1] if row.id <= len(self.tokens) else ""
            self.tokens[secret].ends = -1

    @rule(seconds=st.sampled_from([1.0, 60.0, 600.0, 899.0, 900.0, 30_000.0, 90_000.0]))
    def wait(self, seconds: float) -> None:
        self.house.clock.forward(seconds)
        self.time += seconds

    @rule()
    def sweep(self) -> None:
        self.house.people.sweep()

    # ---- what must hold ----------------------------------------------------------------------------------------------

    @invariant()
    def sessions_open_what_they_may_and_end_when_they_must(self) -> None:
        for token, session in list(self.sessions.items()):
            person = self.house.people.session(token)
            idle, age = self.time - session.seen, self.time - session.begun
            if idle >= IDLE_S or age >= ABSOLUTE_S:
                assert person is None
            elif idle < IDLE_S - IDLE_S // 15:  # noted at most once in a fifteenth of the time
                assert person is not None
            if person is None:
                del self.sessions[token]
                self.dead.add(token)
            else:
                assert person.permissions == self.may and not self.disabled
                session.seen = self.time

    @invariant()
    def tokens_open_what_they_and_their_owner_may(self) -> None:
        for secret, token in self.tokens.items():
            found = self.house.people.token(secret)
            assert (found is not None) == (self.time < token.ends and not self.disabled)
            assert found is None or found.permissions == token.may & self.may

    @invariant()
    def what_is_over_stays_over(self) -> None:
        for token in self.dead:
            assert self.house.people.session(token) is None


AnyOrder.TestCase.settings = settings(max_examples=25, stateful_step_count=30)
TestAnyOrder = AnyOrder.TestCase
