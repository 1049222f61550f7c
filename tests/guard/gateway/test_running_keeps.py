"""What a guard keeps over a restart, and what it keeps no longer: waits, the last hour's studies, an old trail."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from guard.audit.happenings import QUERY
from guard.audit.trails import HeldClock
from leadapron.guard.audit.look import Look, Wanted
from leadapron.guard.audit.trail import Trail
from leadapron.guard.audit.verify import verify
from leadapron.guard.gateway.running import Running, run_guard
from leadapron.guard.gateway.setup import Made, Plan, set_up
from leadapron.guard.identity.people import LoginRefused, TotpCode
from leadapron.guard.settings import load_guard
from leadapron.kernel.errors import Failure
from leadapron.kernel.hostport import HostPort
from leadapron.kernel.seal import key_file
from peers.process import HOST, free_port

ELSEWHERE = "203.0.113.7"
STUDIES = [f"1.2.{number}" for number in range(20)]


def guard(root: Path, more: str = "") -> Made:
    listen, enrol, web = (HostPort(HOST, free_port()) for _ in range(3))
    plan = Plan(
        archive=HostPort(HOST, free_port()),
        archive_ae="OLDPACS",
        names=("localhost", HOST),
        listen=listen,
        enrol=enrol,
        web=web,
        archive_web=f"http://{HOST}:1",
        data=str(root / "data"),
    )
    made = set_up(plan, root / "leadapron.toml")
    listens = f'listen = "{web}"'
    text = made.config.read_text()
    assert listens in text
    made.config.write_text(text.replace(listens, f"{listens}\nstudies_per_hour = 20") + more)
    return made


async def run(made: Made, home: Path, work: Callable[[Running], object]) -> None:
    async with run_guard(load_guard(made.config, {}), made.config, home, lambda line: None) as running:
        done = work(running)
        if asyncio.iscoroutine(done):
            await done


async def test_a_key_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    """A new one would open nothing that is there, and stand where the old one has to be put back."""
    made = guard(tmp_path)
    (made.home / "guard.key").unlink()
    with pytest.raises(Failure, match=r"guard\.key is missing: restore it"):
        await run(made, made.home, lambda running: None)
    assert not (made.home / "guard.key").exists() and not (made.home / "audit").exists()


async def test_a_trail_that_was_taken_away_is_said(tmp_path: Path) -> None:
    made, said = guard(tmp_path), list[str]()
    for _ in range(2):
        async with run_guard(load_guard(made.config, {}), made.config, made.home, said.append):
            pass
    assert not any("AUDIT TRAIL" in line for line in said)
    shutil.rmtree(made.home / "audit")
    (made.home / "audit.anchor").unlink()  # both: that a guard has run shows by what else it left
    async with run_guard(load_guard(made.config, {}), made.config, made.home, said.append):
        pass
    assert [line for line in said if line.startswith("AUDIT TRAIL: ") and "has run here before" in line]


async def busy(running: Running) -> None:
    assert running.meter.retrieved("web:anna", *STUDIES)
    for _ in range(8):
        await running._people.login("anna", "wrong wrong wrong", TotpCode("000000"), ELSEWHERE)


async def remembered(running: Running) -> None:
    assert not running.meter.retrieved("web:anna", "1.3") and running.meter.retrieved("web:anna", STUDIES[0])
    assert running.meter.retrieved("web:ben", "1.3")
    done = await running._people.login("anna", "wrong wrong wrong", TotpCode("000000"), ELSEWHERE)
    assert isinstance(done, LoginRefused) and done.retry_after_s is not None


async def test_a_restart_forgets_neither_waits_nor_studies(tmp_path: Path) -> None:
    made = guard(tmp_path)
    await run(made, made.home, busy)
    kept = (made.home / "studies").read_bytes() + (made.home / "throttle").read_bytes()
    assert not any(word in kept for word in (b"1.2.1", b"anna", b"203.0.113"))
    await run(made, made.home, remembered)


async def test_nor_does_one_that_is_killed_but_for_seconds(tmp_path: Path) -> None:
    made, copy = guard(tmp_path), tmp_path / "killed"

    async def and_is_killed(running: Running) -> None:
        await busy(running)
        await running._keep()
        shutil.copytree(made.home, copy)

    await run(made, made.home, and_is_killed)
    await run(made, copy, remembered)


async def test_what_is_too_old_goes_from_the_trail(tmp_path: Path) -> None:
    made = guard(tmp_path, "\n[guard.audit]\nkeep_days = 2190\n")
    clock = HeldClock(datetime(2019, 1, 1, tzinfo=UTC))
    with Trail(made.home, key_file(made.home / "guard.key"), clock, "guard", segment_size=4000) as trail:
        for _ in range(12):
            trail.record(QUERY)
    key = key_file(made.home / "guard.key")

    async def until_it_is_done(running: Running) -> None:
        async with asyncio.timeout(20):
            while not (made.home / "audit" / "begin").exists():
                await asyncio.sleep(0.02)

    await run(made, made.home, until_it_is_done)
    verdict = verify(made.home, key)
    assert verdict.whole and verdict.removed > 0
    types = [one.types for one, _ in Look(made.home).entries(Wanted())]
    assert types.count(("Audit trail pruned",)) == 1


async def test_without_the_key_it_is_kept_for_ever(tmp_path: Path) -> None:
    made = guard(tmp_path)
    clock = HeldClock(datetime(1999, 1, 1, tzinfo=UTC))
    with Trail(made.home, key_file(made.home / "guard.key"), clock, "guard", segment_size=4000) as trail:
        for _ in range(12):
            trail.record(QUERY)
    await run(made, made.home, lambda running: running._prune())
    assert verify(made.home, key_file(made.home / "guard.key")).removed == 0
