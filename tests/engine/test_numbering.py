"""National numbers become E.164, and what merely lacks its plus does not become somebody else's number."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.address import parse_destination
from stentor.errors import Refusal
from stentor.numbering import PLANS, from_national

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
}
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


def test_every_region_has_a_sound_plan() -> None:
    for region, plan in PLANS.items():
        assert re.fullmatch(r"[A-Z]{2}", region)
        assert re.fullmatch(r"[1-9][0-9]{0,2}", plan.code)
        assert plan.trunk in ("", "0", "06", "1", "8")
        assert 6 <= plan.least <= plan.most <= 15 - len(plan.code)


@given(st.sampled_from(sorted(PLANS)), st.text(st.sampled_from("0123456789 -()+."), max_size=20))
def test_whatever_is_accepted_is_e164_of_that_country(region: str, text: str) -> None:
    try:
        number = from_national(text, region)
    except Refusal:
        return
    assert number.startswith(f"+{PLANS[region].code}")
    assert re.fullmatch(r"\+[1-9][0-9]{6,14}", number)
