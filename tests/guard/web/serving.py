"""The guard's web side over TLS with people and tokens, in front of an archive; and one that only writes down."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h11
import httpx2

from guard.people.somebody import CHEAP, PASSWORD, Held
from leadapron.guard.audit.events import Event
from leadapron.guard.gateway.web.app import WebApp, build_app
from leadapron.guard.gateway.web.server import WebServer, serve_web
from leadapron.guard.identity.people import Event as PeopleEvent
from leadapron.guard.identity.people import LoggedIn, People
from leadapron.guard.identity.people.oidc import Oidc
from leadapron.guard.identity.people.passkeys import Site
from leadapron.guard.identity.people.requests import SESSION_COOKIE
from leadapron.guard.identity.people.totp import step_of
from leadapron.guard.policy.permission import Permission
from leadapron.guard.settings import Archive, Guard, Limits, Web
from leadapron.guard.settings import Oidc as OidcSettings
from leadapron.wire.aio.tls import server_context
from peers.certificates import Certificates
from peers.process import HOST, free_port

ALL_WEB = tuple(str(permission) for permission in Permission if permission.surface == "web")
TOTP_STEP_S = 60


class Clock(Held):
    """Stands still; each login moves it on, so that no code is used twice."""


@dataclass
class Asked:
    """A request as it arrived at the archive."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Reply = Callable[
    [Asked], tuple[int, list[tuple[str, str]], bytes] | Awaitable[tuple[int, list[tuple[str, str]], bytes]]
]


def nothing(asked: Asked) -> tuple[int, list[tuple[str, str]], bytes]:
    return 200, [("Content-Type", "application/dicom+json")], b"[]"


class Recorder:
    """An HTTP server on loopback that writes down what arrives, read by h11, and answers with ``reply``."""

    def __init__(self, reply: Reply = nothing) -> None:
        self.reply = reply
        self.asked: list[Asked] = []
        self.connections = 0
        self.broken = 0
        """Requests that ended in their middle."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Recorder:
        self._server = await asyncio.start_server(self._connection, HOST, 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        connection = h11.Connection(h11.SERVER)
        head: h11.Request | None = None
        body = bytearray()
        try:
            while True:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    connection.receive_data(await reader.read(65536))
                elif isinstance(event, h11.Request):
                    head, body = event, bytearray()
                elif isinstance(event, h11.Data):
                    body += event.data
                elif isinstance(event, h11.EndOfMessage):
                    assert head is not None
                    headers = {key.decode(): value.decode("latin-1") for key, value in head.headers}
                    asked = Asked(head.method.decode(), head.target.decode(), headers, bytes(body))
                    self.asked.append(asked)
                    given = self.reply(asked)
                    status, fields, content = given if isinstance(given, tuple) else await given
                    if not any(name.lower() in ("content-length", "transfer-encoding") for name, _ in fields):
                        fields = [*fields, ("Content-Length", str(len(content)))]
                    writer.write(connection.send(h11.Response(status_code=status, headers=fields)) or b"")
                    writer.write(connection.send(h11.Data(data=content)) or b"")
                    writer.write(connection.send(h11.EndOfMessage()) or b"")
                    await writer.drain()
                    connection.start_next_cycle()
                else:
                    return
        except (h11.ProtocolError, ConnectionError):
            self.broken += 1
        finally:
            writer.close()


@dataclass
class Served:
    """A running guard. ``events``: what its trail was told; ``told``: what people's part told."""

    app: WebApp
    server: WebServer
    people: People
    clock: Clock
    certificates: Certificates
    events: list[Event]
    told: list[PeopleEvent]
    secrets: dict[str, str] = field(default_factory=dict)

    @property
    def base(self) -> str:
        return f"https://localhost:{self.server.port}"

    def client(self, **more: Any) -> httpx2.AsyncClient:
        context = self.certificates.plain_client_context(with_certificate=False)
        return httpx2.AsyncClient(
            base_url=self.base, verify=context, trust_env=False, timeout=30, follow_redirects=False, **more
        )

    def person(self, name: str, may: tuple[str, ...] = ALL_WEB) -> str:
        """Adds somebody with password and authenticator app."""
        import pyotp

        kept = self.people.manage.add(name, may, "test", password=PASSWORD)
        secret, _ = self.people.manage.new_totp(kept)
        code = pyotp.TOTP(secret).at(self.clock.now())
        assert step_of(secret, code, int(self.clock.now().timestamp())) is not None
        assert self.people.manage.confirm_totp(kept, secret, code, "test") is not None
        self.secrets[kept] = secret
        self.clock.forward(TOTP_STEP_S)
        return kept

    def digits(self, name: str) -> str:
        import pyotp

        return pyotp.TOTP(self.secrets[name]).at(self.clock.now())

    async def session(self, name: str) -> str:
        """The value of a session cookie of that person."""
        from leadapron.guard.identity.people import TotpCode

        done = await self.people.login(name, PASSWORD, TotpCode(self.digits(name)), "127.0.0.1")
        assert isinstance(done, LoggedIn), done
        self.clock.forward(TOTP_STEP_S)
        return done.session_token

    def token(self, name: str, may: tuple[str, ...], days: int = 1) -> str:
        return self.people.manage.make_token(name, may, days, "test", "test")

    def forget(self) -> None:
        """Start counting events anew."""
        self.events.clear()
        self.told.clear()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def cookie(session: str, **more: str) -> dict[str, str]:
    """As a browser sends it from a page of ours."""
    return {"Cookie": f"{SESSION_COOKIE}={session}", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"} | more


@contextlib.asynccontextmanager
async def guarding(
    home: Path,
    certificates: Certificates,
    archive: str,
    kind: str = "dicomweb",
    *,
    limits: Limits | None = None,
    web: dict[str, Any] | None = None,
    serve: dict[str, Any] | None = None,
    oidc: Callable[[People, str], Oidc] | None = None,
    clock: Clock | None = None,
    **options: Any,
) -> AsyncIterator[Served]:
    """A guard in front of the web server at ``archive``; ``options`` go to `build_app`."""
    clock = clock or Clock()
    events: list[Event] = []
    told: list[PeopleEvent] = []
    port = free_port()
    site = Site("localhost", (f"https://localhost:{port}",))
    limits = limits or Limits(connections=200, per_address=100, response_s=20)
    settings = Guard(
        archive=Archive(host=HOST, ae="OLDPACS", web=archive, web_kind=kind),
        names=("localhost", HOST),
        web=Web(listen=f"{HOST}:{port}", **(web or {})),
        oidc=None if oidc is None else OidcSettings(issuer="http://localhost", client_id="guard", secret_file=""),
        limits=limits,
    )
    assert settings.web is not None
    tls = server_context(certificates.server_certificate, certificates.server_key)
    with People(home / "guard", clock, on_event=told.append, site=site, hashing=CHEAP) as people:
        made = None if oidc is None else oidc(people, site.origins[0])
        app = build_app(settings, people, on_event=events.append, clock=clock, oidc=made, **options)
        server = await serve_web(app, listen=settings.web.listen, tls=tls, limits=limits, **(serve or {}))
        try:
            yield Served(app, server, people, clock, certificates, events, told)
        finally:
            await server.close()
            await app.close()
