"""From the two identification strings to a product and its version."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from leadapron.watch.measure.record import Software
from leadapron.watch.measure.software.table import Product, products

MAX_UID: Final = 64  # PS3.5 §9.1
MAX_VERSION_NAME: Final = 16  # PS3.7 §D.3.3.2.3
# Servers sit in clusters of identical configuration; a hostile one must not make us remember much.
_REMEMBERED: Final = 2048


def printable(text: str, longest: int) -> str | None:
    """``text`` without anything but printable ASCII, at most ``longest`` characters; None where nothing is left."""
    kept = text if text.isascii() and text.isprintable() else "".join(c for c in text if " " <= c <= "~")
    return kept[:longest].strip() or None


@lru_cache(maxsize=_REMEMBERED)
def recognise(class_uid: str | None, version_name: str | None) -> Software | None:
    """What answers, or None where it does not say at all. An unknown one keeps its strings and has no product."""
    uid = None if class_uid is None else printable(class_uid, MAX_UID)
    name = None if version_name is None else printable(version_name, MAX_VERSION_NAME)
    if uid is None and name is None:
        return None
    product, match, root = _find(uid or "", name or "")
    if product is None:
        return Software(None, None, uid, name)
    return Software(product.name, _version(product, uid or "", root, match), uid, name)


@lru_cache(maxsize=64)
def remedy_file(product: str | None) -> str | None:
    """The name of the product's file in ``judge/remedies``, or None where only the generic one serves."""
    return next((entry.remedy for entry in products() if entry.name == product), None)


def _find(uid: str, name: str) -> tuple[Product | None, re.Match[str] | None, str]:
    """The product that fits best: longest root first, then a name that fits; a name alone where no root is known."""
    best: tuple[int, bool] = (-1, False)
    found: tuple[Product | None, re.Match[str] | None, str] = (None, None, "")
    for product in products():
        root = max((r for r in product.roots if uid == r or uid.startswith(r + ".")), key=len, default="")
        match = next((m for pattern in product.names if (m := pattern.search(name))), None)
        if match is None and (product.needs_name or not root):
            continue
        rank = (len(root), match is not None)
        if rank > best:
            best, found = rank, (product, match, root)
    return found


def _version(product: Product, uid: str, root: str, match: re.Match[str] | None) -> str | None:
    if root and product.uid_version is not None:
        in_uid = product.uid_version.search(uid[len(root) + 1 :])
        if in_uid is not None:
            return in_uid.group(1)
    if match is None:
        return None
    return ".".join(group for group in match.groups() if group is not None) or None
