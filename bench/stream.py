"""Both ends of a relay, bare: a sender that stores the same object again and again, and a sink that says Success.

Blocking sockets in processes of their own, so that what lies between is what is measured.

python -m bench.stream sink PORT
python -m bench.stream send HOST PORT COUNT OCTETS PDU [KEYS]     stores COUNT objects of OCTETS in PDUs of PDU octets
python -m bench.stream echo HOST PORT COUNT [KEYS]                C-ECHO, one after the other
python -m bench.stream find HOST PORT COUNT [KEYS]                C-FIND with one answer, one after the other
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import sys
import threading
import time
from pathlib import Path

CT, VERIFICATION, IMPLICIT = b"1.2.840.10008.5.1.4.1.1.2", b"1.2.840.10008.1.1", b"1.2.840.10008.1.2"
STUDY_FIND = b"1.2.840.10008.5.1.4.1.2.2.1"
UID = b"1.2.826.0.1.3680043.10.1.1"
CALLING, CALLED = b"BENCH", b"SINK"
MAX_PDU = 1 << 17
CHUNK = 1 << 20


def item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(body)) + body


def associate(kind: int, contexts: bytes) -> bytes:
    """A-ASSOCIATE-RQ (1) or -AC (2), PS3.8 §9.3.2 and §9.3.3."""
    user = item(0x50, item(0x51, struct.pack(">I", MAX_PDU)) + item(0x52, b"1.2.826.0.1.3680043.10.1"))
    titles = CALLED.ljust(16) + CALLING.ljust(16)
    body = struct.pack(">H2x", 1) + titles + bytes(32) + item(0x10, b"1.2.840.10008.3.1.1.1") + contexts + user
    return struct.pack(">BxI", kind, len(body)) + body


def element(group: int, number: int, value: bytes) -> bytes:
    return struct.pack("<HHI", group, number, len(value)) + value


def uid(value: bytes) -> bytes:
    return value + b"\0" * (len(value) % 2)


def command(*elements: bytes) -> bytes:
    body = b"".join(elements)
    return element(0, 0, struct.pack("<I", len(body))) + body


def us(number: int, value: int) -> bytes:
    return element(0, number, struct.pack("<H", value))


def pdu(context: int, control: int, data: bytes) -> bytes:
    return struct.pack(">BxIIBB", 4, len(data) + 6, len(data) + 2, context, control) + data


def store(octets: int, size: int) -> bytes:
    """C-STORE-RQ and its data set of so many octets, in PDUs of at most ``size``."""
    request = command(
        element(0, 2, uid(CT)),
        us(0x100, 0x0001),
        us(0x110, 1),
        us(0x700, 0),
        us(0x800, 1),
        element(0, 0x1000, uid(UID)),
    )
    head = element(0x0008, 0x0016, uid(CT)) + element(0x0008, 0x0018, uid(UID)) + element(0x0020, 0x000D, uid(UID))
    data = head + element(0x7FE0, 0x0010, b"")[:-4] + struct.pack("<I", octets) + bytes(octets)
    parts = [pdu(1, 3, request)]
    step = size - 6
    parts += [pdu(1, 2 if at + step >= len(data) else 0, data[at : at + step]) for at in range(0, len(data), step)]
    return b"".join(parts)


def echo() -> bytes:
    return pdu(3, 3, command(element(0, 2, uid(VERIFICATION)), us(0x100, 0x0030), us(0x110, 1), us(0x800, 0x0101)))


def find() -> bytes:
    request = command(element(0, 2, uid(STUDY_FIND)), us(0x100, 0x0020), us(0x110, 1), us(0x700, 0), us(0x800, 1))
    return pdu(5, 3, request) + pdu(5, 2, IDENTIFIER)


IDENTIFIER = element(0x0008, 0x0052, b"STUDY ") + element(0x0010, 0x0020, b"P1") + element(0x0020, 0x000D, b"")


# ---- the sink --------------------------------------------------------------------------------------------------------

STORED = pdu(1, 3, command(
    element(0, 2, uid(CT)), us(0x100, 0x8001), us(0x120, 1), us(0x800, 0x0101), us(0x900, 0),
    element(0, 0x1000, uid(UID)),
))  # fmt: skip
ECHOED = pdu(3, 3, command(
    element(0, 2, uid(VERIFICATION)), us(0x100, 0x8030), us(0x120, 1), us(0x800, 0x0101), us(0x900, 0)
))  # fmt: skip
FINAL = us(0x900, 0)
FOUND = b"".join(
    pdu(5, 3, command(
        element(0, 2, uid(STUDY_FIND)), us(0x100, 0x8020), us(0x120, 1), us(0x800, kind), us(0x900, status)
    )) + (pdu(5, 2, IDENTIFIER) if status else b"")
    for kind, status in ((1, 0xFF00), (0x0101, 0))
)  # fmt: skip
ACCEPTED = associate(
    2,
    item(0x21, b"\1\0\0\0" + item(0x40, IMPLICIT))
    + item(0x21, b"\3\0\0\0" + item(0x40, IMPLICIT))
    + item(0x21, b"\5\0\0\0" + item(0x40, IMPLICIT)),
)


def attend(sock: socket.socket) -> None:
    """One association: whatever is stored is counted as received when its last fragment is here."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = bytearray(4 << 20)
    view = memoryview(buffer)
    held = 0
    while True:
        read = sock.recv_into(view[held:])
        if not read:
            return
        held += read
        at = 0
        while held - at >= 12:
            kind, length = buffer[at], int.from_bytes(buffer[at + 2 : at + 6], "big")
            if held - at < 6 + length:
                break
            if kind == 1:
                sock.sendall(ACCEPTED)
            elif kind == 5:
                sock.sendall(b"\6\0\0\0\0\4\0\0\0\0")
                return
            elif kind == 4 and buffer[at + 11] == 2:
                sock.sendall(FOUND if buffer[at + 10] == 5 else STORED)
            elif kind == 4 and buffer[at + 10] == 3:
                sock.sendall(ECHOED)
            at += 6 + length
        if at:
            view[: held - at] = view[at:held]
            held -= at


