"""TLS: what our own services insist on, and what the probe of strangers lets through."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from leadapron.kernel.errors import ConnectionLost, TimedOut, TlsFailed, WireError
from leadapron.wire import uids
from leadapron.wire.aio import (
    Call,
    ContextRequest,
    Server,
    Service,
    Supported,
    Timeouts,
    anyone,
    associate,
    choose,
    client_context,
    probe_context,
    serve,
    server_context,
)
from leadapron.wire.pdu import AssociateAccept, AssociateReject
from peers.certificates import Certificates, issue
from peers.raw import ended, raw_client, raw_server

PATIENT = Timeouts(connect=10, tls=10, associate=10, response=10, idle=10, write=10, release=1)
HASTY = Timeouts(connect=10, tls=0.4, release=0.2)
VERIFY = [ContextRequest(uids.VERIFICATION, (uids.IMPLICIT_LE,))]


class Echo(Service):
    def __init__(self) -> None:
        self.calls: list[Call] = []

    async def on_associate(self, call: Call) -> AssociateAccept | AssociateReject:
        self.calls.append(call)
        return choose(call.request, Supported({uids.VERIFICATION: (uids.IMPLICIT_LE,)}), anyone)


@contextlib.asynccontextmanager
async def serving(
    context: ssl.SSLContext, service: Service | None = None, timeouts: Timeouts = PATIENT
) -> AsyncIterator[Server]:
    async with serve("127.0.0.1", 0, service or Echo(), tls=context, timeouts=timeouts, grace=0.2) as server:
        yield server


def ours(server: Server, context: ssl.SSLContext, **options: Any) -> Any:
    return associate(
        "127.0.0.1", server.port, called="A", calling="B", contexts=VERIFY, timeouts=PATIENT, tls=context, **options
    )


def services(certificates: Certificates, *, mutual: bool = False) -> ssl.SSLContext:
    authorities = certificates.authority if mutual else None
    return server_context(certificates.server_certificate, certificates.server_key, authorities=authorities)


async def test_mutual_tls_tells_each_side_who_the_other_is(certificates: Certificates) -> None:
    service = Echo()
    known = client_context(
        authorities=certificates.authority, certificate=certificates.client_certificate, key=certificates.client_key
    )
    async with serving(services(certificates, mutual=True), service) as server, ours(server, known) as association:
        assert await association.echo() == 0
        info = association.tls
        assert info is not None
        assert info.version == "TLSv1.3"
        assert info.certificate == der(certificates.server_certificate)
    assert service.calls[0].tls is not None
    assert service.calls[0].tls.certificate == der(certificates.client_certificate)


def der(path: Path) -> bytes:
    text = path.read_text()
    return ssl.PEM_cert_to_DER_cert(text[: text.index("-----END CERTIFICATE-----") + 26])


async def test_a_stranger_is_turned_away_before_anything_is_said(certificates: Certificates) -> None:
    service = Echo()
    async with serving(services(certificates, mutual=True), service) as server:
        with pytest.raises((TlsFailed, ConnectionLost)):
            async with ours(server, client_context(authorities=certificates.authority)):
                pass
    assert service.calls == []


async def test_a_certificate_that_nobody_vouches_for_is_refused(certificates: Certificates, tmp_path: Path) -> None:
    other = issue(tmp_path)
    async with serving(services(certificates)) as server:
        with pytest.raises(TlsFailed) as caught:
            async with ours(server, client_context(authorities=other.authority)):
                pass
        assert caught.value.reason == "CERTIFICATE_VERIFY_FAILED"
        with pytest.raises(TlsFailed):
            async with ours(server, client_context(authorities=certificates.authority), server_name="other.test"):
                pass


@pytest.mark.parametrize(
    ("version", "ciphers"),
    [
        (ssl.TLSVersion.TLSv1, "ALL:@SECLEVEL=0"),
        (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0"),
        (ssl.TLSVersion.TLSv1_2, "AES256-GCM-SHA384"),  # no forward secrecy
        (ssl.TLSVersion.TLSv1_2, "ECDHE-RSA-AES256-SHA384:ECDHE-ECDSA-AES256-SHA384"),  # not authenticated encryption
        (ssl.TLSVersion.TLSv1_2, "DHE-RSA-AES256-GCM-SHA384"),
    ],
)
async def test_our_service_takes_nothing_weaker(
    certificates: Certificates, version: ssl.TLSVersion, ciphers: str
) -> None:
    weak = probe_context()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        weak.minimum_version = weak.maximum_version = version
    weak.set_ciphers(ciphers)
    async with serving(services(certificates)) as server:
        with pytest.raises((TlsFailed, ConnectionLost)):
            async with ours(server, weak):
                pass


def test_our_contexts_know_only_strong_ciphers(certificates: Certificates) -> None:
    for context in (client_context(), services(certificates)):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        for cipher in context.get_ciphers():
            assert cipher["aead"]
            assert cipher["name"].startswith(("TLS_", "ECDHE-"))


async def test_the_probe_looks_at_what_no_client_should_trust(certificates: Certificates) -> None:
    """TLS 1.0 with an old cipher and a certificate for somebody else: seen, and the certificate kept."""
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1
    old.set_ciphers("AES128-SHA:ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:@SECLEVEL=0")
    old.load_cert_chain(certificates.server_certificate, certificates.server_key)
    async with serving(old) as server:
        async with ours(server, probe_context(), server_name="not-its-name.test") as association:
            assert await association.echo() == 0
            assert association.tls is not None
            assert association.tls.version == "TLSv1"
            assert association.tls.certificate == der(certificates.server_certificate)
        with pytest.raises((TlsFailed, ConnectionLost)):
            async with ours(server, client_context(authorities=certificates.authority)):
                pass


@pytest.mark.parametrize("said", [b"", b"\x16", b"\x16\x03\x03\x02\x00\x01", b"HTTP/1.1 400\r\n\r\n", bytes(64)])
async def test_a_handshake_that_does_not_end_is_cut_off(said: bytes, certificates: Certificates) -> None:
    """From the client's side and from the server's: half-open handshakes hold a place for ``timeouts.tls`` at most."""

    async def script(reader: Any, writer: Any) -> None:
        await reader.read(1000)
        writer.write(said)
        await ended(reader)

    async with raw_server(script) as port:
        with pytest.raises(WireError) as caught:
            async with associate(
                "127.0.0.1", port, called="A", calling="B", contexts=VERIFY, timeouts=HASTY, tls=probe_context()
            ):
                pass
        assert isinstance(caught.value, TlsFailed | TimedOut)
    async with serving(services(certificates), timeouts=HASTY) as server:
        async with raw_client(server.port) as (reader, writer):
            writer.write(said)
            await ended(reader)
        while server.connections:
            await asyncio.sleep(0.01)


async def test_plain_dicom_on_a_tls_port(certificates: Certificates) -> None:
    async with serving(services(certificates)) as server:
        with pytest.raises(WireError):
            async with associate("127.0.0.1", server.port, called="A", calling="B", contexts=VERIFY, timeouts=PATIENT):
                pass
