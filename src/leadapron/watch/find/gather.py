"""From what the user wrote (targets on the command line, ``--from`` files) to the set of targets.

A name that cannot be looked up and a port that is left out are told, not swallowed: they are in the result.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from leadapron.kernel.errors import UsageError
from leadapron.watch.find.formats import PRINTING, Source, recognise
from leadapron.watch.find.formats import plain as plain_list
from leadapron.watch.find.parse import Spec, parse_target
from leadapron.watch.find.resolve import LookUp, Resolved, Unresolved, resolve
from leadapron.watch.find.targets import TargetSet, TargetSetBuilder


class Gathered(Struct, frozen=True):
    """``unresolved``: names without an address, and why. ``notes``: what else was left out, in words."""

    targets: TargetSet
    unresolved: dict[str, str]
    notes: tuple[str, ...] = ()


async def gather(
    texts: Iterable[str],
    files: Iterable[str | Path] = (),
    *,
    timeout: float = 10.0,
    look_up: LookUp | None = None,
) -> Gathered:
    """Parse ``texts`` and read ``files`` (``-`` is stdin), look names up, merge. Raises UsageError for a target or file
    that is wrong, and where there is no target at all. ``timeout`` in seconds for each name."""
    builder = TargetSetBuilder()
    named: list[Spec] = []
    notes: list[str] = []
    for text in texts:
        spec = parse_target(text)
        (named.append if spec.name else builder.add)(spec)
    for file in files:
        left_out = 0
        for spec, imported in _read(file):
            if imported and spec.port is not None and spec.port in PRINTING:
                left_out += 1
            else:
                (named.append if spec.name else builder.add)(spec)
        if left_out:
            notes.append(
                f"{file}: left {left_out:,} open printer ports out ({PRINTING[0]}–{PRINTING[-1]}): "
                "a printer prints what it is sent"
            )
    answers = await resolve((spec.name for spec in named if spec.name), timeout=timeout, look_up=look_up)
    unresolved: dict[str, str] = {}
    for spec in named:
        assert spec.name is not None
        match answers[spec.name]:
            case Resolved(addresses):
                builder.add_named(spec, addresses)
            case Unresolved(reason):
                unresolved[spec.name] = reason
    targets = builder.build()
    if not len(targets):
        told = "".join(f"; {name}: {reason}" for name, reason in list(unresolved.items())[:5])
        raise UsageError(f"no target to scan{told}; give an address, a block, a host name or --from FILE")
    return Gathered(targets, unresolved, tuple(notes))


def _read(file: str | Path) -> Iterator[tuple[Spec, bool]]:
    """(target, whether another tool wrote the file)."""
    if str(file) == "-":
        yield from _parsed(Source(sys.stdin.buffer, "stdin"))
        return
    try:
        with Path(file).open("rb") as stream:
            yield from _parsed(Source(stream, str(file)))
    except OSError as error:
        raise UsageError(f"{file}: cannot read the target file: {error.strerror}") from None


def _parsed(source: Source) -> Iterator[tuple[Spec, bool]]:
    _, read = recognise(source.head)
    for _, spec in read(source):
        yield spec, read is not plain_list.read
