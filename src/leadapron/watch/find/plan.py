"""What a scan visits, in which order, from where on: targets × ports, under the scope, permuted.

The scope is applied twice. When the plan is made, whole ranges that it refuses are cut out, so that 0.0.0.0/0 under a
scope of one /24 is a walk over 256 addresses; and each target is judged again as it is handed out, because scopes end
while scans run. When it has ended, ``take`` raises ScopeError and the position stays: have it renewed, and resume.

Targets and ports are one list, host by host, its ports next to each other; ``permute`` walks it so that neighbours
come far apart. So neither a network nor a host is visited in a burst, and the position in the walk is all the state
there is, with the targets that were handed out and not finished: ``checkpoint`` holds both.
"""

from __future__ import annotations

import hashlib
import random
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Sequence
from itertools import accumulate

from msgspec import Struct

from leadapron.kernel.errors import ScopeError, UsageError
from leadapron.watch.find.permute import Permutation
from leadapron.watch.find.targets import TargetSet
from leadapron.watch.scope.addresses import text_of
from leadapron.watch.scope.scope import Refused, Scope


class Target(Struct, frozen=True, gc=False):
    """One connection to make. ``index``: its place in the order of the scan, 0 to size−1; ``point``: see
    ``scope.addresses``."""

    index: int
    address: str
    port: int
    point: int


class Checkpoint(Struct, frozen=True):
    """Enough to go on later with the same targets, ports and scope. ``pending``: handed out, not finished."""

    fingerprint: str
    seed: int
    position: int
    pending: tuple[int, ...] = ()


class ScanTargets:
    """Hands out targets in scan order. ``skipped`` counts (address, port) pairs by the scope's reason, ``details`` has
    an example of its words for each.

    ``seed`` picks the order (None: any). With ``resume`` the order and position come from there; raises UsageError
    where targets, ports or scope are not the ones of that checkpoint.
    """

    def __init__(
        self,
        targets: TargetSet,
        ports: Sequence[int],
        scope: Scope,
        *,
        seed: int | None = None,
        resume: Checkpoint | None = None,
    ) -> None:
        self._scope = scope
        self.skipped: Counter[str] = Counter()
        self.details: dict[str, str] = {}
        self._starts: list[int] = []
        self._ports: list[tuple[int, ...]] = []
        sizes: list[int] = []
        self.addresses = 0
        digest = hashlib.sha256()
        lists: dict[tuple[tuple[int, ...], bool], tuple[tuple[int, ...], str]] = {}
        for row in targets.rows:
            known = lists.get(key := (row.ports, row.scan_ports))
            if known is None:
                asked = tuple(dict.fromkeys((*(ports if row.scan_ports else ()), *row.ports)))
                known = lists[key] = asked, repr(asked)
            asked, written = known
            for start, end, verdict in scope.between(row.start, row.end):
                count = (end - start + 1) * len(asked)
                if isinstance(verdict, Refused):
                    self._skip(verdict, count)
                elif count:
                    self._starts.append(start)
                    self._ports.append(asked)
                    sizes.append(count)
                    self.addresses += end - start + 1
                    digest.update(f"{start} {end} {written}\n".encode())
        self._before = list(accumulate(sizes, initial=0))
        self.fingerprint = digest.hexdigest()
        if resume is not None and resume.fingerprint != self.fingerprint:
            raise UsageError(
                "targets, ports or scope are not the same as when the scan was stopped; "
                "give the same ones to go on, or start anew without --resume"
            )
        if resume is not None:
            seed = resume.seed
        elif seed is None:
            seed = random.SystemRandom().getrandbits(63)
        self._order = Permutation(self._before[-1], seed)
        self.position = resume.position if resume is not None else 0
        self._shard, self._shards = 0, 1
        self._again = deque(resume.pending if resume is not None else ())
        self._pending: set[int] = set(self._again)

    def __len__(self) -> int:
        """(address, port) pairs in all, those already done included."""
        return self._order.n

    @property
    def left(self) -> int:
        """Pairs that ``take`` has not gone past."""
        return len(self._again) + self._order.n - self.position

    def keep_shard(self, number: int, of: int) -> None:
        """Hand out only every ``of``-th host from now on, the ``number``-th of them: several processes that share a
        plan, each with a number of its own, visit each host once. Positions stay those of the whole plan."""
        if not 0 <= number < of:
            raise ValueError(f"shard {number} of {of}")
        self._shard, self._shards = number, of

    def take(self, count: int) -> list[Target]:
        """The next ``count`` targets; fewer or none only at the end. Raises ScopeError once the scope has ended."""
        taken: list[Target] = []
        while self._again and len(taken) < count:
            index = self._again[0]
            if not self._hand_out(index, self._order[index], taken):
                return taken
            self._again.popleft()
        if self._again or self.position >= self._order.n:
            return taken
        n, stride, item = self._order.n, self._order.stride, self._order[self.position]
        while len(taken) < count and self.position < n:
            if not self._hand_out(self.position, item, taken):
                break
            self.position += 1
            item += stride
            if item >= n:
                item -= n
        return taken

    def finished(self, target: Target) -> None:
        """The target has been measured: a resumed scan does not visit it again."""
        self._pending.discard(target.index)

    def checkpoint(self) -> Checkpoint:
        """Where the scan is now; msgspec turns it to JSON and back."""
        return Checkpoint(self.fingerprint, self._order.seed, self.position, tuple(sorted(self._pending)))

    def _hand_out(self, index: int, item: int, taken: list[Target]) -> bool:
        """Append the target unless the scope refuses it. False if the scope has ended and ``taken`` goes first."""
        row = bisect_right(self._before, item) - 1
        ports = self._ports[row]
        host, port = divmod(item - self._before[row], len(ports))
        point = self._starts[row] + host
        if self._shards > 1 and point % self._shards != self._shard:
            self._pending.discard(index)
            return True
        verdict = self._scope.allows_point(point)
        if type(verdict) is Refused:
            if verdict.reason == "expired":
                if taken:
                    return False
                raise ScopeError(f"{verdict.detail}, then go on with --resume")
            self._skip(verdict, 1)
            self._pending.discard(index)
            return True
        self._pending.add(index)
        taken.append(Target(index, text_of(point), ports[port], point))
        return True

    def _skip(self, verdict: Refused, count: int) -> None:
        if count:
            self.skipped[verdict.reason] += count
            self.details.setdefault(verdict.reason, verdict.detail)
