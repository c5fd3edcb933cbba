"""From what is right for the air to what a carrier takes, and back as the carrier's other messages are read."""

from typing import get_args

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stentor.errors import ConfigError
from stentor.text import gsm0338
from stentor.text.coding import Alphabet as DefaultAlphabet
from stentor.text.coding import Coding, plan
from stentor.text.languages import Language
from stentor.text.national import Shift, tables
from stentor.text.segments import Encoding, split
from stentor_smpp.alphabets import DEFAULTS, Alphabet, alphabet_of, read_body, unpack
from stentor_smpp.checks import check
from stentor_smpp.dlr import read_receipt
from stentor_smpp.fields import DELIVER_SM
from stentor_smpp.pdu import PDU
from stentor_smpp.rules import DataCodings, LanguageName
from stentor_smpp.spec import capabilities
from stentor_smpp.tlvs import MESSAGE_PAYLOAD, first
from tests.plugins.smpp.smpp_submissions import config, packed

GSM7, UCS2, BINARY, LATIN1 = Encoding.GSM7, Encoding.UCS2, Encoding.BINARY, Encoding.LATIN1
NAMES = ("gsm7", "gsm7_packed", "latin1", "ascii", "windows1252", "ucs2")


def recoded(
    keys: dict, encoding: Encoding, data: bytes, udh: bytes = b"", *, flash: bool = False
) -> tuple[int, bytes]:
    """data_coding, and what stands behind the header, as the carrier's codec reads it."""
    pdu = packed(keys, encoding=encoding, data=data, udh=udh, flash=flash)
    assert pdu.fields["short_message"].startswith(udh)
    assert pdu.fields["esm_class"] == (0x40 if udh else 0)
    return pdu.fields["data_coding"], pdu.fields["short_message"][len(udh) :]


@pytest.mark.parametrize(
    ("default_alphabet", "text", "octets"),
    [
        ("gsm7", "@ä€_", b"\x00\x7b\x1be\x11"),
        ("latin1", "@ä_[~]", b"@\xe4_[~]"),
        ("ascii", "@_$[^]", b"@_$[^]"),
        ("windows1252", "@ä€_", b"@\xe4\x80_"),
        ("gsm7_packed", "Stentor", bytes.fromhex("537ad94d7fcb01")),
        ("gsm7_packed", "ABCDEFGH", bytes.fromhex("41e19058341e91")),
        ("gsm7_packed", "Test@1", bytes.fromhex("d4f29c0e8801")),
    ],
)
def test_a_text_goes_in_octets_of_the_carriers_default(default_alphabet, text, octets):
    assert recoded({"default_alphabet": default_alphabet}, GSM7, gsm0338.encode(text)) == (0, octets)


@pytest.mark.parametrize("default_alphabet", ["latin1", "ascii", "windows1252"])
def test_every_character_that_both_alphabets_have_is_the_octet_of_the_carriers(default_alphabet):
    codec = {"latin1": "latin-1", "ascii": "ascii", "windows1252": "cp1252"}[default_alphabet]
    coding = config(default_alphabet=default_alphabet).coding
    carried = [c for c in gsm0338.BASIC + "".join(gsm0338.EXTENSION.values()) if coding.carries(c)]
    assert len(carried) > 90
    for character in carried:
        for text in (character, f"a{character}b", character * 2):
            assert recoded({"default_alphabet": default_alphabet}, GSM7, gsm0338.encode(text)) == (
                0,
                text.encode(codec),
            )


@pytest.mark.parametrize(
    ("udh", "octets"),
    [
        # Six octets leave one fill bit, seven none, four three.
        (bytes.fromhex("0500035c0201"), "a6f4b29bfe9603"),
        (bytes.fromhex("060804a1b20201"), "537ad94d7fcb01"),
        (bytes.fromhex("03240101"), "98d2cb6efa5b0e"),
    ],
)
def test_packed_septets_begin_on_a_septet_boundary_behind_the_header(udh, octets):
    found = recoded({"default_alphabet": "gsm7_packed"}, GSM7, gsm0338.encode("Stentor"), udh)
    assert found == (0, bytes.fromhex(octets))


@pytest.mark.parametrize("units", [160, 153, 152, 155, 149])
def test_a_full_segment_packed_is_140_octets_with_its_header(units):
    udh = {160: 0, 153: 6, 152: 7, 155: 4, 149: 9}[units]
    header = bytes((udh - 1, *range(udh - 1))) if udh else b""
    _, octets = recoded({"default_alphabet": "gsm7_packed"}, GSM7, b"m" * units, header)
    assert len(header) + len(octets) == 140


@pytest.mark.parametrize(
    ("encoding", "flash", "data_coding"),
    [
        (GSM7, False, 0x00),
        (UCS2, False, 0x08),
        (BINARY, False, 0x04),
        (LATIN1, False, 0x03),
        (GSM7, True, 0xF0),
        (UCS2, True, 0x18),
        (BINARY, True, 0xF4),
    ],
)
def test_data_coding_says_what_the_octets_are(encoding, flash, data_coding):
    assert recoded({}, encoding, b"ab", flash=flash) == (data_coding, b"ab")


