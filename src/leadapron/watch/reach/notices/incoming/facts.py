"""What one message is: a bounce of something we sent, an opt-out, an answer, or none of our business.

Strangers write these octets, so nothing is believed that does not name a Message-ID of ours, or the code in a notice's
text that is a part of it, which nobody can guess. Read in this order:

1. *Bounce*: a delivery report (RFC 3464) that says ``failed``, or an old server's plain text, from a mailer-daemon or
   with no return path, in which our Message-ID stands. A report of delay or success is none.
2. *Opt-out*: sent to the opt-out mailbox, or its subject begins with those words in one of six languages.
3. *Answer*: its In-Reply-To or References names a message of ours, or its subject the code of one (a letter has no
   Message-ID to answer to), and no program wrote it (RFC 3834).

The library's parser takes anything, but some of its accessors raise on what it took; that is caught at one seam.
"""

from __future__ import annotations

import email
import email.policy
import hashlib
import re
import unicodedata
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import getaddresses
from typing import Final, Literal

from msgspec import Struct

from leadapron.watch.reach.mailbox import is_mailbox
from leadapron.watch.reach.notices.facts import MARK

Kind = Literal["bounce", "refusal", "answer", "other"]

MOST_PARTS: Final = 50
MOST_IDS: Final = 100
_LONGEST_HEADER: Final = 20_000
_LONGEST_HEAD: Final = 64 << 10
_FAULTS: Final = (ValueError, LookupError, TypeError, AttributeError, RecursionError, AssertionError)
_LONGEST_TEXT: Final = 200_000
_OURS: Final = re.compile(r"<(leadapron\.[0-9]{1,18}\.[0-9a-f]{16}@[A-Za-z0-9.-]{1,253})>")
_PERMANENT: Final = re.compile(r"(?<![0-9.])5\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9.])")
_DELAYED: Final = re.compile(r"delay|warning|verzöger|retard|retras|atras|gecik", re.I)
_REFERENCE: Final = re.compile(rf"\bLA-([0-9]{{1,18}})(?:-([0-9a-f]{{{MARK}}}))?(?![0-9a-z-])", re.I)
_REPLIES: Final = re.compile(r"^(?:(?:re|aw|wg|fw|fwd|tr|rép|res|rv|enc|ynt|ilt|antw)\s*(?:\[\d+\])?\s*:\s*)+", re.I)
WORDS: Final = {
    "en": ("opt out", "opt-out", "optout", "unsubscribe", "remove me"),
    "de": ("abmelden", "abmeldung", "abbestellen", "austragen"),
    "fr": ("désinscription", "désinscrire", "désabonner", "désabonnement", "se désinscrire", "se désabonner"),
    "es": ("darse de baja", "dar de baja", "baja", "cancelar suscripción"),
    "pt": ("descadastrar", "descadastramento", "cancelar inscrição", "cancelar a inscrição", "remover"),
    "tr": ("abonelikten çık", "abonelikten çıkmak", "abonelikten çıkar", "listeden çık"),
}
"""Subjects that opt out; the first of each is what notices ask for."""


class Mail(Struct, frozen=True):
    """``digest``: of the Message-ID, or of all of it where it has none. ``ours``: Message-IDs of ours that it is about;
    ``sender``: a mailbox, if it has a plain one; ``status``: of a bounce, RFC 3463; ``marks``: the case and the code of
    notices that it names, ``cases``: numbers of cases that it names without such a code."""

    digest: str
    kind: Kind
    ours: tuple[str, ...] = ()
    sender: str | None = None
    status: str | None = None
    cases: tuple[int, ...] = ()
    marks: tuple[tuple[int, str], ...] = ()


def identity(octets: bytes) -> str:
    """By what a message is known again: SHA-256 of its Message-ID, or of all of it where it has none. Quick, since a
    mailbox holds thousands that were read before."""
    try:
        head = BytesHeaderParser(policy=email.policy.compat32).parsebytes(octets[:_LONGEST_HEAD])
        own = _header(head, "Message-ID").strip()
    except _FAULTS:
        own = ""
    return hashlib.sha256(own.encode("utf-8", "replace") if own else octets).hexdigest()


def understood(octets: bytes, opt_out: str | None) -> Mail | None:
    """What the message is; None where it can't be made out at all."""
    try:
        return _read(octets, opt_out)
    except _FAULTS:
        return None  # the library's accessors on malformed headers; what it was stays with people


def _read(octets: bytes, opt_out: str | None) -> Mail:
    message = email.message_from_bytes(octets, policy=email.policy.compat32)
    digest = identity(octets)
    sender = _mailbox(message, "From")
    bounce = _bounce(message, sender)
    if bounce is not None:
        return Mail(digest, "bounce", bounce[0], None, bounce[1])
    ids = _ids(_header(message, "In-Reply-To") + " " + _header(message, "References"))
    subject = _subject(message)
    if sender is not None and (_meant_for(message, opt_out) or _asks(subject)):
        named = _REFERENCE.findall(subject)[:5] + _REFERENCE.findall(_text(message))[:5]
        return Mail(digest, "refusal", ids, sender, None, *_named(named))
    cases, marks = _named(_REFERENCE.findall(subject)[:5])
    if (ids or marks) and not _automatic(message):
        return Mail(digest, "answer", ids, sender, None, cases, marks)
    return Mail(digest, "other", ids, sender)


