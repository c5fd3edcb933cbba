"""A channel's circuit breaker: while every lane of it is dead, its messages go elsewhere, and one at a time finds out.

It lifts what the lanes' windows know (``stentor.pacing.window``) to the channel. CLOSED: some lane works. OPEN: all
lanes that are offered are dead, and none is to be probed yet. PROBING: the next message whose route begins here is
the probe.
"""

import enum
from collections.abc import Collection

from stentor.pacing.window import LaneState, LaneWindow


class BreakerState(enum.Enum):
    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


class Breaker:
    """``reason`` is the failure that opened it, "" while it is closed. ``has_opened`` until whoever moves the messages
    has seen it; ``wants_probe``: one message may be let in."""

    __slots__ = ("has_opened", "reason", "state", "wants_probe")

    def __init__(self) -> None:
        self.state = BreakerState.CLOSED
        self.reason = ""
        self.has_opened = False
        self.wants_probe = False

    @property
    def is_closed(self) -> bool:
        return self.state is BreakerState.CLOSED

    def failed(self, windows: Collection[LaneWindow], reason: str) -> None:
        """A failure reached some of the channel's lanes."""
        offered = [window for window in windows if window.offered]
        if not offered or any(window.state is not LaneState.DEAD for window in offered):
            return
        self.has_opened = self.has_opened or self.is_closed
        self.state = BreakerState.OPEN
        self.reason = reason
        self.wants_probe = False

    def works(self, windows: Collection[LaneWindow]) -> None:
        """Something succeeded, or the lanes are others now."""
        if self.is_closed or all(window.state is LaneState.DEAD for window in windows if window.offered):
            return
        self.state = BreakerState.CLOSED
        self.reason = ""
        self.has_opened = self.wants_probe = False

    def tick(self, windows: Collection[LaneWindow], now: float, *, is_busy: bool) -> None:
        """Time passed: a probe may be due. ``is_busy``: something of the channel waits or is under way already."""
        if self.is_closed or is_busy or self.wants_probe:
            return
        if any(window.offered and window.probe_at <= now for window in windows):
            self.state = BreakerState.PROBING
            self.wants_probe = True
