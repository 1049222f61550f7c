"""A web server on loopback that plays RDAP servers and owners' web servers, plain or over TLS, decent or hostile."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

Page = Callable[[BaseHTTPRequestHandler], None]


class Web:
    """``pages``: path → what answers; others are 404. ``asked``: (host header, path) of all requests."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        from peers.process import free_port

        self.pages: dict[str, Page] = {}
        self.asked: list[tuple[str, str]] = []
        self.agents: set[str] = set()
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                web.asked.append((self.headers.get("Host", ""), self.path))
                web.agents.add(self.headers.get("User-Agent", ""))
                with contextlib.suppress(OSError):
                    web.pages.get(self.path, send(404, b"no", "text/plain"))(self)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass

        self._server = Server(("127.0.0.1", free_port()), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_address[1]
        self.base = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@contextlib.contextmanager
def web_server(tls: ssl.SSLContext | None = None) -> Iterator[Web]:
    web = Web(tls)
    try:
        yield web
    finally:
        web.stop()


# ---- pages -----------------------------------------------------------------------------------------------------------


def send(status: int, body: bytes, kind: str, **headers: str) -> Page:
    def page(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return page


def json(value: Any, status: int = 200) -> Page:
    return send(status, msgspec.json.encode(value), "application/rdap+json")


def text(body: str) -> Page:
    return send(200, body.encode(), "text/plain; charset=utf-8")


def redirect(to: str) -> Page:
    return send(302, b"", "text/plain", Location=to)


def endless(kind: str = "application/rdap+json") -> Page:
    """A body that does not end, as fast as it is read."""

    def page(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", kind)
        request.end_headers()
        while True:
            request.wfile.write(b" " * 65536)

    return page


def drip(kind: str = "application/rdap+json") -> Page:
    """A body that comes octet by octet: each read succeeds, the whole never comes."""

    def page(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", kind)
        request.end_headers()
        for _ in range(600):
            request.wfile.write(b" ")
            time.sleep(0.05)

    return page


def mute(request: BaseHTTPRequestHandler) -> None:
    """Takes the question and says nothing."""
    request.connection.settimeout(30)
    with contextlib.suppress(OSError):
        request.connection.recv(1)


def hang_up(request: BaseHTTPRequestHandler) -> None:
    request.connection.shutdown(socket.SHUT_RDWR)
    request.close_connection = True
