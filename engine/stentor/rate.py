"""How fast: a token bucket for a limit we know, an estimate of a limit that a carrier does not tell.

Both count segments, take the monotonic time as an argument and never wait. Times given must not decrease; an
earlier one counts as the latest seen.
"""

import enum
from collections import deque
from math import ceil, floor, inf, sqrt
from typing import Final

UNLIMITED: Final = 1 << 30
"""What an unlimited bucket says is available."""

OVERDRAFT: Final = 255
"""How far below nothing a bucket may go, so that a message larger than the burst can leave at all."""

BURST_S: Final = 0.1
"""The default burst is what the rate gives in this time: short, because carriers throttle bursts."""

_GRAIN: Final = 1e-3
"""So much of a token is given on trust: rounding must not let a timer fire just before its token is there."""


class TokenBucket:
    """Grants at most ``burst + OVERDRAFT + rate * t`` segments in any interval of ``t`` seconds.

    Without messages of several segments that is ``burst + rate * t``. ``rate`` is segments a second, 0 for
    unlimited; ``burst`` is at least 1 and follows the rate unless it is given. The bucket is full at first.
    """

    __slots__ = ("_at", "_balance", "_burst", "_given_burst", "_rate")

    def __init__(self, rate: float, now: float, burst: float | None = None) -> None:
        assert rate >= 0, "a rate is not negative"
        self._rate = rate
        self._given_burst = burst
        self._burst = self._burst_of(rate)
        self._balance = self._burst
        self._at = now

    @property
    def rate(self) -> float:
        return self._rate

    @property
    def burst(self) -> float:
        return self._burst

    def available(self, now: float) -> int:
        """Whole segments that may go now; UNLIMITED without a rate, never negative."""
        if not self._rate:
            return UNLIMITED
        self._settle(now)
        return max(0, floor(self._balance + _GRAIN))

    def take(self, n: int, now: float) -> None:
        """``n`` segments go. At least one must be available, and no more than OVERDRAFT may be missing."""
        if not self._rate or n <= 0:
            return
        available = self.available(now)
        assert available >= 1, "nothing was available"
        assert n <= available + OVERDRAFT, f"{n} taken of {available} available"
        self._balance -= n

    def ready_at(self, n: int, now: float) -> float:
        """When ``n`` segments are available, or as many as the burst ever holds; not before ``now``."""
        if not self._rate:
            return now
        self._settle(now)
        missing = min(n, floor(self._burst)) - self._balance
        return self._at if missing <= _GRAIN else max(now, self._at + missing / self._rate)

    def set_rate(self, rate: float, now: float) -> None:
        """Another rate from now on; what was saved or owed stays, within the new burst."""
        assert rate >= 0, "a rate is not negative"
        if rate == self._rate:
            return
        self._settle(now)
        self._rate = rate
        self._burst = self._burst_of(rate)
        self._balance = min(self._balance, self._burst) if rate else self._burst

    def _burst_of(self, rate: float) -> float:
        return max(1.0, rate * BURST_S if self._given_burst is None else self._given_burst)

    def _settle(self, now: float) -> None:
        elapsed = now - self._at
        if elapsed > 0:
            self._balance = min(self._burst, self._balance + elapsed * self._rate)
            self._at = now


FLOOR: Final = 1.0
"""An estimate never falls below one segment a second, or it could not learn that things are better."""

COHORT_S: Final = 0.25
"""While searching, throttle answers this soon after the first belong to the same burst."""

HOLD_S: Final = 1.0
"""After a settled estimate was corrected, answers of the same round trip may come for this long."""

SEARCH_GROWTH: Final = 1.5
"""While searching, each quiet and used step makes the rate so many times higher."""

MEASURED_SEGMENTS: Final = 20
"""A measurement lasts whole seconds, as carriers count by the second; as many as it takes to send these."""

DIP: Final = 0.05
PLATEAU_S: Final = 8.0
PLATEAU_SEGMENTS: Final = 150
"""A settled rate starts DIP below the estimate and follows a cubic (as RFC 9438 does for a window): level at
the estimate after PLATEAU_S, or the time for PLATEAU_SEGMENTS if that is longer, and from then on ever
faster."""

RELEASE: Final = 4.0
"""A settled rate that grew to so many times its estimate without being throttled is no limit any more."""

FORGET_S: Final = 900.0
"""Nor is one that was not throttled for so long, whether it was used or not."""

NOISE: Final = 0.03
"""Up to this part of all answers may be throttled for no reason of ours, whatever the rate is."""

TOLERATED: Final = 0.01
"""So small a part does not end a search or a measurement: it may be noise, and no more may be throttled anyway."""

REMEMBERED: Final = 4000
"""Shares are those of the last segments, this many or half of it."""

BUSY: Final = 0.7
"""Time counts as used if at least this part of the rate was accepted in it."""

