"""SMPP times: ``YYMMDDhhmmsstnnp``, absolute with an offset from UTC or relative with ``R`` (SMPP 3.4 section
7.1.1).

A peer's string becomes an ``AbsoluteTime``, a ``RelativeTime`` or an ``InvalidTime`` that says what is wrong;
our own values that do not fit raise ValueError. Relative values are not normalised: 90 minutes stay 90
minutes.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

_LENGTH: Final = 16
_QUARTERS_PER_DAY: Final = 48
_QUARTER: Final = timedelta(minutes=15)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
# Two digits of a year stand for 1938 to 2037.
_FIRST_YEAR: Final = 1938


class AbsoluteTime(msgspec.Struct, frozen=True, gc=False):
    """A point in time, milliseconds since 1970 UTC."""

    at_ms: int


class RelativeTime(msgspec.Struct, frozen=True, gc=False):
    """A span from the MC's now, in the units it was written in; each 0 to 99."""

    years: int = 0
    months: int = 0
    days: int = 0
    hours: int = 0
    minutes: int = 0
    seconds: int = 0

    def after(self, now_ms: int) -> int:
        """The point in time this means at ``now_ms``; a day the target month lacks becomes its last."""
        start = _EPOCH + timedelta(milliseconds=now_ms)
        months = start.year * 12 + start.month - 1 + self.years * 12 + self.months
        year, month = divmod(months, 12)
        day = min(start.day, _days_of(year, month + 1))
        moved = start.replace(year=year, month=month + 1, day=day)
        span = timedelta(days=self.days, hours=self.hours, minutes=self.minutes, seconds=self.seconds)
        return (moved + span - _EPOCH) // _MILLISECOND


class InvalidTime(msgspec.Struct, frozen=True, gc=False):
    """A string that is no time, and why."""

    detail: str


def _days_of(year: int, month: int) -> int:
    following = datetime(year + month // 12, month % 12 + 1, 1)
    return (following - timedelta(days=1)).day


def full_year(two_digits: int) -> int:
    """00 to 37 are 20xx, 38 to 99 are 19xx."""
    return two_digits + (2000 if two_digits < _FIRST_YEAR % 100 else 1900)


def parse_time(text: str) -> AbsoluteTime | RelativeTime | InvalidTime:
    """Read sixteen characters. The empty string means "not given" and is the caller's affair."""
    if len(text) != _LENGTH:
        return InvalidTime(f"{len(text)} characters, must be {_LENGTH}")
    digits, sign = text[:-1], text[-1]
    if not (digits.isascii() and digits.isdigit()):
        return InvalidTime("the first fifteen characters must be digits")
    if sign not in "+-R":
        return InvalidTime(f"the last character is {sign!r}, must be +, - or R")
    pairs = [int(digits[at : at + 2]) for at in range(0, 12, 2)]
    quarters = int(digits[13:])
    if quarters > _QUARTERS_PER_DAY:
        return InvalidTime(f"the offset is {quarters} quarters of an hour, at most {_QUARTERS_PER_DAY}")
    if sign == "R":
        return RelativeTime(*pairs)
    year, month, day, hour, minute, second = pairs
    try:
        local = datetime(full_year(year), month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        return InvalidTime(str(error))
    offset = quarters * _QUARTER if sign == "+" else -quarters * _QUARTER
    return AbsoluteTime((local - offset - _EPOCH) // _MILLISECOND + int(digits[12]) * 100)


def encode_absolute(at_ms: int) -> str:
    """A point in time in UTC, cut to tenths of a second. Raises ValueError outside 1938 to 2037."""
    at = _EPOCH + timedelta(milliseconds=at_ms)
    if not _FIRST_YEAR <= at.year < _FIRST_YEAR + 100:
        raise ValueError(f"year {at.year} does not fit an SMPP time, which ends with 2037")
    return f"{at:%y%m%d%H%M%S}{at.microsecond // 100_000}00+"


def encode_span(span: RelativeTime) -> str:
    """A span as it stands. Raises ValueError for a unit outside 0 to 99."""
    units = (span.years, span.months, span.days, span.hours, span.minutes, span.seconds)
    if any(not 0 <= unit <= 99 for unit in units):
        raise ValueError(f"{span}: each unit of a relative SMPP time is 0 to 99")
    return "".join(f"{unit:02}" for unit in units) + "000R"


def encode_relative(seconds: int) -> str:
    """A span of ``seconds`` in days, hours, minutes and seconds. Raises ValueError above 99 days."""
    days, rest = divmod(seconds, 86_400)
    return encode_span(
        RelativeTime(days=days, hours=rest // 3600, minutes=rest // 60 % 60, seconds=rest % 60)
    )
