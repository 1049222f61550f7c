"""Whether an exposure that went away is one that appeared elsewhere in the same scan.

Recognised by the machine, never by its patients. The same TLS certificate is sure, as long as nobody else shows it: a
product that comes with one certificate for everybody, or one that stands on several servers, tells nothing. Without one
it is a guess, marked as one: the same product, version, implementation UID and behaviour towards AE titles, an exact
count of at least a hundred studies, and as many studies and images as before or a few more. Where two could be meant,
nothing is said. Several doors of one archive move together, each to the same port where there is one.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from typing import Final

from msgspec import Struct

from leadapron.watch.track.exposures.model import Marks

TELLING: Final = 100  # studies
GROWTH: Final = 1.1
MORE: Final = 20  # studies, beside the growth
MOST_IMAGES: Final = 100  # of one of them


class Trace(Struct, frozen=True):
    """What is compared. ``archive``: the same for all doors to one archive."""

    key: int
    address: str
    port: int
    archive: Hashable
    certificate: str | None
    product: str | None
    version: str | None
    marks: Marks


class Move(Struct, frozen=True):
    """``old`` and ``new`` are keys of traces."""

    old: int
    new: int
    sure: bool


def moves(gone: Iterable[Trace], new: Iterable[Trace], elsewhere: Collection[str] = ()) -> list[Move]:
    """The moves from what is gone to what is new; each is in one at most. ``elsewhere``: certificates that other
    exposures show too."""
    gone, new = list(gone), list(new)

    def certificate(trace: Trace) -> Hashable:
        return None if trace.certificate in elsewhere else trace.certificate

    found = [Move(a.key, b.key, True) for a, b in _pairs(gone, new, certificate, lambda t: t.address)]
    told = {move.old for move in found}, {move.new for move in found}
    gone, new = [t for t in gone if t.key not in told[0]], [t for t in new if t.key not in told[1]]
    guessed = _pairs(gone, new, _manner, lambda t: t.archive, _may_have_grown, _STUDIES)
    return found + [Move(a.key, b.key, False) for a, b in guessed]


def _manner(trace: Trace) -> Hashable:
    marks = trace.marks
    if marks.implementation_uid is None or _studies(trace) < TELLING:
        return None
    return trace.product, trace.version, marks.implementation_uid, marks.any_calling_ae, marks.any_called_ae


def _studies(trace: Trace) -> int:
    size = trace.marks.size
    return size.least if size is not None and size.least == size.most else 0


def _may_have_grown(old: Trace, new: Trace) -> bool:
    before, after = _studies(old), _studies(new)
    if not before <= after <= before * GROWTH + MORE:
        return False
    old_images, images = _images(old), _images(new)
    if old_images is None or images is None:
        return old_images is images  # who lets images be counted does so elsewhere too
    return old_images <= images <= old_images * GROWTH + MORE * MOST_IMAGES


def _images(trace: Trace) -> int | None:
    size = trace.marks.size
    return None if size is None else size.images


class _Order(Struct, frozen=True):
    """How traces are put in a row so that those that may fit one stand together: by ``size``, from ``size`` on for an
    old one up to ``most`` of it, for a new one down to ``least``."""

    size: Callable[[Trace], float]
    most: Callable[[float], float]
    least: Callable[[float], float]


_ANY: Final = _Order(lambda trace: 0, lambda size: size, lambda size: size)
_STUDIES: Final = _Order(_studies, lambda size: size * GROWTH + MORE, lambda size: (size - MORE) / GROWTH - 1)


def _pairs(
    gone: list[Trace],
    new: list[Trace],
    sign: Callable[[Trace], Hashable],
    whole: Callable[[Trace], Hashable],
    fits: Callable[[Trace, Trace], bool] = lambda old, now: True,
    order: _Order = _ANY,
) -> list[tuple[Trace, Trace]]:
    """Pairs with the same sign (None: no sign), where one ``whole`` on one side can only be one on the other."""
    olds, news = _rows(gone, sign, order), _rows(new, sign, order)
    after: dict[Hashable, set[Hashable]] = {}
    before: dict[Hashable, set[Hashable]] = {}
    candidates: list[tuple[Trace, Trace]] = []
    for mark in olds.keys() & news.keys():
        for old in olds[mark].traces:
            size = order.size(old)
            fitting = (now for now in news[mark].between(size, order.most(size)) if fits(old, now))
            after.setdefault(whole(old), set()).update(whole(now) for now in _first_two(fitting, whole))
        for now in news[mark].traces:
            size = order.size(now)
            may = (old for old in olds[mark].between(order.least(size), size) if fits(old, now))
            some = _first_two(may, whole)
            before.setdefault(whole(now), set()).update(map(whole, some))
            candidates += [(old, now) for old in some]
    clear = [(a, b) for a, b in candidates if len(after[whole(a)]) == 1 and len(before[whole(b)]) == 1]
    clear.sort(key=lambda pair: (pair[0].key, pair[1].key))  # of several doors the oldest goes first
    chosen: list[tuple[Trace, Trace]] = []
    taken: set[int] = set()
    for same_port in (True, False):
        left = [(a, b) for a, b in clear if a.key not in taken and b.key not in taken]
        times = Counter(key for a, b in left for key in (a.key, b.key))
        for old, now in left:
            if {old.key, now.key} & taken or (same_port and old.port != now.port):
                continue
            if not same_port and (times[old.key] > 1 or times[now.key] > 1):
                continue  # which of several doors it was, the port alone could have told
            chosen.append((old, now))
            taken |= {old.key, now.key}
    return chosen


class _Row:
    """Traces with the same sign, the smallest first."""

    def __init__(self, traces: list[Trace], order: _Order) -> None:
        self.traces = sorted(traces, key=order.size)
        self._sizes = [order.size(trace) for trace in self.traces]

    def between(self, least: float, most: float) -> Iterator[Trace]:
        places = range(bisect_left(self._sizes, least), bisect_right(self._sizes, most))
        return (self.traces[place] for place in places)


def _rows(traces: list[Trace], sign: Callable[[Trace], Hashable], order: _Order) -> dict[Hashable, _Row]:
    by_sign: dict[Hashable, list[Trace]] = {}
    for trace in traces:
        if (mark := sign(trace)) is not None:
            by_sign.setdefault(mark, []).append(trace)
    return {mark: _Row(some, order) for mark, some in by_sign.items()}


def _first_two(traces: Iterable[Trace], whole: Callable[[Trace], Hashable]) -> list[Trace]:
    """Those of the first archive that comes, and one of a second: more need not be known where nothing can be said. A
    vendor's certificate on ten thousand servers would else be a hundred million pairs."""
    found: list[Trace] = []
    for trace in traces:
        found.append(trace)
        if whole(trace) != whole(found[0]):
            break
    return found
