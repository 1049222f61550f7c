"""Addresses in the archive's JSON: they lead back through the guard, nothing else changes, no cut matters."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.guard.gateway.web.rewrite import HELD_BACK, Addresses, JsonAddresses
from leadapron.guard.gateway.web.target import Malformed, is_uid, parse, write

INSIDE = "http://127.0.0.1:8042/dicom-web"
OUTSIDE = "https://guard.example:8443/dicom-web"
ADDRESSES = Addresses(INSIDE, OUTSIDE)


def passed(data: bytes, cuts: list[int]) -> bytes:
    reader, out, at = JsonAddresses(ADDRESSES), b"", 0
    for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        out += reader.feed(data[at:cut])
        at = cut
    return out + reader.finish()


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        (f"{INSIDE}/studies/1.2/bulk/7fe00010", f"{OUTSIDE}/studies/1.2/bulk/7fe00010"),
        (f"{INSIDE}/bulkdata/77", f"{OUTSIDE}/bulkdata/77"),
        ("http://pacs.internal/rs/studies/1.2/series/3", f"{OUTSIDE}/studies/1.2/series/3"),
        ("HTTPS://PACS/x/studies/1.2", f"{OUTSIDE}/studies/1.2"),
        ("http://127.0.0.1:8042/secret", OUTSIDE),
        ("http://elsewhere.example/manual", "http://elsewhere.example/manual"),
        ("urn:x", "urn:x"),
        ("../../bulk/1", "../../bulk/1"),
        ("", ""),
    ],
)
def test_addresses(url: str, seen: str) -> None:
    assert ADDRESSES(url) == seen


def model(url: str) -> list[dict[str, Any]]:
    return [
        {
            "00081190": {"vr": "UR", "Value": [url]},
            "0040E010": {"Value": [url], "vr": "UR"},
            "00081199": {"vr": "SQ", "Value": [{"00081190": {"vr": "UR", "Value": [url]}}]},
            "00091001": {"vr": "OB", "BulkDataURI": url},
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": f'He said "BulkDataURI":"{url}"'}]},
            "00080081": {"vr": "ST", "Value": [url]},
        }
    ]


@pytest.mark.parametrize(
    "style", [{}, {"indent": 3}, {"separators": (",", ":")}, {"separators": (" , ", " : "), "indent": "\t"}]
)
@pytest.mark.parametrize("slashes", [False, True])
def test_in_every_style_of_json(style: dict[str, Any], slashes: bool) -> None:
    url = f"{INSIDE}/studies/1.2"
    text = json.dumps(model(url), **style)
    if slashes:
        text = text.replace("/", "\\/")
    (seen,) = json.loads(passed(text.encode(), []))
    (before,) = model(url)
    for tag in ("00081190", "0040E010", "00081199", "00091001"):
        assert seen[tag] == json.loads(json.dumps(before[tag]).replace(INSIDE, OUTSIDE))
    for tag in ("00100010", "00080081"):  # what is a patient's or an institution's stays
        assert seen[tag] == before[tag]


@given(
    number=st.integers(1, 60),
    filler=st.text(max_size=400),
    cuts=st.lists(st.integers(0, 200_000), max_size=20),
)
def test_the_output_does_not_depend_on_the_cuts(number: int, filler: str, cuts: list[int]) -> None:
    url = f"{INSIDE}/studies/1.2.3"
    data = json.dumps([{**model(url)[0], "00104000": {"vr": "LT", "Value": [filler]}}] * number).encode()
    whole = passed(data, [])
    assert passed(data, cuts) == whole
    assert json.loads(whole)[-1]["00091001"]["BulkDataURI"] == f"{OUTSIDE}/studies/1.2.3"
    assert json.loads(whole)[0]["00104000"]["Value"] == [filler]


@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=5))
def test_octets_of_any_kind_pass(data: bytes, cuts: list[int]) -> None:
    assert passed(data, cuts) == data or b"BulkDataURI" in data


def test_little_is_held_back() -> None:
    reader = JsonAddresses(ADDRESSES)
    given = sum(len(reader.feed(b'{"a":"' + b"x" * 60_000)) for _ in range(20))
    assert 20 * 60_006 - given <= HELD_BACK


KEY = st.from_regex(r"[A-Za-z0-9.]{1,8}", fullmatch=True)
VALUE = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=10)
SEGMENT = st.text(st.sampled_from("abcXYZ019._~,-()!@=+"), min_size=1, max_size=12).filter(lambda text: text.strip("."))


@given(segments=st.lists(SEGMENT, min_size=1, max_size=8), pairs=st.lists(st.tuples(KEY, VALUE), max_size=5))
def test_what_is_written_reads_as_it_was(segments: list[str], pairs: list[tuple[str, str]]) -> None:
    path, _, query = write(tuple(segments), tuple(pairs)).partition("?")
    target = parse(path.encode(), query.encode())
    assert target.segments == tuple(segments) and list(target.query) == pairs


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_target_is_read_or_refused_and_written_plainly(path: bytes, query: bytes) -> None:
    try:
        target = parse(b"/" + path, query)
    except Malformed:
        return
    written = write(target.segments, target.query)
    assert written.isascii() and written.isprintable() and " " not in written
    at = written.partition("?")[0]
    assert "//" not in at and "\\" not in at and ";" not in at and "%2f" not in at.lower() and "%00" not in written
    assert not any(part in (".", "..") for part in at.split("/"))


def test_uids() -> None:
    for good in ("1.2.840.10008", "0", "1" * 64):
        assert is_uid(good)
    for bad in ("", ".", "1.", ".1", "1..2", "1" * 65, "1.2a", "1.2\n", "１.2", "../1", "1.2 "):
        assert not is_uid(bad)
