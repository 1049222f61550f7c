"""The database fails while notices are sent: what the mail server answered is not lost, nothing is sent twice."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from leadapron.watch.reach.notices import sending
from leadapron.watch.reach.notices.claims import Claims
from leadapron.watch.reach.notices.model import Sent
from leadapron.watch.reach.notices.sending import send_due
from leadapron.watch.track.database import DatabaseFailure
from outages import away, impatient
from postroom import US, Bureau, PostRoom


@pytest.fixture
def bureau(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> Bureau:
    monkeypatch.setattr(sending, "TOLD_AGAIN_S", (0.2,) * 50)
    return Bureau(impatient(engine))


async def go(bureau: Bureau, room: PostRoom) -> Sent:
    async with asyncio.timeout(30):
        return await send_due(bureau.engine, msgspec.structs.replace(US, smtp=room.place), bureau.calendar)


async def test_an_answer_is_told_when_the_database_is_back(bureau: Bureau, room: PostRoom) -> None:
    notice, other = bureau.approved("slow@one.example", "b@two.example")
    round_ = asyncio.create_task(go(bureau, room))
    await asyncio.to_thread(room.reached, "slow")
    with away(bureau.engine):
        while not room.deliveries():
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        assert not round_.done()
    assert await round_ == Sent(sent=(notice.id, other.id))
    assert bureau.kinds(notice)[-1] == "sent" and bureau.kinds(notice).count("sent") == 1
    assert room.deliveries() == {notice.message_id: 1, other.message_id: 1}


async def test_a_database_that_stays_away_leaves_it_unsure(
    bureau: Bureau, room: PostRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "TOLD_AGAIN_S", (0.05,))
    notice, other = bureau.approved("slow@one.example", "b@two.example")
    round_ = asyncio.create_task(go(bureau, room))
    await asyncio.to_thread(room.reached, "slow")
    with away(bureau.engine), pytest.raises(DatabaseFailure):
        await round_
    assert await go(bureau, room) == Sent(sent=(other.id,), unsure=(notice.id,))
    assert room.deliveries() == {notice.message_id: 1, other.message_id: 1}


async def test_what_was_not_begun_is_sent_when_the_database_is_back(bureau: Bureau, room: PostRoom) -> None:
    (notice,) = bureau.approved("slow-rcpt@one.example")
    round_ = asyncio.create_task(go(bureau, room))
    await asyncio.to_thread(room.reached, "slow-rcpt")
    with away(bureau.engine):
        await asyncio.sleep(1.5)  # beyond the answer to RCPT
    with pytest.raises(DatabaseFailure):
        await round_
    assert (bureau.state(notice), bureau.desk.get(notice.id).tries) == ("approved", 0)
    assert (await go(bureau, room)).sent == (notice.id,)
    assert room.deliveries() == {notice.message_id: 1}


@pytest.mark.parametrize("wish", ["stall-rcpt", "stall-data"])
async def test_who_is_stopped_meanwhile_ends(
    bureau: Bureau, room: PostRoom, monkeypatch: pytest.MonkeyPatch, wish: str
) -> None:
    monkeypatch.setattr(sending, "GRACE_S", 0.1)
    (notice,) = bureau.approved(f"{wish}@one.example")
    round_ = asyncio.create_task(go(bureau, room))
    await asyncio.to_thread(room.reached, wish)
    with away(bureau.engine):
        round_.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(round_, 10)
    bureau.calendar.day = 1
    await send_due(bureau.engine, msgspec.structs.replace(US, smtp="127.0.0.1:1"), bureau.calendar)
    assert bureau.state(notice) == ("approved" if wish == "stall-rcpt" else "unsure")


@pytest.mark.parametrize("step", ["take", "begin", "sent"])
async def test_a_commit_whose_answer_is_lost(
    bureau: Bureau, room: PostRoom, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """It has happened, and whoever asked for it is told that it failed."""
    notice, other = bureau.approved("a@one.example", "b@two.example")
    within: list[str] = []
    work = getattr(Claims, step)

    def watched(self: Claims, *arguments: Any, **named: Any) -> Any:
        within.append(step)
        return work(self, *arguments, **named)

    def commits(connection: sa.Connection) -> None:
        if within == [step]:
            within.append("lost")
            raw = connection.connection.dbapi_connection
            assert raw is not None
            raw.commit()
            raw.close()

    monkeypatch.setattr(Claims, step, watched)
    sa.event.listen(bureau.engine, "commit", commits)
    for _ in range(2):
        try:
            await go(bureau, room)
        except DatabaseFailure:
            assert step != "sent"
    assert "lost" in within
    assert [bureau.state(one) for one in (notice, other)] == ["sent", "sent"]
    assert room.deliveries() == {notice.message_id: 1, other.message_id: 1}
    assert bureau.kinds(notice).count("sent") == 1
