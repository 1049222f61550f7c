"""A peer whose rules name a user must show it too (PS3.7 D.3.3.7): the certificate alone is not enough for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from leadapron.guard.identity.people import People
from peers.process import HOST, free_port, run
from peers.samples import make_studies
from peers.servers import start_dcmqrscp
from scan.commanding import Command, command


@pytest.fixture(scope="module")
def guard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    home = tmp_path_factory.mktemp("second")
    with start_dcmqrscp(home / "archive", ae="PACS") as archive:
        port, config = free_port(), home / "leadapron.toml"
        for number, words in enumerate(
            (
                f"init guard --archive {HOST}:{archive.port} --archive-ae PACS --name localhost --listen {HOST}:{port} "
                f"--enrol {HOST}:{free_port()} --data {home / 'data'}",
                f"peer issue CT1 --ae CT1 --may store --out {home / 'keys'}",
            )
        ):
            done = command(home / f"command{number}", *words.split(), "--config", config)
            assert done.code == 0, done.err
        config.write_text(config.read_text() + 'user = "anna"\n')
        with Command(home / "up", "up", "--config", config, "--no-check") as up:
            up.until("it listens", lambda: "DICOM over TLS" in up.err)
            yield home, port


@pytest.fixture(scope="module")
def tokens(guard: tuple[Path, int]) -> dict[str, str]:
    with People(guard[0] / "data" / "guard") as people:
        for name in ("anna", "berta"):
            people.manage.add(name, ["web:query"], "test", password="a long pass phrase of mine")
        return {name: people.manage.make_token(name, ["web:query"], 1, "test") for name in ("anna", "berta")}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_studies(tmp_path_factory.mktemp("image"), 1)[0]


def stored(guard: tuple[Path, int], image: Path, *identity: str) -> bool:
    home, port = guard
    keys = home / "keys"
    tls = ["+tls", str(keys / "peer.key"), str(keys / "peer.pem"), "+cf", str(keys / "authority.pem")]
    done = run(["storescu", *tls, *identity, "-aet", "CT1", "-aec", "PACS", HOST, str(port), str(image)])
    assert "nknown option" not in done.stdout
    return done.returncode == 0


def test_name_and_passcode_let_it_in(guard: tuple[Path, int], tokens: dict[str, str], image: Path) -> None:
    assert stored(guard, image, "--user", "anna", "--password", tokens["anna"])


@pytest.mark.parametrize(
    "shown", ["nothing", "the name alone", "no passcode", "another's passcode", "another's name", "a changed one"]
)
def test_anything_less_does_not(guard: tuple[Path, int], tokens: dict[str, str], image: Path, shown: str) -> None:
    secret = tokens["anna"]
    changed = secret[:-3] + ("x" if secret[-3] != "x" else "y") + secret[-2:]
    identity = {
        "nothing": [],
        "the name alone": ["--user", "anna"],
        "no passcode": ["--user", "anna", "--empty-password"],
        "another's passcode": ["--user", "anna", "--password", tokens["berta"]],
        "another's name": ["--user", "berta", "--password", tokens["berta"]],
        "a changed one": ["--user", "anna", "--password", changed],
    }[shown]
    assert not stored(guard, image, *identity)


def test_a_passcode_that_was_taken_back_is_none(guard: tuple[Path, int], tokens: dict[str, str], image: Path) -> None:
    home = guard[0] / "data" / "guard"
    assert stored(guard, image, "--user", "anna", "--password", tokens["anna"])
    with People(home) as people:
        (row,) = [row for row in people.manage.tokens() if row.owner == "anna"]
        assert people.manage.revoke_token(row.id, "test")
    assert not stored(guard, image, "--user", "anna", "--password", tokens["anna"])
