from __future__ import annotations

import pytest
from msgspec.structs import replace

from leadapron.wire import uids
from leadapron.wire.association.negotiate import (
    AgreedContext,
    Check,
    ContextRequest,
    Supported,
    agreed,
    anyone,
    build_request,
    choose,
    propose,
    recognised,
)
from leadapron.wire.association.reasons import (
    APPLICATION_CONTEXT_NOT_SUPPORTED,
    CALLED_AE_NOT_RECOGNIZED,
    CALLING_AE_NOT_RECOGNIZED,
    NO_REASON_GIVEN,
    TEMPORARY_CONGESTION,
    explain_abort,
    explain_reject,
)
from leadapron.wire.pdu import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextResult,
    ExtendedNegotiation,
    ProposedContext,
    RoleSelection,
    UserIdentity,
    UserInformation,
    decode,
    encode,
)

BOTH = (uids.EXPLICIT_LE, uids.IMPLICIT_LE)
SUPPORTED = Supported(
    {
        uids.VERIFICATION: (uids.IMPLICIT_LE,),
        uids.CT_IMAGE_STORAGE: (uids.JPEG_LS_LOSSLESS, uids.EXPLICIT_LE, uids.IMPLICIT_LE),
        uids.STUDY_ROOT_GET: BOTH,
    },
    roles={uids.CT_IMAGE_STORAGE: (True, True)},
    extended={uids.STUDY_ROOT_GET: b"\1"},
)


def request(*contexts: ContextRequest, **changes: object) -> AssociateRequest:
    built = build_request(contexts or [ContextRequest(uids.VERIFICATION)], called="ARCHIVE", calling="LEADAPRON")
    return replace(built, **changes)


def accepted(answer: object) -> AssociateAccept:
    assert isinstance(answer, AssociateAccept)
    return answer


class TestPropose:
    def test_ids_are_odd_and_ascend(self) -> None:
        proposed = propose(
            [ContextRequest(uids.VERIFICATION), ContextRequest(uids.CT_IMAGE_STORAGE, (uids.IMPLICIT_LE,))]
        )
        assert proposed == (
            ProposedContext(1, uids.VERIFICATION, BOTH),
            ProposedContext(3, uids.CT_IMAGE_STORAGE, (uids.IMPLICIT_LE,)),
        )

    def test_as_many_as_there_are_ids(self) -> None:
        contexts = [ContextRequest(uids.VERIFICATION)] * 128
        assert [context.id for context in propose(contexts)] == list(range(1, 256, 2))
        with pytest.raises(ValueError, match="129 presentation contexts"):
            propose([*contexts, contexts[0]])
        with pytest.raises(ValueError, match="0 presentation contexts"):
            propose([])

    @pytest.mark.parametrize(
        "uid", ["", "1", "1.", ".1", "1..2", "1.02", "1.2 ", "1.2\n", "1.a", "1.२", "1." + "9" * 63]
    )
    def test_what_is_no_uid_is_not_proposed(self, uid: str) -> None:
        for context in (ContextRequest(uid), ContextRequest(uids.VERIFICATION, (uids.IMPLICIT_LE, uid))):
            with pytest.raises(ValueError, match="all UIDs"):
                propose([context])

    def test_a_uid_of_sixty_four_characters(self) -> None:
        assert propose([ContextRequest("1." + "9" * 62), ContextRequest("0.0"), ContextRequest("2.25.0")])

    def test_no_transfer_syntax(self) -> None:
        with pytest.raises(ValueError, match="at least one transfer syntax"):
            propose([ContextRequest(uids.VERIFICATION, ())])

    def test_every_uid_of_ours_is_one(self) -> None:
        ours = [
            value
            for name, value in vars(uids).items()
            if name.isupper() and isinstance(value, str) and value[0].isdigit()
        ]
        assert len(ours) > 20
        assert propose([ContextRequest(uid) for uid in ours])

    def test_a_request_can_be_written_and_says_who_we_are(self) -> None:
        built = request(ContextRequest(uids.VERIFICATION), ContextRequest(uids.CT_IMAGE_STORAGE, scu=False, scp=True))
        assert built.user == UserInformation(
            maximum_length=262144,
            implementation_class_uid=uids.IMPLEMENTATION_CLASS_UID,
            implementation_version_name=uids.IMPLEMENTATION_VERSION_NAME,
            roles=(RoleSelection(uids.CT_IMAGE_STORAGE, scu=False, scp=True),),
        )
        raw = encode(built)
        assert decode(raw[0], raw[6:]) == built


