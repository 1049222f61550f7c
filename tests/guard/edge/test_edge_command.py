"""``leadapron edge`` as a person starts it: what it refuses, what it says, how it ends; the certificate's renewal."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from guard.edge.dying import Edges
from guard.edge.edging import HOST, FarSide, Log, configured, device, far_side, identity, running, store, until
from guard.edge.test_edge_kill import options
from guard.identity.making import guarded
from leadapron.cli.main import root
from leadapron.guard.gateway.edge.credentials import Credentials
from leadapron.guard.gateway.edge.settings import check, table
from leadapron.guard.gateway.enrolment import serve_enrolment
from leadapron.guard.identity.codes import render
from leadapron.guard.identity.issuing import invite
from leadapron.guard.identity.join import held, join
from leadapron.kernel.errors import Failure, LeadApronError, UsageError
from leadapron.kernel.hostport import HostPort
from peers.certificates import Certificates
from peers.process import free_port, listening

GOOD: dict[str, Any] = {
    "listen": "127.0.0.1:11112",
    "from": ("192.168.1.50",),
    "calling": "CT1",
    "called": "PACS",
    "to": "guard.example.org:2762",
    "identity": "identity",
    "queue": "queue",
}


def leadapron(*arguments: str, configuration: Path | None = None) -> Result:
    environment = {"LEADAPRON_CONFIG": None if configuration is None else str(configuration)}
    return CliRunner().invoke(root, ["edge", *arguments], env=environment, standalone_mode=False)


# ---- what it is told -------------------------------------------------------------------------------------------------


def test_good_settings() -> None:
    settings = check(table(None, GOOD | {"from": ("192.168.1.50", "FD00::1"), "to": "[fd00::5]:104"}))
    assert settings.sources == {"192.168.1.50", "fd00::1"}
    assert (settings.host, settings.port) == ("fd00::5", 104)
    assert (settings.listen_host, settings.listen_port) == (HOST, 11112)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"from": ()}, "--from is missing"),
        ({"from": ("192.168.1.0/24",)}, "--from takes addresses"),
        ({"from": ("ct1.example.org",)}, "--from takes addresses"),
        ({"from": ("",)}, "--from takes addresses"),
        ({"listen": "0.0.0.0:104"}, "not all of them"),
        ({"listen": "[::]:104"}, "not all of them"),
        ({"listen": ":104"}, "--listen: "),
        ({"listen": "host:104"}, "--listen takes addresses"),
        ({"listen": "127.0.0.1:0"}, "--listen: .* HOST:PORT"),
        ({"listen": "127.0.0.1:70000"}, "--listen: .* HOST:PORT"),
        ({"to": "guard.example.org"}, "--to: .* HOST:PORT"),
        ({"calling": None}, "--calling is missing"),
        ({"calling": " "}, "--calling: an AE title"),
        ({"called": "X" * 17}, "--called: an AE title"),
        ({"called": "A\\B"}, "--called: an AE title"),
        ({"max_queue": -1.0}, "--max-queue is -1 GiB"),
        ({"identity": None, "queue": None}, "--identity, --queue are missing"),
    ],
)
def test_what_is_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check(table(None, GOOD | wrong))


def test_the_section_and_the_options(tmp_path: Path) -> None:
    section = {**GOOD, "from": ["192.168.1.50"], "called": "OLD"}
    assert check(table(section, {"called": "PACS", "from": ()})).called == "PACS"
    with pytest.raises(UsageError, match=r"\[edge\]"):
        table({"queeu": "x"}, {})
    file = tmp_path / "leadapron.toml"
    file.write_text('[edge]\ncalling = "CT1"\nfrom = "everywhere"\n')
    result = leadapron(configuration=file)
    assert isinstance(result.exception, UsageError) and "[edge]" in str(result.exception)


def test_the_options_of_the_way_back_arrive(tmp_path: Path) -> None:
    most = ["--from", HOST, "--calling", "CT1", "--called", "PACS", "--to", "guard.example.org:2762"]
    most += ["--identity", str(tmp_path), "--queue", str(tmp_path)]
    result = leadapron(*most, "--receive", f"{HOST}:2763")
    assert isinstance(result.exception, UsageError) and "belong together" in str(result.exception)
    result = leadapron(*most, "--receive", f"{HOST}:2763", "--device", "192.168.1.51:104")
    assert isinstance(result.exception, UsageError) and "--device is 192.168.1.51" in str(result.exception)
    file = tmp_path / "leadapron.toml"
    file.write_text(f'[edge]\nreceive = "{HOST}:2763"\ndevice = "{HOST}:104"\n')
    result = leadapron(*most, configuration=file)
    assert isinstance(result.exception, UsageError) and "holds no identity" in str(result.exception)


def test_an_edge_for_nobody_does_not_start(tmp_path: Path, certificates: Certificates) -> None:
    result = leadapron("--calling", "CT1", "--queue", str(tmp_path))
    assert isinstance(result.exception, UsageError) and "--from" in str(result.exception)


@pytest.mark.parametrize("file", ["peer.key", "peer.pem", "authority.pem"])
def test_an_identity_that_is_not_whole(tmp_path: Path, certificates: Certificates, file: str) -> None:
    home = identity(tmp_path, certificates)
    (home / file).unlink()
    with pytest.raises(UsageError, match="peer join"):
        Credentials(home)
    (home / file).write_text("nonsense")
    (home / file).chmod(0o600)
    with pytest.raises(Failure, match="cannot be used"):
        Credentials(home)


def test_a_key_that_others_may_read(tmp_path: Path, certificates: Certificates) -> None:
    home = identity(tmp_path, certificates)
    (home / "peer.key").chmod(0o640)
    with pytest.raises(UsageError, match="chmod 600"):
        Credentials(home)


# ---- what it says ----------------------------------------------------------------------------------------------------


async def test_from_start_to_end(tmp_path: Path, certificates: Certificates) -> None:
    far = FarSide()
    async with far_side(far, certificates) as server:
        settings = configured(tmp_path, certificates, server.port)
        with Edges(options(settings), tmp_path) as edges:
            await asyncio.to_thread(edges.start)
            await until(lambda: listening(settings.listen_port), "the edge listens")
            async with device(settings) as association:
                assert await store(association, 1) == 0
                await until(lambda: len(far.stored) == 1, "it is delivered")
            # It is deleted when the far side's answer has come.
            status = lambda: leadapron("--status", "--queue", str(settings.queue)).output  # noqa: E731
            await until(lambda: "waiting  0 data sets" in status(), "nothing waits")
            assert "edge     running" in status() and "refused  0" in status()
            assert await asyncio.to_thread(edges.end, signal.SIGTERM) == 0
            said = (tmp_path / "edges.log").read_text()
            for words in (
                f"listens on {HOST}:{settings.listen_port} for CT1 at {HOST}, which calls PACS",
                f"delivers to {HOST}:{server.port} over mutual TLS",
                "0 data sets waiting, 0 delivered; line not tried yet",
                f"the line to {HOST}:{server.port} is up",
                f"{HOST} stored 1 data set\n",
                "stopping",
                "stopped; 0 data sets waiting for the next start",
            ):
                assert words in said
            await asyncio.to_thread(edges.start)  # and again, on the same queue
            await until(lambda: listening(settings.listen_port), "the edge listens")
            assert await asyncio.to_thread(edges.end, signal.SIGINT) == 0
    assert "edge     not running" in leadapron("--status", "--queue", str(settings.queue)).output


async def test_it_ends_while_the_line_is_down_and_a_device_is_there(tmp_path: Path, certificates: Certificates) -> None:
    settings = configured(tmp_path, certificates, free_port())
    with Edges(options(settings), tmp_path) as edges:
        await asyncio.to_thread(edges.start)
        await until(lambda: listening(settings.listen_port), "the edge listens")
        with contextlib.suppress(LeadApronError):
            async with device(settings) as association:
                assert await store(association, 1) == 0
                assert await asyncio.to_thread(edges.end, signal.SIGTERM) == 0
    shown = leadapron("--status", "--queue", str(settings.queue)).output
    assert "waiting  1 data set, 0.0 MiB" in shown and "oldest   20" in shown


def test_status_of_nothing(tmp_path: Path) -> None:
    told = leadapron("--status", "--queue", str(tmp_path / "none")).output
    assert "waiting  0 data sets" in told and "none, which is not there yet" in told
    assert not (tmp_path / "none").exists()
    assert isinstance(leadapron("--status").exception, UsageError)


async def test_a_port_that_is_taken(tmp_path: Path, certificates: Certificates) -> None:
    settings = configured(tmp_path, certificates, free_port())
    with socket.create_server((HOST, settings.listen_port)), pytest.raises(Failure, match="cannot listen"):
        async with running(settings):
            pass
    async with running(settings):  # nothing is left locked
        pass


async def test_refused_items_are_shown_and_can_be_tried_again(tmp_path: Path, certificates: Certificates) -> None:
    far, log = FarSide(), Log()
    far.answer = lambda request: 0xA900 if request.sop_instance == "1.2.3.1" else 0
    async with far_side(far, certificates) as server:
        settings = configured(tmp_path, certificates, server.port)
        async with running(settings, log) as edge, device(settings) as association:
            for number in range(3):
                assert await store(association, number) == 0
            await until(lambda: len(edge.queue) == 0, "all are delivered or set aside")
        shown = leadapron("--status", "--queue", str(settings.queue)).output
        assert "refused  1" in shown and "2: 20" in shown and "refused: A900H" in shown
        assert [instance for instance, _, _ in far.stored] == ["1.2.3.0", "1.2.3.2"]
        far.answer = lambda request: 0
        async with running(settings, log, retry_refused=True) as edge:
            await until(lambda: len(edge.queue) == 0, "it is tried again")
        assert far.stored[-1][0] == "1.2.3.1"


@pytest.mark.parametrize("status", [0xA700, 0x0110])
async def test_what_is_refused_for_now_is_tried_again(tmp_path: Path, certificates: Certificates, status: int) -> None:
    far, tries = FarSide(), 0

    def busy(request: Any) -> int:
        nonlocal tries
        tries += 1
        return status if tries <= 4 else 0

    far.answer = busy
    async with far_side(far, certificates) as server:
        settings = configured(tmp_path, certificates, server.port)
        async with running(settings) as edge, device(settings) as association:
            for number in range(3):
                assert await store(association, number) == 0
            await until(lambda: len(edge.queue) == 0, "all are delivered")
    assert [instance for instance, _, _ in far.stored] == [f"1.2.3.{n}" for n in range(3)]
    assert tries == 7


# ---- the certificate -------------------------------------------------------------------------------------------------


async def test_the_certificate_is_renewed_where_it_was_joined(tmp_path: Path) -> None:
    guard = guarded(tmp_path / "guard")
    async with await serve_enrolment(guard.home, HostPort(HOST, 0), guard.registry, guard.authority) as service:
        code = invite(guard.registry, guard.authority, name="CT1", ae="CT1", host=HOST, port=service.port)
        home = tmp_path / "identity"
        await join(render(code), home)
        credentials = Credentials(home)
        first, context = credentials.not_after, credentials.context()
        now = guard.clock.now()
        assert credentials.warning(now) is None and await credentials.renew_if_due(now) is None
        late = first - timedelta(days=20)
        assert "expires in 20 days" in (credentials.warning(late) or "")
        guard.clock.move(days=10)
        assert "was renewed" in (await credentials.renew_if_due(late) or "")
        assert credentials.not_after > first and credentials.context() is not context
        with pytest.raises(UsageError, match="is for the AE title CT1"):
            credentials.check_title("CT2")
        credentials.check_title("CT1")
    assert "cannot be renewed yet" in (await credentials.renew_if_due(credentials.not_after - timedelta(days=1)) or "")
    assert (
        await credentials.renew_if_due(credentials.not_after - timedelta(hours=23, minutes=30)) is None
    )  # not so soon
    assert "expired" in (credentials.warning(credentials.not_after) or "")
    assert held(home).ae == "CT1"


async def test_another_authoritys_certificate_is_left_to_its_owner(tmp_path: Path, certificates: Certificates) -> None:
    credentials = Credentials(identity(tmp_path, certificates))
    credentials.check_title("ANY")
    assert await credentials.renew_if_due(credentials.not_after - timedelta(days=1)) is None


async def test_delivery_with_a_certificate_of_the_guards_authority(tmp_path: Path) -> None:
    """What ``peer join`` leaves serves as it is, and the guard's name is verified."""
    guard, far = guarded(tmp_path / "guard"), FarSide()
    async with await serve_enrolment(guard.home, HostPort(HOST, 0), guard.registry, guard.authority) as service:
        code = invite(guard.registry, guard.authority, name="CT1", ae="CT1", host=HOST, port=service.port)
        joined = tmp_path / "joined"
        await join(render(code), joined)
    files = Certificates(
        guard.home / "authority.pem",
        guard.home / "server.pem",
        guard.home / "server.key",
        joined / "peer.pem",
        joined / "peer.key",
    )
    async with far_side(far, files) as server:
        settings = configured(tmp_path, files, server.port)
        async with running(settings), device(settings) as association:
            assert await store(association, 1) == 0
            await until(lambda: len(far.stored) == 1, "it is delivered")
