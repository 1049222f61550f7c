"""Whatever happened before, in whatever order: only who should be is identified, and nobody else is given anything.

A machine of states invites, redeems (rightly and wrongly), issues, renews, revokes and lets time pass, and keeps a
plain account of its own. After each step the registry must agree with it for every certificate that ever was,
under its own AE title and under others, in this process's view and in that of one that was open all along.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from guard.identity.making import Guarded, der, guarded
from leadapron.guard.identity.authority import Authority
from leadapron.guard.identity.codes import Code
from leadapron.guard.identity.csr import BadRequest, new_key, request
from leadapron.guard.identity.issuing import MAX_LIVE, Issued, invite, issue, redeem, renew
from leadapron.guard.identity.registry import PeerIdentity, Refused, Registry
from leadapron.guard.identity.rows import GRACE
from leadapron.kernel.errors import UsageError

NAMES = ("CT1", "MR1", "US1")
TITLES = ("CT1", "MR1", "SHARED 1")
KEYS = [new_key() for _ in range(4)]
names, titles, keys = st.sampled_from(NAMES), st.sampled_from(TITLES), st.sampled_from(KEYS)
days = st.sampled_from([1, 30, 365])


@dataclass
class Given:
    """A certificate as our account has it."""

    certificate: bytes
    name: str
    ae: str
    ends: datetime
    revoked: bool = False


@dataclass
class Promised:
    """A code as our account has it. ``spent``: the key it went to, and what it gave."""

    code: Code
    name: str
    ae: str
    days: int
    ends: datetime
    withdrawn: bool = False
    spent: tuple[object, Given] | None = None


class Strangers(RuleBasedStateMachine):
    codes = Bundle("codes")
    certificates = Bundle("certificates")

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.guard: Guarded = guarded(self.root / "guard")
        self.other = Registry(self.guard.home, self.guard.clock)
        self.foreign = Authority.create(self.root / "foreign", "Practice of the tests", clock=self.guard.clock)
        self.given: list[Given] = []
        self.promised: list[Promised] = []

    def teardown(self) -> None:
        self.guard.registry.close()
        self.other.close()
        shutil.rmtree(self.root)

    # ---- our account ------------------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        return self.guard.clock.now()

    def holds(self, given: Given) -> bool:
        return not given.revoked and self.now < given.ends

    def open(self, promised: Promised) -> bool:
        return not promised.withdrawn and promised.spent is None and self.now < promised.ends

    def bound(self, name: str, ae: str) -> bool:
        """Whether name and title may go together."""
        held = [(one.name, one.ae) for one in self.given if self.holds(one)]
        held += [(one.name, one.ae) for one in self.promised if self.open(one)]
        return all((n == name) == (a == ae) for n, a in held if n == name or a == ae)

    def take(self, done: Issued, name: str, ae: str, length: int) -> Given:
        for one in self.given:
            if one.name == name:
                one.ends = min(one.ends, self.now + GRACE)
        given = Given(der(done.chain), name, ae, self.now + timedelta(days=length))
        self.given.append(given)
        return given

    # ---- what is done -----------------------------------------------------------------------------------------------

    @rule(target=codes, name=names, ae=titles, hours=st.sampled_from([1, 48]), length=days)
    def invites(self, name: str, ae: str, hours: int, length: int) -> object:
        guard, life = self.guard, timedelta(hours=hours)
        try:
            code = invite(
                guard.registry,
                guard.authority,
                name=name,
                ae=ae,
                host="guard.example",
                port=2780,
                life=life,
                days=length,
            )
        except UsageError:
            assert not self.bound(name, ae)
            return multiple()
        assert self.bound(name, ae)
        for one in self.promised:
            if one.name == name and one.spent is None:
                one.withdrawn = True
        promised = Promised(code, name, ae, length, self.now + life)
        self.promised.append(promised)
        return promised

    @rule(target=certificates, promised=codes, key=keys, wanted=names)
    def redeems(self, promised: Promised, key: object, wanted: str) -> object:
        """With a request that asks for anybody's name."""
        guard = self.guard
        done = redeem(guard.registry, guard.authority, promised.code.secret, request(key, wanted), "127.0.0.9")  # type: ignore[arg-type]
        if self.open(promised):
            assert isinstance(done, Issued)
            given = self.take(done, promised.name, promised.ae, promised.days)
            promised.spent = (key, given)
            return given
        mine = promised.spent is not None and promised.spent[0] is key
        if mine and promised.spent is not None and self.now < promised.ends and self.holds(promised.spent[1]):
            assert isinstance(done, Issued) and der(done.chain) == promised.spent[1].certificate  # nothing new
            return multiple()
        assert isinstance(done, Refused)
        return multiple()

    @rule(promised=codes, bit=st.integers(0, 127), key=keys)
    def redeems_what_was_tampered_with(self, promised: Promised, bit: int, key: object) -> None:
        secret = bytearray(promised.code.secret)
        secret[bit // 8] ^= 1 << bit % 8
        guard = self.guard
        done = redeem(guard.registry, guard.authority, bytes(secret), request(key), "127.0.0.9")  # type: ignore[arg-type]
        assert done == Refused("no such code")

    @rule(promised=codes, octets=st.binary(max_size=20))
    def redeems_with_no_request(self, promised: Promised, octets: bytes) -> None:
        with pytest.raises(BadRequest):
            redeem(self.guard.registry, self.guard.authority, promised.code.secret, octets, "127.0.0.9")

    @rule(target=certificates, name=names, ae=titles, key=keys, length=days)
    def issues(self, name: str, ae: str, key: object, length: int) -> object:
        guard = self.guard
        try:
            done = issue(guard.registry, guard.authority, request(key), name=name, ae=ae, days=length)  # type: ignore[arg-type]
        except UsageError:
            assert not self.bound(name, ae)
            return multiple()
        assert self.bound(name, ae)
        return self.take(done, name, ae, length)

    @rule(target=certificates, given=certificates, key=keys)
    def renews(self, given: Given, key: object) -> object:
        found = self.other.recognise(given.certificate)
        if isinstance(found, Refused):
            assert not self.holds(given)
            return multiple()
        done = renew(self.guard.registry, self.guard.authority, found, request(key))  # type: ignore[arg-type]
        if sum(one.name == given.name and self.holds(one) for one in self.given) >= MAX_LIVE:
            assert done == Refused("too many renewals")
            return multiple()
        assert isinstance(done, Issued)
        return self.take(done, given.name, given.ae, 365)

    @rule(name=names)
    def revokes_a_peer(self, name: str) -> None:
        ended = self.guard.registry.revoke(name)
        assert len(ended.certificates) == sum(one.name == name and self.holds(one) for one in self.given)
        for given in self.given:
            given.revoked |= given.name == name
        for promised in self.promised:
            promised.withdrawn |= promised.name == name and promised.spent is None

    @rule(given=certificates)
    def revokes_one(self, given: Given) -> None:
        found = self.guard.registry.recognise(given.certificate)
        if isinstance(found, PeerIdentity):
            assert len(self.other.revoke(found.serial[:12]).certificates) == 1
            given.revoked = True

    @rule(hours=st.sampled_from([1, 24, 24 * 7, 24 * 40]))
    def time_passes(self, hours: int) -> None:
        self.guard.clock.move(hours=hours)

    # ---- what must hold ---------------------------------------------------------------------------------------------

    @invariant()
    def who_is_identified_is_who_should_be(self) -> None:
        for registry in (self.guard.registry, self.other):
            for given in self.given:
                for title in TITLES:
                    found = registry.identify(given.certificate, title)
                    if self.holds(given) and title == given.ae:
                        assert isinstance(found, PeerIdentity)
                        assert (found.name, found.ae, found.not_after) == (given.name, given.ae, given.ends)
                        assert registry.valid(found)
                    else:
                        assert isinstance(found, Refused)
                serial = registry.recognise(given.certificate)
                assert isinstance(serial, PeerIdentity) is self.holds(given)

    @invariant()
    def there_are_no_more_certificates_than_were_given(self) -> None:
        assert len(self.guard.registry.certificates()) == len(self.given)

    @invariant()
    def one_title_is_one_peers(self) -> None:
        held = {(one.name, one.ae) for one in self.given if self.holds(one)}
        assert len({name for name, _ in held}) == len({ae for _, ae in held}) == len(held)

    @invariant()
    def strangers_are_nobody(self) -> None:
        for title in TITLES:
            chain = self.foreign.sign_peer(_REQUEST, name=title.split()[0], ae=title)
            assert isinstance(self.other.identify(der(chain), title), Refused)
            assert isinstance(self.other.identify(None, title), Refused)
            assert isinstance(self.other.identify(der((self.guard.home / "server.pem").read_bytes()), title), Refused)


_REQUEST = request(KEYS[0])

TestStrangers = Strangers.TestCase
TestStrangers.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)
