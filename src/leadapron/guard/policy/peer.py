"""One peer's rules made ready to be asked: each check answers the line that lets pass, or Denied.

The checks stand in one order, from who to what: operation, address, hours, C-MOVE destination, what is stored. The
first that denies is the answer, and each can be asked alone, so that an explanation can show them all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import tzinfo

from msgspec import Struct

from leadapron.guard.policy.decision import Denied, Line, Request
from leadapron.guard.policy.hours import Hours
from leadapron.guard.policy.modality import modality_of
from leadapron.guard.policy.networks import Network, within
from leadapron.guard.policy.permission import Permission
from leadapron.guard.policy.rules import PeerRules
from leadapron.guard.policy.services import MOVES, uses
from leadapron.guard.policy.words import is_uid, shown, title

Check = Callable[[Request], "Line | Denied | None"]


class Peer(Struct, frozen=True, kw_only=True):
    """``rules`` as written, and read: ``grants`` has the line of each permission, ``lines`` that of each key.

    ``header`` is where the table begins. ``zone``: whose clock ``hours`` mean; None: this machine's.
    """

    rules: PeerRules
    header: Line
    lines: Mapping[str, Line]
    grants: Mapping[Permission, Line]
    networks: tuple[Network, ...] | None = None
    hours: Hours | None = None
    destinations: Mapping[str, Line] = {}
    modalities: Mapping[str, Line] | None = None
    private: frozenset[str] = frozenset()
    zone: tzinfo | None = None

    def line(self, key: str) -> Line:
        return self.lines.get(key, self.header)

    def checks(self, titles: Collection[str]) -> Iterator[tuple[str, Check]]:
        """Every check with its name, in order. ``titles``: the AE titles of all peers. A check that gives None is
        about something else, or there is no such rule."""
        yield "operation", self.operation
        yield "address", self.address
        yield "hours", self.time
        yield "destination", lambda request: self.destination(request, titles)
        yield "service", self.service
        yield "modality", self.modality

    def operation(self, request: Request) -> Line | Denied:
        granted = self.grants.get(request.permission)
        if granted is not None:
            return granted
        word = request.permission.word
        if request.permission.people_only:
            return Denied(f"{word} is for people, no peer may", self.line("may"))
        if "may" not in self.lines:
            return Denied("it may do nothing: the table has no may", self.header, f'add may = ["{word}"]')
        listed = ", ".join(f'"{one}"' for one in (*self.rules.may, word))
        why = f"{word} is not among what it may do" if self.rules.may else "it may do nothing: its list is empty"
        return Denied(why, self.line("may"), f"write may = [{listed}]")

    def address(self, request: Request) -> Line | Denied | None:
        if self.networks is None:
            return None
        if within(self.networks, request.address):
            return self.line("from")
        listed = ", ".join(f'"{one}"' for one in self.rules.from_ or ())
        why = f"it comes from {shown(request.address)}, which is not in its list" if listed else "its list is empty"
        return Denied(why, self.line("from"), "add its address or network to from, or leave from out for any address")

    def time(self, request: Request) -> Line | Denied | None:
        if self.hours is None:
            return None
        try:
            inside = self.hours.hold(request.when, self.zone)
        except (OverflowError, ValueError, OSError):
            return Denied("the time is one that no clock shows", self.line("hours"), "set this machine's clock")
        if inside:
            return self.line("hours")
        return Denied("it is outside of its hours", self.line("hours"), "widen hours, or leave them out for always")

    def destination(self, request: Request, titles: Collection[str]) -> Line | Denied | None:
        if request.permission is not Permission.DICOM_RETRIEVE:
            return None
        if request.destination is None:
            if request.sop_class in MOVES:
                return Denied("the C-MOVE names no destination", self.line("move_to"))
            return None
        name = title(request.destination)
        if name is None:
            return Denied(f"the C-MOVE destination {shown(request.destination)} is no AE title", self.line("move_to"))
        listed = self.destinations.get(name)
        if listed is None:
            why = f"the C-MOVE destination {shown(name)} is not in its list"
            every = ", ".join(f'"{one}"' for one in (*self.rules.move_to, name))
            return Denied(
                why if self.destinations else f"{why}, which is empty",
                self.line("move_to"),
                f"write move_to = [{every}]",
            )
        if name not in titles:
            return Denied(
                f"the C-MOVE destination {shown(name)} is listed, but no peer has that AE title",
                listed,
                "enrol that peer, so that images go to a machine that is known",
            )
        return listed

    def service(self, request: Request) -> Denied | None:
        """That the SOP class is one that the permission is about."""
        sop_class = request.sop_class
        if sop_class is None or request.permission.surface != "dicom":
            return None
        if request.permission in uses(sop_class, self.private):
            return None
        private = request.permission in _OBJECTS and is_uid(sop_class) and not sop_class.startswith("1.2.840.10008.")
        hint = f'if it is a private storage class write private = ["{sop_class}"]' if private else ""
        return Denied(f"{request.permission.word} is not done with SOP class {shown(sop_class)}", self.header, hint)

    def tells_modality(self, request: Request) -> bool:
        """Whether the SOP class alone decides what `modality` says."""
        uid = request.sop_class
        return self.modalities is not None and (
            not self.modalities or uid in self.modalities or modality_of(uid) is not None
        )

    def modality(self, request: Request) -> Line | Denied | None:
        if request.permission not in _STORES or self.modalities is None:
            return None
        uid = request.sop_class
        if uid is not None and uid in self.modalities:
            return self.modalities[uid]
        modality = modality_of(uid) if request.modality is None else request.modality.strip(" ")
        if modality is not None and modality in self.modalities:
            return self.modalities[modality]
        what = "objects whose modality nothing tells" if modality is None else f"modality {shown(modality)}"
        why = f"{what} may not be stored" if self.modalities else "nothing may be stored: its list is empty"
        add = modality or uid or ""
        listed = ", ".join(f'"{one}"' for one in (*self.modalities, add))
        return Denied(why, self.line("modalities"), f"write modalities = [{listed}]" if _plain(add) else "")


_OBJECTS = (Permission.DICOM_STORE, Permission.DICOM_RETRIEVE)
_STORES = (Permission.DICOM_STORE, Permission.WEB_STORE)


def _plain(text: str) -> bool:
    return (
        text != ""
        and text.isascii()
        and text.isprintable()
        and '"' not in text
        and "\\" not in text
        and len(text) <= 64
    )
