"""The programs of docs/library.md run as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from leadapron.wire import aio
from leadapron.wire.aio.requestor import RequestorAssociation
from leadapron.wire.aio.service import Service
from peers.certificates import Certificates
from peers.process import Peer, free_port, launch
from peers.samples import TEST_FILES

PAGE = Path(__file__).parents[2] / "docs" / "library.md"
TEXT = PAGE.read_text(encoding="utf-8")
CLIENT, SERVER, SECURE = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


def run(program: Path, *arguments: str) -> str:
    result = subprocess.run(
        [sys.executable, str(program), *arguments],
        cwd=program.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


@pytest.mark.parametrize("program", [CLIENT, SERVER])
def test_twenty_lines(program: str) -> None:
    assert len([line for line in program.splitlines() if line.strip()]) <= 20


def test_the_client_talks_to_the_server(tmp_path: Path) -> None:
    port = free_port()
    for name, program in (("client.py", CLIENT), ("server.py", SERVER)):
        assert program.count("11112") == 1
        (tmp_path / name).write_text(program.replace("11112", str(port)))
    with launch(Peer("server.py", "ARCHIVE", port, tmp_path), [sys.executable, str(tmp_path / "server.py")]) as server:
        said = run(tmp_path / "client.py", str(TEST_FILES / "CT_small.dcm"), str(TEST_FILES / "CT_small.dcm"))
        assert server.log() == ""
    assert said.splitlines() == [
        "stored, status 0000",
        "stored, status 0000",
        "20040119 1.3.6.1.4.1.5962.1.2.1.20040119072730.12322",
        "1 studies, status 0000",
    ]


def test_the_secure_one(tmp_path: Path, certificates: Certificates) -> None:
    for source, name in (
        (certificates.authority, "authority.pem"),
        (certificates.server_certificate, "server.pem"),
        (certificates.server_key, "server.key"),
        (certificates.client_certificate, "client.pem"),
        (certificates.client_key, "client.key"),
    ):
        (tmp_path / name).write_bytes(source.read_bytes())
    (tmp_path / "secure.py").write_text(SECURE)
    assert run(tmp_path / "secure.py") == "status 0000 over TLSv1.3\n"


def test_every_operation_is_named_and_every_name_exists() -> None:
    for name in ("echo", "store", "store_file", "find", "find_into", "raw_find", "move", "get", "cancel", "accepted"):
        assert f"`{name}(" in TEXT or f"`await {name}(" in TEXT
        assert callable(getattr(RequestorAssociation, name))
    for name in ("echo", "store", "find", "move", "get", "n_action", "n_event_report", "on_associate"):
        assert re.search(rf"\b{name}\b", TEXT)
        assert callable(getattr(Service, name))
    for name in ("ServerLimits", "EndWith", "Progress", "Instance", "Reply", "Timeouts", "probe_context", "anyone"):
        assert re.search(rf"\b{name}\b", TEXT)
        assert getattr(aio, name)
