"""What ``leadapron peer`` does at the guard: registry, configuration and trail, in an order that leaves no hole.

The rules are checked first and written last: a code without rules lets nobody in, rules without a code neither. Who did
it goes to the audit trail, with the name of who is logged in to this machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec import Struct

from leadapron.guard.identity.authority import Authority
from leadapron.guard.identity.codes import render, where
from leadapron.guard.identity.csr import key_pem, new_key, request
from leadapron.guard.identity.export import KeyPair
from leadapron.guard.identity.issuing import invite
from leadapron.guard.identity.issuing import issue as issued
from leadapron.guard.identity.names import ae_title, peer_name
from leadapron.guard.identity.registry import Registry, Revoked
from leadapron.guard.peer_tables import add_peer, with_peer
from leadapron.guard.policy.decide import parse_policy
from leadapron.guard.policy.file import read
from leadapron.guard.policy.words import closest, shown
from leadapron.guard.settings import Guard, load_guard
from leadapron.kernel.config import Settings, find_file, load
from leadapron.kernel.errors import UsageError
from leadapron.kernel.hostport import HostPort
from leadapron.kernel.paths import default_data_dir


class Place(Struct, frozen=True):
    """A guard: its configuration file, its directory and its registry."""

    config: Path
    home: Path
    registry: Registry
    settings: Guard


def config_file(chosen: Path | None) -> Path:
    """The configuration file. Raises `UsageError` where there is none."""
    path = chosen or find_file()
    if path is None:
        raise UsageError("there is no leadapron.toml: 'leadapron init guard' writes one, or name it: --config FILE")
    return path


@contextmanager
def open_place(config: Path | None, data: str | None) -> Iterator[Place]:
    """The guard that is set up there. Raises `UsageError` where there is none: nothing is made by looking."""
    path = config_file(config)
    settings = load_guard(path)
    data = data if data is not None else load(Settings, path=path).data
    home = (Path(data).expanduser() if data is not None else default_data_dir()).absolute() / "guard"
    if not (home / "authority.pem").exists():
        raise UsageError(f"there is no guard in {home}: 'leadapron init guard' sets one up, --data DIR names another")
    with Registry(home) as registry:
        yield Place(path, home, registry, settings)


def enrol(place: Place, name: str, rules: Mapping[str, Any], hours: float, host: str | None) -> str:
    """The code's line. ``rules`` as the command line has them."""
    authority = Authority.load(place.home)
    reach, port = where(host) if host is not None else _reached(place.settings)
    values = _values(place, name, rules)
    code = invite(
        place.registry,
        authority,
        name=values["name"],
        ae=values["ae"],
        host=reach,
        port=port,
        life=timedelta(hours=hours),
        days=rules["days"],
    )
    _write(place, values, rules)
    note(place, f"peer {values['name']} (AE title {values['ae']}): one-time code made")
    return render(code)


def issue(place: Place, name: str, rules: Mapping[str, Any], kind: str) -> KeyPair:
    authority = Authority.load(place.home)
    values = _values(place, name, rules)
    key = new_key(kind)
    made = issued(place.registry, authority, request(key), name=values["name"], ae=values["ae"], days=rules["days"])
    _write(place, values, rules)
    note(place, f"peer {values['name']} (AE title {values['ae']}): certificate {made.certificate.serial} issued")
    return KeyPair(key_pem(key), made.chain)


def revoke(place: Place, which: str, why: str) -> Revoked:
    ended = place.registry.revoke(which, why)
    for row in ended.certificates:
        note(place, f"peer {row.name} (AE title {row.ae}): certificate {row.serial} revoked", why or None)
    if ended.codes:
        note(place, f"peer {which}: one-time code withdrawn", why or None)
    return ended


def nobody(which: str, names: Sequence[str]) -> str:
    hint = f"; the closest name is {closest(which, names)}" if names else ""
    return f"nothing that holds is called {shown(which)}{hint}. 'leadapron peer list' shows what there is"


def when(text: str | None) -> datetime:
    """The moment of ``--at``; without a zone it is local time."""
    if text is None:
        return datetime.now(UTC)
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise UsageError("--at: a time looks like 2027-01-31T22:00") from None


def note(place: Place, text: str, reason: str | None = None) -> None:
    """PS3.15 A.5.3.11, Security Configuration: who may come in was changed."""
    from leadapron.guard.audit.codes import Alert, Outcome
    from leadapron.guard.audit.console import console_user
    from leadapron.guard.audit.events import SecurityAlert
    from leadapron.guard.audit.trail import note as record
    from leadapron.kernel.seal import key_file

    event = SecurityAlert(
        kind=Alert.SECURITY_CONFIGURATION,
        text=text if reason is None else f"{text}: {reason}",
        performers=(console_user(),),
        outcome=Outcome.SUCCESS,
    )
    record(place.home, key_file(place.home / "guard.key"), event)


def _values(place: Place, name: str, rules: Mapping[str, Any]) -> dict[str, Any]:
    """What stands, or will stand, in the configuration; checked."""
    peer_name(name)
    text = read(place.config)
    if rules["again"]:
        return _present(text, place, name, rules)
    if rules["ae"] is None:
        raise UsageError("--ae is missing: the AE title under which the machine calls")
    values = {
        "name": name,
        "ae": ae_title(rules["ae"]),
        "may": rules["may"] or (),
        "from": rules["sources"],
        "move_to": rules["move_to"],
        "modalities": rules["modalities"],
        "hours": rules["hours"],
        "receive": rules["receive"],
    }
    with_peer(text, values, str(place.config))
    return values


def _present(text: str, place: Place, name: str, rules: Mapping[str, Any]) -> dict[str, Any]:
    policy = parse_policy(text, str(place.config))
    known = policy.rules(name)
    if known is None:
        names = [peer.rules.name for peer in policy.peers]
        hint = f"; the closest one is {closest(name, names)}" if names else ""
        raise UsageError(f"{place.config} has no peer {shown(name)}{hint}. Without --again it is added")
    if any(rules[key] for key in ("may", "sources", "move_to", "modalities", "hours", "receive")):
        raise UsageError(f"what {name} may do stands in {place.config} already: change it there, and leave it out here")
    if rules["ae"] is not None and ae_title(rules["ae"]) != known.ae:
        raise UsageError(f"the AE title of {name} is {known.ae}, as {place.config} says")
    return {"name": known.name, "ae": known.ae}


def _write(place: Place, values: Mapping[str, Any], rules: Mapping[str, Any]) -> None:
    if rules["again"]:
        return
    try:
        add_peer(place.config, values)
    except BaseException:
        place.registry.revoke(values["name"], "its rules could not be written")
        raise


def _reached(settings: Guard) -> tuple[str, int]:
    if settings.enrol is None or not settings.names:
        raise UsageError(
            "the configuration does not say where machines reach the enrolment service (guard.enrol, guard.names): "
            "--host HOST:PORT does"
        )
    _, port = where(settings.enrol)
    return where(str(HostPort(settings.names[0], port)))
