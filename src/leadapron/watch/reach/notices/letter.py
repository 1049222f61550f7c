"""A notice as a printable letter: PDF, A4 or US letter, with the address where a window envelope shows it.

Typst sets it from ``letter.typ``; the notice's text is data there, so that no character of it is markup. Fonts are
those that typst brings, and the document has no date of its own: the same notice is the same letter.
"""

from __future__ import annotations

from importlib import resources
from typing import Final, Literal

import msgspec

from leadapron.kernel.clock import Clock, SystemClock
from leadapron.kernel.errors import Failure, UsageError
from leadapron.watch.reach.notices import words
from leadapron.watch.reach.notices.facts import printable, reference
from leadapron.watch.reach.notices.layout import blocks
from leadapron.watch.reach.notices.model import Notice
from leadapron.watch.reach.notices.settings import Notices as Settings

US_LETTER: Final = frozenset({"US", "CA", "MX", "PH", "CL", "CO", "VE", "CR", "GT", "NI", "PA", "PR", "SV", "DO"})
"""Where paper is of the US sizes (CLDR, paperSize, and neighbours that use it in fact)."""
Format = Literal["pdf", "png"]


def pages(
    notice: Notice, settings: Settings, clock: Clock | None = None, *, country: str | None = None, form: Format = "pdf"
) -> list[bytes]:
    """The letter: one PDF, or a PNG for each page. ``country``: where it is sent to (ISO 3166-1), which has its paper.

    Raises ``UsageError`` for a notice that is no letter, ``Failure`` where it can't be set.
    """
    if notice.channel != "letter":
        raise UsageError(f"notice {notice.id} goes by {notice.channel}; only a letter can be printed")
    import typst

    us = settings.by(notice.arms.get("sender"))
    day = (clock or SystemClock()).now().date()
    data = {
        "paper": "us-letter" if country in US_LETTER else "a4",
        "language": notice.language,
        "subject": notice.subject,
        "organisation": us.organisation or "",
        "sender": [line for line in ((us.organisation or ""), *(us.postal or "").splitlines()) if line.strip()],
        "recipient": [line for line in notice.recipient.splitlines() if line.strip()],
        "date": words.long_date(day, words.locale(notice.language, country or "")),
        "reference": reference(notice.case_id),
        "page-word": words.word("page", notice.language),
        "blocks": [msgspec.structs.asdict(block) for block in blocks(notice.body)],
    }
    source = resources.files(__package__).joinpath("letter.typ").read_bytes()
    inputs = {"data": msgspec.json.encode(data).decode()}
    try:
        made = typst.compile(source, format=form, ppi=96.0, sys_inputs=inputs, ignore_system_fonts=True)
    except RuntimeError as error:
        raise Failure(f"the letter of notice {notice.id} can't be set: {printable(str(error), 200)}") from None
    if made is None:
        raise Failure(f"the letter of notice {notice.id} can't be set: typst gave nothing")
    return [page for page in made if page is not None] if isinstance(made, list) else [made]