def sink(port: int) -> None:
    with socket.create_server(("127.0.0.1", port), backlog=64) as listener:
        print("ready", flush=True)
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=_attend, args=(sock,), daemon=True).start()


def _attend(sock: socket.socket) -> None:
    with sock, contextlib.suppress(OSError):
        attend(sock)


# ---- the sender ------------------------------------------------------------------------------------------------------


def connect(host: str, port: int, keys: str | None) -> socket.socket:
    sock = socket.create_connection((host, port), timeout=120)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if keys is not None:
        context = ssl.create_default_context(cafile=str(Path(keys) / "authority.pem"))
        context.load_cert_chain(Path(keys) / "peer.pem", Path(keys) / "peer.key")
        sock = context.wrap_socket(sock, server_hostname="localhost")
    proposed = b"".join(
        item(0x20, bytes([number, 0, 0, 0]) + item(0x30, syntax) + item(0x40, IMPLICIT))
        for number, syntax in ((1, CT), (3, VERIFICATION), (5, STUDY_FIND))
    )
    sock.sendall(associate(1, proposed))
    kind = _answer(sock)[0]
    if kind != 2:
        raise SystemExit(f"not accepted: PDU type {kind}")
    return sock


def _answer(sock: socket.socket) -> bytes:
    held = b""
    while len(held) < 6 or len(held) < 6 + int.from_bytes(held[2:6], "big"):
        more = sock.recv(65536)
        if not more:
            raise SystemExit("the connection was closed")
        held += more
    return held


def exchange(sock: socket.socket, message: bytes, count: int, what: str) -> float:
    """Seconds for so many requests, each answered with Success before the next."""
    view = memoryview(message)
    started = time.perf_counter()
    for _ in range(count):
        for at in range(0, len(view), CHUNK):
            sock.sendall(view[at : at + CHUNK])
        answer = _answer(sock)
        while what == "find" and not answer.endswith(FINAL):
            more = sock.recv(65536)
            if not more:
                raise SystemExit("the connection was closed")
            answer += more
        if b"\x00\x00\x00\x09\x02\x00\x00\x00\x00\x00" not in answer:
            raise SystemExit("not Success")
    return time.perf_counter() - started


def main(arguments: list[str]) -> None:
    what, *rest = arguments
    if what == "sink":
        sink(int(rest[0]))
        return
    host, port, count = rest[0], int(rest[1]), int(rest[2])
    if what == "send":
        message = store(int(rest[3]), int(rest[4]))
        keys = rest[5] if len(rest) > 5 else None
    else:
        message, keys = echo() if what == "echo" else find(), rest[3] if len(rest) > 3 else None
    with connect(host, port, keys) as sock:
        print(exchange(sock, message, count, what))


if __name__ == "__main__":
    main(sys.argv[1:])
