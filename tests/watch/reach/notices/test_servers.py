"""What mail servers and programs of others send back, each in its own way; and mail that is made to hurt."""

from __future__ import annotations

import base64
import time
from email.message import EmailMessage

import pytest

from leadapron.watch.reach.notices.incoming.boxes import LONGEST
from leadapron.watch.reach.notices.incoming.facts import AWAY, identity, understood

OURS = "<leadapron.7.0123456789abcdef@cert.example>"
OPT_OUT = "optout@cert.example"
FIELDS = "Reporting-MTA: dns; mx.clinic.example\n\nFinal-Recipient: rfc822; it@clinic.example\n"
RETURNED = f"From: open-images@cert.example\nTo: it@clinic.example\nMessage-ID: {OURS}\nSubject: Your server\n"


def report(fields: str, returned: str = "message/rfc822", *, subject: str = "Undelivered", sender: str = "", human: str = "sorry") -> bytes:  # fmt: skip # noqa: E501
    head = f"From: {sender or 'MAILER-DAEMON@mx.clinic.example'}\nTo: open-images@cert.example\nSubject: {subject}\n"
    parts = [f"Content-Type: text/plain; charset=utf-8\n\n{human}\n"]
    parts.append(f"Content-Type: message/delivery-status\n\n{FIELDS}{fields}\n")
    if returned:
        parts.append(f"Content-Type: {returned}\n\n{RETURNED}\nbody\n")
    body = "".join(f"--=_b\n{part}" for part in parts)
    kind = 'multipart/report; report-type=delivery-status;\n\tboundary="=_b"'
    return f"{head}MIME-Version: 1.0\nContent-Type: {kind}\n\n{body}--=_b--\n".encode()


def plain(text: str, *, sender: str = "MAILER-DAEMON@mx.clinic.example", subject: str = "failure notice", more: str = "") -> bytes:  # fmt: skip # noqa: E501
    return f"Return-Path: <>\nFrom: {sender}\nTo: open-images@cert.example\nSubject: {subject}\n{more}\n{text}".encode()


QMAIL = f"""Hi. This is the qmail-send program at mx.clinic.example.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<it@clinic.example>:
Sorry, no mailbox here by that name. (#5.1.1)

--- Below this line is a copy of the message.

{RETURNED}
"""
EXIM = f"""This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  it@clinic.example
    host mx [192.0.2.1]: 550 User unknown

------ This is a copy of the message's headers. ------

{RETURNED}
"""
EXIM_LATER = f"""This message was created automatically by mail delivery software.
A message that you sent has not yet been delivered to one or more of its
recipients after more than 24 hours on the queue on mx.clinic.example.

The message identifier is:     1abc
{RETURNED}
"""
BOUNCES = {
    "postfix": report("Action: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 unknown"),
    "postfix, headers only": report("Action: failed\nStatus: 5.1.1", "text/rfc822-headers"),
    "postfix, given up after days": report("Action: failed\nStatus: 4.4.1"),
    "exchange": report(
        "Action: failed\nStatus: 5.1.10\nX-Display-Name: it@clinic.example",
        subject="Unzustellbar: Your server",
        sender="Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@clinic.example>",
    ),
    "gmail": report(
        "Action: failed\nStatus: 5.1.1\nLast-Attempt-Date: Sun, 22 Nov 2026 00:00:00 -0800 (PST)",
        subject="Delivery Status Notification (Failure)",
        sender="Mail Delivery Subsystem <mailer-daemon@googlemail.com>",
    ),
    "sendmail, relayed elsewhere too": report("Action: FAILED\nStatus: 5.7.1 (refused)"),
    "message/global": report("Action: failed\nStatus: 5.6.7", "message/global-headers"),
    "qmail": plain(QMAIL),
    "exim": plain(
        EXIM, sender="Mail Delivery System <Mailer-Daemon@mx.clinic.example>", more="X-Failed-Recipients: it"
    ),
    "in base64": (
        b"Return-Path: <>\nFrom: postmaster@mx.clinic.example\nSubject: Undeliverable\nMIME-Version: 1.0\n"
        b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n"
    )
    + base64.encodebytes(QMAIL.encode()),
}
NONE = {
    "postfix, delayed": report("Action: delayed\nStatus: 4.4.1\nWill-Retry-Until: Mon, 23 Nov 2026 00:00:00 +0000"),
    "gmail, delayed": report("Action: delayed\nStatus: 4.4.1", subject="Delivery Status Notification (Delay)"),
    "delivered": report("Action: delivered\nStatus: 2.0.0"),
    "relayed": report("Action: relayed\nStatus: 2.0.0"),
    "exim, delayed": plain(EXIM_LATER, subject="Warning: message 1abc delayed 24 hours"),
    "of a mail of somebody else": report("Action: failed\nStatus: 5.1.1", "").replace(OURS.encode(), b"<a@b>"),
    "qmail, of somebody else": plain(QMAIL.replace(OURS, "<a@b.example>")),
}


