"""What the pages of one's own account say of each change: before it, on its button, after it; of factors and times."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, NamedTuple

from leadapron.guard.identity.people.confirmations import Doing
from leadapron.guard.identity.people.own import Mine


class Words(NamedTuple):
    """What a page says of a change: before it, on its button, and when it is done."""

    title: str
    effect: str
    button: str
    done: str


_OTHERS_END: Final = "Your other sessions end."
WORDS: Final = {
    Doing.PASSWORD: Words(
        "Change your password",
        _OTHERS_END,
        "Continue",
        "Your password was changed, and your other sessions have ended.",
    ),
    Doing.APP: Words(
        "Set an authenticator app",
        f"An app that you have now stops working. {_OTHERS_END}",
        "Continue",
        "The app is set. Your other sessions have ended.",
    ),
    Doing.KEY: Words(
        "Add a security key", _OTHERS_END, "Continue", "The key was added. Your other sessions have ended."
    ),
    Doing.CODES: Words("New recovery codes", "Those that you have now are void.", "Make new codes", ""),
    Doing.REMOVE: Words(
        "Remove a factor",
        f"It opens nothing any more. {_OTHERS_END}",
        "Remove it",
        "The factor was removed. Your other sessions have ended.",
    ),
    Doing.TOKEN: Words("Make a token", "A program that has it may act in your name.", "Continue", ""),
    Doing.REVOKE: Words("Revoke a token", "Programs that use it are shut out.", "Revoke it", "The token is void."),
    Doing.END: Words("End a session", "Whoever uses it is logged out.", "End it", "The session has ended."),
    Doing.OTHERS: Words(
        "End all other sessions", "Only this one stays.", "End them", "All your other sessions have ended."
    ),
}
KINDS: Final = {"totp": "Authenticator app", "webauthn": "Security key"}
WAYS: Final = {
    "password+totp": "password and app",
    "password+webauthn": "password and security key",
    "password+recovery": "password and recovery code",
    "oidc": "OpenID provider",
}


def day(seconds: int | None) -> str:
    return "never" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def which(mine: Mine, doing: Doing, number: int) -> str:
    """What it is about, for people."""
    if doing is Doing.REMOVE:
        return next((f"{KINDS[one.kind]}, added {day(one.added_at)}" for one in mine.factors if one.id == number), "")
    if doing is Doing.REVOKE:
        return next((f"{one.label or 'Token'} ({number})" for one in mine.tokens if one.id == number), "")
    if doing is Doing.END:
        return next(
            (f"From {one.source}, since {day(one.created_at)}" for one in mine.sessions if one.id == number), ""
        )
    return ""
