"""docs/feeds.md: its examples are what is written. Run as a program, this brings them up to date."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from leadapron.cli.feed import FORMATS
from leadapron.cli.main import root
from leadapron.cli.schema import schema
from leadapron.watch.reach.feeds.about import About
from leadapron.watch.reach.feeds.entries import Selection, read
from leadapron.watch.reach.feeds.formats import writer
from planted import Planting

PAGE = Path(__file__).parents[4] / "docs" / "feeds.md"
HEADINGS = {"intelmq": "IntelMQ", "csv": "CSV", "stix": "STIX 2.1", "ocsf": "OCSF", "jsonl": "JSON lines"}


def examples(engine: sa.Engine) -> dict[str, str]:
    """One exposure in each format."""
    planting = Planting(engine)
    planting.number = 17
    told = {"reverse-dns": "pacs.example.org", "abuse-mailbox": "abuse@example.net"}
    told["rdap-network"] = "EXAMPLE-NET, 198.51.0.0–198.51.255.255"
    story = [("2026-09-01T10:00:00Z", "opened"), ("2026-11-21T10:00:00Z", "grew")]
    planting.put(story=story, asn=64500, told=told)
    about = About(sender="CERT Example", made_at="2026-11-22T06:00:00Z", tlp="amber")
    return {name: "".join(writer(name)(read(engine, Selection()), about)).rstrip("\n") for name in FORMATS}


def block(name: str) -> re.Pattern[str]:
    return re.compile(rf"(\n### {re.escape(HEADINGS[name])}\n(?:(?!\n### ).)*?\n```\w+\n)(.*?)(\n```\n)", re.S)


def test_the_examples_are_what_is_written(engine: sa.Engine) -> None:
    page = PAGE.read_text("utf-8")
    for name, text in examples(engine).items():
        found = block(name).search(page)
        assert found is not None and found[2] == text, name


def test_every_field_of_the_record_is_explained() -> None:
    section = PAGE.read_text("utf-8").split("\n### JSON lines\n")[1].split("\n## ")[0]
    explained = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (.+?) \|", section, re.M))))
    assert explained == set(schema("exposure")["properties"])


def test_the_commands_run(engine: sa.Engine, location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADAPRON_DATABASE_URL", location)
    monkeypatch.delenv("LEADAPRON_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    planting = Planting(engine)
    for number in range(24):
        planting.put(country="AT" if number % 2 else "DE")
    lines = "".join(re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text("utf-8"), re.S | re.M)).splitlines()
    assert len(lines) == 5
    for line in lines:
        program, *arguments = shlex.split(line)
        done = CliRunner().invoke(root, arguments, catch_exceptions=False)
        assert program == "leadapron" and done.exit_code == 0, done.output
        if "--output" in arguments:
            assert (tmp_path / arguments[arguments.index("--output") + 1]).stat().st_size > 100


if __name__ == "__main__":
    from leadapron.watch.track.database import open_engine

    text = PAGE.read_text("utf-8")
    for key, example in examples(open_engine(Path(sys.argv[1]))).items():
        text = block(key).sub(lambda found, example=example: found[1] + example + found[3], text)  # type: ignore[misc]
    PAGE.write_text(text, "utf-8")
