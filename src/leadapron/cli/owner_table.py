"""Hints at owners, and what they come to, as tables for people and as JSON for programs."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from leadapron.cli.writing import FILE_WIDTH
from leadapron.watch.track.exposures.model import Exposure
from leadapron.watch.track.owner.countries import Contact, name
from leadapron.watch.track.owner.model import Hint
from leadapron.watch.track.owner.suggestion import Suggestion, suggestion


def whole(one: Exposure, hints: list[Hint]) -> Iterator[str]:
    """One exposure: the hints, and whom they suggest to tell."""
    place = "" if one.country is None else f", {name(one.country, 'en')}"
    yield f"Exposure {one.id}: {one}{place}\n\n"
    if not hints:
        yield f"No hints yet: leadapron owner look-up {one.id}\n"
        return
    header = ("HINT", "KIND", "VALUE", "STATE", "SEEN", "SOURCE")
    rows = [(str(h.id), h.kind, h.value, "" if h.state == "hint" else h.state, h.at[:10], h.source) for h in hints]
    yield from _columns(header, rows)
    yield "\n"
    yield from _columns(("WHOM TO TELL", ""), _told(suggestion(hints)))


def _told(advice: Suggestion) -> list[tuple[str, str]]:
    rows = [
        ("organisation", advice.organisation or "not known: a person confirms or enters it"),
        ("mailbox", advice.mailbox or "none is published"),
        ("guess", advice.guess or ""),
        ("web form", advice.page or ""),
        ("domain", advice.domain or ""),
        ("operator", " ".join(part for part in (advice.operator, _angled(advice.operator_mailbox)) if part)),
        (
            "CERT",
            "" if advice.cert is None else f"{advice.cert.name} {_angled(advice.cert.mailbox) or advice.cert.page}",
        ),
        ("regulator", _reach(advice.regulator)),
        ("language", advice.language),
    ]
    return [row for row in rows if row[1]] + [("because", reason) for reason in advice.reasons]


def _reach(contact: Contact | None) -> str:
    return "" if contact is None else f"{contact.name} {_angled(contact.mailbox) or contact.page}"


def _angled(mailbox: str | None) -> str:
    return "" if mailbox is None else f"<{mailbox}>"


def listing(found: list[tuple[Exposure, list[Hint]]]) -> Iterator[str]:
    """A line for each, with the first one to tell."""
    rows = []
    for one, hints in found:
        advice = suggestion(hints)
        cert = advice.cert.mailbox or advice.cert.page if advice.cert is not None else ""
        told = advice.mailbox or advice.operator_mailbox or cert
        rows.append((str(one.id), str(one), advice.country or "", advice.domain or "", advice.operator or "", told))
    yield from _columns(("EXPOSURE", "ENDPOINT", "COUNTRY", "DOMAIN", "OPERATOR", "TELL"), rows)


def _columns(header: tuple[str, ...], rows: list[Any]) -> Iterator[str]:
    """Columns without lines; the last one is wrapped. What strangers wrote is shown as it stands, not as markup."""

    like = Console()
    console = Console(file=io.StringIO(), width=like.width if like.is_terminal else FILE_WIDTH, highlight=False)
    table = Table(box=None, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    for at, title in enumerate(header):
        table.add_column(title, no_wrap=at == 0, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    for line in console.file.getvalue().splitlines():
        yield line.rstrip() + "\n"


def document(found: list[tuple[Exposure, list[Hint]]]) -> Iterator[str]:
    """All of it for programs."""
    value = [
        {
            "exposure": one.id,
            "endpoint": str(one),
            "country": one.country,
            "asn": one.asn,
            "operator": one.operator,
            "hints": hints,
            "suggestion": suggestion(hints),
        }
        for one, hints in found
    ]
    yield msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"
