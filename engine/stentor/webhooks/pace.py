"""How fast deliveries start, all webhooks together: as fast as they can, and at a set pace while much is sent.

Time goes in periods. While sending takes all of the loop, they end late: then the next ones are given what
``STARTS_A_SECOND`` came to in the last, until some have ended in time one after the other, for now and then a busy loop
is in time too. From there on one that was used up and ended in time allows for twice as many in the next. So
deliveries have their own rate whatever is sent, of a busy loop no more than that, and all of an idle one. They start in
few bursts, because each wake-up between costs sending a part of its batches.

Invariant: in a period no more deliveries start than it was given.
"""

from typing import Final

PERIOD_S: Final = 0.01
LATE_S: Final = 0.002
"""A period that ends later by so much says that the loop is busy."""
CALM: Final = 5
"""So many periods in time, one after the other, are no chance."""
STARTS_A_SECOND: Final = 5_350
FEWEST: Final = round(PERIOD_S * STARTS_A_SECOND)
MOST: Final = 160
"""What doubling ends at: more at once would only open more connections."""
MOST_LATE: Final = 512
"""What a period may be given however late the one before ended."""
SENDING_S: Final = 0.1
"""Without an event for so long, nothing is being sent."""


class Pace:
    """``now`` is monotonic seconds, ``newest`` the newest event that was committed. ``room`` is how many may start in
    this period. ``is_paced``: sending keeps the loop busy, and goes first."""

    __slots__ = ("_began", "_given", "_in_time", "_newest", "_sent_at", "is_paced", "is_running", "room")

    def __init__(self) -> None:
        self._began = self._sent_at = 0.0
        self._given = self.room = FEWEST
        self._newest = 0
        self._in_time = CALM
        self.is_paced = False
        self.is_running = False

    @property
    def has_started(self) -> bool:
        """Whether anything did in this period."""
        return self.room < self._given

    def start(self, count: int) -> None:
        """So many deliveries start."""
        assert count <= self.room, "more than the period was given"
        self.room -= count

    def begin(self, now: float) -> None:
        """The first period after a time when nothing was started."""
        self._began = now
        self.is_running = True

    def turn(self, now: float, newest: int) -> bool:
        """A period has ended; whether another follows at once, because something was started in it."""
        took_s, self._began = now - self._began, now
        self.is_running = self.has_started
        if newest != self._newest:
            self._newest, self._sent_at = newest, now
        self._in_time = 0 if took_s > PERIOD_S + LATE_S else self._in_time + 1
        # A loop may be late by what deliveries take: that is nobody's loss while nothing is sent.
        self.is_paced = self.is_running and self._in_time < CALM and now - self._sent_at < SENDING_S
        if self.is_paced:
            self._given = min(MOST_LATE, round(took_s * STARTS_A_SECOND))
        else:
            self._given = min(MOST, self._given if self.room else self._given * 2)
        self.room = self._given
        return self.is_running
