"""Addresses in the archive's answers, so that clients come back through the guard.

QIDO-RS, metadata and STOW-RS answers name where things can be had (Retrieve URL (0008,1190), Retrieve URI
(0040,E010), ``BulkDataURI``, PS3.18 §F.2.6) by the archive's own address, which clients cannot or must not reach.
Whatever host stands there, all from ``/studies/`` on is put behind our own base; an address without that is left,
unless it is the archive's.

The text is not parsed but searched, with patterns of bounded length: metadata of a large series has many megabytes, and
memory must not grow with it. In JSON a quote within a value is escaped, so the patterns match keys only.
"""

from __future__ import annotations

import re
from typing import Final

MAX_URL: Final = 2048
_SPACE: Final = rb"[ \t\r\n]{0,64}"
_URL: Final = rb'"((?:[^"\\]|\\/){0,%d})"' % MAX_URL
_ADDRESS: Final = re.compile(
    rb'(?:"BulkDataURI"%(s)s:%(s)s'
    rb'|"(?:00081190|0040[Ee]010)"%(s)s:%(s)s\{%(s)s(?:"vr"%(s)s:%(s)s"U[RT]"%(s)s,%(s)s)?"Value"%(s)s:%(s)s\[%(s)s)%(url)s'
    % {b"s": _SPACE, b"url": _URL}
)
HELD_BACK: Final = MAX_URL * 2 + 1024
"""Octets that are kept until more follows; longer than any match can be."""


class Addresses:
    """What an address becomes. ``inside``: base URL of the archive's DICOMweb; ``outside``: ours, both without a slash
    at the end; ``outside`` may be a path."""

    def __init__(self, inside: str, outside: str) -> None:
        self._inside = inside.rstrip("/")
        self._origin = "/".join(self._inside.split("/", 3)[:3])
        self._outside = outside.rstrip("/")

    def __call__(self, url: str) -> str:
        """``url`` as a client shall see it."""
        lower = url.lower()
        if not lower.startswith(("http://", "https://")):
            return url
        if url.startswith(self._inside + "/"):
            return self._outside + url[len(self._inside) :]
        path = url.find("/", 8)
        if path >= 0 and (studies := url.find("/studies/", path)) >= 0:
            return self._outside + url[studies:]
        return self._outside if lower.startswith(self._origin.lower()) else url


class JsonAddresses:
    """The DICOM JSON model in pieces: ``feed`` each, ``finish`` at the end."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._buffer = b""

    def feed(self, data: bytes) -> bytes:
        self._buffer += data
        return self._pass(len(self._buffer) - HELD_BACK)

    def finish(self) -> bytes:
        return self._pass(len(self._buffer))

    def _pass(self, limit: int) -> bytes:
        """Everything that begins before ``limit``."""
        if limit <= 0:
            return b""
        out, at = [], 0
        for match in _ADDRESS.finditer(self._buffer):
            if match.start() >= limit:
                break
            start, end = match.span(1)
            url = match[1].decode("utf-8", "replace").replace("\\/", "/")
            changed = self._addresses(url)
            out.append(self._buffer[at:start])
            out.append(self._buffer[start:end] if changed == url else changed.encode())
            at = end
        cut = max(limit, at)
        out.append(self._buffer[at:cut])
        self._buffer = self._buffer[cut:]
        return b"".join(out)
