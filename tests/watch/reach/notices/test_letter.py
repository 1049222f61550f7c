"""Letters: a PDF with its address in the window, on the paper of the country; text stays text."""

from __future__ import annotations

import re
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


def test_an_e_mail_is_no_letter() -> None:
    with pytest.raises(UsageError, match="email"):
        pages(msgspec.structs.replace(NOTICE, channel="email"), US)
