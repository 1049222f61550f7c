"""Who sits at the machine: the operating system's user, for what the command line does."""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
from typing import Final

from leadapron.guard.audit.events import Participant

LOCAL: Final = "local:"
"""Before the name of a user of this machine, so that it is never taken for a person's or a peer's."""


def console_user() -> Participant:
    """UserID ``local:anna``, whose number, and the machine. Behind ``sudo`` it is who called it, and that it was so;
    only root can say this, and root can say anything."""
    uid, through = os.getuid(), ""
    with contextlib.suppress(ValueError):
        if uid == 0 and os.environ.get("SUDO_UID"):
            uid, through = int(os.environ["SUDO_UID"]), ", as root through sudo"
    return Participant(f"{LOCAL}{_login(uid)}", name=f"uid {uid}{through}", address=socket.gethostname())


def _login(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):  # a container's user without a name
        return str(uid)
