"""What else answers on a DICOM port: the protocol's name by its first octets, and nothing more than that name.

A port match is not a service: in clouds under 2 % of the open 4242/11112 pairs spoke DICOM. Everything that answers
our A-ASSOCIATE-RQ with something else is named here, so that it is never counted as an imaging server. Most of it is
an error message, since we speak first and in a tongue that it doesn't know. What the server said goes no further: no
banner, no host name. Whether octets may be DICOM is decided before (``dicom.touch``); this function never says so.
"""

from __future__ import annotations

import re
from typing import Final

UNKNOWN: Final = "unknown"
LOOKED_AT: Final = 1024  # octets

# Each pattern is anchored at the first octet. The order matters where two would fit: the stricter one stands first.
_PATTERNS: Final[tuple[tuple[str, bytes], ...]] = (
    # TLS record: alert (15H), or a handshake (16H) with a ServerHello; RFC 8446 §5.1. SSL 2 answers with neither.
    ("tls", rb"\x15\x03[\x00-\x04]\x00[\x02-\x40]"),
    ("tls", rb"\x16\x03[\x00-\x04]..\x02\x00"),
    ("ssh", rb"SSH-\d"),
    ("http", rb"HTTP/\d"),
    ("rtsp", rb"RTSP/\d"),
    ("sip", rb"SIP/\d"),
    ("icap", rb"ICAP/\d"),
    ("xmpp", rb"\s*(?:<\?xml[^>]*>\s*)?<stream:"),
    ("http", rb"\s*<(?i:!doctype html|html|head|title|h1)[\s>]"),
    # Greetings with a three-digit code: the word that follows tells the two apart, else the reply to our nonsense.
    ("smtp", rb"[245]\d\d[ -][^\r\n]*(?:SMTP|[Mm]ail|Postfix|Exim|Exchange|Sendmail)"),
    ("ftp", rb"[245]\d\d[ -][^\r\n]*(?:FTP|ftp|FileZilla)"),
    ("nntp", rb"(?:200|201|400|502)[ -][^\r\n]*(?:NNTP|nntp|news|News|INN )"),
    ("smtp", rb"(?:220|421|554|500|501|502|503)[ -][^\r\n]*\r?\n(?:500|502|503|554)[ -]\d\.\d\.\d"),
    ("ftp", rb"(?:220)[ -][^\r\n]*\r?\n(?:500|530)[ -]"),
    ("pop3", rb"(?:\+OK|-ERR)(?: [^\r\n]*POP|[^\r\n]*<[^>\r\n]+>\r\n)"),
    ("redis", rb"-(?:ERR|NOAUTH|DENIED|MISCONF|NOPERM|LOADING)\b"),
    ("pop3", rb"\+OK[ \r]"),
    ("imap", rb"\* (?:OK|PREAUTH|BYE)[ \r]"),
    ("vnc", rb"RFB \d\d\d\.\d\d\d\n"),
    ("rsync", rb"@RSYNCD:"),
    ("svn", rb"\( success \("),
    ("memcached", rb"(?:CLIENT_)?ERROR(?: [^\r\n]*)?\r\n"),
    ("irc", rb"(?::\S+ )?(?:NOTICE|ERROR) (?:\S+ )?:"),
    ("hl7-mllp", rb"\x0b(?:MSH|BHS|FHS)"),
    ("amqp", rb"AMQP[\x00\x01\x02\x03]"),
    ("amqp", rb"\x01\x00\x00\x00\x00..\x00\x0a\x00\x0a"),
    ("smb", rb"\x00\x00..[\xff\xfe]SMB"),
    ("netbios", rb"\x83\x00\x00\x01[\x80-\x8f]"),
    # RFC 1006 TPKT with a connection confirm (D0H) or a disconnect request (80H): RDP, ISO transport.
    ("rdp", rb"\x03\x00\x00.[\x06-\x22][\xd0\x80]"),
    # MySQL and MariaDB: a packet number 0 that holds the handshake (protocol 10 or 9) or an error (FFH).
    ("mysql", rb"..\x00[\x00\x01](?:[\x09\x0a][\d.]+[^\x00]{0,60}\x00|\xff[\x00-\xff]\x04|\xff[\x00-\xff]\x05)"),
    ("postgres", rb"E\x00\x00..S(?:FATAL|ERROR)"),
    ("postgres", rb"(?:EFATAL|EERROR|Einvalid)[: ]"),
    ("mssql", rb"\x04\x01\x00.\x00[\x00-\xff]\x01\x00"),
    ("oracle", rb"\x00.\x00\x00[\x02\x04\x05\x0b]\x00\x00\x00"),
    ("mongodb", rb"..\x00\x00[\x00-\xff]{8}(?:\x01|\xdd\x07)\x00\x00"),
    ("ldap", rb"\x30(?:[\x05-\x7f]|\x81.|\x82..|\x84....)\x02[\x01-\x04][\x00-\xff]{1,4}?[\x61\x65\x78]"),
    ("mqtt", rb"\x20\x02[\x00\x01][\x00-\x05]$"),
    ("mqtt", rb"\x20[\x03-\x7f][\x00\x01][\x00\x80-\xa2]"),
    ("iec-104", rb"\x68\x04[\x01\x03\x07\x0b\x13\x23\x43\x83]\x00"),
    ("dnp3", rb"\x05\x64[\x05-\xff][\x00-\xff]"),
    ("modbus", rb"[\x00-\xff]{2}\x00\x00\x00\x03.[\x80-\xff][\x01-\x0b]$"),
    ("socks", rb"\x05[\x00-\x02\xff]$"),
    ("socks", rb"\x00[\x5a-\x5d][\x00-\xff]{6}$"),
    ("telnet", rb"\xff[\xf0-\xfe]"),
    ("pjl", rb"(?:\x1b%-12345X)?@PJL"),
    ("gopher", rb"3[^\t\r\n]*\t[^\t\r\n]*\t[^\t\r\n]*\t\d+\r\n"),
    ("telnet", rb"[\r\n ]*(?:[\w .-]{0,60})?(?:login|[Uu]sername|[Pp]assword): ?$"),
)
_COMPILED: Final = tuple((name, re.compile(pattern, re.DOTALL)) for name, pattern in _PATTERNS)
# All names that can come out.
PROTOCOLS: Final = frozenset(name for name, _ in _PATTERNS) | {UNKNOWN}


def identify(first_bytes: bytes) -> str:
    """The protocol's name, or ``unknown``. Pure, and bounded: it looks at the first ``LOOKED_AT`` octets."""
    start = bytes(first_bytes[:LOOKED_AT])
    for name, pattern in _COMPILED:
        if pattern.match(start):
            return name
    return UNKNOWN
