"""The id of a response and that of its receipt meet under one key, in every notation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor_smpp.matching import Mode, receipt_key, response_key


def match(mode: Mode, response: str, receipt: str) -> bool:
    key = response_key(response, mode)
    return key is not None and key == receipt_key(receipt, mode)


@pytest.mark.parametrize(
    ("response", "receipt", "mode", "is_match"),
    [
        ("5f3a09c1", "1597639105", Mode.HEX_DEC, True),
        ("5F3A09C1", "5f3a09c1", Mode.FOLD, True),
        ("5F3A09C1", "5f3a09c1", Mode.EXACT, False),
        ("5F3A09C1", "5F3A09C1", Mode.EXACT, True),
        ("4711", "0000004711", Mode.FOLD, True),
        ("4711", "0000004711", Mode.DEC_DEC, True),
        ("1597639105", "5F3A09C1", Mode.DEC_HEX, True),
        ("20", "32", Mode.HEX_DEC, True),
        ("20", "20", Mode.HEX_DEC, False),
        ("00ab", "AB", Mode.HEX_HEX, True),
        ("0xAB", "ab", Mode.HEX_HEX, True),
        ("5f3a09c1", "5F3A09C1", Mode.DEC_DEC, True),
        ("5f3a09c1", "5f3a09c1", Mode.HEX_DEC, True),
        ("id-1", "id-1", Mode.HEX_DEC, False),
        ("id-1", "id-1", Mode.FOLD, True),
        ("", "", Mode.FOLD, False),
        ("", "", Mode.EXACT, False),
        ("", "", Mode.HEX_HEX, False),
        ("000", "0", Mode.FOLD, True),
        ("1_0", "10", Mode.DEC_DEC, False),
        (" 10", "10", Mode.DEC_DEC, False),
        ("+10", "10", Mode.DEC_DEC, False),
        ("١٢", "12", Mode.DEC_DEC, False),
        ("f" * 64, str(int("f" * 64, 16)), Mode.HEX_DEC, True),
    ],
)
def test_ids_match_as_their_mode_says(response, receipt, mode, is_match):
    assert match(mode, response, receipt) is is_match


@given(st.integers(0, 1 << 200), st.integers(0, 8))
def test_a_number_matches_in_whatever_dress(number, zeros):
    decimal, hexadecimal = "0" * zeros + str(number), "0" * zeros + f"{number:X}"
    assert match(Mode.DEC_DEC, str(number), decimal)
    assert match(Mode.HEX_DEC, hexadecimal, decimal)
    assert match(Mode.DEC_HEX, decimal, hexadecimal)
    assert match(Mode.HEX_HEX, f"{number:x}", hexadecimal)


@given(st.sampled_from(Mode), st.text(max_size=80))
def test_no_id_raises(mode, message_id):
    response_key(message_id, mode)
    receipt_key(message_id, mode)


def test_an_absurdly_long_number_is_refused_cheaply():
    assert receipt_key("9" * 60_000, Mode.DEC_DEC) is not None
    assert receipt_key("9" * 60_000 + "x", Mode.DEC_DEC) is None
