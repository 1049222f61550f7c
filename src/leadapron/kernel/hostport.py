"""``host:port`` as people write it: ``pacs:104``, ``10.0.0.5:11112``, ``[2001:db8::5]:104``."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from leadapron.kernel.errors import UsageError

_NAME = re.compile(r"(?!-)[A-Za-z0-9_.-]{1,253}(?<!-)")


class HostPort(NamedTuple):
    """A host (name or address, without brackets) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it. A name other than ``localhost`` is not."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def parse_host_port(text: str, what: str, default_port: int | None = None, *, any_port: bool = False) -> HostPort:
    """Read ``text``; ``what`` says in an error where it stands. ``any_port``: 0 is let pass, which means to a listener
    whichever is free. Raises UsageError."""
    host, bracket, rest = text.removeprefix("[").partition("]") if text.startswith("[") else (text, "", "")
    if not bracket:
        host, colon, port = text.rpartition(":") if text.count(":") == 1 else (text, "", "")
    else:
        colon, port = rest[:1], rest[1:]
    if not colon and default_port is not None and not rest:
        port = str(default_port)
    if not port.isascii() or not port.isdigit() or not (0 if any_port else 1) <= int(port[:6]) < 65536:
        raise UsageError(f"{what}: {text!a} should be HOST:PORT, as in 192.168.1.10:104 or [2001:db8::5]:104")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if ":" in host or not _NAME.fullmatch(host):
            raise UsageError(f"{what}: {host!a} is neither a host name nor an address") from None
    return HostPort(host, int(port))
