"""The GSM 7-bit alphabet against a second, independent statement of TS 23.038 §6.2.1."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.text import gsm0338

# The basic table as its differences from ASCII; what is not listed is ASCII at its own code.
BASIC_DIFFERENCES = {
    0x00: 0x40, 0x01: 0xA3, 0x02: 0x24, 0x03: 0xA5, 0x04: 0xE8, 0x05: 0xE9, 0x06: 0xF9, 0x07: 0xEC,
    0x08: 0xF2, 0x09: 0xC7, 0x0B: 0xD8, 0x0C: 0xF8, 0x0E: 0xC5, 0x0F: 0xE5,
    0x10: 0x394, 0x11: 0x5F, 0x12: 0x3A6, 0x13: 0x393, 0x14: 0x39B, 0x15: 0x3A9, 0x16: 0x3A0, 0x17: 0x3A8,
    0x18: 0x3A3, 0x19: 0x398, 0x1A: 0x39E, 0x1C: 0xC6, 0x1D: 0xE6, 0x1E: 0xDF, 0x1F: 0xC9,
    0x24: 0xA4, 0x40: 0xA1, 0x5B: 0xC4, 0x5C: 0xD6, 0x5D: 0xD1, 0x5E: 0xDC, 0x5F: 0xA7,
    0x60: 0xBF, 0x7B: 0xE4, 0x7C: 0xF6, 0x7D: 0xF1, 0x7E: 0xFC, 0x7F: 0xE0,
}  # fmt: skip
EXTENSION = {
    0x0A: 0x0C, 0x14: 0x5E, 0x28: 0x7B, 0x29: 0x7D, 0x2F: 0x5C,
    0x3C: 0x5B, 0x3D: 0x7E, 0x3E: 0x5D, 0x40: 0x7C, 0x65: 0x20AC,
}  # fmt: skip
SEPTETS = {chr(BASIC_DIFFERENCES.get(code, code)): bytes([code]) for code in range(128) if code != 0x1B}
SEPTETS |= {chr(character): bytes([0x1B, code]) for code, character in EXTENSION.items()}

gsm_texts = st.text(st.sampled_from(sorted(SEPTETS)), max_size=200)


def obvious_decode(septets: bytes) -> str:
    """The definition, octet by octet."""
    text = ""
    octets = iter(septets)
    for octet in octets:
        if octet != 0x1B:
            text += chr(BASIC_DIFFERENCES.get(octet, octet)) if octet < 0x80 else "\ufffd"
            continue
        following = next(octets, 0x1B)
        if following == 0x1B:
            text += " "
        elif following in EXTENSION:
            text += chr(EXTENSION[following])
        else:
            text += chr(BASIC_DIFFERENCES.get(following, following)) if following < 0x80 else "\ufffd"
    return text


def test_every_code_point_of_the_basic_plane_is_judged_encoded_and_decoded_alike():
    for code in range(0x10000):
        character = chr(code)
        septets = SEPTETS.get(character)
        assert gsm0338.is_encodable(character) is (septets is not None), hex(code)
        # Beside a Latin-1 and a Greek letter, so that every way through the functions is taken.
        for before in ("a", "é", "Ω"):
            text = before + character
            assert gsm0338.is_encodable(text) is (septets is not None), hex(code)
            if septets is None:
                assert gsm0338.first_foreign(text) == (character, 1)
                with pytest.raises(gsm0338.NotGSM):
                    gsm0338.encode(text)
            else:
                assert gsm0338.first_foreign(text) is None
                assert gsm0338.encode(text) == SEPTETS[before] + septets
                assert gsm0338.septet_count(text) == 1 + len(septets)
                assert gsm0338.decode(SEPTETS[before] + septets) == text


def test_no_code_point_beyond_the_basic_plane_is_carried():
    assert not any(gsm0338.is_encodable(chr(code)) for code in range(0x10000, 0x110000, 0x101))


@given(gsm_texts)
def test_a_text_comes_back_from_its_septets_and_takes_as_many_as_were_counted(text):
    septets = gsm0338.encode(text)
    assert septets == b"".join(SEPTETS[character] for character in text)
    assert len(septets) == gsm0338.septet_count(text)
    assert gsm0338.decode(septets) == text


@given(st.text(max_size=60))
def test_what_cannot_be_carried_is_named_with_its_position(text):
    foreign = [index for index, character in enumerate(text) if character not in SEPTETS]
    assert gsm0338.is_encodable(text) is (not foreign)
    if foreign:
        with pytest.raises(ValueError) as caught:
            gsm0338.encode(text)
        assert isinstance(caught.value, gsm0338.NotGSM)
        assert caught.value.position == foreign[0]
        assert caught.value.character == text[foreign[0]]
        assert f"U+{ord(text[foreign[0]]):04X} at position {foreign[0]}" in str(caught.value)


@given(st.binary(max_size=60) | st.lists(st.sampled_from(b"\x1b\x65\x0a\x00A\x80"), max_size=20).map(bytes))
def test_any_octets_decode_as_the_specification_reads_them(octets):
    assert gsm0338.decode(octets) == obvious_decode(octets)


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        ("", ""),
        ("1b65", "€"),
        ("1b41", "A"),
        ("1b0d", "\r"),
        ("1b", " "),
        ("411b", "A "),
        ("1b1b", " "),
        ("1b1b65", " e"),
        ("1b1b1b65", " €"),
        ("1b001b40", "@|"),
        ("80ff", "\ufffd\ufffd"),
        ("1bff", "\ufffd"),
    ],
)
def test_a_lone_or_unknown_escape_decodes_leniently(octets, text):
    assert gsm0338.decode(bytes.fromhex(octets)) == text


@pytest.mark.parametrize("character", "`\t´çáíóúêãõÁşğșțőű“’–…\u00a0\x1b\x00")
def test_often_mistaken_characters_are_not_in_the_alphabet(character):
    assert not gsm0338.is_encodable(character)


@pytest.mark.parametrize(
    ("text", "septets", "packed"),
    [
        ("", "", ""),
        ("ok", "6f6b", "ef35"),
        ("Stentor", "5374656e746f72", "537ad94d7fcb01"),
        ("ABCDEFGH", "4142434445464748", "41e19058341e91"),
        ("Test@1", "546573740031", "d4f29c0e8801"),
    ],
)
def test_septets_pack_eight_to_seven_octets_and_back(text, septets, packed):
    assert gsm0338.encode(text).hex() == septets
    assert gsm0338.pack(bytes.fromhex(septets)).hex() == packed
    assert gsm0338.unpack(bytes.fromhex(packed), len(septets) // 2).hex() == septets


def obvious_pack(septets: bytes, fill_bits: int) -> bytes:
    """The definition, bit by bit."""
    bits = [0] * fill_bits + [septet >> bit & 1 for septet in septets for bit in range(7)]
    bits += [0] * (-len(bits) % 8)
    return bytes(sum(bits[at + bit] << bit for bit in range(8)) for at in range(0, len(bits), 8))


@given(st.lists(st.integers(0, 127), max_size=170).map(bytes), st.integers(0, 6), st.binary(max_size=3))
def test_packing_agrees_with_the_definition_and_is_undone_by_unpacking(septets, fill_bits, trailing):
    packed = gsm0338.pack(septets, fill_bits)
    assert packed == obvious_pack(septets, fill_bits)
    assert gsm0338.unpack(packed + trailing, len(septets), fill_bits) == septets


def test_unpacking_gives_no_more_septets_than_there_are():
    assert gsm0338.unpack(bytes.fromhex("ef35"), 9) == b"ok"
    assert gsm0338.unpack(b"", 1, 1) == b""


def test_packed_text_behind_a_concatenation_header_fills_a_segment_exactly():
    header_octets = 6
    septets = bytes(range(1, 127))[:126] + b"abcdefghijklmnopqrstuvwxyz0"
    assert len(septets) == 153
    assert header_octets + len(gsm0338.pack(septets, fill_bits=-8 * header_octets % 7)) == 140
