"""How numbers, counts and a peer's strings are written for people.

Numbers are grouped by commas. A count that is not complete never looks like one that is: ``≥ 1,503`` is a lower bound,
``≈ 1,503`` an estimate, ``?`` what the server would not say.

A peer chooses some of the strings that we show (the name of its software, its certificate). What is not printable in
them becomes U+FFFD: escape sequences that would move a terminal's cursor, line ends, and marks that turn the reading
direction round.
"""

from __future__ import annotations

from leadapron.watch.measure.record import EndpointRecord, Exposed

UNKNOWN = "?"


def clean(text: str) -> str:
    """``text`` with everything that is not printable replaced; ``str.isprintable`` leaves out controls, formats
    (among them the bidirectional ones), surrogates, separators other than the space, and unassigned characters."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def number(value: int) -> str:
    return f"{value:,}"


def quantity(value: int, one: str, many: str | None = None) -> str:
    """``1 study``, ``1,503 studies``; ``many`` defaults to ``one`` with an s."""
    return f"{value:,} {one if value == 1 else many or one + 's'}"


def counted(value: int | None, exposed: Exposed) -> str:
    """One of the counts in ``exposed`` with what is to be known about it."""
    if value is None:
        return UNKNOWN
    return bound_mark(exposed) + number(value)


def bound_mark(exposed: Exposed) -> str:
    if exposed.method == "estimate":
        return "≈ "
    return "" if exposed.complete else "≥ "


def seconds(value: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if value < 10:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(value / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def moment(iso: str) -> str:
    """``2026-11-21T20:00:00Z`` as ``2026-11-21 20:00 UTC``."""
    return f"{iso[:10]} {iso[11:16]} UTC" if len(iso) == 20 else iso


def endpoint(address: str, port: int) -> str:
    """``127.1.0.5:104``, ``[::1]:104``."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def software(record: EndpointRecord) -> str:
    """Product and version, else what the server called itself, else nothing; safe to show."""
    if record.software is None:
        return ""
    found = " ".join(part for part in (record.software.product, record.software.version) if part)
    return clean(found or record.software.implementation_version_name or "")


def listing(parts: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