class TestChoose:
    def test_the_acceptors_first_choice_that_was_proposed(self) -> None:
        answer = accepted(
            choose(
                request(
                    ContextRequest(uids.CT_IMAGE_STORAGE, (uids.IMPLICIT_LE, uids.EXPLICIT_LE)),
                    ContextRequest(uids.VERIFICATION, (uids.EXPLICIT_LE,)),
                    ContextRequest(uids.MR_IMAGE_STORAGE),
                    ContextRequest(uids.VERIFICATION),
                ),
                SUPPORTED,
                anyone,
            )
        )
        assert answer.contexts == (
            ContextResult(1, 0, uids.EXPLICIT_LE),
            ContextResult(3, 4, uids.IMPLICIT_LE),
            ContextResult(5, 3, uids.IMPLICIT_LE),
            ContextResult(7, 0, uids.IMPLICIT_LE),
        )

    def test_the_answer_returns_the_titles_and_says_who_we_are(self) -> None:
        answer = accepted(choose(request(), SUPPORTED, anyone))
        assert (answer.called, answer.calling) == ("ARCHIVE", "LEADAPRON")
        assert answer.user == UserInformation(262144, uids.IMPLEMENTATION_CLASS_UID, uids.IMPLEMENTATION_VERSION_NAME)

    def test_titles_and_names_that_we_would_not_send_are_answered_all_the_same(self) -> None:
        odd = request(called="", calling="M\xfcnster\\", contexts=(ProposedContext(1, "no uid\xff", ("", "\xff")),))
        raw = encode(accepted(choose(odd, SUPPORTED, anyone)))
        answer = accepted(decode(raw[0], raw[6:]))
        assert (answer.called, answer.calling) == ("", "M\xfcnster\\")
        assert answer.contexts == (ContextResult(1, 3, uids.IMPLICIT_LE),)

    def test_nothing_supported_is_an_accept_without_accepted_contexts(self) -> None:
        answer = accepted(choose(request(), Supported({}), anyone))
        assert [result.result for result in answer.contexts] == [3]

    def test_application_context(self) -> None:
        assert choose(request(application_context="1.2.3"), SUPPORTED, anyone) == APPLICATION_CONTEXT_NOT_SUPPORTED

    @pytest.mark.parametrize("ids", [(), (1, 1), (2,), (1, 3, 4)])
    def test_context_ids_are_odd_and_each_their_own(self, ids: tuple[int, ...]) -> None:
        contexts = tuple(ProposedContext(number, uids.VERIFICATION, BOTH) for number in ids)
        assert choose(request(contexts=contexts), SUPPORTED, anyone) == NO_REASON_GIVEN

    @pytest.mark.parametrize(
        ("check", "expected"),
        [
            (recognised(called={"ARCHIVE"}, calling={"LEADAPRON"}), None),
            (recognised(called=None, calling={"LEADAPRON", "OTHER"}), None),
            (recognised(called=None, calling=None), None),
            (recognised(called={"OTHER"}, calling=None), CALLED_AE_NOT_RECOGNIZED),
            (recognised(called={"ARCHIVE"}, calling={"OTHER"}), CALLING_AE_NOT_RECOGNIZED),
            (recognised(called={"archive"}, calling=None), CALLED_AE_NOT_RECOGNIZED),
            (recognised(called=set(), calling=None), CALLED_AE_NOT_RECOGNIZED),
            (recognised(called=None, calling=()), CALLING_AE_NOT_RECOGNIZED),
            (lambda request: TEMPORARY_CONGESTION, TEMPORARY_CONGESTION),
        ],
        ids=[
            "both",
            "calling",
            "neither",
            "called other",
            "calling other",
            "case",
            "empty",
            "empty calling",
            "callable",
        ],
    )
    def test_who_may_associate(self, check: Check, expected: AssociateReject | None) -> None:
        answer = choose(request(), SUPPORTED, check)
        if expected is None:
            accepted(answer)
        else:
            assert answer == expected

    @pytest.mark.parametrize(
        ("allowed", "answer"),
        [
            (None, ()),
            ((True, True), (RoleSelection(uids.CT_IMAGE_STORAGE, False, True),)),
            ((True, False), (RoleSelection(uids.CT_IMAGE_STORAGE, False, False),)),
        ],
    )
    def test_roles(self, allowed: tuple[bool, bool] | None, answer: tuple[RoleSelection, ...]) -> None:
        """PS3.7 §D.3.3.4: an acceptor may only take away, and a class that is not named keeps the default roles."""
        supported = Supported(SUPPORTED.syntaxes, roles={uids.CT_IMAGE_STORAGE: allowed} if allowed else {})
        wanted = request(ContextRequest(uids.CT_IMAGE_STORAGE, scu=False, scp=True))
        assert accepted(choose(wanted, supported, anyone)).user.roles == answer

    def test_no_role_for_a_class_that_is_not_served(self) -> None:
        wanted = request(ContextRequest(uids.CT_IMAGE_STORAGE, (uids.DEFLATED_LE,), scp=True))
        assert accepted(choose(wanted, SUPPORTED, anyone)).user.roles == ()

    def test_extended_negotiation_is_answered_where_asked_and_served(self) -> None:
        contexts = propose([ContextRequest(uids.STUDY_ROOT_GET), ContextRequest(uids.VERIFICATION)])
        asked = tuple(ExtendedNegotiation(name, b"\0") for name in (uids.STUDY_ROOT_GET, uids.VERIFICATION))
        wanted = request(contexts=contexts, user=UserInformation(extended=asked))
        assert accepted(choose(wanted, SUPPORTED, anyone)).user.extended == (
            ExtendedNegotiation(uids.STUDY_ROOT_GET, b"\1"),
        )
        assert accepted(choose(request(), SUPPORTED, anyone)).user.extended == ()

    @pytest.mark.parametrize(("wanted", "sent"), [(True, b"ticket"), (False, None)])
    def test_user_identity_response_only_where_asked_for(self, wanted: bool, sent: bytes | None) -> None:
        identity = UserIdentity(1, wanted, b"someone")
        asking = request(user=UserInformation(user_identity=identity))
        answer = accepted(choose(asking, SUPPORTED, anyone, identity_response=b"ticket"))
        assert answer.user.user_identity_response == sent
        without = accepted(choose(request(), SUPPORTED, anyone, identity_response=b"ticket"))
        assert without.user.user_identity_response is None


