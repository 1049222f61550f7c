"""What happened: PS3.15 A.5 messages, chained on disk, forwarded as syslog over TLS.

`Trail.record` writes an event of `events`; `note` does so from any process; `verify` reads all; `Forwarder` sends all.
"""
