"""Fuzz the element reader: ``python fuzz/fuzz_elements.py [work folder] fuzz/corpus/elements``.

The input's first octet chooses transfer syntax and stop tag, the second the size of chunks; the rest is a data set.
Read at once and in chunks it must give the same elements and the same end: none, or the same ProtocolError. What is
held stays within the limits, and a single look-up agrees with the reader.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import atheris

with atheris.instrument_imports(include=["leadapron"]):
    from leadapron.kernel.errors import ProtocolError
    from leadapron.wire import uids
    from leadapron.wire.elements import Element, ElementLimits, ElementReader, Tag, get, read_elements, texts
    from leadapron.wire.elements.syntax import SINGLE, TEXT

SYNTAXES = (uids.IMPLICIT_LE, uids.EXPLICIT_LE, uids.EXPLICIT_BE)
STOPS = (None, Tag.PixelData, Tag.StudyInstanceUID)
LIMITS = ElementLimits(total=2048, elements=64, depth=4)
DEFAULTS = {"-timeout": "10", "-rss_limit_mb": "1024", "-max_len": "4096"}


def one_input(data: bytes) -> None:
    if len(data) < 2:
        return
    syntax, stop, size = SYNTAXES[data[0] % 3], STOPS[data[0] // 3 % 3], data[1] + 1
    data = data[2:]
    elements: list[Element] = []
    end: ProtocolError | None = None
    try:
        elements.extend(read_elements(data, syntax, stop=stop, limits=LIMITS))
    except ProtocolError as error:
        end = error
    if end is not None:  # the elements before the error
        elements = list(before(data, syntax, stop))
        assert end.offset is not None and end.offset <= len(data)
    streamed(data, syntax, stop, size, elements, end)
    if stop is None:
        looked_up(data, syntax, elements, end)
    for element in elements:
        shown = repr(element)
        assert len(shown) < 80
        if element.vr in TEXT:
            assert len(texts(element.value, element.vr)) <= (1 if element.vr in SINGLE else len(element.value) + 1)


def before(data: bytes, syntax: str, stop: int | None) -> Iterator[Element]:
    try:
        yield from read_elements(data, syntax, stop=stop, limits=LIMITS)
    except ProtocolError:
        return


def streamed(
    data: bytes, syntax: str, stop: int | None, size: int, expected: list[Element], end: ProtocolError | None
) -> None:
    reader = ElementReader(syntax, stop=stop, limits=LIMITS)
    found: list[Element] = []
    try:
        for at in range(0, len(data), size):
            found += reader.feed(data[at : at + size])
            assert reader.stopped or len(reader.rest()) <= LIMITS.total + size + 12
            assert reader.stopped or len(reader._buffer) <= LIMITS.total + size + 12
        reader.finish()
    except ProtocolError as error:
        assert end is not None
        assert (type(error), str(error)) == (type(end), str(end))
        assert found == expected[: len(found)]  # a chunk with an error gives nothing of its own
    else:
        assert end is None
        assert found == expected
        assert reader.stopped or reader.offset == len(data)
        assert not reader.stopped or reader.rest() == data[reader.offset :]


def looked_up(data: bytes, syntax: str, elements: list[Element], end: ProtocolError | None) -> None:
    seen: set[int] = set()
    for element in elements:
        if element.tag not in seen:
            seen.add(element.tag)
            assert get(data, element.tag, syntax) == element.value
    try:
        missing = get(data, 0xFFFFFFFF, syntax)
    except ProtocolError:
        assert end is not None
    else:  # it steps over sequences that the reader looks into, so it may get further
        assert end is not None or (missing is None) == (0xFFFFFFFF not in seen)


def main() -> None:
    given = {argument.split("=")[0] for argument in sys.argv[1:]}
    options = [f"{name}={value}" for name, value in DEFAULTS.items() if name not in given]
    atheris.Setup([*sys.argv, *options], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
