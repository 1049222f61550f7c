"""Records of our own scans, so that what was found once can be visited again; and those that name ip and port alike."""

from __future__ import annotations

from typing import Any


def endpoints(record: dict[str, Any]) -> list[tuple[object, object]] | None:
    """(address, port) of a record; None where it has neither."""
    if record.get("type") == "summary":
        return []
    if record.get("type") == "endpoint" and "address" in record:
        return [(record["address"], record.get("port"))]
    if "ip" in record and "port" in record:
        return [(record["ip"], record["port"])] if record.get("protocol", "tcp") != "udp" else []
    return None
