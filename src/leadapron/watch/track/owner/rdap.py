"""Whose network an address is in, by RDAP: questions after RFC 9082 §3.1.1, answers after RFC 9083 §5.4.

Of an answer only this is kept: name and handle of the network, its range, its country (or its organisation's),
organisations, and mailboxes of roles. Registries also publish the names, telephone numbers and addresses of people;
those of them are not read. An entity whose card (jCard, RFC 7095) says that it is an organisation or a group gives its
name; any other one gives nothing but a mailbox for abuse that is an office's by its name.

A redirect is followed to servers that the bootstrap data or the registries name, nowhere else; where the operator named
a server, only to that one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import msgspec

from leadapron.watch.track.owner.asking import Answer, Client, Unanswered
from leadapron.watch.track.owner.bootstrap import REGISTRIES, URLS, Bootstrap
from leadapron.watch.track.owner.countries import code_of
from leadapron.watch.track.owner.model import Found
from leadapron.watch.track.owner.text import is_role, mailbox, one_line

SOURCE: Final = "RDAP at"
LARGEST: Final = 1 << 20  # octets of an answer; the largest seen are some 60 kB
_TYPE: Final = "application/rdap+json"  # RFC 7480 §4.2
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_MOST_REDIRECTS: Final = 3
_DEEPEST: Final = 4  # of entities in entities
_MOST_ENTITIES: Final = 64
_MOST_PROPERTIES: Final = 64
_MOST_KEPT: Final = 3  # organisations, and mailboxes
_ORGANISED: Final = ("org", "group")
_OWNERS: Final = ("registrant", "customer", "administrative")
# A block of this many addresses or more is a registry's own, and says nothing of who uses an address in it.
_TOO_WIDE: Final = {4: 2**24, 6: 2 ** (128 - 16)}

Load = Callable[[int, Callable[[], Awaitable[bytes]]], Awaitable[bytes]]
"""Gives the bootstrap data of an address family: what is kept, or what the function given fetches."""


class Rdap:
    """``base``: the server to ask; None: the one that the bootstrap data names."""

    def __init__(self, client: Client, base: str | None, load: Load) -> None:
        self._client, self._load = client, load
        self._base = None if base is None else base.rstrip("/") + "/"
        self._known: dict[int, Bootstrap | Unanswered] = {}
        self._loading = asyncio.Lock()

    async def about(self, address: str) -> tuple[Found, ...]:
        """What is said of the network that holds ``address``. Raises `Unanswered`."""
        base, hosts = await self._where(address)
        answer, host = await self._ask(f"{base}ip/{address}", hosts)
        if answer.status == 404:
            return ()
        if answer.status != 200:
            raise Unanswered(f"{host} answers HTTP {answer.status}")
        try:
            network = msgspec.json.decode(answer.body)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            raise Unanswered(f"{host} answers something else than JSON") from None
        return read(network, address, host)

    async def _where(self, address: str) -> tuple[str, frozenset[str]]:
        if self._base is not None:
            return self._base, frozenset((_origin(self._base),))
        family = ip_address(address).version
        async with self._loading:
            if family not in self._known:
                try:
                    self._known[family] = Bootstrap(await self._load(family, lambda: self._fetch(URLS[family])))
                except Unanswered as error:
                    self._known[family] = error
        known = self._known[family]
        if isinstance(known, Unanswered):
            raise Unanswered(str(known))
        base = known.server(address)
        if base is None:
            raise Unanswered("no registry is responsible for the address")
        return base, frozenset((_origin(base), *(f"https://{host}:443" for host in known.hosts | REGISTRIES)))

    async def _fetch(self, url: str) -> bytes:
        answer = await self._client.get(url, "application/json")
        if answer.status != 200:
            raise Unanswered(f"IANA answers HTTP {answer.status}")
        Bootstrap(answer.body)  # what cannot be used is not kept
        return answer.body

    async def _ask(self, url: str, origins: frozenset[str]) -> tuple[Answer, str]:
        """The answer, and the host that gave it."""
        for _ in range(_MOST_REDIRECTS):
            host = urlsplit(url).hostname or ""
            answer = await self._client.get(url, _TYPE)
            if answer.status not in _REDIRECTS:
                return answer, host
            url = _next(url, answer.location)
            if _origin(url) not in origins:
                raise Unanswered(f"{host} sends on to a server that is no registry's")
        raise Unanswered("registries send one another around in a circle")


def read(network: Any, address: str, host: str) -> tuple[Found, ...]:
    """What is kept of an answer about ``address``, whatever its shape. Raises `Unanswered` where it is no answer."""
    if not isinstance(network, dict) or network.get("objectClassName") != "ip network":
        raise Unanswered(f"{host} answers something else than a network")
    first, last = _address(network.get("startAddress")), _address(network.get("endAddress"))
    wanted = ip_address(address)
    if first is None or last is None or not first.version == last.version == wanted.version:
        raise Unanswered(f"{host} answers a network without a range")
    if not int(first) <= int(wanted) <= int(last):
        raise Unanswered(f"{host} answers another network than the one asked for")
    if int(last) - int(first) + 1 >= _TOO_WIDE[wanted.version]:
        return ()
    source = f"{SOURCE} {host}"
    found: dict[tuple[str, str], Found] = {}

    def keep(kind: str, value: str | None, most: int) -> None:
        if value is not None and sum(one.kind == kind for one in found.values()) < most:
            found.setdefault((kind, value), Found(kind, value, source))

    name, handle = one_line(network.get("name"), 80), one_line(network.get("handle"), 80)
    called = " ".join(part for part in (name, None if handle in (None, name) else f"({handle})") if part)
    keep("rdap-network", f"{called}, {first}–{last}" if called else f"{first}–{last}", 1)
    entities = list(_entities(network.get("entities"), 0, [_MOST_ENTITIES]))
    for role in _OWNERS:
        for entity in entities:
            if role in _roles(entity):
                keep("rdap-organisation", _organisation(entity), _MOST_KEPT)
        if any(one.kind == "rdap-organisation" for one in found.values()):
            break  # the registrant is the best, and an administrative contact only better than nobody
    keep("country", _country(network, entities), 1)
    for entity in entities:
        if "abuse" in _roles(entity):
            for address_ in _mailboxes(entity):
                keep("abuse-mailbox", address_, _MOST_KEPT)
    return tuple(found.values())


def _entities(value: Any, depth: int, left: list[int]) -> Iterator[dict[str, Any]]:
    if not isinstance(value, list) or depth >= _DEEPEST:
        return
    for one in value:
        if not isinstance(one, dict) or left[0] <= 0:
            continue
        left[0] -= 1
        yield one
        yield from _entities(one.get("entities"), depth + 1, left)


def _roles(entity: dict[str, Any]) -> frozenset[str]:
    roles = entity.get("roles")
    return frozenset(one for one in roles if isinstance(one, str)) if isinstance(roles, list) else frozenset()


def _card(entity: dict[str, Any], name: str) -> Iterator[Any]:
    """Values of a jCard's property."""
    return (value for _, value in _properties(entity, name))


