"""What happened: PS3.15 A.5 messages, chained on disk, forwarded as syslog over TLS."""
