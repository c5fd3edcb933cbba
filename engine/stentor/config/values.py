"""Values with their unit in the text: durations ("30s", "5m", "48h") and sizes ("64KiB"), both ways."""

import re
from typing import Final

_SECONDS: Final = {"w": 604_800.0, "d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_OCTETS: Final = {"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "B": 1}
_DURATION: Final = re.compile(r"(\d{1,12}(?:\.\d{1,6})?) ?(ms|[wdhms])", re.ASCII)
_SIZE: Final = re.compile(r"(\d{1,12}) ?([KMG]iB|B)", re.ASCII)


def duration_s(text: str) -> float:
    """Seconds of "250ms", "30s", "5m", "48h", "2d" or "1w". Raises ValueError with a sentence saying what
    is right."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f'"{text[:40]}" is no duration; write a number and its unit, like "250ms", "30s", "5m", "48h"'
        )
    return float(match[1]) * _SECONDS[match[2]]


def duration_text(seconds: float) -> str:
    """The shortest exact spelling of a duration: 172800 is "48h", 0.25 is "250ms"."""
    if seconds == 0:
        return "0s"
    milliseconds = round(seconds * 1000)
    for unit in ("h", "m", "s"):
        if milliseconds % (_SECONDS[unit] * 1000) == 0:
            return f"{milliseconds // int(_SECONDS[unit] * 1000)}{unit}"
    return f"{milliseconds}ms"


def octets(text: str) -> int:
    """Octets of "512B", "64KiB" or "1GiB". Raises ValueError with a sentence saying what is right."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f'"{text[:40]}" is no size; write a number and its unit, like "64KiB" or "16MiB"')
    return int(match[1]) * _OCTETS[match[2]]


def octets_text(count: int) -> str:
    """The shortest exact spelling of a size: 65536 is "64KiB"."""
    for unit, size in _OCTETS.items():
        if count and count % size == 0:
            return f"{count // size}{unit}"
    return "0B"
