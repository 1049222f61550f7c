"""The attacks of the list, each a function of the guard and a number: one blow, to its end, from an address that is not
the honest peer's. Who strikes is a stranger, or a peer with a good certificate (``EVIL``) and bad intentions."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import socket
import ssl
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from guard.survive.besieged import CT, HOST, Besieged, element, image
from leadapron.wire import uids
from leadapron.wire.aio import ContextRequest
from leadapron.wire.dimse.command import CFindRequest, CStoreRequest, encode_command
from leadapron.wire.dimse.fragments import fragment
from leadapron.wire.pdu import encode
from peers.raw import header, request

Blow = Callable[[Besieged, int], None]
BLOWS: dict[str, Blow] = {}
DEFLATED = "1.2.840.10008.1.2.1.99"


def deflated(data: bytes) -> bytes:
    """PS3.5 §A.5: raw, without a header."""
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    return bomb.compress(data) + bomb.flush()


BOMB_DATA = deflated(bytes(64 << 20))
BOMB_IMAGE = deflated(image("1.2.840.99.67", bytes(1 << 20)))
BOMB_QUERY = deflated(element(8, 0x52, b"CS", b"STUDY") + element(0x10, 0x20, b"UT", b"*" * (1 << 20)))
GZIP_DATA = gzip.compress(bytes(64 << 20))
FOREVER_S = 2.0
"""How long a slow blow goes on; the guard's bounds in these tests are of 4 s, and looked at separately."""


def blow(work: Blow) -> Blow:
    BLOWS[work.__name__.replace("_", " ")] = work
    return work


# ---- connections ----------------------------------------------------------------------------------------------------


def connect(guard: Besieged, number: int, port: int | None = None) -> socket.socket:
    source = f"127.0.9.{1 + number % 40}", 0
    return socket.create_connection((HOST, port or guard.port), 5, source_address=source)


@contextlib.contextmanager
def secure(
    guard: Besieged, number: int, port: int | None = None, context: ssl.SSLContext | None = None
) -> Iterator[ssl.SSLSocket]:
    """TLS with EVIL's certificate, or with ``context``."""
    with connect(guard, number, port) as plain:
        plain.settimeout(8)
        with (context or guard.house.context("EVIL")).wrap_socket(plain, server_hostname="localhost") as sock:
            yield sock


def asking(*syntaxes: str) -> bytes:
    """EVIL's A-ASSOCIATE-RQ: context 1 for storage, 3 for queries."""
    taken = syntaxes or (uids.EXPLICIT_LE,)
    asked = request([ContextRequest(CT, taken), ContextRequest(uids.STUDY_ROOT_FIND, taken)])
    return encode(type(asked)("PACS", "EVIL", asked.contexts, asked.user))


@contextlib.contextmanager
def associated(guard: Besieged, number: int, *syntaxes: str) -> Iterator[ssl.SSLSocket]:
    with secure(guard, number) as sock:
        sock.sendall(asking(*syntaxes))
        kind = received(sock, 6)
        if kind[:1] != b"\2":
            raise ConnectionRefusedError
        received(sock, int.from_bytes(kind[2:], "big"))
        yield sock


def received(sock: Any, size: int) -> bytes:
    octets = b""
    while len(octets) < size:
        more = sock.recv(size - len(octets))
        if not more:
            raise ConnectionError("closed")
        octets += more
    return octets


def drained(sock: Any, most: int = 1 << 20) -> bytes:
    """All that comes until the other side has had enough."""
    heard = b""
    while len(heard) < most and (more := sock.recv(65536)):
        heard += more
    return heard


def drip(sock: Any, octets: bytes, seconds: float = FOREVER_S, pause: float = 0.2) -> None:
    """One octet at a time, with long pauses. Raises OSError when the other side has had enough of it."""
    over = Waiting(seconds)
    for octet in octets:
        sock.sendall(bytes([octet]))
        if over.pause(pause):
            return


