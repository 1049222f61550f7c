"""An old modality. Whoever treats it badly kills it: it stops answering for ever, and the truth says why."""

from __future__ import annotations

import re
from typing import Final

from leadapron.lab.persona import Persona
from leadapron.lab.server.conversation import DicomTalk
from leadapron.lab.server.negotiate import Negotiated
from leadapron.lab.server.profile import STUDY_ROOT, Door
from leadapron.wire import uids

_ORDINARY_TITLE: Final = re.compile(r"[A-Z][A-Z0-9_-]{0,15}")
_LARGEST_PDU: Final = 16 * 1024


class FragileTalk(DicomTalk):
    """Each check is a way in which devices were seen to die."""

    __slots__ = ()

    def _crash(self, why: str) -> None:
        if self.station.crashed is None:
            self.station.crashed = why

    def begin(self) -> None:
        if self.station.seen.open_now > 1:
            # The end of the earlier one may have arrived with this one's beginning: look when both are read.
            self.link.call_later(0, self._alone)

    def _alone(self) -> None:
        if self.station.seen.open_now > 1:
            self._crash("two connections at once")

    def hear(self, data: bytes) -> None:
        if self.station.crashed is None and self.negotiated is None and data[0] != 1:
            self._crash("octets that are no A-ASSOCIATE-RQ")
        if len(data) >= 6 and data[0] < 8 and int.from_bytes(data[2:6], "big") > _LARGEST_PDU:
            self._crash("a PDU above 16 KiB")
        requests = sum(self.station.seen.requests.values())
        if requests >= int(self.station.options.get("most_requests", 400)):
            self._crash(f"more than {requests} requests")
        if self.station.crashed is None:
            super().hear(data)

    def on_accept(self, negotiated: Negotiated) -> None:
        if not _ORDINARY_TITLE.fullmatch(negotiated.request.calling):
            self._crash("an unusual calling AE title")
            return
        super().on_accept(negotiated)

    def on_abort(self) -> None:
        self._crash("an association that was aborted")

    def on_nonsense(self) -> None:
        self._crash("octets that are no PDU")

    def over(self) -> None:
        if self.accepted is not None:
            self._crash("an association without release")
        super().over()

    def send(self, data: bytes) -> None:
        if self.station.crashed is None:
            super().send(data)


PERSONAS = (
    Persona(
        name="fragile",
        family="fragile",
        summary="an old modality: two visitors at once, odd titles, no release, many requests or large PDUs kill it",
        verdicts=("exposed",),
        talk=FragileTalk,
        door=Door(
            implementation_class_uid="1.3.12.2.1107.5.2",
            implementation_version_name="MR_VB15A",
            max_pdu=16384,
            abstract=(uids.VERIFICATION, *STUDY_ROOT[:2], uids.MR_IMAGE_STORAGE),
            transfer=(uids.IMPLICIT_LE,),
        ),
        archive=True,
        completable=True,
        product="Siemens",
        options={"most_requests": 400},
    ),
)