def test_a_carrier_may_have_data_codings_of_its_own():
    keys = {"data_codings": DataCodings(gsm7=1, ucs2=24, binary=2, latin1=0)}
    found = [recoded(keys, encoding, b"")[0] for encoding in (GSM7, UCS2, BINARY, LATIN1)]
    assert found == [1, 24, 2, 0]
    # A class has values of its own.
    assert recoded(keys, GSM7, b"", flash=True)[0] == 0xF0


def test_a_class_that_names_gsm_leaves_the_default_no_say():
    septets, octets = b"\x00\x7b", b"@\xe4"
    keys = {"default_alphabet": "latin1"}
    assert recoded(keys, GSM7, septets, flash=True) == (0xF0, septets)
    assert recoded(keys | {"class_coding": "0x10"}, GSM7, septets, flash=True) == (0x10, octets)
    assert recoded(keys | {"message_class": 1}, GSM7, septets) == (0xF1, septets)
    assert recoded(keys | {"message_class": 1, "class_coding": "0x10"}, GSM7, septets) == (0x11, octets)
    packs = {"default_alphabet": "gsm7_packed"}
    assert recoded(packs, GSM7, b"ok", flash=True) == (0xF0, bytes.fromhex("ef35"))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_gsm_text_is_left_alone(name):
    keys = {"default_alphabet": name}
    assert recoded(keys, UCS2, b"\x04\x10") == (8, b"\x04\x10")
    assert recoded(keys, BINARY, b"\x00\x7b", b"\x01\x00") == (4, b"\x00\x7b")
    assert recoded(keys, LATIN1, b"\xe1") == (3, b"\xe1")


@pytest.mark.parametrize(
    ("name", "encoding", "octets"),
    [
        ("gsm7", GSM7, b"\x00\x7b"),
        ("latin1", GSM7, b"@\xe4"),
        ("gsm7_packed", GSM7, bytes.fromhex("803d")),
        ("latin1", UCS2, b"\x00@\x00\xe4"),
        ("latin1", LATIN1, b"@\xe4"),
    ],
)
@pytest.mark.parametrize("segments", [1, 2])
def test_a_whole_text_is_made_octets_of_the_carriers_default_too(name, encoding, octets, segments):
    keys = {"default_alphabet": name, "long_messages": "payload"}
    pdu = packed(keys, encoding=encoding, data=b"", text="@ä", segments=segments)
    whole = first(pdu.tlvs, MESSAGE_PAYLOAD) if segments > 1 else pdu.fields["short_message"]
    assert whole == octets


# -- there and back ---------------------------------------------------------------------------------------------------

CODINGS = st.builds(
    Coding,
    st.sampled_from(DefaultAlphabet),
    st.sampled_from([(), (Language.TURKISH,), (Language.PORTUGUESE, Language.SPANISH), (Language.HINDI,)]),
    st.booleans(),
    st.booleans(),
)
TEXTS = st.one_of(
    st.text(st.sampled_from("ab@€^ä1"), max_size=330),
    st.text(st.sampled_from("ab@ışğ"), max_size=330),
    st.text(st.sampled_from("ãÕç^ab"), max_size=330),
    st.text(st.sampled_from("नम् 1a"), max_size=330),
    st.text(max_size=100),
)


@given(TEXTS, CODINGS)
def test_a_text_that_went_is_read_as_it_was_written(text, coding):
    keys = {
        "default_alphabet": coding.alphabet.value,
        "national_languages": tuple(language.word for language in coding.languages),
        "latin1": coding.is_latin1_wanted,
        "long_messages": "udh16" if coding.wide_reference else "udh8",
    }
    assert config(**keys).coding == coding
    found = plan(text, coding)
    segments = split(text, found.encoding, 7, wide_reference=coding.wide_reference, shift=found.shift)
    # Packed septets of which seven bits are spare cannot be told from an @ at the end.
    is_packed = coding.alphabet is DefaultAlphabet.GSM7_PACKED and found.encoding is GSM7
    assume(not (is_packed and any(segment.data.endswith(b"\0") for segment in segments)))
    read = []
    for segment in segments:
        pdu = packed(keys, encoding=found.encoding, data=segment.data, udh=segment.udh)
        most = 140 if is_packed or found.encoding is not GSM7 else 160
        assert len(pdu.fields["short_message"]) <= most
        read.append(read_body(pdu, DEFAULTS[coding.alphabet]))
    assert "".join(body.text or "" for body in read) == text
    assert [body.concatenation.number for body in read if body.concatenation] == (
        list(range(1, len(segments) + 1)) if len(segments) > 1 else []
    )


