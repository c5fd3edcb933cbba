"""What data_coding says about octets, and where a message's text stands."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor_smpp.alphabets import Alphabet, alphabet_of, decode_text, decode_ucs2, read_body, text_octets
from stentor_smpp.fields import DATA_SM, DELIVER_SM
from stentor_smpp.pdu import PDU, decode
from stentor_smpp.udh import Concatenation
from tests.plugins.smpp.smpp_strategies import HEX


@pytest.mark.parametrize(
    ("data_coding", "alphabet"),
    [
        (0x00, Alphabet.GSM),
        (0x01, Alphabet.ASCII),
        (0x02, Alphabet.BINARY),
        (0x03, Alphabet.LATIN1),
        (0x04, Alphabet.BINARY),
        (0x06, Alphabet.CYRILLIC),
        (0x07, Alphabet.HEBREW),
        (0x08, Alphabet.UCS2),
        (0x0F, Alphabet.GSM),
        (0x10, Alphabet.GSM),
        (0x14, Alphabet.BINARY),
        (0x18, Alphabet.UCS2),
        (0x1B, Alphabet.UCS2),
        (0x48, Alphabet.UCS2),
        (0x20, Alphabet.BINARY),
        (0x90, Alphabet.GSM),
        (0xC8, Alphabet.GSM),
        (0xD0, Alphabet.GSM),
        (0xE0, Alphabet.UCS2),
        (0xF0, Alphabet.GSM),
        (0xF5, Alphabet.BINARY),
    ],
)
def test_a_data_coding_means_an_alphabet(data_coding, alphabet):
    assert alphabet_of(data_coding) is alphabet


def test_the_default_alphabet_is_the_carriers():
    assert alphabet_of(0x00, Alphabet.LATIN1) is Alphabet.LATIN1
    assert alphabet_of(0x10, Alphabet.LATIN1) is Alphabet.LATIN1
    assert alphabet_of(0xF0, Alphabet.LATIN1) is Alphabet.GSM
    assert alphabet_of(0x08, Alphabet.LATIN1) is Alphabet.UCS2


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        ("004800e54e2d", "Hå中"),
        ("d83dde00", "😀"),
        ("d83d0041", "\ufffdA"),
        ("de000041", "\ufffdA"),
        ("0041d83d", "A\ufffd"),
        ("feff0041", "A"),
        ("fffe4100", "A"),
        ("004100", "A\ufffd"),
        ("", ""),
    ],
)
def test_ucs2_is_read_leniently(octets, text):
    assert decode_ucs2(bytes.fromhex(octets)) == text


@given(st.sampled_from(Alphabet), st.binary(max_size=60))
def test_no_text_raises_in_any_alphabet(alphabet, octets):
    text = decode_text(octets, alphabet)
    assert (text is None) is (alphabet is Alphabet.BINARY)


@given(st.integers(0, 255), st.sampled_from(Alphabet))
def test_every_data_coding_has_an_alphabet(data_coding, default):
    assert isinstance(alphabet_of(data_coding, default), Alphabet)


def test_texts_of_several_alphabets():
    assert decode_text(b"\x00\x02\x1b\x65", Alphabet.GSM) == "@$€"
    assert decode_text(b"na\xefve", Alphabet.LATIN1) == "naïve"
    assert decode_text(b"plain \xe4", Alphabet.ASCII) == "plain ä"
    assert decode_text("Привет".encode("iso8859-5"), Alphabet.CYRILLIC) == "Привет"


def pdu_of(example: str) -> PDU:
    found = decode(HEX[example])
    assert isinstance(found, PDU)
    return found


def test_a_part_of_a_long_message_is_taken_out_of_its_header():
    body = read_body(pdu_of("E32"))
    assert (body.text, body.concatenation) == ("да", Concatenation(0x1F, 2, 2, 8))


def test_sar_tlvs_are_a_concatenation_too():
    body = read_body(pdu_of("E22"))
    assert (body.text, body.concatenation) == ("first of two", Concatenation(0x0A0B, 2, 1, 16))
    short = PDU(
        DELIVER_SM, 0, 1, {"esm_class": 0, "data_coding": 0}, ((0x20C, b"\7"), (0x20E, b"\2"), (0x20F, b"\1"))
    )
    assert read_body(short).concatenation == Concatenation(7, 2, 1, 16)


def test_the_payload_stands_in_for_an_empty_short_message():
    assert text_octets(pdu_of("E23")) == b"payload text"
    assert read_body(pdu_of("E38")).text == "via data_sm"
    assert text_octets(PDU(DATA_SM, 0, 1, {"esm_class": 0, "data_coding": 0})) == b""


def test_binary_has_octets_and_no_text():
    body = read_body(pdu_of("E18"))
    assert (body.text, body.octets) == (None, b"\xca\xfe\xba\xbe")
    assert body.header is not None
    assert body.header.ports is not None


def test_a_broken_header_leaves_the_octets_as_they_came():
    pdu = PDU(DELIVER_SM, 0, 1, {"esm_class": 0x40, "data_coding": 0, "short_message": b"\x7fab"})
    body = read_body(pdu)
    assert (body.octets, body.text, body.alphabet) == (b"\x7fab", None, Alphabet.BINARY)
    assert body.broken is not None
