"""Hints at owners, and what they come to, as tables for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from rich.text import Text

from leadapron.cli.tables import laid_out, wrapped
from leadapron.watch.report.columns import Column
from leadapron.watch.track.exposures.model import Exposure
from leadapron.watch.track.owner.countries import Contact, name
from leadapron.watch.track.owner.model import Hint
from leadapron.watch.track.owner.suggestion import Suggestion, suggestion


def whole(one: Exposure, hints: list[Hint], asked: bool = False) -> Iterator[str]:
    """One exposure: the hints, and whom they suggest to tell."""
    place = "" if one.country is None else f", {name(one.country, 'en')}"
    yield f"Exposure {one.id}: {one}{place}\n\n"
    if not hints:
        if asked:
            yield f"No source knows an owner. What you know yourself: leadapron owner add {one.id} organisation NAME\n"
        else:
            yield f"No hints yet: leadapron owner look-up {one.id}\n"
        return
    header = ("hint", "kind", "value", "state", "seen", "source")
    rows = [(str(h.id), h.kind, h.value, "" if h.state == "hint" else h.state, h.at[:10], h.source) for h in hints]
    yield from wrapped(header, rows)
    yield "\n"
    yield from wrapped(("whom to tell", ""), _told(suggestion(hints)))


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
    told = [(one, suggestion(hints)) for one, hints in found]
    yield from laid_out(
        [
            Column(header="exposure", cells=[Text(str(one.id)) for one, _ in told], justify="right"),
            Column(header="endpoint", cells=[Text(str(one)) for one, _ in told]),
            Column(
                header="studies",
                cells=[Text("?" if one.studies is None else f"{one.studies:,}") for one, _ in told],
                justify="right",
                optional=True,
            ),
            Column(header="country", cells=[Text(advice.country or "") for _, advice in told], optional=True),
            Column(header="domain", cells=[Text(advice.domain or "") for _, advice in told], least=16, optional=True),
            Column(
                header="operator", cells=[Text(advice.operator or "") for _, advice in told], least=16, optional=True
            ),
            Column(header="tell", cells=[Text(_first(advice)) for _, advice in told], least=24),
        ]
    )


def _first(advice: Suggestion) -> str:
    cert = "" if advice.cert is None else advice.cert.mailbox or advice.cert.page
    return advice.mailbox or advice.operator_mailbox or cert


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