assert 1 < SEARCH_GROWTH <= 2, (
    "one step of the search must not overshoot the limit by more than a measurement bears"
)
assert COHORT_S < HOLD_S <= PLATEAU_S, (
    "a correction is judged after its round trip is over and before the rate grows"
)
assert 0 < DIP < 0.1, "a settled rate stays within a tenth of the estimate for the length of a plateau"


class Phase(enum.Enum):
    """How much an AdaptiveRate knows; see there."""

    FREE = "free"
    SEARCHING = "searching"
    MEASURING = "measuring"
    SETTLED = "settled"


_SAMPLES: Final = {Phase.FREE: 0.0, Phase.SEARCHING: 2.0, Phase.MEASURING: 2.0, Phase.SETTLED: 8.0}
"""Segments that a step of each phase spans at least: few, to be quick; many, to be exact."""


class Answers:
    """How many segments were answered, and how many of these throttled."""

    __slots__ = ("accepted", "throttled")

    def __init__(self) -> None:
        self.accepted = 0
        self.throttled = 0

    def add(self, accepted: int, throttled: int) -> None:
        self.accepted += accepted
        self.throttled += throttled

    def forget(self) -> None:
        """Let older ones count for less."""
        if self.total > REMEMBERED:
            self.accepted //= 2
            self.throttled //= 2

    @property
    def total(self) -> int:
        return self.accepted + self.throttled

    @property
    def share(self) -> float:
        return self.throttled / self.total if self.total else 0.0

    def exceeds(self, share: float) -> bool:
        """Whether more were throttled than chance makes of this share: beyond three deviations (Poisson), and one."""
        expected = share * self.total
        return self.throttled > (expected + 3 * sqrt(expected) + 1 if expected else 0)


