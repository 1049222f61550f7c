from __future__ import annotations

import pytest
from msgspec.structs import replace

from leadapron.wire.pdu import (
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ExtendedNegotiation,
    PData,
    Pdu,
    PresentationDataValue,
    ProposedContext,
    UserInformation,
    ae_title,
    decode,
    encode,
)
from wire.pdu.examples import EXAMPLES, each_example


@each_example
def test_the_octets_are_those_of_the_standard(raw: bytes, pdu: Pdu) -> None:
    assert encode(pdu) == raw


@pytest.mark.parametrize("title", ["A", "ANY-SCP", "SIXTEEN-CHARS-AE", "two words", "under_score:1"])
def test_ae_titles_are_padded_to_sixteen(title: str) -> None:
    assert ae_title(title) == title.encode() + b" " * (16 - len(title))


@pytest.mark.parametrize(
    "title",
    ["", " ", " " * 16, "SEVENTEEN-CHARS-A", "back\\slash", "tab\t", "nul\0", "line\n", "del\x7f", "Münster", "東京"],
)
@pytest.mark.parametrize("field", ["called", "calling"])
def test_a_request_with_what_is_no_ae_title_is_not_written(title: str, field: str) -> None:
    request = EXAMPLES[0][1]
    with pytest.raises(ValueError, match="AE title") as caught:
        encode(replace(request, **{field: title}))
    assert not title.strip() or title not in str(caught.value)


@pytest.mark.parametrize("title", ["", "Münster", "nul\0inside", "back\\slash"])
def test_an_accept_returns_the_reserved_titles_whatever_they_are(title: str) -> None:
    """PS3.8 §9.3.3: what was received; the peer's oddities are no reason for us to fail."""
    accept = AssociateAccept((), UserInformation(), called=title, calling=title)
    raw = encode(accept)
    assert raw[10:26] == raw[26:42] == title.encode("latin-1").ljust(16)
    assert decode(2, raw[6:]) == accept


@pytest.mark.parametrize(
    "pdu",
    [
        AssociateReject(256, 1, 1),
        PData((PresentationDataValue(-1, True, True, b""),)),
        AssociateRequest("A", "B", (ProposedContext(256, "1.2", ("1.2",)),), UserInformation()),
        AssociateRequest("A", "B", (), UserInformation(maximum_length=1 << 32)),
        AssociateRequest("A", "B", (), UserInformation(extended=(ExtendedNegotiation("1.2", bytes(65536)),))),
        AssociateRequest("A", "B", (ProposedContext(1, "1.2", ("1.2." + "9" * 60,) * 1000),), UserInformation()),
    ],
    ids=["reason", "context id of a PDV", "context id", "maximum length", "sub-item", "item"],
)
def test_what_does_not_fit_its_field_is_a_value_error(pdu: Pdu) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        encode(pdu)


def test_text_outside_of_latin_1_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="Latin-1"):
        encode(AssociateRequest("A", "B", (ProposedContext(1, "१.२", ()),), UserInformation()))


def test_data_may_be_any_buffer() -> None:
    for kind in (bytes, bytearray, memoryview):
        assert encode(PData((PresentationDataValue(1, True, True, kind(b"abc")),))) == bytes.fromhex(
            "04 00 00000009 00000005 01 03 616263"
        )
