"""A persona: a kind of server, as data, with what is true about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from msgspec import Struct

from leadapron.lab.server.conversation import DicomTalk
from leadapron.lab.server.profile import Answers, Door
from leadapron.lab.server.station import Station
from leadapron.wire.aio.swarm import Conversation

Verdict = Literal["exposed", "open", "guarded", "decoy", "other", "silent", "closed", "failed"]


class Persona(Struct, frozen=True, kw_only=True):
    """``verdicts``: what a scanner may conclude. ``archive``: it holds studies, so a population gives it a volume.

    ``completable``: a client of good manners can count its studies to the last one and know it. ``images_told``,
    ``patients_told``: its study-level answers have true image counts, and PatientIDs. ``product``: how the software
    names itself. ``options``: what a population file may set beyond the fields of ``door`` and ``answers``, with
    defaults.
    """

    name: str
    family: str
    summary: str
    verdicts: tuple[Verdict, ...]
    talk: Callable[[Station], Conversation] = DicomTalk
    door: Door | None = None
    answers: Answers = Answers()
    archive: bool = False
    completable: bool = False
    images_told: bool = True
    patients_told: bool = True
    product: str | None = None
    transport: Literal["tcp", "tls"] = "tcp"
    options: Mapping[str, Any] = {}
