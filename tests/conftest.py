"""What all tests share: the real peers of ``tests/peers``, importable as ``peers`` in tests."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from peers.fixtures import certificates, dcmqrscp, orthanc, qrscp, sample, storescp

__all__ = ["certificates", "dcmqrscp", "orthanc", "qrscp", "sample", "storescp"]
