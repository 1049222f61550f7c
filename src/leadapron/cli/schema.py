"""``leadapron schema``: the JSON Schema of what ``--format jsonl`` prints.

Two fields are the contract's own: ``type`` says which record a line is and ``schema`` which edition of it. msgspec
knows the first as a tag and the second as a field with a default; here both are required and constant, so that a reader
who validates never takes one record, or one edition, for another. Every other field is always written too.
"""

from __future__ import annotations

import json
from typing import Any

import click

RECORDS = ("endpoint", "summary")


@click.command(name="schema", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("record", type=click.Choice(RECORDS))
def command(record: str) -> None:
    """Print the JSON Schema of a record: a line of 'scan --format jsonl', or its last one."""
    click.echo(json.dumps(schema(record), indent=2))


def schema(record: str) -> dict[str, Any]:
    """JSON Schema 2020-12 of ``endpoint`` or ``summary``."""
    import msgspec

    from leadapron.watch.measure.record import EndpointRecord, Summary

    kinds: dict[str, type[msgspec.Struct]] = {"endpoint": EndpointRecord, "summary": Summary}
    kind = kinds[record]
    (reference,), definitions = msgspec.json.schema_components((kind,), ref_template="#/$defs/{name}")
    described = definitions.pop(reference["$ref"].rpartition("/")[2])
    for one in (described, *definitions.values()):
        if "properties" in one:
            # A default only says what a writer may leave out; ours leaves out nothing.
            one["required"] = list(one["properties"])
            for field in one["properties"].values():
                field.pop("default", None)
    edition = next(field.default for field in msgspec.structs.fields(kind) if field.name == "schema")
    described["properties"]["type"] = {"const": record}
    described["properties"]["schema"] = {"const": edition}
    described["title"] = record
    result = {"$schema": "https://json-schema.org/draft/2020-12/schema", **described}
    if definitions:
        result["$defs"] = dict(sorted(definitions.items()))
    return result
