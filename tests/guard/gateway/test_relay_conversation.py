"""The relay without I/O: octets in on one side, octets out on the other, and a judge in between."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.talking import ABORT, CT, IMAGE, RELEASE_RP, RELEASE_RQ, Talk, Verdicts, header, message, one_pdu, store
from leadapron.guard.gateway.dimse.conversation import Ended, Outcome
from leadapron.guard.gateway.dimse.flow import MAX_HELD, Course
from leadapron.kernel.errors import LimitExceeded, ProtocolError
from leadapron.wire import uids
from leadapron.wire.dimse.command import (
    RESPONSE_OF,
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CFindResponse,
    CGetRequest,
    CGetResponse,
    Command,
    CStoreRequest,
    CStoreResponse,
    NActionRequest,
    NCreateRequest,
    NDeleteRequest,
    NEventReportRequest,
    NGetRequest,
    NSetRequest,
    Request,
    encode_command,
)

FIND, GET = uids.STUDY_ROOT_FIND, uids.STUDY_ROOT_GET
FILM_SESSION = "1.2.840.10008.5.1.1.1"
PENDING = 0xFF00
REFUSED = 0x0124


def answered(number: int = 1, status: int = 0) -> bytes:
    return message(CStoreResponse(number, status, sop_class=CT, sop_instance="1.2.3"))


def pending(number: int = 1, data: bytes = b"an answer.") -> bytes:
    return message(CFindResponse(number, PENDING, has_data_set=True, sop_class=FIND), data)


def refuse(status: int, *kinds: type[Command]) -> Verdicts:
    return Verdicts(on_request=lambda operation: status if isinstance(operation.request, kinds) else Course.PASS)


# ---- what is allowed goes through as it came ------------------------------------------------------------------------


@given(st.lists(st.integers(1, 60000), min_size=1, max_size=4), st.integers(1, 9000), st.integers(64, 20000))
def test_octets_are_the_same_however_they_arrive(sizes: list[int], chunk: int, max_pdu: int) -> None:
    octets = b"".join(store(number, bytes(size), max_pdu=max_pdu) for number, size in enumerate(sizes, 1))
    talk = Talk()
    talk.ask(octets, chunk)
    assert [(len(data or b""), command) for _, command, data in talk.sent_inward()] == [
        (size, CStoreRequest(number, CT, "1.2.3")) for number, size in enumerate(sizes, 1)
    ]
    assert talk.held(talk.inward) == 0
    assert [len(head) for head in talk.judge.heads] == [min(size, 4096) for size in sizes]
    talk.answer(b"".join(answered(number) for number in range(1, len(sizes) + 1)), chunk)
    assert len(talk.sent_outward()) == len(sizes)
    assert talk.judge.told == [("CStoreRequest", 0)] * len(sizes)


@given(st.integers(1, 40), st.data())
def test_several_pdvs_in_a_pdu_are_the_same_message(chunk: int, data: st.DataObject) -> None:
    raw = encode_command(CStoreRequest(1, CT, "1.2.3"))
    cut = data.draw(st.integers(0, len(raw)))
    octets = one_pdu((1, 1, raw[:cut]), (1, 3, raw[cut:]), (1, 0, IMAGE[:1000]), (1, 0, b"")) + one_pdu(
        (1, 0, IMAGE[1000:2000]), (1, 2, IMAGE[2000:])
    )
    talk = Talk()
    talk.ask(octets, chunk)
    assert talk.sent_inward() == [(1, CStoreRequest(1, CT, "1.2.3"), IMAGE)]


def test_a_data_set_is_not_held() -> None:
    """Cut-through: what has arrived of a PDU of 1 MiB is on its way before the rest comes."""
    talk = Talk()
    raw = encode_command(CStoreRequest(1, CT, "1.2.3"))
    talk.ask(one_pdu((1, 3, raw)) + header(4, 1 << 20) + struct.pack(">IBB", (1 << 20) - 4, 1, 2) + bytes(100_000))
    assert len(talk.acceptor) > 100_000
    assert talk.held(talk.inward) == 0


def test_unchanged_octets_pass_unchanged() -> None:
    talk = Talk()
    talk.ask(message(CEchoRequest(7)) + RELEASE_RQ).answer(message(CEchoResponse(7, 0)) + RELEASE_RP)
    assert bytes(talk.acceptor) == message(CEchoRequest(7)) + RELEASE_RQ
    assert bytes(talk.requestor) == message(CEchoResponse(7, 0)) + RELEASE_RP
    assert talk.conversation.outcome is Outcome.RELEASED


# ---- what is not allowed is answered here ---------------------------------------------------------------------------


@given(st.integers(1, 9000), st.booleans())
def test_a_refused_store_is_swallowed_and_answered(chunk: int, at_head: bool) -> None:
    judge = refuse(REFUSED, CStoreRequest)
    if at_head:
        judge.on_request = lambda operation: (
            Course.HEAD if isinstance(operation.request, CStoreRequest) else Course.PASS
        )
        judge.on_held = lambda operation, data, whole: REFUSED if len(data) > 5000 or whole else Course.HEAD
    talk = Talk(judge)
    talk.ask(store(5) + message(CEchoRequest(6)), chunk)
    assert [command for _, command, _ in talk.sent_inward()] == [CEchoRequest(6)]
    ((context, command, data),) = talk.sent_outward()
    assert (context, data) == (1, None)
    assert isinstance(command, CStoreResponse) and (command.responds_to, command.status) == (5, REFUSED)
    talk.answer(message(CEchoResponse(6, 0)))  # the association goes on
    assert len(talk.sent_outward()) == 2


def test_a_refusal_waits_for_the_end_of_the_data_set() -> None:
    talk = Talk(refuse(REFUSED, CStoreRequest))
    octets = store()
    talk.ask(octets[:-10])
    assert not talk.requestor
    talk.ask(octets[-10:])
    assert len(talk.sent_outward()) == 1


def test_a_head_is_held_until_it_is_known() -> None:
    judge = Verdicts(on_request=lambda operation: Course.HEAD)
    judge.on_held = lambda operation, data, whole: Course.PASS if len(data) > 6000 else Course.HEAD
    talk = Talk(judge)
    octets = store()
    talk.ask(octets[:5000])
    assert not talk.acceptor
    talk.ask(octets[5000:])
    assert talk.sent_inward() == [(1, CStoreRequest(1, CT, "1.2.3"), IMAGE)]


def test_a_head_is_bounded() -> None:
    judge = Verdicts(on_request=lambda operation: Course.HEAD, on_held=lambda *_: Course.HEAD)
    talk = Talk(judge)
    talk.ask(store(data=bytes(200_000)))
    assert len(talk.sent_outward()) == 0 and not talk.acceptor  # neither allowed nor forwarded
    assert len(talk.inward._kept) <= MAX_HELD + 4096


def test_services_that_are_not_spoken_are_answered() -> None:
    """Each by its own response, when its data set is over, and the association goes on."""
    requests: list[tuple[Request, bytes | None]] = [
        (NCreateRequest(9, FILM_SESSION, "1.2.3"), b"a film"),
        (NCreateRequest(9, FILM_SESSION), b"a film"),
        (NSetRequest(9, FILM_SESSION, "1.2.3"), b"a film"),
        (NGetRequest(9, FILM_SESSION, "1.2.3", (0x20000010,)), None),
        (NActionRequest(9, FILM_SESSION, "1.2.3", 1), None),
        (NDeleteRequest(9, FILM_SESSION, "1.2.3"), None),
    ]
    for request, data in requests:
        talk = Talk(Verdicts(on_request=lambda operation: 0x0124))
        talk.ask(message(request, data, context=3))
        assert not talk.acceptor
        ((context, response, _),) = talk.sent_outward()
        assert context == 3
        assert isinstance(response, RESPONSE_OF[type(request)])
        assert (response.responds_to, response.status, response.sop_class) == (9, 0x0124, FILM_SESSION)
        talk.judge.on_request = lambda operation: Course.PASS
        assert len(talk.ask(message(request, data, context=3)).sent_inward()) == 1


def test_a_command_that_the_standard_has_not_ends_the_association() -> None:
    body = b"".join(
        struct.pack("<HHIH", 0, element, 2, value) for element, value in ((0x0100, 0x0160), (0x0110, 9), (0x0800, 1))
    )
    talk = Talk()
    with pytest.raises(ProtocolError, match="0160H"):
        talk.ask(message(body, b"steps", context=3))
    assert not talk.acceptor and not talk.requestor


def test_an_identifier_is_judged_before_anything_goes_on() -> None:
    seen: list[bytes] = []
    judge = Verdicts(on_request=lambda operation: Course.HOLD)
    judge.on_held = lambda operation, data, whole: seen.append(data) or (Course.PASS if data == b"good" else 0xA900)
    talk = Talk(judge)
    talk.ask(message(CFindRequest(1, FIND), b"evil") + message(CFindRequest(2, FIND), b"good"), 7)
    assert seen == [b"evil", b"good"]
    assert talk.sent_inward() == [(1, CFindRequest(2, FIND), b"good")]
    ((_, command, _),) = talk.sent_outward()
    assert isinstance(command, CFindResponse) and command.status == 0xA900


def test_an_identifier_is_bounded() -> None:
    talk = Talk(Verdicts(on_request=lambda operation: Course.HOLD))
    with pytest.raises(LimitExceeded):
        talk.ask(message(CFindRequest(1, FIND), bytes(MAX_HELD + 2)))


# ---- cutting short --------------------------------------------------------------------------------------------------


@given(st.integers(1, 500))
def test_a_query_is_cut_short(chunk: int) -> None:
    judge = Verdicts(on_answer=lambda operation, response: 0xFE00 if operation.answers > 3 else None)
    talk = Talk(judge)
    talk.ask(message(CFindRequest(1, FIND), b"all"))
    talk.answer(b"".join(pending() for _ in range(6)), chunk)
    outward = talk.sent_outward()
    assert [command.status for _, command, _ in outward if isinstance(command, CFindResponse)] == [PENDING] * 3 + [
        0xFE00
    ]
    assert talk.sent_inward()[1:] == [(1, CCancelRequest(1), None)]
    # The next request waits until the archive has ended the first, so its answers cannot be mixed up.
    talk.ask(message(CFindRequest(1, FIND), b"next"))
    assert len(talk.sent_inward()) == 2
    talk.answer(pending() + message(CFindResponse(1, 0xFE00, sop_class=FIND)), chunk)
    assert talk.sent_inward()[2:] == [(1, CFindRequest(1, FIND), b"next")]
    talk.answer(pending() + message(CFindResponse(1, 0, sop_class=FIND)), chunk)
    assert len(talk.sent_outward()) == 6


def test_a_get_is_cut_short_at_an_object() -> None:
    judge = Verdicts()
    judge.on_report = lambda operation: Course.HEAD
    judge.on_held = lambda operation, data, whole: 0xA700 if operation.request.message_id == 12 else Course.PASS
    talk = Talk(judge)
    talk.ask(message(CGetRequest(1, GET), b"study"))
    talk.answer(store(11, context=3)).ask(message(CStoreResponse(11, 0, sop_class=CT, sop_instance="1.2.3"), context=3))
    talk.answer(store(12, context=3) + store(13, context=3))
    sent = [command for _, command, _ in talk.sent_outward()]
    assert [type(command) for command in sent] == [CStoreRequest, CGetResponse]
    assert sent[1].status == 0xA700
    inward = [command for _, command, _ in talk.sent_inward()]
    assert [type(command) for command in inward[1:]] == [CStoreResponse, CCancelRequest, CStoreResponse, CStoreResponse]
    assert [command.status for command in inward if isinstance(command, CStoreResponse)] == [0, 0xA700, 0xA700]
    talk.answer(message(CGetResponse(1, 0xFE00, sop_class=GET)))
    assert talk.conversation.situation.draining is None
    assert len(talk.sent_outward()) == 2


def test_a_late_cancel_is_nobodys_fault() -> None:
    talk = Talk()
    talk.ask(message(CFindRequest(1, FIND), b"x")).answer(message(CFindResponse(1, 0, sop_class=FIND)))
    talk.ask(message(CCancelRequest(1)))
    assert len(talk.sent_inward()) == 1


# ---- what breaks the protocol ---------------------------------------------------------------------------------------

ECHO = encode_command(CEchoRequest(1))


@pytest.mark.parametrize(
    ("octets", "what"),
    [
        (b"GET / HTTP/1.1\r\n", "type"),
        (b"\x01\0\0\0\1\0", "does not allow"),
        (header(4, 1 << 30), "at most"),
        (header(4, 3), "at least"),
        (header(7, 400), "exactly"),
        (header(4, 16) + struct.pack(">IBB", 1 << 31, 1, 3) + bytes(10), "PDV"),
        (header(4, 16) + struct.pack(">IBB", 1, 1, 3) + bytes(10), "PDV"),
        (header(4, 16) + struct.pack(">IBB", 10, 1, 1) + bytes(10), "PDV"),
        (one_pdu((7, 3, ECHO)), "not accepted"),
        (one_pdu((1, 2, b"data")), "a command was expected"),
        (one_pdu((1, 1, ECHO[:10])) + one_pdu((3, 3, ECHO[10:])), "another presentation context"),
        (one_pdu((1, 1, ECHO[:10])) + one_pdu((1, 2, b"data")), "a command was expected"),
        (store()[:2000] + b"", None),
        (one_pdu((1, 1, bytes(20_000))), "longer than"),
        (one_pdu((1, 1, ECHO[:10])) + RELEASE_RQ, "within a message"),
        (message(CEchoResponse(1, 0)), "was not made"),
        (message(CEchoRequest(1)) * 2, "twice"),
        (b"".join(message(CEchoRequest(n)) for n in range(20)), "without waiting"),
        (RELEASE_RP, "nothing was to be released"),
        (RELEASE_RQ + message(CEchoRequest(1)), "after A-RELEASE-RQ"),
        (RELEASE_RQ + RELEASE_RQ, "second"),
        (message(b"\0\0\0\1\2\0\0\0\x30"), None),
    ],
)
@pytest.mark.parametrize("chunk", [1, 1 << 20])
def test_what_a_requestor_must_not_send(octets: bytes, what: str | None, chunk: int) -> None:
    talk = Talk()
    if what is None:
        octets += b"\0" * 20_000
    with pytest.raises(ProtocolError, match=what):
        talk.ask(octets, chunk)


@pytest.mark.parametrize(
    "octets",
    [
        answered(9),
        message(CEchoResponse(1, 0)),  # to another kind of request
        message(CStoreResponse(1, 0), context=3),
        store(4),  # no C-GET is under way
        message(CCancelRequest(1)),
    ],
)
def test_what_an_acceptor_must_not_send(octets: bytes) -> None:
    talk = Talk()
    talk.ask(store(1))
    with pytest.raises(ProtocolError):
        talk.answer(octets)


def test_a_report_of_commitment_passes_only_if_allowed() -> None:
    report = NEventReportRequest(3, uids.STORAGE_COMMITMENT_PUSH, "1.2.3", 1, has_data_set=True)
    talk = Talk(Verdicts(on_report=lambda operation: REFUSED))
    talk.answer(message(report, b"done."))
    assert not talk.requestor
    ((_, command, _),) = talk.sent_inward()
    assert command.status == REFUSED
    talk = Talk()
    talk.answer(message(report, b"done."))
    assert talk.sent_outward() == [(1, report, b"done.")]


def test_an_identity_that_ends_ends_the_association_with_the_next_pdu() -> None:
    left = iter([None, None])

    def pdu() -> None:
        if next(left, 0) == 0:
            raise Ended("revoked")

    talk = Talk(Verdicts(on_pdu=pdu))
    octets = store(data=bytes(50_000))
    with pytest.raises(Ended):
        talk.ask(octets)
    assert len(talk.acceptor) < 5000


def test_an_abort_goes_on_even_within_a_message() -> None:
    talk = Talk()
    talk.ask(store()[:5000] + bytes(0))
    rest = len(store()) - 5000
    assert rest > 0
    talk = Talk()
    talk.ask(one_pdu((1, 3, encode_command(CStoreRequest(1, CT, "1.2.3")))) + ABORT)
    assert talk.conversation.outcome is Outcome.ABORTED_BY_REQUESTOR
    assert bytes(talk.acceptor).endswith(ABORT)


@given(st.binary(max_size=300), st.integers(1, 50))
def test_noise_is_an_error_or_waits(noise: bytes, chunk: int) -> None:
    talk = Talk()
    try:
        talk.ask(noise, chunk)
    except ProtocolError:
        pass
    else:
        assert talk.held(talk.inward) < 12 or talk.inward.waiting


PIECES = [
    store(1, bytes(300)),
    store(2, bytes(9000), max_pdu=1000),
    store(3, b"held", context=3),
    message(CEchoRequest(4)),
    message(CEchoResponse(4, 0)),
    message(CFindRequest(5, FIND), b"query"),
    message(CGetRequest(6, GET), b"study"),
    message(CCancelRequest(5)),
    pending(5),
    message(CFindResponse(5, 0, sop_class=FIND)),
    message(CGetResponse(6, 0, sop_class=GET)),
    answered(1),
    answered(2),
    answered(3),
    one_pdu((1, 1, ECHO[:9]), (1, 3, ECHO[9:])),
    one_pdu((1, 3, encode_command(CStoreRequest(7, CT, "1.2.3"))), (1, 0, b"a part"), (1, 2, b"")),
    RELEASE_RQ,
    RELEASE_RP,
    ABORT,
    b"\4\0\0\0\0",
    b"\1",
]


def _course(operation: object) -> Course | int:
    number = getattr(operation, "request").message_id  # noqa: B009
    return (Course.PASS, Course.HEAD, Course.PASS, Course.HOLD, REFUSED, Course.PASS, Course.PASS, Course.PASS)[
        number % 8
    ]


@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.integers(0, len(PIECES) - 1),
            st.none() | st.tuples(st.integers(0, 400), st.binary(max_size=3)),
        ),
        max_size=12,
    ),
    st.integers(1, 30),
)
def test_how_octets_are_cut_makes_no_difference(
    said: list[tuple[bool, int, tuple[int, bytes] | None]], chunk: int
) -> None:
    """Any exchange, also a broken one: only ProtocolError is raised, and what goes on is the same at any pace."""
    outcomes = []
    for size in (1 << 20, chunk):
        judge = Verdicts(
            on_request=lambda operation: (
                course
                if (course := _course(operation)) is not Course.HOLD or operation.request.has_data_set
                else REFUSED
            ),
            on_held=lambda operation, data, whole: REFUSED if data.startswith(b"q") else Course.PASS,
            on_answer=lambda operation, response: 0xFE00 if operation.answers > 2 else None,
            on_report=lambda operation: Course.PASS if operation.request.message_id != 2 else REFUSED,
        )
        talk = Talk(judge)
        error: str | None = None
        try:
            for from_requestor, which, change in said:
                octets = PIECES[which]
                if change is not None:
                    at, new = change
                    octets = octets[:at] + new + octets[at + len(new) :]
                (talk.ask if from_requestor else talk.answer)(octets, size)
                if talk.conversation.outcome is not None:
                    break
        except ProtocolError as raised:
            error = type(raised).__name__
        outcomes.append((error, talk.conversation.outcome, judge.told, judge.asked))
        if error is None and not talk.inward.midway and not talk.outward.midway and not talk.held(talk.inward):
            outcomes[-1] += (talk.sent_inward(), talk.sent_outward())  # type: ignore[assignment]
    assert outcomes[0] == outcomes[1]
