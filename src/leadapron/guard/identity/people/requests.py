"""Whether a request with a cookie was made by our own page: protection against cross-site request forgery.

A browser sends our cookie with requests that other pages make. It also says, in headers that no page can set, where a
request comes from: ``Sec-Fetch-Site`` (Fetch Metadata, since 2023 in all browsers), else ``Origin``. A request that
changes something must say that it is from the same origin; one that says nothing is refused, because a client that
is no browser has a token and no cookie. Reading is allowed from our own pages and by navigating here from elsewhere;
what other pages embed is not answered, so that they learn nothing from sizes or times.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

SESSION_COOKIE: Final = "__Host-leadapron-session"
DEVICE_COOKIE: Final = "__Host-leadapron-device"
OIDC_COOKIE: Final = "__Host-leadapron-oidc"
COOKIE_ATTRIBUTES: Final = "Path=/; Secure; HttpOnly; SameSite=Lax"
"""``__Host-`` (RFC 6265bis §4.1.3.2) makes browsers insist on Secure, Path=/ and no Domain. Lax, not Strict: the OpenID
provider sends the browser back across sites."""

_READING: Final = frozenset({"GET", "HEAD"})


def forged(method: str, headers: Mapping[str, str], origins: Collection[str]) -> str | None:
    """Why a request that shows a cookie must be refused, or None where it may go on.

    ``headers`` by lower-case names (or without regard to case); ``origins``: ours, ``https://host:port``.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    origins = [as_sent(ours) for ours in origins]
    if method.upper() in _READING:
        if site in (None, "same-origin", "none"):
            return None if origin is None or origin in origins else "read from another origin"
        # From elsewhere only as a page of its own: a link, or the way back from the OpenID provider.
        navigated = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
        return None if navigated else "embedded by another site"
    if origin is not None and origin not in origins:
        return "sent from another origin"
    if site is not None:
        return None if site == "same-origin" else "sent from another site"
    return "sent without saying from where" if origin is None else None


def as_sent(origin: str) -> str:
    """An origin as browsers send it: without the port that https has anyway (RFC 6454 §6.2)."""
    return origin.removesuffix(":443").lower()
