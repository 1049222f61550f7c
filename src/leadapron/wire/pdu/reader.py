"""Reading PDUs, PS3.8 §9.3. A reader consumes, returns None, or raises, and nothing else.

`decode` turns the body of one PDU into its record. `PduReader` cuts a stream into PDUs: the type is judged when its
octet is there (an HTTP server is known by its first), the length when the 6-octet header is there, and only then is the
body awaited. It never holds more than one incomplete PDU.

What it costs: P-DATA-TF is the bulk, so its values are slices of what was received. A PDU that lies within one fed
``bytes`` is not copied at all; one that spans several is copied once. A value that is kept therefore keeps alive the
buffer it was cut from: who stores values copies them.

Identical A-ASSOCIATE-AC bodies are read once: nearly half of the open servers sit in clusters of identical
configuration.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final

from leadapron.kernel.errors import LimitExceeded, ProtocolError
from leadapron.wire.pdu.associate import read_accept, read_request
from leadapron.wire.pdu.limits import DEFAULT_LIMITS, HEADER, Limits, bad_length, length_bounds, name_of
from leadapron.wire.pdu.types import (
    Abort,
    AssociateAccept,
    AssociateReject,
    PData,
    Pdu,
    PduType,
    PresentationDataValue,
    ReleaseRequest,
    ReleaseResponse,
)

_HEADER: Final = struct.Struct(">BxI")
_PDV: Final = struct.Struct(">IBB")

# An accept of 30 contexts has about 1,000 octets. Larger ones are read each time: 1,024 kept ones stay under some 30 MB
# even if each was made to cost the most.
CACHED_ACCEPTS: Final = 1024
CACHED_ACCEPT_OCTETS: Final = 2048

_RELEASE_REQUEST: Final = ReleaseRequest()
_RELEASE_RESPONSE: Final = ReleaseResponse()


def decode(pdu_type: int, body: bytes | memoryview, limits: Limits = DEFAULT_LIMITS) -> Pdu:
    """The record of one PDU. ``body`` is the PDU without its 6-octet header; it must be all of it.

    The data of a P-DATA-TF are slices of ``body``: no copy if that is a memoryview. Raises ProtocolError for what PS3.8
    does not allow, LimitExceeded (one of them) for what is above ``limits``; offsets count from the PDU's first octet.
    """
    bounds = length_bounds(limits).get(pdu_type) if limits is not DEFAULT_LIMITS else _DEFAULT_BOUNDS.get(pdu_type)
    if bounds is None:
        raise _unknown_type(pdu_type)
    if not bounds[0] <= len(body) <= bounds[1]:
        raise bad_length(pdu_type, len(body), bounds)
    return _read(pdu_type, body, limits)


def decode_accept_cached(body: bytes) -> AssociateAccept:
    """`decode` of an A-ASSOCIATE-AC under the default limits, remembered for identical bodies of up to 2,048 octets."""
    return _cached(body) if len(body) <= CACHED_ACCEPT_OCTETS else _accept(body)


def _accept(body: bytes) -> AssociateAccept:
    bounds = _DEFAULT_BOUNDS[PduType.ASSOCIATE_AC]
    if not bounds[0] <= len(body) <= bounds[1]:
        raise bad_length(PduType.ASSOCIATE_AC, len(body), bounds)
    return read_accept(body, DEFAULT_LIMITS)


_cached: Final = lru_cache(maxsize=CACHED_ACCEPTS)(_accept)


class PduReader:
    """Cuts a stream of octets into PDUs.

    ``feed`` what was received, then call ``next_pdu`` until it returns None. After an error the reader stays failed:
    the stream cannot be found again, each further call raises the same error.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        self._bounds = length_bounds(limits)
        self._chunk = b""
        self._at = 0  # where in the chunk the next PDU begins
        self._partial = bytearray()  # the start of one PDU whose rest has not come; never more than that PDU
        self._need = HEADER  # size of that PDU if its header is there, else the header's
        self._error: ProtocolError | None = None

    @property
    def buffered(self) -> int:
        """Octets held that are not part of a returned PDU. Not 0 at the end of a stream: it broke off within a PDU."""
        return len(self._partial) + len(self._chunk) - self._at

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take what was received. ``bytes`` are not copied; other buffers are, since their owner may use them again."""
        data = data if isinstance(data, bytes) else bytes(data)
        if self._at < len(self._chunk):
            data = self._chunk[self._at :] + data
        self._chunk, self._at = data, 0

    def next_pdu(self) -> Pdu | None:
        """The next PDU, or None if more octets are needed. Raises ProtocolError, LimitExceeded."""
        if self._error is not None:
            raise self._error
        try:
            return self._resume() if self._partial else self._next()
        except ProtocolError as error:
            self._error = error
            self._chunk, self._at, self._partial = b"", 0, bytearray()
            raise

    def _next(self) -> Pdu | None:
        """A PDU that begins in the chunk: without a copy if it ends there too."""
        chunk, at = self._chunk, self._at
        held = len(chunk) - at
        if held >= HEADER:
            size = self._size(chunk, at)
            if held >= size:
                self._at = at + size
                return _read(chunk[at], memoryview(chunk)[at + HEADER : at + size], self.limits)
            self._need = size
        elif held:
            self._known(chunk[at])
            self._need = HEADER
        self._partial += memoryview(chunk)[at:]
        self._chunk, self._at = b"", 0
        return None

    def _resume(self) -> Pdu | None:
        """A PDU that began in an earlier chunk."""
        partial = self._partial
        self._take()
        if self._need == HEADER and len(partial) == HEADER:
            self._need = self._size(partial, 0)
            self._take()
        if len(partial) < self._need:
            return None
        self._partial, self._need = bytearray(), HEADER
        return _read(partial[0], memoryview(partial).toreadonly()[HEADER:], self.limits)

    def _take(self) -> None:
        """Move what is missing, or as much of it as there is, from the chunk."""
        end = min(self._at + self._need - len(self._partial), len(self._chunk))
        self._partial += memoryview(self._chunk)[self._at : end]
        self._at = end

    def _size(self, buffer: bytes | bytearray, at: int) -> int:
        """Octets of the PDU whose header lies at ``at``; raises if type or length is out of bounds."""
        pdu_type, length = _HEADER.unpack_from(buffer, at)
        low, high = self._known(pdu_type)
        if not low <= length <= high:
            raise bad_length(pdu_type, length, (low, high))
        return HEADER + int(length)

    def _known(self, pdu_type: int) -> tuple[int, int]:
        bounds = self._bounds.get(pdu_type)
        if bounds is None:
            raise _unknown_type(pdu_type)
        return bounds


def _unknown_type(pdu_type: int) -> ProtocolError:
    return ProtocolError(f"{name_of(pdu_type)} where PS3.8 has 01H to 07H: the peer may not speak DICOM", 0)


def _read(pdu_type: int, body: bytes | memoryview, limits: Limits) -> Pdu:
    """Type and length have been judged."""
    if pdu_type == 0x04:
        return _p_data(body, limits)
    if pdu_type == 0x02:
        return read_accept(bytes(body), limits)
    if pdu_type == 0x01:
        return read_request(bytes(body), limits)
    if pdu_type == 0x03:
        return AssociateReject(body[1], body[2], body[3])
    if pdu_type == 0x05:
        return _RELEASE_REQUEST
    if pdu_type == 0x06:
        return _RELEASE_RESPONSE
    return Abort(body[2], body[3])


def _p_data(body: bytes | memoryview, limits: Limits) -> PData:
    """PDV items, PS3.8 §9.3.5.1: bits 2 to 7 of the message control header are not tested (Annex E.2)."""
    values: list[PresentationDataValue] = []
    at, end = 0, len(body)
    while at < end:
        if at + 6 > end:
            raise ProtocolError(f"{end - at} octets left where a PDV header of 6 was expected", at + HEADER)
        length, context_id, control = _PDV.unpack_from(body, at)
        stop = at + 4 + length
        if length < 2 or stop > end:
            raise ProtocolError(f"a PDV announces {length} octets where 2 to {end - at - 4} are possible", at + HEADER)
        if len(values) >= limits.pdvs:
            raise LimitExceeded(f"more than {limits.pdvs} PDVs in one P-DATA-TF", at + HEADER)
        values.append(PresentationDataValue(context_id, control & 1 != 0, control & 2 != 0, body[at + 6 : stop]))
        at = stop
    return PData(tuple(values))


_DEFAULT_BOUNDS: Final = length_bounds(DEFAULT_LIMITS)
