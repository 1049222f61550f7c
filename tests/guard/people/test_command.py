"""``leadapron user …`` as it is typed, beside a running guard."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest

from guard.people.somebody import HERE, Held, refused
from leadapron.guard.audit.console import console_user
from leadapron.guard.identity.people import Begun, Event, LoggedIn, People, RecoveryCode, TotpCode
from leadapron.kernel.clock import SystemClock
from leadapron.kernel.seal import key_file

PASSWORD = "vier Kerzen im Advent"
BOUND_S = 60


class Console:
    """A terminal of the machine on which a guard runs; ``people`` is that guard's."""

    def __init__(self, data: Path) -> None:
        self.data = data
        key_file(data / "guard" / "guard.key")
        self.clock = Held()
        self.clock.moment = SystemClock().now()
        self.events: list[Event] = []
        self.people = People(data / "guard", self.clock, on_event=self.events.append)

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "leadapron", "user", *words, "--data", str(self.data)]

    def run(self, *words: str, typed: str = "", code: int = 0) -> str:
        """What it printed to stdout; ``self.said`` is stderr."""
        done = subprocess.run(
            self.command(*words), input=typed, capture_output=True, text=True, timeout=BOUND_S, cwd=self.data
        )
        assert done.returncode == code and "Traceback" not in done.stderr, done.stderr
        self.said = done.stderr
        return done.stdout

    def rows(self, *words: str) -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads(self.run(*words, "--format", "json"))
        return found


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    made = Console(tmp_path)
    yield made
    made.people.close()


