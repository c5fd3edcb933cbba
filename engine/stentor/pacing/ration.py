"""How much of the loop's time a crowd of clients may have: little while it lasts for moments, all of it if it stays.

A thousand phones that come back at once can wait for a second; a message on its way passes through several turns of
the loop, and each must not be longer for their sake. So what they ask is paid for from a credit of time that grows with
a share of the time that passes. The share is small at first. The longer somebody has been waiting in the last seconds,
the more this is no crowd but the load there is, and the larger is the share. Where there have only been a few clients
it is all of the time: carriers tell of thousands of messages a second by some dozens of connections.

Times are seconds of one monotonic clock and are arguments. Invariants: never more than :data:`BURST_S` is saved, and
never more than that is owed, so one long piece of work makes nobody wait long; the share is at least :data:`SHARE`.
"""

from math import exp
from typing import Final

SHARE: Final = 0.2
"""Of the time, while a crowd is new. 1,000 phones that are back, with two requests each, take less than a second."""
CROWD: Final = 200
CROWD_S: Final = 600.0
"""Where so many were connected in the last ten minutes, as many may come back at once."""
BURST_S: Final = 0.001
"""What comes one by one is never delayed; the first of a crowd pass, and one turn of the loop is that much longer."""
MEMORY_S: Final = 4.0
"""How far back it is looked whether somebody waited."""
PRESSED: Final = (0.3, 0.7)
"""Somebody waited in so much of that time: where the share begins to grow, and where it is all of the time."""
LONGEST_S: Final = 0.02
"""Beside a loop that is busy elsewhere, a slice is the share of what that took, up to this: who waits does not wait
ever longer because there is no time to save."""


class Ration:
    """The credit, and how pressed those are who wait."""

    __slots__ = ("_at", "_credit_s", "_crowd_until", "_pressed_at", "_pressure")

    def __init__(self, now: float) -> None:
        self._credit_s = BURST_S
        self._at = self._pressed_at = now
        self._pressure = 0.0
        self._crowd_until = now

    def saw(self, now: float, clients: int) -> None:
        """So many are connected."""
        if clients >= CROWD:
            self._crowd_until = now + CROWD_S

    @property
    def urgency(self) -> float:
        """From 0, a crowd that can wait, to 1, a load that is to have what time there is."""
        if self._at >= self._crowd_until:
            return 1.0
        begins, ends = PRESSED
        return min(1.0, max(0.0, (self._pressure - begins) / (ends - begins)))

    @property
    def share(self) -> float:
        return SHARE + (1.0 - SHARE) * self.urgency

    def credit_s(self, now: float) -> float:
        """What may be spent now; negative if something is owed."""
        if now > self._at:
            credit_s = self._credit_s + (now - self._at) * self.share
            self._credit_s = credit_s if credit_s < BURST_S else BURST_S
            self._at = now
        return self._credit_s

    def spend(self, cost_s: float) -> None:
        """So much was used."""
        left_s = self._credit_s - cost_s
        self._credit_s = left_s if left_s > -BURST_S else -BURST_S

    def look(self, now: float, has_waited: bool) -> None:
        """Since the last look somebody waited all the time, or nobody did."""
        self.credit_s(now)
        faded = exp(min(0.0, self._pressed_at - now) / MEMORY_S)
        self._pressure = self._pressure * faded + (1.0 - faded if has_waited else 0.0)
        self._pressed_at = now

    def slice_s(self, now: float, elsewhere_s: float) -> float:
        """How long those who wait may be served now, 0 if not at all. ``elsewhere_s``: what the loop was busy with
        since the last slice."""
        credit_s = self.credit_s(now)
        urgency, share = self.urgency, self.share
        # At the most each has as much as the other: with less, a load that stays would pay for many short turns.
        earned_s = elsewhere_s * min(1.0, share / (1.0 - share)) if share < 1.0 else elsewhere_s
        return max(0.0, credit_s, urgency * BURST_S, min(LONGEST_S, earned_s))
