"""What lies in deploy/ fits the command: options exist, systemd reads the unit, the image has what it copies."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from leadapron.cli.up import command

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "leadapron.service"


def test_the_unit_runs_a_command_that_there_is() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(UNIT.read_text())
    words = unit["Service"]["ExecStart"].split()
    known = {option for parameter in command.params for option in parameter.opts}
    assert words[1] == "up" and all(word in known for word in words if word.startswith("--"))
    assert unit["Service"]["User"] != "root" and unit["Service"]["NoNewPrivileges"] == "yes"
    written = unit["Service"]["ReadWritePaths"].split()
    assert any(words[words.index("--config") + 1].startswith(path) for path in written), "peer enrol writes the rules"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_reads_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/leadapron/bin/leadapron", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=30, check=False)
    assert UNIT.name not in done.stderr, done.stderr


def test_the_image_copies_what_there_is() -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.M):
        *sources, _ = line.split()
        assert all((ROOT / source).exists() for source in sources), line
    assert re.search(r"^USER leadapron$", text, re.M) and "ENTRYPOINT" in text
