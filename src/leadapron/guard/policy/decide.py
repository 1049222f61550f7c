"""The policy: who may do what, as a pure function of the file and the request, with the line that decided.

`Policy` never changes once it is made. Deciding reads no file, no clock and no network, never raises, and denies
whatever it does not understand: no peer, a peer that the file does not name, an operation without a grant. It follows
that without ``[[guard.peer]]`` tables nobody may do anything, and that taking a word out of a list never allows more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, tzinfo
from pathlib import Path

from leadapron.guard.policy.decision import Allowed, Denied, Line, Request
from leadapron.guard.policy.file import notices, parse, read
from leadapron.guard.policy.peer import Peer
from leadapron.guard.policy.rules import PeerRules
from leadapron.guard.policy.services import uses
from leadapron.guard.policy.words import shown, title

__all__ = ["Allowed", "Denied", "Line", "Policy", "Request", "load_policy", "parse_policy"]


class Policy:
    """The rules of all peers. ``notices``: what is worth a look though it is no mistake, each with its line."""

    __slots__ = ("_by_name", "_by_title", "notices", "peers")

    def __init__(self, peers: Iterable[Peer] = ()) -> None:
        self.peers = tuple(peers)
        self.notices = notices(self.peers)
        self._by_name = {peer.rules.name: peer for peer in self.peers}
        self._by_title = {peer.rules.ae: peer for peer in self.peers}

    def decide(self, peer: str | None, request: Request) -> Allowed | Denied:
        """``peer``: the name that its certificate proved, None for a stranger. Takes some 10 µs."""
        known = None if peer is None else self._by_name.get(peer)
        if known is None:
            return _stranger(peer)
        granted: Line | None = None
        for _, check in known.checks(self._by_title):
            line = check(request)
            if isinstance(line, Denied):
                return line
            granted = granted or line
        return Allowed(granted or known.header)

    def offers(self, peer: str | None, sop_class: str, address: str, when: datetime) -> Allowed | Denied:
        """Whether a presentation context of that abstract syntax is offered to the archive for ``peer``.

        It is where some operation on it may be allowed; what an association does not tell yet (modality, C-MOVE
        destination) is decided when the operation comes, with `decide`.
        """
        known = None if peer is None else self._by_name.get(peer)
        if known is None:
            return _stranger(peer)
        answer: Allowed | Denied = Denied(f"nobody may use SOP class {shown(sop_class)}", None)
        for permission in sorted(uses(sop_class, known.private)):
            answer = self._offer(known, Request(permission=permission, address=address, when=when, sop_class=sop_class))
            if isinstance(answer, Allowed):
                break
        return answer

    def rules(self, peer: str | None) -> PeerRules | None:
        """What is written about the peer of that name."""
        known = None if peer is None else self._by_name.get(peer)
        return None if known is None else known.rules

    def by_ae(self, ae: str) -> PeerRules | None:
        """What is written about the peer with that AE title; padding does not matter."""
        name = title(ae)
        known = None if name is None else self._by_title.get(name)
        return None if known is None else known.rules

    def peer(self, name: str) -> Peer | None:
        """The peer of that name with its lines; `explain` asks it check by check."""
        return self._by_name.get(name)

    @property
    def titles(self) -> Collection[str]:
        """The AE titles of all peers."""
        return self._by_title.keys()

    def _offer(self, peer: Peer, request: Request) -> Allowed | Denied:
        granted = peer.operation(request)
        if isinstance(granted, Denied):
            return granted
        checks = [peer.address, peer.time]
        if peer.tells_modality(request):
            checks.append(peer.modality)
        for check in checks:
            line = check(request)
            if isinstance(line, Denied):
                return line
        return Allowed(granted)


def load_policy(path: Path, zone: tzinfo | None = None) -> Policy:
    """The policy in a ``leadapron.toml``. ``zone``: whose clock ``hours`` mean, None: this machine's.

    Raises UsageError that begins with file and line; only the ``[[guard.peer]]`` tables are looked at.
    """
    return parse_policy(read(path), str(path), zone)


def parse_policy(text: str, where: str = "leadapron.toml", zone: tzinfo | None = None) -> Policy:
    """As `load_policy`, from text."""
    return Policy(parse(text, where, zone))


def _stranger(peer: str | None) -> Denied:
    if peer is None:
        return Denied("a stranger: nothing proved who it is", None)
    return Denied(f"no peer has the name {shown(peer)}", None, "enrol it, or write a [[guard.peer]] table for it")
