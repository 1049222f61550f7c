from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from leadapron.kernel.errors import UsageError
from leadapron.watch.find import gather


def look_up(name: str) -> list[str]:
    return {"pacs.example.org": ["10.0.0.5", "2001:db8::5"]}.get(name, [])


async def test_targets_and_files_become_one_set(tmp_path: Path) -> None:
    first, second = tmp_path / "a.txt", tmp_path / "b.xml"
    first.write_text("10.0.0.0/30 127.0.0.1:9101\npacs.example.org:104 gone.example.org\n")
    second.write_text(
        '<nmaprun><host><address addr="10.0.0.1" addrtype="ipv4"/><ports>'
        + "".join(f'<port protocol="tcp" portid="{port}"><state state="open"/></port>' for port in (4242, 9100, 9101))
        + "</ports></host></nmaprun>"
    )
    found = await gather(["10.0.0.0-1", "127.0.0.1:9100"], [first, str(second)], look_up=look_up)
    assert list(found.targets) == [
        *("10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.5", "127.0.0.1", "2001:db8::5"),
    ]
    assert found.targets.ports_of("10.0.0.1") == ((4242,), True)
    assert found.targets.ports_of("127.0.0.1") == ((9100, 9101), False), "who names a port means it"
    assert found.targets.names_of("2001:db8::5") == ("pacs.example.org",)
    assert found.unresolved == {"gone.example.org": "the name has no usable address"}
    (note,) = found.notes
    assert "left 2 open printer ports out" in note


async def test_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"10.0.0.1\n10.0.0.300\n")))
    with pytest.raises(UsageError, match=r"^stdin:2: '10\.0\.0\.300'"):
        await gather([], ["-"])


async def test_no_target_is_an_error(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("# nothing\n")
    with pytest.raises(UsageError, match="no target to scan; give"):
        await gather([], [empty])
    with pytest.raises(UsageError, match=r"gone\.example\.org: the name has no usable address"):
        await gather(["gone.example.org"], look_up=look_up)
    with pytest.raises(UsageError, match="cannot read the target file: No such file"):
        await gather([], [tmp_path / "none"])
    with pytest.raises(UsageError, match="cannot read the target file"):
        await gather([], [tmp_path])
