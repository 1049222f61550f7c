"""Records from processes that do not write the trail: left as files, picked up by the one that does.

`leadapron up` holds the trail for as long as it runs. A command beside it (``audit show`` itself leaves a record) seals
its message into a file of its own below ``audit/inbox``, whole or not at all; the writer looks there every second, when
it opens and when it closes. So nothing is lost if the writer ends in between: the next one finds it. The event keeps
the time at which it happened; its place in the chain is where the writer took it up.

A file is removed after its record is on stable storage. A writer that dies between the two leaves one that will be
recorded again: twice is better than never, and both bear the same message.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from leadapron.guard.audit.chain import MAX_MESSAGE
from leadapron.guard.audit.place import AuditFailed, Place
from leadapron.kernel.files import private_directory, sync_directory, write_whole
from leadapron.kernel.seal import Sealer, Unsealable

PURPOSE: Final = "audit inbox"
SUFFIX: Final = ".event"
REFUSED: Final = ".refused"
AT_ONCE: Final = 1_000
"""Files that are taken up in one go."""


def leave(place: Place, key: bytes, text: bytes) -> None:
    """Leave a message for the writer; on return it is on stable storage. Raises `AuditFailed`."""
    name = f"{time.time_ns():020d}-{secrets.token_hex(8)}{SUFFIX}"
    try:
        if not place.inbox.is_dir():
            private_directory(place.inbox)
            sync_directory(place.home)
        write_whole(place.inbox / name, Sealer(key, PURPOSE).seal(text, name.encode()))
    except OSError as error:
        raise AuditFailed(f"cannot leave a record for the audit trail: {error.strerror}") from error


def waiting(place: Place, key: bytes) -> Iterator[tuple[Path, bytes | None]]:
    """What was left, oldest first: file and message, or None where it is not ours. The caller removes the file."""
    try:
        names = sorted(name for name in os.listdir(place.inbox) if name.endswith(SUFFIX) and name[0] != ".")
    except FileNotFoundError:
        return
    sealer = Sealer(key, PURPOSE) if names else None
    for name in names[:AT_ONCE]:
        assert sealer is not None
        with contextlib.suppress(FileNotFoundError):
            yield place.inbox / name, _read(place.inbox / name, sealer)


def refuse(path: Path) -> None:
    """Put aside what is not ours, for whoever looks into it; it is not looked at again."""
    with contextlib.suppress(OSError):
        path.rename(path.with_name(path.name + REFUSED))


def _read(path: Path, sealer: Sealer) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            return sealer.open(file.read(MAX_MESSAGE + 1), path.name.encode())
    except FileNotFoundError:
        raise
    except (OSError, Unsealable):
        return None
