"""The table of TLVs."""

import pytest

from stentor_smpp.tlvs import TLV_SPECS, TLV_TAGS, first, first_integer, make_tlv, tlv_name, tlv_value


def test_names_are_unique_and_sizes_make_sense():
    assert len(TLV_TAGS) == len(TLV_SPECS) == 64
    assert all(spec.smallest <= spec.largest for spec in TLV_SPECS.values())


def test_the_first_of_several_is_found_whatever_its_size():
    tlvs = ((1, b"a"), (2, b""), (3, b"\1\0"), (1, b"b"))
    assert first(tlvs, 1) == b"a"
    assert first(tlvs, 9) is None
    assert (first_integer(tlvs, 3), first_integer(tlvs, 2), first_integer(tlvs, 9)) == (256, None, None)


@pytest.mark.parametrize(
    ("tag", "value", "octets"),
    [
        (0x0426, 1, b"\1"),
        (0x020C, 7, b"\0\7"),
        (0x001E, "ab", b"ab\0"),
        (0x1400, "1234", b"1234\0"),
        (0x1500, 300, b"\1\x2c"),
        (0x1500, b"raw", b"raw"),
    ],
)
def test_a_tlv_is_made_from_a_value(tag, value, octets):
    assert make_tlv(tag, value) == (tag, octets)


@pytest.mark.parametrize(("tag", "value"), [(0x0426, 256), (0x0426, -1), (0x001E, "x" * 65), (0x0423, b"ab")])
def test_a_value_that_does_not_fit_its_tag_is_refused(tag, value):
    with pytest.raises(ValueError):
        make_tlv(tag, value)


def test_unknown_tags_are_shown_in_hexadecimal():
    assert (tlv_name(0x1401), tlv_value(0x1401, b"\1\2")) == ("0x1401", "0102")
    assert (tlv_name(0x0427), tlv_value(0x0427, b"\2")) == ("message_state", 2)
