"""The OpenID provider of the configuration, as pages need it to let people log in there: the guard's and the console's.

A secret that cannot be read, or an issuer that can't be one, ends the start with what to do, and not the first log-in.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

from leadapron.guard.gateway.web.pages import CALLBACK
from leadapron.guard.identity.people.oidc import Client, Oidc
from leadapron.guard.identity.people.people import People
from leadapron.guard.identity.people.provider import Provider, Unusable
from leadapron.guard.identity.people.requests import as_sent
from leadapron.guard.settings import Oidc as Given
from leadapron.kernel.clock import Clock
from leadapron.kernel.errors import UsageError


async def at_provider(people: People, given: Given, base: str, clock: Clock, where: str = "[guard.oidc]") -> Oidc:
    """``base``: how browsers call our pages, ``https://host:port``; the provider sends them back there."""
    try:
        secret = await asyncio.to_thread(_secret, given.secret_file)
        provider = Provider(given.issuer, clock)
    except OSError as error:
        raise UsageError(f"{where} secret_file: {given.secret_file} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UsageError(f"{where} secret_file: {given.secret_file} holds no text") from None
    except Unusable as error:
        raise UsageError(f"{where} issuer: {error}") from None
    redirect = f"{as_sent(base)}{CALLBACK}"
    return people.oidc(provider, Client(client_id=given.client_id, secret=secret, redirect=redirect, claim=given.claim))


def _secret(file: str) -> str:
    return Path(file).expanduser().read_text("utf-8").strip()


def provider_name(given: Given) -> str:
    """How the log-in page calls it."""
    return urlsplit(given.issuer).hostname or "your organisation"
