"""``leadapron schema``: the JSON Schema of what ``--format jsonl`` prints.

Two fields are the contract's own: ``type`` says which record a line is and ``schema`` which edition of it. msgspec
knows the first as a tag and the second as a field with a default (of the audit trail's records neither); here both are
required and constant, so that a reader who validates never takes one record, or one edition, for another. Every other
field is always written too.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from msgspec import Struct

RECORDS = ("endpoint", "summary", "exposure", "audit")


@click.command(name="schema", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("record", type=click.Choice(RECORDS))
def command(record: str) -> None:
    """Print the JSON Schema of a record: a line of 'scan --format jsonl' (endpoint), its last one (summary), a line of
    'feed --format jsonl' (exposure), or a line of 'audit show --format jsonl' (audit)."""
    click.echo(json.dumps(schema(record), indent=2))


def schema(record: str) -> dict[str, Any]:
    """JSON Schema 2020-12 of one of `RECORDS`."""
    import msgspec

    kind, edition = _kind(record)
    (reference,), definitions = msgspec.json.schema_components((kind,), ref_template="#/$defs/{name}")
    described = definitions.pop(reference["$ref"].rpartition("/")[2])
    constant = {"type": {"const": record}, "schema": {"const": edition}}
    described["properties"] = {**constant, **described["properties"], **constant}
    for one in (described, *definitions.values()):
        if "properties" in one:
            # A default only says what a writer may leave out; ours leaves out nothing.
            one["required"] = list(one["properties"])
            for field in one["properties"].values():
                field.pop("default", None)
    described["title"] = record
    result = {"$schema": "https://json-schema.org/draft/2020-12/schema", **described}
    if definitions:
        result["$defs"] = dict(sorted(definitions.items()))
    return result


def _kind(record: str) -> tuple[type[Struct], int]:
    """What is written, and its edition."""
    import msgspec

    if record == "audit":
        from leadapron.guard.audit.entry import Entry
        from leadapron.guard.audit.render import EDITION

        return Entry, EDITION
    from leadapron.watch.measure.record import EndpointRecord, Summary

    kinds: dict[str, type[Struct]] = {"endpoint": EndpointRecord, "summary": Summary}
    if record == "exposure":
        from leadapron.watch.reach.feeds.jsonl import ExposureRecord

        kinds[record] = ExposureRecord
    kind = kinds[record]
    return kind, next(field.default for field in msgspec.structs.fields(kind) if field.name == "schema")
