"""Shodan's records, from a download (``.json.gz``) or from the API: one service each."""

from __future__ import annotations

from typing import Any


def endpoints(record: dict[str, Any]) -> list[tuple[object, object]] | None:
    """(address, port) of a TCP service; None where the record is not Shodan's."""
    if "ip_str" not in record:
        return None
    if isinstance(record.get("data"), list):  # a whole host, as the API answers for one address
        rows = [row for row in record["data"] if isinstance(row, dict)]
    else:
        rows = [record]
    return [(record["ip_str"], row.get("port")) for row in rows if row.get("transport", "tcp") == "tcp"]
