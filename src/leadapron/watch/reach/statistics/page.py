"""The pack as one HTML file that asks for nothing from elsewhere: style and charts are in it, there is no script."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from importlib import resources

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from leadapron import __version__
from leadapron.watch.reach.statistics import svg, words
from leadapron.watch.reach.statistics.pack import BY, TOP, Pack


def render(pack: Pack) -> str:
    """The whole file as text, to be written as UTF-8."""
    style = _asset("statistics.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    charts = {
        "open": svg.weeks(pack.weeks, "open", "Archives that stood open, at the end of each week"),
        "images": svg.weeks(pack.weeks, "images", "Images that stood open, at the end of each week"),
        "countries": svg.bars(pack.tables["country"], "Archives that stand open, by country"),
        "fixes": svg.survival(pack.fixes, "Share of servers that are open still, by days since they were found")
        if pack.fixes
        else "",
    }
    return (
        _environment()
        .get_template("statistics.html")
        .render(
            version=__version__,
            style=Markup(style),
            policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
            pack=pack,
            by=BY,
            top=TOP,
            heads=words.HEADS,
            sentences=words.sentences(pack),
            rules=words.rules(pack),
            charts={key: Markup(chart) for key, chart in charts.items()},
            name=words.name,
            number=words.number,
            amount=words.amount,
            short=words.short,
        )
    )


@lru_cache(maxsize=4)
def _asset(name: str) -> str:
    return resources.files(__package__).joinpath("assets", name).read_text(encoding="utf-8").strip()


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(
        loader=FunctionLoader(_asset), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
