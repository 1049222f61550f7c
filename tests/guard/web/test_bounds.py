"""Sizes, times and headers: what a hostile client or a strange archive sends, and what comes of it."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import time
import warnings
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from guard.web.serving import ALL_WEB, Asked, Recorder, Served, bearer, guarding
from leadapron.guard.gateway.web import exchange as exchanges
from leadapron.guard.gateway.web.server import serve_web
from leadapron.guard.settings import Limits
from leadapron.kernel.errors import UsageError
from leadapron.wire.aio.loop import loop_factory
from leadapron.wire.aio.tls import probe_context, server_context
from peers.certificates import Certificates
from peers.process import HOST

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # that is the point
    OLD = ssl.TLSVersion.TLSv1_1
FILE = bytes(128) + b"DICM" + b"\x02\0\0\0UL\x04\0\0\0\0\0"
STOW = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'}


def stow(*files: bytes) -> bytes:
    parts = b"".join(b"--b\r\nContent-Type: application/dicom\r\n\r\n" + file + b"\r\n" for file in files)
    return parts + b"--b--\r\n"


def reader(served: Served) -> dict[str, str]:
    served.person("reader")
    return bearer(served.token("reader", ALL_WEB))


async def raw(served: Served, *pieces: bytes, pause: float = 0.0) -> bytes:
    """Speaks HTTP by hand; all that comes back until the guard closes."""
    context = served.certificates.plain_client_context(with_certificate=False)
    read, write = await asyncio.open_connection(HOST, served.server.port, ssl=context, server_hostname="localhost")
    answer = asyncio.create_task(_all(read))
    try:
        for piece in pieces:
            write.write(piece)
            await write.drain()
            if pause:
                await asyncio.sleep(pause)
    except ConnectionError:
        pass
    finally:
        got = await asyncio.wait_for(answer, 30)
        write.close()
    return got


async def _all(read: asyncio.StreamReader) -> bytes:
    got = b""
    try:
        while piece := await read.read(65536):
            got += piece
    except (ConnectionError, ssl.SSLError):
        pass
    return got


# ---- requests --------------------------------------------------------------------------------------------------------


async def test_four_gigabytes_announced_are_refused_at_once(tmp_path: Path, certificates: Certificates) -> None:
    async with Recorder() as inner, guarding(tmp_path, certificates, inner.url, "orthanc") as served:
        token = reader(served)["Authorization"]
        for length in (4 << 30, 1 << 62, 10**18):
            head = (
                f"POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\n"
                f"Content-Type: {STOW['Content-Type']}\r\nContent-Length: {length}\r\n\r\n"
            )
            before = time.monotonic()
            assert (await raw(served, head.encode())).startswith(b"HTTP/1.1 413"), length
            assert time.monotonic() - before < 5
        assert inner.asked == [] and inner.connections == 0


async def test_a_body_longer_than_the_bound_is_cut_off_though_nothing_was_announced(
    tmp_path: Path, certificates: Certificates
) -> None:
    async def endless() -> Any:
        yield stow(FILE)[:-9]
        while True:
            yield bytes(65536)

    async with Recorder() as inner, guarding(tmp_path, certificates, inner.url, web={"max_request": 3 << 20}) as served:
        headers = reader(served) | STOW
        async with served.client() as client:
            try:
                answer = await client.post("/dicom-web/studies", content=endless(), headers=headers)
                assert answer.status_code == 413
            except (httpx2.WriteError, httpx2.RemoteProtocolError, httpx2.ReadError):
                pass  # the guard closed while we were still sending
        assert inner.asked == [] and len(served.events) == 1
        await settled(lambda: inner.broken == inner.connections)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, identity"])
async def test_compressed_bodies_are_refused(tmp_path: Path, certificates: Certificates, coding: str) -> None:
    async with Recorder() as inner, guarding(tmp_path, certificates, inner.url, "orthanc") as served:
        headers = reader(served) | {"Content-Encoding": coding}
        async with served.client() as client:
            for path, kind in (
                ("/dicom-web/studies", STOW["Content-Type"]),
                ("/orthanc/instances", "application/dicom"),
            ):
                content = gzip.compress(bytes(10 << 20))
                answer = await client.post(path, content=content, headers=headers | {"Content-Type": kind})
                assert answer.status_code == 415
        assert inner.asked == []


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/dicom", b"PK\x03\x04" + bytes(400), 400),  # Orthanc would unpack it
        ("application/dicom", b"MZ" + bytes(400), 400),
        ("application/dicom", b"", 400),
        ("application/zip", b"PK\x03\x04", 415),
        ("text/html", FILE, 415),
        ("multipart/form-data; boundary=b", stow(FILE), 415),
        ("nonsense", FILE, 415),
    ],
)
async def test_only_dicom_files_are_uploaded(
    tmp_path: Path, certificates: Certificates, kind: str, body: bytes, status: int
) -> None:
    async with Recorder() as inner, guarding(tmp_path, certificates, inner.url, "orthanc") as served:
        headers = reader(served) | {"Content-Type": kind}
        async with served.client() as client:
            assert (await client.post("/orthanc/instances", content=body, headers=headers)).status_code == status
        assert inner.asked == [] and len(served.events) == 1


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        (STOW["Content-Type"], stow(FILE)[:-8], 400),
        (STOW["Content-Type"], stow(FILE, b"no file"), 400),
        (STOW["Content-Type"], stow(FILE).replace(b"application/dicom", b"text/html"), 415),
        (STOW["Content-Type"].replace("=b", ""), stow(FILE), 415),
        (STOW["Content-Type"] + "; boundary=c", stow(FILE), 415),
        ('multipart/related; type="application/dicom+json"; boundary=b', stow(FILE), 415),
        ("application/dicom", FILE, 415),
    ],
)
async def test_a_stow_that_is_not_what_it_says_is_not_stored(
    tmp_path: Path, certificates: Certificates, kind: str, body: bytes, status: int
) -> None:
    async with Recorder() as inner, guarding(tmp_path, certificates, inner.url) as served:
        headers = reader(served) | {"Content-Type": kind}
        async with served.client() as client:
            assert (await client.post("/dicom-web/studies", content=body, headers=headers)).status_code == status
        assert inner.asked == [] and len(served.events) == 1


async def test_what_goes_inside_is_written_by_us(tmp_path: Path, certificates: Certificates) -> None:
    async with (
        Recorder() as inner,
        guarding(tmp_path, certificates, inner.url.replace("//", "//me:se%40cret@")) as served,
    ):
        headers = reader(served) | STOW
        hostile = {
            "X-Forwarded-For": "127.0.0.1",
            "X-Forwarded-Host": "evil",
            "Forwarded": "for=1.2.3.4",
            "X-Real-Ip": "1.2.3.4",
            "X-Original-Url": "/tools/reset",
            "X-Rewrite-Url": "/x",
            "Cookie": "a=b",
            "Connection": "close, x-drop",
            "X-Drop": "1",
            "Te": "trailers",
            "Upgrade": "h2c",
            "Proxy-Authorization": "Basic eA==",
            "Range": "bytes=0-1",
            "If-None-Match": "*",
            "X-Http-Method-Override": "DELETE",
            "Accept-Encoding": "gzip",
            "Origin": "https://x",
        }
        async with served.client() as client:
            answer = await client.get(
                "/dicom-web/studies?limit=5&PatientName=M%C3%BCller%5EA%3B*", headers=headers | hostile
            )
            assert answer.status_code == 200
            poisoned = b"MZ".ljust(128, b"x") + FILE[128:]
            answer = await client.post("/dicom-web/studies", content=stow(poisoned, FILE), headers=headers | hostile)
            assert answer.status_code == 200
        found, stored = inner.asked
        assert found.target == "/studies?PatientName=M%C3%BCller%5EA%3B*&limit=5"
        assert set(found.headers) == {"host", "accept", "accept-encoding", "user-agent", "authorization"}
        assert found.headers["accept-encoding"] == "identity" and found.headers["host"] == inner.url[7:]
        assert found.headers["authorization"] == "Basic bWU6c2VAY3JldA=="
        assert set(stored.headers) - set(found.headers) == {"content-type", "transfer-encoding"}
        assert stored.body.count(FILE) == 2 and b"MZ" not in stored.body and b"--b\r\n" not in stored.body


# ---- answers ---------------------------------------------------------------------------------------------------------


async def answered(
    tmp_path: Path,
    certificates: Certificates,
    path: str,
    status: int,
    fields: list[tuple[str, str]],
    body: bytes,
    **more: Any,
) -> tuple[httpx2.Response | None, Served]:
    def reply(asked: Asked) -> tuple[int, list[tuple[str, str]], bytes]:
        return status, fields, body

    async with Recorder(reply) as inner, guarding(tmp_path, certificates, inner.url, **more) as served:
        headers = reader(served)
        async with served.client() as client:
            try:
                return await client.get(path, headers=headers), served
            except (httpx2.RemoteProtocolError, httpx2.ReadError):
                return None, served


@pytest.mark.parametrize(
    "kind",
    [
        "text/html",
        "image/svg+xml",
        "application/javascript",
        "text/xml",
        "application/pdf",
        "",
        "x",
        "text/html, image/png",
    ],
)
@pytest.mark.parametrize("path", ["/dicom-web/studies", "/dicom-web/studies/1.2/series/1.3/instances/1.4/rendered"])
async def test_what_a_browser_would_run_is_handed_out_as_a_file(
    tmp_path: Path, certificates: Certificates, path: str, kind: str
) -> None:
    body = b"<script>alert(document.cookie)</script>"
    answer, _ = await answered(tmp_path, certificates, path, 200, [("Content-Type", kind)] if kind else [], body)
    assert answer is not None and answer.status_code == 200
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == "attachment"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'; sandbox"


async def test_headers_of_the_archive_stay_inside(tmp_path: Path, certificates: Certificates) -> None:
    fields = [
        ("Content-Type", "application/dicom+json"), ("Set-Cookie", "__Host-leadapron-session=x; Path=/; Secure"),
        ("Server", "OldPACS/1.0"), ("X-Powered-By", "PHP/5"), ("Access-Control-Allow-Origin", "*"), ("Link", "<http://x>"),
        ("Refresh", "0; url=http://evil"), ("Location", "http://evil"), ("Content-Security-Policy", "default-src *"),
        ("Warning", '299 archive "There are more results"'), ("WWW-Authenticate", "Basic"),
    ]  # fmt: skip
    answer, _ = await answered(tmp_path, certificates, "/dicom-web/studies", 200, fields, b"[]")
    assert answer is not None
    for name in ("set-cookie", "server", "x-powered-by", "access-control-allow-origin", "link", "refresh", "location"):
        assert name not in answer.headers
    assert answer.headers["warning"].startswith("299 ")
    for name, value in {
        "strict-transport-security": "max-age=63072000",
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "cache-control": "no-store, private",
    }.items():
        assert answer.headers[name] == value


@pytest.mark.parametrize(
    ("status", "seen"),
    [
        (301, 502),
        (302, 502),
        (307, 502),
        (401, 502),
        (403, 502),
        (407, 502),
        (500, 502),
        (404, 404),
        (409, 409),
        (503, 503),
    ],
)
async def test_statuses_of_the_archive(tmp_path: Path, certificates: Certificates, status: int, seen: int) -> None:
    fields = [("Content-Type", "text/html"), ("Location", "http://127.0.0.1:1/"), ("WWW-Authenticate", "Basic")]
    answer, served = await answered(
        tmp_path, certificates, "/dicom-web/studies", status, fields, b"stack trace of a patient"
    )
    assert answer is not None and answer.status_code == seen
    assert b"stack trace" not in answer.content and "www-authenticate" not in answer.headers
    assert len(served.events) == 1


@pytest.mark.parametrize(
    ("fields", "body", "status"),
    [
        ([("Content-Encoding", "gzip")], gzip.compress(b"[]", mtime=0), 502),
        ([("Content-Length", str(1 << 40))], b"", 502),
        ([("Content-Length", "3000000")], bytes(3_000_000), 502),
        ([("Transfer-Encoding", "chunked")], bytes(3_000_000), None),
        ([("Content-Type", "multipart/related")], b"", 502),
        ([("Content-Type", "multipart/related; boundary=b")], b"--b\r\n\r\nnever closed", None),
    ],
)
async def test_answers_out_of_bounds(
    tmp_path: Path, certificates: Certificates, fields: list[tuple[str, str]], body: bytes, status: int | None
) -> None:
    path = "/dicom-web/studies/1.2"
    if ("Content-Length", str(1 << 40)) in fields:
        return await _lying_length(tmp_path, certificates, path)
    answer, served = await answered(tmp_path, certificates, path, 200, fields, body, web={"max_response": 2 << 20})
    assert (answer is None and status is None) or (answer is not None and answer.status_code == status)
    assert len(served.events) == 1 and served.events[0].outcome != 0
    return None


async def _lying_length(tmp_path: Path, certificates: Certificates, path: str) -> None:
    async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom\r\nContent-Length: 1099511627776\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(lie, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    async with guarding(tmp_path, certificates, f"http://{HOST}:{port}") as served:
        headers = reader(served)
        async with served.client() as client:
            assert (await client.get(path, headers=headers)).status_code == 502
    server.close()


async def test_an_archive_that_is_away_or_silent(tmp_path: Path, certificates: Certificates) -> None:
    async def never(asked: Asked) -> tuple[int, list[tuple[str, str]], bytes]:
        await asyncio.sleep(60)
        raise AssertionError

    limits = Limits(connections=50, per_address=50, response_s=0.5)
    async with Recorder(never) as inner, guarding(tmp_path, certificates, inner.url, limits=limits) as served:
        headers = reader(served)
        async with served.client() as client:
            assert (await client.get("/dicom-web/studies", headers=headers)).status_code == 504
    async with guarding(tmp_path / "b", certificates, "http://127.0.0.1:1") as served:
        headers = reader(served)
        async with served.client() as client:
            assert (await client.get("/dicom-web/studies", headers=headers)).status_code == 502


async def test_large_answers_and_uploads_flow_without_being_held(tmp_path: Path, certificates: Certificates) -> None:
    size = 96 << 20

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        got = 0
        if head.startswith(b"POST"):
            while not (piece := await reader.read(1 << 18)).endswith(b"0\r\n\r\n"):
                got += len(piece)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom\r\nContent-Length: %d\r\n\r\n" % size)
            for _ in range(size >> 16):
                writer.write(bytes(1 << 16))
                await writer.drain()
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(pour, HOST, 0)
    url = f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
    async with guarding(tmp_path, certificates, url) as served:
        headers = reader(served)
        process, got = psutil.Process(), 0
        async with served.client() as client:
            await client.get("/dicom-web/nothing", headers=headers)
            before = process.memory_info().rss
            async with client.stream("GET", "/dicom-web/studies/1.2", headers=headers) as answer:
                async for piece in answer.aiter_raw():
                    got += len(piece)
            assert got == size

            async def body() -> Any:
                yield b"--b\r\nContent-Type: application/dicom\r\n\r\n" + FILE
                for _ in range(size >> 16):
                    yield bytes(1 << 16)
                yield b"\r\n--b--\r\n"

            answer = await client.post("/dicom-web/studies", content=body(), headers=headers | STOW)
            assert answer.status_code == 200
        assert process.memory_info().rss - before < 24 << 20
    server.close()


async def test_a_client_that_goes_away_ends_the_work_inside(tmp_path: Path, certificates: Certificates) -> None:
    gone = asyncio.Event()

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom\r\nContent-Length: 99999999999\r\n\r\n")
        try:
            while True:
                writer.write(bytes(1 << 16))
                await writer.drain()
        except ConnectionError:
            gone.set()

    server = await asyncio.start_server(pour, HOST, 0)
    url = f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
    async with guarding(tmp_path, certificates, url, web={"max_response": 1 << 50}) as served:
        headers = reader(served)
        async with served.client() as client, client.stream("GET", "/dicom-web/studies/1.2", headers=headers) as answer:
            async for _ in answer.aiter_raw():
                break
        await asyncio.wait_for(gone.wait(), 20)
        await settled(lambda: len(served.events) == 1)
        assert served.events[0].outcome != 0
    server.close()


async def test_a_reader_that_takes_nothing_is_let_go(
    tmp_path: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchanges, "WRITE_S", 0.5)
    body = bytes(64 << 20)  # more than any kernel keeps for two sockets

    def reply(asked: Asked) -> tuple[int, list[tuple[str, str]], bytes]:
        return 200, [("Content-Type", "application/dicom")], body

    async with Recorder(reply) as inner, guarding(tmp_path, certificates, inner.url) as served:
        token = reader(served)["Authorization"]
        context = certificates.plain_client_context(with_certificate=False)
        read, write = await asyncio.open_connection(
            HOST, served.server.port, ssl=context, server_hostname="localhost", limit=1024
        )
        write.write(
            f"GET /dicom-web/studies/1.2 HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\n\r\n".encode()
        )
        await settled(lambda: served.server.connections == 0)
        assert served.events[0].outcome != 0
        write.close()
        del read


# ---- connections -----------------------------------------------------------------------------------------------------


async def test_a_head_that_comes_by_drops_is_cut_off(tmp_path: Path, certificates: Certificates) -> None:
    limits = Limits(connections=50, per_address=50)
    async with (
        Recorder() as inner,
        guarding(tmp_path, certificates, inner.url, limits=limits, serve={"head_s": 0.6}) as served,
    ):
        before = time.monotonic()
        drops = [bytes([octet]) for octet in b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: " + b"b" * 200]
        assert await raw(served, *drops, pause=0.05) == b""
        assert time.monotonic() - before < 12
        # after a good request, too
        good = b"GET /guard/login HTTP/1.1\r\nHost: localhost\r\n\r\n"
        answer = await raw(served, good, *drops, pause=0.05)
        assert answer.startswith(b"HTTP/1.1 200") and answer.count(b"HTTP/1.1") == 1
        await settled(lambda: served.server.connections == 0)


async def test_a_body_that_comes_by_drops_is_cut_off(
    tmp_path: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchanges, "SILENCE_S", 0.4)
    async with Recorder() as inner, guarding(tmp_path, certificates, inner.url) as served:
        token = reader(served)["Authorization"]
        head = (
            f"POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\n"
            f"Content-Type: {STOW['Content-Type']}\r\nContent-Length: 100000\r\n\r\n--b\r\n"
        )
        assert (await raw(served, head.encode())).startswith(b"HTTP/1.1 408")
        monkeypatch.setattr(exchanges, "GRACE_S", 0.3)
        drops = [b"x"] * 30
        assert (await raw(served, head.encode(), *drops, pause=0.05)).startswith((b"HTTP/1.1 408", b"HTTP/1.1 400"))
        assert inner.asked == []


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: " + b"b" * 70_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: b\r\n" * 10_000 + b"\r\n",
        b"GET /" + b"a" * 70_000,
        b"\x16\x03\x01\x02\0\x01" * 100,
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nA: b\r\n folded\r\nB\0: c\r\n\r\n",
        b"POST /guard/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
        b"POST /guard/login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n",
    ],
    ids=lambda head: str(head[:60]),
)
async def test_heads_that_are_none(
    tmp_path: Path, certificates: Certificates, head: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with Recorder() as inner, guarding(tmp_path, certificates, inner.url, serve={"head_s": 2}) as served:
        answer = await raw(served, head)
        assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431", b"HTTP/1.1 501")), answer[:80]
        async with served.client() as client:
            assert (await client.get("/guard/login")).status_code == 200
        assert inner.asked == []
    assert not [record for record in caplog.records if record.name.startswith("leadapron")]  # anybody could fill a log


async def test_connections_are_bounded_and_the_silent_ones_end(tmp_path: Path, certificates: Certificates) -> None:
    limits = Limits(connections=6, per_address=4, handshake_s=0.5)
    async with (
        Recorder() as inner,
        guarding(tmp_path, certificates, inner.url, limits=limits, serve={"head_s": 0.5}) as served,
    ):
        held = [await asyncio.open_connection(HOST, served.server.port) for _ in range(8)]
        await settled(lambda: served.server.turned_away == 4)
        await settled(lambda: served.server.connections == 0)  # none of them ever spoke TLS
        async with served.client() as client:
            assert (await client.get("/guard/login")).status_code == 200
        await settled(lambda: served.server.connections == 0)
        assert await raw(served) == b""  # TLS, and then nothing
        for _, writer in held:
            writer.close()


async def test_nothing_is_served_without_tls_and_only_with_good_suites(
    tmp_path: Path, certificates: Certificates
) -> None:
    async with Recorder() as inner, guarding(tmp_path, certificates, inner.url) as served:
        read, write = await asyncio.open_connection(HOST, served.server.port)
        write.write(b"GET /guard/login HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"HTTP" not in await asyncio.wait_for(read.read(4096), 20)
        write.close()

        def weak(suites: str, newest: ssl.TLSVersion) -> ssl.SSLContext:
            context = probe_context()
            context.set_ciphers(suites + ":@SECLEVEL=0")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                context.maximum_version = newest
            return context

        for context in (
            weak("ALL", OLD),
            weak("AES128-GCM-SHA256:AES256-SHA", ssl.TLSVersion.TLSv1_2),
            weak("ECDHE-RSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA384", ssl.TLSVersion.TLSv1_2),
            weak("DHE", ssl.TLSVersion.TLSv1_2),
        ):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.open_connection(HOST, served.server.port, ssl=context)
        good = weak("ECDHE+AESGCM", ssl.TLSVersion.TLSv1_2)
        _, write = await asyncio.open_connection(HOST, served.server.port, ssl=good)
        write.close()

    old = server_context(certificates.server_certificate, certificates.server_key)
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    for place, context in (("0.0.0.0:0", None), ("127.0.0.1:0", old)):  # without TLS nothing but loopback is served
        with pytest.raises(UsageError):
            await serve_web(served.app, listen=place, tls=context)
    for listen in ("8443", "localhost", "h:99999", ":1", "h:x"):
        with pytest.raises(UsageError):
            await serve_web(
                served.app, listen=listen, tls=server_context(certificates.server_certificate, certificates.server_key)
            )


async def settled(condition: Any, seconds: float = 20.0) -> None:
    """Polls until ``condition`` holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not within the bound"
        await asyncio.sleep(0.02)


