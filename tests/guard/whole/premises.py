"""A whole guard as `leadapron up` runs it, in a thread, before an archive that writes down what it hears.

Everything comes from an address of its own, so the trail tells which message is whose.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pyotp

from guard.people.somebody import CHEAP, PASSWORD
from leadapron.guard.audit import entry
from leadapron.guard.audit.chain import Chain
from leadapron.guard.audit.entry import Entry
from leadapron.guard.audit.place import Place
from leadapron.guard.audit.tail import Tail
from leadapron.guard.gateway.running import Running, run_guard
from leadapron.guard.gateway.setup import Plan, set_up
from leadapron.guard.identity import export
from leadapron.guard.identity.authority import Authority
from leadapron.guard.identity.csr import key_pem, new_key, request
from leadapron.guard.identity.issuing import issue
from leadapron.guard.identity.people import People
from leadapron.guard.identity.registry import Registry
from leadapron.guard.settings import load_guard
from leadapron.kernel.files import write_whole
from leadapron.kernel.hostport import HostPort
from leadapron.kernel.seal import key_file
from leadapron.wire.aio.loop import loop_factory
from peers.process import HOST, free_port, wait_until

WAIT_S = 30.0
ARCHIVE_AE = "OLDPACS"
TOLD_S = 10.0
PAUSE_S = 130.0
T = TypeVar("T")


class Hand:
    """A clock that begins at the present and is moved by hand, both of its faces together. Codes of an authenticator
    are good once, so whoever logs in moves it on."""

    def __init__(self, moment: datetime | None = None) -> None:
        self.moment = moment or datetime.now(UTC).replace(microsecond=0)
        self.ticks = 1000.0

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.ticks

    def move(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)
        self.ticks += seconds


@dataclass(repr=False)
class Premises:
    """``config``: its leadapron.toml, of which ``head`` is all but the peers; ``home``: its directory of keys."""

    root: Path
    config: Path
    home: Path
    head: str
    clock: Hand
    authority: Authority
    registry: Registry
    people: People
    loop: asyncio.AbstractEventLoop
    running: Running
    secret: str
    peers: dict[str, Path] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    _addresses: int = 0
    _tail: Tail | None = None
    _chain: Chain | None = None
    entries: list[Entry] = field(default_factory=list)

    # ---- doing something in the guard's loop ------------------------------------------------------------------------

    def call(self, work: Coroutine[Any, Any, T], seconds: float = 4 * WAIT_S) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(seconds)

    def rules(self, tables: str) -> None:
        """These are the peers' tables from now on."""
        write_whole(self.config, (self.head + "\n" + tables).encode())

        async def refresh() -> None:
            found = self.running.rules.refresh()
            assert found is None or found.error is None, found

        self.call(refresh())
        names = {peer.rules.name for peer in self.running.rules.current.peers}
        assert names == {line.partition('"')[2].rstrip('"') for line in tables.splitlines() if line[:5] == "name "}

    # ---- who there is -----------------------------------------------------------------------------------------------

    def enrol(self, name: str, ae: str | None = None) -> Path:
        """A machine that has joined: the directory of its key and certificate."""
        key, directory = new_key(), self.root / f"peer-{name}"
        chain = issue(self.registry, self.authority, request(key), name=name, ae=ae or name, days=365).chain
        export.write_pem(directory, export.KeyPair(key_pem(key), chain))
        self.peers[name] = directory
        return directory

    def person(self, name: str, may: tuple[str, ...]) -> str:
        """Somebody with password and authenticator, made as ``leadapron user`` does it."""
        kept = self.people.manage.add(name, may, "test", password=PASSWORD)
        secret, _ = self.people.manage.new_totp(kept)
        code = pyotp.TOTP(secret).at(self.clock.now())
        assert self.people.manage.confirm_totp(kept, secret, code, "test") is not None
        self.names[kept] = secret
        self.clock.move(60)
        return kept

    def digits(self, name: str) -> str:
        """The next code of their authenticator, never one that was shown before."""
        self.clock.move(60)
        return pyotp.TOTP(self.names[name]).at(self.clock.now())

    def address(self) -> str:
        """An address of loopback that nobody has come from yet, all of one /16 as one attacker's are, some minutes
        after the one before: refusals that come faster than people make them are told as a sum."""
        self._addresses += 1
        self.clock.move(PAUSE_S)
        third, fourth = divmod(self._addresses, 250)
        return f"127.77.{third}.{fourth + 1}"

    @property
    def dimse(self) -> int:
        return self.running.dimse.address[1]

    @property
    def web(self) -> int:
        assert self.running.pages is not None
        return self.running.pages.port

    @property
    def enrolment(self) -> int:
        assert self.running.enrolment is not None
        return self.running.enrolment.port

    # ---- what the trail says ----------------------------------------------------------------------------------------

    def trail(self) -> list[Entry]:
        """What it holds, read as ``leadapron audit`` does."""
        if self._tail is None or self._chain is None:
            self._chain = Chain(key_file(self.home / "guard.key"))
            self._tail = Tail(Place(self.home), self._chain)
        while records := self._tail.read():
            self.entries += [entry.read(self._chain, record)[0] for record in records]
        assert self._tail.skipped == 0
        return self.entries

    def by_address(self) -> Counter[str]:
        """How many messages name each address."""
        return Counter(name for one in self.trail() for name in one.names() if name.startswith("127.77."))

    def about(self, address: str) -> list[Entry]:
        return [one for one in self.trail() if address in one.names()]

    def since(self, number: int) -> list[Entry]:
        """Those behind the first ``number`` ones but for the guard's own: rules read, the console, the sweep."""
        return [one for one in self.trail()[number:] if not _own(one)]

    def wait_told(self, address: str, number: int = 1) -> None:
        """Waits until the trail has that many messages about it, and whatever it did is over."""
        wait_until(lambda: self.by_address()[address] >= number, f"{number} messages about a stranger", TOLD_S)

    def quiet(self) -> None:
        wait_until(lambda: self.running.dimse.associations == 0, "associations end", WAIT_S)


