"""Whole neighbourhoods: truth, memory, the book of visitors, and what happens when the machine says no."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lab_client import Visitor, one, only, until

from leadapron.kernel.errors import Failure, UsageError
from leadapron.lab import ArchiveSpec, EndpointSpec, LabProcess, Neighbourhood, Population
from leadapron.lab.archive import query as q
from leadapron.wire.pdu import AssociateAccept


async def test_every_address_is_bound_by_itself() -> None:
    block = Population("block", [EndpointSpec("127.202.0.0/28", 0, "echo-only", count=5)])
    async with Neighbourhood(block) as neighbourhood:
        for truth in neighbourhood.truth:
            async with Visitor(truth) as visitor:
                assert isinstance(await visitor.associate(), AssociateAccept)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.202.0.9", neighbourhood.truth[0].port)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", neighbourhood.truth[0].port)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.202.0.1", neighbourhood.truth[0].port)


async def test_visitors_are_written_down() -> None:
    async with Neighbourhood(one("dcmtk"), free_ports=True) as neighbourhood:
        (truth,) = neighbourhood.truth
        async with Visitor(truth) as first, Visitor(truth) as second:
            await first.associate(calling="ONE")
            await second.associate(calling="TWO")
            await first.echo()
            await first.find()
            await first.find()
            await first.release()
        await until(lambda: not truth.seen.open_now)
        async with Visitor(truth):
            pass
        seen = neighbourhood.truth[0].seen
        await until(lambda: seen.connections == 3)
        assert (seen.most_at_once, seen.associations, seen.released, seen.broken) == (2, 2, 1, 1)
        assert seen.requests == {"C-ECHO": 1, "C-FIND": 2}
        assert (seen.calling, seen.called) == ({"ONE", "TWO"}, {"ANY-SCP"})
        assert seen.shortest_pause_s is not None and seen.shortest_pause_s >= 0


async def test_latency_delays_each_answer_and_blocks_nobody() -> None:
    block = Population("far", [EndpointSpec("127.203.0.0/24", 0, "echo-only", count=50)])

    async def visit(neighbourhood: Neighbourhood, place: int) -> float:
        async with Visitor(neighbourhood.truth[place]) as visitor:
            started = time.monotonic()
            await visitor.associate()
            await visitor.echo()
            await visitor.release()
            return time.monotonic() - started

    async with Neighbourhood(block, latency_ms=100) as neighbourhood:
        started = time.monotonic()
        took = await asyncio.gather(*(visit(neighbourhood, place) for place in range(50)))
        assert min(took) >= 0.29
        assert time.monotonic() - started < 50 * 0.3 / 4, "they were served one after the other"


async def test_a_slow_reader_is_waited_for() -> None:
    """A visitor who does not read makes the lab hold a chunk of answers, not all of them; then all arrive."""
    population = one("dcmtk", archive=ArchiveSpec(studies=60_000))
    async with Neighbourhood(population, free_ports=True) as neighbourhood:
        (truth,) = neighbourhood.truth
        async with Visitor(truth) as slow, Visitor(truth) as quick:
            await slow.associate()
            slow.ask()
            await quick.associate()
            assert await quick.echo() == 0
            answers, status = await quick.find(STUDY_DATE="20200101-20200131")
            assert answers and status == 0
            heard = [await slow.message() for _ in range(60_001)]
            assert [command.status for command, _ in heard[-2:]] == [0xFF00, 0]  # type: ignore[union-attr]


async def test_a_query_can_be_cancelled() -> None:
    from leadapron.wire.dimse import CCancelRequest, encode_command, fragment

    population = one("dcmtk", archive=ArchiveSpec(studies=2_000_000))
    async with Neighbourhood(population, free_ports=True) as neighbourhood:
        (truth,) = neighbourhood.truth
        async with Visitor(truth) as visitor:
            await visitor.associate()
            visitor.ask()
            await visitor.message()
            visitor.send(b"".join(fragment(3, encode_command(CCancelRequest(9)), None, 16384)))
            status, answers = 0xFF00, 1
            while status == 0xFF00:
                command, _ = await visitor.message()
                status, answers = command.status, answers + 1  # type: ignore[union-attr]
            assert status == 0xFE00 and answers < 200_000
            assert await visitor.echo() == 0


async def test_a_canary_stands_in_every_text_attribute() -> None:
    population = only("hard-cases", "dcmtk", "refuses-c001", "dicompot", "duplicates")
    async with Neighbourhood(population, free_ports=True, canary="ZAUNKOENIG") as neighbourhood:
        for truth in neighbourhood.truth:
            async with Visitor(truth) as visitor:
                await visitor.associate()
                few = {"STUDY_DATE": "20180201-20180228"} if truth.persona == "refuses-c001" else {}
                answers, status = await visitor.find(**few)
                assert status == 0 and answers
                for _, values in answers:
                    for tag in (q.PATIENT_ID, q.PATIENT_NAME, q.ACCESSION_NUMBER, q.STUDY_DESCRIPTION):
                        assert values[tag].startswith(b"ZAUNKOENIG"), "answered though only some were asked for"
        refusing = next(t for t in neighbourhood.truth if t.persona == "refuses-c001")
        async with Visitor(refusing) as visitor:
            await visitor.associate()
            _, status = await visitor.find()
            assert status == 0xC001 and b"ZAUNKOENIG" in visitor.octets, "the error comment too"


def test_memory_of_five_thousand_endpoints() -> None:
    block = Population(
        "five-thousand", [EndpointSpec("127.204.0.0/16", 11204, "dcmtk", count=5000, archive=ArchiveSpec(studies=5000))]
    )
    with LabProcess(block) as lab:
        truth = lab.truth()
        assert len(truth) == 5000 and len({t.archive for t in truth}) == 5000
        assert lab.peak_rss() < 150 << 20


def test_a_port_in_use_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.205.0.1", 0))
        taken.listen()
        population = Population("taken", [EndpointSpec("127.205.0.1", taken.getsockname()[1], "echo-only")])
        with pytest.raises(Failure, match=r"127\.205\.0\.1 port \d+ is in use"), LabProcess(population):
            pass


def test_too_few_file_descriptors_are_told() -> None:
    code = (
        "import asyncio, resource\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))\n"
        "from leadapron.lab import Neighbourhood\n"
        "async def main():\n"
        "    async with Neighbourhood('hard-cases', free_ports=True): pass\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "Failure" in done.stderr and "ulimit -n" in done.stderr


def test_ports_below_1024_fall_back_for_ordinary_users() -> None:
    code = (
        "import asyncio, os, resource, traceback, linecache\n"
        "from leadapron.lab import EndpointSpec, Neighbourhood, Population\n"
        "from leadapron.lab.personas import personas\n"
        "personas()\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"
        "async def main(spare):\n"
        "    spec = EndpointSpec('127.206.0.1', 104, 'echo-only', unprivileged_port=spare)\n"
        "    async with Neighbourhood(Population('low', [spec])) as n: print(n.truth[0].port)\n"
        "asyncio.run(main(11206)); asyncio.run(main(None))\n"
    )
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 104:
        pytest.fail("this machine lets everybody open port 104: set net.ipv4.ip_unprivileged_port_start to 1024")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["11206"]
    assert "may only be opened by root" in done.stderr


def test_the_child_ends_with_its_parent() -> None:
    code = (
        "import os, sys\n"
        "from leadapron.lab import LabProcess, EndpointSpec, Population\n"
        "lab = LabProcess(Population('x', [EndpointSpec('127.207.0.1', 0, 'echo-only')]))\n"
        "lab.start()\n"
        "print(lab.pid, flush=True)\n"
        "os._exit(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    pid = int(done.stdout)
    until_s = time.monotonic() + 10
    while _alive(pid):
        assert time.monotonic() < until_s, "the child outlived its parent"
        time.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_child_tells_the_truth_and_its_errors() -> None:
    with LabProcess("clinic-street", free_ports=True) as lab:
        truth = lab.truth()
        assert {t.address for t in truth if t.persona == "orthanc"} == {"127.1.0.5"}
        with socket.create_connection((truth[0].address, truth[0].port), timeout=5):
            pass
        until_s = time.monotonic() + 10
        while lab.truth()[0].seen.connections != 1:
            assert time.monotonic() < until_s
    with pytest.raises(Failure, match="not running"):
        lab.truth()
    with pytest.raises(UsageError, match="loopback"):
        LabProcess(Population("far", [EndpointSpec("10.0.0.1", 104, "ssh")])).start()


def test_ten_thousand_endpoints_start_quickly_in_little_memory() -> None:
    needed = 10_256
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < needed:
        pytest.fail(f"this test needs {needed} open files: raise the hard limit (ulimit -Hn)")
    with LabProcess("ten-thousand-others", free_ports=True) as lab:
        truth = lab.truth()
        assert len(truth) == 10_000
        assert lab.peak_rss() < 200 << 20


def test_ctrl_c_ends_the_child_without_a_word() -> None:
    lab = LabProcess(Population("x", [EndpointSpec("127.208.0.1", 0, "echo-only")]))
    lab.start()
    os.kill(lab.pid, signal.SIGINT)
    lab.stop()
