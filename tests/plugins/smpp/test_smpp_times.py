"""SMPP times in both directions."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor_smpp.times import (
    AbsoluteTime,
    InvalidTime,
    RelativeTime,
    encode_absolute,
    encode_relative,
    encode_span,
    parse_time,
)


def at(*parts: int, tenths: int = 0) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 1000 + tenths * 100  # type: ignore[misc, arg-type]  # parts are as many as it takes


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("260504101600008+", at(2026, 5, 4, 8, 16)),
        ("260504101600018-", at(2026, 5, 4, 14, 46)),
        ("260504101600523+", at(2026, 5, 4, 4, 31, tenths=5)),
        ("271231235959000+", at(2027, 12, 31, 23, 59, 59)),
        ("371231235959000+", at(2037, 12, 31, 23, 59, 59)),
        ("380101000000000+", at(1938, 1, 1)),
        ("270501093000008+", at(2027, 5, 1, 7, 30)),
    ],
)
def test_an_absolute_time_is_a_point_in_utc(text, wanted):
    assert parse_time(text) == AbsoluteTime(wanted)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("000000013000000R", RelativeTime(hours=1, minutes=30)),
        ("000007000000000R", RelativeTime(days=7)),
        ("020610233429000R", RelativeTime(2, 6, 10, 23, 34, 29)),
        ("000000000045000R", RelativeTime(seconds=45)),
        ("000000009000000R", RelativeTime(minutes=90)),
        ("000000480000000R", RelativeTime(hours=48)),
    ],
)
def test_a_relative_time_keeps_its_units_in_both_directions(text, wanted):
    assert parse_time(text) == wanted
    assert encode_span(wanted) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "26050410160000",
        "260504101600008+0",
        "260504101600008*",
        "000000013000000r",
        "26050410160000x+",
        "２６0504101600008+",
        "261304101600008+",
        "260230101600008+",
        "260504241600008+",
        "260504101660008+",
        "260504101600049+",
        "260500101600008+",
    ],
)
def test_what_is_no_time_is_refused_with_a_reason(text):
    found = parse_time(text)
    assert isinstance(found, InvalidTime)
    assert found.detail


@given(st.text(alphabet="0123456789+-Rr ", min_size=15, max_size=17))
def test_no_string_raises(text):
    parse_time(text)


@given(st.integers(at(1938, 1, 1), at(2037, 12, 31, 23, 59, 59) + 999))
def test_an_absolute_time_comes_back_cut_to_tenths(at_ms):
    assert parse_time(encode_absolute(at_ms)) == AbsoluteTime(at_ms // 100 * 100)


@given(st.integers(0, 100 * 86_400 - 1))
def test_a_span_in_seconds_comes_back_as_the_same_span(seconds):
    found = parse_time(encode_relative(seconds))
    assert isinstance(found, RelativeTime)
    assert found.after(0) == seconds * 1000


def test_months_are_those_of_the_calendar():
    january = at(2027, 1, 31, 12)
    assert RelativeTime(months=1).after(january) == at(2027, 2, 28, 12)
    assert RelativeTime(years=1, months=1).after(january) == at(2028, 2, 29, 12)
    assert RelativeTime(months=11).after(january) == at(2027, 12, 31, 12)


@pytest.mark.parametrize("span", [RelativeTime(hours=100), RelativeTime(seconds=-1)])
def test_a_unit_that_does_not_fit_two_digits_is_refused(span):
    with pytest.raises(ValueError):
        encode_span(span)


def test_spans_and_years_beyond_the_format_are_refused():
    with pytest.raises(ValueError):
        encode_relative(100 * 86_400)
    with pytest.raises(ValueError):
        encode_relative(-1)
    with pytest.raises(ValueError):
        encode_absolute(at(2038, 1, 1))
