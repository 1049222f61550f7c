"""A real mail server (aiosmtpd) as a child process, and notices that are ready to be sent through it.

What the server does is asked for by the recipient's local part, as in ``stall-after@clinic.example``; each message that
it accepted is a file, written before it answers, so that deliveries can be counted by Message-ID.
"""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import os
import ssl
import sys
from collections import Counter
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Self

import pytest
import sqlalchemy as sa

from casework import Calendar, Desk
from leadapron.watch.reach.cases.model import Owner
from leadapron.watch.reach.notices.model import Notice
from leadapron.watch.reach.notices.settings import Notices as Settings
from leadapron.watch.reach.notices.store import Notices
from peers.process import HOST, Peer, free_port, launch, wait_until

SLOW_S = 1.0

US = Settings(
    organisation="Example CERT",
    person="Ada Example",
    from_="open-images@cert.example",
    reply_to="answers@cert.example",
    page="https://cert.example/open-images",
    opt_out="optout@cert.example",
    postal="Example Street 1\n12345 Town",
    tls="none",
    timeout_s=20.0,
)

NOTICE = Notice(
    id=1,
    case_id=12,
    purpose="first",
    channel="letter",
    level=0,
    language="en",
    arms={},
    recipient="Klinik am See\nSeestraße 1\n12345 Musterstadt",
    domain="",
    sender="open-images@cert.example",
    subject="Your server",
    body="Dear Sir,\n\n# One\n\n- a\n- b\n\n1. c\n\n    code here\n\nend\n",
    state="approved",
    created_at="",
    created_by="",
)


class PostRoom:
    """The server; a context manager. ``certificate``: PEM files of a certificate and its key, for STARTTLS; ``port``:
    where it listens, as one that is started again."""

    def __init__(
        self, home: Path, *, certificate: tuple[Path, Path] | None = None, login: str = "", port: int | None = None
    ) -> None:
        home.mkdir()
        self.home = home
        port = port or free_port()
        self._peer = Peer("aiosmtpd", "", port, home)
        files = [str(path) for path in certificate or ()]
        launch(self._peer, [sys.executable, __file__, str(port), str(home), login, *files])
        self.place = f"{HOST}:{port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._peer.stop()

    def clear(self) -> None:
        """For the next test."""
        for file in [*self.home.glob("*.eml"), *self.home.glob("*.reached")]:
            file.unlink()

    def messages(self) -> list[EmailMessage]:
        """What was accepted, in order."""
        files = sorted(self.home.glob("*.eml"))
        return [email.message_from_bytes(file.read_bytes(), policy=email.policy.default) for file in files]

    def deliveries(self) -> Counter[str]:
        """How often each Message-ID was accepted."""
        return Counter(str(message["Message-ID"]) for message in self.messages())

    def reached(self, what: str) -> None:
        """Wait until a conversation stands still there."""
        wait_until(lambda: (self.home / f"{what}.reached").exists(), f"the server stands at {what}")


@pytest.fixture(scope="module")
def post(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostRoom]:
    """One server for all tests of a module; a test asks for `room`."""
    with PostRoom(tmp_path_factory.mktemp("post") / "room") as room:
        yield room


@pytest.fixture
def room(post: PostRoom) -> PostRoom:
    """Nothing was delivered there yet."""
    post.clear()
    return post


class Bureau(Desk):
    """Cases with notices as the real desk writes them."""

    def __init__(self, engine: sa.Engine, settings: Settings = US, calendar: Calendar | None = None) -> None:
        super().__init__(engine)
        self.calendar = calendar or self.calendar
        self.settings = settings
        self.desk = Notices(engine, settings, self.calendar)

    def draft(
        self, case_id: int, purpose: str, by: str, *, level: int = 0, connection: sa.Connection | None = None
    ) -> Any:
        return self.desk.draft(case_id, purpose, by, level=level, connection=connection)

    def drafts(self, *mailboxes: str, **owner: Any) -> list[Notice]:
        """First notices to these, each about a server of its own."""
        numbers = range(1, len(mailboxes) + 1)
        self.scan(*numbers)
        self.follow()
        made = []
        for number, mailbox in zip(numbers, mailboxes, strict=True):
            case = self.case(number)
            self.cases.confirm(case.id, Owner(organisation=f"Clinic {number}", mailbox=mailbox, **owner), "ada")
            made.append(self.desk.draft(case.id, "first", "ada"))
        return made

    def approved(self, *mailboxes: str, **owner: Any) -> list[Notice]:
        return self.desk.approve([one.id for one in self.drafts(*mailboxes, **owner)], "ada")

    def state(self, notice: Notice) -> str:
        return self.desk.get(notice.id).state

    def kinds(self, notice: Notice) -> list[str]:
        """The case's history, without notes."""
        return [kind for kind in self.told(notice.case_id) if kind != "note"]


__all__ = ["NOTICE", "US", "Bureau", "PostRoom"]


class _Handler:
    """What the server does, by the recipient's local part."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._number = 0

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, to: str, _options: Any) -> str:
        wish = to.partition("@")[0]
        if wish == "stall-rcpt":
            await self._stall(wish)
        if wish == "slow-rcpt":
            await self._stall(wish, SLOW_S)
        refusals = {"unknown": "550 5.1.1 no such user: Mustermann^Erika", "busy": "450 4.2.0 later", "bye": "421 bye"}
        if wish in refusals:
            return refusals[wish]
        envelope.rcpt_tos.append(to)
        return "250 OK"

    async def handle_DATA(self, server: Any, _session: Any, envelope: Any) -> str:
        wish = envelope.rcpt_tos[0].partition("@")[0]
        if wish == "stall-data":
            await self._stall(wish)
        if wish == "slow":
            await self._stall(wish, SLOW_S)
        refusals = {"spam": "554 5.7.1 not here", "full": "452 4.2.2 full"}
        if wish in refusals:
            return refusals[wish]
        self._number += 1
        beside = self._home / f"{self._number:04}.part"
        beside.write_bytes(envelope.content)
        beside.rename(beside.with_suffix(".eml"))
        if wish == "stall-after":
            await self._stall(wish)
        if wish == "drop":
            server.transport.abort()
        return "250 OK Mustermann^Erika"

    async def _stall(self, where: str, seconds: float = 3600) -> None:
        (self._home / f"{where}.reached").touch()
        await asyncio.sleep(seconds)


def _serve(port: int, home: Path, login: str, *files: str) -> None:
    from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

    context = None
    if files:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)

    def check(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        good = isinstance(data, LoginPassword) and b":".join((data.login, data.password)) == login.encode()
        return AuthResult(success=good, handled=False)

    handler = _Handler(home)

    def make() -> SMTP:
        options: dict[str, Any] = {"authenticator": check, "auth_required": True} if login else {}
        if context is not None:
            options |= {"tls_context": context, "require_starttls": True}
        return SMTP(handler, hostname="mail.test", **options)

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(make, HOST, port)
        async with server:
            await server.serve_forever()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())


if __name__ == "__main__":
    _serve(int(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
    os._exit(0)
