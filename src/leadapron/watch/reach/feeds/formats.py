"""Formats by their names: each is a module of that name."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator

from leadapron.watch.reach.feeds.about import About
from leadapron.watch.reach.feeds.entries import Entry

Writer = Callable[[Iterable[Entry], About], Iterator[str]]


def writer(name: str) -> Writer:
    """What makes the lines of a format; loaded only when asked for."""
    found: Writer = importlib.import_module(f"leadapron.watch.reach.feeds.{name}").lines
    return found