@pytest.mark.parametrize(
    "shift", [Shift(1), Shift(0, 1), Shift(1, 1), Shift(3, 3), Shift(6, 6), Shift(99, 99)]
)
def test_an_inbound_text_is_read_by_the_tables_its_header_names(shift):
    septets = bytes(range(0x20, 0x80)) + b"\x1bg\x1bi\x1b<"
    fields = {"esm_class": 0x40, "data_coding": 0, "short_message": shift.header + septets}
    body = read_body(PDU(DELIVER_SM, 0, 1, fields))
    assert body.text == tables(shift).decode(septets)


def test_elements_of_a_header_may_come_in_any_order():
    header = bytes.fromhex("0b 250101 0003070101 240101".replace(" ", ""))
    body = read_body(
        PDU(DELIVER_SM, 0, 1, {"esm_class": 0x40, "data_coding": 0, "short_message": header + b"\x0c\x1bg"})
    )
    assert (body.text, body.header and body.header.shift) == ("ğğ", Shift(1, 1))


@given(st.binary(max_size=60).map(lambda octets: bytes(octet & 0x7F for octet in octets)), st.integers(0, 20))
def test_packed_septets_come_back_without_their_spare_bits(septets, header_octets):
    assume(not septets.endswith(b"\0"))
    fill_bits = -8 * header_octets % 7
    assert unpack(gsm0338.pack(septets, fill_bits), header_octets) == septets


def test_a_packed_default_packs_every_gsm_text_and_nothing_else():
    packed = Alphabet.GSM_PACKED
    assert {alphabet_of(coding, packed) for coding in (0x00, 0x10, 0x90, 0xD0, 0xF0)} == {packed}
    assert alphabet_of(0x08, packed) is Alphabet.UCS2
    assert alphabet_of(0xF0, Alphabet.LATIN1) is Alphabet.GSM


RECEIPT = "id:5f_3 sub:001 dlvrd:001 submit date:2605041015 done date:2605041016 stat:DELIVRD err:000 text:"


@pytest.mark.parametrize(
    ("default", "octets"),
    [
        (Alphabet.GSM, RECEIPT.encode()),
        (Alphabet.LATIN1, RECEIPT.encode()),
        (Alphabet.UCS2, RECEIPT.encode("utf-16-be")),
        (Alphabet.UCS2, RECEIPT.encode()),
        (Alphabet.GSM_PACKED, gsm0338.pack(gsm0338.encode(RECEIPT))),
        (Alphabet.GSM_PACKED, RECEIPT.encode()),
    ],
)
def test_a_receipt_is_read_in_the_carriers_default_and_in_ascii_all_the_same(default, octets):
    fields = {"esm_class": 4, "data_coding": 0, "short_message": octets}
    receipt = read_receipt(PDU(DELIVER_SM, 0, 1, fields), default=default)
    assert receipt is not None
    assert (receipt.id, receipt.stat) == ("5f_3", "DELIVRD")


# -- configuration ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ({"default_alphabet": "gsm7", "national_languages": ("turkish",)}, ""),
        ({"default_alphabet": "gsm7_packed", "national_languages": ("turkish",)}, ""),
        ({"default_alphabet": "latin1", "national_languages": ("turkish",)}, "national_languages"),
        ({"default_alphabet": "ucs2", "national_languages": ("turkish",)}, "national_languages"),
        ({"long_messages": "udh16", "national_languages": ("turkish",)}, ""),
        ({"long_messages": "sar", "national_languages": ("turkish",)}, "national_languages"),
        ({"long_messages": "payload", "national_languages": ("turkish",)}, "national_languages"),
        ({"default_alphabet": "gsm7_packed", "long_messages": "payload"}, ""),
        ({"default_alphabet": "gsm7_packed", "long_messages": "sar"}, "long_messages"),
        ({"latin1": True}, ""),
        ({"latin1": True, "message_class": 1}, "latin1"),
    ],
)
def test_what_cannot_be_together_is_refused_with_the_key(keys, fault):
    if not fault:
        check(config(**keys))
        return
    with pytest.raises(ConfigError) as caught:
        check(config(**keys))
    assert caught.value.path == fault
    assert caught.value.suggestion


def test_the_channel_says_how_it_takes_texts():
    keys = {"default_alphabet": "ascii", "long_messages": "udh16"}
    assert capabilities(config(**keys)).coding == Coding(DefaultAlphabet.ASCII, wide_reference=True)
    assert capabilities(config()).coding == Coding()
    for latin1 in (False, True):
        assert (LATIN1 in capabilities(config(latin1=latin1)).encodings) is latin1


def test_every_name_in_the_configuration_is_an_alphabet_or_a_language():
    assert {alphabet.value for alphabet in DefaultAlphabet} == set(NAMES)
    assert get_args(LanguageName) == tuple(language.word for language in Language)
    for language in Language:
        assert config(national_languages=(language.word,)).coding.languages == (language,)
