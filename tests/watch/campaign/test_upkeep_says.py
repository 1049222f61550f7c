"""What the upkeep says of a mail server that cannot be used: once, and again when it has been well in between."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from leadapron.watch.campaign.settings import Watch
from leadapron.watch.campaign.upkeep import Upkeep
from leadapron.watch.reach.cases.settings import Rules
from leadapron.watch.track.owner.settings import Lookups
from peers.process import HOST, free_port
from postroom import US, Bureau, PostRoom


@pytest.mark.parametrize("location", ["sqlite"], indirect=True)
async def test_each_outage_of_the_mail_server_is_said_once(engine: sa.Engine, location: str, tmp_path: Path) -> None:
    port, said = free_port(), list[str]()
    settings = msgspec.structs.replace(US, smtp=f"{HOST}:{port}")
    bureau = Bureau(engine, settings)
    first, second = bureau.drafts("a@one.example", "b@two.example")
    upkeep = Upkeep(
        *(engine, Watch(), location),
        rules=Rules(),
        notices=settings,
        lookups=Lookups(dns=False, rdap=False),
        say=said.append,
        clock=bureau.calendar,
    )
    bureau.desk.approve([first.id], "ada")
    assert [await upkeep.turn() for _ in range(2)] == [True, True], "no fault of the database"
    with PostRoom(tmp_path / "room", port=port) as room:
        await upkeep.turn()
        assert room.deliveries().total() == 1
    bureau.desk.approve([second.id], "ada")
    assert [await upkeep.turn() for _ in range(2)] == [True, True]
    trouble = f"mail server: the mail server {HOST}:{port} can't be used: nothing listens there"
    assert [line for line in said if "notices" in line or "mail" in line] == [trouble, "notices: 1 sent", trouble]
    assert bureau.state(second) == "approved"
