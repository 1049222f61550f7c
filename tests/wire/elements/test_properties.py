"""Any data set: written and read back, one octet at a time, cut off, turned over; and what random octets do."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from leadapron.kernel.errors import ProtocolError
from leadapron.wire import uids
from leadapron.wire.elements import (
    Element,
    ElementLimits,
    ElementReader,
    Item,
    encode_dataset,
    get,
    numbers,
    read_elements,
    texts,
)
from leadapron.wire.elements.dictionary import vr_of

STEADY = settings(derandomize=True, deadline=None)  # the same examples in every run, however loaded the machine
SYNTAXES = st.sampled_from([uids.IMPLICIT_LE, uids.EXPLICIT_LE, uids.EXPLICIT_BE])
TAGS = st.integers(0x00080001, 0x7FDFFFFF).filter(lambda tag: tag & 0xFFFF and vr_of(tag) is None)
ASCII = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="\\"), max_size=20)

VALUES = st.one_of(
    st.tuples(st.sampled_from(["LO", "SH", "UI", "PN", "CS", "UC"]), st.lists(ASCII.filter(bool), max_size=3)),
    st.tuples(st.sampled_from(["LT", "UT", "ST"]), ASCII),
    st.tuples(st.just("US"), st.lists(st.integers(0, 0xFFFF), max_size=4)),
    st.tuples(st.just("SL"), st.lists(st.integers(-(2**31), 2**31 - 1), max_size=4)),
    st.tuples(st.just("FD"), st.lists(st.floats(allow_nan=False), max_size=2)),
    st.tuples(st.just("AT"), st.lists(st.integers(0, 0xFFFFFFFF), max_size=2)),
    st.tuples(st.sampled_from(["OB", "OW", "UN"]), st.binary(max_size=30)),
)


def data_sets(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Item]]:
    return st.dictionaries(TAGS, values, max_size=5).map(lambda kept: [(tag, *pair) for tag, pair in kept.items()])


DATA_SETS = data_sets(
    st.recursive(
        VALUES,
        lambda inner: st.tuples(st.just("SQ"), st.lists(data_sets(inner), max_size=3)),
        max_leaves=8,
    )
)


def same(items: list[Item], elements: Any, syntax: str) -> None:
    """Element by element; in implicit VR a sequence of a tag that we do not know stays octets."""
    elements = list(elements)
    items = sorted(items, key=lambda item: item[0])
    assert [element.tag for element in elements] == [tag for tag, _, _ in items]
    for element, (_, vr, value) in zip(elements, items, strict=True):
        assert len(element.value) % 2 == 0
        assert element.vr == (None if syntax == uids.IMPLICIT_LE else vr)
        if vr == "SQ" and element.items is None:
            assert syntax == uids.IMPLICIT_LE
        elif vr == "SQ":
            for its, item in zip(element.items, value, strict=True):  # type: ignore[arg-type]
                same(item, its, syntax)  # type: ignore[arg-type]
        elif vr in ("US", "SL", "FD", "AT"):
            assert list(numbers(element.value, vr, syntax)) == value
        elif vr in ("OB", "OW", "UN"):
            assert element.value in (value, value + b"\0")  # type: ignore[operator]
        else:
            assert texts(element.value, vr) == (value if isinstance(value, list) else [value] if value else [])


@STEADY
@given(DATA_SETS, SYNTAXES)
def test_round_trip(items: list[Item], syntax: str) -> None:
    raw = encode_dataset(items, syntax)
    assert len(raw) % 2 == 0
    same(items, read_elements(raw, syntax), syntax)
    for element in read_elements(raw, syntax):
        assert get(raw, element.tag, syntax) == element.value


@STEADY
@given(DATA_SETS, SYNTAXES, st.integers(1, 9))
def test_streamed_in_pieces(items: list[Item], syntax: str, size: int) -> None:
    raw = encode_dataset(items, syntax)
    reader = ElementReader(syntax)
    elements = [element for at in range(0, len(raw), size) for element in reader.feed(raw[at : at + size])]
    reader.finish()
    assert elements == list(read_elements(raw, syntax))


@STEADY
@given(DATA_SETS, SYNTAXES, st.data())
def test_cut_off_it_is_an_error_or_ends_between_elements(items: list[Item], syntax: str, data: st.DataObject) -> None:
    raw = encode_dataset(items, syntax)
    cut = data.draw(st.integers(0, len(raw)))
    whole = list(read_elements(raw, syntax))
    ends = {element.offset for element in whole} | {len(raw)}
    try:
        part = list(read_elements(raw[:cut], syntax))
    except ProtocolError:
        assert cut not in ends
    else:
        assert cut in ends
        assert part == whole[: len(part)]


TINY = ElementLimits(total=300, elements=12, depth=3)
ITEM, ITEM_END, SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0"
DELIMITERS = st.sampled_from([ITEM, ITEM_END, SEQUENCE_END, b"\xff\xff\xff\xff", b"SQ\0\0", b"OB\0\0"])
OCTETS = st.lists(st.one_of(st.binary(max_size=12), DELIMITERS, st.just(b"\x08\x00\x99\x11"))).map(b"".join)


@STEADY
@given(OCTETS, SYNTAXES, st.integers(1, 7), st.one_of(st.none(), st.integers(0, 0xFFFFFFFF)))
def test_any_octets_at_once_and_in_pieces_end_alike(data: bytes, syntax: str, size: int, stop: int | None) -> None:
    def outcome(elements: list[Element], run: Any) -> tuple[list[Element], str | None]:
        try:
            run()
        except ProtocolError as error:
            return elements, str(error)
        return elements, None

    at_once: list[Element] = []
    streamed: list[Element] = []
    reader = ElementReader(syntax, stop=stop, limits=TINY)

    def whole() -> None:
        at_once.extend(read_elements(data, syntax, stop=stop, limits=TINY))

    def pieces() -> None:
        for at in range(0, len(data), size):
            streamed.extend(reader.feed(data[at : at + size]))
        reader.finish()

    kept, error = outcome(at_once, whole)
    others, other = outcome(streamed, pieces)
    assert error == other
    assert others == kept[: len(others)]  # a chunk that ends in an error gives nothing of its own
    assert error is not None or others == kept
