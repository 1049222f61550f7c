"""A notice as an e-mail message.

Plain text and nothing else: no picture that tells us who looked, no link in disguise. Headers are made by the standard
library from values that were checked before (a mailbox is a plain one, a subject one printable line), and its policy
refuses a line end in any of them, so nothing in a notice can become a header (RFC 5322 §2.2).
"""

from __future__ import annotations

from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

from leadapron.kernel.clock import Clock
from leadapron.watch.reach.notices.facts import printable, reference
from leadapron.watch.reach.notices.layout import wrapped
from leadapron.watch.reach.notices.model import Notice
from leadapron.watch.reach.notices.settings import Notices as Settings

# RFC 5322 limits a line to 998 octets; text goes as quoted-printable or base64, so none comes near.
_POLICY = SMTP.clone(max_line_length=78)


def message(notice: Notice, settings: Settings, clock: Clock, before: tuple[str, ...] = ()) -> EmailMessage:
    """The message as it is sent. ``before``: Message-IDs of what we wrote to the same reader in this case, oldest
    first, so that their program shows them together."""
    assert notice.message_id is not None
    us = settings.by(notice.arms.get("sender"))
    made = EmailMessage(policy=_POLICY)
    made["Message-ID"] = notice.message_id
    made["Date"] = clock.now()
    made["From"] = _address(notice.sender, us.organisation)
    made["To"] = _address(notice.recipient)
    if us.reply_to:
        made["Reply-To"] = _address(us.reply_to)
    made["Subject"] = notice.subject
    if before:
        made["In-Reply-To"] = before[-1]
        made["References"] = " ".join(before)
    made["Auto-Submitted"] = "auto-generated"  # RFC 3834 §5: so that no autoresponder answers
    if us.opt_out:
        subject = f"opt%20out%20{reference(notice.case_id)}"
        made["List-Unsubscribe"] = f"<mailto:{us.opt_out}?subject={subject}>"  # RFC 2369 §3.2
    made["Content-Language"] = notice.language
    made.set_content(wrapped(notice.body), charset="utf-8")
    return made


def _address(mailbox: str, name: str | None = None) -> Address:
    local, _, domain = mailbox.rpartition("@")
    return Address(printable(name, 100) or "", local, domain)
