"""One whole PDU of each type, its octets written out by hand beside the fields of PS3.8 §9.3."""

from __future__ import annotations

import pytest

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


def octets(annotated: str) -> bytes:
    """Octets from lines of ``hex 'text' # comment``; a word in single quotes stands for its ASCII octets."""
    out = bytearray()
    for line in annotated.splitlines():
        for word in line.split("#")[0].split():
            out += word[1:-1].replace("_", " ").encode() if word.startswith("'") else bytes.fromhex(word)
    return bytes(out)


REQUEST = octets("""
    01 00 000000E8                     # A-ASSOCIATE-RQ, reserved, PDU-length 232: Table 9-11
    0001 0000                          # Protocol-version, bit 0 set; reserved
    'ANY-SCP_________'                 # Called-AE-title, 16 octets, padded with spaces
    'LEADAPRON_______'                 # Calling-AE-title
    0000000000000000 0000000000000000  # 32 reserved
    0000000000000000 0000000000000000
    10 00 0015 '1.2.840.10008.3.1.1.1' # Application Context Item: Table 9-12
    20 00 002E                         # Presentation Context Item: Table 9-13
      01 00 00 00                      #   Presentation-context-ID, 3 reserved
      30 00 0011 '1.2.840.10008.1.1'   #   Abstract Syntax: Table 9-14
      40 00 0011 '1.2.840.10008.1.2'   #   Transfer Syntax: Table 9-15
    50 00 0055                         # User Information Item: Table 9-16
      51 00 0004 00040000              #   Maximum Length 262144: PS3.8 D.1
      52 00 0003 '1.9'                 #   Implementation Class UID: PS3.7 D.3.3.2
      53 00 0004 0005 0003             #   Asynchronous Operations: invoked 5, performed 3: D.3.3.3
      54 00 0007 0003 '1.4' 00 01      #   Role Selection: not SCU, SCP: D.3.3.4
      55 00 0002 'V1'                  #   Implementation Version Name: D.3.3.2.3
      56 00 0007 0003 '1.4' 01 01      #   Extended Negotiation: D.3.3.5
      57 00 0012 0003 '1.4' 0003 '4.2' 0006 0001 '3' 0001 '5' # Common Extended Negotiation: D.3.3.6
      58 00 0008 02 01 0001 'u' 0001 'p' # User Identity: name and passcode, response wanted: D.3.3.7
""")

ACCEPT = octets("""
    02 00 00000098                     # A-ASSOCIATE-AC, PDU-length 152: Table 9-17
    0001 0000                          # Protocol-version
    'ANY-SCP_________'                 # reserved: as received
    'LEADAPRON_______'                 # reserved: as received
    0000000000000000 0000000000000000  # reserved
    0000000000000000 0000000000000000
    10 00 0015 '1.2.840.10008.3.1.1.1' # Application Context Item
    21 00 0019                         # Presentation Context Item: Table 9-18
      01 00 00 00                      #   ID, reserved, Result 0: acceptance, reserved
      40 00 0011 '1.2.840.10008.1.2'   #   Transfer Syntax: Table 9-19
    21 00 0004                         # a refused one, without transfer syntax
      03 00 03 00                      #   ID, reserved, Result 3: abstract syntax not supported, reserved
    50 00 0012                         # User Information Item: Table 9-20
      51 00 0004 00004000              #   Maximum Length 16384
      59 00 0006 0004 'okay'           #   User Identity response: PS3.7 D.3.3.7.2
""")

DATA = octets("""
    04 00 00000013                     # P-DATA-TF, PDU-length 19: Table 9-22
    00000005 01 03 'abc'               # PDV: Item-length 5, context 1, command and last: Table 9-23, Annex E.2
    00000006 01 00 'defg'              # PDV: Item-length 6, context 1, data set, more to come
""")

EXAMPLES: list[tuple[bytes, Pdu]] = [
    (
        REQUEST,
        AssociateRequest(
            called="ANY-SCP",
            calling="LEADAPRON",
            contexts=(ProposedContext(1, "1.2.840.10008.1.1", ("1.2.840.10008.1.2",)),),
            user=UserInformation(
                maximum_length=262144,
                implementation_class_uid="1.9",
                implementation_version_name="V1",
                asynchronous=AsynchronousOperations(5, 3),
                roles=(RoleSelection("1.4", scu=False, scp=True),),
                extended=(ExtendedNegotiation("1.4", b"\x01\x01"),),
                common_extended=(CommonExtendedNegotiation("1.4", "4.2", ("3", "5")),),
                user_identity=UserIdentity(2, True, b"u", b"p"),
            ),
        ),
    ),
    (
        ACCEPT,
        AssociateAccept(
            contexts=(ContextResult(1, 0, "1.2.840.10008.1.2"), ContextResult(3, 3, "")),
            user=UserInformation(maximum_length=16384, user_identity_response=b"okay"),
            called="ANY-SCP",
            calling="LEADAPRON",
        ),
    ),
    (
        octets("03 00 00000004 00 01 01 07 # reserved, permanent, service user, called AE: Table 9-21"),
        AssociateReject(1, 1, 7),
    ),
    (
        DATA,
        PData((PresentationDataValue(1, True, True, b"abc"), PresentationDataValue(1, False, False, b"defg"))),
    ),
    (octets("05 00 00000004 00000000 # A-RELEASE-RQ, 4 reserved: Table 9-24"), ReleaseRequest()),
    (octets("06 00 00000004 00000000 # A-RELEASE-RP, 4 reserved: Table 9-25"), ReleaseResponse()),
    (octets("07 00 00000004 00 00 02 06 # 2 reserved, service provider, invalid value: Table 9-26"), Abort(2, 6)),
]

each_example = pytest.mark.parametrize(("raw", "pdu"), EXAMPLES, ids=[type(pdu).__name__ for _, pdu in EXAMPLES])
