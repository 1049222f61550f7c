"""A list of targets as a person keeps it: one or more a line, ``#`` begins a comment. ZMap's default output is one."""

from __future__ import annotations

from collections.abc import Iterator

from leadapron.kernel.errors import UsageError
from leadapron.watch.find.formats.source import Source
from leadapron.watch.find.parse import Spec, parse_target

NAME = "target list"


def recognises(head: str) -> bool:
    """Anything may be one: asked last."""
    return True


def read(source: Source) -> Iterator[tuple[int, Spec]]:
    """(line, target). Raises UsageError with file and line."""
    for number, line in source.lines():
        for word in line.partition("#")[0].split():
            try:
                yield number, parse_target(word)
            except UsageError as error:
                raise source.error(number, str(error)) from None
