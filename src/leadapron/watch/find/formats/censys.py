"""Censys' records, from the search API of old and the platform of today: one host each, with its services."""

from __future__ import annotations

from typing import Any


def endpoints(record: dict[str, Any]) -> list[tuple[object, object]] | None:
    """(address, port) of each TCP service; None where the record is not Censys'."""
    services = record.get("matched_services") or record.get("services")
    if "ip" not in record or not isinstance(services, list):
        return None
    return [
        (record["ip"], row.get("port"))
        for row in services
        if isinstance(row, dict) and str(row.get("transport_protocol", "tcp")).lower() == "tcp"
    ]