class AdaptiveRate:
    """Finds the limit of a carrier that answers "throttled" to what is too much.

    FREE: no limit. The first throttle answer sets the rate to what was accepted within the last second; a
    full window left at once, and all its refusals are one signal. SEARCHING: in quiet and used time the rate
    grows quickly, since a small burst allowance makes the first guess too low. MEASURING, from the next
    signal: the rate stands still, a little too high, so that what is accepted in whole seconds is exactly the
    limit, whether the carrier counts by the second or fills a bucket. A first second is not counted: it may
    suffer from the burst before it. SETTLED: near the estimate for most of the time, slowly growing past it,
    and at the next signal corrected to what was accepted on average since the last one. A settled rate that
    is throttled again at once is measured anew.

    Some carriers throttle a few submissions at random. What tells a limit from such *noise* is that it depends
    on the rate. A settled rate begins below its estimate, where a limit is not felt, so what is throttled there,
    up to NOISE, is noise, and at the estimate and above only more than that is a signal. A search and a
    measurement do not end by what is TOLERATED. So noise neither lowers a rate nor keeps it from growing.

    ``ceiling`` is a known limit, 0 for none. ``paused_until`` is the monotonic time before which the carrier
    asked to be left alone.
    """

    __slots__ = (
        "_answers",
        "_below",
        "_ceiling",
        "_estimate",
        "_measure_from",
        "_measure_until",
        "_noise",
        "_rate",
        "_recent",
        "_recent_sum",
        "_signal_at",
        "_step",
        "_step_at",
        "_throttled_at",
        "_used_s",
        "_used_sent",
        "paused_until",
        "phase",
    )

    def __init__(self, now: float, ceiling: float = 0.0) -> None:
        assert ceiling >= 0, "a rate is not negative"
        self.phase = Phase.FREE
        self.paused_until = 0.0
        self._ceiling = ceiling or inf
        self._rate = 0.0
        self._estimate = 0.0
        self._recent: deque[tuple[float, int]] = deque()
        self._recent_sum = 0
        self._signal_at = self._throttled_at = now
        self._step_at = now
        self._used_s = 0.0
        self._used_sent = 0
        self._measure_from = self._measure_until = now
        # Of the present step, of the present phase, and of that part of settled phases where limits are not felt.
        self._step, self._answers, self._below, self._noise = Answers(), Answers(), Answers(), Answers()

    def rate(self, now: float) -> float:
        """Segments a second to keep to, 0 while no limit is known."""
        self._advance(now)
        return 0.0 if self.phase is Phase.FREE else min(self._rate, self._ceiling)

    def sent(self, n: int, now: float) -> None:
        """The carrier accepted ``n`` segments."""
        recent = self._recent
        recent.append((now, n))
        self._recent_sum += n
        self._forget_old(now)
        self._advance(now)
        self._count(n, 0, now)
        if self.phase is Phase.SEARCHING and now - self._signal_at < COHORT_S:
            # The burst that was throttled is still being answered: what it achieved is the first estimate.
            self._rate = max(self._rate, float(self._recent_sum))

    def throttled(self, now: float, retry_after_s: float = 0.0, n: int = 1) -> None:
        """``n`` segments were too much for the carrier, which asks for a pause of ``retry_after_s``."""
        if retry_after_s > 0:
            self.paused_until = max(self.paused_until, now + retry_after_s)
        self._forget_old(now)
        self._advance(now)
        self._throttled_at = now
        self._count(0, n, now)
        if not self._is_signal(now):
            return
        if self.phase is Phase.FREE:
            self._enter(Phase.SEARCHING, self._recent_sum, now)
        elif self.phase is Phase.SETTLED and self._used_s >= HOLD_S:
            self._settle(min(self._used_sent / self._used_s, self._rate), now)
        else:
            self._measure(now)

    def _count(self, accepted: int, throttled: int, now: float) -> None:
        """The first answers of a phase are to what was sent before it and do not count."""
        self._step.add(accepted, throttled)
        phase, since_signal_s = self.phase, now - self._signal_at
        if phase is Phase.MEASURING:
            if self._measure_from < now <= self._measure_until:
                self._answers.add(accepted, throttled)
        elif phase is Phase.FREE or since_signal_s >= (COHORT_S if phase is Phase.SEARCHING else HOLD_S):
            if phase is Phase.SETTLED and self._is_below:
                self._below.add(accepted, throttled)
                self._noise.add(accepted, throttled)
                self._noise.forget()
            else:
                self._answers.add(accepted, throttled)
                self._answers.forget()

    def _is_signal(self, now: float) -> bool:
        """Whether what is throttled says that there is a limit, or another one than was thought."""
        since_signal_s, noise = now - self._signal_at, self._noise.share
        match self.phase:
            case Phase.FREE:
                return self._answers.exceeds(min(TOLERATED, noise))
            case Phase.SEARCHING:
                is_much = self._step.exceeds(TOLERATED) or self._answers.exceeds(TOLERATED)
                return since_signal_s >= COHORT_S and is_much
            case Phase.MEASURING:
                return False
            case Phase.SETTLED:
                if since_signal_s < HOLD_S:
                    return False
                return (
                    self._below.exceeds(NOISE) if self._is_below else self._answers.exceeds(min(NOISE, noise))
                )

    @property
    def _is_below(self) -> bool:
        """The settled rate is still where a limit at the estimate is not felt."""
        return self._rate < (1 - DIP / 5) * self._estimate

    def _advance(self, now: float) -> None:
        """Do what time alone brings: end a step, a measurement, or a limit nobody was reminded of."""
        if self.phase is Phase.FREE:
            return
        if self.phase is Phase.MEASURING and now > self._measure_until:
            self._end_measurement(now)
        elapsed = now - self._step_at
        if elapsed >= max(COHORT_S, _SAMPLES[self.phase] / self._rate):
            if self._step.accepted >= BUSY * self._rate * elapsed:
                self._end_used_step(elapsed)
            self._step_at = now
            self._step = Answers()
        if now - self._throttled_at > FORGET_S:
            self._enter(Phase.FREE, self._rate, now)

    def _end_used_step(self, elapsed: float) -> None:
        if self.phase is Phase.SEARCHING and not self._step.exceeds(TOLERATED):
            self._rate *= SEARCH_GROWTH
        elif self.phase is Phase.SETTLED:
            self._used_s += elapsed
            self._used_sent += self._step.accepted
            plateau_s = max(PLATEAU_S, PLATEAU_SEGMENTS / self._estimate)
            self._rate = self._estimate * (1 + DIP * (self._used_s / plateau_s - 1) ** 3)
            if self._rate >= RELEASE * self._estimate:
                self._enter(Phase.FREE, self._rate, self._step_at)

    def _measure(self, now: float) -> None:
        if not self._recent_sum:
            # Nothing passes at all: that is no rate to be measured, and when it is over no time should be lost.
            self._enter(Phase.SEARCHING, FLOOR, now)
            return
        # Twice what goes through is enough to saturate; a search may have left the limit far behind.
        self._enter(Phase.MEASURING, min(self._rate, 2.0 * self._recent_sum), now)
        self._measure_from = now + HOLD_S
        self._measure_until = self._measure_from + ceil(max(1.0, MEASURED_SEGMENTS / self._rate))

    def _end_measurement(self, now: float) -> None:
        """Settle if the carrier was saturated to the end; else our own demand was measured: search on."""
        answers = self._answers
        measured = answers.accepted / (self._measure_until - self._measure_from)
        is_saturated = self._throttled_at > self._measure_until - HOLD_S and answers.share > TOLERATED
        if measured and is_saturated:
            self._settle(measured, now)
        else:
            self._enter(Phase.SEARCHING, max(measured, self._rate), now)

    def _settle(self, estimate: float, now: float) -> None:
        self._enter(Phase.SETTLED, estimate * (1 - DIP), now)
        self._estimate = max(FLOOR, estimate)
        self._used_s = 0.0
        self._used_sent = 0
        self._below = Answers()

    def _enter(self, phase: Phase, rate: float, now: float) -> None:
        self.phase = phase
        self._rate = max(FLOOR, rate)
        self._signal_at = now
        self._step_at = now
        self._step, self._answers = Answers(), Answers()

    def _forget_old(self, now: float) -> None:
        recent = self._recent
        while recent and recent[0][0] <= now - 1.0:
            self._recent_sum -= recent.popleft()[1]
