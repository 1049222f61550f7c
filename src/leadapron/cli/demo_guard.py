"""The second half of the demo: a guard is put before one open server of the street, and a second look shows it shut.

The guard is the real one, set up and started by the real commands. Only the carrying is simulated: the archive moves
from its address to one behind, as a cable would, and the guard takes its place.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from leadapron.kernel.errors import Failure

if TYPE_CHECKING:
    from leadapron.lab.population import Population
    from leadapron.watch.measure.record import EndpointRecord
    from leadapron.watch.report.model import After

CHOSEN: Final = "127.1.0.17"  # Dr. Übelacker's practice
BEHIND: Final = "127.1.1.17"
ARCHIVE_PORT: Final = 11112
ARCHIVE_AE: Final = "CONQUESTSRV1"
GUARD_PORT: Final = 2762
ENROL_PORT: Final = 2780
READER: Final = "READER1"
START_S: Final = 30.0


def split(street: Population) -> tuple[Population, Population]:
    """The street without the chosen server, and the chosen server alone."""
    from msgspec import structs

    chosen = [one for one in street.endpoint if one.address == CHOSEN]
    others = [one for one in street.endpoint if one.address != CHOSEN]
    return structs.replace(street, endpoint=others), structs.replace(street, endpoint=chosen)


def behind(chosen: Population) -> Population:
    """The same server at the address behind the guard."""
    from msgspec import structs

    first = chosen.endpoint[0]
    moved = structs.replace(first, address=BEHIND, port=[ARCHIVE_PORT], unprivileged_port=None)
    return structs.replace(chosen, endpoint=[moved])


@contextlib.contextmanager
def guarding(home: Path) -> Iterator[Path]:
    """Set up and run a guard before the moved server; gives its configuration file."""
    config = home / "leadapron.toml"
    _command(
        home,
        *("init", "guard", "--archive", f"{BEHIND}:{ARCHIVE_PORT}", "--archive-ae", ARCHIVE_AE, "--name", CHOSEN),
        *("--listen", f"{CHOSEN}:{GUARD_PORT}", "--enrol", f"{CHOSEN}:{ENROL_PORT}"),
        *("--config", str(config), "--data", str(home / "data")),
    )
    log = home / "up.log"
    with log.open("wb") as output:
        up = subprocess.Popen(
            [sys.executable, "-m", "leadapron", "up", "--config", str(config), "--no-check"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        end = time.monotonic() + START_S
        while "DICOM over TLS" not in log.read_text(errors="replace"):
            if up.poll() is not None or time.monotonic() > end:
                raise Failure(f"the guard did not start: {log.read_text(errors='replace')[-400:]}")
            time.sleep(0.05)
        yield config
    finally:
        up.terminate()
        try:
            up.wait(START_S)
        except subprocess.TimeoutExpired:
            up.kill()
            up.wait()


def _command(home: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "leadapron", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
        cwd=home,
    )
    if done.returncode:
        raise Failure(f"leadapron {arguments[0]} failed: {done.stderr[-400:]}")
    return done.stdout + done.stderr


def join(home: Path, config: Path) -> Path:
    """A workstation joins with its one-time code; gives the directory of its key and certificate."""
    said = _command(home, "peer", "enrol", READER, "--ae", READER, "--may", "echo,find", "--config", str(config))
    code = re.search(r"peer join (\S+)", said)
    if code is None:
        raise Failure("peer enrol printed no code")
    keys = home / "reader"
    _command(home, "peer", "join", code[1], "--out", str(keys))
    return keys


async def ask(keys: Path) -> int:
    """How many studies the workstation gets through the guard when it asks for those of one year."""
    from leadapron.guard.identity.contexts import client_context
    from leadapron.wire import uids
    from leadapron.wire.aio import ContextRequest, associate
    from leadapron.wire.elements import Tag

    query = [
        (Tag.QueryRetrieveLevel, "CS", "STUDY"),
        (Tag.StudyInstanceUID, "UI", ""),
        (Tag.StudyDate, "DA", "20190601-"),
    ]
    answers = 0
    async with associate(
        CHOSEN,
        GUARD_PORT,
        called=ARCHIVE_AE,
        calling=READER,
        contexts=[ContextRequest(uids.STUDY_ROOT_FIND)],
        tls=client_context(keys),
    ) as association:
        async for _ in association.find(uids.STUDY_ROOT_FIND, query):
            answers += 1
            if answers == 100:
                break
    return answers


async def look(ports: tuple[int, ...]) -> list[EndpointRecord]:
    """What a stranger sees at the chosen address now."""
    from leadapron.watch.scan.run import ScanRequest, place, prepare, run

    records: list[EndpointRecord] = []
    request = ScanRequest(targets=(CHOSEN,), ports=tuple(sorted({*ports, GUARD_PORT})))
    with place(None) as location:
        await run(await prepare(request, location, lambda _, record: records.append(record)))
    return records


def in_words(studies: int) -> str:
    """How many answers the workstation got; it stops asking at 100."""
    return "100 studies and more" if studies == 100 else f"{studies} studies"


def compare(before: list[EndpointRecord], after: list[EndpointRecord], studies: int) -> After:
    """Both looks side by side."""
    from leadapron.watch.report.model import After, Change

    many = in_words(studies)
    then, now = ({record.port: record for record in records} for records in (before, after))
    return After(
        title="One of them guarded: before and after",
        done=(
            f"The guard was put before {CHOSEN}, the archive moved behind it. A stranger gets nothing any more; a "
            f"workstation that has joined ({READER}) asks through the guard and is answered: {many} since June 2019."
        ),
        changes=tuple(Change(CHOSEN, port, then.get(port), now.get(port)) for port in sorted({*then, *now})),
    )
