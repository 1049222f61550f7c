"""A neighbourhood of simulated servers on loopback: the demo, the tests and the bench use it.

``Neighbourhood`` runs a population inside of this process, ``LabProcess`` in one of its own. Both know the truth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leadapron.lab.neighbourhood import Neighbourhood
    from leadapron.lab.population import ArchiveSpec, EndpointSpec, Population, load
    from leadapron.lab.process import LabProcess
    from leadapron.lab.truth import EndpointTruth

__all__ = ["ArchiveSpec", "EndpointSpec", "EndpointTruth", "LabProcess", "Neighbourhood", "Population", "load"]

_HOMES = {
    "Neighbourhood": "neighbourhood",
    "ArchiveSpec": "population",
    "EndpointSpec": "population",
    "Population": "population",
    "load": "population",
    "LabProcess": "process",
    "EndpointTruth": "truth",
}


def __getattr__(name: str) -> object:
    """Loaded when first used: numpy takes a tenth of a second, and the command line must start in less."""
    import importlib

    if name not in _HOMES:
        raise AttributeError(name)
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
