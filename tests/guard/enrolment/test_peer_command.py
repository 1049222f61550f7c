"""``leadapron peer``: from a line in the configuration to a machine that is let in, and out again."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import tomllib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12

from guard.enrolment.serving import Serving
from guard.identity.making import NAMES, der
from leadapron.cli import peer_table
from leadapron.cli.main import root
from leadapron.guard.audit.look import Look, Wanted
from leadapron.guard.audit.verify import verify
from leadapron.guard.identity.authority import Authority
from leadapron.guard.identity.codes import parse
from leadapron.guard.identity.issuing import open_codes
from leadapron.guard.identity.registry import PeerIdentity, Registry
from leadapron.guard.identity.renewal import install_server
from leadapron.kernel.errors import LeadApronError
from leadapron.kernel.seal import key_file

CONFIG = """\
# Our practice. Ask Dr. Example before you change anything.
data = "{data}"

[guard]  # the guard
listen = "127.0.0.1:2762"
enrol = "127.0.0.1:2780"
names = ["guard.example"]

[guard.archive]
host = "127.0.0.1"   # the old one

[[guard.peer]]
name = "MR1"   # upstairs
ae = "MR1"
may = ["store"]
"""
Run = Callable[..., Result]


class Practice:
    """A guard with its configuration, and the command line in its directory."""

    def __init__(self, root: Path) -> None:
        self.root, self.home = root, root / "data" / "guard"
        self.file = root / "leadapron.toml"
        self.file.write_text(CONFIG.format(data=root / "data"))
        install_server(self.home, Authority.create(self.home, "Practice"), NAMES)

    def run(self, *arguments: object, input: str = "", fails: str | None = None) -> str:
        result = CliRunner().invoke(root, ["peer", *map(str, arguments)], input=input)
        if fails is None:
            assert result.exception is None, (result.output, result.exception)
        else:
            said = str(result.exception) if isinstance(result.exception, LeadApronError) else result.output
            assert result.exception is not None and fails in said, said
            assert isinstance(result.exception, LeadApronError | SystemExit), repr(result.exception)
        self.said = result.stderr
        return result.stdout

    def registry(self) -> Registry:
        return Registry(self.home)

    def peers(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads(self.run("list", "--format", "json"))["peers"]
        return found


@pytest.fixture
def practice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Practice:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEADAPRON_CONFIG", raising=False)
    return Practice(tmp_path)


# ---- enrol, join, renew, revoke --------------------------------------------------------------------------------------


def test_a_machine_is_let_in_renews_and_is_shut_out(practice: Practice, tmp_path: Path) -> None:
    with Serving(practice.home) as service:
        said = practice.run("enrol", "CT1", "--ae", "CT1", "--may", "store,echo", "--host", f"127.0.0.1:{service.port}")
        assert "may store, echo" in practice.said and "within 48 hours" in practice.said
        line = said.strip().removeprefix("leadapron peer join ")
        assert [row["state"] for row in practice.peers()] == ["invited, 48 h left", "no certificate"]
        out = tmp_path / "ct1"
        written = practice.run("join", line, "--out", out).split()
        assert written == [str(out / name) for name in ("peer.key", "peer.pem", "authority.pem")]
        assert "This machine is CT1" in practice.said
        practice.run("join", line, "--out", tmp_path / "other", fails="the guard refuses")
        first = (out / "peer.pem").read_bytes()
        practice.run("renew", out)
        assert "nothing to do yet" in practice.said and (out / "peer.pem").read_bytes() == first
        practice.run("renew", out, "--now")
        assert (out / "peer.pem").read_bytes() != first
        with practice.registry() as registry:
            identity = registry.identify(der((out / "peer.pem").read_bytes()), "CT1")
            assert isinstance(identity, PeerIdentity) and registry.valid(identity)
            registry.seen(identity, "127.0.0.5")
            registry.unknown("WHO\x1b[31m", "127.0.0.66", "no certificate")
            registry.flush()
            table = practice.run("list")
            assert practice.run("revoke", "CT1", "--why", "lent to a stranger").count("ended") == 2
            assert not registry.valid(identity)
        header, ct1, mr1, *_, stranger = table.splitlines()
        assert header.split()[:4] == ["NAME", "AE", "MAY", "STATE"]
        assert ct1.split()[:4] == ["CT1", "CT1", "store,echo", "valid"] and "127.0.0.5" in ct1
        assert mr1.split()[:3] == ["MR1", "MR1", "store"] and "no certificate" in mr1
        assert "WHO?[31m" in stranger and "127.0.0.66" in stranger and "\x1b" not in table
        assert [row["state"] for row in practice.peers()] == ["revoked", "no certificate"]
        practice.run("renew", out, "--now", fails="the guard refuses")


def test_a_code_can_be_read_from_standard_input(practice: Practice, tmp_path: Path) -> None:
    with Serving(practice.home) as service:
        said = practice.run("enrol", "CT1", "--ae", "CT1", "--host", f"127.0.0.1:{service.port}")
        practice.run("join", input=said.removeprefix("leadapron peer join "))
    assert (tmp_path / "data" / "peer" / "peer.key").exists()


def test_where_nothing_can_be_written_the_code_stays_good(practice: Practice, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with Serving(practice.home) as service:
        said = practice.run("enrol", "CT1", "--ae", "CT1", "--host", f"127.0.0.1:{service.port}")
        code = said.removeprefix("leadapron peer join ").strip()
        practice.run("join", code, "--out", tmp_path / "file" / "x", fails="file/x: Not a directory; mend that")
        practice.run("join", code, "--out", tmp_path / "dir" / "x")
        (tmp_path / "dir" / "x" / "next-peer.key").mkdir()
        before = (tmp_path / "dir" / "x" / "peer.pem").read_bytes()
        practice.run("renew", tmp_path / "dir" / "x", "--now", fails="Is a directory")
    assert (tmp_path / "dir" / "x" / "peer.pem").read_bytes() == before


def test_the_code_names_the_guards_first_name(practice: Practice) -> None:
    said = practice.run("enrol", "CT1", "--ae", "CT1", "--code-hours", 2)
    code = parse(said.strip().removeprefix("leadapron peer join "))
    assert (code.host, code.port) == ("guard.example", 2780)
    with practice.registry() as registry:
        (promised,) = open_codes(registry)
        assert promised.expires_at - registry.clock.now() <= timedelta(hours=2)
    practice.file.write_text(practice.file.read_text().replace('names = ["guard.example"]', ""))
    practice.run("enrol", "CT2", "--ae", "CT2", fails="--host HOST:PORT does")


def test_the_configuration_keeps_what_it_had(practice: Practice) -> None:
    before = practice.file.read_text()
    practice.file.chmod(0o640)
    options = ["--may", "find,retrieve", "--from", "10.0.4.0/24, 10.0.5.7", "--move-to", "CT 1", "--modalities", "CT"]
    options += ["--hours", "07:00-20:00", "--receive", "10.0.4.9:2762"]
    practice.run("enrol", "reading-1", "--ae", "CT 1 ", *options)
    after = practice.file.read_text()
    assert after.startswith(before) and practice.file.stat().st_mode & 0o777 == 0o640
    assert tomllib.loads(after)["guard"]["peer"][1] == {
        "name": "reading-1",
        "ae": "CT 1",
        "may": ["find", "retrieve"],
        "from": ["10.0.4.0/24", "10.0.5.7"],
        "move_to": ["CT 1"],
        "modalities": ["CT"],
        "hours": "07:00-20:00",
        "receive": "10.0.4.9:2762",
    }
    practice.run("enrol", "CT2", "--ae", "CT2")
    assert "may do nothing yet" in practice.said
    assert practice.file.read_text().startswith(after)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away, and only root took it")
def test_behind_sudo_the_configuration_stays_whose_it_was(practice: Practice) -> None:
    practice.file.chmod(0o644)
    os.chown(practice.file, 65534, 65533)
    practice.run("enrol", "CT1", "--ae", "CT1")
    seen = practice.file.stat()
    assert (seen.st_uid, seen.st_gid, seen.st_mode & 0o777) == (65534, 65533, 0o644)
    assert "CT1" in practice.file.read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["MR1", "--ae", "OTHER"],
            "leadapron.toml:13: the peer MR1 stands there already; a further code for it: --again",
        ),
        (["mr1", "--ae", "OTHER"], "the peer MR1 stands there already"),
        (["CT1", "--ae", "MR1"], "is that of the peer MR1"),
        (["CT1"], "--ae is missing"),
        (["a/b", "--ae", "CT1"], "a peer's name has"),
        (["CT1", "--ae", "CT\\1"], "an AE title has"),
        (["CT1", "--ae", "CT1", "--may", "stor"], 'the closest one is "store"'),
        (["CT1", "--ae", "CT1", "--from", "10.0.0.0/99"], "from"),
        (["CT1", "--ae", "CT1", "--hours", "soon"], "no hours"),
        (["CT1", "--ae", "CT1", "--host", "guard"], "should be HOST:PORT"),
        (["CT1", "--again"], "has no peer 'CT1'; the closest one is MR1"),
        (["MR1", "--again", "--may", "find"], "change it there"),
        (["MR1", "--again", "--ae", "X"], "the AE title of MR1 is MR1"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(practice: Practice, arguments: list[str], says: str) -> None:
    before = practice.file.read_text()
    practice.run("enrol", *arguments, fails=says)
    assert practice.file.read_text() == before
    with practice.registry() as registry:
        assert open_codes(registry) == []


def test_another_code_for_a_known_one(practice: Practice) -> None:
    before = practice.file.read_text()
    practice.run("enrol", "MR1", "--again")
    assert practice.file.read_text() == before and "may store" in practice.said
    with practice.registry() as registry:
        assert [(code.name, code.ae) for code in open_codes(registry)] == [("MR1", "MR1")]
    assert "1 open code withdrawn" in practice.run("revoke", "MR1")


def test_where_rules_cannot_be_written_the_code_is_taken_back(
    practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("leadapron.guard.peer_tables.write_whole", full)
    practice.run("enrol", "CT1", "--ae", "CT1", fails="No space left")
    with practice.registry() as registry:
        assert open_codes(registry) == []


# ---- devices that cannot join ----------------------------------------------------------------------------------------


def test_a_device_imports(practice: Practice, tmp_path: Path) -> None:
    file, out = tmp_path / "us2.p12", tmp_path / "us2"
    said = practice.run(
        "issue", "US2", "--ae", "US2", "--may", "store", "--pkcs12", file, "--out", out, "--rsa", "--days", 90
    )
    key, certificate, above = pkcs12.load_key_and_certificates(file.read_bytes(), said.strip().encode())
    assert isinstance(key, rsa.RSAPrivateKey) and certificate is not None and len(above) == 1
    assert "shown only now" in practice.said and file.stat().st_mode & 0o777 == 0o600
    pem = load_pem_private_key((out / "peer.key").read_bytes(), None)
    assert pem.public_key() == key.public_key()
    with practice.registry() as registry:
        assert isinstance(registry.identify(der((out / "peer.pem").read_bytes()), "US2"), PeerIdentity)
    held = b"".join(path.read_bytes() for path in practice.home.rglob("*") if path.is_file())
    assert (out / "peer.key").read_bytes() not in held
    again = tmp_path / "again.p12"
    secret = practice.run("export", out, "--pkcs12", again, "--legacy").strip()
    ran = subprocess.run(
        ["openssl", "pkcs12", "-in", str(again), "-noout", "-info", "-passin", f"pass:{secret}"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ran.returncode == 0 and "3-KeyTripleDES" in ran.stderr
    practice.run("export", out, "--pkcs12", again, fails="exists")
    practice.run("export", "US2", "--pkcs12", "x.p12", fails="The guard has no keys of machines that joined")
    practice.run("export", out, fails="--pkcs12 FILE")


def test_the_password_can_be_ones_own(practice: Practice, tmp_path: Path) -> None:
    own = "correct horse battery"
    said = practice.run("issue", "US2", "--ae", "US2", "--pkcs12", "us2.p12", "--ask", input=f"{own}\n{own}\n")
    assert own not in said + practice.said
    assert pkcs12.load_key_and_certificates((tmp_path / "us2.p12").read_bytes(), own.encode())[0] is not None
    practice.run("issue", "US3", "--ae", "US3", fails="--out DIR")
    practice.run("issue", "US3", "--ae", "US3", "--pkcs12", "us2.p12", fails="exists")


# ---- the rest --------------------------------------------------------------------------------------------------------


def test_explain_says_what_and_why(practice: Practice) -> None:
    said = practice.run("explain", "MR1", "store")
    assert said.startswith("MR1 may store.") and "leadapron.toml:15" in said
    said = practice.run("explain", "MR1", "find", "--address", "10.0.0.1", "--at", "2027-01-31T22:00")
    assert said.startswith("MR1 may not find.") and "to allow it" in said
    assert practice.run("explain", "XX", "find").startswith("'XX' may do nothing")
    practice.run("explain", "MR1", "fnd", fails='the closest one is "find"')
    practice.run("explain", "MR1", "find", "--at", "soon", fails="a time looks like")


def test_explain_takes_no_address_that_is_none(practice: Practice) -> None:
    assert "may store" in practice.run("explain", "MR1", "store", "--address", "10.0.0.3")
    practice.run("explain", "MR1", "store", "--address", "10.0.0.300", fails="'10.0.0.300' is no address")


def test_renewing_what_is_not_there(practice: Practice) -> None:
    practice.run("renew", "nowhere", fails="nowhere/peer.pem is not there: 'leadapron peer join' gets it")


def test_who_is_not_there_cannot_be_revoked(practice: Practice) -> None:
    practice.run("revoke", "CT1", fails="nothing that holds is called 'CT1'")
    practice.run("issue", "CT1", "--ae", "CT1", "--out", "ct1")
    practice.run("revoke", "CT2", fails="the closest name is CT1")
    serial = str(practice.peers()[0]["serial"])
    assert "ended" in practice.run("revoke", serial[:8])
    practice.run("revoke", serial, fails="nothing that holds")


def test_a_certificate_without_rules_is_flagged(practice: Practice) -> None:
    practice.run("issue", "CT1", "--ae", "CT1", "--out", "ct1")
    practice.file.write_text(CONFIG.format(data=practice.root / "data"))
    assert [(row["name"], row["state"]) for row in practice.peers()] == [("CT1", "no rules"), ("MR1", "no certificate")]


@pytest.mark.parametrize("columns", [200, 100, 80, 60, 20])
def test_the_list_fits_the_terminal(practice: Practice, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    practice.run("issue", "reading-room-with-a-long-name", "--ae", "READING", "--may", "find,retrieve", "--out", "x")
    with practice.registry() as registry:
        found = registry.recognise(der((practice.root / "x" / "peer.pem").read_bytes()))
        assert isinstance(found, PeerIdentity)
        registry.seen(found, "2001:db8::1234:5678:9abc")
    whole = practice.run("list").splitlines()
    assert "2001:db8::1234:5678:9abc" in whole[2] and "FIRST SEEN" in whole[0]
    monkeypatch.setattr(peer_table, "_room", lambda: columns)
    lines = practice.run("list").splitlines()
    assert max(map(len, lines)) <= columns and lines[0].startswith("NAME")
    assert columns < 60 or "STATE" in lines[0]


def test_nobody_at_all(practice: Practice) -> None:
    practice.file.write_text(practice.file.read_text().partition("[[guard.peer]]")[0])
    assert "No machine may come in yet" in practice.run("list")


def test_without_a_guard_nothing_is_made(tmp_path: Path, practice: Practice) -> None:
    elsewhere = tmp_path / "elsewhere"
    practice.run("list", "--data", elsewhere, fails="there is no guard in")
    practice.run("list", "--config", tmp_path / "none.toml", fails="cannot read the configuration file")
    assert not elsewhere.exists()
    practice.file.unlink()
    practice.run("list", fails="init guard")


def test_what_was_done_is_in_the_trail(practice: Practice) -> None:
    practice.run("enrol", "CT1", "--ae", "CT1")
    practice.run("revoke", "CT1", "--why", "a mistake")
    practice.run("issue", "US1", "--ae", "US1", "--out", "us1")
    key = key_file(practice.home / "guard.key")
    assert verify(practice.home, key).whole
    told = [text for _, text in Look(practice.home).entries(Wanted()) if "Security Configuration" in text]
    assert len(told) == 3
    details = [b"".join(map(base64.b64decode, re.findall('value="([A-Za-z0-9+/=]+)"', text))) for text in told]
    assert details[0] == b"peer CT1 (AE title CT1): one-time code made"
    assert details[1] == b"peer CT1: one-time code withdrawn: a mistake"
    assert details[2].startswith(b"peer US1 (AE title US1): certificate ")
