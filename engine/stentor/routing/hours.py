"""Hours of a week in some place: "08:00-20:00" from Monday to Friday in Bucharest.

Owns the grammar of hours and days and the clock on the wall of a zone (the IANA time zone database). Hours are kept
as one octet for each minute of a week that begins on Monday, so asking is one look whatever was said. Changes to and
from summer time are the zone's: hours are what its clocks show.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

DAY_MINUTES: Final = 24 * 60
WEEK_MINUTES: Final = 7 * DAY_MINUTES
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MINUTE_MS: Final = 60_000

_span = re.compile(r"([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2})", re.ASCII).fullmatch
_days = re.compile(r"([a-z]{3})(?:-([a-z]{3}))?").fullmatch


class Hours(msgspec.Struct, frozen=True):
    """When something holds. ``minutes`` has an octet for each minute of the week, 1 where it does."""

    zone: str
    minutes: bytes

    def hold(self, at_ms: int) -> bool:
        """Whether they do at a moment, wall milliseconds."""
        return self.minutes[minute_of_week(self.zone, at_ms // _MINUTE_MS)] == 1

    @property
    def are_always(self) -> bool:
        return b"\x00" not in self.minutes

    @property
    def are_never(self) -> bool:
        return b"\x01" not in self.minutes


@lru_cache(maxsize=1024)
def make_hours(spans: tuple[str, ...], days: tuple[str, ...], zone: str) -> Hours:
    """The hours of ``spans`` on ``days``; without spans the whole day, without days every day.

    A span that ends where it begins or before goes on into the next morning, and belongs to the day it begins on.
    Raises ValueError with a sentence saying what is right.
    """
    read_zone(zone)
    wanted = [parse_span(span) for span in spans] or [(0, DAY_MINUTES)]
    minutes = bytearray(WEEK_MINUTES + DAY_MINUTES)
    for day in {day for text in days for day in parse_days(text)} or range(7):
        for begin, end in wanted:
            length = end - begin if end > begin else end - begin + DAY_MINUTES
            first = day * DAY_MINUTES + begin
            minutes[first : first + length] = b"\x01" * length
    for minute in range(DAY_MINUTES):
        # Sunday's night is Monday's morning.
        minutes[minute] |= minutes[WEEK_MINUTES + minute]
    return Hours(zone, bytes(minutes[:WEEK_MINUTES]))


def parse_span(text: str) -> tuple[int, int]:
    """Minutes of the day at which "08:00-20:00" begins and ends; "24:00" is the end of a day."""
    match = _span(text)
    if match is not None:
        hours, minutes = (int(match[1]), int(match[3])), (int(match[2]), int(match[4]))
        begin, end = hours[0] * 60 + minutes[0], hours[1] * 60 + minutes[1]
        if begin < DAY_MINUTES and end <= DAY_MINUTES and max(minutes) < 60 and begin != end:
            return begin, end
    raise ValueError(f'"{text[:40]}" are no hours; write their begin and end, like "08:00-20:00"')


def parse_days(text: str) -> Iterator[int]:
    """The days of "mon-fri" or "sun", counted from Monday; "sat-mon" goes over the week's end."""
    match = _days(text)
    if match is None or not {match[1], match[2] or match[1]} <= set(DAYS):
        raise ValueError(
            f'"{text[:40]}" is no day; write "mon" to "sun", or the first and last, like "mon-fri"'
        )
    first, last = DAYS.index(match[1]), DAYS.index(match[2] or match[1])
    return (day % 7 for day in range(first, last + 1 if last >= first else last + 8))


@lru_cache(maxsize=256)
def read_zone(name: str) -> ZoneInfo:
    """A zone by its name, like "Europe/Bucharest". Raises ValueError for one the system does not know."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f'"{name[:40]}" is no time zone; write one like "Europe/Bucharest"') from None


@lru_cache(maxsize=1024)
def minute_of_week(zone: str, minute: int) -> int:
    """What a zone's clocks show at ``minute`` since 1970, as minutes since Monday began. Remembered: messages that come
    together are due in the same minute."""
    local = datetime.fromtimestamp(minute * 60, UTC).astimezone(read_zone(zone))
    return local.weekday() * DAY_MINUTES + local.hour * 60 + local.minute


def local_text(zone: str, at_ms: int) -> str:
    """What a zone's clocks and calendar show, for people: "Mon 08:15"."""
    minute = minute_of_week(zone, at_ms // _MINUTE_MS)
    day, rest = divmod(minute, DAY_MINUTES)
    return f"{DAYS[day].capitalize()} {rest // 60:02d}:{rest % 60:02d}"
