"""A console that runs on loopback over lifelike rows, with people who may what a test says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pyotp
import sqlalchemy as sa

from guard.people.somebody import CHEAP, PASSWORD, Held
from leadapron.console.parts import Parts
from leadapron.console.running import Running, run_console
from leadapron.console.settings import Console
from leadapron.guard.identity.people import LoggedIn, People, TotpCode
from peers.process import HOST, free_port

VIEW, WORK, SEND, SCAN = "console:view", "console:work", "console:send", "console:scan"
ALL = (VIEW, WORK, SEND, SCAN)
COOKIE = "leadapron-session"
TOTP_STEP_S = 60


@dataclass
class Served:
    running: Running
    clock: Held
    engine: sa.Engine
    secrets: dict[str, str] = field(default_factory=dict)

    @property
    def base(self) -> str:
        return f"http://{HOST}:{self.running.port}"

    @property
    def people(self) -> People:
        return self.running.people

    def client(self, session: str | None = None, **headers: str) -> httpx2.AsyncClient:
        """As a browser asks from one of our own pages."""
        given = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"} | headers
        if session is not None:
            given["Cookie"] = f"{COOKIE}={session}"
        return httpx2.AsyncClient(
            base_url=self.base, headers=given, trust_env=False, timeout=30, follow_redirects=False
        )

    def person(self, name: str = "anna", may: tuple[str, ...] = ALL) -> str:
        """Adds somebody with password and authenticator app."""
        kept = self.people.manage.add(name, may, "test", password=PASSWORD)
        secret, _ = self.people.manage.new_totp(kept)
        code = pyotp.TOTP(secret).at(self.clock.now())
        assert self.people.manage.confirm_totp(kept, secret, code, "test") is not None
        self.secrets[kept] = secret
        self.clock.forward(TOTP_STEP_S)
        return kept

    def digits(self, name: str) -> str:
        return pyotp.TOTP(self.secrets[name]).at(self.clock.now())

    async def session(self, name: str = "anna", may: tuple[str, ...] = ALL) -> str:
        """The value of a session cookie of that person, who is made where there is none yet."""
        if name not in self.secrets:
            self.person(name, may)
        done = await self.people.login(name, PASSWORD, TotpCode(self.digits(name)), HOST)
        assert isinstance(done, LoggedIn), done
        self.clock.forward(TOTP_STEP_S)
        return done.session_token


@asynccontextmanager
async def console(
    home: Path, engine: sa.Engine, parts: Parts | None = None, clock: Held | None = None, **settings: Any
) -> AsyncIterator[Served]:
    clock = clock or Held()
    chosen = Console(listen=f"{HOST}:{free_port()}", **settings)
    async with run_console(
        chosen,
        engine=engine,
        home=home / "guard",
        parts=parts,
        clock=clock,
        hashing=CHEAP,
        on_event=lambda event: None,
    ) as running:
        yield Served(running, clock, engine)
