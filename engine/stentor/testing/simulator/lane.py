"""One lane as its driver and its peer see it: what it holds, what it was given, how fast."""

import msgspec

from stentor.outcome import Sent, Submission
from stentor.testing.simulator.faults import Violation


class Held(msgspec.Struct):
    """A submission the driver has to answer for; ``taken``: the carrier has it, and would answer so."""

    submission: Submission
    taken: Sent | None = None


class PeerLane:
    """One lane as its driver sees it. ``level`` is how full a leaky bucket of the lane's rate is."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.window = 0
        self.most = 0
        self.rate = 0.0
        self.held: dict[int, Held] = {}
        self.undurable: dict[int, None] = {}
        self.bucket = Leak()

    def forget(self) -> None:
        """A new lane of this name will start with a window and a bucket of its own."""
        self.undurable.clear()
        self.most = 0
        self.rate = 0.0
        self.bucket = Leak()


class Leak:
    """How far beyond a rate something went: a bucket that leaks at the rate and may hold one burst."""

    def __init__(self, burst: float = 0.0) -> None:
        self.rate = 0.0
        self._burst = burst
        self._level = 0.0
        self._at = 0.0

    def set_rate(self, rate: float) -> None:
        if rate != self.rate:
            self.rate, self._level = rate, 0.0

    def pour(self, count: int, now: float, what: str) -> None:
        if not self.rate:
            return
        self._level = max(0.0, self._level - (now - self._at) * self.rate) + count
        self._at = now
        # A thousandth of a token is given on trust each time, and the burst is at least one.
        if self._level > max(1.0, self._burst or self.rate * 0.1) + 0.1:
            raise Violation(f"{what} was given {self._level:.3f} beyond its rate of {self.rate} a second")
