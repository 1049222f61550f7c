"""An audit record repository, as a process of its own so that it can be killed: RFC 5425 in, lines of a file out.

``collecting.py PORT CERTIFICATE KEY CA|- FILE polite|abrupt DELAY``. Written from the RFCs, without our code.
``abrupt`` closes without close_notify, as many do. DELAY: seconds to sleep after each read, so that octets lie unread
when it dies.
"""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import sys
import time

SYSLOG = re.compile(rb"<(\d+)>1 (\S+) (\S+) (\S+) (\S+) (\S+) (\[[^]]*\]|-) (.*)", re.S)


def take(buffer: bytearray) -> bytes | None:
    """One SYSLOG-MSG by its octet count, RFC 5425 §4.3."""
    space = buffer.find(b" ", 0, 10)
    if space < 0:
        assert len(buffer) < 10, "no MSG-LEN"
        return None
    count = int(buffer[:space])
    assert buffer[0:1] in b"123456789"
    if len(buffer) < space + 1 + count:
        return None
    message = bytes(buffer[space + 1 : space + 1 + count])
    del buffer[: space + 1 + count]
    return message


def serve(connection: ssl.SSLSocket, out: int, polite: bool, delay: float) -> None:
    buffer = bytearray()
    while chunk := connection.recv(16_384):
        buffer += chunk
        time.sleep(delay)
        while (message := take(buffer)) is not None:
            found = SYSLOG.fullmatch(message)
            assert found, message[:200]
            fields = [part.decode() for part in found.groups()]
            os.write(out, json.dumps(fields).encode() + b"\n")
    assert not buffer, "ended in the middle of a message"
    if polite:
        connection.unwrap()


def main() -> None:
    port, certificate, key, authority, path, manner, delay = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if authority != "-":
        context.load_verify_locations(authority)
        context.verify_mode = ssl.CERT_REQUIRED
    out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with socket.create_server(("127.0.0.1", int(port))) as server:
        while True:
            plain, _ = server.accept()
            try:
                with context.wrap_socket(plain, server_side=True) as connection:
                    serve(connection, out, manner == "polite", float(delay))
            except OSError as error:
                print(error, flush=True)


if __name__ == "__main__":
    main()
