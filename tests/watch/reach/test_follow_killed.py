"""Killed in the middle of a round, again and again: nothing is lost, nothing is done twice."""

from __future__ import annotations

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import sqlalchemy as sa

from casework import SETTINGS, Desk
from leadapron.watch.reach.cases.model import Owner
from leadapron.watch.reach.follow import follow
from leadapron.watch.reach.notices.store import Notices
from leadapron.watch.track.database import open_engine
from leadapron.watch.track.tables import cases, hints, notices, steps

DAY = 45.0
MORTAL = Path(__file__).with_name("mortal.py")


def prepare(engine: sa.Engine) -> None:
    """Something of everything that a round can find to do, as it lies there on the 45th day."""
    desk = Desk(engine)

    def confirm(*numbers: int) -> None:
        for number in numbers:
            owner = Owner(organisation=f"Clinic {number}", mailbox=f"it@clinic-{number}.example", country="DE")
            desk.cases.confirm(desk.case(number).id, owner, "ada")

    desk.scan(*range(1, 13))
    desk.follow()
    confirm(*range(1, 9))
    desk.send(*desk.follow().drafted)  # 1 to 8 are notified
    with engine.begin() as connection:
        for number in range(1, 9):
            hint = {"exposure_id": number, "kind": "abuse-mailbox", "value": f"abuse@net-{number}.example"}
            connection.execute(hints.insert().values(**hint, source="test", at="2026-11-01T02:30:00Z", state="hint"))
    for day in (14, 28):
        desk.calendar.day = day
        desk.scan(*range(1, 13))
        with engine.connect() as connection:
            ids = connection.execute(sa.select(cases.c.id).where(cases.c.state == "notified")).scalars().all()
        drafted = desk.follow().drafted
        assert len(drafted) == len(ids)
        desk.send(*drafted)
    for day in (29, 30):
        desk.calendar.day = day
        desk.scan(1, 2, 3, 4, *range(9, 13), closed=(5, 6))
    for day in (43, 44):
        desk.calendar.day = day
        desk.scan(1, 2, 3, 4, *range(9, 13), 20, 21, 22, closed=(7, 8), studies=900)
    confirm(9, 10)


def state(engine: sa.Engine) -> list[object]:
    """All that a person can see of it, without the numbers that a killed transaction leaves out."""
    with engine.connect() as connection:
        told = [
            tuple(row)
            for row in connection.execute(
                sa.select(
                    steps.c.case_id, steps.c.at, steps.c.by, steps.c.kind, steps.c.before, steps.c.after, steps.c.text
                ).order_by(steps.c.case_id, steps.c.id)
            )
        ]
        stands = [
            tuple(row)
            for row in connection.execute(
                sa.select(cases.c.exposure_id, cases.c.state, cases.c.due, cases.c.due_at, cases.c.level).order_by(
                    cases.c.exposure_id
                )
            )
        ]
        written = sorted(
            tuple(row)
            for row in connection.execute(
                sa.select(notices.c.case_id, notices.c.purpose, notices.c.level, notices.c.state, notices.c.recipient)
            )
        )
    return [told, stands, written]


def test_several_rounds_at_once_do_what_one_does(location: str, engine: sa.Engine, tmp_path: Path) -> None:
    prepare(engine)
    twin = open_engine(f"sqlite:///{tmp_path / 'twin.db'}")
    prepare(twin)
    desk = Desk(twin)
    desk.calendar.day = DAY
    follow(twin, desk.rules, Notices(twin, SETTINGS, desk.calendar), desk.calendar)

    engines = [open_engine(location) for _ in range(2)]
    with ThreadPoolExecutor(len(engines)) as pool:
        rounds = [
            pool.submit(follow, one, desk.rules, Notices(one, SETTINGS, desk.calendar), desk.calendar)
            for one in engines
        ]
        done = [one.result(timeout=60) for one in rounds]
    assert state(engine) == state(twin)
    for field in ("opened", "fixed", "escalated", "drafted"):
        numbers = [number for one in done for number in getattr(one, field)]
        assert len(numbers) == len(set(numbers)), f"{field}: each by one of them"
    assert not any(one.problems for one in done)
    for one in [*engines, twin]:
        one.dispose()


def test_killed_at_any_statement_and_run_again(location: str, engine: sa.Engine, tmp_path: Path) -> None:
    prepare(engine)
    twin = open_engine(f"sqlite:///{tmp_path / 'twin.db'}")
    prepare(twin)
    assert state(twin) == state(engine)

    desk = Desk(twin)
    desk.calendar.day = DAY
    done = follow(twin, desk.rules, Notices(twin, SETTINGS, desk.calendar), desk.calendar)
    assert done.opened and done.fixed and done.escalated and done.drafted and not done.problems
    assert {purpose for purpose, _, state in desk.notices() if state == "draft"} == {"first", "escalation", "thanks"}

    die = random.Random(1)
    fates = []
    with subprocess.Popen(
        [sys.executable, str(MORTAL), location, str(DAY)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as mortal:
        assert mortal.stdin is not None and mortal.stdout is not None
        while "done" not in fates and len(fates) < 400:
            mortal.stdin.write(f"{die.randrange(20, 80)}\n")
            mortal.stdin.flush()
            fates.append(mortal.stdout.readline().strip())
        mortal.stdin.close()
    assert set(fates) == {"killed", "done"} and len(fates) > 5
    assert state(engine) == state(twin)
    twin.dispose()
