"""How much of a lane may be in flight: slow growth, quick retreat, and a dead lane that is only probed.

The driver offers a window; the peer's failures cut it. Feedback is deliberately slower than the answers: one
window's worth of submissions that failed together (a *cohort*) is one signal, because all of them left before
the first answer could teach us anything; and a success gives back ``1/limit``, one segment for a window's
worth of successes.

What fails for itself, it seems, or is never answered, cuts nothing; but a lane on which nothing else happens for long
is dead all the same.

Invariants: ``0 <= in_flight``; nothing is taken beyond ``limit``; ``1 <= limit <= offered`` unless nothing is
offered.
"""

import enum
from math import inf
from typing import Final

CUT: Final = 0.5
"""A failed cohort leaves this part of the limit."""

DEAD_AFTER: Final = 5
"""Failed cohorts in a row, without one success, after which a lane is dead."""

FRUITLESS: Final = 50
"""Submissions deferred in a row, each for itself and of DEAD_AFTER cohorts, after which a lane is dead."""

SILENT_AFTER: Final = 2
"""Cohorts in a row of which nothing was answered in time, after which a lane is dead."""

PROBE_FIRST_S: Final = 1.0
PROBE_LONGEST_S: Final = 60.0
"""Pauses between the probes of a dead lane, doubling from the first to the longest."""

assert 0 < CUT < 1, "a cut must shrink the window and leave some of it"
assert DEAD_AFTER >= 2, "one failed cohort is a hiccup"
assert PROBE_FIRST_S <= PROBE_LONGEST_S, "pauses between probes grow"


class LaneState(enum.Enum):
    """Exactly one holds. READY: all that is offered; THROTTLED: cut, and growing again; DEAD: one probe at a
    time; SUSPENDED: the driver offers nothing."""

    READY = "ready"
    THROTTLED = "throttled"
    DEAD = "dead"
    SUSPENDED = "suspended"


class _Fact(enum.Enum):
    SUCCEEDED = enum.auto()
    RECOVERED = enum.auto()
    COHORT_FAILED = enum.auto()
    EXHAUSTED = enum.auto()
    OFFERED = enum.auto()
    WITHDRAWN = enum.auto()


_S, _F = LaneState, _Fact

_TRANSITIONS: Final = {
    (_S.READY, _F.SUCCEEDED): _S.READY,
    (_S.READY, _F.RECOVERED): _S.READY,
    (_S.READY, _F.COHORT_FAILED): _S.THROTTLED,
    (_S.READY, _F.EXHAUSTED): _S.DEAD,
    (_S.READY, _F.OFFERED): _S.READY,
    (_S.READY, _F.WITHDRAWN): _S.SUSPENDED,
    (_S.THROTTLED, _F.SUCCEEDED): _S.THROTTLED,
    (_S.THROTTLED, _F.RECOVERED): _S.READY,
    (_S.THROTTLED, _F.COHORT_FAILED): _S.THROTTLED,
    (_S.THROTTLED, _F.EXHAUSTED): _S.DEAD,
    (_S.THROTTLED, _F.OFFERED): _S.THROTTLED,
    (_S.THROTTLED, _F.WITHDRAWN): _S.SUSPENDED,
    (_S.DEAD, _F.SUCCEEDED): _S.THROTTLED,
    (_S.DEAD, _F.RECOVERED): _S.READY,
    (_S.DEAD, _F.COHORT_FAILED): _S.DEAD,
    (_S.DEAD, _F.EXHAUSTED): _S.DEAD,
    (_S.DEAD, _F.OFFERED): _S.DEAD,
    (_S.DEAD, _F.WITHDRAWN): _S.SUSPENDED,
    (_S.SUSPENDED, _F.SUCCEEDED): _S.SUSPENDED,
    (_S.SUSPENDED, _F.RECOVERED): _S.SUSPENDED,
    (_S.SUSPENDED, _F.COHORT_FAILED): _S.SUSPENDED,
    (_S.SUSPENDED, _F.EXHAUSTED): _S.SUSPENDED,
    (_S.SUSPENDED, _F.OFFERED): _S.READY,
    (_S.SUSPENDED, _F.WITHDRAWN): _S.SUSPENDED,
}
"""Every state under every fact. An offer after none is a new link: it starts with all that is offered."""


