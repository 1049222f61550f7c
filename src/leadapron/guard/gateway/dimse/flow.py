"""One direction of a relayed association: PDUs in, the same PDUs out, and a question for each message.

Data sets are the bulk, and are never held: a fragment passes as it arrives, once the headers of its PDU and its PDV
have been judged (cut-through), so a large PDU need not be whole anywhere. What passes unchanged goes on as views of the
receive buffer, however many PDUs lie in it; a gigabyte costs a few comparisons for each PDU, and no copy.

What is collected is small and bounded: command sets (``MAX_COMMAND``), query identifiers, and the head of a data set
where the listener wants to see it before anything goes on. What was collected goes on as it came, save that its framing
becomes one PDV in a PDU, which nearly all toolkits send anyway. So a maximum length that one end announces to the other
holds across the relay.

The framing is checked as PS3.8 §9.3.5 and Annex E have it: lengths nest, a context was accepted, the fragments of a
message are not mixed with others, a data set comes where its command set announces one, and nowhere else.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol

from leadapron.guard.gateway.dimse.messages import Buffer, frames
from leadapron.kernel.errors import LimitExceeded, ProtocolError
from leadapron.wire.dimse.command import MAX_COMMAND, Command, decode_command
from leadapron.wire.pdu.limits import HEADER, MAX_PDVS, SHORT, bad_length, name_of

MAX_HELD: Final = 64 * 1024
"""Octets of a query identifier that are collected (a real one has 100 to 2,000), and of a data set's head; the fragment
with which a head gets there may be longer."""
MAX_FRAGMENTS: Final = 4096
"""Of what is collected: empty ones add no octets, and would be waited for for ever."""
NOTED: Final = 4096
"""Octets of the beginning of a passing data set that are shown to the listener."""

_START: Final = struct.Struct(">BxIIBB")  # PDU and PDV header: PS3.8 §9.3.5, §9.3.5.1, Annex E.2
_PDV: Final = struct.Struct(">IBB")
_LENGTH: Final = struct.Struct(">I")
_WHOLE: Final = 12
_P_DATA: Final = 0x04
_COMMAND, _LAST = 1, 2


class Course(enum.Enum):
    """What becomes of a message."""

    PASS = "pass"
    """It goes on."""
    DROP = "drop"
    """It ends here, with its data set."""
    HOLD = "hold"
    """Its data set is collected, then asked about."""
    HEAD = "head"
    """The first fragments of its data set are collected, then asked about."""
    WAIT = "wait"
    """Nothing more is taken of this direction before ``resume``, which asks again."""


class Listener(Protocol):
    """Whoever decides. Everything it raises comes out of ``feed``."""

    @property
    def pdu(self) -> Callable[[], None]:
        """Called when a P-DATA-TF begins; once for fragments of one message that were received together, because
        nothing can happen between them. Raises where nothing more may pass."""
        ...

    def command(self, flow: Flow, context: int, command: Command) -> Course:
        """A command set is whole. HOLD and HEAD only if it announces a data set."""
        ...

    def held(self, flow: Flow, context: int, command: Command, data: bytes, whole: bool) -> Course:
        """What was collected of the data set: PASS or DROP, or HEAD once more if it is not ``whole``."""
        ...

    def noted(self, flow: Flow, context: int, command: Command, data: bytes) -> None:
        """The beginning of a data set that passes, if ``flow.note`` was set in `command`."""

    def dropped(self, flow: Flow) -> None:
        """The data set of a message that ends here is over."""

    def short(self, flow: Flow, kind: int, body: bytes) -> Course:
        """An A-RELEASE-RQ, A-RELEASE-RP or A-ABORT: PASS, or DROP."""
        ...


class Flow:
    """``feed`` takes octets and gives how many it took; the rest comes again, with more behind it.

    ``contexts`` are the accepted presentation context IDs, ``max_in`` bounds a P-DATA-TF of the sender, ``max_out`` is
    what the receiver announced (0: no limit). ``write`` takes what goes on: views are valid during the call only.
    """

    def __init__(
        self,
        listener: Listener,
        contexts: Collection[int],
        max_in: int,
        max_out: int,
        write: Callable[[Sequence[Buffer]], None],
    ) -> None:
        self.max_out = max_out
        self.note = False
        """Set by ``Listener.command``: show it the beginning of this message's data set as it passes."""
        self.octets = self.pdus = 0
        self.released = False
        """The sender has asked for release: it sends no more data (PS3.8 §7.2)."""
        self._contexts = frozenset(contexts)
        self._max_in = max_in
        self._listener = listener
        self._write = write
        self._within = False  # a fragment, of which …
        self._left = 0  # … so many octets are to come
        self._behind = 0  # octets of the PDU behind that fragment
        self._values = 0  # PDVs in this PDU
        self._control = 0  # of the fragment
        self._context: int | None = None  # of the message under way
        self._message: Command | None = None  # its command set, while its data set is under way
        self._raw = b""  # that command set, as long as it is held back
        self._course = Course.PASS
        self._kept = bytearray()  # what is collected or noted
        self._fragments = 0
        self._noting = False
        self._parts: list[Buffer] = []  # what goes on, during one feed
        self._queue: list[Buffer] = []  # messages of ours, until the one that passes is over
        self._feeding = False
        self._waiting: tuple[int, Command, bytes] | None = None
        self._last: tuple[bytes, Command] | None = None  # what was read last: C-FIND answers are all the same

    # ---- what others ask --------------------------------------------------------------------------------------------

    @property
    def midway(self) -> bool:
        """The sender has begun a PDU or a message, and not ended it."""
        return self._context is not None or self._within or self._behind > 0

    @property
    def waiting(self) -> bool:
        """A command waits for ``resume``."""
        return self._waiting is not None

    @property
    def _between(self) -> bool:
        """The receiver is between two messages."""
        return self._message is None or self._course is not Course.PASS

    def inject(self, context: int, command: bytes) -> None:
        """Sends a message of ours (without data set), as soon as no other is under way to the receiver."""
        parts = frames(context, command, command=True, last=True, max_pdu=self.max_out)
        if not self._between:
            self._queue += parts
        elif self._feeding:
            self._parts += parts
        else:
            self._write(parts)

    def resume(self) -> None:
        """Asks again about the command that waits. What it raises is what ``feed`` raises."""
        if self._waiting is not None:
            (context, command, raw), self._waiting = self._waiting, None
            self._feeding = True
            try:
                if self._judge(context, command, raw):
                    self._parts += frames(context, raw, command=True, last=True, max_pdu=self.max_out)
            finally:
                self._flush()

    def feed(self, view: memoryview) -> int:
        """Raises ProtocolError, LimitExceeded, and what the listener raises."""
        self._feeding = True
        try:
            taken = self._feed(view)
        finally:
            self._flush()
        self.octets += taken
        return taken

    def _flush(self) -> None:
        self._feeding = False
        if self._parts:
            parts, self._parts = self._parts, []
            self._write(parts)

    # ---- octets -----------------------------------------------------------------------------------------------------

    def _feed(self, view: memoryview) -> int:
        at = run = 0  # view[run:at] goes on as it is
        end = len(view)
        parts, check, max_in = self._parts, self._listener.pdu, self._max_in
        while self._waiting is None:
            if self._within:
                take = min(self._left, end - at)
                if self._control & _COMMAND == 0 and self._course is Course.PASS:
                    if self._noting:
                        self._note(view[at : at + take])
                    at += take
                else:
                    if at > run:
                        parts.append(view[run:at])
                    self._gather(view[at : at + take])
                    run = at = at + take
                self._left -= take
                if self._left:
                    break
                self._within = False
                if self._control & _LAST or self._course is Course.HEAD:
                    if at > run:
                        parts.append(view[run:at])
                        run = at
                    self._ended()
                continue
            if self._behind:  # another PDV of this PDU
                if end - at < 6:
                    break
                if at > run:
                    parts.append(view[run:at])
                value, context, control = _PDV.unpack_from(view, at)
                self._value(value, context, control, at)
                run = at = at + 6
                continue
            if end - at < _WHOLE or view[at] != _P_DATA:
                if at > run:
                    parts.append(view[run:at])
                run = at
                taken = self._other(view[at:end])
                if not taken:
                    break
                run = at = at + taken
                continue
            _, length, value, context, control = _START.unpack_from(view, at)
            if not 6 <= length <= max_in:
                raise bad_length(_P_DATA, length, (6, max_in))
            check()
            if self.released:
                raise ProtocolError("P-DATA-TF came after A-RELEASE-RQ", 0)
            self.pdus += 1
            stop = at + HEADER + length
            if value == length - 4:  # all of it is one PDV, as usual
                if control & _COMMAND:
                    if control & _LAST and self._context is None and stop <= end and context in self._contexts:
                        raw = bytes(view[at + _WHOLE : stop])
                        if at > run:  # our own messages must come behind it
                            parts.append(view[run:at])
                        run = at if self._judge(context, self._read(raw), raw) else stop
                        at = stop
                        continue
                elif context == self._context and self._course is Course.PASS and self._message and not self._noting:
                    self._control = control
                    if stop > end:
                        self._within, self._left = True, stop - end
                        at = end
                        break
                    if control & _LAST:
                        at = stop
                        parts.append(view[run:at])
                        run = at
                        self._ended()
                        continue
                    # The bulk: whole PDUs that begin as this one did. One comparison judges all twelve octets.
                    head, at, step = view[at : at + _WHOLE], stop, HEADER + length
                    while at + step <= end and view[at : at + _WHOLE] == head:
                        at += step
                        self.pdus += 1
                    continue
            if at > run:
                parts.append(view[run:at])
            self._behind, self._values = length, 0
            run = at = at + HEADER
        if at > run:
            parts.append(view[run:at])
        return at

    def _other(self, view: memoryview) -> int:
        """A PDU that is no P-DATA-TF, or is not here yet. How many octets were taken."""
        if not view:
            return 0
        kind = view[0]
        if not 0x04 <= kind <= 0x07:
            raise ProtocolError(f"{name_of(kind)} came where PS3.8 Table 9-10 does not allow it", 0)
        if len(view) < HEADER:
            return 0
        length = _LENGTH.unpack_from(view, 2)[0]
        low, high = (6, self._max_in) if kind == _P_DATA else (SHORT, SHORT)
        if not low <= length <= high:
            raise bad_length(kind, length, (low, high))
        if kind == _P_DATA or len(view) < HEADER + SHORT:
            return 0
        if self._context is not None and kind != 0x07:
            raise ProtocolError(f"{name_of(kind)} came within a message", 0)
        if self._listener.short(self, kind, bytes(view[HEADER : HEADER + SHORT])) is Course.PASS:
            self._parts.append(view[: HEADER + SHORT])
        return HEADER + SHORT

    def _value(self, length: int, context: int, control: int, at: int) -> None:
        """The header of a PDV that is not the only one of its PDU, or that is no plain matter."""
        if length < 2 or length + 4 > self._behind or 0 < self._behind - length - 4 < 6:
            raise ProtocolError(f"a PDV announces {length} octets where {self._behind} are left for PDVs", at)
        self._values += 1
        if self._values > MAX_PDVS:
            raise LimitExceeded(f"more than {MAX_PDVS} PDVs in one P-DATA-TF", at)
        if context not in self._contexts:
            raise ProtocolError("a PDV of a presentation context that was not accepted", at + 4)
        if self._context is not None and context != self._context:
            raise ProtocolError("a fragment of another presentation context came within a message", at + 4)
        command = control & _COMMAND
        if command and self._message is not None:
            raise ProtocolError("a command fragment came where the data set was expected", at + 5)
        if not command and self._message is None:
            raise ProtocolError("a data set fragment came where a command was expected", at + 5)
        self._context, self._control = context, control
        self._within, self._left = True, length - 2
        self._behind -= length + 4
        self._fragments += 1
        if self._fragments > MAX_FRAGMENTS and (command or self._course in (Course.HOLD, Course.HEAD)):
            raise LimitExceeded(f"a command set, or an identifier, in more than {MAX_FRAGMENTS} fragments", at)
        if not command and self._course is Course.PASS:
            self._parts.append(_START.pack(_P_DATA, length + 4, length, context, control))

    # ---- messages ---------------------------------------------------------------------------------------------------

    def _gather(self, data: memoryview) -> None:
        command = self._control & _COMMAND
        if not command and self._course is Course.DROP:
            return
        kept = self._kept
        if command and len(kept) + len(data) > MAX_COMMAND:
            raise LimitExceeded(f"a command set is longer than {MAX_COMMAND} octets")
        if not command and self._course is Course.HOLD and len(kept) + len(data) > MAX_HELD:
            raise LimitExceeded(f"an identifier is longer than {MAX_HELD} octets")
        kept += data

    def _note(self, data: memoryview) -> None:
        kept = self._kept
        kept += data[: NOTED - len(kept)]
        if len(kept) >= NOTED or (self._control & _LAST and len(data) == self._left):
            self._noting = False
            assert self._context is not None and self._message is not None
            self._listener.noted(self, self._context, self._message, self._take())

    def _take(self) -> bytes:
        kept, self._kept, self._fragments = bytes(self._kept), bytearray(), 0
        return kept

    def _ended(self) -> None:
        """A command set or data set is over, or a fragment of its head."""
        context = self._context
        assert context is not None
        if self._control & _COMMAND:
            raw = self._take()
            if self._judge(context, self._read(raw), raw):
                self._parts += frames(context, raw, command=True, last=True, max_pdu=self.max_out)
            return
        last = self._control & _LAST != 0
        if self._course in (Course.HOLD, Course.HEAD):
            self._show(context, last)
        if last:
            dropped = self._course is Course.DROP
            self._course, self._context, self._message = Course.PASS, None, None
            self._noting = False
            self._parts += self._queue
            self._queue.clear()
            if dropped:
                self._listener.dropped(self)

    def _show(self, context: int, last: bool) -> None:
        """The listener decides about what is held, and it goes on or not."""
        message = self._message
        assert message is not None
        whole = last or len(self._kept) >= MAX_HELD
        data = bytes(self._kept)
        course = self._listener.held(self, context, message, data, whole)
        if course is Course.HEAD and not whole:
            return
        self._take()
        self._course = Course.PASS if course is Course.PASS else Course.DROP
        if course is Course.PASS:
            self._parts += frames(context, self._raw, command=True, last=True, max_pdu=self.max_out)
            self._parts += frames(context, data, command=False, last=last, max_pdu=self.max_out)
        self._raw = b""

    def _read(self, raw: bytes) -> Command:
        if self._last is None or self._last[0] != raw:
            self._last = raw, decode_command(raw)
        return self._last[1]

    def _judge(self, context: int, command: Command, raw: bytes) -> bool:
        """Asks the listener about a command set; whether that goes on now."""
        self.note = False
        course = self._listener.command(self, context, command)
        if course is Course.WAIT:
            self._context, self._waiting = None, (context, command, raw)
            return False
        if not command.has_data_set:
            self._context = None
            return course is Course.PASS
        self._context, self._message, self._course = context, command, course
        self._noting = self.note and course is Course.PASS
        self._fragments = 0
        self._raw = raw if course in (Course.HOLD, Course.HEAD) else b""
        return course is Course.PASS
