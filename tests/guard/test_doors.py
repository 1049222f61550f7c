"""What ``init guard`` refuses at once, which else only the start would find: places that cannot be, or not together."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from leadapron.cli import init
from leadapron.guard.doors import refuse_shared, web_address
from leadapron.guard.gateway.running import run_guard
from leadapron.guard.settings import load_guard
from leadapron.kernel.errors import Failure, UsageError
from leadapron.kernel.hostport import HostPort
from peers.process import free_port

ARCHIVE = ("--archive", "192.0.2.10:104", "--archive-ae", "PACS", "--name", "guard.example.org")


def run(home: Path, *arguments: str) -> str:
    """What it refuses; nothing is left behind then."""
    result = CliRunner().invoke(
        init.command,
        ["guard", *ARCHIVE, *arguments, "--config", str(home / "leadapron.toml"), "--data", str(home / "data")],
    )
    if result.exit_code == 0:
        return ""
    assert isinstance(result.exception, UsageError), (result.output, result.exception)
    assert not list(home.iterdir())
    return str(result.exception)


@pytest.mark.parametrize(
    "url", ["ftp://x", "127.0.0.1:8042", "http://", "http://h:99999", "http://[::1", "http://h/a?b", "http://h/ü", ""]
)
def test_a_web_address_that_is_none(tmp_path: Path, url: str) -> None:
    assert "--archive-web must be an address such as http://127.0.0.1:8042" in run(tmp_path, "--archive-web", url)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--listen", "0.0.0.0:2780"), "--listen and --enrol are both 2780"),
        (("--listen", "0.0.0.0", "--enrol", "127.0.0.1:2762"), "--listen and --enrol are both 2762"),
        (("--back", "localhost:2762"), "--listen and --back are both 2762"),
        (("--archive-web", "http://192.0.2.10:8042", "--web", "h:2780"), "--enrol and --web are both 2780"),
        (("--archive", "127.0.0.1:2762"), "--listen is 0.0.0.0:2762, where the archive itself listens"),
        (("--archive", "[::1]:2762", "--listen", "[::]:2762"), "--listen is [::]:2762, where the archive itself"),
        (("--archive-web", "http://localhost:8443"), "--web is 0.0.0.0:8443, where the archive itself listens"),
        (("--web", "0.0.0.0:8443"), "--archive-web is missing"),
        (("--web-kind", "orthanc"), "--archive-web is missing"),
    ],
)
def test_two_that_cannot_be_at_once(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    told = run(tmp_path, *arguments)
    assert says in told and told.count("\n") == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("--archive", "192.0.2.10:2762"),  # another machine's
        ("--archive", "127.0.0.1:2762", "--listen", "192.0.2.1:2762"),
        ("--listen", "127.0.0.1:2762", "--enrol", "127.0.0.2:2762"),
        ("--listen", "[::1]:2762", "--enrol", "127.0.0.1:2762"),
        ("--archive-web", "https://127.0.0.1", "--web", "0.0.0.0:8443"),
    ],
)
def test_what_can_be_is_let_be(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert run(tmp_path, *arguments) == ""


def test_the_file_is_told_with_its_line(tmp_path: Path) -> None:
    assert run(tmp_path) == ""
    file = tmp_path / "leadapron.toml"
    text = file.read_text()
    number = 1 + text.split("listen =")[0].count("\n")
    file.write_text(text.replace(":2762", ":2780"))
    with pytest.raises(
        UsageError, match=rf"leadapron.toml, line {number}: \[guard\] listen and \[guard\] enrol are both"
    ):
        load_guard(file, {})
    file.write_text(text.replace('ae = "PACS"', 'ae = "PACS"\nweb = "ftp://x"'))
    with pytest.raises(UsageError, match=r"leadapron.toml, line \d+: \[guard.archive\] web must be an address"):
        load_guard(file, {})


@pytest.mark.parametrize("section", ["guard", "guard.archive", "guard.web"])
async def test_a_door_that_does_not_open_says_which_and_what_to_do(tmp_path: Path, section: str) -> None:
    ports = [free_port() for _ in range(4)]
    options = {"--listen": 0, "--enrol": 1, "--back": 2, "--web": 3}
    more = [word for option, at in options.items() for word in (option, f"127.0.0.1:{ports[at]}")]
    assert run(tmp_path, *more, "--archive-web", "http://192.0.2.10:8042") == ""
    file, home = tmp_path / "leadapron.toml", tmp_path / "data" / "guard"
    for at in (0, 1) if section == "guard" else (2,) if section == "guard.archive" else (3,):
        with socket.create_server(("127.0.0.1", ports[at])), pytest.raises(Failure) as told:
            async with run_guard(load_guard(file, {}), file, home, lambda line: None):
                raise AssertionError("it runs")
        assert f"cannot listen on 127.0.0.1:{ports[at]} ([{section}] " in str(told.value)
        assert "choose another port" in str(told.value) and "attempting" not in str(told.value)


hosts = st.sampled_from(["0.0.0.0", "::", "127.0.0.1", "::1", "localhost", "192.0.2.1", "guard.example"])


@given(hosts, hosts, st.integers(0, 65535), st.integers(0, 65535))
def test_it_is_the_same_either_way(one: str, other: str, here: int, there: int) -> None:
    def refused(*places: HostPort) -> bool:
        try:
            refuse_shared({str(number): place for number, place in enumerate(places)}, {})
        except UsageError:
            return True
        return False

    first, second = HostPort(one, here), HostPort(other, there)
    assert refused(first, second) == refused(second, first)
    assert not refused(first, second) or here == there != 0
    assert refused(first, HostPort(one, here)) == (here != 0)


@given(st.text(max_size=40) | st.builds("http://{}".format, st.text(max_size=30)))
def test_any_text_is_an_address_or_told(text: str) -> None:
    try:
        parts = web_address(text, "web")
    except UsageError:
        return
    assert parts.hostname and text.isascii()
