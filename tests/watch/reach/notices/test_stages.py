"""A mail server that fails at each stage of the conversation: sent once, later, refused, or unsure; none lost."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from leadapron.watch.reach.notices.model import Notice, Sent
from leadapron.watch.reach.notices.sending import send_due
from leadapron.watch.reach.notices.settings import Notices as Settings
from leadapron.watch.reach.notices.settings import Sender
from leadapron.watch.track.database import open_engine
from leadapron.watch.track.tables import exposures
from peers.process import HOST
from postroom import US, Bureau

GOOD = {"connect": "220 mail.test", "DATA": "354 go on", "QUIT": "221 bye"}
RESET, CLOSE, SILENCE, TAKEN_THEN_RESET = "reset", "close", "silence", "taken, then reset"
ILL = "ill@one.example"


class Clerk:
    """A mail server over a real socket, which does as it should, but at ``stage`` (a command, ``connect`` or ``dot``)
    what it is told: an answer, or an end without one. ``only``: towards this recipient or sender."""

    def __init__(self) -> None:
        self.stage, self.does, self.only = "", "", ""
        self.most = 1000  # messages of one connection
        self.accepted: Counter[str] = Counter()
        self.place = ""

    def fails(self, stage: str, does: str, only: str = "") -> None:
        self.stage, self.does, self.only = stage, does, only

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Clerk]:
        server = await asyncio.start_server(self._serve, HOST, 0)
        self.place = f"{HOST}:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._converse(reader, writer)
        writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left, subject = self.most, ""
        if not await self._answer(writer, "connect", ""):
            return
        while line := await reader.readline():
            verb = line[:4].decode().strip().upper()
            if verb == "MAIL":
                if not left:
                    return
                left -= 1
            if verb in ("MAIL", "RCPT"):
                subject = line.decode().partition("<")[2].partition(">")[0]
            if not await self._answer(writer, verb, subject):
                return
            if verb == "DATA" and not (self._ill("DATA", subject)):
                message = await reader.readuntil(b"\r\n.\r\n")
                if not self._ill("dot", subject) or self.does in ("250 OK", TAKEN_THEN_RESET):
                    (head,) = [one for one in message.split(b"\r\n") if one.lower().startswith(b"message-id:")]
                    self.accepted[head.partition(b":")[2].strip().decode()] += 1
                if not await self._answer(writer, "dot", subject):
                    return
            if verb == "QUIT":
                return

    def _ill(self, stage: str, subject: str) -> bool:
        return stage == self.stage and self.only in ("", subject)

    async def _answer(self, writer: asyncio.StreamWriter, stage: str, subject: str) -> bool:
        says = self.does if self._ill(stage, subject) else GOOD.get(stage, "250 OK")
        if says in (RESET, TAKEN_THEN_RESET):
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        if says == SILENCE:
            await asyncio.sleep(5)
        if not says[:1].isdigit() and not says.startswith("?"):
            return False
        writer.write(f"{says}\r\n".encode())
        await writer.drain()
        return True


@pytest.fixture
async def clerk() -> AsyncIterator[Clerk]:
    async with Clerk().open() as clerk:
        yield clerk


def through(clerk: Clerk, **changes: object) -> Settings:
    return msgspec.structs.replace(US, smtp=clerk.place, timeout_s=0.5, **changes)


async def go(bureau: Bureau, settings: Settings) -> Sent:
    async with asyncio.timeout(30):
        return await send_due(bureau.engine, settings, bureau.calendar)


LOST = (RESET, CLOSE, SILENCE)
CASES = [
    *((stage, does, "approved", 0) for stage in ("connect", "EHLO", "MAIL") for does in LOST),
    *(("MAIL", does, "approved", 0) for does in ("421 4.3.2 bye", "451 4.7.1 later", "550 5.7.1 no", "?? what")),
    *(("RCPT", does, "approved", 1) for does in (*LOST, "421 bye", "450 4.2.0 later", "?? what", "99 what")),
    ("RCPT", "550 5.1.1 no", "failed", 1),
    ("RCPT", "252 may be", "sent", 1),
    *((stage, does, "unsure", 1) for stage in ("DATA", "dot") for does in (*LOST, "?? what", "99 what")),
    ("DATA", "250 OK", "unsure", 1),  # to the command
    ("dot", "354 go on", "unsure", 1),
    ("dot", TAKEN_THEN_RESET, "unsure", 1),
    *((stage, does, "approved", 1) for stage in ("DATA", "dot") for does in ("421 bye", "451 4.3.0 later")),
    *((stage, "554 5.7.1 no", "failed", 1) for stage in ("DATA", "dot")),
]


@pytest.mark.parametrize(("stage", "does", "state", "tries"), CASES)
async def test_each_stage(tmp_path: Path, clerk: Clerk, stage: str, does: str, state: str, tries: int) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'watch.db'}")
    bureau, settings = Bureau(engine), through(clerk)
    ill, well = bureau.approved(ILL, "well@two.example")
    clerk.fails(stage, does, ILL if stage not in ("connect", "EHLO", "MAIL") else "")
    sent = await go(bureau, settings)
    kept = bureau.desk.get(ill.id)
    assert (kept.state, kept.tries) == (state, tries)
    if tries:
        assert bureau.state(well) == "sent", "the others do not wait for it"
        assert sent.trouble is None
    else:
        assert sent.trouble is not None and "what" not in sent.trouble
        assert (bureau.state(well), kept.answer, kept.claimed_at) == ("approved", None, None)
    clerk.fails("", "")
    bureau.calendar.day = 1
    await go(bureau, settings)
    assert bureau.state(well) == "sent" and clerk.accepted[well.message_id or ""] == 1
    once(bureau, clerk, ill)
    engine.dispose()


def once(bureau: Bureau, clerk: Clerk, notice: Notice) -> None:
    """When all is well again it is sent, once; or it is known to be refused, or unsure."""
    accepted, state = clerk.accepted[notice.message_id or ""], bureau.state(notice)
    assert (state, accepted) in {("sent", 1), ("failed", 0), ("unsure", 0), ("unsure", 1)}
    assert bureau.kinds(notice).count("sent") == (state == "sent")


async def test_a_server_that_takes_so_many_of_a_connection(engine: sa.Engine, clerk: Clerk) -> None:
    bureau = Bureau(engine)
    clerk.most = 2
    approved = bureau.approved(*(f"u{number}@d{number}.example" for number in range(5)))
    assert (await go(bureau, through(clerk))).sent == tuple(one.id for one in approved)
    assert set(clerk.accepted.values()) == {1}


async def test_a_sender_that_the_server_refuses_keeps_only_its_own(engine: sa.Engine, clerk: Clerk) -> None:
    senders = tuple(Sender(name=name, from_=f"{name}@cert.example") for name in ("one", "two"))
    settings = through(clerk, arms=("sender",), sender=senders)
    bureau = Bureau(engine, settings)
    approved = bureau.approved(*(f"u{number}@d{number}.example" for number in range(6)))
    refused = {one.id for one in approved if one.sender == approved[0].sender}
    assert 0 < len(refused) < 6
    clerk.fails("MAIL", "550 5.7.1 no", approved[0].sender)
    sent = await go(bureau, settings)
    assert set(sent.sent) == {one.id for one in approved} - refused
    assert sent.trouble == f"the mail server {clerk.place} does not take mail from {approved[0].sender}: 550"
    assert {bureau.state(one) for one in approved if one.id in refused} == {"approved"}


async def test_entries_of_the_feed_need_no_mail_server(engine: sa.Engine, clerk: Clerk) -> None:
    bureau = Bureau(engine)
    mail, feed = bureau.drafts("a@one.example", "b@two.example")
    bureau.desk.drop(feed.id, "ada", "otherwise")
    with engine.begin() as connection:
        connection.execute(exposures.update().values(country="DE"))
    entry = bureau.desk.draft(feed.case_id, "escalation", "ada", level=2, channel="feed")
    bureau.desk.approve([mail.id, entry.id], "ada")
    clerk.fails("connect", CLOSE)
    sent = await go(bureau, through(clerk))
    assert sent.sent == (entry.id,) and sent.trouble is not None
    assert bureau.state(mail) == "approved"
