"""Which studies an identifier of Orthanc belongs to: the archive is asked, and the answer is remembered for a while.

An identifier is a hash of the UIDs above it, so it can't be turned back and never comes to mean another study.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any, Final

from leadapron.guard.gateway.web.exchange import Refused
from leadapron.guard.gateway.web.inside import Inside
from leadapron.guard.gateway.web.route import Kind
from leadapron.guard.gateway.web.target import is_uid, write

REMEMBERED: Final = 20_000
MAX_ANSWER: Final = 4 << 20
MAX_STUDIES: Final = 1000

Levels = {"patients": "studies", "studies": None, "series": "study", "instances": "study"}


class Studies:
    """Looks up Study Instance UIDs."""

    def __init__(self, inside: Inside) -> None:
        self._inside = inside
        self._known: OrderedDict[tuple[str, str], tuple[str, ...]] = OrderedDict()

    async def of(self, level: str, identifier: str) -> tuple[str, ...]:
        """The studies of a patient, study, series or instance. Raises `Refused`, 404 for what does not exist."""
        key = (level, identifier)
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        above = Levels[level]
        path = (level, identifier) if above is None else (level, identifier, above)
        found = _uids(await self._get(write(path)))
        if not found:
            raise Refused(502, "the archive does not say which study it is")
        if level != "patients":  # a patient may get further studies
            self._known[key] = found
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return found

    async def _get(self, path: str) -> Any:
        response = await self._inside.ask("GET", self._inside.address(Kind.ORTHANC, path), {"Accept": "*/*"})
        try:
            if response.status_code == 404:
                raise Refused(404, "the archive has no such thing")
            if response.status_code != 200:
                raise Refused(502, "the archive does not say which study it is")
            content = bytearray()
            async for piece in response.aiter_raw():
                content += piece
                if len(content) > MAX_ANSWER:
                    raise Refused(502, "the archive's answer is too long")
        finally:
            await response.aclose()
        try:
            return json.loads(content)
        except ValueError:
            raise Refused(502, "the archive's answer is no JSON") from None


def _uids(answer: Any) -> tuple[str, ...]:
    """The UIDs in what Orthanc says about one study or a list of them."""
    studies = answer if isinstance(answer, list) else [answer]
    if len(studies) > MAX_STUDIES:
        raise Refused(502, "one patient has too many studies")
    found = []
    for study in studies:
        tags = study.get("MainDicomTags") if isinstance(study, dict) else None
        uid = tags.get("StudyInstanceUID") if isinstance(tags, dict) else None
        if not isinstance(uid, str) or not is_uid(uid):
            raise Refused(502, "the archive does not say which study it is")
        found.append(uid)
    return tuple(found)
