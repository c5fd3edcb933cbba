"""The user data header, well-formed or not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor_smpp.udh import BrokenHeader, Concatenation, Ports, UserDataHeader, read_udh


def read(text: str) -> UserDataHeader:
    found = read_udh(bytes.fromhex(text))
    assert isinstance(found, UserDataHeader), found
    return found


@pytest.mark.parametrize(
    ("octets", "concatenation", "ports"),
    [
        ("0500035c0201", Concatenation(0x5C, 2, 1, 8), None),
        ("060804a1b20301", Concatenation(0xA1B2, 3, 1, 16), None),
        ("06050415822223", None, Ports(0x1582, 0x2223)),
        ("0b050423f00b840003110202", Concatenation(0x11, 2, 2, 8), Ports(0x23F0, 0x0B84)),
        ("0404029192", None, Ports(0x91, 0x92)),
        ("0a00035c02010003aa0302", Concatenation(0xAA, 3, 2, 8), None),
        ("0500035c0003", None, None),
        ("0500035c0200", None, None),
        ("0500035c0203", None, None),
        ("0400025c02", None, None),
        ("00", None, None),
        ("0a00035c02010003aa0203", Concatenation(0x5C, 2, 1, 8), None),
    ],
)
def test_elements_are_read_in_any_order_and_nonsense_says_nothing(octets, concatenation, ports):
    found = read(octets + "48656c6c6f")
    assert found.octets == len(octets) // 2
    assert (found.concatenation, found.ports) == (concatenation, ports)


def test_language_tables_and_unknown_elements_are_kept():
    found = read("06240103250102")
    assert (found.single_shift, found.locking_shift) == (3, 2)
    assert read("04710201ff").elements == ((0x71, b"\x01\xff"),)


@pytest.mark.parametrize(
    ("octets", "octet"), [("", 0), ("05", 0), ("0600035c0201", 0), ("0500045c0201", 1), ("060003010201ff", 6)]
)
def test_a_header_that_does_not_fit_is_a_value(octets, octet):
    found = read_udh(bytes.fromhex(octets))
    assert isinstance(found, BrokenHeader)
    assert found.octet == octet


@given(st.binary(max_size=40))
def test_no_octets_raise(octets):
    found = read_udh(octets)
    if isinstance(found, UserDataHeader):
        assert found.octets <= len(octets)
