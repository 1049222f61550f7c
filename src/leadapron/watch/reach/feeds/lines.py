"""One JSON object on one line, and nothing in it that would move a terminal's cursor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec


def line(value: Mapping[str, Any] | msgspec.Struct) -> str:
    """``value`` as one line in ASCII, with its end: what is beyond is ``\\uXXXX`` (RFC 8259 §7), which means the same
    and survives whatever handles a feed on its way."""
    return json.dumps(msgspec.to_builtins(value), separators=(",", ":")) + "\n"