def test_from_nothing_to_a_login(console: Console) -> None:
    assert console.run("list") == "" and "Nobody" in console.said
    console.run("add", "Curie", "--may", "web:query, web:retrieve", "--password-stdin", typed=PASSWORD + "\n")
    assert "second factor" in console.said
    (row,) = console.rows("list")
    assert (row["name"], row["state"], row["may"]) == ("Curie", "lacks a factor", ["web:query", "web:retrieve"])

    process = subprocess.Popen(
        console.command("factor", "Curie", "--totp"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None and process.stdout is not None
    uri = process.stdout.readline().strip()
    app = pyotp.parse_uri(uri)
    assert isinstance(app, pyotp.TOTP) and uri.startswith("otpauth://totp/")
    out, _ = process.communicate(f"000\n{app.now()}\n", timeout=BOUND_S)
    codes = out.split()
    assert process.returncode == 0 and len(codes) == 10

    refused(asyncio.run(console.people.login("Curie", "wrong wrong wrong", RecoveryCode(codes[0]), HERE)))
    done = asyncio.run(console.people.login("Curie", PASSWORD, RecoveryCode(codes[0]), HERE))
    assert isinstance(done, LoggedIn)
    (session,) = console.rows("sessions")
    assert (session["person"], session["from"]) == ("Curie", HERE)
    assert PASSWORD not in console.run("list") and "may log in" in console.run("list")

    console.run("session-end", str(session["number"]))
    assert console.people.session(done.session_token) is None
    console.run("session-end", str(session["number"]), code=2)
    fresh = console.run("factor", "curie", "--recovery-codes").split()
    console.clock.forward(120)
    assert isinstance(asyncio.run(console.people.login("Curie", PASSWORD, RecoveryCode(fresh[0]), HERE)), LoggedIn)
    console.run("disable", "Curie")
    assert console.run("sessions") == "" and console.rows("list")[0]["state"] == "disabled"
    console.run("enable", "Curie")
    console.run("factor", "Curie", "--forget")
    assert console.rows("list")[0]["state"] == "lacks a factor"

    console.events.clear()
    console.people.sweep()
    assert {event.by for event in console.events} == {console_user().user}
    assert [event.reason for event in console.events] == [
        "added",
        "new authenticator app and recovery codes",
        f"session {session['number']} ended",
        "new recovery codes",
        "disabled",
        "enabled",
        "factors forgotten",
    ]


def test_an_invitation_is_redeemed_in_the_browser(console: Console) -> None:
    code = console.run("add", "Curie", "--may", "web:query", "--invite").strip()
    assert "/guard/setup" in console.said

    async def redeem() -> LoggedIn | object:
        begun = await console.people.enrol(code, "", PASSWORD, HERE)
        assert isinstance(begun, Begun)
        app = pyotp.TOTP(begun.secret)
        await console.people.enrol_totp(begun.ticket, app.at(console.clock.now()), HERE)
        console.clock.forward(60)
        return await console.people.login("Curie", PASSWORD, TotpCode(app.at(console.clock.now())), HERE)

    assert isinstance(asyncio.run(redeem()), LoggedIn)
    again = console.run("invite", "Curie").strip()
    key = console.run("factor", "Curie", "--webauthn").strip()
    assert len({code, again, key}) == 3


def test_passwords(console: Console) -> None:
    console.run("add", "Curie", "--password-stdin", typed="curie\n", code=2)
    assert "12 characters" in console.said
    console.run("add", "Curie", "--password-stdin", typed="", code=2)
    console.run("add", "Curie", code=2)  # nobody is there to be asked
    console.run("add", "Curie", "--password-stdin", "--invite", typed=PASSWORD, code=2)
    assert console.rows("list") == []
    console.run("add", "Curie", "--password-stdin", typed=PASSWORD + "\r\n")
    console.run("add", "CURIE", "--password-stdin", typed=PASSWORD, code=2)
    console.run("password", "Curie", "--password-stdin", typed="passwort1234\n", code=2)
    console.run("password", "Curie", "--password-stdin", typed="ein ganz neues Wort\n")
    console.run("password", "Nobody", "--password-stdin", typed="ein ganz neues Wort\n", code=2)
    assert "user list" in console.said


def test_a_password_that_is_typed_is_not_shown(console: Console) -> None:
    child, terminal = pty.fork()
    if child == 0:
        words = console.command("add", "Curie", "--may", "web:query")
        os.execv(words[0], words)
    said, typed = b"", 0
    end = time.monotonic() + BOUND_S
    while time.monotonic() < end:
        ready, _, _ = select.select([terminal], [], [], 1)
        try:
            more = os.read(terminal, 4096) if ready else b""
        except OSError:  # Linux says so when the other end has closed
            break
        said += more
        if said.count(b": ") > typed and typed < 2:
            typed += 1
            os.write(terminal, PASSWORD.encode() + b"\n")
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0, said
    assert typed == 2 and PASSWORD.encode() not in said
    assert console.rows("list")[0]["state"] == "lacks a factor"


def test_permissions(console: Console) -> None:
    console.run("add", "Curie", "--may", "web:qeury", "--invite", code=2)
    assert "web:query" in console.said
    console.run("add", "Curie", "--may", "dicom:store", "--invite", code=2)
    assert "peer enrol" in console.said
    console.run("add", "Curie", "--invite")
    assert console.rows("list")[0]["may"] == [] and "nothing" in console.run("list")
    console.run("may", "Curie", "web:query,admin:audit")
    assert console.rows("list")[0]["may"] == ["admin:audit", "web:query"]
    console.run("may", "Curie", "")
    assert console.rows("list")[0]["may"] == []


def test_tokens(console: Console) -> None:
    console.run("add", "export", "--may", "web:query", "--oidc", "export@praxis.example")
    console.run("token", "export", "--may", "web:query", code=2)  # for ever
    console.run("token", "export", "--may", "web:query,web:delete", "--days", "30", code=2)
    console.run("token", "export", "--days", "30", code=2)
    secret = console.run("token", "export", "--may", "web:query", "--days", "30", "--label", "nightly").strip()
    found = console.people.token(secret, HERE)
    assert found is not None and found.owner == "export" and found.permissions == {"web:query"}
    (row,) = console.rows("tokens")
    assert (row["label"], row["state"], row["from"]) == ("nightly", "holds", HERE)
    assert secret not in console.run("tokens")
    console.run("token-revoke", str(row["number"]))
    assert console.people.token(secret) is None
    console.run("token-revoke", str(row["number"]), code=2)


def test_emergencies(console: Console) -> None:
    assert console.rows("emergency", "list") == []
    code = console.run("emergency", "arm", "--may", "web:query", "--hours", "2", "--days", "30").strip()
    assert "/guard/emergency" in console.said
    done = asyncio.run(console.people.break_glass(code, "Dr. Curie", "trauma room", HERE))
    assert isinstance(done, LoggedIn)
    (row,) = console.rows("emergency", "list")
    assert (row["state"], row["by"], row["reason"], row["label"]) == ("in use", "Dr. Curie", "trauma room", "safe")
    assert code not in console.run("emergency", "list")
    console.run("emergency", "arm", "--may", "web:query", "--label", "second")
    console.run("emergency", "disarm", "2")
    console.run("emergency", "disarm", "2", code=2)
    console.run("emergency", "arm", code=2)


def test_without_a_guard_nothing_is_made(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "leadapron", "user", "list", "--data", str(tmp_path / "none")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=BOUND_S, cwd=tmp_path)
    assert done.returncode == 2 and "init guard" in done.stderr and not list(tmp_path.iterdir())


def test_the_configuration_says_where(console: Console, tmp_path: Path) -> None:
    console.run("add", "Curie", "--invite")
    file = tmp_path / "other.toml"
    file.write_text(f'data = "{tmp_path}"\n[guard]\nnames = ["g.example"]\narchive = {{ host = "127.0.0.1" }}\n')
    words = [sys.executable, "-m", "leadapron", "user", "invite", "Curie", "--config", str(file)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=BOUND_S, cwd=tmp_path)
    assert done.returncode == 0 and "https://g.example:8443/guard/setup" in done.stderr, done.stderr
