"""Who lives in the neighbourhood. To add one, add a module here with a tuple ``PERSONAS``: nothing else lists them."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from leadapron.lab.persona import Persona


@cache
def personas() -> dict[str, Persona]:
    """All personas by name, in the order of their modules."""
    found: dict[str, Persona] = {}
    for info in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        module = importlib.import_module(f"{__name__}.{info.name}")
        for persona in module.PERSONAS:
            if persona.name in found:
                raise RuntimeError(f"two personas are called {persona.name}")
            found[persona.name] = persona
    return found
