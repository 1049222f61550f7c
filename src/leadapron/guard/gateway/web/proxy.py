"""The reverse proxy: a request that has passed every check goes inside, and the answer comes out changed where it
must be.

The order is the argument. The target is taken apart (400), who asks must be known (401), a row of the table must
fit (404, 405), the permission must be there (403), the parameters must be the row's (400), the study must be within
the hour's bound (429); only then is anything said to the archive, and what is said is written here, from parts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Final

import httpx2

from leadapron.guard.gateway.web.exchange import Exchange, Gone, Refused
from leadapron.guard.gateway.web.flow import Downloaded, Upload, stored_studies, upload
from leadapron.guard.gateway.web.headers import accept, presented
from leadapron.guard.gateway.web.inside import Inside
from leadapron.guard.gateway.web.places import Places
from leadapron.guard.gateway.web.ports import Meter, Who
from leadapron.guard.gateway.web.reporting import Done, Reporter
from leadapron.guard.gateway.web.resolve import Studies
from leadapron.guard.gateway.web.rewrite import Addresses
from leadapron.guard.gateway.web.route import Answer, Counts, Event, Kind, Match, find, is_orthanc_id, methods
from leadapron.guard.gateway.web.target import Malformed, Target, is_uid, write
from leadapron.guard.policy.permission import Permission
from leadapron.kernel.errors import ProtocolError

PIECE: Final = 64 * 1024
MAX_NOTED: Final = 1 << 20  # octets of a store's answer that are looked at for studies
PASSED: Final = frozenset({400, 404, 406, 409, 410, 413, 415, 429, 503})
TOLD: Final = "the audit trail knows"

MOUNTS: Final = {
    ("dicom-web",): (Kind.DICOMWEB, 1),
    ("wado",): (Kind.WADO, 0),
    ("orthanc", "dicom-web"): (Kind.DICOMWEB, 2),  # viewers in Orthanc ask for ../dicom-web
    ("orthanc", "wado"): (Kind.WADO, 1),
    ("orthanc",): (Kind.ORTHANC, 1),
}


def mounted(segments: tuple[str, ...]) -> tuple[Kind, tuple[str, ...], str] | None:
    """Which interface a path means, its segments there, and the path of the mount."""
    for length in (2, 1):
        if found := MOUNTS.get(segments[:length]):
            kind, cut = found
            return kind, segments[cut:], "/" + "/".join(segments[:length])
    return None


class Limits:
    """Bounds of the proxy: octets of a request and of an answer, results of one query."""

    def __init__(self, max_request: int, max_response: int, max_results: int) -> None:
        self.max_request, self.max_response, self.max_results = max_request, max_response, max_results


class Proxy:
    """Carries requests to the archive for people and programs that are known."""

    def __init__(self, inside: Inside, limits: Limits, meter: Meter, reporter: Reporter) -> None:
        self._inside, self._limits, self._meter, self._reporter = inside, limits, meter, reporter
        self._studies = Studies(inside)
        self._places = Places()

    async def carry(self, exchange: Exchange, who: Who, target: Target, outside: str) -> None:
        """``outside``: our own base address as the client sees it. Raises `Refused` before an answer has begun."""
        found = mounted(target.segments)
        kind, segments, mount = found if found is not None else (Kind.DICOMWEB, (), "")
        exists = found is not None and self._inside.has(kind)
        match = find(kind, exchange.method, segments) if exists else None
        if match is None:
            self._reporter.refused(exchange, who, "there is no such resource here")
            if exists and (allowed := methods(kind, segments)):
                raise Refused(405, TOLD, (b"allow", ", ".join(allowed).encode()))
            raise Refused(404, TOLD)
        if not who.may(match.route.permission):
            self._reporter.refused(exchange, who, f"{match.route.permission} is not among the permissions")
            raise Refused(403, TOLD)
        asked = accept(_accepted(exchange, target), match.route.answer)
        if asked is None:
            raise Refused(406, "the wanted form cannot be given")
        path = write(segments, self._query(match, target))
        async with self._places.one(who.key):
            await self._carry(exchange, who, match, target, path, asked, outside + mount)

    async def _carry(
        self, exchange: Exchange, who: Who, match: Match, target: Target, path: str, asked: str, outside: str
    ) -> None:
        studies: tuple[str, ...] = ()
        try:
            studies = await self._studies_of(match, target)
            if match.route.permission is Permission.WEB_RETRIEVE and not self._within(who, studies):
                self._reporter.bulk(exchange, who, match, path, studies, self._meter.limit)
                raise Refused(429, TOLD, (b"retry-after", b"600"))
            made = await upload(exchange, match.route.body, self._limits.max_request, self._limits.max_results)
            done, last = await self._exchange(exchange, match, path, asked, made, studies, outside)
        except Refused as refused:
            if refused.reason != TOLD:
                self._reporter.failed(exchange, who, match, path, studies, f"{refused.status}: {refused.reason}")
            raise Refused(refused.status, TOLD, *refused.headers) from None
        except (Gone, asyncio.CancelledError):
            self._reporter.failed(exchange, who, match, path, studies, "it broke off")
            raise
        # What the client takes for done is in the trail by then: the last octets wait for it.
        self._reporter.done(exchange, who, match, path, done)
        if last is None:
            await exchange.answer(done.status)
        else:
            await exchange.write(last, more=False)

    async def _exchange(
        self,
        exchange: Exchange,
        match: Match,
        path: str,
        asked: str,
        made: Upload,
        studies: tuple[str, ...],
        outside: str,
    ) -> tuple[Done, bytes | None]:
        """Says it to the archive and hands the answer on but for its last octets; None: nothing of it was."""
        route = match.route
        address = self._inside.address(route.kind, path)
        try:
            response = await self._inside.ask(exchange.method, address, {"Accept": asked, **made.headers}, made.content)
        except ProtocolError as error:  # the upload is not what it should be
            raise Refused(400, str(error)) from None
        try:
            if response.status_code >= 300 and not _speaks(response, route.answer, exchange.method):
                status = response.status_code if response.status_code in PASSED else 502
                return Done(status, studies, made.parts, made.zeroed), None
            last, noted, zeroed = await self._hand_on(exchange, match, response, outside)
        finally:
            with contextlib.suppress(httpx2.HTTPError):
                await response.aclose()
        if route.event is Event.IMPORT and response.status_code < 300:
            studies = await self._stored(route.kind, noted) or studies
        return Done(response.status_code, studies, made.parts, made.zeroed, zeroed), last

    async def _hand_on(
        self, exchange: Exchange, match: Match, response: httpx2.Response, outside: str
    ) -> tuple[bytes, bytes, int]:
        """The answer, through its filter: its last octets, which are still to be sent, the begin of what was said
        about a store, and how many preambles were zeroed.

        Raises `Refused` if the answer can't be given, `Gone` if it breaks off.
        """
        route, most = match.route, self._limits.max_response
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise Refused(502, "the archive answered with a compressed body")
        length = response.headers.get("content-length", "")
        if length and (not length.isdigit() or int(length) > most):
            raise Refused(502, "the archive's answer is above the bound")
        content_type = response.headers.get("content-type")
        kind, headers = presented(route.answer, content_type)
        try:
            down = Downloaded(route.answer, kind, content_type, Addresses(self._inside.dicomweb, outside), most)
        except ProtocolError:
            raise Refused(502, "the archive's answer has no readable envelope") from None
        headers += down.headers
        if response.status_code == 204:
            headers = [header for header in headers if header[0] not in (b"content-type", b"content-disposition")]
        elif length and down.keeps_length:
            headers.append((b"content-length", length.encode("ascii")))
        warning = response.headers.get("warning", "")
        if warning.startswith("299 ") and warning.isascii() and warning.isprintable():
            headers.append((b"warning", warning[:200].encode("ascii")))  # PS3.18 §8.3.4.4: there are more results
        await exchange.start(response.status_code, headers)
        watch = asyncio.create_task(_until_left(exchange, response))
        noted, octets, last = bytearray(), 0, b""
        try:
            async for piece in response.aiter_raw(PIECE):
                octets += len(piece)
                if octets > most:
                    raise Gone
                if route.event is Event.IMPORT and len(noted) < MAX_NOTED:
                    noted += piece
                if out := down.filter.feed(piece):
                    if last:
                        await exchange.write(last)
                    last = out
            last += down.filter.finish()
        except (httpx2.HTTPError, httpx2.StreamError, ProtocolError):
            raise Gone from None  # there is no other way to say that the rest is missing
        finally:
            watch.cancel()
        return last, bytes(noted), down.zeroed

    async def _stored(self, kind: Kind, noted: bytes) -> tuple[str, ...]:
        """Which studies an upload went to, as the archive's answer tells."""
        if kind is Kind.DICOMWEB:
            return stored_studies(noted)
        with contextlib.suppress(Refused, ValueError):
            said = json.loads(noted)
            parent = said.get("ParentStudy") if isinstance(said, dict) else None
            if isinstance(parent, str) and is_orthanc_id(parent):
                return await self._studies.of("studies", parent)
        return ()

    def _query(self, match: Match, target: Target) -> tuple[tuple[str, str], ...]:
        """The parameters that go inside. Raises `Refused` for one that the row does not have."""
        route = match.route
        query = tuple(pair for pair in target.query if pair[0] != "_")  # jQuery's way around caches
        if route.parameters is None:
            return _limited(tuple(pair for pair in query if pair[0] != "accept"), self._limits.max_results)
        if any(name not in route.parameters for name, _ in query):
            raise Refused(400, "a parameter that the resource does not have")
        if route.kind is Kind.ORTHANC and route.answer is Answer.JSON and "limit" in route.parameters:
            number = len([name for name, _ in query if name in ("since", "limit")])
            if number == 0:
                return (*query, ("since", "0"), ("limit", str(self._limits.max_results)))
            if number == 2 and len(target.values("limit")) == 1:
                return _limited(query, self._limits.max_results)
            raise Refused(400, "since and limit belong together")
        return tuple(pair for pair in query if pair[0] != "accept")

    async def _studies_of(self, match: Match, target: Target) -> tuple[str, ...]:
        route = match.route
        if route.counts is Counts.PARAMETER:
            uids = [target.values(name) for name in ("studyUID", "seriesUID", "objectUID")]
            if any(len(values) != 1 or not is_uid(values[0]) for values in uids):
                raise Refused(400, "WADO-URI names one study, one series and one object")
            return (uids[0][0],)
        if route.counts is Counts.ORTHANC:
            return await self._studies.of(route.path[0], match.values["id"])
        return (match.values["study"],) if "study" in match.values else ()

    def _within(self, who: Who, studies: tuple[str, ...]) -> bool:
        """Counts a retrieval: whether it is within the bound."""
        return self._meter.retrieved(who.name, studies)


