"""A guard as a practice runs it (``leadapron up``, a child process), an archive behind it, and a peer that works.

The peer and a reader's program come from 127.0.0.1 and do an honest day's work without a pause for as long as a test
lasts; whoever attacks comes from other addresses of loopback.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx2

from guard.people.somebody import CHEAP, PASSWORD
from guard.relaying import House, table
from leadapron.guard.gateway.setup import Plan, guard_home, set_up
from leadapron.guard.identity.authority import Authority
from leadapron.guard.identity.contexts import client_context
from leadapron.guard.identity.people import People
from leadapron.guard.identity.registry import Registry
from leadapron.guard.policy.permission import Permission
from leadapron.kernel.hostport import HostPort
from leadapron.wire import uids
from leadapron.wire.aio import ContextRequest, Timeouts, associate
from leadapron.wire.aio.requestor import RequestorAssociation
from leadapron.wire.elements import Tag
from peers.process import HOST, Peer, free_port, wait_until
from scan.commanding import Command, Done, command, high_water

CT = uids.CT_IMAGE_STORAGE
PATIENT = Timeouts(connect=20, tls=20, associate=20, response=20, idle=60, write=20, release=5)
CONTEXTS = [ContextRequest(uid) for uid in (uids.VERIFICATION, CT, uids.STUDY_ROOT_FIND)]
LIMITS = {
    "connections": 256,
    "per_address": 32,
    "handshake_s": 4.0,
    "associate_s": 4.0,
    "idle_s": 20.0,
    "response_s": 15.0,
}
ALL_WEB = tuple(str(permission) for permission in Permission if permission.surface == "web")
MEMORY = 200 << 20
WORDS = ("PACS", "GOOD", "EVIL")


def element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    """Explicit VR Little Endian, PS3.5 §7.1.2."""
    value += (b"\0" if vr in (b"UI", b"OB", b"OW") else b" ") * (len(value) % 2)
    head = group.to_bytes(2, "little") + number.to_bytes(2, "little") + vr
    if vr in (b"OB", b"OW", b"UN", b"UT"):
        return head + b"\0\0" + len(value).to_bytes(4, "little") + value
    return head + len(value).to_bytes(2, "little") + value


def image(instance: str, pixels: bytes, study: str = "1.2.840.99.1") -> bytes:
    """A data set with what an archive asks for."""
    return b"".join(
        (
            element(0x0008, 0x0016, b"UI", CT.encode()),
            element(0x0008, 0x0018, b"UI", instance.encode()),
            element(0x0008, 0x0060, b"CS", b"CT"),
            element(0x0010, 0x0020, b"LO", b"P1"),
            element(0x0020, 0x000D, b"UI", study.encode()),
            element(0x0020, 0x000E, b"UI", f"{study}.1".encode()),
            element(0x7FE0, 0x0010, b"OB", pixels),
        )
    )


@dataclass
class Besieged:
    """What runs, and how to come to it. ``house`` enrols."""

    home: Path
    archive: Peer
    port: int
    enrol: int
    web: int
    house: House
    token: str = ""
    up: Command = field(init=False)
    lives: int = 0

    @property
    def config(self) -> Path:
        return self.home / "leadapron.toml"

    @property
    def data(self) -> Path:
        return self.home / "data"

    def start(self, program: Sequence[str] = ("-m", "leadapron")) -> Command:
        """The guard begins to run, and listens. It is ended by whoever called."""
        self.lives += 1
        self.up = Command(
            self.home / f"up{self.lives}", "up", "--no-check", "--config", self.config, program=tuple(program)
        )
        up = self.up
        up.until("it listens", lambda: "pages: https" in up.err if self.web else "codes are redeemed" in up.err)
        return up

    def lead(self, *arguments: str | Path) -> Done:
        """A command of ours beside the guard."""
        number = len(list(self.home.glob("command*")))
        return command(self.home / f"command{number}", *arguments)

    @property
    def peak(self) -> int:
        """The most memory that the guard has had, octets."""
        return high_water(self.up.pid)

    @property
    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.up.pid}/fd"))

    def rules(self, *tables: str) -> None:
        """Other rules for peers; the guard has read them when this ends."""
        text = self.config.read_text()
        head = text[: text.index("[[guard.peer]]")] if "\n[[guard.peer]]" in text else text
        again = self.up.err.count(".toml again")
        self.config.write_text(head + "\n".join(tables))
        self.up.until("the rules are read again", lambda: self.up.err.count(".toml again") > again)

    def associate(self, ae: str = "GOOD", contexts: Sequence[ContextRequest] = CONTEXTS, **more: Any) -> Any:
        """An association of that peer with the archive through the guard."""
        return associate(
            HOST, self.port, called="PACS", calling=ae, contexts=list(contexts), tls=self.house.context(ae),
            **({"timeouts": PATIENT} | more),
        )  # fmt: skip

    def stranger(self) -> ssl.SSLContext:
        """TLS as somebody without a certificate of ours speaks it."""
        context = ssl.create_default_context(cafile=str(self.house.peers["GOOD"] / "authority.pem"))
        context.check_hostname = False
        return context

    def client(self, **more: Any) -> httpx2.Client:
        """Somebody without session or token at the web side."""
        return httpx2.Client(
            base_url=f"https://localhost:{self.web}", verify=self.stranger(), trust_env=False, timeout=30, **more
        )


@contextlib.contextmanager
def besieged(
    home: Path,
    archive: Peer,
    *,
    peers: Sequence[str] = ("GOOD", "EVIL"),
    web: bool = True,
    limits: dict[str, float] = LIMITS,
    more: str = "",
    start: bool = True,
) -> Iterator[Besieged]:
    """A guard before ``archive``, whose AE title is PACS, until the block is left."""
    port, enrol, pages = free_port(), free_port(), free_port() if web else 0
    data = home / "data"
    http = archive.http_port if web else None
    plan = Plan(
        archive=HostPort(archive.host, archive.port),
        archive_ae="PACS",
        names=("localhost", HOST),
        listen=HostPort(HOST, port),
        enrol=HostPort(HOST, enrol),
        web=HostPort(HOST, pages) if web else None,
        archive_web=None if http is None else f"http://{HOST}:{http}",
        web_kind="orthanc",
        data=str(data),
    )
    home.mkdir(parents=True, exist_ok=True)
    config = home / "leadapron.toml"
    set_up(plan, config)
    own = guard_home(data)
    with contextlib.closing(Registry(own)) as registry:
        house = House(own, Authority.load(own), registry)
        for name in peers:
            house.enrol(name)
        tables = [table(name, requests_per_minute=100_000, studies_per_hour=100_000) for name in peers]
        bounds = ["[guard.limits]", *(f"{key} = {value}" for key, value in limits.items())]
        text = config.read_text().partition("# Each machine that may")[0]
        config.write_text("\n".join([text, *bounds, more, *tables]))
        guard = Besieged(home, archive, port, enrol, pages, house)
        if web:
            with People(own, hashing=CHEAP) as people:
                people.manage.add("reader", ALL_WEB, "test", password=PASSWORD)
                guard.token = people.manage.make_token("reader", ALL_WEB, 1, "test", "test")
        if not start:
            yield guard
            return
        with guard.start():
            yield guard


class Work:
    """An honest peer and a reader's program: echo, store, find and QIDO-RS, over an association of their own that
    stands all the time, and over new ones. ``errors`` is what they saw that they should not have."""

    def __init__(self, guard: Besieged, pixels: int = 100_000, *, web: bool = True) -> None:
        self._guard, self._web = guard, web and guard.web != 0
        self.rounds: Counter[str] = Counter()
        self.errors: list[str] = []
        self.longest = 0.0
        self._over = threading.Event()
        self._pixels = os.urandom(pixels)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), "the peer hangs"

    def goes_on(self, rounds: int = 3) -> None:
        """Waits until each of them has done so many rounds more."""
        names = ("own", "new", "page") if self._web else ("own", "new")
        before = dict(self.rounds)
        wait_until(
            lambda: bool(self.errors) or all(self.rounds[name] >= before.get(name, 0) + rounds for name in names),
            f"{rounds} more rounds of honest work ({dict(self.rounds)})",
        )
        assert not self.errors, self.errors

    def _run(self) -> None:
        try:
            asyncio.run(self._all())
        except BaseException as error:
            self.errors.append(f"{type(error).__name__}: {error}")

    async def _all(self) -> None:
        await asyncio.gather(self._own(), self._new(), *([self._page()] if self._web else []))

    async def _own(self) -> None:
        async with self._guard.associate() as association:
            while not self._over.is_set():
                await self._round(association, "own")

    async def _new(self) -> None:
        while not self._over.is_set():
            async with self._guard.associate() as association:
                await self._round(association, "new")

    async def _round(self, association: RequestorAssociation, name: str) -> None:
        begin = time.monotonic()
        assert await association.echo() == 0
        instance = f"1.2.840.99.1.1.{'own new'.index(name)}.{self.rounds[name] % 50}"
        assert await association.store(CT, instance, image(instance, self._pixels)) == 0
        keys = [(Tag.QueryRetrieveLevel, "CS", "STUDY"), (Tag.StudyInstanceUID, "UI", "1.2.840.99.1")]
        answers = association.find(uids.STUDY_ROOT_FIND, keys)
        assert len([one async for one in answers]) == 1 and answers.status == 0
        self.longest = max(self.longest, time.monotonic() - begin)
        self.rounds[name] += 1

    async def _page(self) -> None:
        headers = {"Authorization": f"Bearer {self._guard.token}"}
        base = f"https://localhost:{self._guard.web}"
        async with httpx2.AsyncClient(
            base_url=base, verify=self._guard.stranger(), trust_env=False, timeout=30, headers=headers
        ) as client:
            while not self._over.is_set():
                answer = await client.get("/dicom-web/studies", params={"limit": "1"})
                assert answer.status_code == 200, answer.status_code
                self.rounds["page"] += 1


Strike = Callable[[int], None]
"""One blow, by number. What it raises of OSError is the defender's doing."""


def strike(blow: Strike, times: int, hands: int = 4, seconds: float = 30.0) -> int:
    """``times`` blows by several hands at once, to the end; gives how many."""
    numbers = iter(range(times))
    lock, done, end = threading.Lock(), [0], time.monotonic() + seconds

    def hand() -> None:
        while time.monotonic() < end:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            with contextlib.suppress(OSError, EOFError):
                blow(number)
            done[0] += 1

    threads = [threading.Thread(target=hand, daemon=True) for _ in range(hands)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + 30)
        assert not thread.is_alive(), "a blow hangs"
    return done[0]


def child(*arguments: str | Path, log: Path) -> subprocess.Popen[bytes]:
    """Another process of Python, for what is not ``leadapron``."""
    with log.open("ab") as output:
        return subprocess.Popen([sys.executable, *map(str, arguments)], stdout=output, stderr=output)


__all__ = ["HOST", "client_context"]
