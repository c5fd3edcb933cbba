"""National numbers become E.164, and what merely lacks its plus does not become somebody else's number."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.address import parse_destination
from stentor.errors import Refusal
from stentor.numbers.numbering import PLANS, from_national

NATIONAL = {
    ("RO", "0740123456"): "+40740123456",
    ("RO", "0740 123 456"): "+40740123456",
    ("GB", "07700 900123"): "+447700900123",
    ("GB", "(0)7700-900.123"): "+447700900123",
    ("HU", "06301234567"): "+36301234567",
    ("DE", "01511234567"): "+491511234567",
    ("RU", "89161234567"): "+79161234567",
    ("LT", "061234567"): "+37061234567",
    ("IT", "3123456789"): "+393123456789",
    ("IT", "0612345678"): "+390612345678",
    ("ES", "612345678"): "+34612345678",
    ("PL", "512 345 678"): "+48512345678",
    ("EE", "51234567"): "+37251234567",
    ("US", "2025550123"): "+12025550123",
    ("US", "1-202-555-0123"): "+12025550123",
    ("SG", "81234567"): "+6581234567",
    # Mobile numbers without the trunk prefix that fixed ones have.
    ("CN", "138 1234 5678"): "+8613812345678",
    ("CN", "010 1234 5678"): "+861012345678",
    ("GE", "555 12 34 56"): "+995555123456",
    ("PE", "912 345 678"): "+51912345678",
    ("UY", "094 231 234"): "+59894231234",
    ("UY", "2123 1234"): "+59821231234",
    # A trunk prefix of two digits, and one of one digit before a number that may begin with 8.
    ("BY", "8 029 491-19-11"): "+375294911911",
    ("RU", "8 800 555 35 35"): "+78005553535",
    ("KZ", "8 701 234 56 78"): "+77012345678",
    # The zero belongs to the number.
    ("IT", "06 698 12345"): "+390669812345",
    ("CI", "01 23 45 67 89"): "+2250123456789",
    ("CG", "06 123 4567"): "+242061234567",
    ("MX", "55 1234 5678"): "+525512345678",
    ("MC", "06 12 34 56 78"): "+377612345678",
    ("MC", "99 12 34 56"): "+37799123456",
}
LISTING = Path(__file__).parents[2] / "data" / "national_numbers.txt"
WRONG = [
    ("RO", "40740123456"),
    ("RO", "740123456"),
    ("RO", "0040740123456"),
    ("RO", "07"),
    ("RO", "0740123456789012"),
    ("RO", ""),
    ("RO", "0740O23456"),
    ("RO", "٠٧٤٠١٢٣٤٥٦"),
    ("HU", "0301234567"),
    ("ES", "34612345678"),
    ("US", "202555012"),
    ("US", "442025550123"),
    ("US", "1234567890"),
    ("BY", "8294911911"),
    ("RU", "8121234567"),
    ("RU", "9161234567"),
    ("RU", "810407401234567"),
    ("KZ", "89161234567"),
    ("CN", "8613812345678"),
    ("IT", "393123456789"),
    ("IT", "00393123456789"),
    ("MX", "0445512345678"),
    ("BR", "011961234567"),
    ("LU", "352621123456"),
]


@pytest.mark.parametrize(("region", "text", "number"), [(*key, number) for key, number in NATIONAL.items()])
def test_a_number_as_it_is_dialled_becomes_e164(region: str, text: str, number: str) -> None:
    assert parse_destination(text, region) == number


@pytest.mark.parametrize(("region", "text"), WRONG)
def test_what_is_no_national_number_is_refused_with_what_would_be_right(region: str, text: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_destination(text, region)
    assert (caught.value.code, caught.value.path) == ("bad_destination", "$.to")
    assert text not in caught.value.detail or not text


def test_e164_is_taken_in_every_region_and_national_in_none_by_default() -> None:
    assert parse_destination("+447700900123", "RO") == "+447700900123"
    with pytest.raises(Refusal):
        parse_destination("0740123456")


def listed() -> list[tuple[str, str, str]]:
    """Region, E.164 and national form."""
    lines = (line for line in LISTING.read_text().splitlines() if not line.startswith("#"))
    return [tuple(line.split(" ", 2)) for line in lines]


@pytest.mark.parametrize("region", sorted(PLANS))
def test_every_region_takes_its_own_numbers_and_refuses_them_without_their_plus(region: str) -> None:
    numbers = [(number, national) for each, number, national in listed() if each == region]
    assert numbers
    for number, national in numbers:
        assert from_national(national, region) == number
        for wrong in (number[1:], "00" + number[1:], national + "12345678"):
            if PLANS[region].code == "1" and wrong == number[1:]:
                continue  # the country code is the trunk prefix there
            with pytest.raises(Refusal):
                from_national(wrong, region)


def test_every_listed_number_is_of_a_region_with_a_plan() -> None:
    assert {region for region, _, _ in listed()} == set(PLANS)


@pytest.mark.parametrize("region", ["AR", "GA", "XX", ""])
def test_regions_whose_numbers_cannot_be_told_apart_are_not_known(region: str) -> None:
    assert region not in PLANS


@given(st.sampled_from(sorted(PLANS)), st.text(st.sampled_from("0123456789 -()+."), max_size=20))
def test_whatever_is_accepted_is_e164_of_that_country(region: str, text: str) -> None:
    try:
        number = from_national(text, region)
    except Refusal:
        return
    assert number.startswith(f"+{PLANS[region].code}")
    assert re.fullmatch(r"\+[1-9][0-9]{6,14}", number)
