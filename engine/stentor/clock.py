"""The two times the engine knows: monotonic seconds for waiting, wall milliseconds for people and the journal.

The one module below the shells that reads a clock; cores take times as arguments.
"""

import enum
import time
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

NOTICED_MS: Final = 2_000
"""A step of the wall clock that is worth a word; less is how clocks are kept right."""
FOLLOWED_MS: Final = 300_000
"""A step that is followed at once. A larger one would expire, or hold up, whatever waits for a time."""
ANCHOR_S: Final = 3600.0
BELIEVED_AFTER_S: Final = 3600.0
"""A large step that has lasted for so long is the truth."""
STEPS_KEPT: Final = 100


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

    def uptime(self) -> float:
        """Seconds since boot, those the machine slept included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)


class StepKind(enum.Enum):
    """What became of a step of the wall clock."""

    FOLLOWED = "followed"
    HELD = "held"
    RETURNED = "returned"
    BELIEVED = "believed"


class Step(msgspec.Struct, frozen=True, gc=False):
    """The wall clock stepped; ahead of what it showed before if ``step_ms`` is positive."""

    kind: StepKind
    step_ms: int


class SteadyClock:
    """A wall clock that no step of the machine's can carry far: what expires and what is due are decided by it.

    ``uptime`` counts seconds whatever is done to the wall clock. Steps up to FOLLOWED_MS within ANCHOR_S are followed.
    Beyond that the clock is *held*: it goes on as before the step until the machine's comes back, until the step has
    lasted for BELIEVED_AFTER_S, or until :meth:`believe`. A machine's clock that stands still is never believed.
    Steps are kept to be told of: :meth:`take_steps`.
    """

    __slots__ = (
        "_anchor_ms",
        "_anchored_at",
        "_held_at",
        "_held_ms",
        "_offset_ms",
        "_source",
        "_steps",
        "_uptime",
    )

    def __init__(self, source: Clock, uptime: Callable[[], float]) -> None:
        self._source = source
        self._uptime = uptime
        self._anchored_at = up = uptime()
        # What to add to the uptime: as followed last, and as it was when it was last known to be right.
        self._offset_ms = self._anchor_ms = source.wall_ms() - up * 1000
        # The machine's own while the clock is held, and since when it is that.
        self._held_ms = 0.0
        self._held_at: float | None = None
        self._steps: list[Step] = []

    def now(self) -> float:
        return self._source.now()

    def wall_ms(self) -> int:
        up, wall_ms = self._uptime(), self._source.wall_ms()
        offset_ms = wall_ms - up * 1000
        step_ms = offset_ms - self._anchor_ms
        if not -FOLLOWED_MS <= step_ms <= FOLLOWED_MS:
            return self._hold(up, offset_ms)
        if self._held_at is not None:
            self._held_at = None
            self._note(StepKind.RETURNED, offset_ms - self._held_ms)
        elif not -NOTICED_MS <= offset_ms - self._offset_ms <= NOTICED_MS:
            self._note(StepKind.FOLLOWED, offset_ms - self._offset_ms)
        self._offset_ms = offset_ms
        if up - self._anchored_at >= ANCHOR_S:
            self._anchor(up, offset_ms)
        return wall_ms

    @property
    def held_ms(self) -> int:
        """How far the machine's clock is ahead of this one while it is held; else 0."""
        return round(self._held_ms - self._offset_ms) if self._held_at is not None else 0

    def believe(self) -> None:
        """Somebody says that the machine's clock is right."""
        up = self._uptime()
        self._believe(up, self._source.wall_ms() - up * 1000)

    def take_steps(self) -> list[Step]:
        """Steps since the last call, the oldest first; beyond STEPS_KEPT they are not kept."""
        steps, self._steps = self._steps, []
        return steps

    def _hold(self, up: float, offset_ms: float) -> int:
        if self._held_at is None:
            self._note(StepKind.HELD, offset_ms - self._offset_ms)
            self._held_at, self._held_ms = up, offset_ms
        elif not -NOTICED_MS <= offset_ms - self._held_ms <= NOTICED_MS:
            # It steps again, or does not run at all: the wait for it to be believed begins anew.
            self._held_at, self._held_ms = up, offset_ms
        elif up - self._held_at >= BELIEVED_AFTER_S:
            self._believe(up, offset_ms)
        return int(up * 1000 + self._offset_ms)

    def _believe(self, up: float, offset_ms: float) -> None:
        if self._held_at is not None:
            self._held_at = None
            self._note(StepKind.BELIEVED, offset_ms - self._offset_ms)
        self._offset_ms = offset_ms
        self._anchor(up, offset_ms)

    def _anchor(self, up: float, offset_ms: float) -> None:
        self._anchored_at, self._anchor_ms = up, offset_ms

    def _note(self, kind: StepKind, step_ms: float) -> None:
        if len(self._steps) < STEPS_KEPT:
            self._steps.append(Step(kind, round(step_ms)))


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
