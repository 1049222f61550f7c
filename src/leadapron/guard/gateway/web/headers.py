"""Headers: the few that pass, and those that each answer gets.

Both directions are allow-lists. What is not named does not pass, so neither hop-by-hop fields (RFC 9110 §7.6.1), nor a
stranger's ``X-Forwarded-For``, nor the archive's ``Set-Cookie``, ``Server`` or ``Location`` need to be listed.

What the archive stores was sent by many. Where an image or JSON is expected and something else comes that a browser
would run or draw, it is handed out as a file to be saved; and whatever comes is sandboxed and not sniffed, so
stored content cannot act in the guard's origin.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from leadapron.guard.gateway.web.related import media_type
from leadapron.guard.gateway.web.route import Answer
from leadapron.kernel.errors import ProtocolError

Header = tuple[bytes, bytes]

EVERYWHERE: Final[tuple[Header, ...]] = (
    (b"strict-transport-security", b"max-age=63072000"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),  # with no-referrer browsers send "Origin: null" with our own forms
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (
        b"permissions-policy",
        b"accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), microphone=(), midi=(), "
        b"payment=(), usb=(), publickey-credentials-get=(self), publickey-credentials-create=(self)",
    ),
    (b"x-frame-options", b"DENY"),
)
OWN_PAGES: Final = (
    b"default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
POLICY: Final = (b"content-security-policy", OWN_PAGES)
DATA: Final = b"default-src 'none'; frame-ancestors 'none'; sandbox"
# Older viewers have inline scripts, eval and WebAssembly; they may load and send nothing to anywhere but here.
VIEWER: Final = (
    b"default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval' 'wasm-unsafe-eval' blob:; "
    b"style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; "
    b"connect-src 'self' blob: data:; worker-src 'self' blob:; manifest-src 'self'; form-action 'self'; "
    b"base-uri 'self'; object-src 'none'; frame-ancestors 'none'"
)
NO_STORE: Final = (b"cache-control", b"no-store, private")
VIEWER_CACHE: Final = (b"cache-control", b"private, max-age=300")

_JSON: Final = frozenset({"application/dicom+json", "application/json"})
_MEDIA: Final = frozenset(
    {
        "application/dicom",
        "application/octet-stream",
        "multipart/related",
        "image/jpeg",
        "image/png",
        "image/gif",
        "image/jp2",
        "image/jpx",
        "image/jls",
        "image/jph",
        "image/jphc",
        "image/x-jls",
        "image/x-dicom-rle",
        "image/dicom-rle",
        "image/x-portable-arbitrarymap",
        "video/mpeg",
        "video/mp4",
        "video/h265",
    }
)
_ARCHIVE: Final = frozenset({"application/zip"})
_PAGE: Final = frozenset(
    {
        "text/html",
        "text/css",
        "text/plain",
        "text/javascript",
        "application/javascript",
        "application/json",
        "application/wasm",
        "application/x-javascript",
        "application/octet-stream",
        "image/png",
        "image/jpeg",
        "image/gif",
        "image/x-icon",
        "image/vnd.microsoft.icon",
        "font/woff",
        "font/woff2",
        "font/ttf",
        "application/font-woff",
        "application/x-font-woff",
        "application/vnd.ms-fontobject",
    }
)
INLINE: Final = {
    Answer.DICOM_JSON: _JSON,
    Answer.JSON: _JSON | {"text/plain"},
    Answer.MEDIA: _MEDIA | _JSON,
    Answer.ARCHIVE: _ARCHIVE,
    Answer.PAGE: _PAGE,
    Answer.TEXT: frozenset({"text/plain"}) | _JSON,
}
SAVED: Final = frozenset({"application/dicom", "application/octet-stream", "application/zip"})

_ACCEPT: Final = re.compile(r"[\x20-\x7e]{0,1024}")
_FORBIDDEN_ACCEPT: Final = re.compile(r"zip|gzip|deflate|dicom\+xml", re.IGNORECASE)


def accept(value: str | None, answer: Answer) -> str | None:
    """What the archive is asked for; None where we cannot take what the client wants (406).

    Lists and metadata come as JSON, the only form whose addresses are rewritten.
    """
    if answer in (Answer.DICOM_JSON, Answer.TEXT):
        wanted = (value or "*/*").lower()
        fits = any(word in wanted for word in ("json", "*/*", "application/*"))
        return "application/dicom+json" if fits else None
    if answer is not Answer.MEDIA:
        return "*/*"
    if value is None:
        return "*/*"
    if not _ACCEPT.fullmatch(value):
        return None
    kept = [part.strip() for part in _split(value) if not _FORBIDDEN_ACCEPT.search(part)]
    return ", ".join(kept) if kept else None


def _split(value: str) -> Iterable[str]:
    """At commas that stand outside of quotes."""
    return re.findall(r'(?:"[^"]*"|[^,"])+', value)


def presented(answer: Answer, content_type: str | None) -> tuple[str, list[Header]]:
    """The media type an answer gets, without parameters, and the headers that keep it harmless."""
    try:
        kind, parameters = media_type(content_type or "application/octet-stream")
    except ProtocolError:
        kind, parameters = "application/octet-stream", {}
    if answer is Answer.PAGE and kind in _PAGE:
        charset = "; charset=utf-8" if parameters.get("charset", "").lower() == "utf-8" else ""
        headers = [(b"content-security-policy", VIEWER), (b"content-type", f"{kind}{charset}".encode())]
        return kind, [*headers, VIEWER_CACHE]
    sent = kind
    if kind not in INLINE[answer]:
        kind = sent = "application/octet-stream"
    headers = [(b"content-security-policy", DATA), NO_STORE]
    if kind in SAVED:
        headers.append((b"content-disposition", b"attachment"))
    if kind == "text/plain":
        sent = "text/plain; charset=utf-8"
    if kind != "multipart/related":  # that one gets a boundary of ours
        syntax = parameters.get("transfer-syntax", "")
        if re.fullmatch(r"[0-9.]{1,64}", syntax):
            sent += f"; transfer-syntax={syntax}"
        headers.append((b"content-type", sent.encode()))
    return kind, headers
