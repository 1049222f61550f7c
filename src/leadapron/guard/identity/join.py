"""The joining machine: make a key, verify whom one talks to, redeem the code; later, renew.

The key never leaves the machine. The guard is verified before it is told anything: its authority's certificate must be
the one that the code names, and what it shows must be the guard's own certificate, signed by that authority. Host names
play no part, so a guard behind a translated address is as good as another.

What was begun is taken up again: the key of a try whose answer was lost is used for the next, for which the guard then
gives the same certificate.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from leadapron.guard.identity.authority import PEM_FILE
from leadapron.guard.identity.codes import parse, where
from leadapron.guard.identity.contexts import PEER, client_context, is_guard, joining_context
from leadapron.guard.identity.csr import key_pem, new_key, request
from leadapron.guard.identity.messages import AUTHORITY, ENROL, MAX_ANSWER, RENEW, Chain, Enrol, Renew
from leadapron.guard.identity.names import AE_URI, PEER_URI
from leadapron.guard.identity.pairs import complete, next_key, paths, write_next_key
from leadapron.kernel.errors import Failure, UsageError
from leadapron.kernel.files import private_directory, write_whole
from leadapron.kernel.hostport import HostPort

GUARD_FILE: Final = "guard.txt"
"""Where the guard is that we joined, ``host:port``: for renewals."""
WAIT_S: Final = 30.0
EARLY: Final = timedelta(days=60)
"""How long before its end a certificate is renewed; one of short life in its last third."""
_STATUS: Final = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) ")


class Joined(Struct, frozen=True):
    """What a directory of `join` holds. ``renew_at``: from when on to renew; ``guard``: where, None if not known."""

    name: str
    ae: str
    not_after: datetime
    renew_at: datetime
    guard: str | None


async def join(code: str, directory: Path, *, seconds: float = WAIT_S) -> Joined:
    """Redeem ``code`` and leave ``peer.key``, ``peer.pem`` and ``authority.pem`` in ``directory``.

    Raises `UsageError` for a code that was mistyped or a directory that holds a certificate, `Failure` where the guard
    cannot be reached, is another one, or refuses.
    """
    known = parse(code)
    certificate, _ = paths(directory, PEER)
    if certificate.exists():
        raise UsageError(
            f"{directory} holds a certificate already: 'leadapron peer renew', or another directory: --out DIR"
        )
    place = str(HostPort(known.host, known.port))
    pem = await _ask(place, joining_context(None), "GET", AUTHORITY, b"", seconds)
    try:
        authority = x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise Failure(f"what answers at {place} is no guard") from None
    if not known.is_of(authority.public_bytes(serialization.Encoding.DER)):
        raise Failure(
            f"what answers at {place} is not the guard that made this code: nothing was sent to it. Somebody may be in "
            "between; compare the code and the address with whoever gave them to you"
        )
    with _writing(directory):
        private_directory(directory)
        write_whole(directory / PEM_FILE, authority.public_bytes(serialization.Encoding.PEM))
        write_whole(directory / GUARD_FILE, f"{place}\n".encode())
        key = _key(directory)
    body = msgspec.json.encode(Enrol(known.secret.hex(), request(key).decode("ascii")))
    answer = await _ask(place, joining_context(directory), "POST", ENROL, body, seconds)
    with _writing(directory):
        complete(directory, PEER, _chain(answer, key, authority))
    return held(directory)


async def renew(directory: Path, *, guard: str | None = None, seconds: float = WAIT_S) -> Joined:
    """Get the next certificate, with a new key, by showing the present one. ``guard``: ``host:port`` of its enrolment
    service, if it is not the one that was joined. Raises `UsageError`, `Failure`; the present pair stands then."""
    place = guard or held(directory).guard
    if place is None:
        raise UsageError(f"{directory} does not say where its guard is: name it with --guard HOST:PORT")
    where(place)
    context = client_context(directory, check_hostname=False)
    authority = x509.load_pem_x509_certificate((directory / PEM_FILE).read_bytes())
    key = new_key()
    with _writing(directory):
        write_next_key(directory, PEER, key_pem(key))
    body = msgspec.json.encode(Renew(request(key).decode("ascii")))
    answer = await _ask(place, context, "POST", RENEW, body, seconds)
    with _writing(directory):
        complete(directory, PEER, _chain(answer, key, authority))
    return held(directory)


def held(directory: Path) -> Joined:
    """What certificate is there, and until when. Raises `Failure`."""
    certificate, _ = paths(directory, PEER)
    if not certificate.exists():
        raise Failure(f"{certificate} is not there: 'leadapron peer join' gets it; or name the directory that has it")
    try:
        leaf = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound) as error:
        raise Failure(f"{certificate} cannot be read as a peer's certificate ({type(error).__name__})") from None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    name = next((uri.removeprefix(PEER_URI) for uri in uris if uri.startswith(PEER_URI)), "")
    ae = next((unquote(uri.removeprefix(AE_URI)) for uri in uris if uri.startswith(AE_URI)), "")
    try:
        guard = (directory / GUARD_FILE).read_text("ascii").strip()
        where(guard)
    except (OSError, ValueError, UsageError):
        guard = None
    ends = leaf.not_valid_after_utc
    return Joined(name, ae, ends, ends - min(EARLY, (ends - leaf.not_valid_before_utc) / 3), guard)


@contextmanager
def _writing(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Failure(
            f"cannot write in {directory}: {error.strerror}; mend that or choose another directory, then type the same "
            "again"
        ) from None


def _key(directory: Path) -> ec.EllipticCurvePrivateKey:
    """The key of an earlier try, or a new one."""
    left = next_key(directory, PEER)
    if left is not None:
        try:
            key = serialization.load_pem_private_key(left, None)
        except (ValueError, TypeError):
            key = None
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key
    made = new_key()
    assert isinstance(made, ec.EllipticCurvePrivateKey)
    write_next_key(directory, PEER, key_pem(made))
    return made


def _chain(answer: bytes, key: object, authority: x509.Certificate) -> bytes:
    """The chain that was issued, if it is one: for our key, by that authority."""
    try:
        chain = msgspec.json.decode(answer, type=Chain).chain.encode("ascii")
        leaf = x509.load_pem_x509_certificates(chain)[0]
        leaf.verify_directly_issued_by(authority)
        good = leaf.public_key() == key.public_key()  # type: ignore[attr-defined]
    except (msgspec.MsgspecError, ValueError, TypeError, InvalidSignature):
        good = False
    if not good:
        raise Failure("the guard answered with something that is no certificate for us; nothing was changed")
    return chain


async def _ask(place: str, context: ssl.SSLContext, method: str, path: str, body: bytes, seconds: float) -> bytes:
    """The body of the answer to one request. Whoever is verified must be the guard itself."""
    host, port = where(place)
    head = f"{method} {path} HTTP/1.1\r\nHost: {place}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(host, port, ssl=context, limit=MAX_ANSWER)
            shown = writer.get_extra_info("ssl_object").getpeercert(True)
            if context.verify_mode == ssl.CERT_REQUIRED and not is_guard(shown):
                raise Failure(f"what answers at {place} is a peer of the guard, not the guard: nothing was sent to it")
            writer.write(head.encode("ascii") + body)
            whole = bytearray()
            while len(whole) <= MAX_ANSWER and (octets := await reader.read(MAX_ANSWER)):
                whole += octets
    except TimeoutError:
        raise Failure(f"no answer from {place} within {seconds:g} s") from None
    except ssl.SSLCertVerificationError:
        raise Failure(
            f"what answers at {place} has no certificate of the guard's authority: nothing was sent"
        ) from None
    except ssl.SSLError as error:
        raise Failure(
            f"TLS with {place} failed ({error.reason or 'ended'}): our certificate may have expired or been revoked"
            if path == RENEW
            else f"TLS with {place} failed ({error.reason or 'ended'}); is this the port for enrolment?"
        ) from None
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or type(error).__name__
        raise Failure(f"cannot reach {place}: {why}") from None
    finally:
        if writer is not None:
            writer.transport.abort()
    return _body(bytes(whole), place, path)


def _body(answer: bytes, place: str, path: str) -> bytes:
    head, blank, body = answer.partition(b"\r\n\r\n")
    status = _STATUS.match(head)
    length = re.search(rb"\r\nContent-Length: ([0-9]{1,6})(\r\n|$)", head)
    if not blank or status is None or length is None or len(body) != int(length[1]):
        raise Failure(f"the answer from {place} is not whole; try again")
    match int(status[1]):
        case 200:
            return body
        case 403 if path == RENEW:
            raise Failure("the guard refuses: the certificate was revoked, or renewed too often. Ask for a new code")
        case 403:
            raise Failure("the guard refuses: the code was redeemed, withdrawn or has expired. Ask for a new one")
        case 503:
            raise Failure("the guard has a trouble of its own; see its log, then try again")
        case other:
            raise Failure(f"the guard does not understand us ({other}); are both of the same version?")
