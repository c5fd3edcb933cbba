"""Hours of the week on the clocks of a place."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.routing.hours import WEEK_MINUTES, local_text, make_hours, parse_days, parse_span

BUCHAREST = "Europe/Bucharest"


def at(text: str, zone: str = BUCHAREST) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


@pytest.mark.parametrize(
    ("moment", "holds"),
    [
        ("2026-11-23T07:59:59", False),  # a Monday
        ("2026-11-23T08:00:00", True),
        ("2026-11-27T19:59:59", True),
        ("2026-11-27T20:00:00", False),
        ("2026-11-28T12:00:00", False),  # a Saturday
        ("2026-07-20T08:00:00", True),  # in summer time
        ("2026-07-20T07:59:00", False),
    ],
)
def test_hours_hold_from_their_beginning_until_their_end_by_the_clocks_there(moment, holds):
    assert make_hours(("08:00-20:00",), ("mon-fri",), BUCHAREST).hold(at(moment)) is holds


def test_a_night_belongs_to_the_day_it_begins_on():
    hours = make_hours(("22:00-06:00",), ("sun",), "UTC")
    held = [text for text in ("2026-11-22T21:59", "2026-11-22T22:00", "2026-11-23T05:59", "2026-11-23T06:00",
                              "2026-11-22T05:00") if hours.hold(at(text, "UTC"))]  # fmt: skip
    assert held == ["2026-11-22T22:00", "2026-11-23T05:59"]


def test_always_and_never_are_told():
    assert make_hours((), ("mon-sun",), "UTC").are_always
    assert make_hours(("00:00-12:00", "12:00-24:00"), (), "UTC").are_always
    one = make_hours(("00:00-00:01",), ("wed",), "UTC")
    assert not one.are_always
    assert not one.are_never
    assert one.minutes.count(1) == 1


@given(st.integers(0, 6), st.integers(0, 1439), st.integers(0, 1440), st.integers(0, WEEK_MINUTES - 1))
def test_a_span_agrees_with_counting_minutes(day, begin, end, minute):
    if begin == end:
        return
    span = f"{begin // 60:02d}:{begin % 60:02d}-{end // 60:02d}:{end % 60:02d}"
    name = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[day]
    length = (end - begin) % 1440 or 1440
    expected = (minute - day * 1440 - begin) % WEEK_MINUTES < length
    monday = datetime(2026, 11, 23, tzinfo=UTC).timestamp() * 1000
    assert make_hours((span,), (name,), "UTC").hold(int(monday) + minute * 60_000 + 59_999) is expected


@pytest.mark.parametrize(
    "text",
    ["", "8:00-20:00", "08:00", "08:00-08:00", "24:00-08:00", "08:60-09:00", "08:00-24:01", "0800-2000"],
)
def test_what_are_no_hours_is_refused(text):
    with pytest.raises(ValueError, match="are no hours"):
        parse_span(text)


@pytest.mark.parametrize("text", ["", "monday", "Mon", "mon-", "mon-xyz", "mon fri"])
def test_what_is_no_day_is_refused(text):
    with pytest.raises(ValueError, match="is no day"):
        parse_days(text)


def test_days_may_go_over_the_end_of_the_week():
    assert list(parse_days("sat-mon")) == [5, 6, 0]
    assert list(parse_days("mon-sun")) == list(range(7))
    assert list(parse_days("sun")) == [6]


@pytest.mark.parametrize("zone", ["Mars/Base", "", "../etc/passwd", "Europe/bucharest/", "/etc/passwd"])
def test_a_zone_nobody_knows_is_refused(zone):
    with pytest.raises(ValueError, match="is no time zone"):
        make_hours(("08:00-09:00",), (), zone)


def test_people_are_told_what_the_clocks_there_show():
    assert local_text(BUCHAREST, at("2026-11-23T08:15")) == "Mon 08:15"
