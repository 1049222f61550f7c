"""From hints to whom to write: what a person would confirm, with the reason for each part.

What is believed, in this order:

1. What a person confirmed or entered. The institution's own name comes from a person only: nine in ten servers
   cannot be named one to one, and a letter to the wrong hospital harms two.
2. ``security.txt`` of the domain: its owner says there how to be told.
3. The domain: of a certificate's name that leads to the address; of a reverse name that leads back to it; of other
   names in a certificate, which may be anybody's. A name made for a line, one at a dynamic-DNS service and one in the
   operator's own domain name nobody. A role mailbox there (RFC 2142 §4) is a guess, and marked as one.
4. The network's operator, by its abuse mailbox: knows whose line it is, and may pass a notice on.
5. The national CERT, and the regulator, by country.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from leadapron.watch.track.owner import certificate, reverse
from leadapron.watch.track.owner.countries import Contact, country
from leadapron.watch.track.owner.domains import registrable
from leadapron.watch.track.owner.hints import best
from leadapron.watch.track.owner.model import Hint
from leadapron.watch.track.owner.text import mailbox

_TRUST = (certificate.LEADS, reverse.CONFIRMED, certificate.ISSUED, certificate.SELF_SIGNED)


class Suggestion(Struct, frozen=True, kw_only=True):
    """``mailbox`` is the owner's, published or confirmed; ``guess`` one that may be there, which nobody published: for
    a person to try, not to be taken for granted. ``page``: a form that the owner's security.txt names. ``operator``
    and ``operator_mailbox``: of the network. ``reasons``: why, part by part."""

    organisation: str | None = None
    mailbox: str | None = None
    guess: str | None = None
    page: str | None = None
    domain: str | None = None
    operator: str | None = None
    operator_mailbox: str | None = None
    cert: Contact | None = None
    regulator: Contact | None = None
    country: str | None = None
    language: str = "en"
    reasons: tuple[str, ...] = ()


def suggestion(hints: Sequence[Hint]) -> Suggestion:
    """What the hints of one exposure come to. Rejected ones count for nothing."""
    reasons: list[str] = []

    def because(part: str, hint: Hint | None) -> str | None:
        if hint is None:
            return None
        who = f"confirmed by {hint.decided_by}" if hint.state == "confirmed" else hint.source
        reasons.append(f"{part}: {who}")
        return hint.value

    operator = best(hints, "operator") or best(hints, "rdap-organisation")
    abuse = best(hints, "abuse-mailbox")
    named = best(hints, "organisation")
    if named is None and (network := best(hints, "rdap-organisation")) is not None and network.state == "confirmed":
        named = network
    organisation = because("organisation", named)
    domain_hint, domain = _domain(hints, abuse)
    because("domain", domain_hint)
    address, page = _address(hints, because), _page(hints)
    guess = f"security@{domain}" if address is None and domain is not None else None
    if guess is not None:
        reasons.append("guess: the mailbox that RFC 2142 §4 has for it; nobody published this one")
    where = best(hints, "country")
    code = because("country", where)
    known = None if code is None else country(code)
    because("operator", operator)
    because("operator's mailbox", abuse)
    if known is not None and known.cert is not None:
        reasons.append(f"CERT: of the country, {known.cert.page}")
    if address is None:
        reasons.append(_instead(abuse, None if known is None else known.cert))
    return Suggestion(
        organisation=organisation,
        mailbox=address,
        guess=guess,
        page=page,
        domain=domain,
        operator=None if operator is None else operator.value,
        operator_mailbox=None if abuse is None else abuse.value,
        cert=None if known is None else known.cert,
        regulator=None if known is None else known.regulator,
        country=code,
        language="en" if known is None else known.language,
        reasons=tuple(reasons),
    )


def _address(hints: Sequence[Hint], because: object) -> str | None:
    assert callable(because)
    entered = best(hints, "mailbox")
    if entered is not None:
        return str(because("mailbox", entered))
    published = [one for one in hints if one.kind == "security-txt" and mailbox(one.value) is not None]
    found = best(published, "security-txt")
    return None if found is None else str(because("mailbox", found))


def _page(hints: Sequence[Hint]) -> str | None:
    pages = [one for one in hints if one.kind == "security-txt" and one.value.startswith("https://")]
    found = best(pages, "security-txt")
    return None if found is None else found.value


def _domain(hints: Sequence[Hint], abuse: Hint | None) -> tuple[Hint | None, str | None]:
    """The hint that names the owner's domain best, and the domain."""
    operators = None if abuse is None else registrable(abuse.value.partition("@")[2])
    fit: list[tuple[int, Hint, str]] = []
    for hint in hints:
        if hint.kind not in ("certificate-name", "reverse-dns") or hint.state == "rejected":
            continue
        domain = registrable(hint.value)
        if domain is None:
            continue
        if hint.state == "confirmed":
            fit.append((-1, hint, domain.name))
        elif hint.source in _TRUST and not domain.hosted and (operators is None or domain.name != operators.name):
            fit.append((_TRUST.index(hint.source), hint, domain.name))
    if not fit:
        return None, None
    _, hint, name = min(fit, key=lambda one: (one[0], one[1].id))
    return hint, name


def _instead(abuse: Hint | None, cert: Contact | None) -> str:
    if abuse is not None:
        return "instead: no mailbox of the owner is published: the network's operator knows whose line it is"
    if cert is not None:
        return "instead: neither owner nor operator publishes a mailbox: the national CERT is the one to tell"
    return "instead: nobody to write to is known"
