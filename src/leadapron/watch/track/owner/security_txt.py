"""What an owner asks to be told by: ``https://DOMAIN/.well-known/security.txt`` (RFC 9116).

This is a request to somebody's web server, so it is made only where the operator switched it on, once in many days,
and only over https with a certificate that holds. The domain comes from a name that a stranger chose; its address is
looked up here and must be a public one, or anybody could make us ask servers inside of our own network. A redirect is
followed once, within the registered domain (§3 leaves that to us).

Mailboxes and web forms are kept, telephone numbers are not. A signature (§2.3) is not checked; the hint says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urljoin, urlsplit

from leadapron.kernel.clock import Clock
from leadapron.watch.track.owner.asking import Answer, Client, Unanswered
from leadapron.watch.track.owner.domains import registrable
from leadapron.watch.track.owner.model import Found
from leadapron.watch.track.owner.reverse import Resolver
from leadapron.watch.track.owner.text import mailbox, one_line

LARGEST: Final = 32 * 1024
PATH: Final = "/.well-known/security.txt"
_MOST_CONTACTS: Final = 3
_MOST_LINES: Final = 400
_LONGEST_LINK: Final = 200
_QUEUE: Final = "security.txt"  # all of them take turns: each is another's server, asked once
_ARMOUR: Final = "-----BEGIN PGP SIGNED MESSAGE-----"
_LINK = re.compile(r"https://[A-Za-z0-9.-]+(?::\d{1,5})?(?:/[A-Za-z0-9._~/%?=&+-]*)?\Z")


class SecurityTxt:
    """``public``: whether an address may be connected to. ``port``: 443 but in tests."""

    def __init__(
        self, client: Client, resolver: Resolver, clock: Clock, public: Callable[[str], bool], port: int = 443
    ) -> None:
        self._client, self._resolver, self._clock = client, resolver, clock
        self._public, self._port = public, port

    async def of(self, domain: str) -> tuple[Found, ...]:
        """The contacts that ``domain`` names. Raises `Unanswered`."""
        url = f"https://{domain}{PATH}" if self._port == 443 else f"https://{domain}:{self._port}{PATH}"
        answer = await self._get(domain, url)
        if answer.status in (301, 302, 303, 307, 308):
            url, host = self._followed(domain, url, answer.location or "")
            answer = await self._get(host, url)
        if answer.status in (404, 410):
            return ()
        if answer.status != 200 or answer.kind != "text/plain":  # §3: text/plain
            raise Unanswered(f"the web server answers HTTP {answer.status}, and no plain text")
        return read(answer.body, domain, self._clock.now())

    async def _get(self, host: str, url: str) -> Answer:
        for version in (4, 6):
            addresses = await self._resolver.addresses(host, version=version)
            if addresses:
                if not all(map(self._public, addresses)):
                    raise Unanswered("the domain leads to an address that is not public")
                try:
                    return await self._client.get(url, "text/plain", at=addresses[0], queue=_QUEUE)
                except Unanswered as error:
                    raise Unanswered(str(error).replace(host, "the web server", 1)) from None
        raise Unanswered("the domain has no web server")

    def _followed(self, domain: str, url: str, location: str) -> tuple[str, str]:
        """Where a redirect leads, and the host there. Raises `Unanswered` for one that leaves the domain or https."""
        try:
            url = urljoin(url, location)
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port or 443
        except ValueError:
            raise Unanswered("the web server sends on to what is no address") from None
        at = registrable(host)
        if parts.scheme != "https" or port != self._port or "@" in parts.netloc or at is None or at.name != domain:
            raise Unanswered("the web server sends on to another one")
        return url, host


def read(body: bytes, domain: str, now: datetime) -> tuple[Found, ...]:
    """The contacts in a file, in its order of preference (§2.5.3). Raises `Unanswered` for one that must not be used:
    without an end, or past it (§2.5.5)."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise Unanswered("the file is not text") from None
    signed = text.lstrip("﻿ \r\n").startswith(_ARMOUR)
    contacts: list[str] = []
    ends: list[datetime | None] = []
    for line in text.splitlines()[:_MOST_LINES]:
        name, colon, value = line.removeprefix("- ").partition(":")  # RFC 9580 §7.2: dash-escaped
        field = name.strip().lower()
        if line.startswith("-----BEGIN PGP SIGNATURE"):
            break
        if not colon or line.startswith("#"):
            continue
        if field == "contact":
            contact = _contact(value.strip())
            if contact is not None and contact not in contacts:
                contacts.append(contact)
        elif field == "expires":
            ends.append(_moment(value.strip()))
    if len(ends) != 1 or ends[0] is None:
        raise Unanswered("the file does not say until when it holds, or says it twice")
    if ends[0] <= now:
        raise Unanswered("the file has expired")
    source = f"security.txt of {domain}, holds until {ends[0].date().isoformat()}"
    source += "; signed, which is not checked" if signed else ""
    return tuple(Found("security-txt", contact, source) for contact in contacts[:_MOST_CONTACTS])


def _contact(value: str) -> str | None:
    if value[:7].lower() == "mailto:":
        return mailbox(value[7:].partition("?")[0])
    link = one_line(value, _LONGEST_LINK + 1)
    return link if link is not None and len(link) <= _LONGEST_LINK and _LINK.match(link) else None


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text.upper())  # RFC 3339 §5.6
        return moment.astimezone(UTC) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
