"""The pack as a PDF, set by typst with the fonts that it ships: the same on every machine.

What is in the pack reaches the document as data (``sys.inputs``), never as markup; the template is ours alone.
"""

from __future__ import annotations

from datetime import datetime
from importlib import resources
from typing import Any, Final

import msgspec

from leadapron.kernel.errors import Failure
from leadapron.watch.reach.statistics import svg, words
from leadapron.watch.reach.statistics.pack import BY, TOP, Amount, Pack

_WEEKS: Final = 26  # that are listed; the chart has all


def render(pack: Pack) -> bytes:
    """The PDF: the same octets for the same pack. Raises ``Failure`` where typst fails."""
    import typst

    document = resources.files(__package__).joinpath("assets", "statistics.typ").read_bytes()
    try:
        compiler = typst.Compiler(document, ignore_system_fonts=True, sys_inputs={"pack": _json(pack)})
        made = compiler.compile(format="pdf", timestamp=datetime.fromisoformat(f"{pack.last}T00:00:00+00:00"))
    except typst.TypstError as error:
        raise Failure(
            "typst could not set the PDF: this is a bug of ours; CSV and HTML have the same figures"
        ) from error
    assert isinstance(made, bytes)
    return made


def _json(pack: Pack) -> str:
    def charted(kind: str) -> str:
        return svg.weeks(pack.weeks, kind, kind, svg.PAPER)

    data: dict[str, Any] = {
        "first": pack.first,
        "last": pack.last,
        "sentences": words.sentences(pack),
        "rules": words.rules(pack),
        "tiles": [
            [words.number(pack.total.archives), "archives open"],
            [words.short(pack.total.studies.value), "examinations, about"],
            [words.short(pack.total.images.value), "images, about"],
            [words.SUPPRESSED if pack.top_share is None else f"{pack.top_share} %", f"in the {TOP} largest"],
        ],
        "open": charted("open"),
        "images": charted("images"),
        "countries": svg.bars(pack.tables["country"], "country", svg.PAPER),
        "fixes": svg.survival(pack.fixes, "fixes", svg.PAPER) if pack.fixes else "",
        "tables": [_table(pack, by) for by in BY],
        "crossed": _crossed(pack),
        "weeks": [
            ["Week ending", "Archives", "Opened", "Closed", "Examinations", "Images"],
            *(
                [row.end, *map(words.number, (row.open, row.opened, row.closed)), *_amounts(row.studies, row.images)]
                for row in pack.weeks[-_WEEKS:][::-1]
            ),
        ],
    }
    return msgspec.json.encode(data).decode()


def _table(pack: Pack, by: Any) -> dict[str, Any]:
    rows = [
        [words.name(by, row.name), words.number(row.archives), *_amounts(row.studies, row.images)]
        for row in pack.tables[by]
    ]
    total = ["All", words.number(pack.total.archives), *_amounts(pack.total.studies, pack.total.images)]
    head = [words.HEADS[by], "Archives", "Examinations", "Images"]
    return {"title": f"By {head[0].lower()}", "rows": [head, *rows, total], "by": by}


def _crossed(pack: Pack) -> list[list[str]]:
    if pack.crossed is None:
        return []
    head = ["Country", *(words.name("product", product) for product in pack.crossed.products)]
    rows = zip(pack.crossed.countries, pack.crossed.cells, strict=True)
    return [head, *([words.name("country", country), *map(words.number, cells)] for country, cells in rows)]


def _amounts(*amounts: Amount | None) -> list[str]:
    return [words.amount(amount) for amount in amounts]
