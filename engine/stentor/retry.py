"""When to try again: growing pauses with jitter.

A retry policy knows neither clock nor message; whether a message has expired is the caller's question.
"""

from typing import Final

import msgspec

JITTER: Final = 0.25
"""A pause is shortened by up to this part, so that messages that failed together do not return together."""

_MOST_DOUBLINGS: Final = 64


class RetryPolicy(msgspec.Struct, frozen=True, gc=False):
    """Pauses of ``first_s``, ``first_s * factor``, … up to ``longest_s``; ``attempts`` tries in all.

    The defaults give a message some three hours: 5 s, 15 s, 45 s, 2 min, 7 min, 20 min, then every half hour.
    """

    first_s: float = 5.0
    factor: float = 3.0
    longest_s: float = 1800.0
    attempts: int = 12

    def __post_init__(self) -> None:
        assert self.attempts >= 1, "a message is tried at least once"
        assert 0 < self.first_s <= self.longest_s, "the first pause is the shortest"
        assert self.factor * (1 - JITTER) >= 1, (
            "jitter must not make a later pause shorter than an earlier one"
        )

    def delay(self, attempt: int, age_s: float, random: float) -> float | None:
        """Seconds to wait after ``attempt`` (counted from 1) failed, or None when no attempt is left.

        A young message is tried again soon however many attempts it used: several channels may have refused
        it within a moment. So the pause is at most ``factor`` times the message's age. ``random`` is in [0,
        1).
        """
        assert attempt >= 1, "attempts count from 1"
        if attempt >= self.attempts:
            return None
        pause_s = self.first_s * self.factor ** min(attempt - 1, _MOST_DOUBLINGS)
        pause_s = min(pause_s, self.longest_s, max(self.first_s, self.factor * age_s))
        return pause_s * (1 - JITTER * random)
