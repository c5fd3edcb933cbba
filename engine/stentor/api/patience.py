"""Whether the client of a stream sends on while its lines wait for their answers.

Storing three lines costs as much as storing thirty, so those of a client that comes with a few every moment are better
stored together, some milliseconds later, where their channels have the time. One that is silent until it is answered
would only be slowed down by that. Who is who is found out by trying: a batch that waited long while nothing else came
is a sign of the second kind.
"""

from typing import Final

LONG_S: Final = 0.03
"""A batch that waited longer than this was made to: most commits take less."""
SIGNS: Final = 2
"""One may be chance; after so many in a row the client is believed to wait for its answers."""
HURRY_S: Final = 5.0
"""So long it is answered at once; then it is tried again, which costs it some fiftieth of its time."""


class Patience:
    """Of one client. Times are monotonic."""

    __slots__ = ("_hurried_until", "_signs")

    def __init__(self) -> None:
        self._signs = 0
        self._hurried_until = 0.0

    def lasts(self, now: float) -> bool:
        """May what the client sends wait for some milliseconds?"""
        return now >= self._hurried_until

    def answered(self, waited_s: float, *, was_silent: bool, now: float) -> None:
        """A batch that waited so long was answered; ``was_silent`` says that nothing has come since it came."""
        if not was_silent:
            self._signs = 0
        elif waited_s >= LONG_S:
            self._signs += 1
            if self._signs >= SIGNS:
                self._hurried_until = now + HURRY_S