def test_the_same_on_uvloop(tmp_path: Path, certificates: Certificates) -> None:
    async def main() -> None:
        limits = Limits(connections=20, per_address=10, handshake_s=0.5)
        async with (
            Recorder() as inner,
            guarding(tmp_path, certificates, inner.url, limits=limits, serve={"head_s": 0.5}) as served,
        ):
            headers = reader(served)
            async with served.client() as client:
                assert (await client.get("/dicom-web/studies", headers=headers)).status_code == 200
                answer = await client.post("/dicom-web/studies", content=stow(FILE), headers=headers | STOW)
                assert answer.status_code == 200
            silent = await asyncio.open_connection(HOST, served.server.port)
            assert await raw(served, b"GET / HT") == b""
            await settled(lambda: served.server.connections == 0)
            silent[1].close()
        assert len(inner.asked) == 2

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        assert "uvloop" in type(runner.get_loop()).__module__
        runner.run(main())


async def test_who_goes_on_sending_after_a_refusal_is_cut_off(tmp_path: Path, certificates: Certificates) -> None:
    async with Recorder() as inner, guarding(tmp_path, certificates, inner.url) as served:
        head = b"POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        before = time.monotonic()
        answer = await raw(served, head, *[b"1\r\nx\r\n"] * 400, pause=0.02)
        assert answer.startswith(b"HTTP/1.1 401") and time.monotonic() - before < 7
        await settled(lambda: served.server.connections == 0)
        assert inner.asked == []


async def test_one_person_does_not_take_all_places(tmp_path: Path, certificates: Certificates) -> None:
    release = asyncio.Event()

    async def slowly(asked: Asked) -> tuple[int, list[tuple[str, str]], bytes]:
        if "slow" in asked.target:
            await release.wait()
        return 200, [("Content-Type", "application/dicom+json")], b"[]"

    async with Recorder(slowly) as inner, guarding(tmp_path, certificates, inner.url) as served:
        greedy = reader(served)
        served.person("other")
        modest = bearer(served.token("other", ALL_WEB))
        async with served.client() as client:
            held = [
                asyncio.create_task(client.get("/dicom-web/studies?PatientID=slow", headers=greedy)) for _ in range(40)
            ]
            await settled(lambda: len(inner.asked) == 16)
            assert (await client.get("/dicom-web/studies", headers=modest)).status_code == 200
            assert len(inner.asked) == 17
            release.set()
            assert {answer.status_code for answer in await asyncio.gather(*held)} == {200}
