"""What else answers on these ports: other services, silence, noise. None of it is an imaging server."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from leadapron.lab.persona import Persona, Verdict
from leadapron.lab.server.station import Station
from leadapron.lab.server.talk import Talk
from leadapron.lab.server.tls import over_tls
from leadapron.wire.aio.swarm import Conversation

_FAMILY = "others"


class Service(Struct, frozen=True):
    """``greeting`` is said at once, ``reply`` to whatever comes; then it may hang up."""

    greeting: bytes = b""
    reply: bytes = b""
    hangs_up: bool = True


_METHOD: Final = re.compile(rb"[A-Z]{1,8}($| )")
_PAGE: Final = b"<html><head><title>Router</title></head><body>Please log in.</body></html>"
_EXPLORER: Final = b'{"ApiVersion":22,"DicomAet":"ORTHANC","DicomPort":4242,"Name":"Orthanc","Version":"1.12.4"}'


def _page(status: bytes, body: bytes, kind: bytes) -> bytes:
    head = b"HTTP/1.1 %b\r\nServer: nginx\r\nContent-Type: %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    return head % (status, kind, len(body)) + body


SERVICES: Final[dict[str, tuple[str, Service]]] = {
    "ssh": (
        "an SSH server",
        Service(b"SSH-2.0-OpenSSH_9.6p1 Debian-3\r\n", b"Invalid SSH identification string.\r\n"),
    ),
    "smtp": (
        "a mail server",
        Service(b"220 mail.example ESMTP Postfix\r\n", b"500 5.5.2 Error: bad syntax\r\n", hangs_up=False),
    ),
    "ftp": ("an FTP server", Service(b"220 (vsFTPd 3.0.5)\r\n", b"530 Please login with USER and PASS.\r\n", False)),
    "telnet": ("a telnet login", Service(b"\xff\xfd\x18\xff\xfd\x20\xff\xfd\x23\xff\xfd\x27", b"\r\nlogin: ", False)),
    "imap": ("an IMAP server", Service(b"* OK [CAPABILITY IMAP4rev1 STARTTLS] ready.\r\n", b"* BAD error\r\n")),
    "mysql": (
        "a MySQL server",
        Service(
            b"\x4a\x00\x00\x00\x0a8.0.36\x00\x2a\x00\x00\x00abcdefgh\x00\xff\xf7\xff\x02\x00\xff\xc7\x15"
            + bytes(10)
            + b"ijklmnopqrst\x00mysql_native_password\x00",
        ),
    ),
    "redis": ("a Redis server", Service(b"", b"-ERR unknown command\r\n", False)),
    "rdp": (
        "a remote desktop",
        Service(b"", b"\x03\x00\x00\x13\x0e\xd0\x00\x00\x12\x34\x00\x02\x1f\x08\x00\x02\x00\x00\x00"),
    ),
    "vnc": ("a VNC screen", Service(b"RFB 003.008\n", b"")),
    "hl7": ("an HL7 interface", Service(b"", b"\x0bMSH|^~\\&|||||20261121||ACK|1|P|2.3\rMSA|AR|1\r\x1c\r", False)),
    "closes": ("hangs up on the first word", Service()),
}


class ServiceTalk(Talk):
    """A greeting, a reply."""

    __slots__ = ("_service",)

    def __init__(self, station: Station, service: Service) -> None:
        super().__init__(station)
        self._service = service

    def begin(self) -> None:
        if self._service.greeting:
            self.link.send(self._service.greeting)

    def hear(self, data: bytes) -> None:
        if self._service.reply:
            self.link.send(self._service.reply)
        if self._service.hangs_up:
            self.link.close()


class HttpTalk(Talk):
    """A web server: pages for requests, 400 for anything else."""

    __slots__ = ("_orthanc", "_said")

    def __init__(self, station: Station, orthanc: bool = False) -> None:
        super().__init__(station)
        self._orthanc = orthanc
        self._said = b""

    def hear(self, data: bytes) -> None:
        self._said = (self._said + data)[:4096]
        if not _METHOD.match(self._said):
            self._end(b"400 Bad Request", b"<html><body><h1>400 Bad Request</h1></body></html>", b"text/html")
        elif b"\r\n\r\n" in self._said:
            if self._orthanc:
                self._end(b"200 OK", _EXPLORER, b"application/json")
            else:
                self._end(b"200 OK", _PAGE, b"text/html")

    def _end(self, status: bytes, body: bytes, kind: bytes) -> None:
        self.link.send(_page(status, body, kind))
        self.link.close()


class SilentTalk(Talk):
    """Never a word."""

    __slots__ = ()


class TarpitTalk(Talk):
    """An octet of a proper A-ASSOCIATE-AC every ``every_s`` seconds, for ever."""

    __slots__ = ("_at",)

    _HEAD = b"\x02\x00\x00\x00\x10\x00"  # an A-ASSOCIATE-AC of 4,096 octets: an hour at a second each

    def begin(self) -> None:
        self._at = 0
        self._drip()

    def _drip(self) -> None:
        self.link.deadline(120.0)
        self.link.send(self._HEAD[self._at : self._at + 1] or b"\0")
        self._at += 1
        self.link.call_later(float(self.station.options.get("every_s", 1.0)), self._drip)


class RandomTalk(Talk):
    """Noise: some hundred random octets for every word; the same ones at the same address for the same ``noise``."""

    __slots__ = ("_random",)

    def begin(self) -> None:
        self._random = random.Random(f"{self.station.options.get('noise', 0)} {self.link.local[0]}")

    def hear(self, data: bytes) -> None:
        self.link.send(self._random.randbytes(self._random.randint(1, 600)))


def _service(service: Service) -> Callable[[Station], Conversation]:
    return lambda station: ServiceTalk(station, service)


def _other(name: str, summary: str, talk: Callable[[Station], Conversation], *verdicts: Verdict) -> Persona:
    return Persona(name=name, family=_FAMILY, summary=summary, verdicts=verdicts or ("other",), talk=talk)


PERSONAS = (
    _other("http", "a web server", HttpTalk),
    _other("orthanc-web", "Orthanc's REST interface, open", lambda station: HttpTalk(station, orthanc=True)),
    *(
        _other(name, summary, _service(service), *(("other", "silent", "closed") if name == "closes" else ()))
        for name, (summary, service) in SERVICES.items()
    ),
    Persona(
        name="https",
        family=_FAMILY,
        summary="a web server behind TLS",
        verdicts=("other",),
        talk=over_tls(HttpTalk, alerts=True),
        transport="tls",
    ),
    Persona(
        name="random",
        family=_FAMILY,
        summary="random octets",
        verdicts=("other", "silent"),  # one octet in eighty begins like DICOM, and may come alone
        talk=RandomTalk,
        options={"noise": 0},
    ),
    _other("silent", "accepts the connection and never says a word", SilentTalk, "silent"),
    Persona(
        name="tarpit",
        family=_FAMILY,
        summary="drips an octet a second",
        verdicts=("silent", "other"),
        talk=TarpitTalk,
        options={"every_s": 1.0},
    ),
)
