"""``leadapron schema`` and docs/records.md: both say what the records are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from guard.audit import happenings as audit_happenings
from leadapron.cli import audit
from leadapron.cli.schema import command, schema
from leadapron.guard.audit.trail import Trail
from leadapron.kernel.seal import key_file
from leadapron.watch.measure.judge import known_findings
from leadapron.watch.measure.judge import record as judged
from leadapron.watch.measure.record import SEVERITIES, VERDICTS, EndpointRecord, ExposedTotal, Summary
from leadapron.watch.report import csv, jsonl
from sightings import about, archive, exact, refusing, web

PAGE = (Path(__file__).parents[2] / "docs" / "records.md").read_text(encoding="utf-8")
RECORDS = [judged(m) for m in (archive(1, exact(3)), archive(2, about(900)), archive(3), refusing(4), web(5))]
SUMMARY = Summary(256, {"exposed": 3}, 3, ExposedTotal(3100, 4203, 120311, False), 12.3)


# ---- the schema ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("record", ["endpoint", "summary", "audit"])
def test_the_command_prints_it(record: str) -> None:
    run = CliRunner().invoke(command, [record])
    assert run.exit_code == 0
    assert json.loads(run.stdout) == schema(record)


def test_an_unknown_record_is_wrong_usage() -> None:
    assert CliRunner().invoke(command, ["patient"]).exit_code == 2
    assert CliRunner().invoke(command, []).exit_code == 2


@pytest.mark.parametrize("record", ["endpoint", "summary", "audit"])
def test_type_and_edition_are_required_and_constant(record: str) -> None:
    described = schema(record)
    assert described["properties"]["type"] == {"const": record}
    assert described["properties"]["schema"] == {"const": 1}
    assert {"type", "schema"} <= set(described["required"])


@pytest.mark.parametrize(("name", "values"), [("endpoint", RECORDS), ("summary", [SUMMARY])])
def test_what_is_written_is_what_the_schema_says(name: str, values: list[Any]) -> None:
    described = schema(name)
    for value in values:
        check(json.loads(jsonl.line(value)), described, described)


def test_what_the_audit_trail_prints_is_what_the_schema_says(tmp_path: Path) -> None:
    home = tmp_path / "guard"
    with Trail(home, key_file(home / "guard.key"), None, "guard") as trail:
        for event in (audit_happenings.ALERT, audit_happenings.QUERY):
            trail.record(event)
    for arguments in (["show", "--format", "jsonl"], ["export", "--format", "jsonl"]):
        run = CliRunner().invoke(audit.command, [*arguments, "--data", str(tmp_path)])
        described, lines = schema("audit"), run.stdout.splitlines()
        assert run.exit_code == 0 and len(lines) >= 3
        for line in lines:
            check(json.loads(line), described, described)
    with pytest.raises(AssertionError):
        check({**json.loads(lines[0]), "outcome": "4"}, described, described)


def test_what_the_schema_does_not_say_is_noticed() -> None:
    # The checker below is ours, so it is held to noticing.
    described = schema("endpoint")
    good = json.loads(jsonl.line(RECORDS[0]))
    for change in ({"type": "summary"}, {"schema": 2}, {"port": "x"}, {"verdict": "ajar"}, {"new": 1}, {"load": {}}):
        with pytest.raises(AssertionError):
            check({**good, **change}, described, described)
    del good["reason"]
    with pytest.raises(AssertionError):
        check(good, described, described)


def check(value: Any, part: dict[str, Any], whole: dict[str, Any]) -> None:
    """As much of JSON Schema as ours uses; a keyword that it does not know fails too."""
    if "$ref" in part:
        return check(value, whole["$defs"][part["$ref"].rpartition("/")[2]], whole)
    if "anyOf" in part:
        failures = 0
        for choice in part["anyOf"]:
            try:
                check(value, choice, whole)
            except AssertionError:
                failures += 1
        assert failures < len(part["anyOf"]), value
        return None
    known = {"$schema", "$defs", "title", "description", "type", "properties", "required", "const", "enum", "items"}
    known |= {"additionalProperties", "prefixItems", "minItems", "maxItems"}
    assert set(part) <= known, set(part) - known
    if "const" in part:
        assert value == part["const"]
    if "enum" in part:
        assert value in part["enum"]
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool}
    if part.get("type") == "null":
        assert value is None
    elif "type" in part:
        assert isinstance(value, kinds[part["type"]]), value
        assert isinstance(value, bool) == (part["type"] == "boolean")
    if isinstance(value, dict):
        properties = part.get("properties", {})
        assert set(part.get("required", ())) <= set(value)
        for key, inner in value.items():
            assert key in properties or "additionalProperties" in part, key
            check(inner, properties.get(key) or part["additionalProperties"], whole)
    if isinstance(value, list):
        assert part.get("minItems", 0) <= len(value) <= part.get("maxItems", len(value))
        shapes = part.get("prefixItems") or [part["items"]] * len(value)
        for inner, shape in zip(value, shapes, strict=True):
            check(inner, shape, whole)
    return None


# ---- docs/records.md -------------------------------------------------------------------------------------------------


def paths(part: dict[str, Any], whole: dict[str, Any], above: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each field of a schema by its path, with what is said of it."""
    for choice in part.get("anyOf", [part]):
        if "$ref" in choice:
            yield from paths(whole["$defs"][choice["$ref"].rpartition("/")[2]], whole, above)
        elif "$ref" in (choice.get("items") or {}):
            yield from paths(choice["items"], whole, f"{above}[]")
        for key, inner in choice.get("properties", {}).items():
            path = f"{above}.{key}" if above else key
            yield path, inner
            yield from paths(inner, whole, path)


