"""The catalogue: one module for each finding, named as the finding is, with its ``FINDING``.

Adding one is adding a file: it is found by being here.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import lru_cache

from leadapron.watch.measure.judge.model import FindingKind


@lru_cache(maxsize=1)
def kinds() -> tuple[FindingKind, ...]:
    """All findings that there are, in the order of their ids."""
    found = []
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        kind: FindingKind = importlib.import_module(f"{__name__}.{module.name}").FINDING
        if kind.id != module.name.replace("_", "-"):
            raise AssertionError(f"findings/{module.name}.py holds {kind.id}: the file is named as the finding")
        found.append(kind)
    return tuple(found)


def kind(finding_id: str) -> FindingKind:
    """The finding of that id; raises KeyError."""
    for one in kinds():
        if one.id == finding_id:
            return one
    raise KeyError(finding_id)
