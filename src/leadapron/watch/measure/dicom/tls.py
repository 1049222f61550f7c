"""The same visit behind TLS: one handshake that verifies nothing, the certificate kept, then the touch.

We look at strangers' servers as they are, so the handshake takes what the server offers; nothing of ours goes over it
but the questions that go over plain TCP too. Whether the server wanted a certificate of ours is read off the handshake
itself: under TLS 1.2 the alert that turns us away doesn't say why, under 1.3 it comes after the handshake.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import socket
import ssl
from typing import Any, Final, cast

from leadapron.watch.measure.dicom.touch import Touch, Touched
from leadapron.watch.measure.model import (
    Certificate,
    Depth,
    Failed,
    HungUp,
    Outcome,
    Refused,
    Silent,
    Tls,
    TlsFailed,
)
from leadapron.wire.aio.swarm import End
from leadapron.wire.aio.tls import probe_context

_CERTIFICATE_REQUEST: Final = 13  # handshake type, RFC 8446 §4
_HANDSHAKE: Final = 22  # content type, RFC 8446 §5.1
_TURNED_AWAY: Final = (
    "CERTIFICATE_REQUIRED",
    "HANDSHAKE_FAILURE",
    "BAD_CERTIFICATE",
    "ACCESS_DENIED",
    "UNKNOWN_CA",
    "CERTIFICATE_UNKNOWN",
)
_MAX_NAMES: Final = 32
_MAX_NAME: Final = 200


async def touch_tls(
    address: str,
    port: int,
    *,
    called: str,
    calling: str,
    depth: Depth,
    timeout: float,
    sock: socket.socket | None = None,
) -> tuple[Touched, Tls | None]:
    """One visit over TLS; ``timeout`` (seconds) bounds connect, handshake and each answer by itself.

    ``sock`` is a connected socket to go on with (it is closed in the end); without it a connection is made.
    """
    if sock is None:
        made = await _connect(address, port, timeout)
        if isinstance(made, Refused):
            return Touched(made, None, 0, False), None
        sock = made
    loop = asyncio.get_running_loop()
    result: asyncio.Future[Touched] = loop.create_future()
    touch = Touch(lambda done: _settle(result, done), called=called, calling=calling, depth=depth, timeout=timeout)
    context = probe_context()
    wanted = _CertificateRequests()
    context._msg_callback = wanted  # type: ignore[attr-defined]  # the only way to see a CertificateRequest
    line = _TlsLine(touch, result, wanted)
    try:
        async with asyncio.timeout(timeout):
            transport, _ = await loop.create_connection(
                lambda: line, sock=sock, ssl=context, server_hostname="", ssl_handshake_timeout=timeout + 1
            )
    except TimeoutError:
        return Touched(Silent(timeout), None, 0, True), None
    except (ssl.SSLError, OSError) as error:
        return Touched(_handshake_ended(error, wanted.seen), None, 0, True), None
    finally:
        if line.transport is None:
            sock.close()
    try:
        # The touch keeps its own deadlines; this bound is for a bug of ours.
        async with asyncio.timeout(4 * timeout + 10):
            return await result, line.tls
    except TimeoutError:
        return Touched(Failed("the visit over TLS did not end in time"), None, 0, True), line.tls
    finally:
        transport.abort()


async def _connect(address: str, port: int, timeout: float) -> socket.socket | Refused:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        async with asyncio.timeout(timeout):
            await asyncio.get_running_loop().sock_connect(sock, (address, port))
        return sock
    except TimeoutError:
        refused = Refused("ETIMEDOUT")
    except OSError as error:
        refused = Refused(errno.errorcode.get(error.errno or 0, "EIO"))
    except BaseException:
        sock.close()
        raise
    sock.close()
    return refused


def _settle(result: asyncio.Future[Touched], touched: Touched) -> None:
    if not result.done():
        result.set_result(touched)


class _CertificateRequests:
    """Notes whether the server asked for a certificate of ours. Called by OpenSSL for each record."""

    def __init__(self) -> None:
        self.seen = False

    def __call__(self, conn: Any, direction: str, version: Any, content_type: Any, msg_type: Any, data: bytes) -> None:
        if direction == "read" and int(content_type) == _HANDSHAKE and int(msg_type) == _CERTIFICATE_REQUEST:
            self.seen = True


class _TlsLine(asyncio.Protocol):
    """An asyncio transport in the place of a swarm's link."""

    def __init__(self, touch: Touch, result: asyncio.Future[Touched], wanted: _CertificateRequests) -> None:
        self._touch = touch
        self._result = result
        self._wanted = wanted
        self._timer: asyncio.TimerHandle | None = None
        self.transport: asyncio.Transport | None = None
        self.tls: Tls | None = None

    # the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports are no subclasses
        self.tls = _describe(transport.get_extra_info("ssl_object"))
        self._touch.opened(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._touch.received(data)
        except Exception as error:
            self._touch.failed(error)  # as the swarm does

    def connection_lost(self, exc: Exception | None) -> None:
        self.deadline(None)
        if self._result.done():
            return
        if isinstance(exc, ssl.SSLError):
            _settle(self._result, Touched(_handshake_ended(exc, self._wanted.seen), None, 0, True))
        elif self._wanted.seen and not self._touch.answered:
            # Some stacks just close on a client that came without a certificate; or their alert is lost to a RST.
            _settle(self._result, Touched(TlsFailed("closed after the handshake", True), None, 0, True))
        else:
            self._touch.ended(End.RESET if isinstance(exc, ConnectionError) else End.PEER_CLOSED)

    # the touch asks

    def send(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def deadline(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if seconds is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._touch.timed_out)

    def close(self) -> None:
        self.deadline(None)
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        self.deadline(None)
        if self.transport is not None:
            self.transport.abort()


def _handshake_ended(error: Exception, certificate_wanted: bool) -> Outcome:
    reason = (getattr(error, "reason", None) or "") if isinstance(error, ssl.SSLError) else ""
    if reason:
        turned_away = any(sign in reason for sign in _TURNED_AWAY)
        return TlsFailed(reason, "CERTIFICATE_REQUIRED" in reason or (certificate_wanted and turned_away))
    if isinstance(error, ConnectionResetError):
        return TlsFailed("reset during the handshake", certificate_wanted)
    if isinstance(error, ssl.SSLError | ConnectionError | EOFError):
        return TlsFailed("closed during the handshake", certificate_wanted)
    return HungUp(True)


def _describe(ssl_object: ssl.SSLObject | None) -> Tls | None:
    if ssl_object is None:
        return None
    cipher = ssl_object.cipher()
    der = ssl_object.getpeercert(binary_form=True)
    return Tls(ssl_object.version() or "", cipher[0] if cipher else "", describe_certificate(der) if der else None)


def describe_certificate(der: bytes) -> Certificate | None:
    """What a certificate says, as far as it can be read; None for what is none."""
    from cryptography import x509

    try:
        certificate = x509.load_der_x509_certificate(der)
        subject, issuer = certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()
        not_before, not_after = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except Exception:  # strangers send what they like, and the library has many ways to say so
        return None
    names: tuple[str, ...] = ()
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = tuple(_clean(str(name)) for name in extension.get_values_for_type(x509.DNSName)[:_MAX_NAMES]) + tuple(
            str(name) for name in extension.get_values_for_type(x509.IPAddress)[:_MAX_NAMES]
        )
    except Exception:  # no such extension, or one that can't be read
        names = ()
    return Certificate(
        sha256=hashlib.sha256(der).hexdigest(),
        subject=_clean(subject),
        issuer=_clean(issuer),
        names=names,
        not_before=not_before.strftime("%Y-%m-%dT%H:%M:%SZ"),
        not_after=not_after.strftime("%Y-%m-%dT%H:%M:%SZ"),
        self_signed=subject == issuer,
    )


def _clean(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:_MAX_NAME])
