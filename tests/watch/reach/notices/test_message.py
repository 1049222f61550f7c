"""The message that is sent: its headers are ours alone, whatever a notice says."""

from __future__ import annotations

import email
import email.policy
from email.header import decode_header, make_header

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from casework import Calendar
from leadapron.watch.reach.notices.facts import printable
from leadapron.watch.reach.notices.layout import tidy, wrapped
from leadapron.watch.reach.notices.message import message
from leadapron.watch.reach.notices.store import LONGEST_SUBJECT
from postroom import NOTICE, US

HEADERS = [
    *("Message-ID", "Date", "From", "To", "Reply-To", "Subject", "In-Reply-To", "References", "Auto-Submitted"),
    *("List-Unsubscribe", "Content-Language", "Content-Type", "Content-Transfer-Encoding", "MIME-Version"),
]
hostile = st.one_of(
    st.text(max_size=300),
    st.sampled_from(
        [
            "a\r\nBcc: x@y.example",
            "a\nSubject: b",
            "=?utf-8?q?=0D=0ABcc:_x@y?=",
            "=??Q?=0D0",
            "ğüş " * 60,
            "\u2028Bcc: x",
            ".",
        ]
    ),
)


@given(hostile, hostile, hostile)
def test_no_text_becomes_a_header(subject: str, body: str, organisation: str) -> None:
    mail = msgspec.structs.replace(
        NOTICE,
        channel="email",
        recipient="it@clinic.example",
        message_id="<leadapron.1.0123456789abcdef@cert.example>",
        subject=printable(subject, LONGEST_SUBJECT) or "x",
        body=tidy(body),
    )
    settings = msgspec.structs.replace(US, organisation=organisation)
    before = ("<leadapron.9.0123456789abcdef@cert.example>",)
    octets = message(mail, settings, Calendar(), before)
    read = email.message_from_bytes(octets, policy=email.policy.default)
    assert sorted(read.keys()) == sorted(HEADERS)
    assert read["To"].addresses[0].addr_spec == "it@clinic.example" and len(read["To"].addresses) == 1
    assert read["From"].addresses[0].addr_spec == "open-images@cert.example" and len(read["From"].addresses) == 1
    plain = email.message_from_bytes(octets, policy=email.policy.compat32)  # decodes as the RFC says, spaces and all
    assert " ".join(str(make_header(decode_header(plain["Subject"]))).split()) == " ".join(mail.subject.split())
    body_read = plain.get_payload(decode=True).decode().replace("\r\n", "\n")
    assert body_read.rstrip() == wrapped(mail.body).rstrip()
    assert all(len(line) <= 998 for line in octets.split(b"\r\n"))
