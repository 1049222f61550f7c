"""How much a peer does: requests in a minute, different studies retrieved in an hour. Over all its associations.

Studies are counted, not images or octets: who reads opens tens in an hour, each with hundreds of requests; who copies
an archive opens each once. A study that was counted within the hour costs nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, Protocol

Kind = Literal["echo", "query", "retrieve", "store", "other"]


class Meter(Protocol):
    """Counts, and says whether it may go on."""

    def request(self, peer: str, limit: int, kind: Kind) -> bool:
        """One more request of ``peer``; False where it has made ``limit`` within the last minute. A C-STORE is never
        refused: a scanner sends hundreds in one."""
        ...

    def answered(self, peer: str, answers: int) -> None:
        """So many answers to a query went to ``peer``."""
        ...

    def retrieved(self, peer: str, studies: Collection[str], limit: int) -> bool:
        """``peer`` retrieves from ``studies``. False, and nothing is counted, where that makes more than ``limit``
        different ones within the last hour."""
        ...
