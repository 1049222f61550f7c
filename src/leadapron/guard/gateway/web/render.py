"""Pages from templates: everything that is printed into one is escaped, and a variable that is missing is an error."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import Any, Final

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from leadapron.guard.audit.text import LONG, clean

TYPES: Final = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}


def page(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """An answer with a page of ours."""
    return HTMLResponse(_environment().get_template(template).render(**values), status)


@lru_cache(maxsize=16)
def static(name: str) -> Response | None:
    """A style sheet, script or picture of the pages; None where there is none of that name."""
    if not name.replace(".", "").replace("-", "").isalnum() or name.rpartition(".")[2] not in TYPES:
        return None
    try:
        content = resources.files(__package__).joinpath("static", name).read_bytes()
    except OSError:
        return None
    headers = {"content-type": TYPES[name.rpartition(".")[2]], "cache-control": "private, max-age=3600"}
    return Response(content, headers=headers)


def qr(text: str) -> Markup:
    """A QR code as SVG that stands in the page: no request, no image of a secret in a cache."""
    import segno

    code = segno.make(text, error="m", micro=False)
    drawing = code.svg_inline(
        scale=4, border=4, dark="#000", light="#fff", svgclass="qr", lineclass=None, omitsize=True
    )
    return Markup(drawing)


def _template(name: str) -> str:
    return resources.files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


def _fit(value: object) -> object:
    """What somebody gave may steer the terminal of whoever looks at a page with a program: controls are shown."""
    return clean(value, LONG) if type(value) is str else value


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(
        loader=FunctionLoader(_template),
        autoescape=True,
        finalize=_fit,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
