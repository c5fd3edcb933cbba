"""The two times the engine knows: monotonic seconds for waiting, wall milliseconds for people and the journal.

The one module below the shells that reads a clock; cores take times as arguments.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """``now()``: monotonic seconds, only differences mean anything. ``wall_ms()``: milliseconds since 1970 UTC."""

    def now(self) -> float: ...

    def wall_ms(self) -> int: ...


class SystemClock:
    """The machine's clocks."""

    __slots__ = ()

    def now(self) -> float:
        return time.monotonic()

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000


class ManualClock:
    """A clock that stands still until it is told; for tests and simulation."""

    __slots__ = ("monotonic_s", "wall_at_ms")

    def __init__(self, monotonic_s: float = 0.0, wall_at_ms: int = 1_800_000_000_000) -> None:
        self.monotonic_s = monotonic_s
        self.wall_at_ms = wall_at_ms

    def now(self) -> float:
        return self.monotonic_s

    def wall_ms(self) -> int:
        return self.wall_at_ms

    def advance(self, seconds: float) -> None:
        self.monotonic_s += seconds
        self.wall_at_ms += round(seconds * 1000)
