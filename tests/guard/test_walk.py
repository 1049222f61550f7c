"""From nothing to a guard: the README's walk with the real commands, a real archive and real senders.

An old archive that answers everybody; ``init guard``, ``up``, ``peer enrol`` here, ``peer join`` there. What a machine
may do works, what it may not do does not; strangers stay outside; it is shut out at once; the trail tells it all.
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from peers.process import HOST, Peer, free_port, run
from peers.samples import make_studies
from peers.servers import start_dcmqrscp
from scan.commanding import Command, Done, command

STUDIES = 3


@dataclass
class Practice:
    """An archive, a guard that runs in front of it, and a directory for the machine that joins."""

    home: Path
    archive: Peer
    port: int
    up: Command
    init: Done

    @property
    def config(self) -> Path:
        return self.home / "leadapron.toml"

    def lead(self, *arguments: str | Path) -> Done:
        """A command of ours beside the guard."""
        number = len(list(self.home.glob("command*")))
        return command(self.home / f"command{number}", *arguments)

    def peer(self, verb: str, *arguments: str | Path) -> Done:
        return self.lead("peer", verb, *arguments, "--config", self.config)

    def scu(self, program: str, *arguments: str | Path, ae: str = "CT1", keys: Path | None = None) -> tuple[int, str]:
        """A tool of DCMTK over TLS through the guard, with the keys that ``peer join`` wrote, or none."""
        tls = ["+tla", "-ic"]
        if keys is not None:
            tls = ["+tls", str(keys / "peer.key"), str(keys / "peer.pem"), "+cf", str(keys / "authority.pem")]
        done = run([program, "-v", *tls, "-aet", ae, "-aec", "PACS", HOST, str(self.port), *map(str, arguments)])
        return done.returncode, done.stdout


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Practice]:
    home = tmp_path_factory.mktemp("practice")
    with start_dcmqrscp(home / "archive", ae="PACS") as archive:
        port, enrol = free_port(), free_port()
        init = command(
            home / "init",
            *("init", "guard", "--archive", f"{HOST}:{archive.port}", "--archive-ae", "PACS"),
            *("--name", "localhost", "--name", HOST, "--listen", f"{HOST}:{port}", "--enrol", f"{HOST}:{enrol}"),
            *("--config", home / "leadapron.toml", "--data", home / "data"),
        )
        assert init.code == 0, init.err
        with Command(home / "up", "up", "--config", home / "leadapron.toml") as up:
            up.until("it listens", lambda: "DICOM over TLS" in up.err)
            yield Practice(home, archive, port, up, init)


@pytest.fixture(scope="module")
def keys(practice: Practice) -> Path:
    """CT1 has joined."""
    enrolled = practice.peer("enrol", "CT1", "--ae", "CT1", "--may", "store,echo")
    assert enrolled.code == 0, enrolled.err
    code = re.search(r"leadapron peer join (\S+)", enrolled.out + enrolled.err)
    assert code is not None, enrolled.out
    joined = practice.lead("peer", "join", code[1], "--out", practice.home / "ct1")
    assert joined.code == 0, joined.err
    again = practice.lead("peer", "join", code[1], "--out", practice.home / "thief")
    assert again.code != 0, "a code is good once"
    assert practice.scu("echoscu", keys=practice.home / "ct1")[0] == 0, "at once, while the guard runs"
    return practice.home / "ct1"


def test_init_says_what_is_next_and_leaves_what_is_there(practice: Practice) -> None:
    assert "leadapron peer enrol" in practice.init.out and "leadapron up" in practice.init.out
    before = practice.config.read_text()
    again = practice.lead(
        "init", "guard", "--archive", f"{HOST}:1", "--archive-ae", "X", "--name", "y", "--config", practice.config
    )
    assert again.code == 2 and "[guard] already" in again.err
    assert practice.config.read_text() == before
    for file in (practice.home / "data" / "guard").rglob("*"):
        assert file.stat().st_mode & 0o077 == 0, f"others may look into {file.name}"


def test_what_the_machine_may_do_works(practice: Practice, keys: Path, tmp_path: Path) -> None:
    images = make_studies(tmp_path / "images", STUDIES)
    assert practice.scu("echoscu", keys=keys)[0] == 0
    code, said = practice.scu("storescu", *images, keys=keys)
    assert code == 0, said
    stored = [
        path for path in (practice.archive.home / "database").rglob("*") if path.is_file() and path.name != "index.dat"
    ]
    assert len(stored) == len(images)


def test_what_it_may_not_do_does_not(practice: Practice, keys: Path) -> None:
    code, said = practice.scu("findscu", "-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientName", keys=keys)
    assert code != 0 and "I: ---------------------------" not in said
    explained = practice.peer("explain", "CT1", "find")
    assert "leadapron.toml:" in explained.out and "may" in explained.out


def test_strangers_stay_outside(practice: Practice, keys: Path) -> None:
    assert practice.scu("echoscu")[0] != 0, "no certificate"
    assert practice.scu("echoscu", ae="CT2", keys=keys)[0] != 0, "another's AE title"
    plain = run(["echoscu", "-aet", "CT1", "-aec", "PACS", HOST, str(practice.port)])
    assert plain.returncode != 0, "no TLS"
    checked = practice.lead("check", "--config", practice.config, "--format", "json")
    places = {place["role"]: place for place in json.loads(checked.out)["places"]}
    assert checked.code == 0 and places["guard"]["state"] == "closed to strangers"
    # The old archive knows one title only, which a stranger does not guess; it is on this machine anyway.
    assert places["archive"]["state"] in ("closed to strangers", "this machine only")


def test_shut_out_at_once_and_all_of_it_is_told(practice: Practice, keys: Path) -> None:
    assert practice.scu("echoscu", keys=keys)[0] == 0
    assert practice.peer("revoke", "CT1", "--why", "sold").code == 0
    assert practice.scu("echoscu", keys=keys)[0] != 0
    listed = practice.peer("list")
    assert "CT1" in listed.out and "revoked" in listed.out
    practice.up.signal(signal.SIGTERM)
    done = practice.up.end()
    assert done.code == 0, done.err
    data = practice.home / "data"
    assert practice.lead("audit", "verify", "--data", data).code == 0
    shown = practice.lead("audit", "show", "--data", data, "--format", "jsonl").out
    assert shown.count("\n") > 10
