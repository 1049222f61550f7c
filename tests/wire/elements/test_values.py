"""Text by (0008,0005), numbers by VR and byte order, and the dictionary against PS3.6 as pydicom has it."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings

import pytest
from pydicom.datadict import dictionary_VR, keyword_for_tag

from leadapron.kernel.errors import ProtocolError
from leadapron.wire import uids
from leadapron.wire.elements import Tag, decode_text, numbers, texts, vr_of


@pytest.mark.parametrize("tag", list(Tag), ids=lambda tag: tag.name)
def test_the_dictionary_is_that_of_the_standard(tag: Tag) -> None:
    assert keyword_for_tag(int(tag)) == tag.name
    assert vr_of(tag) in dictionary_VR(int(tag)).split(" or ")


def test_group_lengths_are_ul_and_strangers_unknown() -> None:
    assert vr_of(0x00090000) == "UL"
    assert vr_of(0x00091001) is None


@pytest.mark.parametrize(
    ("raw", "character_set", "vr", "expected"),
    [
        (b"plain ", None, "LO", "plain"),
        (b"1.2.3\0", None, "UI", "1.2.3"),
        (b"", b"ISO_IR 100", "LO", ""),
        (b"M\xfcller", b"ISO_IR 100", "PN", "Müller"),
        ("Жуков".encode(), b"ISO_IR 192", "PN", "Жуков"),
        (b"M\xfcller", None, "PN", "M�ller"),  # no character set: what is not ASCII cannot be known
        (b"M\xfcller", b"ISO_IR 192", "PN", "M�ller"),
        (b"M\xfcller", b"NONSENSE ", "PN", "M�ller"),
        (b"M\xfcller", b"\\ISO 2022 IR 100", "PN", "Müller"),
        (b"\x1b-F\xe4^\xe4", b"ISO 2022 IR 100\\ISO 2022 IR 126", "PN", "δ^ä"),  # ^ ends what an escape began
        (b"\x1b-F\xe4^\xe4", b"ISO 2022 IR 100\\ISO 2022 IR 126", "LO", "δ^δ"),  # in a name only, PS3.5 §6.1.2.5.3
        ("Πατέρας".encode("iso8859-7"), b"ISO_IR 126", "LO", "Πατέρας"),
        (
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
            b"\\ISO 2022 IR 87",
            "PN",
            "Yamada^Tarou=山田^太郎=やまだ^たろう",  # PS3.5 §H.3.1
        ),
        (
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
            b"\\ISO 2022 IR 149",
            "PN",
            "Hong^Gildong=洪^吉洞=홍^길동",  # PS3.5 §I.2
        ),
    ],
)
def test_text(raw: bytes, character_set: bytes | None, vr: str, expected: str) -> None:
    assert decode_text(raw, character_set, vr) == expected


def test_text_that_cannot_be_read_is_told_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings(), caplog.at_level(logging.DEBUG):
        warnings.simplefilter("error")
        decode_text(b"CANARY\xff\x1b$)C\xff", b"CANARY SET\\ISO 2022 IR 149", "PN")
        decode_text(b"CANARY\xff", b"CANARY SET")
    assert "CANARY" not in caplog.text


def test_values_of_text() -> None:
    assert texts(b"", "CS") == []
    assert texts(b"ORIGINAL\\PRIMARY ", "CS") == ["ORIGINAL", "PRIMARY"]
    assert texts(b"1.2\\1.3\0", "UI") == ["1.2", "1.3"]
    assert texts(b" 12 ", "IS") == ["12"]
    assert texts(b"a\\b  ", "LT") == ["a\\b"]
    assert texts(b"\xb0\\\xb1", "LO", b"ISO_IR 100") == ["°", "±"]


def test_values_of_numbers() -> None:
    assert numbers(b"\x00\x02\x01\x00", "US", uids.EXPLICIT_LE) == (512, 1)
    assert numbers(b"\x02\x00", "US", uids.EXPLICIT_BE) == (512,)
    assert numbers(b"\x00\x00\x80\xbf", "FL", uids.IMPLICIT_LE) == (-1.0,)
    assert numbers(b"\x00\x10\x00\x20", "AT", uids.EXPLICIT_BE) == (Tag.PatientID,)
    assert numbers(b"", "US", uids.EXPLICIT_LE) == ()
    for raw, vr in ((b"\x00", "US"), (b"\0\0\0", "UL"), (b"\0\0", "AT")):
        with pytest.raises(ProtocolError):
            numbers(raw, vr, uids.EXPLICIT_LE)


def test_pydicom_is_not_imported_before_it_is_needed() -> None:
    code = (
        "import sys; from leadapron.wire.elements import *; from leadapron.wire.dimse import *; "
        "import leadapron.wire.dimse.query; "
        "decode_text('ü'.encode(), b'ISO_IR 192'); "
        "encode_dataset([(0x100010, 'PN', 'ü'), (0x80005, 'CS', 'ISO_IR 100')], '1.2.840.10008.1.2'); "
        "sys.exit('pydicom' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
