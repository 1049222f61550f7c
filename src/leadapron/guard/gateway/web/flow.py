"""What flows: uploads towards the archive, cleaned and re-enveloped; answers towards the client, likewise.

Nothing is held but a few kilobytes: a filter takes a piece and gives a piece. An upload that turns out to be wrong
in its middle ends the request inside without its end, so that the archive stores nothing of the file in question.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, Protocol

from leadapron.guard.gateway.preamble import HEAD, NotPart10, Preamble, PreambleFilter
from leadapron.guard.gateway.web.exchange import Exchange, Refused
from leadapron.guard.gateway.web.related import Related, boundary_of, media_type
from leadapron.guard.gateway.web.rewrite import Addresses, JsonAddresses
from leadapron.guard.gateway.web.route import Answer, Body
from leadapron.guard.gateway.web.target import is_uid
from leadapron.guard.gateway.web.zipped import ZipFilter
from leadapron.kernel.errors import ProtocolError

MAX_FIND: Final = 64 * 1024
MAX_LOOKUP: Final = 128
MAX_FILTERS: Final = 64
LEVELS: Final = ("Patient", "Study", "Series", "Instance")

_TAG: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}|[0-9a-fA-F]{4},?[0-9a-fA-F]{4}")
_TYPED: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SYNTAX: Final = re.compile(r"[0-9.]{1,64}")


class Filter(Protocol):
    """Takes pieces, gives pieces; the last come from ``finish``."""

    def feed(self, data: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


class Unchanged:
    """For what may pass as it is."""

    def feed(self, data: bytes) -> bytes:
        return data

    def finish(self) -> bytes:
        return b""


class Upload:
    """A body for the archive: its headers, and its octets as they are asked for. ``zeroed``: preambles that held
    something; ``parts``: files."""

    def __init__(self, headers: dict[str, str], content: Callable[[], AsyncIterator[bytes]] | bytes | None) -> None:
        self.headers = headers
        self._content = content
        self.filter: Filter | None = None

    @property
    def content(self) -> AsyncIterator[bytes] | bytes | None:
        return self._content() if callable(self._content) else self._content

    @property
    def zeroed(self) -> int:
        if isinstance(self.filter, Related):
            return self.filter.zeroed
        return int(isinstance(self.filter, PreambleFilter) and self.filter.found is Preamble.ZEROED)

    @property
    def parts(self) -> int:
        return self.filter.parts if isinstance(self.filter, Related) else int(self.filter is not None)


async def upload(exchange: Exchange, body: Body, most: int, max_results: int) -> Upload:
    """What goes inside for ``body``. Raises `Refused` for a body of another kind, or above its bound."""
    if body is Body.NONE:
        if exchange.has_body:
            raise Refused(413, "a body where there is none")
        return Upload({}, None)
    if (exchange.header("content-encoding") or "identity").lower() != "identity":
        raise Refused(415, "a compressed body")
    length = exchange.length
    if length is not None and length > most:
        raise Refused(413, "the announced body is above the bound")
    if body is Body.FIND:
        found = find_query(await exchange.whole(MAX_FIND), max_results)
        return Upload({"Content-Type": "application/json", "Content-Length": str(len(found))}, found)
    if body is Body.LOOKUP:
        word = (await exchange.whole(MAX_LOOKUP)).decode("latin-1").strip()
        if not _TYPED.fullmatch(word):
            raise Refused(400, "no identifier to look up")
        return Upload({"Content-Type": "text/plain", "Content-Length": str(len(word))}, word.encode())
    try:
        kind, parameters = media_type(exchange.header("content-type") or "")
        if body is Body.RELATED:
            related = _related(kind, parameters)
            made = Upload({"Content-Type": f'multipart/related; type="application/dicom"; boundary={related[1]}'}, None)
            made.filter = related[0]
        else:
            if kind not in ("application/dicom", "application/octet-stream", "application/x-www-form-urlencoded"):
                raise Refused(415, "an upload that is no DICOM file")
            made = Upload({"Content-Type": "application/dicom"}, None)
            made.filter = PreambleFilter(strict=True)
            if length is not None and length < HEAD:  # else all of it would be sent before it is looked at
                raise Refused(400, str(NotPart10()))
            if length is not None:  # the filter changes no length
                made.headers["Content-Length"] = str(length)
    except ProtocolError as error:
        raise Refused(415, str(error)) from None
    made._content = lambda: _filtered(exchange, most, made)
    return made


def _related(kind: str, parameters: dict[str, str]) -> tuple[Related, str]:
    if kind != "multipart/related" or parameters.get("type", "application/dicom").lower() != "application/dicom":
        raise Refused(415, "an upload that is no multipart/related of application/dicom")
    reader = Related(boundary_of(parameters), uploaded_part, strict=True)
    return reader, reader.fresh.decode("ascii")


async def _filtered(exchange: Exchange, most: int, made: Upload) -> AsyncIterator[bytes]:
    assert made.filter is not None
    async for piece in exchange.body(most):
        if out := made.filter.feed(piece):
            yield out
    if out := made.filter.finish():
        yield out


def uploaded_part(fields: dict[str, str]) -> dict[str, str]:
    """Only DICOM files come in, and only as they are."""
    kind, parameters = media_type(fields.get("content-type") or "application/dicom")
    if kind != "application/dicom":
        raise Refused(415, "a part of an upload is no application/dicom")
    if fields.get("content-transfer-encoding", "binary").lower() not in ("binary", "8bit"):
        raise Refused(415, "a part of an upload is encoded")
    if fields.get("content-encoding", "identity").lower() != "identity":
        raise Refused(415, "a part of an upload is compressed")
    syntax = parameters.get("transfer-syntax", "")
    return {"Content-Type": f"application/dicom; transfer-syntax={syntax}" if _SYNTAX.fullmatch(syntax) else kind}


def find_query(body: bytes, max_results: int) -> bytes:
    """A query of Orthanc's /tools/find, written anew with a bound on its results. Raises `Refused`."""
    try:
        asked: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, "the query is no JSON") from None
    if not isinstance(asked, dict) or asked.get("Level") not in LEVELS or not isinstance(asked.get("Query"), dict):
        raise Refused(400, "the query has no level or no attributes")
    query = asked["Query"]
    if len(query) > MAX_FILTERS or not all(
        isinstance(tag, str) and _TAG.fullmatch(tag) and isinstance(value, str) and len(value) <= 4096
        for tag, value in query.items()
    ):
        raise Refused(400, "the query has attributes that are none")
    made: dict[str, Any] = {"Level": asked["Level"], "Query": query}
    for name in ("Expand", "CaseSensitive", "Short", "Full"):
        if isinstance(asked.get(name), bool):
            made[name] = asked[name]
    requested = asked.get("RequestedTags")
    if isinstance(requested, list) and len(requested) <= MAX_FILTERS:
        made["RequestedTags"] = [tag for tag in requested if isinstance(tag, str) and _TAG.fullmatch(tag)]
    for name, default in (("Since", 0), ("Limit", max_results)):
        number = asked.get(name, default)
        made[name] = number if type(number) is int and 0 <= number < 1 << 31 else default
    made["Limit"] = min(made["Limit"] or max_results, max_results)
    if not made["Since"]:
        del made["Since"]
    return json.dumps(made).encode()


