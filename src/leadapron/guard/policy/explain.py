"""What would be decided, and by which line: the text of ``leadapron peer explain CT1 find``.

It asks the very checks that decide. What the question leaves out (from which address? to where?) is not made up: the
rule that will look at it is shown, and the answer says that it depends.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from msgspec import Struct

from leadapron.guard.policy.decide import Policy
from leadapron.guard.policy.decision import Denied, Line, Request
from leadapron.guard.policy.peer import Check, Peer
from leadapron.guard.policy.permission import Permission
from leadapron.guard.policy.services import MOVES
from leadapron.guard.policy.words import closest, shown


class Explained(Struct, frozen=True):
    """``answer``: ``yes``, ``no``, or ``depends`` on what the question left out. ``text`` is for a person."""

    answer: str
    text: str


class Step(Struct, frozen=True):
    """One check: ``answer`` is ``yes``, ``no`` or ``depends``, ``line`` the one that decides, ``note`` says more."""

    name: str
    answer: str
    line: Line | None
    note: str = ""
    change: str = ""


def explain(
    policy: Policy,
    peer: str,
    permission: Permission,
    when: datetime,
    *,
    address: str | None = None,
    destination: str | None = None,
    modality: str | None = None,
    sop_class: str | None = None,
) -> Explained:
    """Whether ``peer`` may do this at ``when``, check by check. None: the question leaves it open."""
    known = policy.peer(peer)
    if known is None:
        names = [one.rules.name for one in policy.peers]
        hint = f"; the closest one is {closest(peer, names)}" if names else ": the file has no [[guard.peer]] table"
        return Explained("no", f"{shown(peer)} may do nothing: no peer has that name{hint}.\n")
    request = Request(
        permission=permission,
        address=address or "",
        when=when,
        destination=destination,
        modality=modality,
        sop_class=sop_class,
    )
    steps = tuple(_steps(policy, known, request, address is None))
    answers = {step.answer for step in steps}
    answer = next(one for one in ("no", "depends", "yes") if one in answers)
    verb, ending = "may not" if answer == "no" else "may", ", if what follows holds" if answer == "depends" else ""
    return Explained(answer, "\n".join((f"{peer} {verb} {permission.word}{ending}.", *_lines(steps))) + "\n")


def _steps(policy: Policy, peer: Peer, request: Request, anywhere: bool) -> Iterator[Step]:
    for name, check in peer.checks(policy.titles):
        if name == "address" and anywhere and peer.networks:
            yield Step(name, "depends", peer.line("from"), "the address must be one of these")
        elif name == "destination" and request.destination is None and _may_move(request):
            yield from _destinations(policy, peer, request)
        elif name == "modality" and peer.modalities and request.modality is None and not peer.tells_modality(request):
            if request.permission in (Permission.DICOM_STORE, Permission.WEB_STORE):
                yield Step(
                    name,
                    "depends",
                    peer.line("modalities"),
                    "one of these, as (0008,0060) tells; a SOP class that tells it itself or is listed needs none",
                )
        else:
            yield from _asked(name, check, request)


def _asked(name: str, check: Check, request: Request) -> Iterator[Step]:
    found = check(request)
    if isinstance(found, Denied):
        yield Step(name, "no", found.line, found.reason, found.change)
    elif found is not None:
        yield Step(name, "yes", found)


def _may_move(request: Request) -> bool:
    return request.permission is Permission.DICOM_RETRIEVE and (request.sop_class is None or request.sop_class in MOVES)


def _destinations(policy: Policy, peer: Peer, request: Request) -> Iterator[Step]:
    """C-GET brings to the peer itself; for C-MOVE it depends on where to."""
    only_move = request.sop_class in MOVES
    if not peer.destinations:
        note = "by C-GET only: it may name no C-MOVE destination" if not only_move else "it may name no destination"
        yield Step(
            "destination", "no" if only_move else "yes", peer.line("move_to"), note, 'write move_to = ["…"] for C-MOVE'
        )
        return
    lost = [name for name in peer.destinations if name not in policy.titles]
    note = "by C-GET, or by C-MOVE to one of these" if not only_move else "the destination must be one of these"
    if lost:
        note += f", save {', '.join(lost)}: no peer has that AE title"
    yield Step("destination", "depends" if only_move or lost else "yes", peer.line("move_to"), note)


def _lines(steps: tuple[Step, ...]) -> Iterator[str]:
    for step in steps:
        mark = {"yes": "yes", "no": "no", "depends": "if"}[step.answer]
        yield f"  {mark:<4}{step.name:<12}{step.line if step.line is not None else ''}".rstrip()
        if step.note:
            yield f"{'':18}{step.note}"
        if step.answer == "no" and step.change:
            yield f"{'':18}to allow it: {step.change}"