class TestAgreed:
    def test_both_ends_have_the_same(self) -> None:
        wanted = request(
            ContextRequest(uids.MR_IMAGE_STORAGE),
            ContextRequest(uids.STUDY_ROOT_GET),
            ContextRequest(uids.CT_IMAGE_STORAGE, scu=False, scp=True),
        )
        assert agreed(wanted, accepted(choose(wanted, SUPPORTED, anyone))) == (
            AgreedContext(3, uids.STUDY_ROOT_GET, uids.EXPLICIT_LE),
            AgreedContext(5, uids.CT_IMAGE_STORAGE, uids.EXPLICIT_LE, scu=False, scp=True),
        )

    def test_what_was_never_proposed_is_not_agreed(self) -> None:
        wanted = request(ContextRequest(uids.VERIFICATION, (uids.IMPLICIT_LE,)))
        forged = AssociateAccept(
            (ContextResult(1, 0, uids.JPEG_2000), ContextResult(3, 0, uids.IMPLICIT_LE)), UserInformation()
        )
        assert agreed(wanted, forged) == ()

    @pytest.mark.parametrize(
        ("proposed", "answered", "roles"),
        [
            (None, None, (True, False)),
            ((True, True), None, (True, False)),
            ((True, True), (True, True), (True, True)),
            ((False, True), (True, True), (False, True)),
            ((True, True), (False, True), (False, True)),
            (None, (True, True), (True, False)),
        ],
    )
    def test_roles(
        self, proposed: tuple[bool, bool] | None, answered: tuple[bool, bool] | None, roles: tuple[bool, bool]
    ) -> None:
        def selection(pair: tuple[bool, bool] | None) -> tuple[RoleSelection, ...]:
            return (RoleSelection(uids.VERIFICATION, *pair),) if pair else ()

        wanted = request(user=UserInformation(roles=selection(proposed)))
        answer = AssociateAccept((ContextResult(1, 0, uids.IMPLICIT_LE),), UserInformation(roles=selection(answered)))
        (context,) = agreed(wanted, answer)
        assert (context.scu, context.scp) == roles


@pytest.mark.parametrize(
    ("reject", "words"),
    [
        (CALLED_AE_NOT_RECOGNIZED, "rejected for good by the service user: called AE title not recognized"),
        (TEMPORARY_CONGESTION, "rejected for now by the service provider (presentation): temporary congestion"),
        (AssociateReject(9, 8, 7), "rejected (result 9) by source 8: reason 7"),
    ],
)
def test_a_rejection_in_words(reject: AssociateReject, words: str) -> None:
    assert explain_reject(reject) == words


@pytest.mark.parametrize(
    ("abort", "words"),
    [
        (Abort(0, 6), "aborted by the service user"),
        (Abort(2, 2), "aborted by the service provider: unexpected PDU"),
        (Abort(2, 99), "aborted by the service provider: reason 99"),
        (Abort(1, 3), "aborted (source 1, reason 3)"),
    ],
)
def test_an_abort_in_words(abort: Abort, words: str) -> None:
    assert explain_abort(abort) == words
