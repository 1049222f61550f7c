"""The edge's local door, with everything behind it: a device, an edge that has joined, a guard, an archive.

That door speaks DICOM without TLS, for one device at one address with one pair of titles. Whoever else comes reaches
nobody: not the queue, not the guard, not the archive; and each attempt leaves one message in the edge's own trail.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from guard.edge.edging import Log, running, until
from guard.relaying import table
from guard.whole.premises import ARCHIVE_AE, premises
from guard.whole.recording import Archive
from guard.whole.visiting import OPERATIONS, associate, said
from leadapron.guard.audit.look import Look, Wanted
from leadapron.guard.gateway.edge.settings import check
from leadapron.guard.gateway.edge.settings import table as given
from leadapron.wire.aio import serve
from peers.process import HOST, free_port

DEVICE = "127.77.1.1"


def turned_away(home: Path) -> int:
    """How many messages of the edge's trail tell of somebody who was not let in."""
    look = Look(home)
    told = [one for one, _ in look.entries(Wanted()) if "Node Authentication" in one.types]
    assert look.problems == 0
    return len(told)


def test_strangers_at_the_local_door_reach_nobody(tmp_path: Path) -> None:
    port, archive = free_port(), Archive()

    @contextlib.asynccontextmanager
    async def beside() -> AsyncIterator[None]:
        async with serve(HOST, port, archive, grace=0):
            yield

    with premises(tmp_path, (port, None), beside=beside) as place:
        place.enrol("CT1")
        place.rules(
            table("CT1", may=("echo", "store", "find", "worklist", "retrieve", "commit", "mpps"), move_to=("CT1",))
        )
        options: dict[str, Any] = {
            "listen": f"{HOST}:{free_port()}",
            "from": (DEVICE,),
            "calling": "CT1",
            "called": ARCHIVE_AE,
            "to": f"localhost:{place.dimse}",
            "identity": str(place.peers["CT1"]),
            "queue": str(tmp_path / "queue"),
            "reserve": 0.0,
        }
        settings = check(given(None, options))

        async def visits() -> int:
            log, attempts = Log(), 0
            async with running(settings, log) as edge:
                for operation in OPERATIONS:
                    for source, calling, called in (
                        ("127.77.1.2", "CT1", ARCHIVE_AE),  # right titles, wrong address
                        (DEVICE, "CT2", ARCHIVE_AE),
                        (DEVICE, "CT1", "ANY-SCP"),
                        ("127.77.1.3", "EVIL", "EVIL"),
                    ):
                        for eager in (False, True):
                            met = await associate(
                                edge.port, source, None, operation, calling=calling, called=called, eager=eager
                            )
                            attempts += 1
                            assert not met.accepted, (operation, source, calling, called)
                for source in ("127.77.1.2", "127.77.1.4"):
                    assert not await said(edge.port, source, b"GET / HTTP/1.1\r\nHost: edge\r\n\r\n", hang_up=True)
                    attempts += 1
                await until(lambda: turned_away(settings.queue / "guard") >= attempts, "all are told")
                assert len(edge.queue) == 0 and archive.count == 0
                # The device itself reaches the archive through all of it.
                met = await associate(edge.port, DEVICE, None, "store", calling="CT1", called=ARCHIVE_AE)
                assert met.served
                await until(lambda: archive.heard == ["store"], "it arrives")
                met = await associate(edge.port, DEVICE, None, "find", calling="CT1", called=ARCHIVE_AE)
                assert met.served and archive.heard == ["store", "find"]
            return attempts

        attempts = place.call(visits())
        place.quiet()
        refused = [one for one in place.trail() if one.event == "alert" and "Node Authentication" in one.types]
        assert refused == [], "the guard has seen nothing but the edge"
    assert turned_away(settings.queue / "guard") == attempts