class Downloaded:
    """How an answer reaches the client: ``kind`` as `presented` chose it."""

    def __init__(self, answer: Answer, kind: str, content_type: str | None, addresses: Addresses, most: int) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.keeps_length = True
        self.filter: Filter = Unchanged()
        if kind == "multipart/related":
            parameters = media_type(content_type or "")[1]
            related = Related(boundary_of(parameters), lambda fields: _answered_part(fields, addresses), strict=False)
            root = re.sub(r'[^ -~]|["\\]', "", parameters.get("type", "application/octet-stream"))[:128]
            sent = f'multipart/related; type="{root}"; boundary={related.fresh.decode("ascii")}'
            self.headers.append((b"content-type", sent.encode("ascii")))
            self.filter, self.keeps_length = related, False
        elif answer is Answer.DICOM_JSON or (answer is Answer.MEDIA and kind.endswith("json")):
            self.filter, self.keeps_length = JsonAddresses(addresses), False
        elif kind == "application/zip":
            self.filter, self.keeps_length = ZipFilter(most), False
        elif kind == "application/dicom" or (kind == "application/octet-stream" and answer is Answer.MEDIA):
            declared = (content_type or "").partition(";")[0].strip().lower()
            if declared == "application/dicom":
                self.filter = PreambleFilter()

    @property
    def zeroed(self) -> int:
        if isinstance(self.filter, Related | ZipFilter):
            return self.filter.zeroed
        return int(isinstance(self.filter, PreambleFilter) and self.filter.found is Preamble.ZEROED)


def _answered_part(fields: dict[str, str], addresses: Addresses) -> dict[str, str]:
    """Part headers of an answer: the type, the length, and the location as clients see it."""
    kept = {}
    if kind := fields.get("content-type"):
        kept["Content-Type"] = kind
    if fields.get("content-length", "").isdigit():
        kept["Content-Length"] = fields["content-length"]
    for name in ("content-location", "location"):
        if location := fields.get(name):
            kept["Content-Location"] = addresses(location)
    return kept


def stored_studies(text: bytes) -> tuple[str, ...]:
    """Studies named by the Retrieve URLs of a STOW-RS answer."""
    found = (uid.decode("ascii") for uid in re.findall(rb"/studies/([0-9.]{1,64})", text))
    return tuple(dict.fromkeys(uid for uid in found if is_uid(uid)))[:64]
