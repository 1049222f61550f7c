"""Censys' records, one host each: with its services in the search API, the platform and BigQuery's universal data, with
``protocols`` (``104/dicom``) in the exports of before 2021.
"""

from __future__ import annotations

from typing import Any


def endpoints(record: dict[str, Any]) -> list[tuple[object, object]] | None:
    """(address, port) of each TCP service; None where the record is not Censys'."""
    services = record.get("matched_services") or record.get("services")
    address = record.get("ip")
    if address is None and isinstance(named := record.get("host_identifier"), dict):
        address = named.get("ipv4") or named.get("ipv6")
    if address is not None and isinstance(services, list):
        return [
            (address, row.get("port"))
            for row in services
            if isinstance(row, dict) and str(row.get("transport_protocol") or "tcp").lower() == "tcp"
        ]
    protocols = record.get("protocols")
    if address is not None and isinstance(protocols, list):
        return [(address, text.partition("/")[0]) for text in protocols if isinstance(text, str)]
    return None
