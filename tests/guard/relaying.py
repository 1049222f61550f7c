"""A guard with real identities in front of a real archive, in a thread of its own, and peers that come to it."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from leadapron.guard.audit.events import Event
from leadapron.guard.gateway.dimse.server import Contexts, GuardServer, serve_guard
from leadapron.guard.identity.authority import Authority
from leadapron.guard.identity.contexts import client_context, delivery_context, server_context
from leadapron.guard.identity.csr import key_pem, new_key, request
from leadapron.guard.identity.issuing import issue
from leadapron.guard.identity.registry import Registry
from leadapron.guard.policy.decide import Policy, parse_policy
from leadapron.guard.settings import Archive, Guard, Limits
from leadapron.wire.aio.loop import loop_factory
from peers.process import HOST, free_port, wait_until

EVERYTHING = ("echo", "store", "find", "retrieve", "worklist", "commit")
WAIT_S = 30.0
PATIENT = Limits(associate_s=5, handshake_s=5, idle_s=20, response_s=20)


@dataclass
class House:
    """A guard's home: authority, registry, certificate; and directories of enrolled peers."""

    home: Path
    authority: Authority
    registry: Registry
    peers: dict[str, Path] = field(default_factory=dict)

    @classmethod
    def build(cls, root: Path) -> House:
        home = root / "guard"
        authority = Authority.create(home, "Test Practice")
        key, chain = authority.sign_server(["localhost", HOST])
        (home / "server.key").write_bytes(key)
        (home / "server.pem").write_bytes(chain)
        return cls(home, authority, Registry(home))

    def enrol(self, name: str, ae: str | None = None, days: int = 30) -> Path:
        """A directory with ``peer.key``, ``peer.pem`` and ``authority.pem``."""
        directory = self.home.parent / f"peer-{name}"
        directory.mkdir(exist_ok=True)
        key = new_key()
        issued = issue(self.registry, self.authority, request(key), name=name, ae=ae or name, days=days)
        (directory / "peer.key").write_bytes(key_pem(key))
        (directory / "peer.pem").write_bytes(issued.chain)
        (directory / "authority.pem").write_bytes(self.authority.pem)
        self.peers[name] = directory
        return directory

    def context(self, name: str) -> ssl.SSLContext:
        return client_context(self.peers[name])

    def dcmtk(self, name: str) -> list[str]:
        """Options of DCMTK's tools for TLS with that peer's certificate."""
        at = self.peers[name]
        return ["+tls", str(at / "peer.key"), str(at / "peer.pem"), "+cf", str(at / "authority.pem"), "-rc"]


def table(name: str, ae: str | None = None, may: tuple[str, ...] = EVERYTHING, **more: Any) -> str:
    """A ``[[guard.peer]]`` table."""
    lines = ["[[guard.peer]]", f'name = "{name}"', f'ae = "{ae or name}"', f"may = {_toml(may)}"]
    lines += [f"{'from' if key == 'from_' else key} = {_toml(value)}" for key, value in more.items()]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


@dataclass
class Running:
    """A guard that runs. ``events`` is what it told the audit trail, ``said`` whoever watches it; ``policy`` may be set
    anew."""

    house: House
    port: int
    archive_ae: str
    policy: Policy
    events: list[Event] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    loop: asyncio.AbstractEventLoop | None = None
    server: GuardServer | None = None

    def told(self, kind: type) -> list[Any]:
        return [event for event in list(self.events) if isinstance(event, kind)]

    def wait_told(self, kind: type, number: int = 1) -> list[Any]:
        wait_until(lambda: len(self.told(kind)) >= number, f"{number} events {kind.__name__}", WAIT_S)
        return self.told(kind)

    def quiet(self) -> None:
        """Waits until no association is left."""
        assert self.server is not None
        server = self.server
        wait_until(lambda: server.associations == 0, "the guard's associations end", WAIT_S)

    def target(self, *, called: str | None = None, calling: str) -> list[str]:
        """The last arguments of a DCMTK tool."""
        return ["-aet", calling, "-aec", called or self.archive_ae, HOST, str(self.port)]


@contextmanager
def guard(
    house: House,
    archive: tuple[str, int, str],
    rules: str,
    *,
    limits: Limits = PATIENT,
    listen: str = HOST,
    back: int | None = None,
    calling: str | None = None,
    also: tuple[str, ...] = (),
    tls: Callable[[House], Contexts] | None = None,
    loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
    grace: float = 2.0,
) -> Iterator[Running]:
    """Runs a guard before ``archive`` (host, port, AE title) until the block is left. ``rules``: TOML."""
    host, port, ae = archive
    settings = Guard(
        archive=Archive(
            host=host, port=port, ae=ae, also=also, calling=calling, back=None if back is None else f"{HOST}:{back}"
        ),
        listen=f"{listen}:{free_port()}",
        limits=limits,
    )
    running = Running(house, int(settings.listen.rpartition(":")[2]), ae, parse_policy(rules))
    contexts = tls(house) if tls else Contexts(server_context(house.home), delivery_context(house.home))
    ready, over = threading.Event(), asyncio.Event()
    failure: list[BaseException] = []

    async def main() -> None:
        running.loop = asyncio.get_running_loop()
        async with serve_guard(
            settings,
            registry=house.registry,
            policy=lambda: running.policy,
            on_event=running.events.append,
            tls=contexts,
            tell=running.said.append,
            grace=grace,
        ) as server:
            running.server = server
            ready.set()
            await over.wait()

    def work() -> None:
        try:
            with asyncio.Runner(loop_factory=loop or loop_factory()) as runner:
                runner.run(main())
        except BaseException as error:
            failure.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert ready.wait(WAIT_S)
    if failure:
        raise failure[0]
    try:
        yield running
    finally:
        assert running.loop is not None
        running.loop.call_soon_threadsafe(over.set)
        thread.join(WAIT_S)
        assert not thread.is_alive(), "the guard did not stop"
        if failure:
            raise failure[0]