@pytest.mark.parametrize("which", BOUNCES)
def test_a_bounce(which: str) -> None:
    found = understood(BOUNCES[which], OPT_OUT)
    assert found is not None and (found.kind, found.ours) == ("bounce", (OURS,))


@pytest.mark.parametrize("which", NONE)
def test_no_bounce(which: str) -> None:
    found = understood(NONE[which], OPT_OUT)
    assert found is not None and found.kind == "other"


def answer(subject: str = "Re: Your server", **headers: str) -> bytes:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "it@clinic.example", "answers@cert.example", subject
    made["In-Reply-To"] = OURS
    for name, value in headers.items():
        made[name.replace("_", "-")] = value
    made.set_content("hello")
    return made.as_bytes()


PROGRAMS = {
    "rfc3834": {"Auto_Submitted": "auto-replied; owner-email=it@clinic.example"},
    "gmail": {"Precedence": "bulk", "X_Autoreply": "yes"},
    "exchange": {"X_Auto_Response_Suppress": "All"},
    "no return path": {"Return_Path": "<>"},
}


@pytest.mark.parametrize("which", PROGRAMS)
def test_what_programs_answer_is_no_answer(which: str) -> None:
    found = understood(answer(**PROGRAMS[which]), OPT_OUT)
    assert found is not None and found.kind == "other"


@pytest.mark.parametrize("words", AWAY)
def test_a_note_of_absence_is_no_answer(words: str) -> None:
    for subject in (f"{words.capitalize()}: Your server", f"AW: {words.upper()} bis 3.12."):
        found = understood(answer(subject), OPT_OUT)
        assert found is not None and found.kind == "other", subject


@pytest.mark.parametrize("subject", ["Re: Your server", "Your server: out of office hours we close it", "Auto", ""])
def test_what_people_answer_is_one(subject: str) -> None:
    found = understood(answer(subject, Auto_Submitted="no"), OPT_OUT)
    assert found is not None and found.kind == "answer"


def test_a_receipt_is_no_answer() -> None:
    text = (
        f"From: it@clinic.example\nSubject: Read: Your server\nIn-Reply-To: {OURS}\nMIME-Version: 1.0\n"
        "Content-Type: multipart/report; report-type=disposition-notification; boundary=b\n\n"
        "--b\nContent-Type: text/plain\n\nread\n--b\nContent-Type: message/disposition-notification\n\n"
        f"Original-Message-ID: {OURS}\nDisposition: manual-action/MDN-sent-manually; deleted\n\n--b--\n"
    )
    found = understood(text.encode(), OPT_OUT)
    assert found is not None and found.kind == "other"


HEAD = b"From: a@b.example\nMessage-ID: <x@y>\nSubject: Re: hi\n"
HOSTILE = {
    "quotes that never end": HEAD + b'Content-Type: multipart/mixed; boundary="' + b";" * LONGEST,
    "parameters": HEAD + b"Content-Type: multipart/mixed; boundary=b" + b';"' * (LONGEST // 2),
    "folded quotes": HEAD + b'Content-Type: multipart/mixed; boundary="' + b";;;;;;;\n " * (LONGEST // 9),
    "in each part": HEAD
    + b"Content-Type: multipart/mixed; boundary=b\n\n"
    + (b'--b\nContent-Type: multipart/mixed; boundary="' + b";" * 5000 + b"\n\n") * (LONGEST // 5050),
    "parts": HEAD + b"Content-Type: multipart/report; boundary=b\n\n" + b"--b\n\n" * 10_000,
    "headers": b"a:\n" * (LONGEST // 8) + HEAD,
    "one header": b"From: " + b"x" * LONGEST,
    "comments": b"From: " + b"(" * LONGEST,
    "no charset": HEAD + b'Content-Type: text/plain; charset="' + b"x" * LONGEST + b'"\n\nhi',
    "references": HEAD + b"References: " + OURS.encode() * (LONGEST // 50),
}


@pytest.mark.parametrize("which", HOSTILE)
def test_mail_that_is_made_to_hurt_is_done_with_quickly(which: str) -> None:
    octets = HOSTILE[which][:LONGEST]
    begun = time.process_time()
    understood(octets, OPT_OUT)
    identity(octets)
    assert time.process_time() - begun < 20, "some seconds at most on a slow machine; the square of it took hours"
