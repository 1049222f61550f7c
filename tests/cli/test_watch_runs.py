"""From nothing to a watch that runs: ``init watch``, then ``up`` with a campaign, its follow-up and the console."""

from __future__ import annotations

import re
import signal
import tomllib
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa

from leadapron.lab import ArchiveSpec, EndpointSpec, LabProcess, Population
from leadapron.watch.track.database import open_engine
from leadapron.watch.track.tables import cases, exposures
from peers.process import free_port
from scan.commanding import Command, command

OPEN = EndpointSpec(address="127.9.71.1", port=0, persona="dcmtk", archive=ArchiveSpec(studies=40))
GUARDED = EndpointSpec(address="127.9.71.2", port=0, persona="rejects-calling")


def rows(home: Path, query: sa.Select[tuple[object, ...]]) -> list[tuple[object, ...]]:
    engine = open_engine(home / "data")
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(query)]
    finally:
        engine.dispose()


def test_a_campaign_runs_and_is_followed_up(tmp_path: Path) -> None:
    port = free_port()
    with LabProcess(Population("two", [OPEN, GUARDED])) as lab:
        ports = ",".join(str(one.port) for one in lab.truth())
        place = f"127.0.0.1:{port}"
        made = command(tmp_path, "init", "watch", "--target", "127.9.71.0/30", "--name", "two", "--console", place,
                       "--data", "data")  # fmt: skip
        assert made.code == 0 and "leadapron up" in made.out
        file = tmp_path / "leadapron.toml"
        text = file.read_text().replace('depth = "count"', f"depth = 'count'\nports = [{ports}]")
        file.write_text(text.replace("[lookups]", "[lookups]\ndns = false\nrdap = false"))
        with Command(tmp_path / "up", "up", "--config", file) as up:
            up.until("the round is done", lambda: "cases: 1 new" in up.err)
            up.until("the console is there", lambda: "first?token=" in up.err)
            found = re.search(r"http://\S+/first\?token=\S+", up.err)
            assert found is not None
            with httpx2.Client(follow_redirects=True) as browser:
                page = browser.get(found[0])
                assert page.status_code == 200 and "Exposures" in page.text
                exposure = browser.get(f"http://{place}/exposures")
                assert exposure.status_code == 200 and "127.9.71.1" in exposure.text
            with httpx2.Client(follow_redirects=False) as stranger:
                assert stranger.get(f"http://{place}/exposures").status_code in (302, 303, 401)
                assert stranger.get(found[0]).status_code in (302, 303, 403, 404, 410)  # it was good once
            up.signal(signal.SIGTERM)
            assert up.end().code == 0
    assert rows(tmp_path, sa.select(exposures.c.address, exposures.c.state)) == [("127.9.71.1", "open")]
    assert rows(tmp_path, sa.select(cases.c.state)) == [("new",)]


def test_people_can_be_let_in_before_anything_runs(tmp_path: Path) -> None:
    made = command(tmp_path, "init", "watch", "--target", "127.9.71.0/30", "--console", "127.0.0.1:8499")
    assert made.code == 0
    let_in = command(tmp_path, "user", "add", "anna", "--invite", "--may", "console:view")
    assert let_in.code == 0 and "http://localhost:8499/guard/setup" in let_in.out + let_in.err


def test_init_leaves_what_is_there(tmp_path: Path) -> None:
    file = tmp_path / "leadapron.toml"
    file.write_text("# mine\n[lookups]\ndns = false  # no resolver here\n")
    first = command(tmp_path, "init", "watch", "--target", "127.9.71.0/30", "--name", "a")
    assert first.code == 0, first.err
    second = command(tmp_path, "init", "watch", "--target", "127.9.72.0/30", "--name", "b", "--every", "12h")
    assert second.code == 0, second.err
    text = file.read_text()
    assert text.startswith("# mine\n[lookups]\ndns = false  # no resolver here\n")
    assert [one["name"] for one in tomllib.loads(text)["watch"]["campaign"]] == ["a", "b"]
    again = command(tmp_path, "init", "watch", "--target", "127.9.72.0/30", "--name", "b")
    assert again.code == 2 and "called 'b'" in again.err and file.read_text() == text


def test_init_names_commands_that_find_the_file(tmp_path: Path) -> None:
    made = command(tmp_path, "init", "watch", "--target", "127.9.71.1", "--config", "my watch.toml")
    assert made.code == 0, made.err
    assert f"export LEADAPRON_CONFIG='{tmp_path / 'my watch.toml'}'" in made.out
    assert "--config" not in made.out  # `scan` has none
    assert "export" not in command(tmp_path, "init", "watch", "--target", "127.9.71.1").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--scope or --target is missing"),
        (("--target", "127.0.0.1", "--every", "often"), 'write "12h"'),
        (("--target", "127.0.0.1", "--name", "../up"), "cannot be called"),
        (("--target", "127.0.0.1", "--console", "127.0.0.1:none"), "--console"),
    ],
)
def test_init_says_what_is_wrong_and_writes_nothing(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = command(tmp_path, "init", "watch", *arguments)
    assert done.code == 2 and said in done.err
    assert not (tmp_path / "leadapron.toml").exists()


def test_up_without_anything_to_run_says_how_to_begin(tmp_path: Path) -> None:
    (tmp_path / "leadapron.toml").write_text("[lookups]\ndns = false\n")
    done = command(tmp_path, "up")
    assert done.code == 2 and "init guard" in done.err and "init watch" in done.err