def _properties(entity: dict[str, Any], name: str) -> Iterator[tuple[Any, Any]]:
    """Parameters and value of each: ``["vcard", [[name, parameters, type, value], …]]``."""
    card = entity.get("vcardArray")
    properties = card[1] if isinstance(card, list) and len(card) > 1 else None
    for one in properties[:_MOST_PROPERTIES] if isinstance(properties, list) else ():
        if isinstance(one, list) and len(one) >= 4 and isinstance(one[0], str) and one[0].lower() == name:
            yield one[1], one[3]


def _country(network: dict[str, Any], entities: list[dict[str, Any]]) -> str | None:
    """The network's country; where the registry leaves that out (ARIN does), the one in its organisation's address."""
    written = network.get("country")
    if isinstance(written, str) and (code := code_of(written)) is not None:
        return code
    for entity in entities:
        if "registrant" in _roles(entity) and _organised(entity):
            for parameters, value in _properties(entity, "adr"):
                # RFC 7095 §3.3.1.3: structured, the country last; or a label whose last line it is.
                label = parameters.get("label") if isinstance(parameters, dict) else None
                text = value[6] if isinstance(value, list) and len(value) == 7 and value[6] else label
                lines = text[:1000].split("\n") if isinstance(text, str) else []
                if lines and (code := code_of(lines[-1])) is not None:
                    return code
    return None


def _organised(entity: dict[str, Any]) -> bool:
    kinds = {one.lower() for one in _card(entity, "kind") if isinstance(one, str)}
    return bool(kinds) and kinds <= set(_ORGANISED)


def _organisation(entity: dict[str, Any]) -> str | None:
    """The name of an organisation. A person's card may say for which organisation the person works; that is kept."""
    for value in _card(entity, "fn" if _organised(entity) else "org"):
        text = one_line(value[0] if isinstance(value, list) and value else value, 160)
        if text is not None and "@" not in text:
            return text
    return None


def _mailboxes(entity: dict[str, Any]) -> Iterator[str]:
    for value in _card(entity, "email"):
        address = mailbox(value)
        if address is not None and (_organised(entity) or is_role(address)):
            yield address


def _address(value: Any) -> IPv4Address | IPv6Address | None:
    try:
        # Some registries write a prefix behind it.
        return ip_address(value.partition("/")[0]) if isinstance(value, str) else None
    except ValueError:
        return None


def _next(url: str, location: str | None) -> str:
    try:
        return urljoin(url, location or "")
    except ValueError:
        return ""


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
        if "@" in parts.netloc:
            return ""
        return f"{parts.scheme}://{parts.hostname or ''}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
    except ValueError:
        return ""
