"""Names that steer terminals, break out of markup or forge lines, in everything that somebody else may name: they come
out clean in ``audit show`` and ``export``, ``peer list``, pages and the guard's own lines. Preambles that are programs,
and a flood of refusals, against the same guard.
"""

from __future__ import annotations

import contextlib
import csv
import datetime
import io
import json
import signal
import socket
import ssl
import unicodedata
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from xml.parsers import expat

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydicom.data import get_testdata_file

from guard.survive.besieged import CT, HOST, Besieged, besieged, element, image
from guard.survive.blows import asking, associated, drained, http, post, received, secure
from leadapron.wire import uids
from leadapron.wire.aio import ContextRequest
from leadapron.wire.dimse.command import CFindRequest, CMoveRequest, CStoreRequest, encode_command
from leadapron.wire.dimse.fragments import fragment
from leadapron.wire.elements import Tag
from leadapron.wire.pdu import encode
from peers.loading import rest
from peers.process import wait_until
from peers.raw import request
from peers.servers import start_orthanc

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
SCRIPT = "<script>alert(1)</script>"
NASTY = (
    "\x1b]0;owned\x07\x1b[2J\x1b[31m",
    SCRIPT,
    "\"'&<x y='z'>]]>",
    "x\r\n2026-11-22 03:00:00  all is well",
    "\u202egnp.exe\u2028\x9b31m\x85",
    "{{7*7}}${7*7}%s%n$(id)`id`",
)
TITLES = (
    b"\x1b[31m<b>\"'&\r\n\x07AB",
    b"EVIL\0\0\0\0\x1b]0;x\x07\x7f",
    b"\xff\xfe\x9b31m\x85<script",
    b"'; DROP TABLE--",
)


@pytest.fixture(scope="module")
def guard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Besieged]:
    home = tmp_path_factory.mktemp("text")
    more = {"Plugins": [str(PLUGIN)], "DicomWeb": {"Enable": True, "Root": "/dicom-web/"}, "OverwriteInstances": True}
    with start_orthanc(home / "archive", more, ae="PACS") as archive, besieged(home, archive) as guard:
        yield guard


def clean(text: str, where: str) -> None:
    """Nothing in it moves a cursor, rings, begins a line of its own, or turns text around."""
    for character in text:
        bad = unicodedata.category(character) in ("Cc", "Cs") and character != "\n"
        assert not bad and not "\u2028" <= character <= "\u202e", f"{character!r} in {where}"


def titled(sent: bytes, title: bytes) -> bytes:
    """The same A-ASSOCIATE-RQ with other octets for the calling AE title."""
    return sent[:26] + title.ljust(16)[:16] + sent[42:]


