"""The receive buffer of one connection, which is also its inbound queue.

Octets are received into the back and PDUs are cut off the front. The buffer is as large as it began until a PDU needs
more, and a PDU's length is judged by its type before that: so memory is bounded whatever is announced. When there is no
room behind, what is held moves to the front; that is rare, for a buffer that was read empty begins at the front anyway.
"""

from __future__ import annotations

import contextlib
import struct
from typing import Final

from leadapron.kernel.errors import ProtocolError
from leadapron.wire.pdu import Limits
from leadapron.wire.pdu.limits import HEADER, bad_length, length_bounds, name_of

SMALL: Final = 64 * 1024
MIN_ROOM: Final = 4 * 1024  # less room than this is not worth a read

_HEADER: Final = struct.Struct(">BxI")


class ReceiveBuffer:
    """Octets between ``head`` and ``tail`` of ``view`` have been received and not taken."""

    __slots__ = ("_bounds", "head", "tail", "view")

    def __init__(self, limits: Limits, size: int = SMALL) -> None:
        self._bounds = length_bounds(limits)
        self.view = memoryview(bytearray(size))
        self.head = self.tail = 0

    def __len__(self) -> int:
        return self.tail - self.head

    @property
    def size(self) -> int:
        return len(self.view)

    def held(self) -> memoryview:
        """What is held. Valid until something is received or taken."""
        return self.view[self.head : self.tail]

    def drop(self, octets: int) -> None:
        """Takes ``octets`` off the front."""
        self.head += octets
        if self.head == self.tail:
            self.head = self.tail = 0

    def clear(self) -> None:
        self.head = self.tail = 0

    def pdu_size(self) -> int | None:
        """Octets of the PDU at the front with its header; None while the header is not whole.

        Raises ProtocolError or LimitExceeded as soon as its type, or its length for that type, is out of bounds.
        """
        held = self.tail - self.head
        if not held:
            return None
        pdu_type = self.view[self.head]
        bounds = self._bounds.get(pdu_type)
        if bounds is None:
            raise ProtocolError(f"{name_of(pdu_type)} where PS3.8 has 01H to 07H: the peer may not speak DICOM", 0)
        if held < HEADER:
            return None
        length: int = _HEADER.unpack_from(self.view, self.head)[1]
        if not bounds[0] <= length <= bounds[1]:
            raise bad_length(pdu_type, length, bounds)
        return HEADER + length

    def whole(self) -> bool:
        """A whole PDU is at the front. Raises as `pdu_size` does."""
        size = self.pdu_size()
        return size is not None and self.tail - self.head >= size

    def take(self) -> tuple[int, bytes] | None:
        """Type and body of the PDU at the front, None if it is not whole. Raises as `pdu_size` does."""
        size = self.pdu_size()
        if size is None or self.tail - self.head < size:
            return None
        head = self.head
        pdu_type = self.view[head]
        body = bytes(self.view[head + HEADER : head + size])
        self.drop(size)
        return pdu_type, body

    def make_room(self) -> bool:
        """Whether another read makes sense: there is room, made if need be; or what is at the front must go first.

        Raises as `pdu_size` does.
        """
        size = self.pdu_size()
        held = self.tail - self.head
        if size is not None and held >= size:
            # Moving what is held for every small PDU that is taken would cost more than it gains.
            if len(self.view) - self.tail < MIN_ROOM and held <= len(self.view) // 2:
                self.compact()
        elif size is not None and self.head + size > len(self.view):
            self.compact()
            self.grow(size + MIN_ROOM)
        elif len(self.view) - self.tail < MIN_ROOM:
            self.compact()
        return self.tail < len(self.view)

    def compact(self) -> int:
        """Moves what is held to the front; gives the room behind it."""
        held = self.tail - self.head
        if self.head:
            self.view[:held] = self.view[self.head : self.tail]
            self.head, self.tail = 0, held
        return len(self.view) - held

    def grow(self, size: int) -> None:
        """At least ``size`` octets in all."""
        if size > len(self.view):
            held = self.tail - self.head
            larger = memoryview(bytearray(size))
            larger[:held] = self.view[self.head : self.tail]
            self.view, self.head, self.tail = larger, 0, held

    def shrink(self) -> None:
        """Keeps the memory of what is held only: nothing more will come, but errors and tasks may keep us a while."""
        held = memoryview(bytearray(self.held()))
        with contextlib.suppress(BufferError):  # the loop is reading into it at this moment
            self.view.release()
        self.view, self.head, self.tail = held, 0, len(held)
