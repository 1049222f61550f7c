"""The one seam where errors of sockets, TLS and name resolution become errors of ours.

Messages are made from our words and from constants of the operating system and of OpenSSL: nothing that a peer wrote
passes through (invariant 2), so its texts, certificate names and alerts' free text are left behind here.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl

from leadapron.kernel.errors import ConnectionLost, TlsFailed, WireError


def fault(error: BaseException | None, during: str) -> WireError:
    """The error to raise for ``error`` (None: the peer closed the connection) that came ``during`` something."""
    if error is None:
        return ConnectionLost(f"the peer closed the connection during {during}")
    if isinstance(error, WireError):
        return error
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "reason", None) or type(error).__name__  # not set where Python raised it
        return TlsFailed(f"TLS failed during {during}: {reason}", reason)
    if isinstance(error, socket.gaierror):
        return ConnectionLost(f"the host name could not be resolved ({_name(error, 'EAI')})", _name(error, "EAI"))
    if isinstance(error, OSError):
        name = _name(error, "E")
        text = os.strerror(error.errno) if error.errno else "connection lost"
        return ConnectionLost(f"{text} ({name}) during {during}", name)
    return ConnectionLost(f"the connection was lost during {during} ({type(error).__name__})")


def _name(error: OSError, family: str) -> str:
    """``ECONNRESET`` and the like; ``EAI_NONAME`` for what getaddrinfo says."""
    if family == "EAI":
        names = {getattr(socket, name): name for name in dir(socket) if name.startswith("EAI_")}
        return names.get(error.errno or 0, "EAI_FAIL")
    if error.errno is None:
        return "ECONNRESET" if isinstance(error, ConnectionResetError) else type(error).__name__
    return errno.errorcode.get(error.errno, f"errno {error.errno}")
