"""``[[guard.peer]]`` tables of a ``leadapron.toml``, read: every value checked, every rule with its line.

A mistake is a `UsageError` that begins with file and line and ends with what to write instead, and nothing of the file
is used: half a policy is none that anybody wrote. One thing is no mistake although it looks like one: a C-MOVE
destination that is no peer's AE title. Whoever takes a peer out of the file wants it out now, not after they have found
every list that names it; such a destination is refused when it is asked for, and named in ``notices``.

Rules of peers stand in the file only. No environment variable changes one: the line that a decision names must be true.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterable
from datetime import tzinfo
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import msgspec

from leadapron.guard.policy.decision import Line
from leadapron.guard.policy.hours import parse_hours
from leadapron.guard.policy.networks import Network, parse_network
from leadapron.guard.policy.peer import Peer
from leadapron.guard.policy.permission import Permission, permission
from leadapron.guard.policy.places import Path as Place
from leadapron.guard.policy.places import Places
from leadapron.guard.policy.rules import PeerRules
from leadapron.guard.policy.services import is_storage
from leadapron.guard.policy.words import NAME, closest, is_uid, shown, title
from leadapron.kernel.errors import UsageError
from leadapron.kernel.hostport import parse_host_port

MAX_OCTETS: Final = 4 << 20
MAX_PEERS: Final = 10_000
_LIMITS: Final = {"max_results": 10_000_000, "studies_per_hour": 100_000, "requests_per_minute": 1_000_000}
KEYS: Final = tuple(field.encode_name for field in msgspec.structs.fields(PeerRules))
_HERE: Final = ("guard", "peer")
_BAD_VALUE: Final = re.compile(r"(?P<what>.*?) - at `\$(?:\.(?P<key>\w+))?(?:\[(?P<index>\d+)\])?`", re.S)
# CS (PS3.5 §6.2), as (0008,0060) is
_CODE: Final = re.compile(r"[A-Z0-9_ ]{1,16}")

T = TypeVar("T")


def read(path: Path) -> str:
    """The text of the file. Raises UsageError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_OCTETS + 1)
    except OSError as error:
        raise UsageError(f"cannot read the configuration file {path}: {os.strerror(error.errno or 0)}") from None
    if len(data) > MAX_OCTETS:
        raise UsageError(f"{path} is larger than {MAX_OCTETS >> 20} MiB; a peer takes a few hundred octets")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}:{number}: not UTF-8; save the file as UTF-8") from None


def parse(text: str, where: str, zone: tzinfo | None = None) -> tuple[Peer, ...]:
    """The peers of ``text``; ``where`` is the file's name, ``zone`` whose clock ``hours`` mean. Raises UsageError."""
    try:
        values = tomllib.loads(text)
        places = Places(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"\(at line (\d+)", str(error))
        raise UsageError(f"{where}{':' + at[1] if at else ''}: not TOML: {error}") from None
    except RecursionError:
        raise UsageError(f"{where}: not TOML that anybody wrote: nested too deeply") from None
    guard = values.get("guard", {})
    tables = guard.get("peer", []) if isinstance(guard, dict) else []
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        number, _ = places.line(_HERE)
        raise UsageError(f"{where}:{number}: guard.peer must be tables; write [[guard.peer]] above each")
    if len(tables) > MAX_PEERS:
        raise UsageError(f"{where}: {len(tables)} peers; at most {MAX_PEERS} are read")
    peers = tuple(_Reader(where, places, index, table, zone).peer() for index, table in enumerate(tables))
    _refuse_twins(peers, where)
    return peers


def notices(peers: Iterable[Peer]) -> tuple[str, ...]:
    """What is no mistake and still worth a look, each with file and line."""
    peers = tuple(peers)
    titles = {peer.rules.ae for peer in peers}
    return tuple(
        f"{line.file}:{line.number}: {peer.rules.name} may move to {shown(name)}, which is no peer's AE title: refused"
        for peer in peers
        for name, line in peer.destinations.items()
        if name not in titles
    )


