"""The connection to the archive behind: a bounded pool, no redirects, no cookies, nothing decoded.

The transport of httpx2 is used without its client: a client keeps cookies, and one that is shared would hand what
the archive set for one person to all others. Answers must come unencoded (``Accept-Encoding: identity``), else they
could not be looked at on the way, and a small one could become a large one here.
"""

from __future__ import annotations

import base64
import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import unquote

import httpx2

from leadapron.guard.doors import web_address
from leadapron.guard.gateway.web.exchange import Refused
from leadapron.guard.gateway.web.route import Kind
from leadapron.kernel.errors import UsageError

CONNECTIONS: Final = 64
IDLE_CONNECTIONS: Final = 16
CONNECT_S: Final = 5.0
POOL_S: Final = 10.0
WRITE_S: Final = 60.0
TRIES: Final = 3


class Inside:
    """The archive's web side. ``web``: its base URL, with a user and password if it wants them; ``web_kind``:
    ``orthanc`` (its root: DICOMweb is below ``/dicom-web``) or ``dicomweb`` (the root of DICOMweb)."""

    def __init__(self, web: str, web_kind: str, *, ca: str | None = None, response_s: float = 120.0) -> None:
        parts = web_address(web, "guard.archive.web")
        if web_kind not in ("orthanc", "dicomweb"):
            raise UsageError(f"guard.archive.web_kind is orthanc or dicomweb, not {web_kind!r}")
        self.is_orthanc = web_kind == "orthanc"
        host = parts.netloc.rpartition("@")[2]
        self.base = f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
        self.dicomweb = f"{self.base}/dicom-web" if self.is_orthanc else self.base
        self._authorization: str | None = None
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            self._authorization = "Basic " + base64.b64encode(pair).decode("ascii")
        context = ssl.create_default_context(cafile=ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._transport = httpx2.AsyncHTTPTransport(
            verify=context,
            trust_env=False,
            limits=httpx2.Limits(
                max_connections=CONNECTIONS, max_keepalive_connections=IDLE_CONNECTIONS, keepalive_expiry=0.9
            ),
        )
        self._timeout = {"connect": CONNECT_S, "read": response_s, "write": WRITE_S, "pool": POOL_S}

    def has(self, kind: Kind) -> bool:
        """Whether the archive has that interface."""
        return kind is Kind.DICOMWEB or self.is_orthanc

    def address(self, kind: Kind, path: str) -> str:
        """Where a path (with its query, written by us) is, inside."""
        return (self.dicomweb if kind is Kind.DICOMWEB else self.base) + path

    async def ask(
        self, method: str, address: str, headers: dict[str, str], content: bytes | AsyncIterator[bytes] | None = None
    ) -> httpx2.Response:
        """Sends a request and gives the answer once its headers are there; the caller closes it.

        Raises `Refused` (502, 504); what ``content`` raises comes through.
        """
        sent = {"Accept-Encoding": "identity", "User-Agent": "leadapron", **headers}
        if self._authorization is not None:
            sent["Authorization"] = self._authorization
        request = httpx2.Request(method, address, headers=sent, content=content, extensions={"timeout": self._timeout})
        if request.url.raw_path != self._path(address):
            raise Refused(400, "the address would not go inside as it was written")
        try:
            response = await self._sent(request, again=method == "GET" and content is None)
        except httpx2.PoolTimeout:
            raise Refused(503, "all connections to the archive are in use") from None
        except httpx2.TimeoutException:
            raise Refused(504, "the archive did not answer in time") from None
        except httpx2.TransportError as error:
            raise Refused(502, f"the archive cannot be reached: {type(error).__name__}") from None
        response.request = request
        return response

    async def _sent(self, request: httpx2.Request, *, again: bool) -> httpx2.Response:
        """``again``: may be asked again where the archive has just closed the connection that was kept (Orthanc does so
        after a second): RFC 9112 §9.3.1. A connection that is new does not end in that way."""
        for _ in range(TRIES - 1 if again else 0):
            with contextlib.suppress(httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError):
                return await self._transport.handle_async_request(request)
        return await self._transport.handle_async_request(request)

    @staticmethod
    def _path(address: str) -> bytes:
        """Path and query as they must stand in the request line."""
        return b"/" + address.split("/", 3)[3].encode("ascii")

    async def close(self) -> None:
        await self._transport.aclose()