class Waiting:
    """Pauses of an attacker, bounded in all."""

    def __init__(self, seconds: float) -> None:
        self._left, self._one = seconds, socket.socketpair()

    def pause(self, seconds: float) -> bool:
        self._left -= seconds
        self._one[0].settimeout(seconds)
        with contextlib.suppress(TimeoutError):
            self._one[0].recv(1)
        if self._left <= 0:
            for end in self._one:
                end.close()
        return self._left <= 0


def store(number: int = 1) -> bytes:
    return b"".join(fragment(1, encode_command(CStoreRequest(number, CT, f"1.2.840.99.66.{number}")), None, 16384))


def pdv(context: int, control: int, data: bytes, length: int | None = None) -> bytes:
    """A P-DATA-TF with one PDV, whose length may be a lie."""
    inner = struct.pack(">IBB", len(data) + 2 if length is None else length, context, control) + data
    return header(4, len(inner)) + inner


# ---- DIMSE: strangers -----------------------------------------------------------------------------------------------


@blow
def http_to_the_dicom_port(guard: Besieged, number: int) -> None:
    with connect(guard, number) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        drained(sock)


@blow
def http_to_the_dicom_port_over_TLS(guard: Besieged, number: int) -> None:
    with secure(guard, number) as sock:
        sock.sendall(b"POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4294967296\r\n\r\n")
        drained(sock)


@blow
def oversized_header_of_a_stranger(guard: Besieged, number: int) -> None:
    with connect(guard, number) as sock:
        sock.sendall(header(1, 0xFFFFFFFF) + os.urandom(5000))
        drained(sock)


@blow
def a_stranger_speaks_DICOM_within_TLS(guard: Besieged, number: int) -> None:
    """Without a certificate; TLS 1.3 lets a client write before it is refused."""
    with secure(guard, number, context=guard.stranger()) as sock:
        sock.sendall(tiny_items())
        drained(sock)


@blow
def handshakes_that_never_end(guard: Besieged, number: int) -> None:
    port = (guard.port, guard.enrol, guard.web)[number % 3]
    with connect(guard, number, port) as sock:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        drip(sock, bytes(500))


@blow
def connections_that_say_nothing(guard: Besieged, number: int) -> None:
    port = (guard.port, guard.enrol, guard.web)[number % 3]
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            for one in range(30):
                stack.enter_context(connect(guard, number + one, port))
        Waiting(0.5).pause(0.5)


@blow
def connections_that_end_at_once(guard: Besieged, number: int) -> None:
    for one in range(20):
        with connect(guard, number + one, (guard.port, guard.enrol, guard.web)[number % 3]) as sock:
            if one % 2:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


# ---- DIMSE: a peer with a certificate -------------------------------------------------------------------------------


