"""Destinations, originators and their masks."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.address import (
    Originator,
    OriginatorKind,
    mask_number,
    mask_originator,
    parse_destination,
    parse_originator,
)
from stentor.errors import Refusal
from stentor.text import gsm0338

INTERNATIONAL, SHORT_CODE, NAME = OriginatorKind.INTERNATIONAL, OriginatorKind.SHORT_CODE, OriginatorKind.NAME

digits = st.text("0123456789", max_size=18)
number_like = st.builds("{}{}".format, st.sampled_from(["", "+", "00", "++"]), digits)
near_numbers = number_like | st.text("+0123456789 -()٣۴４a\n", max_size=18) | st.text(max_size=20)


@pytest.mark.parametrize("number", ["+4477009", "+447700900123", "+1" + "2" * 14, "+12025550123"])
def test_an_international_number_is_its_own_canonical_form(number):
    assert parse_destination(number) == number


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "is empty"),
        ("+", "+ and digits only"),
        (" ", "is empty"),
        ("447700900123", "the + is missing"),
        ("07700900123", "the + is missing"),
        ("00447700900123", "+ in place of the leading 00"),
        ("+44 7700 900123", "leave out blanks"),
        ("+44-7700-900123", "leave out blanks"),
        ("+44 (0) 7700 900123", "leave out blanks"),
        ("\u202a+447700900123\u202c", "leave out blanks"),
        ("+447700900123\n", "leave out blanks"),
        ("+44\u00a07700900123", "leave out blanks"),
        ("+44770090O123", "+ and digits only"),
        ("Stentor", "+ and digits only"),
        ("++447700900123", "+ and digits only"),
        ("tel:+447700900123", "+ and digits only"),
        ("+447700900123;447700900124", "+ and digits only"),
        ("+٤٤٧٧٠٠٩٠٠١٢٣", "0 to 9"),
        ("+４４７７００９００１２３", "0 to 9"),
        ("+²³²³²³²³", "+ and digits only"),
        ("+0447700900123", "no country code begins with 0"),
        ("+447700", "6 digits: a number has 7 to 15"),
        ("+4477009001234567", "16 digits: a number has 7 to 15"),
    ],
)
def test_a_human_form_is_refused_with_what_would_be_right(text, hint):
    with pytest.raises(Refusal) as caught:
        parse_destination(text)
    assert (caught.value.code, caught.value.path) == ("bad_destination", "$.to")
    assert hint in caught.value.detail


@given(near_numbers)
def test_exactly_e164_is_accepted_as_a_destination(text):
    is_right = (
        text[:1] == "+" and text[1:2] != "0" and 8 <= len(text) <= 16 and set(text[1:]) <= set("0123456789")
    )
    if is_right:
        assert parse_destination(text) == text
    else:
        with pytest.raises(Refusal) as caught:
            parse_destination(text)
        assert text not in caught.value.detail or len(text) < 3


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("+447700900123", INTERNATIONAL),
        ("112", SHORT_CODE),
        ("12345", SHORT_CODE),
        ("0722000111", SHORT_CODE),
        ("1" * 15, SHORT_CODE),
        ("A", NAME),
        ("Stentor", NAME),
        ("My Shop 24", NAME),
        ("ELEVENCHARS", NAME),
        ("Müller&Co", NAME),
        ("ΩΦΨ", NAME),
        ("3com", NAME),
    ],
)
def test_an_originator_is_of_the_kind_its_form_shows(text, kind):
    assert parse_originator(text) == Originator(kind, text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "is empty"),
        ("12", "3 to 15 digits"),
        ("1" * 16, "3 to 15 digits"),
        ("123-456", "3 to 15 digits"),
        ("0722 000 111", "3 to 15 digits"),
        ("٣٤٥٦", "3 to 15 digits"),
        ("+4477", "4 digits"),
        ("+44 7700 900123", "leave out blanks"),
        ("+Stentor", "+ and digits only"),
        ("TWELVECHARSX", "at most 11"),
        (" Shop", "no blank at its ends"),
        ("Shop ", "no blank at its ends"),
        ("Sh\nop", "no control characters"),
        ("Sh\x00op", "no control characters"),
        ("Crème[1]", "basic alphabet only"),
        ("Euro€", "basic alphabet only"),
        ("Știri", "basic alphabet only"),
        ("Shop🟢", "basic alphabet only"),
        ("Shop\ud83d", "no control characters"),
        ("&&&", "at least one letter"),
        ("24:7", "at least one letter"),
    ],
)
def test_an_impossible_originator_is_refused_with_what_would_be_right(text, hint):
    with pytest.raises(Refusal) as caught:
        parse_originator(text)
    assert (caught.value.code, caught.value.path) == ("bad_originator", "$.from")
    assert hint in caught.value.detail


@given(near_numbers | st.text(st.sampled_from("aZ9 é€Ω+\n-ș"), max_size=13))
def test_what_is_accepted_as_originator_has_the_shape_of_its_kind(text):
    try:
        found = parse_originator(text)
    except Refusal as refusal:
        assert refusal.code == "bad_originator"  # noqa: PT017 - most texts are refused, some are not
        return
    assert found.text == text
    if found.kind is NAME:
        assert len(gsm0338.encode(text)) == len(text) <= 11
        assert any(character.isalpha() for character in text)
    else:
        assert re.fullmatch(r"\+[1-9][0-9]{6,14}" if found.kind is INTERNATIONAL else "[0-9]{3,15}", text)


def test_the_memory_of_originators_is_bounded():
    assert parse_originator.cache_info().maxsize == 4096
    assert parse_originator("Stentor") is parse_originator("Stentor")


@pytest.mark.parametrize(
    ("number", "masked"),
    [
        ("+447700900123", "+447*******23"),
        ("+4477009", "+447**09"),
        ("0722000111", "0722****11"),
        ("1234567", "1234*67"),
        ("123456", "******"),
        ("+1", "**"),
        ("", ""),
    ],
)
def test_a_masked_number_keeps_its_prefix_and_last_two_digits(number, masked):
    assert mask_number(number) == masked


@given(st.text("+0123456789", max_size=20))
def test_a_masked_number_is_as_long_as_the_number_and_hides_something(number):
    masked = mask_number(number)
    assert len(masked) == len(number)
    assert not number or masked.count("*") >= 1


@pytest.mark.parametrize(
    ("originator", "masked"),
    [
        ("+447700900123", "+447*******23"),
        ("0722000111", "0722****11"),
        ("12345", "12345"),
        ("Stentor", "Stentor"),
        ("My Shop 24", "My Shop 24"),
        ("", ""),
    ],
)
def test_names_and_short_codes_stay_readable_and_phone_numbers_do_not(originator, masked):
    assert mask_originator(originator) == masked
