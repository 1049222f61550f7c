"""People: who is in front of the browser, and whose program is calling.

`People` is the door; `Person` and `TokenIdentity` are who comes in. One subject a module: ``passwords`` and ``gate``
(hashing), ``throttle`` and ``devices`` (guessing), ``totp``, ``passkeys`` and ``factors`` (second factors), ``oidc``
and ``provider`` (logging in elsewhere), ``sessions``, ``tokens``, ``invitations`` and ``enrolment`` (getting in for the
first time), ``emergencies`` (break-glass), ``own`` and ``confirmations`` (what people change themselves),
``administration`` (the console). Permissions are text here, ``surface:operation``; what they mean the policy knows.
Names are loaded when they are first used (PEP 562).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from leadapron.guard.identity.people.enrolment import Begun as Begun
    from leadapron.guard.identity.people.enrolment import Enrolled as Enrolled
    from leadapron.guard.identity.people.enrolment import NotEnrolled as NotEnrolled
    from leadapron.guard.identity.people.model import Event as Event
    from leadapron.guard.identity.people.model import Factor as Factor
    from leadapron.guard.identity.people.model import Kind as Kind
    from leadapron.guard.identity.people.model import LoggedIn as LoggedIn
    from leadapron.guard.identity.people.model import LoginRefused as LoginRefused
    from leadapron.guard.identity.people.model import PasskeyProof as PasskeyProof
    from leadapron.guard.identity.people.model import Person as Person
    from leadapron.guard.identity.people.model import RecoveryCode as RecoveryCode
    from leadapron.guard.identity.people.model import TokenIdentity as TokenIdentity
    from leadapron.guard.identity.people.model import TotpCode as TotpCode
    from leadapron.guard.identity.people.model import typed_factor as typed_factor
    from leadapron.guard.identity.people.oidc import Client as Client
    from leadapron.guard.identity.people.passkeys import Site as Site
    from leadapron.guard.identity.people.passwords import Hashing as Hashing
    from leadapron.guard.identity.people.people import People as People
    from leadapron.guard.identity.people.provider import Provider as Provider
    from leadapron.guard.identity.people.provider import Unusable as Unusable
    from leadapron.guard.identity.people.requests import forged as forged

_WHERE: Final = {
    "enrolment": ("Begun", "Enrolled", "NotEnrolled"),
    "model": (
        "Event",
        "Factor",
        "Kind",
        "LoggedIn",
        "LoginRefused",
        "PasskeyProof",
        "Person",
        "RecoveryCode",
        "TokenIdentity",
        "TotpCode",
        "typed_factor",
    ),
    "oidc": ("Client",),
    "passkeys": ("Site",),
    "passwords": ("Hashing",),
    "people": ("People",),
    "provider": ("Provider", "Unusable"),
    "requests": ("forged",),
}
_MODULE: Final = {name: module for module, names in _WHERE.items() for name in names}

__all__ = sorted(_MODULE)


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE[name]}"), name)