def tiny_items() -> bytes:
    """65 kB of sub-items of four octets: a list of them once took a gigabyte."""
    fixed = struct.pack(">Hxx", 1) + b"PACS".ljust(16) + b"EVIL".ljust(16) + bytes(32)
    body = fixed + b"\x50\0\xff\xfc" + b"\x99\0\0\0" * (0xFFFC // 4)
    return header(1, len(body)) + body


@blow
def tiny_items_in_a_request(guard: Besieged, number: int) -> None:
    with secure(guard, number) as sock:
        sock.sendall(tiny_items())
        drained(sock)


@blow
def tiny_items_of_every_kind(guard: Besieged, number: int) -> None:
    """Contexts, transfer syntaxes, roles and user items without anything in them, up to the PDU's bound."""
    fixed = struct.pack(">Hxx", 1) + b"PACS".ljust(16) + b"EVIL".ljust(16) + bytes(32)
    kind = (0x10, 0x20, 0x30, 0x40, 0x51, 0x54, 0x56, 0x58)[number % 8]
    body = fixed + bytes((kind, 0, 0, 0)) * 250_000
    with secure(guard, number) as sock:
        sock.sendall(header(1, len(body)) + body)
        drained(sock)


@blow
def oversized_headers(guard: Besieged, number: int) -> None:
    with secure(guard, number) as sock:
        sock.sendall(header((1, 2, 4, 7, 0, 0x99)[number % 6], 0xFFFFFFFF) + bytes(100_000))
        drained(sock)


@blow
def oversized_headers_within_an_association(guard: Besieged, number: int) -> None:
    with associated(guard, number) as sock:
        sock.sendall(header((4, 5, 6, 7, 1, 0x99)[number % 6], 0xFFFFFFFF) + bytes(100_000))
        drained(sock)


@blow
def PDV_lengths_that_lie(guard: Besieged, number: int) -> None:
    length = (0, 1, 2, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 5, 1_000_000)[number % 8]
    with associated(guard, number) as sock:
        sock.sendall(store() + pdv(1, 0, bytes(1000), length))
        drained(sock)


@blow
def PDVs_of_nothing(guard: Besieged, number: int) -> None:
    """A P-DATA-TF of 20,000 fragments without an octet in them."""
    empty = struct.pack(">IBB", 2, 1, 0) * 20_000
    with associated(guard, number) as sock:
        sock.sendall(store() + (header(4, len(empty)) + empty) * 5)
        drained(sock)


@blow
def a_command_set_without_an_end(guard: Besieged, number: int) -> None:
    with associated(guard, number) as sock:
        for _ in range(2000):
            sock.sendall(pdv(1, 1, bytes(16_000)))
        drained(sock)


@blow
def a_query_without_an_end(guard: Besieged, number: int) -> None:
    """Its identifier is what the guard holds until it is whole."""
    command = encode_command(CFindRequest(1, uids.STUDY_ROOT_FIND))
    with associated(guard, number) as sock:
        sock.sendall(b"".join(fragment(3, command, None, 16384)))
        for _ in range(2000):
            sock.sendall(pdv(3, 0, element(0x10, 0x10, b"UT", b"*" * 16_000)))
        drained(sock)


@blow
def a_deflated_query(guard: Besieged, number: int) -> None:
    """A kilobyte that becomes a megabyte. 48 MB keep Orthanc busy for half a minute, guard or no guard: the guard
    passes it as it came."""
    command = encode_command(CFindRequest(1, uids.STUDY_ROOT_FIND))
    with associated(guard, number, DEFLATED) as sock:
        sock.sendall(b"".join(fragment(3, command, BOMB_QUERY, 16384)))
        received(sock, 6)


@blow
def a_deflated_image(guard: Besieged, number: int) -> None:
    with associated(guard, number, DEFLATED) as sock:
        command = encode_command(CStoreRequest(1, CT, f"1.2.840.99.67.{number}"))
        sock.sendall(b"".join(fragment(1, command, BOMB_IMAGE, 16384)))
        received(sock, 6)


@blow
def sequences_within_sequences(guard: Besieged, number: int) -> None:
    """A data set of many levels, where the guard looks for the study; and one whose lengths lie."""
    deep = (
        element(0x0008, 0x0060, b"CS", b"CT")
        + (b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff") * 200
    )
    lies = b"\x08\0\x08\0CS\xff\xff" + b"A" * 100 + b"\x08\0\x40\x11SQ\0\0\xf0\xff\xff\xff"
    with associated(guard, number) as sock:
        for one in range(10):
            command = encode_command(CStoreRequest(one, CT, f"1.2.840.99.68.{number}.{one}"))
            sock.sendall(b"".join(fragment(1, command, (deep, lies)[one % 2], 16384)))
        Waiting(0.3).pause(0.3)  # Orthanc answers nothing to these


@blow
def an_association_one_octet_at_a_time(guard: Besieged, number: int) -> None:
    with secure(guard, number) as sock:
        drip(sock, asking())


@blow
def an_image_one_octet_at_a_time(guard: Besieged, number: int) -> None:
    with associated(guard, number) as sock:
        sock.sendall(store())
        drip(sock, pdv(1, 0, bytes(1000)))


@blow
def requests_without_waiting(guard: Besieged, number: int) -> None:
    with associated(guard, number) as sock:
        for one in range(500):
            command = encode_command(CFindRequest(one % 60_000, uids.STUDY_ROOT_FIND))
            sock.sendall(b"".join(fragment(3, command, element(8, 0x52, b"CS", b"STUDY"), 16384)))
        drained(sock)


@blow
def answers_that_nobody_reads(guard: Besieged, number: int) -> None:
    with associated(guard, number) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for one in range(10):
            command = encode_command(CFindRequest(one, uids.STUDY_ROOT_FIND))
            sock.sendall(b"".join(fragment(3, command, element(8, 0x52, b"CS", b"STUDY"), 16384)))
        Waiting(FOREVER_S).pause(FOREVER_S)


@blow
def traversal_in_UIDs(guard: Besieged, number: int) -> None:
    """Names of files that an archive might make of it; the guard's own files are looked at afterwards."""
    uid = ("../../../../tmp/x", "/etc/passwd", "..\\..\\x", "1.2\0.3", "%2e%2e%2f", "$(id)", "'; DROP TABLE x; --")[
        number % 7
    ]
    data = image("1.2.3", bytes(100), study=uid)
    raw = encode_command(CStoreRequest(1, CT, "1" * len(uid))).replace(b"1" * len(uid), uid.encode())
    with associated(guard, number) as sock:
        sock.sendall(b"".join(fragment(1, raw, data, 16384)))
        received(sock, 6)


# ---- HTTP: enrolment and pages, strangers and a program with a token -------------------------------------------------


def http(guard: Besieged, number: int, port: int, octets: bytes, more: bytes = b"") -> bytes:
    with secure(guard, number, port, guard.stranger()) as sock:
        sock.sendall(octets)
        with contextlib.suppress(OSError):
            sock.sendall(more)
        return drained(sock)


def post(path: str, length: int | None, *fields: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", *fields]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")


def bearer(guard: Besieged) -> str:
    return f"Authorization: Bearer {guard.token}"


@blow
def four_gigabytes_announced(guard: Besieged, number: int) -> None:
    port, path = ((guard.enrol, "/enrol"), (guard.web, "/guard/login"), (guard.web, "/orthanc/instances"))[number % 3]
    http(guard, number, port, post(path, 4 << 30), bytes(1 << 20))


@blow
def four_gigabytes_announced_with_a_token(guard: Besieged, number: int) -> None:
    path = ("/orthanc/instances", "/dicom-web/studies", "/orthanc/tools/find")[number % 3]
    kind = ("application/dicom", 'multipart/related; type="application/dicom"; boundary=b', "application/json")[
        number % 3
    ]
    http(guard, number, guard.web, post(path, 4 << 30, bearer(guard), f"Content-Type: {kind}"), bytes(1 << 20))


@blow
def bodies_one_octet_at_a_time(guard: Besieged, number: int) -> None:
    port, path = ((guard.enrol, "/enrol"), (guard.web, "/guard/login"))[number % 2]
    with secure(guard, number, port, guard.stranger()) as sock:
        sock.sendall(post(path, 1000, "Sec-Fetch-Site: same-origin"))
        drip(sock, bytes(1000))


@blow
def heads_one_octet_at_a_time(guard: Besieged, number: int) -> None:
    with secure(guard, number, (guard.enrol, guard.web)[number % 2], guard.stranger()) as sock:
        drip(sock, b"GET / HTTP/1.1\r\nX: " + b"x" * 1000)


@blow
def heads_without_an_end(guard: Besieged, number: int) -> None:
    with secure(guard, number, (guard.enrol, guard.web)[number % 2], guard.stranger()) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n")
        for one in range(20_000):
            sock.sendall(f"X-{one}: {'y' * 100}\r\n".encode())
        drained(sock)


@blow
def compressed_bodies(guard: Besieged, number: int) -> None:
    coding = ("gzip", "deflate", "br", "gzip, gzip, gzip")[number % 4]
    data = GZIP_DATA if "gzip" in coding else BOMB_DATA
    port, path = ((guard.enrol, "/enrol"), (guard.web, "/guard/login"), (guard.web, "/orthanc/instances"),
                  (guard.web, "/dicom-web/studies"), (guard.web, "/orthanc/tools/find"))[number % 5]  # fmt: skip
    fields = [f"Content-Encoding: {coding}", "Content-Type: application/dicom"]
    if number % 5 > 1:
        fields.append(bearer(guard))
    http(guard, number, port, post(path, len(data), *fields), data)


def zip_bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name in ("../../etc/cron.d/x", "/tmp/x", "a.dcm"):
            file.writestr(name, bytes(16 << 20))
    return out.getvalue()


ZIP = zip_bomb()


@blow
def archives_of_files(guard: Besieged, number: int) -> None:
    kind = ("application/zip", "application/dicom", "application/octet-stream")[number % 3]
    fields = (bearer(guard), f"Content-Type: {kind}")
    http(guard, number, guard.web, post("/orthanc/instances", len(ZIP), *fields), ZIP)


XML = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd"><!ENTITY b "&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><x>&c;</x>"""


@blow
def entities_of_XML(guard: Besieged, number: int) -> None:
    port, path = ((guard.enrol, "/enrol"), (guard.web, "/guard/login"), (guard.web, "/dicom-web/studies"))[number % 3]
    kind = 'multipart/related; type="application/dicom+xml"; boundary=b' if number % 2 else "application/dicom+xml"
    heard = http(guard, number, port, post(path, len(XML), bearer(guard), f"Content-Type: {kind}"), XML)
    assert b"root:" not in heard


@blow
def paths_that_lead_elsewhere(guard: Besieged, number: int) -> None:
    paths = (
        "/guard/static/../../../../etc/passwd", "/guard/static/%2e%2e%2f%2e%2e%2fetc/passwd", "//etc/passwd",
        "/dicom-web/studies/../../orthanc/system", "/dicom-web/studies/1.2.3%2f..%2f..", "/orthanc/../tools/shutdown",
        "/orthanc/app/..%5c..%5cx.js", "/guard/static/..%00.css", "/orthanc/instances/..;/system", "/.git/config",
        "/dicom-web/studies/1.2.3/%2e%2e/%2e%2e", "http://127.0.0.1/system", "/%c0%ae%c0%ae/etc/passwd",
    )  # fmt: skip
    head = (
        f"GET {paths[number % len(paths)]} HTTP/1.1\r\nHost: localhost\r\n{bearer(guard)}\r\nConnection: close\r\n\r\n"
    )
    heard = http(guard, number, (guard.web, guard.enrol)[number // len(paths) % 2], head.encode())
    assert b"root:" not in heard and b"200 OK" not in heard[:20], heard[:200]


@blow
def two_lengths(guard: Besieged, number: int) -> None:
    """What one reader takes for the body and another for the next request."""
    smuggled = b"0\r\n\r\nDELETE /orthanc/studies/x HTTP/1.1\r\nHost: localhost\r\n\r\n"
    fields = ["Transfer-Encoding: chunked"] if number % 2 else ["Content-Length: 5"]
    heard = http(guard, number, (guard.web, guard.enrol)[number // 2 % 2], post("/x", len(smuggled), *fields), smuggled)
    assert heard.count(b"HTTP/1.1") <= 1


@blow
def many_parts(guard: Besieged, number: int) -> None:
    kind = 'multipart/related; type="application/dicom"; boundary=b'
    body = b"--b\r\nContent-Type: application/dicom\r\n\r\n\r\n" * 50_000 + b"--b--\r\n"
    http(guard, number, guard.web, post("/dicom-web/studies", len(body), bearer(guard), f"Content-Type: {kind}"), body)


@blow
def JSON_of_many_levels(guard: Besieged, number: int) -> None:
    body = (b'{"a":' * 10_000, b"[" * 60_000, b'{"Level":"Study","Query":' + b'{"x":' * 9000)[number % 3]
    for port, path in ((guard.web, "/orthanc/tools/find"), (guard.enrol, "/enrol")):
        http(guard, number, port, post(path, len(body), bearer(guard), "Content-Type: application/json"), body)
