"""``leadapron demo``: the first thing that anybody types."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from leadapron.cli import demo
from leadapron.lab.population import load, residents

MINUTES = 2  # within which it has ended by itself


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "leadapron", "demo", *arguments],
        cwd=cwd,
        env=os.environ | {"COLUMNS": "120", "XDG_DATA_HOME": str(cwd / "data")},
        capture_output=True,
        text=True,
        timeout=60 * MINUTES,
        check=False,
    )


@pytest.mark.timeout(60 * MINUTES + 30)
def test_it_shows_what_stands_open_writes_the_report_and_ends(tmp_path: Path) -> None:
    done = run(cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "SSL" not in done.stderr, done.stderr
    table, words = done.stdout.split("\n\n", 1)
    verdicts = re.findall(r"^127\.1\.0\.\d+:\d+(?: TLS)? +(\w+)", table, re.M)
    assert {"exposed", "open", "guarded", "decoy", "other"} <= set(verdicts)
    stood = re.search(r"([\d,]+) patients, ([\d,]+) studies and\s([\d,]+) images", words)
    assert stood is not None, words
    patients, studies, images = (int(number.replace(",", "")) for number in stood.groups())
    assert 0 < patients < studies < images
    assert "nothing of any patient was kept" in words
    page = (tmp_path / "demo-report.html").read_text("utf-8")
    assert f"{studies:,} studies" in page
    assert re.search(r"127\.1\.0\.17:\d+  exposed → closed", done.stderr), "one is behind a guard afterwards"
    assert "127.1.0.17:2762  closed → guarded (TLS: a client certificate is wanted)" in done.stderr
    assert "still gets its answers: 100 studies" in done.stderr
    assert "before and after" in page and page.count("nothing listens there any more") == 1
    assert (tmp_path / "demo-report.html").as_uri() in done.stderr, "it says where the report is"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo-report.html"], "nothing else is left behind"


def test_a_report_that_cannot_be_written_is_told_before_anything_starts(tmp_path: Path) -> None:
    done = run("--report", "nowhere/report.html", cwd=tmp_path)
    assert done.returncode == 2 and "--report" in done.stderr
    assert "Starting" not in done.stderr


def test_a_port_on_which_another_program_answers_everywhere_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.2", 0)) as elsewhere:
        monkeypatch.setattr(demo, "NOBODY", "127.0.0.1")
        ports = [taken.getsockname()[1], elsewhere.getsockname()[1]]
        assert demo.taken_ports(ports) == [ports[0]]


def test_the_street_without_a_port_keeps_all_other_doors() -> None:
    street = load(demo.POPULATION)
    before = [(one.address, one.port) for one in residents(street)]
    after = [(one.address, one.port) for one in residents(demo.without(street, {4242}))]
    assert after == [door for door in before if door[1] != 4242] != before
    assert demo.without(street, ()) == demo.without(demo.without(street, ()), ())
    assert not [one for one in residents(demo.without(street, {11112})) if one.unprivileged_port == 11112]


def test_commands_are_named_as_the_shell_finds_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [".venv/bin/leadapron", "demo"])
    assert demo.program() == ".venv/bin/leadapron"
    monkeypatch.setattr(sys, "argv", ["/somewhere/leadapron/__main__.py", "demo"])
    assert demo.program() == "leadapron"
    (tmp_path / "leadapron").touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", [".venv/bin/leadapron", "demo"])
    assert demo.program() == "leadapron"


def test_nobody_lives_where_nobody_lives() -> None:
    assert ip_address(demo.NOBODY) in ip_network(demo.TARGETS)
    assert demo.NOBODY not in {one.address for one in residents(load(demo.POPULATION))}
