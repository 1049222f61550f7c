"""An OpenID provider as seen from here: its description, its keys, its token endpoint.

The provider is chosen by the operator and still not trusted with our memory or time: each answer is read up to a bound,
uncompressed, within seconds, and redirects are not followed. Where it says its endpoints are is believed only if it
calls itself what the operator called it (OpenID Connect Discovery §4.3) and they are https; plain http is for a
provider on loopback. Keys are fetched again when a token names one that is not there, at most once a minute.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from typing import Any, Final
from urllib.parse import quote_plus, urlsplit

import httpx2
import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from msgspec import Struct

from leadapron.kernel.clock import Clock

LARGEST_ANSWER: Final = 256 * 1024
ANSWER_WITHIN_S: Final = 10.0
FRESH_S: Final = 3600.0
KEYS_AGAIN_S: Final = 60.0
KEY_TYPES: Final = ("RSA", "EC", "OKP")
"""Public ones. A shared secret in a published set is none."""


class Unusable(Exception):
    """What the provider did or said is no use. The text holds nothing that it sent."""


class Description(Struct, frozen=True):
    """OpenID Connect Discovery §3, what we need of it."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    authorization_response_iss_parameter_supported: bool = False
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)


class _Tokens(Struct, frozen=True):
    id_token: str


class Provider:
    """``issuer`` as the operator wrote it. ``tls`` None: the system's authorities."""

    def __init__(self, issuer: str, clock: Clock, tls: ssl.SSLContext | None = None) -> None:
        if not _allowed(issuer) or urlsplit(issuer).query or urlsplit(issuer).fragment:
            raise Unusable("the issuer is no https address")
        self._issuer = issuer
        self._clock = clock
        self._tls = tls
        self._description: tuple[float, Description] | None = None
        self._keys: tuple[float, KeySet] | None = None

    async def description(self) -> Description:
        """Raises `Unusable`."""
        now = self._clock.monotonic()
        if self._description is not None and now - self._description[0] < FRESH_S:
            return self._description[1]
        text = await self._exchange("GET", f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
        try:
            found = msgspec.json.decode(text, type=Description)
        except (msgspec.MsgspecError, RecursionError):
            raise Unusable("the provider does not describe itself") from None
        if found.issuer != self._issuer:
            raise Unusable("the provider calls itself otherwise than the issuer in the configuration")
        if not all(map(_allowed, (found.authorization_endpoint, found.token_endpoint, found.jwks_uri))):
            raise Unusable("the provider names an endpoint that is not https")
        self._description = (now, found)
        return found

    async def keys(self, *, again: bool = False) -> KeySet:
        """The provider's signing keys. ``again``: a token names one that is not among them. Raises `Unusable`."""
        now = self._clock.monotonic()
        if self._keys is not None and now - self._keys[0] < (KEYS_AGAIN_S if again else FRESH_S):
            return self._keys[1]
        text = await self._exchange("GET", (await self.description()).jwks_uri)
        try:
            found = msgspec.json.decode(text, type=dict[str, list[dict[str, Any]]])
            usable = [key for key in found["keys"] if key.get("use") != "enc" and key.get("kty") in KEY_TYPES]
            keys = KeySet.import_key_set({"keys": usable})
        except (msgspec.MsgspecError, RecursionError, KeyError, JoseError, ValueError, TypeError):
            raise Unusable("the provider's keys cannot be read") from None
        if not keys.keys:
            raise Unusable("the provider has no keys")
        self._keys = (now, keys)
        return keys

    async def redeem(self, code: str, verifier: str, redirect: str, client: str, secret: str) -> str:
        """The ID token for an authorization code (RFC 6749 §4.1.3, RFC 7636 §4.5). Raises `Unusable`."""
        description = await self.description()
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect, "code_verifier": verifier}
        auth: httpx2.BasicAuth | None = None
        if "client_secret_basic" in description.token_endpoint_auth_methods_supported:
            auth = httpx2.BasicAuth(quote_plus(client), quote_plus(secret))  # RFC 6749 §2.3.1
        else:
            form |= {"client_id": client, "client_secret": secret}
        text = await self._exchange("POST", description.token_endpoint, form, auth)
        try:
            return msgspec.json.decode(text, type=_Tokens).id_token
        except (msgspec.MsgspecError, RecursionError):
            raise Unusable("the provider gave no ID token") from None

    async def _exchange(
        self, method: str, url: str, form: dict[str, str] | None = None, auth: httpx2.BasicAuth | None = None
    ) -> bytes:
        """One request; the body of a 200 up to a bound."""
        body = bytearray()
        try:
            async with (
                asyncio.timeout(ANSWER_WITHIN_S),
                httpx2.AsyncClient(
                    verify=True if self._tls is None else self._tls,
                    timeout=ANSWER_WITHIN_S,
                    follow_redirects=False,
                    trust_env=False,  # a proxy from the environment would see codes and secrets
                ) as client,
                client.stream(
                    method,
                    url,
                    data=form,
                    auth=auth,
                    headers={"Accept": "application/json", "Accept-Encoding": "identity"},
                ) as answer,
            ):
                if answer.status_code != 200:
                    raise Unusable(f"the provider answers {answer.status_code}")
                if answer.headers.get("content-encoding", "identity") != "identity":
                    raise Unusable("the provider compresses what it was asked not to")
                async for chunk in answer.aiter_raw():
                    body += chunk
                    if len(body) > LARGEST_ANSWER:
                        raise Unusable(f"the provider sends more than {LARGEST_ANSWER} octets")
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, OSError, ValueError) as error:
            raise Unusable(f"the provider cannot be reached ({type(error).__name__})") from None
        return bytes(body)


def _allowed(url: str) -> bool:
    """https, or http to this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme == "https":
        return bool(host)
    try:
        return parts.scheme == "http" and (host == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False
