"""Lists of what may be sent to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.routing.destinations import Destinations, place_fault

DIGITS = st.text("01", min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("number", "verdict"),
    [
        ("+40712345678", (True, "RO")),
        ("+40900123456", (False, "+40900")),
        ("+12025550123", (False, "")),
        ("+12045550123", (True, "CA")),
        ("+12045559999", (False, "+12045559")),
        ("+447400123456", (True, "+44")),
        ("+447781123456", (False, "GG")),
    ],
)
def test_the_most_specific_entry_decides(number, verdict):
    lists = Destinations(("RO", "CA", "+44"), ("+40900", "+12045559", "GG"))
    assert lists.verdict(number) == verdict


def test_without_a_list_of_what_is_allowed_the_rest_is():
    assert Destinations((), ("KP",)).verdict("+40712345678") == (True, "")
    assert Destinations((), ("KP",)).verdict("+8501921234567") == (False, "KP")


def test_a_prefix_comes_before_a_country_told_by_as_many_digits():
    assert Destinations(("+40",), ("RO",)).verdict("+40712345678") == (True, "+40")


@given(st.dictionaries(DIGITS, st.booleans(), max_size=6), DIGITS)
def test_prefixes_agree_with_a_search_through_all(entries, number):
    allow = [f"+4{digits}" for digits, said in entries.items() if said]
    deny = [f"+4{digits}" for digits, said in entries.items() if not said]
    fitting = [digits for digits in entries if number.startswith(digits)]
    expected = entries[max(fitting, key=len)] if fitting else not allow
    assert Destinations(allow, deny).verdict(f"+4{number}")[0] is expected


@pytest.mark.parametrize("entry", ["RO", "+40", "+1204", "XK"])
def test_prefixes_and_countries_are_entries(entry):
    assert place_fault(entry) is None


@pytest.mark.parametrize("entry", ["", "ro", "40", "+", "+0", "ZZ", "+40 7", "+1234567890123456"])
def test_anything_else_is_not(entry):
    assert place_fault(entry)
