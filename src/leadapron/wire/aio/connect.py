"""Opening a connection as a client: name, TCP, TLS, each with its bound."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import Any, TypeAlias

from leadapron.kernel.errors import ConnectionLost, TimedOut
from leadapron.wire.aio.faults import fault
from leadapron.wire.aio.timeouts import Timeouts
from leadapron.wire.aio.transport import Connection
from leadapron.wire.pdu import DEFAULT_LIMITS, Limits

AddressInfo: TypeAlias = tuple[int, int, int, str, tuple[Any, ...]]


async def connect(
    host: str,
    port: int,
    *,
    tls: ssl.SSLContext | None = None,
    server_name: str | None = None,
    timeouts: Timeouts,
    limits: Limits = DEFAULT_LIMITS,
) -> Connection:
    """A connection to the first address of ``host`` that accepts one.

    ``server_name`` is whom the certificate must name, and what is asked for in SNI; ``host`` if None. Raises
    ConnectionLost (``error`` tells ECONNREFUSED from EHOSTUNREACH), TlsFailed, TimedOut.
    """
    sock = await _connect(host, port, timeouts.connect)
    connection = Connection(sock, timeouts, limits)
    try:
        # Without TLS nothing is waited for on the network, so there is nothing to bound.
        async with asyncio.timeout(timeouts.tls if tls is not None else None):
            await open_connection(connection, sock, tls, server_name or host, timeouts)
    except TimeoutError:
        sock.close()
        raise TimedOut("the TLS handshake", timeouts.tls) from None
    except OSError as error:
        sock.close()
        raise fault(error, "the TLS handshake") from None
    except BaseException:
        sock.close()
        raise
    return connection


async def open_connection(
    connection: Connection, sock: socket.socket, tls: ssl.SSLContext | None, server_name: str, timeouts: Timeouts
) -> None:
    """Hands ``sock`` to the loop, after the TLS handshake if there is a context."""
    options: dict[str, Any] = {}
    if tls is not None:
        # Our own bound comes first; the loop's would raise an error without a name.
        options = {"server_hostname": server_name, "ssl_handshake_timeout": timeouts.tls + 1}
        options["ssl_shutdown_timeout"] = timeouts.release
    await asyncio.get_running_loop().create_connection(lambda: connection, sock=sock, ssl=tls, **options)


async def _connect(host: str, port: int, seconds: float) -> socket.socket:
    failure: Exception = ConnectionLost("the host name has no address", "EAI_NODATA")
    sock: socket.socket | None = None
    try:
        async with asyncio.timeout(seconds):
            for family, kind, protocol, _, address in await _resolve(host, port):
                sock = _open(family, kind, protocol)
                try:
                    sock.setblocking(False)
                    await asyncio.get_running_loop().sock_connect(sock, address)
                except OSError as error:
                    sock.close()
                    failure = fault(error, "connecting")
                except asyncio.CancelledError:
                    if not _stands(sock):
                        sock.close()
                    raise
                except BaseException:
                    sock.close()
                    raise
                else:
                    return sock
    except TimeoutError:
        if sock is not None and _stands(sock):
            return sock  # it was there in time; our own loop was late
        raise TimedOut("the connection", seconds) from None
    except asyncio.CancelledError:
        if sock is not None:
            sock.close()
        raise
    except OSError as error:
        raise fault(error, "name resolution") from None
    raise failure


def _open(family: int, kind: int, protocol: int) -> socket.socket:
    """A socket, not connected. Raises ConnectionLost where this machine has none left (EMFILE …)."""
    try:
        return socket.socket(family, kind, protocol)
    except OSError as error:
        raise fault(error, "opening a socket") from None


def _stands(sock: socket.socket) -> bool:
    """Whether a connect that was given up has succeeded all the same."""
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


async def _resolve(host: str, port: int) -> list[AddressInfo]:
    """Addresses of a host; those written as numbers need no resolver and no thread."""
    with contextlib.suppress(socket.gaierror):
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags))
    return list(await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM))
