"""The table of zones: every zone exists, and another source of the same facts agrees."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest

from stentor.numbers.zones import _BY_PREFIX, zones_of

INSTANTS = [datetime(2027, 1, 1, 7, tzinfo=UTC) + timedelta(days=day) for day in range(0, 365, 7)]

COARSE = {
    "211": "Juba left Nairobi's time in 2021",
    "212": "Morocco's own rules are not those of the Canaries",
    "213": "Algeria has no summer time",
    "218": "Libya has no summer time",
    "505": "Nicaragua has no summer time",
    "672": "Norfolk Island has no antarctic stations here",
    "740": "Abkhazia is not Russia's here",
    "7840": "likewise",
    "52": "Quintana Roo has left New York's time",
    "52201": "likewise",
}
"""Prefixes at which the other source is coarser or older, and why."""

SMALL = ("5555", "5567", "5569", "5592", "6185", "6189", "61")
"""Single exchanges across a border of zones, and islands far from their country: no mobile numbers."""


def clock(zone: str) -> tuple[Any, ...]:
    return tuple(instant.astimezone(ZoneInfo(zone)).utcoffset() for instant in INSTANTS)


def test_every_zone_exists_and_no_prefix_stands_twice() -> None:
    assert {zone for zones in _BY_PREFIX.values() for zone in zones} <= available_timezones()
    assert all(prefix.isdecimal() and 1 <= len(prefix) <= 4 for prefix in _BY_PREFIX)


@pytest.mark.parametrize(
    ("number", "zones"),
    [
        ("+40712345678", ("Europe/Bucharest",)),
        ("+12125550100", ("America/New_York",)),
        ("+77011234567", ("Asia/Almaty",)),
        ("+5511912345678", ("America/Sao_Paulo",)),
        ("+351912345678", ("Atlantic/Azores", "Europe/Lisbon")),
        ("+80012345678", ()),
    ],
)
def test_numbers_are_told_by_their_longest_known_beginning(number: str, zones: tuple[str, ...]) -> None:
    assert zones_of(number) == zones


def test_no_zone_that_another_source_knows_of_is_missing() -> None:
    data = pytest.importorskip("phonenumbers.tzdata").TIMEZONE_DATA
    known = available_timezones()
    missing = {}
    for prefix, zones in data.items():
        if prefix in COARSE or prefix.startswith(SMALL) or len(prefix) == 1:
            continue
        ours = {clock(zone) for zone in zones_of(f"+{prefix}")}
        gone = [zone for zone in zones if zone in known and clock(zone) not in ours]
        if gone:
            missing[prefix] = gone
    assert missing == {}
