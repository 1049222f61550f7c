"""Hypothesis strategies for every PDU that can be written: what goes in must come out."""

from __future__ import annotations

from hypothesis import strategies as st

from leadapron.wire.pdu import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    AsynchronousOperations,
    CommonExtendedNegotiation,
    ContextResult,
    ExtendedNegotiation,
    PData,
    Pdu,
    PresentationDataValue,
    ProposedContext,
    ReleaseRequest,
    ReleaseResponse,
    RoleSelection,
    UserIdentity,
    UserInformation,
)

octet = st.integers(0, 0xFF)
uint16 = st.integers(0, 0xFFFF)
uint32 = st.integers(0, 0xFFFFFFFF)
context_ids = st.integers(0, 127).map(lambda index: 2 * index + 1)

# Padding is not significant and does not come back: no title, UID or name ends in it, no title begins with it.
_REPERTOIRE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "\\")
ae_titles = st.text(_REPERTOIRE, min_size=1, max_size=16).map(lambda title: title.strip()).filter(bool)
uids = st.lists(st.integers(0, 99999), min_size=2, max_size=10).map(lambda parts: ".".join(map(str, parts)))
names = st.text(_REPERTOIRE, min_size=1, max_size=16).map(lambda name: name.rstrip()).filter(bool)
blobs = st.binary(max_size=40)


def tuples(strategy: st.SearchStrategy, most: int = 3) -> st.SearchStrategy:
    return st.lists(strategy, max_size=most).map(tuple)


KNOWN_USER_ITEMS = (0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59)

user_information = st.builds(
    UserInformation,
    maximum_length=st.none() | uint32,
    implementation_class_uid=st.none() | uids,
    implementation_version_name=st.none() | names,
    asynchronous=st.none() | st.builds(AsynchronousOperations, uint16, uint16),
    roles=tuples(st.builds(RoleSelection, uids, st.booleans(), st.booleans())),
    extended=tuples(st.builds(ExtendedNegotiation, uids, blobs)),
    common_extended=tuples(st.builds(CommonExtendedNegotiation, uids, uids, tuples(uids))),
    user_identity=st.none() | st.builds(UserIdentity, octet, st.booleans(), blobs, blobs),
    user_identity_response=st.none() | blobs,
    unknown=tuples(st.tuples(octet.filter(lambda kind: kind not in KNOWN_USER_ITEMS), blobs)),
)

requests = st.builds(
    AssociateRequest,
    called=ae_titles,
    calling=ae_titles,
    contexts=tuples(st.builds(ProposedContext, context_ids, uids, tuples(uids)), 5),
    user=user_information,
    application_context=uids,
    protocol_version=uint16,
)

accepts = st.builds(
    AssociateAccept,
    contexts=tuples(st.builds(ContextResult, context_ids, octet, st.just("") | uids), 5),
    user=user_information,
    called=st.just("") | ae_titles,
    calling=st.just("") | ae_titles,
    application_context=uids,
    protocol_version=uint16,
)

p_data = st.builds(
    PData,
    st.lists(
        st.builds(PresentationDataValue, octet, st.booleans(), st.booleans(), st.binary(max_size=300)),
        min_size=1,
        max_size=5,
    ).map(tuple),
)

pdus: st.SearchStrategy[Pdu] = st.one_of(
    requests,
    accepts,
    st.builds(AssociateReject, octet, octet, octet),
    p_data,
    st.just(ReleaseRequest()),
    st.just(ReleaseResponse()),
    st.builds(Abort, octet, octet),
)