def section(heading: str) -> str:
    return PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def rows(text: str) -> dict[str, tuple[str, str]]:
    """The tables of fields: path → type, meaning."""
    found = re.findall(r"^\| `([^`]+)` \| (.+?) \| (.+?) \|$", text, re.MULTILINE)
    assert len(found) == len({path for path, _, _ in found}), "a field is explained once"
    return {path: (kind, meaning) for path, kind, meaning in found}


@pytest.mark.parametrize(("record", "heading"), [("endpoint", "An endpoint record"), ("summary", "The summary")])
def test_every_field_is_explained_and_no_other(record: str, heading: str) -> None:
    described = schema(record)
    assert set(rows(section(heading))) == {path for path, _ in paths(described, described)}


@pytest.mark.parametrize(("record", "heading"), [("endpoint", "An endpoint record"), ("summary", "The summary")])
def test_types_and_values_are_those_of_the_schema(record: str, heading: str) -> None:
    described = schema(record)
    words = {"integer": "integer", "number": "number", "string": "text", "boolean": "true, false", "null": "null"}
    explained = rows(section(heading))
    for path, part in paths(described, described):
        kind = explained[path][0]
        if path == "verdict":
            continue  # has a table of its own
        for choice in part.get("anyOf", [part]):
            values = choice.get("enum", []) + (choice.get("items") or {}).get("enum", [])
            assert all(f"`{value}`" in kind for value in values), path
            if not values and choice.get("type") in words:
                assert words[choice["type"]] in kind, path
        assert ("null" in kind) == ({"type": "null"} in part.get("anyOf", [])), path


def test_every_verdict_and_severity_is_explained() -> None:
    table = section("An endpoint record").split("### Verdicts")[1]
    assert tuple(re.findall(r"^\| `(\w+)` \| [A-Z][^|]+ \|$", table, re.MULTILINE)) == VERDICTS
    kind, _ = rows(section("An endpoint record"))["findings[].severity"]
    assert tuple(re.findall(r"`(\w+)`", kind)) == SEVERITIES


def test_the_examples_are_records() -> None:
    endpoint, summary = re.findall(r"^```json\n(.+)\n```$", PAGE, re.MULTILINE)
    decoded = msgspec.json.decode(endpoint, type=EndpointRecord)
    assert jsonl.line(decoded) == endpoint
    assert {finding.id for finding in decoded.findings} <= set(known_findings())
    assert jsonl.line(msgspec.json.decode(summary, type=Summary)) == summary


def test_the_columns_of_csv_are_listed_in_their_order() -> None:
    listed = section("CSV").split("\n\n")[1]
    assert tuple(re.findall(r"`(\w+)`", listed)) == csv.COLUMNS