async def _until_left(exchange: Exchange, response: httpx2.Response) -> None:
    """Ends the archive's work when the client goes away in the middle."""
    await exchange.left()
    with contextlib.suppress(Exception):
        await response.aclose()


def _accepted(exchange: Exchange, target: Target) -> str | None:
    """What the client wants: the ``accept`` parameter wins over the header (PS3.18 §8.3.3.1)."""
    if values := target.values("accept"):
        if len(values) > 1:
            raise Malformed("accept stands there twice")
        return values[0]
    return exchange.header("accept")


def _limited(query: tuple[tuple[str, str], ...], most: int) -> tuple[tuple[str, str], ...]:
    """With one ``limit`` that is no larger than ours."""
    wanted = [value for name, value in query if name == "limit"]
    if len(wanted) > 1 or (wanted and not (wanted[0].isascii() and wanted[0].isdigit() and len(wanted[0]) < 10)):
        raise Refused(400, "a limit that is no number")
    limit = min(int(wanted[0]) if wanted else most, most)
    return (*(pair for pair in query if pair[0] != "limit"), ("limit", str(limit)))


def _speaks(response: httpx2.Response, answer: Answer, method: str) -> bool:
    """Whether an answer that is no success is handed on with its body: a STOW-RS answer says which files failed."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return (
        method == "POST"
        and answer is Answer.DICOM_JSON
        and response.status_code in (400, 409)
        and kind == "application/dicom+json"
    )
