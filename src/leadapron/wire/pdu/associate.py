"""Reading A-ASSOCIATE-RQ and -AC, PS3.8 §9.3.2 and §9.3.3, PS3.7 Annex D.3.3.

Both are fixed fields, then a chain of items, some of which hold sub-items.

Three things decide how it is written. *Bounds*: each item and sub-item counts before it becomes an object (limits.py).
*Tolerance*: this is read from devices that nobody can mend, so what does no harm is let pass, namely

- AE titles padded with NULs or spaces, on either side; octets outside of ASCII come out as Latin-1 characters;
- UIDs and names that end in NULs or spaces;
- items and sub-items in any order; items of types that the standard does not define (PS3.8 §9.3.1 has them skipped);
- a missing application context, abstract syntax or User Information item (an empty str, a record of None);
- an A-ASSOCIATE-AC context without transfer syntax, which those with result ≠ 0 often are;
- a sub-item given twice: the later one counts.

*Silence*: an error says what was found and expected in numbers and offsets, never in the peer's words.

Offsets in errors count from the first octet of the PDU, header included.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final

from leadapron.kernel.errors import LimitExceeded, ProtocolError
from leadapron.wire.pdu.limits import ASSOCIATE_FIXED, HEADER, Limits
from leadapron.wire.pdu.types import (
    AssociateAccept,
    AssociateRequest,
    AsynchronousOperations,
    CommonExtendedNegotiation,
    ContextResult,
    ExtendedNegotiation,
    ProposedContext,
    RoleSelection,
    UserIdentity,
    UserInformation,
)

_ITEM: Final = struct.Struct(">BxH")
_RESULT: Final = struct.Struct(">BxBxBxH")  # content of 21H up to its 40H: PS3.8 Tables 9-18 and 9-19
_U16: Final = struct.Struct(">H")
_U32: Final = struct.Struct(">I")
_WINDOW: Final = struct.Struct(">HH")
_PADDING: Final = "\0 "


def read_request(body: bytes, limits: Limits) -> AssociateRequest:
    """``body``: the PDU without its 6-octet header. Raises ProtocolError, LimitExceeded."""
    reading = _Associate(body, limits)
    return AssociateRequest(
        called=_title(body, 4),
        calling=_title(body, 20),
        contexts=tuple(reading.proposed),
        user=reading.user,
        application_context=reading.application_context,
        protocol_version=_U16.unpack_from(body)[0],
    )


def read_accept(body: bytes, limits: Limits) -> AssociateAccept:
    """``body``: the PDU without its 6-octet header. Raises ProtocolError, LimitExceeded."""
    reading = _Associate(body, limits, accept=True)
    return AssociateAccept(
        contexts=tuple(reading.results),
        user=reading.user,
        called=_title(body, 4),
        calling=_title(body, 20),
        application_context=reading.application_context,
        protocol_version=_U16.unpack_from(body)[0],
    )


def _title(body: bytes, at: int) -> str:
    return str(body[at : at + 16], "latin-1").strip(_PADDING)


@lru_cache(maxsize=4096)
def _usual_result(content: bytes) -> ContextResult | None:
    """The content of a 21H of the usual form, one 40H that fills the rest; None where it has another.

    Servers that do not know each other answer with the same few hundred contents, so most are read once.
    """
    if len(content) < 8:
        return None
    identifier, result, kind, length = _RESULT.unpack_from(content)
    if kind != 0x40 or length != len(content) - 8:
        return None
    return ContextResult(identifier, result, str(content[8:], "latin-1").rstrip(_PADDING))


class _Associate:
    """One reading of the variable field. Every method takes offsets into ``body``; ``end`` is exclusive."""

    def __init__(self, body: bytes, limits: Limits, *, accept: bool = False) -> None:
        self.body, self.limits = body, limits
        self.proposed: list[ProposedContext] = []
        self.results: list[ContextResult] = []
        self.user = UserInformation(maximum_length=None)
        self.application_context = ""
        self._items = 0
        self._usual = 8 + min(limits.text, 64)  # PS3.5 §9.1: 64 bounds what `_usual_result` remembers
        self._read(accept)

    def _read(self, accept: bool) -> None:
        end, at = len(self.body), ASSOCIATE_FIXED
        user_seen = False
        while at < end:
            kind, start, at = self._item(at, end)
            if kind == 0x21 and accept:
                self._result(start, at)
            elif kind == 0x20 and not accept:
                self._proposed(start, at)
            elif kind == 0x50:
                if user_seen:
                    raise ProtocolError("a second User Information item where PS3.8 has one", start - 4 + HEADER)
                user_seen = True
                self.user = self._user_information(start, at)
            elif kind == 0x10:
                self.application_context = self._text(start, at)

    def _item(self, at: int, end: int) -> tuple[int, int, int]:
        """Type, start and end of the item's content at ``at``."""
        self._items += 1
        if self._items > self.limits.items:
            raise LimitExceeded(f"more than {self.limits.items} items in one A-ASSOCIATE PDU", at + HEADER)
        if at + 4 > end:
            raise ProtocolError(f"{end - at} octets left where an item header of 4 was expected", at + HEADER)
        kind, length = _ITEM.unpack_from(self.body, at)
        start = at + 4
        if start + length > end:
            raise ProtocolError(f"item {kind:02X}H announces {length} octets, {end - start} are left", at + 2 + HEADER)
        return kind, start, start + length

    def _text(self, start: int, end: int) -> str:
        """A UID or name. Nothing longer than ``limits.text`` octets is one."""
        if end - start > self.limits.text:
            raise LimitExceeded(
                f"a UID or name of {end - start} octets; at most {self.limits.text} are read", start + HEADER
            )
        return str(self.body[start:end], "latin-1").rstrip(_PADDING)

    def _counted(self, at: int, end: int) -> tuple[int, int]:
        """Start and end of a field that a 16-bit length at ``at`` counts (PS3.7 Annex D.3.3)."""
        if at + 2 > end:
            raise ProtocolError(f"{end - at} octets left where a 16-bit length was expected", at + HEADER)
        length = _U16.unpack_from(self.body, at)[0]
        if at + 2 + length > end:
            raise ProtocolError(f"a field announces {length} octets, {end - at - 2} are left in its item", at + HEADER)
        return at + 2, at + 2 + length

    def _proposed(self, at: int, end: int) -> None:
        """20H: id, three reserved octets, one abstract syntax 30H, transfer syntaxes 40H (PS3.8 §9.3.2.2)."""
        self._room(self.proposed, at, end)
        identifier, at = self.body[at], at + 4
        abstract, syntaxes = "", list[str]()
        while at < end:
            kind, start, at = self._item(at, end)
            if kind == 0x40:
                if len(syntaxes) >= self.limits.transfer_syntaxes:
                    raise LimitExceeded(
                        f"more than {self.limits.transfer_syntaxes} transfer syntaxes in one context",
                        start - 4 + HEADER,
                    )
                syntaxes.append(self._text(start, at))
            elif kind == 0x30:
                abstract = self._text(start, at)
        self.proposed.append(ProposedContext(identifier, abstract, tuple(syntaxes)))

    def _result(self, at: int, end: int) -> None:
        """21H: id, reserved, result, reserved, one transfer syntax 40H (PS3.8 §9.3.3.2)."""
        self._room(self.results, at, end)
        usual = _usual_result(self.body[at:end]) if end - at <= self._usual else None
        if usual is not None:
            self._items += 1
            self.results.append(usual)
            return
        identifier, result, at = self.body[at], self.body[at + 2], at + 4
        syntax = ""
        while at < end:
            kind, start, at = self._item(at, end)
            if kind == 0x40:
                syntax = self._text(start, at)
        self.results.append(ContextResult(identifier, result, syntax))

    def _room(self, contexts: list[ProposedContext] | list[ContextResult], at: int, end: int) -> None:
        if len(contexts) >= self.limits.contexts:
            raise LimitExceeded(f"more than {self.limits.contexts} presentation contexts", at - 4 + HEADER)
        if end - at < 4:
            raise ProtocolError(f"a presentation context of {end - at} octets where at least 4 are needed", at + HEADER)

    def _user_information(self, at: int, end: int) -> UserInformation:
        """50H and its sub-items (PS3.7 Annex D.3.3)."""
        body, limits = self.body, self.limits
        maximum_length: int | None = None
        class_uid: str | None = None
        version_name: str | None = None
        window: AsynchronousOperations | None = None
        identity: UserIdentity | None = None
        response: bytes | None = None
        roles: list[RoleSelection] = []
        extended: list[ExtendedNegotiation] = []
        common: list[CommonExtendedNegotiation] = []
        unknown: list[tuple[int, bytes]] = []
        first = self._items
        while at < end:
            kind, start, at = self._item(at, end)
            if self._items - first > limits.user_items:
                raise LimitExceeded(f"more than {limits.user_items} sub-items of User Information", start - 4 + HEADER)
            if kind == 0x51:
                self._exactly(4, kind, start, at)
                maximum_length = _U32.unpack_from(body, start)[0]
            elif kind == 0x52:
                class_uid = self._text(start, at)
            elif kind == 0x55:
                version_name = self._text(start, at)
            elif kind == 0x53:
                self._exactly(4, kind, start, at)
                window = AsynchronousOperations(*_WINDOW.unpack_from(body, start))
            elif kind == 0x54:
                begin, stop = self._counted(start, at)
                self._exactly(2, kind, stop, at)
                roles.append(RoleSelection(self._text(begin, stop), body[stop] != 0, body[stop + 1] != 0))
            elif kind == 0x56:
                begin, stop = self._counted(start, at)
                extended.append(ExtendedNegotiation(self._text(begin, stop), body[stop:at]))
            elif kind == 0x57:
                common.append(self._common_extended(start, at))
            elif kind == 0x58:
                identity = self._identity(start, at)
            elif kind == 0x59:
                begin, stop = self._counted(start, at)
                self._exactly(0, kind, stop, at)
                response = body[begin:stop]
            else:
                if len(unknown) >= limits.unknown_items:
                    raise LimitExceeded(
                        f"more than {limits.unknown_items} sub-items of unknown type", start - 4 + HEADER
                    )
                unknown.append((kind, body[start:at]))
        return UserInformation(
            maximum_length,
            class_uid,
            version_name,
            window,
            tuple(roles),
            tuple(extended),
            tuple(common),
            identity,
            response,
            tuple(unknown),
        )

    def _exactly(self, size: int, kind: int, start: int, end: int) -> None:
        if end - start != size:
            raise ProtocolError(
                f"sub-item {kind:02X}H has {end - start} octets where {size} were expected", start + HEADER
            )

    def _common_extended(self, start: int, end: int) -> CommonExtendedNegotiation:
        """57H: SOP class, service class, then UIDs each with its length (PS3.7 §D.3.3.6). What follows is reserved."""
        sop_class, at = self._counted(start, end)
        service_class, stop = self._counted(at, end)
        names = self._text(sop_class, at), self._text(service_class, stop)
        at, end = self._counted(stop, end)
        related: list[str] = []
        while at < end:
            if len(related) >= self.limits.related:
                raise LimitExceeded(f"more than {self.limits.related} related general SOP classes", at + HEADER)
            begin, at = self._counted(at, end)
            related.append(self._text(begin, at))
        return CommonExtendedNegotiation(*names, tuple(related))

    def _identity(self, start: int, end: int) -> UserIdentity:
        """58H: type, response requested, primary field, secondary field (PS3.7 §D.3.3.7)."""
        if end - start < 6:
            raise ProtocolError(f"sub-item 58H has {end - start} octets where at least 6 are needed", start + HEADER)
        primary, at = self._counted(start + 2, end)
        secondary, stop = self._counted(at, end)
        self._exactly(0, 0x58, stop, end)
        body = self.body
        return UserIdentity(body[start], body[start + 1] != 0, body[primary:at], body[secondary:stop])
