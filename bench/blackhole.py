"""Addresses that swallow every packet: a listener whose socket filter accepts nothing.

The kernel drops what a socket filter refuses before TCP sees it, so a connect to this port gets no answer at all, on
any loopback address: dead space, without touching the machine's firewall. It serves nothing and cannot be connected
to.
"""

from __future__ import annotations

import ctypes
import socket
import struct

SO_ATTACH_FILTER = 26
_RETURN = 0x06  # BPF_RET | BPF_K


class Blackhole:
    """Use as a context manager; ``port`` is dead on all of 127.0.0.0/8 meanwhile."""

    def __enter__(self) -> Blackhole:
        self._sock = socket.socket()
        program = ctypes.create_string_buffer(struct.pack("HBBI", _RETURN, 0, 0, 0))
        self._program = program
        filter_ = struct.pack("HxxxxxxQ", 1, ctypes.addressof(program))
        self._sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, filter_)
        self._sock.bind(("0.0.0.0", 0))
        self._sock.listen(1)
        self.port: int = self._sock.getsockname()[1]
        return self

    def __exit__(self, *exc: object) -> None:
        self._sock.close()
