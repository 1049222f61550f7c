"""Logging in at an OpenID provider instead of here: authorization code flow with PKCE (OpenID Connect Core §3.1, RFC
7636), as RFC 9700 (best current practice for OAuth 2.0) has it.

Between the two halves of a login nothing is kept here, so that strangers who begin a million fill no memory. The
browser keeps a cookie with random octets and an end; state, nonce and verifier are keyed hashes of it. Whoever has the
cookie began the login; the provider's answer fits no other.

The provider is the second factor's keeper, too. ``acr`` lets the operator demand a class of authentication (Core
§3.1.2.1). Who is not known by ``claim`` gets nothing, whatever the provider says; and an e-mail address counts only
when the provider has verified it, or anybody who can type one would be that person.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from joserfc import jws, jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from msgspec import Struct

from leadapron.guard.identity.people.model import Quiet
from leadapron.guard.identity.people.provider import Provider, Unusable
from leadapron.guard.identity.people.store import Store

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519")
"""Signatures only: with HS256 the client's secret would be a key, with ``none`` nothing would."""
LASTS_S: Final = 600
LEEWAY_S: Final = 60
OLDEST_S: Final = 600
LONGEST_TOKEN: Final = 32_768
LONGEST_CLAIM: Final = 255
_LONGEST_ANSWER: Final = 4096


class Client(Quiet, frozen=True, kw_only=True):
    """What the provider knows us by. ``redirect``: the full address of our callback; ``claim``: names who it is."""

    client_id: str
    secret: str
    redirect: str
    claim: str = "email"
    acr: str | None = None


class Begun(Quiet, frozen=True):
    """Where to send the browser, and what to put in a cookie (``requests.OIDC_COOKIE``) before."""

    url: str
    cookie: str


class Shown(Struct, frozen=True):
    """Who the provider says it is. ``spent``: hash of the login's cookie, to be used once, until ``ends_at``."""

    claim: str
    spent: bytes
    ends_at: int


class Oidc:
    def __init__(self, store: Store, provider: Provider, client: Client) -> None:
        self._store = store
        self._provider = provider
        self._client = client

    async def begin(self) -> Begun:
        """Begin a login. Raises `Unusable` where the provider cannot be asked."""
        description = await self._provider.description()
        cookie = f"{secrets.token_hex(32)}.{self._store.now() + LASTS_S}"
        challenge = base64.urlsafe_b64encode(sha256(self._derived("verifier", cookie).encode()).digest())
        query = {
            "response_type": "code",
            "client_id": self._client.client_id,
            "redirect_uri": self._client.redirect,
            "scope": "openid email profile",
            "state": self._derived("state", cookie),
            "nonce": self._derived("nonce", cookie),
            "code_challenge": challenge.decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        if self._client.acr is not None:
            query["acr_values"] = self._client.acr
        joint = "&" if urlsplit(description.authorization_endpoint).query else "?"
        return Begun(f"{description.authorization_endpoint}{joint}{urlencode(query)}", cookie)

    async def finish(self, cookie: str, answer: Mapping[str, str]) -> Shown | str:
        """Who came back with ``answer`` (the callback's query), or why nobody did. The claim is not looked up yet."""
        if not self._fresh(cookie):
            return "no login at the provider was begun, or too long ago"
        if not _same(answer.get("state", ""), self._derived("state", cookie)):
            return "the state does not fit"
        if "error" in answer:
            return "the provider refused"
        code = answer.get("code", "")
        if not 0 < len(code) <= _LONGEST_ANSWER:
            return "the provider sent no code"
        try:
            description = await self._provider.description()
            named = answer.get("iss")  # RFC 9207: against a mix-up of providers
            if named != description.issuer and (
                named is not None or description.authorization_response_iss_parameter_supported
            ):
                return "the answer is another provider's"
            token = await self._provider.redeem(
                code,
                self._derived("verifier", cookie),
                self._client.redirect,
                self._client.client_id,
                self._client.secret,
            )
            claims = await self._claims(token, description.issuer, self._derived("nonce", cookie))
        except Unusable as error:
            return str(error)
        except JoseError as error:
            return f"the ID token does not hold ({type(error).__name__})"
        return self._who(claims, cookie)

    async def _claims(self, token: str, issuer: str, nonce: str) -> dict[str, Any]:
        """The claims of an ID token after OpenID Connect Core §3.1.3.7. Raises `Unusable`, ``JoseError``."""
        if len(token) > LONGEST_TOKEN:
            raise Unusable("the ID token is too long")
        try:
            claims = _decoded(token, await self._provider.keys())
        except (InvalidKeyIdError, _NoKey):
            try:
                claims = _decoded(token, await self._provider.keys(again=True))
            except _NoKey:
                raise Unusable("the ID token is signed with a key that the provider does not publish") from None
        now = self._store.now()
        jwt.JWTClaimsRegistry(
            now=now,
            leeway=LEEWAY_S,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": self._client.client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
        ).validate(claims)
        if claims["iat"] < now - OLDEST_S:
            raise Unusable("the ID token is old")
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", self._client.client_id if not several else None) != self._client.client_id:
            raise Unusable("the ID token was made for another client")
        if not _same(claims.get("nonce"), nonce):
            raise Unusable("the ID token is another login's")
        if self._client.acr is not None and claims.get("acr") != self._client.acr:
            raise Unusable("the provider did not authenticate as it was asked to")
        return claims

    def _who(self, claims: Mapping[str, Any], cookie: str) -> Shown | str:
        value = claims.get(self._client.claim)
        if not isinstance(value, str) or not 0 < len(value) <= LONGEST_CLAIM or not value.isprintable():
            return "the ID token does not say who it is"
        if self._client.claim == "email" and claims.get("email_verified") is not True:
            return "the provider has not verified the e-mail address"
        _, _, ends = cookie.partition(".")
        return Shown(value, self._store.digest("oidc spent", cookie), int(ends))

    def _fresh(self, cookie: str) -> bool:
        random, _, ends = cookie.partition(".")
        form = len(random) == 64 and 0 < len(ends) <= 12 and ends.isascii() and ends.isdigit()
        # The end stands in what is hashed: with another one, state and nonce would fit nothing that was sent out.
        return form and self._store.now() < int(ends) <= self._store.now() + LASTS_S

    def _derived(self, what: str, cookie: str) -> str:
        """43 characters, as a verifier may have (RFC 7636 §4.1)."""
        return base64.urlsafe_b64encode(self._store.digest(f"oidc {what}", cookie)).decode().rstrip("=")


class _NoKey(Exception):
    """No key of the set fits."""


def _decoded(token: str, keys: KeySet) -> dict[str, Any]:
    registry = jws.JWSRegistry(algorithms=list(ALGORITHMS))
    try:
        return jwt.decode(token, keys, algorithms=list(ALGORITHMS), registry=registry).claims
    except (ValueError, KeyError, TypeError) as error:
        raise _NoKey from error


def _same(given: object, expected: str) -> bool:
    return isinstance(given, str) and hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())
