"""JSON of other tools: an array, one record a line, or an answer of an API with the records inside.

One decoder for all three: at the top level brackets and commas are skipped, every object is decoded by itself. That
also reads masscan's array, which older versions leave with a comma too many or end with ``{finished: 1}``. One record
is in memory at a time.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from leadapron.watch.find.formats import censys, masscan, ours, shodan, table
from leadapron.watch.find.formats.endpoint import endpoint
from leadapron.watch.find.formats.source import Source
from leadapron.watch.find.parse import Spec

NAME = "JSON"
MAX_RECORD: Final = 64 << 20  # characters; an API's answer with all its records counts as one

_KINDS: Final[tuple[Callable[[dict[str, Any]], list[tuple[object, object]] | None], ...]] = (
    shodan.endpoints,  # first: its whole-host answers have "ip" and "ports" as well
    masscan.endpoints,
    table.endpoints,
    censys.endpoints,
    ours.endpoints,
)
_WRAPPERS: Final = ("matches", "result", "hits", "host_v1", "resource", "host", "records")
_OPENS = re.compile(r"\s*(\{|\[\s*(\{|\Z))")
_BETWEEN = re.compile(r"[\s,\[\]]*")
_FINISHED = re.compile(r"\{\s*\"?finished\"?\s*:\s*\d+\s*\}")


def recognises(head: str) -> bool:
    return _OPENS.match(head) is not None


def read(source: Source) -> Iterator[tuple[int, Spec]]:
    """(line, target). Raises UsageError with file and line."""
    for line, value in _objects(source):
        for record in _unwrapped(value):
            found = next((rows for kind in _KINDS if (rows := kind(record)) is not None), None)
            if found is None:
                raise source.error(
                    line,
                    "a record of a kind unknown here; expected masscan's (ip, ports), ZMap's (saddr), "
                    "Shodan's (ip_str, port), Censys' (ip, services), or ours (address, port)",
                )
            for address, port in found:
                yield line, endpoint(source, line, address, port)


def _objects(source: Source) -> Iterator[tuple[int, dict[str, Any]]]:
    decoder, utf8 = json.JSONDecoder(), codecs.getincrementaldecoder("utf-8")("replace")
    text, line, wanted = "", 1, 1
    chunks = source.chunks()
    ended = False
    while not ended:
        fresh: list[str] = []
        # a record that did not fit is tried again only when twice as much is there: linear in all
        while sum(map(len, fresh)) < wanted and not ended:
            chunk = next(chunks, None)
            ended = chunk is None
            fresh.append(utf8.decode(chunk or b"", ended))
        text += "".join(fresh)
        wanted, at = 1, 0
        while True:
            start = _matched(_BETWEEN, text, at)
            line += text.count("\n", at, start)
            at = start
            if at == len(text):
                break
            if text[at] != "{":
                raise source.error(line, "expected a JSON object here")
            if finished := _FINISHED.match(text, at):
                at = finished.end()
                continue
            try:
                value, end = decoder.raw_decode(text, at)
            except (ValueError, RecursionError) as error:
                if ended or len(text) - at > MAX_RECORD or isinstance(error, RecursionError):
                    raise source.error(line, "not valid JSON, cut short, or a record beyond 64 MiB") from None
                wanted = len(text) - at
                break
            yield line, value
            line += text.count("\n", at, end)
            at = end
        text = text[at:]


def _matched(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _unwrapped(value: object) -> Iterator[dict[str, Any]]:
    """The records inside an API's answer, at most a few envelopes deep."""
    waiting = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        if isinstance(item, list):
            waiting += [(inner, depth) for inner in reversed(item)]
        elif isinstance(item, dict):
            inside = [item[key] for key in _WRAPPERS if isinstance(item.get(key), dict | list)]
            if inside and depth < 5 and "ip" not in item and "ip_str" not in item:
                waiting += [(inner, depth + 1) for inner in inside]
            else:
                yield item
