"""CSV, JSON lines and JSON: whole, stable, and safe to open."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator

import msgspec
import pytest
from msgspec.structs import replace

from leadapron.watch.measure.judge import record as judged
from leadapron.watch.measure.record import EndpointRecord, ExposedTotal, Software, Summary
from leadapron.watch.report import csv as ours
from leadapron.watch.report import jsonl
from sightings import about, archive, at_least, exact, refusing, web

RECORDS = [
    judged(m) for m in (archive(1, exact(1503)), archive(2, about(900)), archive(3, at_least(7)), refusing(4), web(5))
]
SUMMARY = Summary(256, {"exposed": 3}, 3, ExposedTotal(3100, 4203, 120311, False), 12.3)


def named(text: str) -> EndpointRecord:
    return replace(RECORDS[0], software=Software(text, text, text, text), reason=text)


def parsed(records: list[EndpointRecord]) -> list[dict[str, str]]:
    return list(csv.DictReader("".join(ours.rows(records)).splitlines()))


# ---- CSV -------------------------------------------------------------------------------------------------------------


def test_one_header_and_a_line_a_record() -> None:
    lines = "".join(ours.rows(RECORDS)).splitlines()
    assert len(lines) == 1 + len(RECORDS)
    assert lines[0] == ",".join(ours.COLUMNS)
    assert len(set(ours.COLUMNS)) == len(ours.COLUMNS)


def test_columns_only_ever_grow_at_the_end() -> None:
    # The contract of those who read the file by position. A new column goes behind the last one.
    assert ours.COLUMNS[:10] == (
        "address", "port", "transport", "service", "verdict", "reason", "product", "version",
        "implementation_class_uid", "implementation_version_name",
    )  # fmt: skip
    assert ours.COLUMNS[18:23] == ("patients", "studies", "images", "complete", "method")
    assert ours.COLUMNS[36:38] == ("observed_at", "elapsed_s")


def test_every_field_of_the_record_has_a_column() -> None:
    leaves = {
        "software": ("product", "version", "implementation_class_uid", "implementation_version_name"),
        "exposed": ("patients", "studies", "images", "complete", "method", "studies_low", "images_high", "note"),
        "shapes": ("names", "birth_dates", "national_ids"),
        "load": ("connections", "associations", "requests"),
        "findings": ("findings", "severity"),
        "capabilities": msgspec.to_builtins(RECORDS[0])["capabilities"],
        "type": (),
        "schema": (),
    }
    for field in json.loads(jsonl.line(RECORDS[0])):
        assert set(leaves.get(field, (field,))) <= set(ours.COLUMNS), field


def test_values() -> None:
    exposed, estimated, bound, guarded, plain = parsed(RECORDS)
    assert (exposed["address"], exposed["port"], exposed["verdict"]) == ("127.0.0.1", "11112", "exposed")
    assert (exposed["studies"], exposed["images"], exposed["complete"]) == ("1503", "48211", "true")
    assert exposed["findings"].split()[0] == "query-without-credentials"
    assert exposed["severity"].split()[0] == "critical"
    assert (estimated["studies_low"], estimated["studies_high"], estimated["images_low"]) == ("810", "990", "22500")
    assert (estimated["patients"], estimated["method"], estimated["complete"]) == ("", "estimate", "false")
    assert (bound["method"], bound["note"][:10]) == ("lower-bound", "the server")
    assert (guarded["verdict"], guarded["studies"], guarded["echo"]) == ("guarded", "", "")
    assert (plain["service"], plain["findings"]) == ("http", "")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_what_a_spreadsheet_would_run_is_text(start: str) -> None:
    row = parsed([named(f"{start}cmd|' /C calc'!A0")])[0]
    for column in ("product", "version", "implementation_version_name", "reason"):
        assert row[column].startswith("'")


def test_ordinary_text_and_numbers_are_left_alone() -> None:
    row = parsed([named('DCMTK, the "toolkit"; a-b = c')])[0]
    assert row["product"] == 'DCMTK, the "toolkit"; a-b = c'


def test_line_ends_in_a_name_make_no_line() -> None:
    text = "".join(ours.rows([named("a\r\nb\nc\x00\u2028d\x85e")]))
    assert len(text.splitlines()) == 2


# ---- JSON ------------------------------------------------------------------------------------------------------------


def test_lines_end_with_the_summary() -> None:
    asked: list[int] = []

    def records() -> Iterator[EndpointRecord]:
        for record in RECORDS:
            asked.append(1)
            yield record

    def summarise() -> Summary:
        assert len(asked) == len(RECORDS), "asked for when all records were read"
        return SUMMARY

    *lines, last = "".join(jsonl.lines(records(), summarise)).splitlines()
    assert [msgspec.json.decode(line, type=EndpointRecord) for line in lines] == RECORDS
    assert msgspec.json.decode(last, type=Summary) == SUMMARY
    assert json.loads(last)["type"] == "summary"
    assert json.loads(lines[0])["type"] == "endpoint"


@pytest.mark.parametrize("number", [0, 1, 5])
def test_the_document_is_one_object(number: int) -> None:
    document = json.loads("".join(jsonl.document(RECORDS[:number], lambda: SUMMARY)))
    assert list(document) == ["records", "summary"]
    assert msgspec.convert(document["records"], list[EndpointRecord]) == RECORDS[:number]
    assert msgspec.convert(document["summary"], Summary) == SUMMARY


@pytest.mark.parametrize("text", ["\x1b[2J", "\x9b2J\x85", "\x7f", "\u202eevil", "\u2028", "\U000e0041", "\x00"])
def test_a_line_holds_nothing_that_moves_a_terminal_and_means_the_same(text: str) -> None:
    line = jsonl.line(named(text))
    assert line.isprintable()
    assert json.loads(line)["software"]["product"] == text
    assert msgspec.json.decode(line, type=EndpointRecord) == named(text)


def test_letters_stay_readable() -> None:
    assert "Münster 放射線" in jsonl.line(named("Münster 放射線"))
