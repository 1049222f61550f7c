"""``leadapron up`` that is killed, stopped, doubled and robbed of its database: no notice is lost, none repeated."""

from __future__ import annotations

import asyncio
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import msgspec
import pytest
import sqlalchemy as sa

from leadapron.watch.reach.cases.model import Owner
from leadapron.watch.reach.notices.model import Notice
from leadapron.watch.reach.notices.sending import send_due
from leadapron.watch.track.database import open_engine
from leadapron.watch.track.tables import exposures, hints, notices, steps
from outages import away, cut
from postroom import US, Bureau, PostRoom
from scan.commanding import Command, command
from watch_folding import FIRST_DAY

ROOT = Path(__file__).parents[2]
BOUND_S = 60.0
FULL = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
from leadapron.cli.main import main
main()
"""


def configuration(home: Path, location: str, room: PostRoom, more: str = "") -> Path:
    """A watch without campaigns, whose notices go there."""
    file = home / "leadapron.toml"
    keys = ("organisation", "from_", "reply_to", "page", "opt_out")
    us = "\n".join(f'{key.rstrip("_")} = "{getattr(US, key)}"' for key in keys)
    file.write_text(
        f'database_url = "{location}"\ndata = "{home / "data"}"\n[watch]\n[lookups]\ndns = false\nrdap = false\n'
        f'[notices]\n{us}\nsmtp = "{room.place}"\ntls = "none"\n{more}'
    )
    return file


class Today(Bureau):
    """The desk as it stands now, on the machine's own clock."""

    def __init__(self, engine: sa.Engine) -> None:
        super().__init__(engine)
        self._by_hand: set[int] = set()
        self.days_ago(0)

    def days_ago(self, days: float) -> None:
        self.calendar.day = (datetime.now(UTC) - timedelta(minutes=1) - FIRST_DAY) / timedelta(days=1) - days

    def confirm(self, *numbers: int) -> None:
        for number in numbers:
            owner = Owner(organisation=f"Clinic {number}", mailbox=f"it@clinic-{number}.example")
            self.cases.confirm(self.case(number).id, owner, "ada")

    def scan(self, *numbers: int, closed: tuple[int, ...] = (), studies: int = 500) -> None:
        """As always; and something is known of the owners, so that nobody is asked."""
        super().scan(*numbers, closed=closed, studies=studies)
        without = sa.select(exposures.c.id).where(exposures.c.id.not_in(sa.select(hints.c.exposure_id)))
        with self.engine.begin() as connection:
            for id in connection.execute(without).scalars().all():
                hint = {"exposure_id": id, "kind": "operator", "value": "Net", "source": "test", "state": "hint"}
                connection.execute(hints.insert().values(**hint, at="2026-11-01T00:00:00Z"))

    def firsts(self, *numbers: int) -> list[Notice]:
        """First notices about these servers, approved."""
        self.scan(*numbers)
        self.follow()
        self.confirm(*numbers)
        return self.approve()

    def approve(self) -> list[Notice]:
        """A person approves whatever is drafted."""
        self.follow()
        drafts, _ = self.desk.find(state="draft", order="id")
        return self.desk.approve([one.id for one in drafts], "ada")

    def due(self, reminders: Sequence[int], thanks: Sequence[int]) -> None:
        """Cases that were written to long ago, of servers that stand open, or were closed since."""
        self.days_ago(15)
        self.scan(*reminders, *thanks)
        self.follow()
        self.confirm(*reminders, *thanks)
        drafted = self.follow().drafted
        self.send(*drafted)
        self._by_hand.update(drafted)
        for days in (2.0, 1.0, 0.0):
            self.days_ago(days)
            self.scan(*reminders, closed=tuple(thanks))

    def told_sent(self) -> Counter[int]:
        """How often the cases say of each notice that it was sent."""
        query = sa.select(steps.c.notice_id).where(steps.c.kind == "sent", steps.c.notice_id.is_not(None))
        with self.engine.connect() as connection:
            return Counter(connection.execute(query).scalars())

    def settled(self, room: PostRoom) -> Counter[str]:
        """What is sent arrived once and its case says so once; what still waits did not arrive, what is unsure at most
        once. Gives how many are which."""
        arrived, told = room.deliveries(), self.told_sent()
        query = sa.select(notices).where(notices.c.id.not_in(self._by_hand))
        with self.engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        for row in rows:
            times = arrived[row["message_id"]]
            fine = {("sent", 1, 1), ("unsure", 0, 0), ("unsure", 1, 0), ("approved", 0, 0)}
            assert (row["state"], times, told[row["id"]]) in fine, row
        assert set(arrived) <= {row["message_id"] for row in rows}
        return Counter(row["state"] for row in rows)


