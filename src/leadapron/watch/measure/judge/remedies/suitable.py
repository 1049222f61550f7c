"""Which remedy files suit what was seen.

A toolkit's identity says little about the product around it. DCMTK's on Orthanc's port, or behind Orthanc's default
title, is most likely Orthanc: its remedy is then shown first, DCMTK's own after it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from leadapron.watch.measure.judge.model import Facts
from leadapron.watch.measure.judge.remedies.data import GENERIC
from leadapron.watch.measure.software import remedy_file

_ORTHANC_PORT: Final = 4242
_ORTHANC_TITLE: Final = "ORTHANC"


def suitable(facts: Facts) -> tuple[str, ...]:
    """Names of remedy files, the likeliest first, the generic one last."""
    software = facts.software
    likely_orthanc = facts.measurement.port == _ORTHANC_PORT or facts.attempt.called == _ORTHANC_TITLE
    return suiting(None if software is None else software.product, likely_orthanc)


@lru_cache(maxsize=128)
def suiting(product: str | None, likely_orthanc: bool = False) -> tuple[str, ...]:
    """The same from the product's name alone, as a record holds it."""
    own = remedy_file(product)
    if own is None:
        return (GENERIC,)
    if own == "dcmtk" and likely_orthanc:
        return ("orthanc", own, GENERIC)
    return (own, GENERIC)
