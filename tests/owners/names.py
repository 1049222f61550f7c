"""A DNS server on loopback: answers what it is told to, over UDP and TCP, with dnspython's own messages."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

Zone = dict[tuple[str, str], list[str]]


class NameServer:
    """``zone``: (name without final dot, type) → records; names that are not there don't exist. ``asked``: all
    questions. ``spoil`` may change the octets of an answer, or give None for none; ``truncate``: UDP answers are
    empty and say that there is more over TCP."""

    def __init__(self, zone: Zone) -> None:
        self.zone = {(name.lower(), kind): texts for (name, kind), texts in zone.items()}
        self.asked: list[tuple[str, str]] = []
        self.spoil: Callable[[bytes], bytes | None] = lambda answer: answer
        self.truncate = False
        self._stop = threading.Event()
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._bind()
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._serve_udp, self._serve_tcp)]
        for thread in self._threads:
            thread.start()

    def _bind(self) -> None:
        from peers.process import free_port

        for _ in range(50):
            self.port = free_port()
            try:
                self._udp.bind(("127.0.0.1", self.port))
                self._tcp.bind(("127.0.0.1", self.port))
            except OSError:
                self._udp.close()
                self._tcp.close()
                self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                self._tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
                continue
            self._tcp.listen()
            for one in (self._udp, self._tcp):
                one.settimeout(0.05)
            return
        raise OSError("no free port for a DNS server")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(5)
        self._udp.close()
        self._tcp.close()

    def _answer(self, wire: bytes, *, udp: bool) -> bytes | None:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name, kind = str(question.name).rstrip(".").lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if udp and self.truncate:
            answer.flags |= dns.flags.TC
        elif (name, kind) in self.zone or (name, "CNAME") in self.zone:
            owner = question.name
            if (name, kind) not in self.zone:
                (alias,) = self.zone[name, "CNAME"]
                answer.answer.append(dns.rrset.from_text(owner, 300, "IN", "CNAME", alias))
                owner = dns.name.from_text(alias)
            texts = self.zone[str(owner).rstrip(".").lower(), kind]
            answer.answer.append(dns.rrset.from_text_list(owner, 300, "IN", kind, texts))
        elif not any(known == name for known, _ in self.zone):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return self.spoil(answer.to_wire(max_size=65535))

    def _serve_udp(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                wire, peer = self._udp.recvfrom(4096)
                answer = self._answer(wire, udp=True)
                if answer is not None:
                    with contextlib.suppress(OSError):
                        self._udp.sendto(answer, peer)

    def _serve_tcp(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(OSError):
                connection, _ = self._tcp.accept()
                with connection:
                    connection.settimeout(5)
                    length = int.from_bytes(_exactly(connection, 2), "big")
                    answer = self._answer(_exactly(connection, length), udp=False)
                    if answer is not None:
                        connection.sendall(len(answer).to_bytes(2, "big") + answer)


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise OSError("gone")
        data += more
    return data


@contextlib.contextmanager
def name_server(zone: Zone, **how: Any) -> Iterator[NameServer]:
    server = NameServer(zone)
    for name, value in how.items():
        setattr(server, name, value)
    try:
        yield server
    finally:
        server.stop()
