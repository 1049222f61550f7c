"""What cannot be recorded does not happen: a disk that is full for the audit trail closes each door, and opens none
for ever.

The child's bound on file sizes (RLIMIT_FSIZE) is the full disk: writes end in the middle of a record, as they do there.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import Iterator

import pytest

from guard.survive.besieged import CONTEXTS, CT, HOST, Besieged, besieged, image
from leadapron.guard.identity.codes import SECRET
from leadapron.kernel.errors import AssociationAborted, AssociationRejected, WireError
from leadapron.wire.aio import associate
from peers.loading import rest
from peers.servers import start_orthanc

CONGESTION = (2, 3, 1)  # rejected-transient, by the service provider (presentation), temporary-congestion
UNTIL_S = 30.0


@pytest.fixture(scope="module")
def guard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Besieged]:
    home = tmp_path_factory.mktemp("trail")
    with (
        start_orthanc(home / "archive", {"OverwriteInstances": True}, ae="PACS") as archive,
        besieged(home, archive) as guard,
    ):
        yield guard


@contextlib.contextmanager
def full(guard: Besieged, spare: int) -> Iterator[None]:
    """``spare`` octets are left for the trail, until the block is left."""
    size = max(path.stat().st_size for path in (guard.data / "guard" / "audit").rglob("*") if path.is_file())
    _, most = resource.prlimit(guard.up.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(guard.up.pid, resource.RLIMIT_FSIZE, (size + spare, most))
    try:
        yield
    finally:
        resource.prlimit(guard.up.pid, resource.RLIMIT_FSIZE, (most, most))


async def rejected(guard: Besieged) -> tuple[int, int, int] | None:
    try:
        async with guard.associate() as association:
            assert await association.echo() == 0
    except AssociationRejected as error:
        return error.result, error.source, error.reason
    return None


async def stored(guard: Besieged, instance: str) -> int:
    async with guard.associate() as association:
        return int(await association.store(CT, instance, image(instance, bytes(50_000))))


async def eventually(what: str, guard: Besieged, expected: object) -> None:
    async with asyncio.timeout(UNTIL_S):
        while await rejected(guard) != expected:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("spare", [0, 1, 700])
async def test_a_full_disk_closes_each_door_until_there_is_room_again(guard: Besieged, spare: int) -> None:
    good = {"Authorization": f"Bearer {guard.token}"}
    instance = f"1.2.840.99.5.{spare}"
    assert await stored(guard, f"{instance}.1") == 0
    closed = guard.up.err.count("CLOSED to everybody: ")
    async with guard.associate() as before:
        assert await before.echo() == 0
        with full(guard, spare):
            # The first that should be recorded finds out. It is not told that all is well.
            with pytest.raises(AssociationAborted):
                for number in range(2, 9):
                    await stored(guard, f"{instance}.{number}")
            await eventually("it is closed", guard, CONGESTION)
            guard.up.until("who watches it hears that", lambda: guard.up.err.count("CLOSED to everybody: ") > closed)
            with contextlib.suppress(WireError):  # refused, or aborted
                assert await before.store(CT, f"{instance}.9", image(f"{instance}.9", bytes(5000))) == 0xA700
            with guard.client() as client:
                assert client.get("/dicom-web/studies", headers=good).status_code == 503
                assert client.get("/guard/login").status_code == 503
                enrol = f"https://localhost:{guard.enrol}/enrol"
                asked = {"secret": bytes(SECRET).hex(), "request": "x"}
                assert client.post(enrol, json=asked).status_code == 503
            with pytest.raises(WireError):  # a stranger hears what strangers hear
                async with associate(
                    HOST, guard.port, called="PACS", calling="X", contexts=CONTEXTS, tls=guard.stranger()
                ):
                    pass
        await eventually("it is open", guard, None)
        guard.up.until("that, too", lambda: guard.up.err.count("open again: ") > closed)
        with guard.client() as client:
            assert client.get("/guard/login").status_code == 200
            assert client.get("/orthanc/system", headers=good).status_code == 200
        assert await stored(guard, f"{instance}.10") == 0
    there = {one["MainDicomTags"]["SOPInstanceUID"] for one in rest(guard.archive, "/instances?expand")}
    assert {f"{instance}.1", f"{instance}.10"} <= there and f"{instance}.9" not in there
    assert guard.lead("audit", "verify", "--data", guard.data).code == 0
    shown = guard.lead("audit", "show", "--data", guard.data, "--format", "jsonl")
    assert "nothing could be recorded since" in shown.out


async def test_a_flood_while_the_disk_is_full_leaves_the_doors_in_place(guard: Besieged) -> None:
    """Whoever is turned away for being one too many is told to nobody then, and the listener goes on."""
    with full(guard, 0):
        for _ in range(3):
            with contextlib.suppress(WireError):
                await stored(guard, "1.2.840.99.5.99")
        await eventually("it is closed", guard, CONGESTION)
        socks = []
        try:
            for number in range(60):  # above the bound for one address
                _, writer = await asyncio.open_connection(
                    HOST, (guard.port, guard.enrol, guard.web)[number % 3], local_addr=("127.0.9.9", 0)
                )
                socks.append(writer)
                _, writer = await asyncio.open_connection(HOST, guard.port, local_addr=("127.0.9.9", 0))
                socks.append(writer)
        finally:
            for writer in socks:
                writer.transport.abort()
        assert await rejected(guard) == CONGESTION
    await eventually("it is open", guard, None)
    assert "Traceback" not in guard.up.err
