"""Dates as the app writes and reads them: ISO 8601 with exactly three digits of a second.

More digits than three would be misread by the phone as that many milliseconds. What phones with Android 5 and 6
write is read as well: ``+0000``, and ``+-5:00`` for zones west of Greenwich.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

_DATE: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?"
    r"(?:Z|([+-]{1,2})(\d{1,2}):?(\d\d))",
    re.ASCII,
)
_USUAL: Final = re.compile(
    r"2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
"""As every app since Android 7 writes it in this millennium, and as the standard library reads it."""
_MILLISECOND: Final = timedelta(milliseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def parse_date(text: object) -> int | None:
    """Wall milliseconds of a date, None for what is none: whoever reads it then takes the time of receipt."""
    if not isinstance(text, str):
        return None
    if _USUAL.fullmatch(text):
        try:
            return (datetime.fromisoformat(text) - _EPOCH) // _MILLISECOND
        except ValueError:
            return None
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, hours, minutes = found.groups()
    try:
        at = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    except ValueError:
        return None
    if sign is not None:
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        try:
            at = at + offset if "-" in sign else at - offset
        except OverflowError:
            return None
    milliseconds = int((fraction or "0")[:3].ljust(3, "0"))
    return (at - _EPOCH) // timedelta(seconds=1) * 1000 + milliseconds


def date_text(wall_ms: int) -> str:
    """The date for the phone: UTC, three digits of a second."""
    second, millisecond = divmod(wall_ms, 1000)
    return f"{_second_text(second)}.{millisecond:03d}Z"


@lru_cache(maxsize=256)
def _second_text(second: int) -> str:
    """Those of messages that come together are alike, and so are the ends of their validity."""
    return (_EPOCH + timedelta(seconds=second)).isoformat().removesuffix("+00:00")
