"""A sender that is killed: never twice, never lost without being unsure."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from leadapron.watch.reach.notices.claims import ELSEWHERE
from leadapron.watch.reach.notices.model import Sent
from leadapron.watch.reach.notices.sending import send_due
from leadapron.watch.track.tables import notices
from postroom import US, Bureau, PostRoom

CHILD = Path(__file__).with_name("sender_child.py")
TESTS = Path(__file__).parents[3]


def child(location: str, room: PostRoom) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    return subprocess.Popen(
        [sys.executable, str(CHILD), location, room.place],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)


async def again(bureau: Bureau, room: PostRoom) -> Sent:
    return await send_due(bureau.engine, msgspec.structs.replace(US, smtp=room.place, per_domain=1000), bureau.calendar)


@pytest.mark.parametrize(
    ("wish", "left", "after", "accepted"),
    [
        ("stall-rcpt", "sending", "approved", 0),  # nothing had left: it is sent by the next
        ("stall-data", "sending", "unsure", 0),
        ("stall-after", "sending", "unsure", 1),
    ],
)
async def test_killed_at_each_step(
    engine: sa.Engine, location: str, room: PostRoom, wish: str, left: str, after: str, accepted: int
) -> None:
    bureau = Bureau(engine)
    (notice,) = bureau.approved(f"{wish}@one.example")
    process = child(location, room)
    room.reached(wish)
    assert (await again(bureau, room)) == Sent()  # whoever has it still runs
    kill(process)
    assert bureau.state(notice) == left
    if after == "approved":
        with engine.begin() as connection:  # the address was wrong, say: the rest is about sending again
            connection.execute(notices.update().values(recipient="a@one.example", domain="one.example"))
        assert (await again(bureau, room)).sent == (notice.id,)
        assert room.deliveries() == {notice.message_id: 1}
        return
    assert (await again(bureau, room)).unsure == (notice.id,)
    assert bureau.state(notice) == after
    assert (await again(bureau, room)) == Sent()
    assert room.deliveries().total() == accepted
    bureau.desk.resolve(notice.id, bool(accepted), "ada")
    if not accepted:
        with engine.begin() as connection:
            connection.execute(notices.update().values(recipient="a@one.example", domain="one.example"))
    assert (await again(bureau, room)).sent == (() if accepted else (notice.id,))
    assert bureau.state(notice) == "sent"
    assert room.deliveries() == {notice.message_id: 1}
    assert bureau.kinds(notice)[-1] == "sent"


async def test_killed_anywhere(engine: sa.Engine, location: str, room: PostRoom) -> None:
    """Senders that are killed at odd moments: each notice is accepted at most once, and none that was not accepted is
    taken for sent; what cannot be known is unsure."""
    bureau = Bureau(engine)
    approved = bureau.approved(*(f"u{number}@d{number}.example" for number in range(30)))
    dice = random.Random(20261122)
    for _ in range(3):
        process = child(location, room)
        before = room.deliveries().total()
        bound = time.monotonic() + 20
        while process.poll() is None and room.deliveries().total() <= before and time.monotonic() < bound:
            time.sleep(0.01)
        time.sleep(dice.random() * 0.05)  # the moment is the point
        kill(process)
        unsure = await _recovered(bureau, room)
        accepted = room.deliveries()
        assert set(accepted.values()) <= {1}
        for notice in approved:
            kept = bureau.desk.get(notice.id)
            if kept.state == "sent":
                assert accepted[str(kept.message_id)] == 1
            elif kept.state == "approved":
                assert accepted[str(kept.message_id)] == 0
            else:
                assert kept.state == "unsure"
        for id in unsure:
            bureau.desk.resolve(id, bool(accepted[str(bureau.desk.get(id).message_id)]), "ada")
    await again(bureau, room)
    assert {bureau.state(notice) for notice in approved} == {"sent"}
    assert room.deliveries() == {notice.message_id: 1 for notice in approved}


async def _recovered(bureau: Bureau, room: PostRoom) -> tuple[int, ...]:
    """What the next sender finds, which sends nothing itself: its limit is used up."""
    settings = msgspec.structs.replace(US, smtp=room.place, per_hour=1)
    sent = await send_due(bureau.engine, settings, bureau.calendar)
    return sent.unsure


async def test_two_processes_share_the_work(engine: sa.Engine, location: str, room: PostRoom) -> None:
    bureau = Bureau(engine)
    approved = bureau.approved(*(f"u{number}@d{number}.example" for number in range(20)))
    both = [child(location, room), child(location, room)]
    said = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert room.deliveries() == {notice.message_id: 1 for notice in approved}
    assert {bureau.state(notice) for notice in approved} == {"sent"}


async def test_a_sender_on_another_machine_is_given_time(engine: sa.Engine, room: PostRoom) -> None:
    bureau = Bureau(engine)
    before, during = bureau.approved("a@one.example", "b@two.example")
    at = bureau.calendar.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    with engine.begin() as connection:
        for notice, phase in ((before, "claimed"), (during, "data")):
            taken = notices.update().where(notices.c.id == notice.id)
            values = {"state": "sending", "phase": phase, "claimed_at": at, "claimed_by": "elsewhere 1 2|3"}
            connection.execute(taken.values(values))
    assert (await again(bureau, room)) == Sent()
    bureau.calendar.day = ELSEWHERE.total_seconds() / 86400 + 0.001
    assert (await again(bureau, room)) == Sent(sent=(before.id,), unsure=(during.id,))