@contextlib.contextmanager
def premises(
    root: Path,
    archive: tuple[int, str | None],
    *,
    clock: Hand | None = None,
    back: int | None = None,
    beside: Callable[[], contextlib.AbstractAsyncContextManager[Any]] | None = None,
    limits: str = "",
) -> Iterator[Premises]:
    """A guard set up by ``init guard`` before the archive at a DIMSE port and a web address, until the block is left.

    ``beside``: what runs in the same loop around it.
    """
    port, web_address = archive
    config, clock = root / "leadapron.toml", clock or Hand()
    listen, enrol, web = (HostPort(HOST, free_port()) for _ in range(3))
    made = set_up(
        Plan(
            archive=HostPort(HOST, port),
            archive_ae=ARCHIVE_AE,
            names=("localhost", HOST),
            listen=listen,
            enrol=enrol,
            web=web,
            archive_web=web_address,
            web_kind="orthanc",
            back=None if back is None else HostPort(HOST, back),
            data=str(root / "data"),
        ),
        config,
    )
    head = config.read_text() + limits
    write_whole(config, head.encode())
    told: list[str] = []
    over, ready = asyncio.Event(), Future[tuple[asyncio.AbstractEventLoop, Running]]()

    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            if beside is not None:
                await stack.enter_async_context(beside())
            running = await stack.enter_async_context(
                run_guard(load_guard(config), config, made.home, told.append, clock=clock)
            )
            ready.set_result((asyncio.get_running_loop(), running))
            await over.wait()

    def work() -> None:
        try:
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                runner.run(main())
        except BaseException as error:
            if not ready.done():
                ready.set_exception(error)
            raise

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    loop, running = ready.result(WAIT_S)
    authority = Authority.load(made.home)
    with Registry(made.home, clock) as registry, People(made.home, clock, hashing=CHEAP) as people:
        try:
            yield Premises(
                root, config, made.home, head, clock, authority, registry, people, loop, running, made.secret, told=told
            )
        finally:
            loop.call_soon_threadsafe(over.set)
            thread.join(WAIT_S)
            assert not thread.is_alive(), "the guard did not stop"


def _own(one: Entry) -> bool:
    if "Logout" in one.types and not any(party.address for party in one.parties):
        return True  # sessions that were over, which it looks for once a minute
    return any(thing.id == "leadapron.toml" or (thing.text or "").startswith("console: ") for thing in one.things)


def bare(authority: Path | None) -> ssl.SSLContext:
    """TLS of somebody without a certificate, who does not care whom he meets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if authority is not None:
        context.load_cert_chain(authority / "peer.pem", authority / "peer.key")
    return context
