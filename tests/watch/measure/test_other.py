"""First octets of what answers on DICOM ports without being DICOM, as the services really send them."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.watch.measure.other import PROTOCOLS, identify


@pytest.mark.parametrize(
    ("first", "protocol"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n<html>", "http"),
        (b"<!DOCTYPE HTML PUBLIC", "http"),  # an HTTP/0.9 answer has no status line
        (b"<html><head><title>400</title>", "http"),
        (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "ssh"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "tls"),  # alert: protocol_version
        (b"\x15\x03\x03\x00\x02\x02\x0a", "tls"),  # alert: unexpected_message
        (b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03", "tls"),  # ServerHello
        (b"220 mail.example.org ESMTP Postfix (Debian)\r\n", "smtp"),
        (b"554 SMTP synchronization error\r\n", "smtp"),
        (b"220 host.example.org\r\n502 5.5.2 Error: command not recognized\r\n", "smtp"),
        (b"220 (vsFTPd 3.0.3)\r\n", "ftp"),
        (b"220 Microsoft FTP Service\r\n", "ftp"),
        (b"220 ready\r\n530 Please login with USER and PASS.\r\n", "ftp"),
        (b"220 ready\r\n", "unknown"),
        (b"+OK Dovecot ready.\r\n", "pop3"),
        (b"+OK POP3 ready <1896.697170952@example.org>\r\n", "pop3"),
        (b"* OK [CAPABILITY IMAP4rev1] Dovecot ready.\r\n", "imap"),
        (b"200 news.example.org NNTP server ready\r\n", "nntp"),
        (b"RFB 003.008\n", "vnc"),
        (b"\x03\x00\x00\x13\x0e\xd0\x00\x00\x124\x00\x02\x1f\x08\x00\x02\x00\x00\x00", "rdp"),
        (b"\x03\x00\x00\x0b\x06\xd0\x00\x00\x12\x34\x00", "rdp"),
        (b"J\x00\x00\x00\n8.0.36\x00\x08\x00\x00\x00", "mysql"),
        (b"Y\x00\x00\x00\n5.5.5-10.11.6-MariaDB-0+deb12u1\x00", "mysql"),
        (b"F\x00\x00\x00\xffj\x04Host '10.0.0.1' is not allowed", "mysql"),
        (b"!\x00\x00\x01\xff\x84\x04#08S01Got packets out of order", "mysql"),
        (b"E\x00\x00\x00\x85SFATAL\x00VFATAL\x00C0A000\x00", "postgres"),
        (b"EFATAL:  unsupported frontend protocol 256.0", "postgres"),
        (b"-ERR unknown command\r\n", "redis"),
        (b"-DENIED Redis is running in protected mode", "redis"),
        (b"ERROR\r\n", "memcached"),
        (b"\x00\x00\x00\x55\xffSMB\x72\x00", "smb"),
        (b"\x00\x00\x00\xf0\xfeSMB@\x00", "smb"),
        (b"\x83\x00\x00\x01\x8f", "netbios"),
        (b"0\x84\x00\x00\x00\x10\x02\x01\x01\x61\x84\x00\x00\x00\x07\n\x01\x02", "ldap"),
        (b"0\x24\x02\x01\x00\x78\x1f\n\x01\x02\x04\x00\x04\x00\x8a\x16", "ldap"),  # notice of disconnection
        (b"\x0bMSH|^~\\&|LAB|", "hl7-mllp"),
        (b"\xff\xfd\x18\xff\xfd \xff\xfd#", "telnet"),
        (b"\r\nswitch login: ", "telnet"),
        (b"Password: ", "telnet"),
        (b"SIP/2.0 400 Bad Request\r\n", "sip"),
        (b"RTSP/1.0 400 Bad Request\r\n", "rtsp"),
        (b"\x20\x02\x00\x05", "mqtt"),
        (b"AMQP\x00\x00\x09\x01", "amqp"),
        (b"@RSYNCD: 31.0\n", "rsync"),
        (b"<?xml version='1.0'?><stream:stream xmlns=", "xmpp"),
        (b":irc.example.org NOTICE * :*** Looking up", "irc"),
        (b"\x05\xff", "socks"),
        (b"\x04\x01\x00\x33\x00\x00\x01\x00\xaa\x1f", "mssql"),
        (b"\x00\x20\x00\x00\x04\x00\x00\x00\x22\x00", "oracle"),
        (b"", "unknown"),
        (b"\x00", "unknown"),
        (b"\x02", "unknown"),
        (b"hello", "unknown"),
    ],
)
def test_protocols_are_named(first: bytes, protocol: str) -> None:
    assert identify(first) == protocol


def test_dicom_is_never_said() -> None:
    assert "dicom" not in PROTOCOLS
    dice = random.Random(2026)
    for _ in range(20_000):
        assert identify(dice.randbytes(dice.randrange(0, 80))) in PROTOCOLS
    for kind in range(1, 8):
        pdu = bytes([kind, 0, 0, 0, 0, 4, 0, 1, 1, 7])
        assert identify(pdu) == "unknown"


@given(st.binary(max_size=200))
def test_any_octets_give_a_known_name(first: bytes) -> None:
    assert identify(first) in PROTOCOLS
    assert identify(memoryview(first)) == identify(first)  # type: ignore[arg-type]  # what a transport hands over


def test_adversarial_text_does_not_backtrack() -> None:
    # A bound on work, not a measured time: a pattern that backtracked would take minutes on these.
    begun = time.process_time()
    for text in (b"220 " + b"a" * 5000, b" " * 5000, b"+OK" + b"<" * 5000, b"3" + b"\t" * 5000, b"login" * 900):
        assert identify(text) in PROTOCOLS
    assert time.process_time() - begun < 2
