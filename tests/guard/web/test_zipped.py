"""ZIP archives on the way out: clean preambles, harmless names, the same files, however the archive is cut."""

from __future__ import annotations

import io
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.guard.gateway.preamble import clean
from leadapron.guard.gateway.web.zipped import ZipFilter, safe_name
from leadapron.kernel.errors import LimitExceeded, ProtocolError

PROGRAM = b"MZ".ljust(128, b"\x90") + b"DICM" + bytes(range(256)) * 20
MOST = 1 << 30


class Pipe(io.RawIOBase):
    """A stream that cannot seek: zipfile then writes data descriptors."""

    def __init__(self) -> None:
        self.octets = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.octets += bytes(data)  # type: ignore[call-overload]
        return len(data)  # type: ignore[arg-type]


def packed(
    files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, *, stream: bool = False, large: bool = False
) -> bytes:
    out: io.BytesIO | Pipe = Pipe() if stream else io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:  # type: ignore[arg-type]
        for name, content in files.items():
            with archive.open(name, "w", force_zip64=large) as file:
                file.write(content)
    return bytes(out.octets) if isinstance(out, Pipe) else out.getvalue()


def passed(data: bytes, cuts: list[int], most: int = MOST) -> tuple[bytes, ZipFilter]:
    reader, out, at = ZipFilter(most), b"", 0
    for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        out += reader.feed(data[at:cut])
        at = cut
    return out + reader.finish(), reader


def unpacked(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {one.filename: archive.read(one) for one in archive.infolist()}


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(
    ("method", "stream"), [(zipfile.ZIP_DEFLATED, False), (zipfile.ZIP_DEFLATED, True), (zipfile.ZIP_STORED, False)]
)
def test_programs_go_and_files_stay(method: int, stream: bool, large: bool) -> None:
    files = {
        "P1/CT/1.dcm": PROGRAM,
        "P1/CT/2.dcm": bytes(128) + PROGRAM[128:],
        "README": b"short",
        "empty": b"",
        "Müller/ä": PROGRAM * 30,
    }
    data = packed(files, method, stream=stream, large=large)
    for cuts in ([], list(range(0, len(data), 7)), [1, 29, 31, len(data) - 1]):
        out, reader = passed(data, cuts)
        got = unpacked(out)
        assert list(got) == list(files) and reader.zeroed == 2
        for name, content in files.items():
            expected = clean(content[:128]) + content[128:] if content[128:132] == b"DICM" else content
            assert got[name] == expected, name


def harmless(name: str) -> bool:
    return name == safe_name(name.encode(), True).decode() and not name.endswith("/")


@given(
    files=st.dictionaries(
        st.text("abc/ä.", min_size=1, max_size=8).filter(harmless), st.binary(max_size=400), max_size=4
    ),
    poisoned=st.booleans(),
    stream=st.booleans(),
    cuts=st.lists(st.integers(0, 3000), max_size=12),
)
def test_the_files_do_not_depend_on_the_cuts(
    files: dict[str, bytes], poisoned: bool, stream: bool, cuts: list[int]
) -> None:
    if poisoned:
        files = {name: PROGRAM[:132] + content for name, content in files.items()}
    out, _ = passed(packed(files, stream=stream), cuts)
    expected = {name: bytes(128) + content[128:] if poisoned else content for name, content in files.items()}
    assert unpacked(out) == {
        name: clean(c[:128]) + c[128:] if c[128:132] == b"DICM" else c for name, c in expected.items()
    }


def test_a_bomb_is_stopped_and_costs_no_memory() -> None:
    data = packed({"bomb": bytes(64 << 20)})
    with pytest.raises(LimitExceeded):
        passed(data, [], most=8 << 20)
    reader = ZipFilter(MOST)
    assert max(len(reader.feed(data[at : at + 4096])) for at in range(0, len(data), 4096)) < 1 << 20


def test_what_is_damaged_cut_off_or_no_zip_is_refused() -> None:
    data = packed({"a": PROGRAM, "b": PROGRAM})
    wrong = bytearray(data)
    wrong[14] ^= 1  # the CRC
    for bad in (
        b"",
        b"PK",
        b"no zip at all",
        data[:100],
        data[: data.rfind(b"PK\3\4") + 40],
        bytes(wrong),
        b"\0" + data,
    ):
        with pytest.raises(ProtocolError):
            passed(bad, [5, 50])
    encrypted = bytearray(data)
    encrypted[6] |= 1
    with pytest.raises(ProtocolError):
        passed(bytes(encrypted), [])


@given(data=st.binary(max_size=200), start=st.sampled_from([b"", b"PK\3\4", packed({"a": PROGRAM})[:60]]))
def test_octets_of_any_kind_are_read_or_refused(data: bytes, start: bytes) -> None:
    try:
        passed(start + data, [])
    except (ProtocolError, zlib.error) as error:
        assert isinstance(error, ProtocolError)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "etc/passwd"),
        ("/abs", "abs"),
        ("a\\..\\b", "a/b"),
        ("C:\\x", "C_/x"),
        ("a/./b", "a/b"),
        ("a\n\x1b[31mb", "a__[31mb"),
        ("‮gpj.exe", "_gpj.exe"),
        ("...", "_"),
        ("dir/", "dir/"),
        ("Müller^Anna/CT 1/x.dcm", "Müller^Anna/CT 1/x.dcm"),
    ],
)
def test_names_lead_nowhere(name: str, safe: str) -> None:
    assert safe_name(name.encode(), True).decode() == safe
