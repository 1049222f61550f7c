"""Letters: a PDF with its address in the window, on the paper of the country; text stays text."""

from __future__ import annotations

import re
import struct
import zlib

import msgspec
import pytest

from casework import Calendar
from leadapron.kernel.errors import UsageError
from leadapron.watch.reach.notices.letter import pages
from leadapron.watch.reach.notices.model import LANGUAGES
from postroom import NOTICE, US


def size(pdf: bytes) -> tuple[float, float]:
    streams = [
        zlib.decompress(part) for part in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.S) if part[:1] == b"x"
    ]
    box = re.search(rb"/MediaBox\s*\[\s*0 0 ([0-9.]+) ([0-9.]+)", b"\n".join([pdf, *streams]))
    assert box is not None
    return float(box[1]), float(box[2])


@pytest.mark.parametrize(("country", "paper"), [("DE", (595.3, 841.9)), (None, (595.3, 841.9)), ("US", (612.0, 792.0))])
def test_paper(country: str | None, paper: tuple[float, float]) -> None:
    (made,) = pages(NOTICE, US, Calendar(), country=country)
    assert made.startswith(b"%PDF-")
    assert size(made) == pytest.approx(paper, abs=0.2)


def test_the_same_notice_is_the_same_letter() -> None:
    assert pages(NOTICE, US, Calendar()) == pages(NOTICE, US, Calendar())


@pytest.mark.parametrize("language", LANGUAGES)
def test_pages_are_drawn(language: str) -> None:
    long = msgspec.structs.replace(NOTICE, language=language, body=NOTICE.body + "Satz ğüşıöç €. " * 900)
    drawn = pages(long, US, Calendar(), form="png")
    assert len(drawn) >= 3
    assert all(page.startswith(b"\x89PNG") for page in drawn)


def test_nothing_in_it_is_markup() -> None:
    hostile = '#panic("ran") $x$ *b* _i_ `c` <l> @r \\ #import "/etc/passwd" ] ) } "'
    plain = msgspec.structs.replace(
        NOTICE, subject=hostile, recipient=hostile, body=f"{hostile}\n\n# {hostile}\n\n- {hostile}\n\n    {hostile}\n"
    )
    assert (
        len(pages(plain, msgspec.structs.replace(US, organisation=hostile, postal=hostile), Calendar(), form="png"))
        == 1
    )


@pytest.mark.parametrize("country", ["DE", "US"])
def test_a_long_address_is_set_smaller_and_not_over_the_letter(country: str) -> None:
    """What stands below the window is the same, dot for dot, however long the address is."""
    below = []
    for lines in (3, 10):
        recipient = "\n".join(f"Line {number} of a long address" for number in range(lines))
        (page,) = pages(
            msgspec.structs.replace(NOTICE, recipient=recipient), US, Calendar(), country=country, form="png"
        )
        rows = pixels(page)
        inked = [at for at, row in enumerate(rows) if len(set(row)) > 1]
        first = next(at for at in inked if at * 25.4 / 96 > (92 if country == "DE" else 90))
        window = [at for at in inked if at < first]
        assert max(window) * 25.4 / 96 < (90 if country == "DE" else 80.5), "the window ends there"
        below.append(rows[first:])
    assert below[0] == below[1]


def pixels(png: bytes) -> list[bytes]:
    """The rows of a PNG (ISO/IEC 15948), their filters undone."""
    width, _, depth, colour = struct.unpack(">IIBB", png[16:26])
    assert depth == 8
    wide = {2: 3, 6: 4}[colour]
    packed, at = b"", 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        packed += png[at + 8 : at + 8 + length] if png[at + 4 : at + 8] == b"IDAT" else b""
        at += 12 + length
    raw, step = zlib.decompress(packed), width * wide + 1
    rows, before = list[bytes](), bytes(step - 1)
    for start in range(0, len(raw), step):
        kind, row = raw[start], bytearray(raw[start + 1 : start + step])
        for x in range(len(row)):
            left, up, corner = (row[x - wide], before[x], before[x - wide]) if x >= wide else (0, before[x], 0)
            if kind == 1:
                row[x] = (row[x] + left) & 255
            elif kind == 2:
                row[x] = (row[x] + up) & 255
            elif kind == 3:
                row[x] = (row[x] + (left + up) // 2) & 255
            elif kind == 4:
                guess = left + up - corner
                near = min((left, up, corner), key=lambda one: abs(guess - one))
                row[x] = (row[x] + near) & 255
        before = bytes(row)
        rows.append(before)
    return rows


def test_an_e_mail_is_no_letter() -> None:
    with pytest.raises(UsageError, match="email"):
        pages(msgspec.structs.replace(NOTICE, channel="email"), US)
