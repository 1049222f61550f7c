"""C-ECHO to each address of a file with pynetdicom, as its documentation has it, 16 threads at once."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pynetdicom import AE


def echo(address: str) -> bool:
    entity = AE()
    entity.add_requested_context("1.2.840.10008.1.1")
    association = entity.associate(address, int(sys.argv[2]))
    if not association.is_established:
        return False
    status = association.send_c_echo()
    association.release()
    return bool(status) and status.Status == 0


if __name__ == "__main__":
    addresses = Path(sys.argv[1]).read_text().split()
    with ThreadPoolExecutor(16) as pool:
        sys.exit(0 if all(pool.map(echo, addresses)) else 1)
