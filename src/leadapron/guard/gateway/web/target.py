"""What a request asks for, taken apart: path segments and query pairs, each checked, none of the raw text kept.

A gateway and the server behind it that read one address in two ways are how path checks are evaded: ``%2e%2e``, ``//``,
``;x=``, ``%2f``, ``%00``, ``%c0%ae``. So nothing is normalised here: what is not plain is refused (400), and what goes
on inside is written anew from the parts. Nothing in DICOMweb or Orthanc's REST needs more than these characters in
a path; a UID has digits and dots only, 64 at most (PS3.5 §9.1).
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from msgspec import Struct

MAX_PATH: Final = 2048
MAX_SEGMENTS: Final = 24
MAX_QUERY: Final = 8192
MAX_PAIRS: Final = 128

_PLAIN: Final = re.compile(r"[A-Za-z0-9._~,()+@!=-]{1,1024}")
_ESCAPED: Final = re.compile(r"%([0-9A-Fa-f]{2})")
_UID_CHARACTERS: Final = re.compile(r"[0-9]+(?:\.[0-9]+)*")
_KEY: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class Malformed(ValueError):
    """The request cannot be one for us. The text says why, without a word of the request: it is for the audit trail."""


class Target(Struct, frozen=True):
    """Decoded path segments (the last may be empty: a slash at the end) and decoded query pairs."""

    segments: tuple[str, ...]
    query: tuple[tuple[str, str], ...]

    def values(self, key: str) -> list[str]:
        return [value for name, value in self.query if name == key]


def parse(raw_path: bytes, raw_query: bytes) -> Target:
    """Raises `Malformed`."""
    return Target(_segments(raw_path), _pairs(raw_query))


def _segments(raw: bytes) -> tuple[str, ...]:
    if len(raw) > MAX_PATH:
        raise Malformed("the path is too long")
    if raw[:1] != b"/":
        raise Malformed("the target is no path")
    if any(octet <= 0x20 or octet >= 0x7F for octet in raw):
        raise Malformed("the path has a character that must be escaped")
    parts = raw[1:].decode("ascii").split("/")
    if len(parts) > MAX_SEGMENTS:
        raise Malformed("the path has too many segments")
    segments = []
    for number, part in enumerate(parts):
        segment = _unescape(part)
        if not segment:
            if number == len(parts) - 1:
                segments.append("")
                continue
            raise Malformed("the path has an empty segment")
        if not _PLAIN.fullmatch(segment) or not segment.strip("."):
            raise Malformed("the path has a character that is not allowed, or a dot segment")
        segments.append(segment)
    return tuple(segments)


def _unescape(part: str) -> str:
    """Percent-decoding, once, to ASCII."""
    text = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), part)
    if "%" in _ESCAPED.sub("", part):
        raise Malformed("the path has a broken escape")
    return text


def _pairs(raw: bytes) -> tuple[tuple[str, str], ...]:
    if len(raw) > MAX_QUERY:
        raise Malformed("the query is too long")
    if not raw:
        return ()
    if any(octet <= 0x20 or octet >= 0x7F for octet in raw):
        raise Malformed("the query has a character that must be escaped")
    parts = raw.decode("ascii").split("&")
    if len(parts) > MAX_PAIRS:
        raise Malformed("the query has too many parameters")
    pairs = []
    for part in parts:
        if not part:
            continue
        key, _, value = part.partition("=")
        name, text = _query_text(key), _query_text(value)
        if not _KEY.fullmatch(name):
            raise Malformed("the query has a parameter with a name that is not allowed")
        pairs.append((name, text))
    return tuple(pairs)


def _query_text(part: str) -> str:
    octets = bytearray()
    at = 0
    while at < len(part):
        if part[at] == "%":
            match = _ESCAPED.match(part, at)
            if match is None:
                raise Malformed("the query has a broken escape")
            octets.append(int(match[1], 16))
            at = match.end()
        else:
            octets += b" " if part[at] == "+" else part[at].encode("ascii")
            at += 1
    try:
        text = octets.decode("utf-8")  # strict: overlong forms and surrogates are errors
    except UnicodeDecodeError:
        raise Malformed("the query is not UTF-8") from None
    if _CONTROL.search(text):
        raise Malformed("the query has a control character")
    return text


def write(segments: tuple[str, ...], query: tuple[tuple[str, str], ...] = ()) -> str:
    """Path and query as they go inside."""
    path = "/" + "/".join(quote(segment, safe=",") for segment in segments)
    pairs = "&".join(f"{quote(key, safe='')}={quote(value, safe=',.*:-/')}" for key, value in query)
    return f"{path}?{pairs}" if pairs else path


def is_uid(text: str) -> bool:
    """Characters and length of PS3.5 §9.1. Leading zeros in a component, which §9.1 forbids, exist and pass."""
    return len(text) <= 64 and _UID_CHARACTERS.fullmatch(text) is not None
