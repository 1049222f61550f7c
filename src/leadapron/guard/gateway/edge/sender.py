"""Delivers what waits: in order, one at a time, over one association that stays as long as there is something to send.

Nothing is deleted before the far side has answered Success or a warning. What goes wrong is judged by ``outcome``;
after every failure the association is given up and a new one made, after a wait that doubles up to a minute and is
drawn at random from its upper half (edges that lost the same guard do not come back in the same moment). A device that
gets through meanwhile ends the wait.

An item goes out in the transfer syntax that it came in, octet by octet. Its presentation context is proposed with that
one transfer syntax only, so the far side cannot choose another. Proposed is what the next items need, and what was
lately sent; when something else comes, the association is made anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import random
from collections.abc import Callable
from typing import Final

from leadapron.guard.gateway.edge.item import Entry, Item
from leadapron.guard.gateway.edge.line import Line
from leadapron.guard.gateway.edge.outcome import Kind, exhausted, of_error, of_status
from leadapron.guard.gateway.edge.queue import Queue
from leadapron.kernel.errors import Failure, WireError
from leadapron.kernel.seal import Unsealable
from leadapron.wire.aio.dialogue import where
from leadapron.wire.aio.requestor import RequestorAssociation
from leadapron.wire.association.negotiate import ContextRequest
from leadapron.wire.dimse.status import describe

FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 60.0
LINGER_S: Final = 20.0
"""An association with nothing to send is kept so long: the next image of a series comes sooner."""
LOOK_AHEAD: Final = 256
MAX_CONTEXTS: Final = 128  # PS3.8 §9.3.2.2


class _Next(enum.Enum):
    """How to go on after an item."""

    HERE = "on the same association"
    ANEW = "on another association, at once"
    LATER = "on another association, after a wait"


class Sender:
    """``await run()`` for as long as the edge lives. ``told`` gets lines for the log; ``unsupported`` is called
    when the far side does not accept what is to be sent."""

    def __init__(
        self,
        queue: Queue,
        line: Line,
        *,
        told: Callable[[str], None] = lambda text: None,
        unsupported: Callable[[], None] = lambda: None,
        first_wait: float = FIRST_WAIT_S,
        longest_wait: float = LONGEST_WAIT_S,
        linger: float = LINGER_S,
    ) -> None:
        self._queue, self._line, self._told, self._unsupported = queue, line, told, unsupported
        self._first_wait, self._longest_wait, self._linger = first_wait, longest_wait, linger
        self._lately: dict[tuple[str, str], None] = {}
        self._failures = 0
        self._stopping = False

    def stop(self) -> None:
        """`run` returns after the item under way."""
        self._stopping = True
        self._queue.wake()
        self._line.nudge.set()

    async def run(self) -> None:
        while not self._stopping:
            entry = self._queue.first()
            if entry is None:
                await self._queue.changed()
                continue
            try:
                if await self._associate(entry) is _Next.LATER:
                    await self._pause()
            except WireError as error:
                self._line.lost(error)
                await self._pause()
            except Exception as bug:  # ours; the items behind must not wait for ever for this one
                self._told(f"this is a bug of ours: {type(bug).__name__} at {where(bug)}")
                current = self._queue.first()
                if current is not None:
                    await self._failed(current, Kind.DOUBT, f"a bug of ours ({type(bug).__name__})")
                await self._pause()

    async def _pause(self) -> None:
        wait = min(self._first_wait * 2**self._failures, self._longest_wait)
        self._failures = min(self._failures + 1, 16)
        self._line.nudge.clear()
        if self._stopping:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._line.nudge.wait(), wait * random.uniform(0.5, 1.0))

    async def _associate(self, entry: Entry) -> _Next:
        """One association, from the first item that waits to the last that it can carry."""
        item = await self._read(entry)
        if item is None:
            return _Next.ANEW
        proposed = await self._kinds(item)
        contexts = [ContextRequest(sop_class, (syntax,)) for sop_class, syntax in proposed]
        async with self._line.association(contexts, calling=item.calling, called=item.called) as association:
            if not association.contexts:
                raise WireError("the far side accepts nothing of what is to be stored: look at what the peer may do")
            self._line.heard()
            titles = item.calling, item.called
            while await self._more():
                following = self._queue.first()
                if following is None:
                    continue
                item = await self._read(following)
                if item is None:
                    continue
                if item.kind not in proposed or (item.calling, item.called) != titles:
                    break
                go_on = await self._deliver(association, following, item)
                if go_on is not _Next.HERE:
                    return go_on
        return _Next.ANEW

    async def _more(self) -> bool:
        """Whether there is something to send, within a while."""
        if self._queue.first() is None and not self._stopping:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._queue.changed(), self._linger)
        return self._queue.first() is not None and not self._stopping

    async def _kinds(self, first: Item) -> set[tuple[str, str]]:
        kinds: dict[tuple[str, str], None] = {first.kind: None}
        kinds |= dict.fromkeys(await self._queue.kinds(LOOK_AHEAD))
        kinds |= dict.fromkeys(reversed(self._lately))
        return set(list(kinds)[:MAX_CONTEXTS])

    async def _read(self, entry: Entry) -> Item | None:
        """None for an item that does not open: it has been set aside."""
        try:
            return await self._queue.read_item(entry)
        except (Unsealable, OSError) as error:
            await self._damaged(entry, error)
            return None

    async def _deliver(self, association: RequestorAssociation, entry: Entry, item: Item) -> _Next:
        """Sends one item and does what the answer demands."""
        if association.accepted(*item.kind) is None:
            self._unsupported()
            return await self._failed(entry, Kind.UNSUPPORTED, "no presentation context was accepted for it")
        uncertain, entry.uncertain = entry.uncertain, True
        try:
            status = await self._store(association, entry, item)
        except WireError as error:
            await self._failed(entry, of_error(error, sending=True), str(error))
            return _Next.LATER
        except (Unsealable, OSError) as error:
            await self._damaged(entry, error)
            return _Next.ANEW
        entry.uncertain = False
        kind = of_status(status, uncertain=uncertain)
        if kind is not Kind.DELIVERED:
            return await self._failed(entry, kind, describe(status))
        self._failures = 0
        self._lately.pop(item.kind, None)
        self._lately[item.kind] = None
        if len(self._lately) > MAX_CONTEXTS:
            del self._lately[next(iter(self._lately))]
        await self._queue.delivered(entry)
        return _Next.HERE

    async def _store(self, association: RequestorAssociation, entry: Entry, item: Item) -> int:
        async with contextlib.aclosing(self._queue.data(entry)) as data:
            return await association.store(
                item.sop_class,
                item.sop_instance,
                data,
                transfer_syntax=item.transfer_syntax,
                priority=item.priority,
                move_originator=item.move_originator,
                move_originator_message_id=item.move_originator_message_id,
            )

    async def _failed(self, entry: Entry, kind: Kind, why: str) -> _Next:
        """Counts, and sets the item aside when it was tried often enough; then the next one can follow here."""
        tries = entry.tries[kind] = entry.tries.get(kind, 0) + 1
        if not exhausted(kind, tries):
            if tries == 1:
                self._told(f"item {entry.sequence} was not taken ({why}); it is tried again")
            return _Next.LATER
        times = "" if tries == 1 else f" {tries} times"
        self._told(f"item {entry.sequence} was refused{times} ({why}) and is set aside")
        await self._aside(entry, f"refused{times}: {why}")
        return _Next.HERE

    async def _damaged(self, entry: Entry, error: Exception) -> None:
        why = str(error) if isinstance(error, Failure) else f"its file cannot be read ({type(error).__name__})"
        self._told(f"item {entry.sequence} cannot be sent: {why}")
        await self._aside(entry, why)

    async def _aside(self, entry: Entry, why: str) -> None:
        try:
            await self._queue.set_aside(entry, why)
        except OSError as error:
            self._told(
                f"item {entry.sequence} cannot be set aside either ({type(error).__name__}); it is left as it is"
            )
            self._queue.forget(entry)
