"""How fast something goes: what was counted lately, per second."""

from typing import Final

SPAN_S: Final = 10.0
"""A rate is that of the last span, the current one and as much of the one before as fills it up."""


class Pace:
    """Counts, and tells the rate of about the last SPAN_S. Times are monotonic seconds and do not decrease."""

    __slots__ = ("_before", "_began", "_count", "_since")

    def __init__(self, now: float) -> None:
        self._began = self._since = now
        self._count = 0
        self._before = 0

    def note(self, count: int, now: float) -> None:
        """``count`` of it went."""
        self._turn(now)
        self._count += count

    def rate(self, now: float) -> float:
        """How many a second, 0 when nothing went lately."""
        self._turn(now)
        passed_s = now - self._since
        if self._since == self._began:
            # There was no span before; a rate of less than a second would be a guess.
            return self._count / max(1.0, passed_s)
        return (self._before * (1 - passed_s / SPAN_S) + self._count) / SPAN_S

    def _turn(self, now: float) -> None:
        passed_s = now - self._since
        if passed_s < SPAN_S:
            return
        self._before = self._count if passed_s < 2 * SPAN_S else 0
        self._count = 0
        self._since = now if passed_s >= 2 * SPAN_S else self._since + SPAN_S
