"""The first visit, read as a conversation: what the server says, what we say to it, what comes of it."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.watch.measure.dicom.proposal import ABSTRACT_SYNTAXES, VERIFICATION_CONTEXT, request
from leadapron.watch.measure.dicom.touch import Touch, Touched
from leadapron.watch.measure.model import (
    Aborted,
    Accepted,
    Depth,
    Echo,
    Failed,
    HungUp,
    Malformed,
    NotDicom,
    Refused,
    Rejected,
    Silent,
)
from leadapron.wire import uids
from leadapron.wire.aio.swarm import End
from leadapron.wire.dimse.command import CEchoResponse, encode_command
from leadapron.wire.pdu import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextResult,
    PData,
    PresentationDataValue,
    ReleaseRequest,
    ReleaseResponse,
    UserInformation,
    decode,
    encode,
)

ABORT, RELEASE, RELEASED = encode(Abort(0, 0)), encode(ReleaseRequest()), encode(ReleaseResponse())


class Line:
    """A link that only writes down."""

    def __init__(self) -> None:
        self.said: list[bytes] = []
        self.waits: list[float | None] = []
        self.closed = False

    def send(self, data: bytes) -> None:
        self.said.append(data)

    def deadline(self, seconds: float | None) -> None:
        self.waits.append(seconds)

    def close(self) -> None:
        self.closed = True

    abort = close


class Visit:
    def __init__(self, depth: Depth = "capabilities") -> None:
        self.results: list[Touched] = []
        self.line = Line()
        self.touch = Touch(self.results.append, called="ANY-SCP", calling="LEADAPRON", depth=depth, timeout=5)

    def open(self) -> Visit:
        self.touch.opened(self.line)
        return self

    def hears(self, *data: bytes) -> Visit:
        for piece in data:
            self.touch.received(piece)
        return self

    @property
    def result(self) -> Touched:
        assert len(self.results) == 1
        assert self.line.closed or not self.line.said
        return self.results[0]


def accept(*accepted: str, user: UserInformation | None = None) -> bytes:
    """An A-ASSOCIATE-AC that takes these abstract syntaxes of our proposal and refuses the others."""
    results = tuple(
        ContextResult(2 * n + 1, 0 if uid in accepted else 3, uids.IMPLICIT_LE)
        for n, uid in enumerate(ABSTRACT_SYNTAXES)
    )
    return encode(AssociateAccept(results, user or UserInformation(16384, "1.2.3", "TEST_1")))


def echoed(status: int = 0) -> bytes:
    command = encode_command(CEchoResponse(1, status))
    return encode(PData((PresentationDataValue(VERIFICATION_CONTEXT, True, True, command),)))


OPEN = (uids.VERIFICATION, uids.STUDY_ROOT_FIND, uids.CT_IMAGE_STORAGE)


def test_what_is_proposed_reads_every_capability_and_takes_nothing() -> None:
    pdu = decode(1, request()[6:])
    assert isinstance(pdu, AssociateRequest)
    assert pdu.calling == "LEADAPRON"
    assert [c.abstract_syntax for c in pdu.contexts] == list(ABSTRACT_SYNTAXES)
    # Without a role selection the other side cannot send us one image, even where GET is accepted (PS3.7 §D.3.3.4).
    assert pdu.user.roles == ()


def test_an_open_server() -> None:
    visit = Visit().open().hears(accept(*OPEN), echoed(), RELEASED)
    assert visit.result.outcome == Accepted(OPEN, 16384, "1.2.3", "TEST_1")
    assert (visit.result.echo, visit.result.requests, visit.result.connected) == (Echo(0), 1, True)
    assert visit.line.said[0] == request()
    assert visit.line.said[2] == RELEASE


@given(st.lists(st.integers(1, 60), max_size=60))
def test_the_pieces_in_which_it_comes_do_not_matter(cuts: list[int]) -> None:
    stream, visit = accept(*OPEN) + echoed() + RELEASED, Visit().open()
    for cut in cuts:
        if stream:
            visit.hears(stream[:cut])
            stream = stream[cut:]
    if stream:
        visit.hears(stream)
    assert visit.result.outcome == Accepted(OPEN, 16384, "1.2.3", "TEST_1")
    assert visit.result.echo == Echo(0)


def test_touch_only_associates_and_releases() -> None:
    visit = Visit("touch").open().hears(accept(*OPEN), RELEASED)
    assert (visit.result.echo, visit.result.requests, visit.line.said) == (None, 0, [request(), RELEASE])


def test_no_echo_where_verification_is_not_accepted() -> None:
    visit = Visit().open().hears(accept(uids.STUDY_ROOT_FIND), RELEASED)
    assert (visit.result.echo, visit.line.said) == (None, [request(), RELEASE])


def test_tells_of_a_decoy() -> None:
    everything = accept(*ABSTRACT_SYNTAXES, user=UserInformation(16384, None, None))
    outcome = Visit("touch").open().hears(everything, RELEASED).result.outcome
    assert isinstance(outcome, Accepted)
    assert outcome.tells == ("no-implementation-class-uid", "invented-abstract-syntax-accepted")


def test_terminal_escapes_in_names_are_disarmed() -> None:
    stream = accept(*OPEN).replace(b"TEST_1", b"\x1b[31mX")
    outcome = Visit("touch").open().hears(stream, RELEASED).result.outcome
    assert isinstance(outcome, Accepted)
    assert outcome.implementation_version_name == "?[31mX"


def test_rejected_aborted_and_other_protocols() -> None:
    assert Visit().open().hears(encode(AssociateReject(1, 1, 7))).result.outcome == Rejected(1, 1, 7)
    assert Visit().open().hears(encode(Abort(2, 1))).result.outcome == Aborted(2, 1)
    assert Visit().open().hears(b"HTTP/1.1 400 Bad Request\r\n\r\n").result.outcome == NotDicom("http")
    assert Visit().open().hears(b"SSH-2.0-OpenSSH_9.2\r\n").result.outcome == NotDicom("ssh")
    assert Visit().open().hears(b"\x15\x03\x01\x00\x02\x02\x46").result.outcome == NotDicom("tls")


def test_refused_and_unreachable_are_no_connections() -> None:
    visit = Visit()
    visit.touch.refused(errno.ECONNREFUSED)
    assert (visit.result.outcome, visit.result.connected) == (Refused("ECONNREFUSED"), False)


def test_silence_counts_what_dripped() -> None:
    visit = Visit().open().hears(accept(*OPEN)[:3])
    visit.touch.timed_out()
    assert isinstance(visit.result.outcome, Silent)
    assert visit.result.outcome.received == 3
    assert visit.line.said[-1] == ABORT


def test_a_drip_does_not_move_the_deadline() -> None:
    visit = Visit().open()
    for octet in accept(*OPEN)[:50]:
        visit.hears(bytes([octet]))
    assert visit.line.waits == [5]


@pytest.mark.parametrize(("end", "reset"), [(End.PEER_CLOSED, False), (End.RESET, True)])
def test_hung_up_before_an_answer(end: End, reset: bool) -> None:
    visit = Visit().open()
    visit.touch.ended(end)
    assert visit.result.outcome == HungUp(reset, 0)


@pytest.mark.parametrize("end", list(End))
def test_hung_up_after_the_accept_keeps_what_is_known(end: End) -> None:
    visit = Visit().open().hears(accept(*OPEN))
    visit.touch.ended(end)
    assert isinstance(visit.result.outcome, Accepted)
    assert visit.result.echo is not None
    assert visit.result.echo.status is None


def test_no_answer_to_release_ends_with_an_abort() -> None:
    visit = Visit().open().hears(accept(*OPEN), echoed())
    visit.touch.timed_out()
    assert visit.line.said[-2:] == [RELEASE, ABORT]
    assert visit.result.echo == Echo(0)


def test_a_release_collision_ends_too() -> None:
    visit = Visit().open().hears(accept(*OPEN), echoed(), RELEASE)
    assert visit.result.echo == Echo(0)


def test_four_gibibytes_are_not_awaited() -> None:
    visit = Visit().open().hears(b"\x02\x00\xff\xff\xff\xff")
    assert isinstance(visit.result.outcome, Malformed)


def test_a_broken_echo_keeps_the_accept() -> None:
    visit = Visit().open().hears(accept(*OPEN), encode(PData((PresentationDataValue(1, True, True, b"junk"),))))
    assert isinstance(visit.result.outcome, Accepted)
    assert visit.result.echo is not None
    assert visit.result.echo.status is None
    assert visit.line.said[-1] == ABORT


def test_what_breaks_in_us_is_our_fault() -> None:
    visit = Visit().open()
    visit.touch.failed(ZeroDivisionError())
    assert visit.result.outcome == Failed("a bug of ours: ZeroDivisionError")


@given(st.lists(st.binary(min_size=1, max_size=80), min_size=1, max_size=8))
def test_whatever_comes_gives_one_outcome_and_random_octets_are_no_dicom(pieces: list[bytes]) -> None:
    visit = Visit().open()
    for piece in pieces:
        if not visit.results:
            visit.hears(piece)
    if not visit.results:
        visit.touch.ended(End.PEER_CLOSED)
    assert isinstance(visit.result.outcome, NotDicom | HungUp | Malformed | Rejected | Aborted)


@given(st.data())
def test_a_damaged_accept_is_malformed_or_still_an_accept(data: st.DataObject) -> None:
    stream = bytearray(accept(*OPEN))
    for _ in range(data.draw(st.integers(1, 4))):
        stream[data.draw(st.integers(74, len(stream) - 1))] = data.draw(st.integers(0, 255))
    visit = Visit("touch").open().hears(bytes(stream), RELEASED)
    if not visit.results:
        visit.touch.timed_out()
    assert isinstance(visit.result.outcome, Accepted | Malformed)
