"""Who writes, through which mail server, and how much: section ``[notices]`` of ``leadapron.toml``.

Whoever scans strangers owes them who, why and how to make it stop (ZMap's rules for scanners), so without organisation,
page, address for answers and opt-out nothing is written at all. Passwords stand in a file of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from leadapron.kernel.config import Settings, find_file, load
from leadapron.kernel.errors import UsageError
from leadapron.kernel.hostport import HostPort, parse_host_port
from leadapron.watch.reach.mailbox import is_mailbox
from leadapron.watch.reach.notices.model import LANGUAGES

Tls = Literal["starttls", "implicit", "none"]

FACTORS: Final = ("sender", "framing", "medium", "language")
SUBMISSION: Final = {"starttls": 587, "implicit": 465, "none": 25}  # RFC 8314 §3.3, RFC 6409 §3.1


class Sender(Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Another one who writes, an arm of the factor ``sender``: what is left out is as in ``[notices]``."""

    name: str
    organisation: str | None = None
    person: str | None = None
    from_: str | None = None
    reply_to: str | None = None
    postal: str | None = None


class Notices(Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """All of it. ``from_``: mailbox that writes; ``reply_to``: mailbox for answers; ``page``: who we are and why, for
    those we write to; ``opt_out``: mailbox for who wants no more of it; ``postal``: our address, lines.

    ``smtp``: ``host[:port]``; ``maildir``: a Maildir, or an mbox file, where answers and bounces arrive.
    ``per_domain`` and ``per_hour``: how many leave within an hour for one receiving domain, and in all.
    ``arms``: the factors drawn by lot; ``seed``: from which; ``sender``: who may write, for the factor ``sender``.
    """

    organisation: str | None = None
    person: str | None = None
    from_: str | None = None
    reply_to: str | None = None
    page: str | None = None
    opt_out: str | None = None
    postal: str | None = None
    smtp: str | None = None
    tls: Tls = "starttls"
    ca: str | None = None
    user: str | None = None
    password_file: str | None = None
    maildir: str | None = None
    per_domain: int = 10
    per_hour: int = 200
    timeout_s: float = 60.0
    languages: tuple[str, ...] = LANGUAGES
    arms: tuple[str, ...] = ()
    seed: int = 0
    sender: tuple[Sender, ...] = ()
    fixed_within_days: int = 60

    def missing(self) -> tuple[str, ...]:
        """Keys without which nothing may be written."""
        needed = {
            "organisation": self.organisation,
            "from": self.from_,
            "reply_to": self.reply_to,
            "page": self.page,
            "opt_out": self.opt_out,
        }
        return tuple(key for key, value in needed.items() if not value)

    def require(self) -> None:
        """Raises `UsageError` where a key is missing without which nothing may be written."""
        if missing := self.missing():
            raise UsageError(
                f"[notices] lacks {', '.join(missing)}: whoever is written to must learn who writes and why, how to "
                "answer and how to opt out. Set them in leadapron.toml; docs/notices.md has an example"
            )

    def server(self) -> HostPort:
        """The mail server. Raises `UsageError` where there is none."""
        if self.smtp is None:
            raise UsageError('[notices] smtp is missing: name the mail server, as in smtp = "mail.example.org:587"')
        return parse_host_port(self.smtp, "[notices] smtp", SUBMISSION[self.tls])

    def by(self, arm: str | None) -> Notices:
        """The settings as the sender of that name writes."""
        for one in self.sender:
            if one.name == arm:
                own = {key: value for key, value in msgspec.structs.asdict(one).items() if value is not None}
                del own["name"]
                return msgspec.structs.replace(self, **own)
        return self


class _File(Settings, frozen=True, kw_only=True):
    notices: Notices = Notices()  # type: ignore[assignment]


def load_notices(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Notices:
    """The section ``[notices]`` of the file at ``path`` (None: the one that `find_file` finds); its defaults where
    there is none. Raises `UsageError` for what can't be meant."""
    return checked(load(_File, path=path or find_file(environment), environment=environment).notices)


def checked(settings: Notices) -> Notices:
    """Raises `UsageError` for values that can't be meant."""
    _plain("[notices]", settings)
    for one in settings.sender:
        _plain("[[notices.sender]]", one)
        if not re.fullmatch(r"[a-z0-9-]{1,24}", one.name):
            raise UsageError("[[notices.sender]] name should be a short word of small letters, digits and hyphens")
    if settings.opt_out is not None and not is_mailbox(settings.opt_out):
        raise _no_mailbox("[notices] opt_out")
    writing: list[Notices | Sender] = [settings, *settings.sender]
    ours = {mailbox.casefold() for one in writing for mailbox in (one.from_, one.reply_to) if mailbox}
    if settings.opt_out is not None and settings.opt_out.casefold() in ours:
        raise UsageError(
            "[notices] opt_out should be a mailbox of its own, neither from nor reply_to: each answer would count "
            "as an opt-out, which nothing takes back"
        )
    if settings.page is not None and not re.fullmatch(r"https?://[!-~]{3,500}", settings.page):
        raise UsageError("[notices] page should be the address of a web page, as https://example.org/open-images")
    if settings.smtp is not None:
        server = settings.server()
        if settings.tls == "none" and not server.loopback:
            raise UsageError(
                f"[notices] tls = 'none' is for a mail server on this machine, and {server.host} is not: notices name "
                "open servers, and a password would be read on the way. Use starttls or implicit"
            )
    if (settings.user is None) != (settings.password_file is None):
        raise UsageError("[notices] user and password_file belong together: set both or neither")
    for key, number, most in (
        ("per_domain", settings.per_domain, 10_000),
        ("per_hour", settings.per_hour, 100_000),
        ("fixed_within_days", settings.fixed_within_days, 3_650),
    ):
        if not 1 <= number <= most:
            raise UsageError(f"[notices] {key} must be from 1 to {most}, not {number}")
    if not 1 <= settings.timeout_s <= 600:
        raise UsageError(f"[notices] timeout_s must be from 1 to 600, not {settings.timeout_s:g}")
    _known("languages", settings.languages, LANGUAGES)
    _known("arms", settings.arms, FACTORS)
    if "sender" in settings.arms and len({one.name for one in settings.sender}) < 2:
        raise UsageError("[notices] arms has sender, which needs two of them at least, each a [[notices.sender]]")
    return settings


def _plain(where: str, one: Notices | Sender) -> None:
    """One line each, and mailboxes that are some."""
    for key, text in (("organisation", one.organisation), ("person", one.person)):
        if text is not None and (not text.isprintable() or len(text) > 200):
            raise UsageError(f"{where} {key} should be one line of at most 200 printable characters")
    for key, text in (("from", one.from_), ("reply_to", one.reply_to)):
        if text is not None and not is_mailbox(text):
            raise _no_mailbox(f"{where} {key}")
    if one.postal is not None and (len(one.postal) > 500 or not one.postal.replace("\n", "").isprintable()):
        raise UsageError(f"{where} postal should be lines of printable characters, 500 at most")


def _no_mailbox(what: str) -> UsageError:
    return UsageError(f"{what} should be a plain mailbox, as open-images@example.org")


def _known(key: str, values: tuple[str, ...], known: tuple[str, ...]) -> None:
    if not values and key == "languages":
        raise UsageError(f"[notices] languages is empty; there are {', '.join(known)}")
    for value in values:
        if value not in known:
            raise UsageError(f"[notices] {key}: {value!a} does not exist; there are {', '.join(known)}")
