"""Whom a notice goes to, in which language and by which channel.

The owner is whom a person confirmed in the case. Above the owner nobody has to be confirmed, because operators, CERTs
and regulators publish where they take reports: the operator's abuse mailbox as it was looked up, unless somebody
rejected it, the others from the data file of countries. Where no mailbox is known the page is named, for a person.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from msgspec import Struct

from leadapron.kernel.errors import UsageError
from leadapron.watch.reach.cases.model import LEVELS, Case
from leadapron.watch.reach.mailbox import domain_of, encoded, is_mailbox
from leadapron.watch.reach.notices.facts import printable
from leadapron.watch.reach.notices.model import Channel
from leadapron.watch.reach.notices.settings import Notices
from leadapron.watch.track.owner.countries import Contact, Country, country
from leadapron.watch.track.owner.hints import best
from leadapron.watch.track.owner.model import Hint
from leadapron.watch.track.tables import hints

ENGLISH: Final = "en"
_LONGEST: Final = 500
_TEAMS: Final = "https://www.first.org/members/teams"


class Recipient(Struct, frozen=True, kw_only=True):
    """``to``: a mailbox, postal lines or, for the feed, a name; ``domain``: of a mailbox, else ''."""

    channel: Channel
    to: str
    domain: str
    language: str
    country: str | None


def recipient(
    connection: sa.Connection,
    case: Case,
    level: int,
    settings: Notices,
    arms: dict[str, str],
    *,
    channel: Channel | None = None,
    to: str | None = None,
) -> Recipient:
    """Raises `UsageError` with what is missing where nobody can be written to. ``to``: a mailbox to use instead."""
    owner = case.owner
    if level == 0 and owner is None:
        raise UsageError(f"nobody has confirmed the owner of case {case.id}: leadapron cases confirm {case.id}")
    # Operators and CERTs are those of where the server stands; the law and its authority are the owner's.
    theirs = None if owner is None else owner.country
    code = case.country or theirs if LEVELS[level] in ("operator", "cert") else theirs or case.country
    land = None if code is None else country(code)
    wished = owner.language if level == 0 and owner is not None else None
    language = _language(wished, land, settings, arms)
    if to is not None:
        to = encoded(to)
        if not is_mailbox(to):
            raise UsageError("the recipient should be a plain mailbox, as it@clinic.example")
        return _mail(to, language, code)
    if level == 0:
        assert owner is not None
        return _owner(
            case.id, owner.mailbox, owner.postal, channel or _medium(arms), channel is not None, language, code
        )
    if channel == "letter":
        raise UsageError(f"no postal address is known of the {LEVELS[level]}; letters go to owners")
    if level == LEVELS.index("operator"):
        mailbox = _abuse(connection, case.exposure_id)
        if mailbox is None:
            raise UsageError(
                f"no abuse mailbox of the network of {case.endpoint} is known: 'leadapron owner look-up "
                f"{case.exposure_id}' asks for it; --to MAILBOX names one"
            )
        return _mail(mailbox, language, code)
    return _authority(LEVELS[level], land, channel, language, code)


def _language(wished: str | None, land: Country | None, settings: Notices, arms: dict[str, str]) -> str:
    """English where the lot says so; else the owner's, else the country's, as far as notices are written in it."""
    if arms.get("language") == "english":
        return ENGLISH
    local = [wished] if wished else []
    if land is not None:  # a language set for the country stands for its official ones: no Turkish to all of Cyprus
        local += [land.language, *(land.languages if land.language in land.languages else ())]
    return next((one for one in local if one in settings.languages), _fallback(settings))


def _fallback(settings: Notices) -> str:
    return ENGLISH if ENGLISH in settings.languages else settings.languages[0]


def _medium(arms: dict[str, str]) -> Channel:
    return "letter" if arms.get("medium") == "letter" else "email"


def _owner(
    case_id: int,
    mailbox: str | None,
    postal: str | None,
    channel: Channel,
    chosen: bool,
    language: str,
    code: str | None,
) -> Recipient:
    """By the channel that was chosen or drawn; one that was only drawn gives way where there is no such address."""
    if channel == "feed":
        raise UsageError("feeds are for CERTs; an owner gets e-mail or a letter")
    if not chosen and (postal if channel == "letter" else mailbox) is None:
        channel = "email" if mailbox is not None else "letter"
    if channel == "email" and mailbox is not None:
        return _mail(mailbox, language, code)
    if channel == "letter" and postal is not None:
        lines = [kept for line in postal.splitlines() if (kept := printable(line, 200))]
        return Recipient(channel="letter", to="\n".join(lines)[:_LONGEST], domain="", language=language, country=code)
    wanted = "mailbox" if channel == "email" else "postal address"
    raise UsageError(f"the owner of case {case_id} has no {wanted}: leadapron cases confirm {case_id} enters one")


def _authority(level: str, land: Country | None, channel: Channel | None, language: str, code: str | None) -> Recipient:
    if land is None:
        raise UsageError(
            f"the server's country is not known, so neither is its {level}: 'leadapron owner look-up' asks for it, "
            "'leadapron owner add EXPOSURE country CODE' says it"
        )
    contact: Contact | None = land.cert if level == "cert" else land.regulator
    if contact is None:
        where = f"; {_TEAMS} lists them by country" if level == "cert" else ""
        raise UsageError(f"no {level} is known for {land.name}{where}; name a mailbox: --to MAILBOX")
    if channel == "feed" or (contact.mailbox is None and level == "cert"):
        return Recipient(channel="feed", to=contact.name, domain="", language=language, country=code)
    if contact.mailbox is None:
        raise UsageError(
            f"no mailbox of {contact.name} is known; {contact.page} says how to reach them. Name one: --to MAILBOX"
        )
    return _mail(contact.mailbox, language, code)


def _mail(mailbox: str, language: str, code: str | None) -> Recipient:
    return Recipient(channel="email", to=mailbox, domain=domain_of(mailbox), language=language, country=code)


def _abuse(connection: sa.Connection, exposure_id: int) -> str | None:
    """The mailbox for abuse reports of its network: a confirmed one first, never a rejected one."""
    rows = connection.execute(sa.select(hints).where(hints.c.exposure_id == exposure_id)).mappings()
    found = best([Hint(**row) for row in rows], "abuse-mailbox")
    return found.value if found is not None and is_mailbox(found.value) else None
