"""The inventory of machines, as a table for people and as JSON for programs.

What strangers claimed is made printable before it is stored; here it is cut and shown as plain text, without markup.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from msgspec import Struct

from leadapron.cli.peer_guard import Place
from leadapron.guard.identity.inventory import PeerRecord, Stranger
from leadapron.guard.identity.issuing import OpenCode, open_codes
from leadapron.guard.identity.renewal import WARNING
from leadapron.guard.policy.decide import load_policy
from leadapron.guard.policy.rules import PeerRules
from leadapron.kernel.clock import iso

_LEAST_MISSED: Final = ("FIRST SEEN", "SERIAL", "FROM", "AE", "UNTIL")


class Row(Struct, frozen=True):
    """A machine. ``state``: ``valid``, ``ends soon``, ``expired``, ``revoked``, ``invited``, ``no certificate`` or
    ``no rules`` (it has a certificate, and may do nothing)."""

    name: str
    ae: str
    may: tuple[str, ...]
    state: str
    until: str | None
    serial: str | None
    first_seen: str | None
    last_seen: str | None
    addresses: tuple[str, ...]


class Inventory(Struct, frozen=True):
    peers: tuple[Row, ...]
    unknown: tuple[dict[str, Any], ...]


def gather(place: Place) -> Inventory:
    """Everybody in the configuration or in the registry, by name; and who is in neither."""
    now = place.registry.clock.now()
    rules = {peer.rules.name: peer.rules for peer in load_policy(place.config).peers}
    records = {record.name: record for record in place.registry.peers()}
    codes = {code.name: code for code in open_codes(place.registry)}
    names = sorted({*rules, *records, *codes}, key=str.casefold)
    rows = tuple(_row(name, rules.get(name), records.get(name), codes.get(name), now) for name in names)
    return Inventory(rows, tuple(_stranger(one) for one in place.registry.strangers()))


def as_json(inventory: Inventory) -> str:
    import msgspec

    return json.dumps(msgspec.to_builtins(inventory), indent=2, ensure_ascii=False)


def as_table(inventory: Inventory) -> str:
    parts = []
    if inventory.peers:
        rows = [
            (
                row.name,
                row.ae,
                ",".join(row.may) or "nothing",
                row.state,
                (row.until or "")[:10],
                _minute(row.first_seen),
                _minute(row.last_seen),
                row.addresses[0] if row.addresses else "",
                (row.serial or "")[:8],
            )
            for row in inventory.peers
        ]
        parts.append(_table(("NAME", "AE", "MAY", "STATE", "UNTIL", "FIRST SEEN", "LAST SEEN", "FROM", "SERIAL"), rows))
    else:
        parts.append("No machine may come in yet. 'leadapron peer enrol NAME --ae AE --may store,echo' lets one.")
    if inventory.unknown:
        strangers = [
            (one["ae"], one["address"], str(one["times"]), _minute(one["last_seen"]), one["reason"])
            for one in inventory.unknown[:50]
        ]
        parts.append("Tried, and are not known:\n" + _table(("AE", "FROM", "TIMES", "LAST", "WHY NOT"), strangers))
        if len(inventory.unknown) > 50:
            parts.append(f"and {len(inventory.unknown) - 50} more: --format json lists them all.")
    return "\n\n".join(parts)


def _row(name: str, rules: PeerRules | None, record: PeerRecord | None, code: OpenCode | None, now: datetime) -> Row:
    certificate = record.certificate if record is not None else None
    known = rules or record or code
    assert known is not None
    return Row(
        name=name,
        ae=known.ae,
        may=rules.may if rules is not None else (),
        state=_state(rules, record, code, now),
        until=iso(certificate.ends_at) if certificate is not None else None,
        serial=certificate.serial if certificate is not None else None,
        first_seen=iso(record.first_seen) if record is not None and record.first_seen else None,
        last_seen=iso(record.last_seen) if record is not None and record.last_seen else None,
        addresses=record.addresses if record is not None else (),
    )


def _state(rules: PeerRules | None, record: PeerRecord | None, code: OpenCode | None, now: datetime) -> str:
    if record is not None and record.certificate.holds(now):
        if rules is None:
            return "no rules"
        return "ends soon" if record.certificate.ends_at <= now + WARNING else "valid"
    if code is not None:
        left = max(timedelta(0), code.expires_at - now)
        return f"invited, {left.total_seconds() / 3600:.0f} h left"
    if record is None:
        return "no certificate"
    return "revoked" if record.certificate.revoked_at is not None else "expired"


def _stranger(one: Stranger) -> dict[str, Any]:
    return {
        "ae": one.ae,
        "address": one.address,
        "first_seen": iso(one.first_seen),
        "last_seen": iso(one.last_seen),
        "times": one.times,
        "reason": one.reason,
    }


def _minute(text: str | None) -> str:
    return "" if text is None else text[:16].replace("T", " ")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns two spaces apart. Those without a value are left out, and on a terminal those that do not fit, the least
    missed first; then lines are cut."""
    kept = [at for at in range(len(header)) if any(row[at] for row in rows)]
    widths = {at: max(len(header[at]), *(len(row[at]) for row in rows)) for at in kept}
    room = _room()
    for least in (at for name in _LEAST_MISSED for at in kept[:] if header[at] == name):
        if room is not None and sum(widths[at] + 2 for at in kept) - 2 > room:
            kept.remove(least)
    lines = ("  ".join(f"{line[at]:<{widths[at]}}" for at in kept).rstrip() for line in (header, *rows))
    return "\n".join(line[:room] for line in lines)


def _room() -> int | None:
    """Columns of the terminal; None where it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