class LaneWindow:
    """The window of one lane, in segments (or messages, for a driver whose unit is the message).

    Of one batch of outcomes, tell :meth:`succeeded` and :meth:`failed` before :meth:`give_back`.
    """

    __slots__ = (
        "_cohort_end",
        "_deaths",
        "_failed_cohorts",
        "_fruitless",
        "_limit",
        "_offered",
        "_probe_at",
        "_returned",
        "_silent_cohorts",
        "_state",
        "_taken",
    )

    def __init__(self, offered: int) -> None:
        assert offered >= 0, "a window is not negative"
        self._offered = offered
        self._limit = float(offered)
        self._state = LaneState.READY if offered else LaneState.SUSPENDED
        self._taken = 0
        self._returned = 0
        self._cohort_end = 0
        self._probe_at = 0.0
        self._forgive()

    def _forgive(self) -> None:
        """Something succeeded, or it is another link: what failed in a row failed before."""
        self._failed_cohorts = self._silent_cohorts = self._fruitless = self._deaths = 0

    @property
    def offered(self) -> int:
        """What the driver can hold."""
        return self._offered

    @property
    def limit(self) -> int:
        """What may be in flight now."""
        return int(self._limit)

    @property
    def state(self) -> LaneState:
        return self._state

    @property
    def in_flight(self) -> int:
        return self._taken - self._returned

    @property
    def probe_at(self) -> float:
        """Monotonic time before which a dead lane is left alone; 0 for any other lane."""
        return self._probe_at

    def free(self, now: float = inf) -> int:
        """How many may be taken; 0 for a dead lane before ``probe_at``."""
        if now < self._probe_at:
            return 0
        return max(0, int(self._limit) - self._taken + self._returned)

    def take(self, n: int) -> None:
        """``n`` leave for the driver; not more than were free."""
        assert 0 <= n <= self.free(), f"{n} taken of {self.free()} free"
        self._taken += n

    def give_back(self, n: int) -> None:
        """``n`` have their outcome, whatever it is."""
        assert 0 <= n <= self.in_flight, f"{n} outcomes for {self.in_flight} in flight"
        self._returned += n

    def succeeded(self, n: int) -> None:
        """The peer took ``n``: a cut window grows by ``1/limit`` for each."""
        if n <= 0:
            return
        self._forgive()
        self._probe_at = 0.0
        if self._limit < self._offered:
            # Steps of 1/limit, all n at once: the solution of d limit / d n = 1 / limit.
            self._limit = min((self._limit**2 + 2 * n) ** 0.5, float(self._offered))
        self._apply(_Fact.RECOVERED if self._limit >= self._offered else _Fact.SUCCEEDED)

    def failed(self, now: float) -> bool:
        """The lane failed a submission. True if this began a cohort, and so cut the window.

        What was in flight at the last cut belongs to the last cohort; a lane that was given nothing since
        then has nothing new to say, even when a failure of its whole channel reaches it.
        """
        if not self._begins_cohort():
            return False
        self._failed_cohorts += 1
        if self._failed_cohorts < DEAD_AFTER and self._state is not LaneState.DEAD:
            self._limit = max(1.0, self._limit * CUT)
            self._apply(_Fact.COHORT_FAILED)
        else:
            self._die(now)
        return True

    def deferred(self, now: float) -> None:
        """A submission failed for the time being, for itself as it seems."""
        self._fruitless += 1
        self._silent_cohorts = 0
        is_first = self._begins_cohort()
        self._failed_cohorts += is_first
        if self._state is LaneState.DEAD:
            is_dead = is_first
        else:
            is_dead = self._failed_cohorts >= DEAD_AFTER and self._fruitless >= FRUITLESS
        if is_dead and self._state is not LaneState.SUSPENDED:
            self._die(now)

    def refused(self) -> None:
        """A submission failed for good, for itself: the peer answers, at least."""
        self._silent_cohorts = 0

    def unanswered(self, now: float) -> None:
        """A submission got no answer in time."""
        if not self._begins_cohort():
            return
        self._silent_cohorts += 1
        if self._state is LaneState.DEAD or self._silent_cohorts >= SILENT_AFTER:
            self._die(now)

    def _begins_cohort(self) -> bool:
        if (
            self._state is LaneState.SUSPENDED
            or self._returned < self._cohort_end
            or self._taken == self._cohort_end
        ):
            return False
        self._cohort_end = self._taken
        return True

    def _die(self, now: float) -> None:
        """Dead, or a probe found it so once more."""
        self._limit = 1.0
        self._cohort_end = self._taken
        self._probe_at = now + min(PROBE_LONGEST_S, PROBE_FIRST_S * 2 ** min(self._deaths, 32))
        self._deaths += 1
        self._apply(_Fact.EXHAUSTED)

    def offer(self, n: int) -> None:
        """The driver can hold ``n`` now; 0 means none. A lane that was cut keeps its limit, if that still
        fits."""
        assert n >= 0, "a window is not negative"
        was_whole = self._state in (LaneState.READY, LaneState.SUSPENDED)
        self._offered = n
        if n == 0 or self._state is LaneState.SUSPENDED:
            self._forgive()
            self._probe_at = 0.0
            self._cohort_end = self._taken
        self._limit = float(n) if was_whole else min(self._limit, float(n))
        self._apply(_Fact.OFFERED if n else _Fact.WITHDRAWN)

    def _apply(self, fact: _Fact) -> None:
        self._state = _TRANSITIONS[self._state, fact]
