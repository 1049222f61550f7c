"""``leadapron notices`` as a newcomer uses it, with a real mail server; and with an archive that plants canaries."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from leadapron.cli.main import root
from leadapron.kernel.errors import Failure, UsageError
from leadapron.lab import ArchiveSpec, EndpointSpec, LabProcess, Population
from leadapron.watch.reach.cases.model import Owner
from leadapron.watch.reach.cases.store import Cases
from leadapron.watch.reach.notices.model import LANGUAGES
from leadapron.watch.track.database import open_engine
from leadapron.watch.track.exposures.fold import fold
from postroom import Bureau, PostRoom
from scan.commanding import command
from scan.scanning import moved
from watch_folding import FIRST_DAY

CONFIGURATION = """
[notices]
organisation = "Example CERT"
from = "open-images@cert.example"
reply_to = "answers@cert.example"
page = "https://cert.example/open-images"
opt_out = "optout@cert.example"
tls = "none"
smtp = "{place}"
"""
CANARY = "ZAUNKOENIG"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory with three cases whose owners are confirmed: two with a mailbox, one with an address."""
    file = tmp_path / "leadapron.toml"
    file.write_text(CONFIGURATION.format(place="127.0.0.1:1"))
    monkeypatch.setenv("LEADAPRON_CONFIG", str(file))
    engine = open_engine(tmp_path / "data")
    bureau = Bureau(engine)
    bureau.calendar.day = (datetime.now(UTC) - FIRST_DAY).total_seconds() / 86400 - 0.1
    bureau.scan(1, 2, 3)
    bureau.cases.open_for((1, 2, 3), "ada")
    for number in (1, 2):
        bureau.cases.confirm(number, Owner(organisation="Clinic", mailbox=f"it@c{number}.example"), "ada")
    bureau.cases.confirm(3, Owner(organisation="Clinic", postal="Clinic\nStreet 1\n12345 Town", country="US"), "ada")
    engine.dispose()
    return tmp_path / "data"


def run(data: Path, *words: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(root, ["notices", *words, "--data", str(data)], input=stdin)


def said(data: Path, *words: str, stdin: str | None = None) -> str:
    result = run(data, *words, stdin=stdin)
    assert result.exception is None, (words, result.exception)
    return result.stdout


def test_from_preview_to_answer(data: Path, tmp_path: Path) -> None:
    assert "There is no notice yet" in run(data).stderr
    assert "Subject: Your imaging server at 127.0.0.1:11112 is open" in said(data, "preview", "1")
    for number in ("1", "2", "3"):
        assert said(data, "draft", number, "--by", "Ada") == (
            f"Notice {number} is drafted; read it: leadapron notices show {number}\n"
        )
    listed = run(data, "--state", "draft")
    assert listed.stdout.count(" draft ") == 3
    assert "3 notices; of all 3: 3 draft. Read a draft: 'leadapron notices show 3'" in listed.stderr
    assert "To: it@c1.example" in said(data, "show", "1")
    assert json.loads(said(data, "show", "1", "--format", "json"))["created_by"] == "Ada"
    assert len(json.loads(said(data, "--format", "json"))["notices"]) == 3
    said(data, "edit", "2", "--subject", "Hello", "--body", "-", "--by", "Ada", stdin="New\n\ntext")
    assert "Subject: Hello\n\nNew\n\ntext\n" in said(data, "show", "2")
    approved = said(data, "approve", "1", "2", "3", "--by", "Ada")
    assert "2 approved. They go with: leadapron notices send" in approved
    assert "Letter 3: leadapron notices letter 3 --output letter-3.pdf" in approved
    assert isinstance(run(data, "send").exception, Failure)
    with PostRoom(tmp_path / "post") as room:
        (tmp_path / "leadapron.toml").write_text(CONFIGURATION.format(place=room.place))
        assert said(data, "send") == "2 notices sent: 1, 2\n"
        assert said(data, "send") == "Nothing is approved and due.\n"
        assert room.deliveries().total() == 2
        answered, refused_by = sorted(room.messages(), key=lambda message: str(message["To"]))
    letter = tmp_path / "letter.pdf"
    said(data, "letter", "3", "--output", str(letter))
    assert letter.read_bytes().startswith(b"%PDF") and letter.stat().st_mode & 0o077 == 0
    assert said(data, "resolve", "3", "--sent", "--by", "Ada") == "Notice 3 is sent.\n"
    box = tmp_path / "mbox"
    box.write_text(
        f"From x\nFrom: it@c1.example\nIn-Reply-To: {answered['Message-ID']}\n\nDone.\n\nFrom x\n"
        f"From: it@c2.example\nSubject: unsubscribe\nIn-Reply-To: {refused_by['Message-ID']}\n\n"
    )
    assert said(data, "read-mail", "--from", str(box)) == "Read: 0 bounces, 1 opt-out, 1 answer, 0 other messages.\n"
    said(data, "draft", "1", "--purpose", "reminder", "--by", "Ada")
    said(data, "drop", "4", "--why", "they answered", "--by", "Ada")
    refused = run(data, "draft", "2", "--purpose", "reminder", "--by", "Ada")
    assert isinstance(refused.exception, UsageError) and "opted out" in str(refused.exception)
    assert "No arms were drawn yet" in said(data, "arms")
    assert json.loads(said(data, "arms", "--format", "json", "--days", "30"))["days"] == 30


def test_mistakes_say_what_to_do(data: Path) -> None:
    for words, what in (
        (("show", "9"), "there is no notice 9"),
        (("--state", "lost"), "--state: there is no 'lost'. There are draft"),
        (("approve", "--all-shown"), "name the notices instead"),
        (("preview", "1", "--to", "müller@bücher.example"), "what stands before the @ can't be written in ASCII"),
        (("edit", "1"), "--subject TEXT or --body FILE"),
        (("read-mail",), "maildir is missing"),
        (("draft", "1", "--by", "rule"), "not a person's name"),
    ):
        result = run(data, *words)
        assert isinstance(result.exception, UsageError), words
        assert what in str(result.exception), words
    for words in (("approve",), ("resolve", "1")):
        assert run(data, *words).exit_code == 2


def test_no_notice_holds_anything_of_a_patient(tmp_path: Path) -> None:
    """An archive all of whose texts are canaries is scanned for real; every notice about it is drafted and printed."""
    archive = ArchiveSpec(studies=130, seed=11, images=3.0, ids="ssn", script="german")
    spec = EndpointSpec("127.2.0.1", 11112, "dcmtk", archive=archive)
    place = tmp_path / "data"
    with LabProcess(moved(Population("canaries", [spec])), canary=CANARY) as lab:
        where = lab.truth()[0].address
        assert command(tmp_path, "scan", where, "--port", "11112", "--data", place, "--quiet").code == 0
    engine = open_engine(place)
    try:
        fold(engine, 1)
        bureau = Bureau(engine)
        cases = Cases(engine)
        (case,) = cases.open_for((1,), "ada")
        for language in LANGUAGES:
            cases.confirm(
                case, Owner(organisation="Clinic", mailbox="a@b.example", language=language, postal="X"), "ada"
            )
            for purpose, level in (("first", 0), ("reminder", 0), ("escalation", 1), ("escalation", 3), ("thanks", 0)):
                text = bureau.desk.preview(case, purpose, level=level, to="a@b.example")
                assert "130" in text.body or purpose == "thanks"
                assert CANARY.lower() not in (text.subject + text.body).lower()
                assert "1.2.276.0.7230010.3.1." not in text.body
    finally:
        engine.dispose()