def forged(home: Path, name: str) -> ssl.SSLContext:
    """A certificate of nobody's, whose subject is ``name``."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(now - day).not_valid_after(now + day)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (home / "forged.pem").write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(home / "forged.pem")
    return context


def _dimse(guard: Besieged, tmp_path: Path) -> None:
    for title in TITLES:
        with secure(guard, 1) as sock:
            sock.sendall(titled(asking(), title))
            received(sock, 10)
        with secure(guard, 1) as sock:  # called by that name
            sent = asking()
            sock.sendall(sent[:10] + title.ljust(16)[:16] + sent[26:])
            received(sock, 10)
    for name in NASTY:
        with contextlib.suppress(OSError), secure(guard, 2, context=forged(tmp_path, name)) as sock:
            sock.sendall(asking())
            drained(sock)
        octets = name.encode("utf-8")
        keys = (
            element(0x08, 0x05, b"CS", b"ISO_IR 192")
            + element(0x08, 0x52, b"CS", b"STUDY")
            + element(0x10, 0x10, b"PN", octets)
            + element(0x10, 0x20, b"LO", octets)
            + element(0x20, 0x0D, b"UI", octets)
        )
        with associated(guard, 3) as sock:
            find = encode_command(CFindRequest(1, uids.STUDY_ROOT_FIND))
            sock.sendall(b"".join(fragment(3, find, keys, 16384)))
            received(sock, 6)
        with associated(guard, 3) as sock:
            store = encode_command(CStoreRequest(1, CT, "1.2.840.99.3.1"))
            sock.sendall(b"".join(fragment(1, store, image("1.2.840.99.3.1", bytes(100), study=name), 16384)))
            received(sock, 6)


async def _moves(guard: Besieged) -> None:
    study = [(Tag.QueryRetrieveLevel, "CS", "STUDY"), (Tag.StudyInstanceUID, "UI", "1.2.840.99.1")]
    async with guard.associate("EVIL", [ContextRequest(uids.STUDY_ROOT_MOVE)]) as association:
        assert (await association.move(uids.STUDY_ROOT_MOVE, "NOBODY", study)).status == 0xA801
    for title in TITLES:
        moving = encode_command(CMoveRequest(1, uids.STUDY_ROOT_MOVE, "DESTINATION12345"))
        with secure(guard, 4) as sock:
            asked = request([ContextRequest(uids.STUDY_ROOT_MOVE, (uids.EXPLICIT_LE,))])
            sock.sendall(encode(type(asked)("PACS", "EVIL", asked.contexts, asked.user)))
            received(sock, 6)
            keys = element(0x08, 0x52, b"CS", b"STUDY") + element(0x20, 0x0D, b"UI", b"1.2.3")
            sock.sendall(b"".join(fragment(1, moving.replace(b"DESTINATION12345", title.ljust(16)[:16]), keys, 16384)))
            received(sock, 6)


def _http(guard: Besieged) -> None:
    origin = f"https://localhost:{guard.web}"
    for number, name in enumerate(NASTY):
        with guard.client(headers={"Origin": origin, "Sec-Fetch-Site": "same-origin"}) as client:
            page = client.post("/guard/login", data={"name": name, "password": name, "code": "123456", "next": name})
            assert SCRIPT not in page.text and "\x1b" not in page.text
            for path in ("/guard/login", "/guard/emergency", "/guard/setup"):
                page = client.get(path, params={"next": name, "name": name, "error": name})
                assert SCRIPT not in page.text and page.headers["content-security-policy"].startswith(
                    "default-src 'none'"
                )
        quoted = urllib.parse.quote(name, safe="").encode()
        for where in (b"/dicom-web/studies/", b"/orthanc/", b"/dicom-web/studies?PatientName="):
            for authorization in (f"Authorization: Bearer {guard.token}", "Authorization: Bearer " + quoted.decode()):
                head = f" HTTP/1.1\r\nHost: localhost:{guard.web}\r\n{authorization}\r\nConnection: close\r\n\r\n"
                assert SCRIPT.encode() not in http(guard, number, guard.web, b"GET " + where + quoted + head.encode())
        raw = name.encode().replace(b"\r\n", b"\x0b")
        http(
            guard,
            number,
            guard.web,
            b"GET /" + raw + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nUser-Agent: " + raw + b"\r\n\r\n",
        )
        http(guard, number, guard.enrol, post("/" + quoted.decode(), len(raw), "Content-Type: " + quoted.decode()), raw)
        body = json.dumps({"secret": name, "request": name}).encode()
        http(guard, number, guard.enrol, post("/enrol", len(body)), body)


async def test_names_come_out_clean(guard: Besieged, tmp_path: Path) -> None:
    _dimse(guard, tmp_path)
    await _moves(guard)
    _http(guard)
    clean(guard.up.err, "the guard's own lines")
    assert "Traceback" not in guard.up.err, guard.up.err[-3000:]
    at = ("--data", guard.data)
    table = guard.lead("audit", "show", *at, "--last", "10000")
    clean(table.out, "audit show")
    assert table.out.count("\n") > 100 and "\n2026-11-22 03:00:00  all is well" not in table.out
    assert not any(line.startswith("2026-11-22 03:00:00  all") for line in table.out.splitlines())
    lines = guard.lead("audit", "show", *at, "--format", "jsonl").lines
    assert len(lines) > 100
    clean(json.dumps(lines, ensure_ascii=False).replace("\\n", ""), "audit show --format jsonl")
    rows = list(csv.reader(io.StringIO(guard.lead("audit", "show", *at, "--format", "csv").out)))
    assert len({len(row) for row in rows}) == 1
    clean("".join(map("".join, rows)), "audit show --format csv")
    listed = guard.lead("peer", "list", "--config", guard.config)
    clean(listed.out, "peer list")
    assert "EVIL" in listed.out
    clean(guard.lead("peer", "list", "--config", guard.config, "--format", "json").out, "peer list --format json")
    exported = guard.lead("audit", "export", *at)
    clean(exported.out, "audit export")
    for message in exported.out.splitlines():
        expat.ParserCreate().Parse(message, True)


@pytest.mark.parametrize("program", [b"MZ\x90\0" + b"\xcc" * 124, b"\x7fELF\2\1\1" + b"\x90" * 121], ids=["PE", "ELF"])
def test_programs_in_preambles(guard: Besieged, program: bytes) -> None:
    """STOW-RS and Orthanc's upload; what is stored has an empty preamble, and the same octets behind it."""
    file = Path(str(get_testdata_file("CT_small.dcm"))).read_bytes()
    poisoned = program + file[128:]
    with guard.client(headers={"Authorization": f"Bearer {guard.token}"}) as client:
        kind = 'multipart/related; type="application/dicom"; boundary=b'
        body = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + poisoned + b"\r\n--b--\r\n"
        ways = (("/dicom-web/studies", body, kind), ("/orthanc/instances", poisoned, "application/dicom"))
        for path, content, content_type in ways:
            answer = client.post(path, content=content, headers={"Content-Type": content_type})
            assert answer.status_code == 200, answer.text
            (kept,) = [
                one["ID"]
                for one in rest(guard.archive, "/instances?expand")
                if one["MainDicomTags"]["SOPInstanceUID"].startswith("1.3.6.1.4.1.5962")
            ]
            stored = client.get(f"/orthanc/instances/{kept}/file").content
            assert stored[:132] == bytes(128) + b"DICM" and stored[132:] == file[132:]
            assert client.delete(f"/orthanc/instances/{kept}").status_code in (200, 403, 404, 405)
    assert "preamble" in guard.lead("audit", "show", "--data", guard.data, "--last", "200").out


