"""What all tests share: the real peers of ``tests/peers``, importable as ``peers``, both databases, a mail server."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import settings

# The same examples in each run, and no time limit for one: a busy machine is not a bug. Fuzzing looks for the new ones.
settings.register_profile("steady", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("steady")

sys.path.insert(0, str(Path(__file__).parent))

from databases import engine, location, postgres, template  # noqa: E402
from peers.fixtures import certificates, dcmqrscp, orthanc, qrscp, sample, storescp  # noqa: E402
from postroom import post, room  # noqa: E402

__all__ = [
    "certificates",
    "dcmqrscp",
    "engine",
    "location",
    "orthanc",
    "post",
    "postgres",
    "qrscp",
    "room",
    "sample",
    "storescp",
    "template",
]
