"""The browser parts: htmx, uPlot and the world's outlines, as npm laid them beside the package.

They are not ours and not in the repository: ``browser/package-lock.json`` names each with its hash, ``make setup`` lays
them down. Where they are missing the console works without them: pages load whole, charts and map are tables, and a
line says what to run.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from msgspec import Struct

MODULES: Final = ("browser", "node_modules")
PARTS: Final = {
    "htmx.js": "htmx.org/dist/htmx.min.js",
    "uplot.js": "uplot/dist/uPlot.iife.min.js",
    "uplot.css": "uplot/dist/uPlot.min.css",
}
WORLD: Final = "world-atlas/countries-110m.json"
DETAIL: Final = "world-atlas/countries-50m.json"
ADVICE: Final = "make setup"
TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


class Asset(Struct, frozen=True):
    """A file for the browser. ``mark`` changes with its content and stands in its address."""

    content: bytes
    kind: str
    mark: str


@lru_cache(maxsize=32)
def asset(name: str) -> Asset | None:
    """A style sheet or script by the name that pages use; None where there is none."""
    suffix = name.rpartition(".")[2]
    if suffix not in TYPES or not name.replace(".", "").replace("-", "").isalnum():
        return None
    content = part(PARTS[name]) if name in PARTS else _read(resources.files(__package__).joinpath("static", name))
    if content is None:
        return None
    return Asset(content, TYPES[suffix], hashlib.sha256(content).hexdigest()[:12])


def part(path: str) -> bytes | None:
    """A file that npm laid down; None where it did not."""
    return _read(resources.files(__package__).joinpath(*MODULES, *path.split("/")))


def complete() -> bool:
    """Whether all of them are there."""
    return all(asset(name) is not None for name in PARTS) and part(WORLD) is not None


def _read(file: Traversable) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None
