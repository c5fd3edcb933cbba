"""How much of its window a session offers while the peer says how busy it is (SMPP 5.0 section 4.8.4.18). Pure.

congestion_state counts from 0, idle, to 100, congested; 80 to 90 is what a peer likes best. Below it the offer grows
back to the window, in it the offer stands, above it the offer shrinks. A step a second at most: every response of a
full window repeats the same news.
"""

from typing import Final

_STEP_S: Final = 1.0
_OPTIMUM: Final = 80
_TOO_MUCH: Final = 90
_CONGESTED: Final = 100
_SILENT_S: Final = 10.0
"""A peer that has said nothing for this long is no longer taken to be congested."""


class Offer:
    """What one lane is offered. ``size`` is never below 1 nor above ``window``."""

    __slots__ = ("_next_step_at", "_told_at", "size", "window")

    def __init__(self, window: int) -> None:
        self.window = self.size = window
        self._told_at = self._next_step_at = 0.0

    def told(self, congestion: int, now: float) -> bool:
        """The peer said how congested it is; True if that changes the offer."""
        self._told_at = now
        if congestion > _TOO_MUCH:
            return self._step(self.size // 2 if congestion >= _CONGESTED else self.size * 3 // 4, now)
        return congestion < _OPTIMUM and self.grow(now)

    def grow(self, now: float) -> bool:
        """One step back towards the window; True if there was one."""
        return self._step(self.size + max(1, self.window // 10), now)

    def is_forgotten(self, now: float) -> bool:
        """True while the offer is reduced for a reason that is too old."""
        return self.size < self.window and now - self._told_at >= _SILENT_S

    def reset(self) -> None:
        """A new session begins with the whole window."""
        self.size = self.window

    def _step(self, size: int, now: float) -> bool:
        size = max(1, min(self.window, size))
        if size == self.size or now < self._next_step_at:
            return False
        self.size, self._next_step_at = size, now + _STEP_S
        return True
