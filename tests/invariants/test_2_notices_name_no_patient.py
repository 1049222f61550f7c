"""Invariant 2 in what is sent to strangers: mails, letters and what the commands show of them, about archives full of
canaries; and nothing in them tells how to ask such a server."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import msgspec
import pytest

from canaries import LAB_ROOT, leaks, told
from leadapron.lab import ArchiveSpec, EndpointSpec, LabProcess, Population
from leadapron.watch.reach.cases.model import Owner
from leadapron.watch.reach.cases.settings import Rules
from leadapron.watch.reach.follow import follow
from leadapron.watch.reach.notices.model import LANGUAGES
from leadapron.watch.reach.notices.sending import send_due
from leadapron.watch.reach.notices.store import Notices
from leadapron.watch.track.database import open_engine
from leadapron.watch.track.exposures.fold import fold
from postroom import US, PostRoom
from scan.commanding import command
from scan.scanning import moved

CANARY = "ZAUNKOENIG"
PORT = 11112
PERSONAS = ("dcmtk", "dicompot", "duplicates", "silent-limit-100", "patient-root-only", "no-image-counts")
LETTER = "Clinic\nStreet 1\n12345 Town"


@pytest.mark.timeout(240)
async def test_mails_letters_and_lists_of_them(tmp_path: Path) -> None:
    archive = ArchiveSpec(studies=40, seed=11, images=3.0, ids="ssn", script="german")
    specs = [EndpointSpec(f"127.2.8.{at + 1}", PORT, name, archive=archive) for at, name in enumerate(PERSONAS)]
    with LabProcess(moved(Population("canaries", specs)), canary=CANARY) as lab:
        truth = lab.truth()
        secrets = sorted({CANARY, LAB_ROOT, *told(truth[0].address, PORT, CANARY)})
        targets = sorted({one.address for one in truth})
        bounds = ("--timeout", "2", "--patience", "5", "--port", str(PORT))
        done = command(tmp_path, "scan", *targets, *bounds, "--format", "jsonl", "--data", "data")
        assert done.code == 0, done.err[-2000:]

    with PostRoom(tmp_path / "room") as room:
        engine = open_engine(tmp_path / "data")
        fold(engine, 1)
        settings = msgspec.structs.replace(US, smtp=room.place)
        rules = Rules(open=("exposed", "open"))
        desk = Notices(engine, settings, rules=rules)
        opened = follow(engine, rules, desk).opened
        assert len(opened) >= 5
        for id, language in zip(opened, itertools.cycle(LANGUAGES), strict=False):
            owner = Owner(organisation="Clinic", mailbox=f"it@c{id}.example", postal=LETTER, language=language)
            desk.cases.confirm(id, owner, "ada")
        follow(engine, rules, desk)
        for id in opened:
            desk.draft(id, "reminder", "ada", channel="letter")
            for level in (1, 2, 3):
                desk.draft(id, "escalation", "ada", level=level, to=f"level-{level}@c{id}.example")
        drafts, number = desk.find(state="draft")
        assert number == 5 * len(opened)
        desk.approve([one.id for one in drafts], "ada", as_read=drafts)
        assert len((await send_due(engine, settings, rules=rules)).sent) == 4 * len(opened)
        letters = [one for one in drafts if one.channel == "letter"]
        for one in letters:
            (tmp_path / f"letter-{one.id}.pdf").write_bytes(desk.letter(one.id)[0])
            (tmp_path / f"letter-{one.id}.txt").write_text(one.body)  # its glyphs are numbers in the PDF
        bodies = [message.get_content() for message in room.messages()] + [one.body for one in letters]
        engine.dispose()

    for name, shown in (("list", ()), ("case", ("show", "1"))):
        for of in ("notices", "cases"):
            beside = ("--all",) if (of, name) == ("cases", "list") else ()
            listed = command(
                tmp_path / f"{of}-{name}", of, *shown, *beside, "--format", "json", "--data", tmp_path / "data"
            )
            assert listed.code == 0 and len(listed.out) > 500, listed.err[-2000:]
            (tmp_path / f"{of}-{name}.json").write_text(listed.out)
    assert leaks([tmp_path], secrets) == []
    for body in bodies:
        assert re.search(r"127\.[0-9]+\.8\.[0-9]", body), "it does name the server"
        assert not re.search(r"findscu|movescu|getscu|LEADAPRON|ANY-SCP|QueryRetrieveLevel|1\.2\.840\.10008", body)
