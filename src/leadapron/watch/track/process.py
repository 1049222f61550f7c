"""Which process runs a scan: so that ``--resume`` takes up a scan that was killed and leaves one alone that still runs.

Two scans of the same targets at once would open two associations to one device (invariant 4). A process is named by
host, number and start, since numbers are used again. Of a process on another host (a container that is gone, a node
that shares the database) nothing can be said; it counts as ended.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path


def _started(pid: int) -> str:
    """When the process started, in clock ticks after boot (proc(5), field 22 of stat); empty for one that has ended and
    only waits for its parent to notice, and where there is no /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()  # from field 3; the name before it may hold spaces and parentheses
    return "" if fields[0] in "ZX" else fields[19]


def this_process() -> str:
    pid = os.getpid()
    return f"{platform.node()} {pid} {_started(pid)}"


def still_runs(process: str | None) -> int | None:
    """The number of the process if it runs on this host and is not ourselves, else None."""
    if not process or process == this_process():
        return None
    host, _, rest = process.partition(" ")
    number, _, started = rest.partition(" ")
    if os.name != "posix" or host != platform.node() or not number.isdigit():
        return None  # elsewhere than on POSIX signal 0 is not a question but a signal
    pid = int(number)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # it is there, and another user's
    return pid if _started(pid) == started else None
