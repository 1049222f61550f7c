"""What the watch may touch (invariant 3): loopback is free, anything else needs somebody's word.

Who decides about an address, from the strongest down:

1. an exclude entry: refused;
2. loopback: allowed, with or without a scope file;
3. a special-purpose block (private, link-local, multicast, documentation, …): refused unless an include entry lies
   entirely inside that very block. 0.0.0.0/0 does not name 10.0.0.0/8, 10.1.0.0/16 does;
4. an include entry: allowed while the scope is valid;
5. nothing: refused.

An answer is ``Allowed`` or ``Refused`` with its reason, never a bool: nobody can mistake one for the other, and the
reason reaches the person who asks. An IPv6 address that carries an IPv4 address (NAT64, 6to4, …) is refused where
that one is excluded or special, because that is where the packet ends.

Names in a scope hold once they are resolved (``Scope.resolved``). An include name that is not resolved includes
nothing; while an exclude name is not resolved nobody knows what it keeps out, so everything but loopback is refused.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from leadapron.kernel.clock import Clock, SystemClock, iso
from leadapron.kernel.errors import ScopeError
from leadapron.watch.scope.addresses import (
    END,
    LOOPBACK_V6,
    V6,
    Address,
    Block,
    parse_name,
    point_of,
    shown,
    text_of,
    try_point,
)
from leadapron.watch.scope.file import Entry, Rates, ScopeFile, parse_scope
from leadapron.watch.scope.ranges import RangeSet
from leadapron.watch.scope.special import carried, innermost, special_blocks
from leadapron.watch.scope.table import Layer, Table

Reason = Literal["no-scope", "not-included", "excluded", "special", "expired", "unresolved", "not-an-address"]


class Allowed(Struct, frozen=True, tag="allowed"):
    """The address may be touched. ``entry``: the include entry that says so, None for loopback."""

    entry: Entry | None = None

    def __str__(self) -> str:
        return "loopback is free" if self.entry is None else f"allowed by {self.entry}"


class Refused(Struct, frozen=True, tag="refused"):
    """The address may not be touched. ``detail`` says why in words; ``entry``: the exclude entry that decided."""

    reason: Reason
    detail: str
    entry: Entry | None = None

    def __str__(self) -> str:
        return f"refused: {self.detail}"


Verdict = Allowed | Refused

_LOOPBACK = Allowed()
_NO_SCOPE = Refused(
    "no-scope",
    "without a scope file only loopback may be touched; write one with: leadapron scope new FILE, then scan with "
    "--scope FILE",
)
_NOT_INCLUDED = Refused("not-included", "no include entry of the scope covers it")
_NOT_AN_ADDRESS = Refused("not-an-address", "it is no IP address in its usual spelling")

_EXCLUDED_RANK = 1 << 20  # above every special-purpose block, however deep


class Scope:
    """Answers for one scope file, or for none (``loopback_only``). Immutable but for the clock."""

    def __init__(self, file: ScopeFile | None, clock: Clock | None = None) -> None:
        self.file = file
        self._clock: Clock = SystemClock() if clock is None else clock
        self._table = _build(file)
        self._starts, self._verdicts = self._table.starts, self._table.verdicts
        if file is not None:
            self._until: datetime | None = file.valid_until
            self._expired = Refused("expired", f"the scope ended at {iso(file.valid_until)}; have it renewed")
        else:
            self._until = None

    @classmethod
    def load(cls, path: str | Path, clock: Clock | None = None) -> Scope:
        """Read a scope file. Raises ScopeError for one that is missing, unreadable or wrong; not for an expired one,
        which refuses everything but loopback."""
        try:
            text = Path(path).read_text("utf-8-sig")
        except OSError as error:
            raise ScopeError(f"{path}: cannot read the scope file: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ScopeError(f"{path}: not UTF-8 text") from None
        return cls(parse_scope(text, str(path)), clock)

    @classmethod
    def loopback_only(cls) -> Scope:
        """What holds without a scope file."""
        return cls(None)

    @property
    def rates(self) -> Rates:
        """Upper bounds that the scope sets on the pace."""
        return self.file.rates if self.file is not None else Rates()

    @property
    def expired(self) -> bool:
        return self._until is not None and self._clock.now() >= self._until

    @property
    def names(self) -> tuple[str, ...]:
        """The host names of include and exclude entries: ``resolved`` wants their addresses."""
        if self.file is None:
            return ()
        return tuple(dict.fromkeys(e.text for e in (*self.file.include, *self.file.exclude) if e.is_name))

    def resolved(self, addresses: Mapping[str, Iterable[Address]]) -> Scope:
        """This scope with its names bound to addresses. Raises ScopeError where an exclude name got none."""
        if self.file is None:
            return self
        bound = {name: tuple(Block(p, p) for p in map(point_of, found)) for name, found in addresses.items()}
        file = msgspec.structs.replace(
            self.file,
            include=tuple(_bind(entry, bound) for entry in self.file.include),
            exclude=tuple(_bind(entry, bound) for entry in self.file.exclude),
        )
        for entry in file.exclude:
            if not entry.blocks:
                raise ScopeError(f"{entry} has no address, so nobody knows what it keeps out; exclude its address")
        return Scope(file, self._clock)

    def allows(self, address: Address) -> Verdict:
        """The verdict on an address. Text that is no address is refused."""
        point = try_point(address) if isinstance(address, str) else point_of(address)
        return _NOT_AN_ADDRESS if point is None else self.allows_point(point)

    def allows_point(self, point: int) -> Verdict:
        """The verdict on a point (see ``addresses``). Well under a microsecond for IPv4: asked for each target."""
        verdict = self._verdicts[bisect_right(self._starts, point) - 1]
        if type(verdict) is Refused or verdict is _LOOPBACK:
            return verdict
        if point >= V6 and (refusal := self._carries_refused(point)) is not None:
            return refusal
        if self._until is not None and self._clock.now() >= self._until:
            return self._expired
        return verdict

    def between(self, start: int, end: int) -> Iterator[tuple[int, int, Verdict]]:
        """Points ``start`` to ``end`` (included) cut where the verdict changes. IPv4 addresses carried in IPv6 ones
        are not looked at here, so ``allows`` may still refuse single addresses of an allowed NAT64 or 6to4 block."""
        expired = self.expired
        for first, last, verdict in self._table.between(start, end):
            lapsed = expired and type(verdict) is Allowed and verdict is not _LOOPBACK
            yield first, last, self._expired if lapsed else verdict

    def ranges(self) -> RangeSet:
        """Everything that may be touched now, loopback included; see ``between`` for what it leaves open."""
        return RangeSet((first, last) for first, last, v in self.between(0, END - 1) if type(v) is Allowed)

    def _carries_refused(self, point: int) -> Refused | None:
        for inner in carried(point):
            verdict = self._table.at(inner)
            if verdict is _LOOPBACK:
                return Refused("special", f"it carries the loopback address {text_of(inner)}")
            if isinstance(verdict, Refused) and verdict.reason in ("excluded", "special"):
                return Refused(verdict.reason, f"it carries {text_of(inner)}: {verdict.detail}", verdict.entry)
        return None


class ScopeGuard:
    """Stands at the moment of connecting: whatever went wrong before, no packet passes it out of scope."""

    def __init__(self, scope: Scope) -> None:
        self._allows = scope.allows

    def check(self, address: Address) -> None:
        """Raises ScopeError unless the address may be touched now."""
        verdict = self._allows(address)
        if type(verdict) is not Allowed:
            raise ScopeError(f"{shown(str(address))} is out of scope: {getattr(verdict, 'detail', 'no verdict')}")


def _bind(entry: Entry, bound: Mapping[str, tuple[Block, ...]]) -> Entry:
    if not entry.is_name:
        return entry
    name = parse_name(entry.text) or entry.text
    return msgspec.structs.replace(entry, blocks=bound.get(name, ()) or None)


def _build(file: ScopeFile | None) -> Table[Verdict]:
    loopback = [Layer[Verdict](127 << 24, (128 << 24) - 1, _EXCLUDED_RANK - 1, _LOOPBACK)]
    loopback.append(Layer(LOOPBACK_V6, LOOPBACK_V6, _EXCLUDED_RANK - 1, _LOOPBACK))
    if file is None:
        return Table(_NO_SCOPE, loopback)
    layers = loopback
    for special in special_blocks():
        refusal = Refused(
            "special",
            f"{special.text} is special-purpose ({special.name}, {special.source}), and no include entry names it",
        )
        layers.append(Layer(*special.block, _rank(special.depth), refusal))
    for entry in file.include:
        for block in entry.blocks or ():
            # a name can point anywhere: only an address that a person wrote down names a special-purpose block
            special_around = None if entry.is_name else innermost(block)
            rank = 0 if special_around is None else _rank(special_around.depth) + 1
            layers.append(Layer(*block, rank, Allowed(entry)))
    for entry in file.exclude:
        if entry.blocks is None:
            blind = Refused("unresolved", f"{entry} is not resolved, so nobody knows what it keeps out", entry)
            return Table(blind, loopback[:2])
        for block in entry.blocks:
            layers.append(Layer(*block, _EXCLUDED_RANK, Refused("excluded", f"{entry} keeps it out", entry)))
    return Table(_NOT_INCLUDED, layers)


def _rank(depth: int) -> int:
    return 2 * depth + 2