class Dying:
    """Runs of ``up`` one after the other, from the test's side. A context manager."""

    def __init__(self, file: Path) -> None:
        self._log = (file.parent / "up.log").open("ab")
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "HOME": str(file.parent)}
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("dying_up.py")), "--config", str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
        )

    def run(self, fatal: int = 0) -> int:
        """Its exit code; 0: its turn was over before that step."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{fatal}\n".encode())
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], BOUND_S)
        assert ready, f"up did not end within {BOUND_S:g} s"
        return int(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        finally:
            self._process.kill()
            self._process.wait(10)
            self._log.close()


def test_killed_at_each_step_nothing_is_lost_or_repeated(
    engine: sa.Engine, location: str, room: PostRoom, tmp_path: Path
) -> None:
    desk = Today(engine)
    reminders, thanks = range(1, 5), range(5, 8)
    desk.due(reminders, thanks)
    desk.firsts(20, 21)
    codes = []
    odd = engine.dialect.name == "sqlite"
    with Dying(configuration(tmp_path, location, room)) as up:
        for fatal in range(1 + odd, 30, 2):
            codes.append(up.run(fatal))
            if len(codes) == 5:  # what rules drafted is approved in the middle of it
                desk.approve()
        desk.approve()
        assert [up.run(), up.run()] == [0, 0]
    assert set(codes) <= {-9, 0} and codes.count(-9) > 10
    found = desk.settled(room)
    assert found["sent"] and found["unsure"] and found.total() == 9
    counts = sa.select(notices.c.case_id, notices.c.purpose, sa.func.count()).group_by(
        notices.c.case_id, notices.c.purpose
    )
    with engine.connect() as connection:
        drafted = {(case, purpose): number for case, purpose, number in connection.execute(counts)}
    assert set(drafted.values()) == {1}, "and none was drafted twice"
    assert Counter(purpose for _, purpose in drafted) == {"first": 9, "reminder": 4, "thanks": 3}


@pytest.mark.parametrize("location", ["sqlite"], indirect=True)
def test_stopped_while_sending_it_ends_what_it_began(
    engine: sa.Engine, location: str, room: PostRoom, tmp_path: Path
) -> None:
    desk = Today(engine)
    desk.scan(1, 2)
    desk.follow()
    desk.cases.confirm(desk.case(1).id, Owner(organisation="Clinic", mailbox="slow@one.example"), "ada")
    desk.cases.confirm(desk.case(2).id, Owner(organisation="Other", mailbox="stall-rcpt@two.example"), "ada")
    begun, next_one = desk.approve()
    file = configuration(tmp_path, location, room)
    with Command(tmp_path / "first", "up", "--config", file) as up:
        up.until("a message is handed over", lambda: (room.home / "slow.reached").exists())
        up.signal(signal.SIGTERM)
        assert up.end(20).code == 0
    assert [desk.state(begun), desk.state(next_one)] == ["sent", "approved"]
    with Command(tmp_path / "second", "up", "--config", file) as up:
        up.until("an envelope is written", lambda: (room.home / "stall-rcpt.reached").exists())
        up.signal(signal.SIGTERM)
        assert up.end(20).code == 0
    kept = desk.desk.get(next_one.id)
    assert (kept.state, kept.tries, kept.claimed_by) == ("approved", 0, None)
    assert room.deliveries() == {begun.message_id: 1}


def test_a_second_is_told_at_once_and_work_by_hand_goes_on(
    engine: sa.Engine, location: str, room: PostRoom, tmp_path: Path
) -> None:
    desk = Today(engine)
    file = configuration(tmp_path, location, room)
    with Command(tmp_path / "first", "up", "--config", file) as up:
        up.until("it runs", lambda: "no campaign yet" in up.err)
        second = command(tmp_path / "second", "up", "--config", file)
        assert second.code == 2 and f"process {up.pid} on" in second.err and "Stop that one first" in second.err
        approved = desk.firsts(1, 2, 3)
        by_hand = command(tmp_path / "hand", "notices", "send", environment={"LEADAPRON_CONFIG": str(file)})
        assert by_hand.code == 0, by_hand.err
        assert {desk.state(one) for one in approved} == {"sent"}
        up.signal(signal.SIGTERM)
        assert up.end(20).code == 0
    assert desk.settled(room) == {"sent": 3}


@pytest.mark.parametrize("location", ["postgresql"], indirect=True)
def test_a_database_server_that_is_restarted(engine: sa.Engine, location: str, room: PostRoom, tmp_path: Path) -> None:
    desk = Today(engine)
    desk.scan(*range(1, 9))
    desk.follow()
    desk.cases.confirm(desk.case(1).id, Owner(organisation="Clinic", mailbox="slow@one.example"), "ada")
    desk.confirm(*range(2, 9))
    desk.approve()
    with Command(tmp_path / "up", "up", "--config", configuration(tmp_path, location, room)) as up:
        up.until("a message is handed over", lambda: (room.home / "slow.reached").exists())
        with away(engine):
            up.until("it is noticed", lambda: "is tried again until it works" in up.err)
            time.sleep(1)
        up.until("all is well", lambda: "the database works again" in up.err)
        up.until("all are sent", lambda: desk.desk.counts()["approved"] == 0)
        cut(engine)
        desk.firsts(9)
        up.signal(signal.SIGTERM)
        done = up.end(20)
    assert done.code == 0
    assert done.err.count("tried again") == done.err.count("works again") == 1, done.err
    assert desk.settled(room) == {"sent": 8, "approved": 1}


def test_a_disk_that_is_full_for_a_while(tmp_path: Path, room: PostRoom) -> None:
    engine = open_engine(tmp_path / "data")
    desk = Today(engine)
    desk.firsts(1, 2)
    file = configuration(tmp_path, f"sqlite:///{engine.url.database}", room)
    program = ("-c", FULL)
    with Command(tmp_path / "up", "up", "--config", file, program=program) as up:
        up.until("it is said", lambda: "is tried again until it works" in up.err)
        assert not room.deliveries()
        resource.prlimit(up.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        up.until("all are sent", lambda: desk.desk.counts()["sent"] == 2)
        up.until("it is said", lambda: "the database works again" in up.err)
        up.signal(signal.SIGTERM)
        done = up.end(20)
    assert done.code == 0 and done.err.count("tried again") == 1, done.err
    assert desk.settled(room) == {"sent": 2}
    engine.dispose()


def test_limits_hold_over_restarts_and_for_two_senders(
    engine: sa.Engine, location: str, room: PostRoom, tmp_path: Path
) -> None:
    """One owner's mailbox provider, many owners: however often it is begun anew, no more leave within the hour."""
    desk = Today(engine)
    desk.scan(*range(1, 11))
    desk.follow()
    for number in range(1, 11):
        owner = Owner(organisation=f"Clinic {number}", mailbox=f"it-{number}@big.example")
        desk.cases.confirm(desk.case(number).id, owner, "ada")
    desk.approve()
    here = msgspec.structs.replace(US, smtp=room.place, per_domain=4)
    with Dying(configuration(tmp_path, location, room, "per_domain = 4\n")) as up, ThreadPoolExecutor(1) as pool:
        for fatal in (4, 12):
            beside = pool.submit(lambda: asyncio.run(send_due(engine, here)))
            assert up.run(fatal) in (0, -9)
            beside.result(BOUND_S)
        assert up.run() == 0
    assert room.deliveries().total() <= 4
    with engine.connect() as connection:
        states = Counter(connection.execute(sa.select(notices.c.state)).scalars())
    assert states["sent"] + states["unsure"] == 4 and states["approved"] == 6