def _named(found: list[tuple[str, str]]) -> tuple[tuple[int, ...], tuple[tuple[int, str], ...]]:
    cases = dict.fromkeys(int(number) for number, code in found if not code)
    marks = dict.fromkeys((int(number), code.lower()) for number, code in found if code)
    return tuple(cases), tuple(marks)


def _bounce(message: Message, sender: str | None) -> tuple[tuple[str, ...], str | None] | None:
    """What came back and why, if something did."""
    if message.get_content_type() == "multipart/report":
        return _report(message)
    local = (sender or "").partition("@")[0].casefold()
    empty = _header(message, "Return-Path").strip() == "<>"
    if empty or local in ("mailer-daemon", "postmaster"):
        said = _text(message)
        ids, found = _ids(said), _PERMANENT.search(said)
        if ids and (found is not None or not _DELAYED.search(_subject(message))):
            return ids, None if found is None else found[0]
    return None


def _report(message: Message) -> tuple[tuple[str, ...], str | None] | None:
    """RFC 3464 §2: the fields of each recipient, and the message or its headers as it was returned."""
    failed, status, texts = False, None, list[str]()
    for part in _parts(message):
        kind = part.get_content_type()
        if kind in ("message/delivery-status", "message/global-delivery-status"):
            said = _payload(part)
            failed = failed or re.search(r"^Action:\s*failed\b", said, re.I | re.M) is not None
            found = re.search(r"^Status:\s*(5\.[0-9]{1,3}\.[0-9]{1,3})", said, re.I | re.M)
            status = found[1] if found is not None else status
        elif kind in ("message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers"):
            texts.append(_payload(part))
    texts += [_header(message, name) for name in ("X-Original-Message-ID", "Original-Message-ID", "In-Reply-To")]
    ids = _ids(" ".join(texts)) or _ids(_text(message))
    return (ids, status) if failed and ids else None


def _parts(message: Message) -> list[Message]:
    parts = []
    for part in message.walk():
        parts.append(part)
        if len(parts) >= MOST_PARTS:
            break
    return parts


def _payload(part: Message) -> str:
    """What a part holds, as text: of a nested message its headers, which is all that is asked."""
    payload = part.get_payload()
    if isinstance(payload, list):
        inner = [_headers(one) for one in payload[:MOST_PARTS] if isinstance(one, Message)]
        return "\n\n".join(inner)[:_LONGEST_TEXT]
    decoded = part.get_payload(decode=True)
    raw = decoded if isinstance(decoded, bytes) else str(payload).encode("utf-8", "replace")
    return raw[:_LONGEST_TEXT].decode("utf-8", "replace")


def _headers(message: Message) -> str:
    return "\n".join(f"{name}: {value}" for name, value in list(message.items())[:200])


def _text(message: Message) -> str:
    """Everything that is text, and the headers of what is enclosed, bounded."""
    kept, size = list[str](), 0
    for part in _parts(message):
        if part.get_content_maintype() in ("text", "message"):
            text = _payload(part)
            kept.append(text[: max(0, _LONGEST_TEXT - size)])
            size += len(text)
    return "\n".join(kept)


def _header(message: Message, name: str) -> str:
    value = message.get(name)
    return "" if value is None else str(value)[:_LONGEST_HEADER]


def _ids(text: str) -> tuple[str, ...]:
    """Message-IDs that look like ours, each once, in order."""
    return tuple(dict.fromkeys(f"<{found}>" for found in _OURS.findall(text)))[:MOST_IDS]


def _mailbox(message: Message, name: str) -> str | None:
    for _, address in getaddresses([_header(message, name)])[:5]:
        if is_mailbox(address):
            return address
    return None


def _meant_for(message: Message, opt_out: str | None) -> bool:
    if opt_out is None:
        return False
    names = ("To", "Cc", "Delivered-To", "X-Original-To", "Envelope-To")
    wanted = opt_out.casefold()  # not `canonical`: answers may come to what differs only behind the plus sign
    found = getaddresses([_header(message, name) for name in names])[:200]
    return any(address.casefold() == wanted for _, address in found)


def _subject(message: Message) -> str:
    raw = _header(message, "Subject")
    try:
        text = str(make_header(decode_header(raw)))
    except (UnicodeError, LookupError, ValueError):
        text = raw
    return " ".join(_REPLIES.sub("", unicodedata.normalize("NFC", " ".join(text.split()))).split())


def _asks(subject: str) -> bool:
    """Whether the subject begins with words that opt out: not a question that has them in its middle."""
    said = _bare(subject.strip(" \t\"'“”„«».!:"))
    named = _REFERENCE.search(subject) is not None
    return any(
        said == word or (named and said.startswith(word) and len(said) < len(word) + 45)
        for words in WORDS.values()
        for word in map(_bare, words)
    )


def _bare(text: str) -> str:
    """Without accents and capitals, the Turkish ones too, as people write subjects on any keyboard."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in parts if not unicodedata.combining(c)).replace("ı", "i")


def _automatic(message: Message) -> bool:
    """RFC 3834 §5, and what programs say that don't know it."""
    submitted = _header(message, "Auto-Submitted").partition(";")[0].strip().casefold()
    if submitted and submitted != "no":
        return True
    precedence = _header(message, "Precedence").strip().casefold()
    named = any(message.get(name) is not None for name in ("X-Autoreply", "X-Autorespond", "X-Auto-Response-Suppress"))
    return named or precedence in ("bulk", "junk", "list", "auto_reply")