class _Reader:
    """One table. Every mistake raises UsageError with its line."""

    def __init__(self, where: str, places: Places, index: int, table: dict[str, Any], zone: tzinfo | None) -> None:
        self.where, self.places, self.table, self.zone = where, places, table, zone
        self.here: Place = (*_HERE, index)

    def line(self, *key: str | int) -> Line:
        number, text = self.places.line((*self.here, *key))
        return Line(self.where, number, text)

    def wrong(self, message: str, *key: str | int) -> NoReturn:
        raise UsageError(f"{self.where}:{self.line(*key).number}: {message}")

    def peer(self) -> Peer:
        for key in self.table:
            if key not in KEYS:
                self.wrong(f"a peer has no {shown(key)}; the closest key is {closest(key, KEYS)}", key)
        for key, example in (("name", "CT1"), ("ae", "CT1")):
            if key not in self.table:
                self.wrong(f'the peer has no {key}; write {key} = "{example}"')
        try:
            rules = msgspec.convert(self.table, PeerRules)
        except msgspec.ValidationError as error:
            found = _BAD_VALUE.fullmatch(str(error))
            if found is None or found["key"] is None:
                self.wrong(str(error))
            place = (found["key"],) if found["index"] is None else (found["key"], int(found["index"]))
            if "array" in found["what"]:
                self.wrong(f'{found["key"]} is a list of texts; write {found["key"]} = ["..."]', *place)
            self.wrong(f"{found['key']}: {found['what']}", *place)
        rules = msgspec.structs.replace(rules, ae=self.title(rules.ae, "ae"))
        if NAME.fullmatch(rules.name) is None:
            self.wrong(
                f"{shown(rules.name)} is no name for a peer; write 1 to 63 letters, digits, dots, hyphens or "
                'underscores, a letter or digit first, as in "CT1"',
                "name",
            )
        for key, most in _LIMITS.items():
            if not 1 <= getattr(rules, key) <= most:
                self.wrong(f"{key} must be from 1 to {most}; to forbid the operation take it out of may", key)
        self.receive(rules.receive)
        if rules.user is not None and not (rules.user.strip() and rules.user.isprintable() and len(rules.user) <= 64):
            self.wrong("user must be a name of 1 to 64 printable characters, or left out", "user")
        destinations = {self.title(text, "move_to", at): ("move_to", at) for at, text in enumerate(rules.move_to)}
        return Peer(
            rules=msgspec.structs.replace(rules, move_to=tuple(destinations)),
            header=self.line(),
            lines={key: self.line(key) for key in self.table},
            grants=self.grants(rules.may),
            networks=None
            if rules.from_ is None
            else tuple(self.network(text, at) for at, text in enumerate(rules.from_)),
            hours=None if rules.hours is None else self.tried(parse_hours, rules.hours, "hours"),
            destinations={name: self.line(*key) for name, key in destinations.items()},
            modalities=None
            if rules.modalities is None
            else {self.modality(text, at): self.line("modalities", at) for at, text in enumerate(rules.modalities)},
            private=frozenset(self.private(text, at) for at, text in enumerate(rules.private)),
            zone=self.zone,
        )

    def title(self, text: str, *key: str | int) -> str:
        found = title(text)
        if found is None:
            self.wrong(
                f"{shown(text)} is no AE title; write 1 to 16 characters of ASCII, not all spaces, no backslash "
                "(PS3.5 §6.2)",
                *key,
            )
        return found

    def grants(self, words: tuple[str, ...]) -> dict[Permission, Line]:
        grants: dict[Permission, Line] = {}
        for at, word in enumerate(words):
            one = self.tried(permission, word, "may", at)
            if one.people_only:
                self.wrong(f'"{one.word}" is for people only; take it out', "may", at)
            grants.setdefault(one, self.line("may", at))
        return grants

    def network(self, text: str, at: int) -> Network:
        return self.tried(parse_network, text, "from", at)

    def modality(self, text: str, at: int) -> str:
        if not is_uid(text) and (_CODE.fullmatch(text) is None or not text.strip(" ")):
            self.wrong(
                f'{shown(text)} is neither a modality nor a SOP Class UID; write "CT", as in (0008,0060), or '
                '"1.2.840.10008.5.1.4.1.1.7"',
                "modalities",
                at,
            )
        return text.strip(" ")

    def private(self, text: str, at: int) -> str:
        if not is_uid(text) or text.startswith("1.2.840.10008.") or is_storage(text):
            self.wrong(
                f"{shown(text)} is no UID of a private storage class; the standard's own need no entry here",
                "private",
                at,
            )
        return text

    def receive(self, text: str | None) -> None:
        if text is not None:
            self.tried(lambda text: parse_host_port(text, "where it takes C-STORE"), text, "receive")

    def tried(self, parse: Callable[[str], T], text: str, *key: str | int) -> T:
        try:
            return parse(text)
        except UsageError as error:
            self.wrong(f"{key[0]}: {error}", *key)


def _refuse_twins(peers: Iterable[Peer], where: str) -> None:
    """One name, one AE title, one peer: else it would depend on the order which rules hold for whom."""
    names: dict[str, Line] = {}
    titles: dict[str, Line] = {}
    for peer in peers:
        for what, value, seen, line in (
            ("name", peer.rules.name.casefold(), names, peer.line("name")),
            ("AE title", peer.rules.ae, titles, peer.line("ae")),
        ):
            if value in seen:
                raise UsageError(
                    f"{where}:{line.number}: the peer of line {seen[value].number} has this {what} too; "
                    f"give each machine its own"
                )
            seen[value] = line