def test_a_flood_of_refusals_costs_the_disk_little_and_is_told_to_the_last(guard: Besieged) -> None:
    """1,500 strangers that speak no TLS at all, from one address: 20 are told one by one, and the sum of the others."""
    flood = 1500

    def size() -> int:
        return sum(path.stat().st_size for path in (guard.data / "guard" / "audit").rglob("*") if path.is_file())

    before, done = size(), 0
    source = ("127.0.9.77", 0)
    while done < flood:
        with socket.create_connection((HOST, guard.port), 5, source_address=source) as sock:
            sock.settimeout(5)
            sock.sendall(b"no TLS")
            done += 1
            with contextlib.suppress(OSError):
                sock.recv(1)
    wait_until(lambda: guard.descriptors < 200, "they are gone")
    assert size() - before < 80_000
    # Its minute is over in a minute; a guard that ends tells what is still counted.
    guard.up.signal(signal.SIGTERM)
    assert guard.up.end(40).code == 0
    told = guard.lead("audit", "show", "--data", guard.data, "--peer", "127.0.9.77", "--format", "jsonl")
    text = told.out
    singly = text.count('"127.0.9.77"') and len(told.lines)
    (total,) = [line for line in text.splitlines() if "further refusals of 127.0.9.77" in line]
    number = int(total.split(" further refusals")[0].rsplit(" ", 1)[-1].rsplit('"', 1)[-1])
    assert singly - 1 + number == flood
    assert guard.lead("audit", "verify", "--data", guard.data).code == 0
