"""A notice as an e-mail message.

Plain text and nothing else: no picture that tells us who looked, no link in disguise. Whatever could be read as more
than text in a header becomes an encoded word (RFC 2047), an encoded word in the text too: the standard library's newer
message class would decode that one, line ends in it included, and write them out. Mailboxes are plain ones, checked
before, so nothing in a notice can become a header or a second recipient (RFC 5322 §2.2).
"""

from __future__ import annotations

from email.charset import QP, Charset
from email.header import Header
from email.message import Message
from email.policy import compat32
from email.utils import format_datetime
from typing import Final

from leadapron.kernel.clock import Clock
from leadapron.watch.reach.notices.facts import mark, printable, token
from leadapron.watch.reach.notices.layout import wrapped
from leadapron.watch.reach.notices.model import Notice
from leadapron.watch.reach.notices.settings import Notices as Settings

_POLICY: Final = compat32.clone(linesep="\r\n", max_line_length=76)
_LONGEST_NAME: Final = 100
_LINE: Final = 60  # of encoded words: short enough to stand beside the header's name (RFC 2047 §2: 76)


def message(notice: Notice, settings: Settings, clock: Clock, before: tuple[str, ...] = ()) -> bytes:
    """The message as it is sent. ``before``: Message-IDs of what we wrote to the same reader in this case, oldest
    first, so that their program shows them together."""
    assert notice.message_id is not None
    us = settings.by(notice.arms.get("sender"))
    made = Message(policy=_POLICY)
    made["Message-ID"] = notice.message_id
    made["Date"] = format_datetime(clock.now())
    made["From"] = _named(us.organisation, notice.sender)
    made["To"] = notice.recipient
    if us.reply_to:
        made["Reply-To"] = us.reply_to
    made["Subject"] = _text(notice.subject)
    if before:
        made["In-Reply-To"] = before[-1]
        made["References"] = " ".join(before)
    made["Auto-Submitted"] = "auto-generated"  # RFC 3834 §5: so that no autoresponder answers
    if us.opt_out:
        subject = f"opt%20out%20{mark(notice.case_id, token(notice.message_id))}"
        made["List-Unsubscribe"] = f"<mailto:{us.opt_out}?subject={subject}>"  # RFC 2369 §3.2
    made["Content-Language"] = notice.language
    charset = Charset("utf-8")
    charset.body_encoding = QP
    made.set_payload(wrapped(notice.body), charset)
    return made.as_bytes()


def _text(text: str) -> str:
    """Text of a header: as it is where it is plain, else encoded."""
    kept = printable(text, 300) or ""
    plain = kept.isascii() and "=?" not in kept
    return kept if plain else Header(kept, "utf-8", maxlinelen=_LINE).encode()


def _named(name: str | None, mailbox: str) -> str:
    """A mailbox with the name of who it belongs to."""
    kept = printable(name, _LONGEST_NAME)
    if kept is None:
        return mailbox
    if kept.isascii() and "=?" not in kept:
        quoted = kept.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}" <{mailbox}>'
    return f"{Header(kept, 'utf-8', maxlinelen=_LINE).encode()} <{mailbox}>"
