"""The token bucket, and the search for a limit that a simulated carrier keeps to itself."""

import heapq
from collections.abc import Callable
from itertools import count
from math import floor
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.rate import COHORT_S, FLOOR, FORGET_S, OVERDRAFT, UNLIMITED, AdaptiveRate, Phase, TokenBucket

# -- the token bucket --

rates = st.floats(0.1, 20_000)


@given(
    rate=rates,
    burst=st.none() | st.floats(1, 500),
    start=st.floats(0, 1e7),
    steps=st.lists(st.tuples(st.floats(0, 2), st.integers(1, 300)), max_size=40),
)
def test_no_interval_grants_more_than_burst_overdraft_and_rate_allow(
    rate: float, burst: float | None, start: float, steps: list[tuple[float, int]]
) -> None:
    bucket = TokenBucket(rate, start, burst)
    now = start
    granted: list[tuple[float, int]] = []
    largest = 0
    for pause_s, wanted in steps:
        now += pause_s
        available = bucket.available(now)
        if available:
            n = min(wanted, available + OVERDRAFT)
            largest = max(largest, n)
            bucket.take(n, now)
            granted.append((now, n))
    for first, (begin, _) in enumerate(granted):
        total = 0
        for end, n in granted[first:]:
            total += n
            # Only a grant of several segments can overdraw, and only by what is beyond the first of them.
            assert total <= bucket.burst + min(OVERDRAFT, largest - 1) + rate * (end - begin) + 0.01


@given(rate=rates, spent=st.integers(1, 255), n=st.integers(1, 3000), start=st.floats(0, 1e7))
def test_at_the_time_foretold_the_tokens_are_there(rate: float, spent: int, n: int, start: float) -> None:
    bucket = TokenBucket(rate, start)
    bucket.take(spent, start)
    at = bucket.ready_at(n, start)
    assert at >= start
    assert bucket.available(at) >= min(n, floor(bucket.burst))


def test_a_bucket_without_a_rate_grants_everything() -> None:
    bucket = TokenBucket(0, 5.0)
    bucket.take(1_000_000, 5.0)
    assert (bucket.available(5.0), bucket.ready_at(1_000_000, 5.0)) == (UNLIMITED, 5.0)


def test_a_message_larger_than_the_burst_leaves_and_is_paid_for() -> None:
    bucket = TokenBucket(10, 0.0)
    bucket.take(21, 0.0)
    assert (bucket.available(1.9), bucket.available(2.1)) == (0, 1)


def test_nothing_is_granted_from_an_empty_bucket() -> None:
    bucket = TokenBucket(10, 0.0)
    bucket.take(1, 0.0)
    with pytest.raises(AssertionError):
        bucket.take(1, 0.0)


def test_a_new_rate_neither_forgives_what_is_owed_nor_grants_a_new_burst() -> None:
    bucket = TokenBucket(10, 0.0)
    bucket.take(11, 0.0)
    bucket.set_rate(100, 0.0)
    assert bucket.ready_at(1, 0.0) == pytest.approx(0.11)
    assert bucket.available(0.105) == 0


def test_a_clock_that_steps_back_grants_nothing() -> None:
    bucket = TokenBucket(10, 100.0)
    bucket.take(1, 100.0)
    assert (bucket.available(50.0), bucket.available(100.0)) == (0, 0)


# -- carriers that keep their limit to themselves --


class BySecond:
    """Accepts ``limit`` in each second of its own clock, which is ``phase_s`` ahead."""

    def __init__(self, limit: float, phase_s: float = 0.0) -> None:
        self.limit, self.phase_s = int(limit), phase_s
        self.second = -1
        self.accepted = 0

    def accept(self, n: int, now: float) -> int:
        if int(now + self.phase_s) != self.second:
            self.second, self.accepted = int(now + self.phase_s), 0
        accepted = min(n, self.limit - self.accepted)
        self.accepted += accepted
        return accepted


class ByBucket:
    """Accepts ``limit`` a second and a burst of what comes in ``burst_s``."""

    def __init__(self, limit: float, burst_s: float) -> None:
        self.limit, self.burst = limit, limit * burst_s
        self.balance, self.at = self.burst, 0.0

    def accept(self, n: int, now: float) -> int:
        self.balance = min(self.burst, self.balance + (now - self.at) * self.limit)
        self.at = now
        accepted = min(n, int(self.balance + 1e-9))
        self.balance -= accepted
        return accepted


class Noisy:
    """Throttles a share at random beside what its limit refuses."""

    def __init__(self, carrier: BySecond | ByBucket, share: float, seed: int = 0) -> None:
        self.carrier, self.share, self.random = carrier, share, Random(seed)

    def accept(self, n: int, now: float) -> int:
        good = self.carrier.accept(n, now)
        return sum(self.random.random() >= self.share for _ in range(good))


Carrier = BySecond | ByBucket | Noisy

CARRIERS: dict[str, Callable[[float], Carrier]] = {
    "by the second": BySecond,
    "by the second, begun late in one": lambda limit: BySecond(limit, 0.9),
    "by a bucket of a second": lambda limit: ByBucket(limit, 1.0),
    "by a bucket of a tenth": lambda limit: ByBucket(limit, 0.1),
}


class World:
    """One lane, its whole window in flight at a carrier ``rtt_s`` away; what is throttled is sent again."""

    def __init__(self, carrier: Carrier, rtt_s: float, window: int = 2000) -> None:
        self.carrier, self.rtt_s, self.window = carrier, rtt_s, window
        self.now = 0.0
        self.adaptive = AdaptiveRate(0.0)
        self.bucket = TokenBucket(0, 0.0)
        self.flights: list[tuple[float, int, int, int]] = []
        self.numbers = count()
        self.in_flight = self.submitted = self.accepted = self.throttled = 0
        self.lowest_rate = float("inf")

    def run(self, until: float, total: int = 1 << 60) -> float:
        """Send until ``total`` are accepted or it is ``until``; the time then."""
        while self.now < until and self.accepted < total:
            self.answer()
            self.send(total - self.accepted - self.in_flight)
            self.wait()
        return self.now

    def answer(self) -> None:
        accepted = throttled = 0
        while self.flights and self.flights[0][0] <= self.now:
            _, _, good, bad = heapq.heappop(self.flights)
            accepted, throttled = accepted + good, throttled + bad
        self.in_flight -= accepted + throttled
        self.accepted += accepted
        self.throttled += throttled
        if throttled:
            self.adaptive.throttled(self.now, n=throttled)
        if accepted:
            self.adaptive.sent(accepted, self.now)

    def send(self, backlog: int) -> None:
        rate = self.adaptive.rate(self.now)
        self.bucket.set_rate(rate, self.now)
        self.lowest_rate = min(self.lowest_rate, rate or self.lowest_rate)
        n = min(backlog, self.window - self.in_flight, self.bucket.available(self.now))
        if n <= 0:
            return
        self.bucket.take(n, self.now)
        self.in_flight += n
        self.submitted += n
        good = self.carrier.accept(n, self.now + self.rtt_s / 2)
        heapq.heappush(self.flights, (self.now + self.rtt_s, next(self.numbers), good, n - good))

    def wait(self) -> None:
        times = [self.now + 0.25]
        if self.in_flight < self.window:
            times.append(self.bucket.ready_at(1, self.now))
        if self.flights:
            times.append(self.flights[0][0])
        self.now = max(self.now + 0.002, min(times))


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("rtt_s", [0.005, 0.03, 0.1])
def test_a_thousand_messages_at_a_hidden_hundred_a_second_take_twelve_seconds_at_most(
    carrier: str, rtt_s: float
) -> None:
    world = World(CARRIERS[carrier](100), rtt_s)
    assert world.run(60.0, total=1000) <= 12.0


# A bucket of a tenth of 5 holds one segment: it refuses what comes a moment early, so accepts less than 5.
FOUND = [(5, "by the second"), (5, "by a bucket of a second")] + [
    (limit, carrier) for limit in (20, 100, 1000, 5000) for carrier in CARRIERS
]


@pytest.mark.parametrize("rtt_s", [0.005, 0.1])
@pytest.mark.parametrize(("limit", "carrier"), FOUND)
def test_a_hidden_limit_is_found_and_kept_to(limit: int, rtt_s: float, carrier: str) -> None:
    world = World(CARRIERS[carrier](limit), rtt_s)
    settled, measured = (15.0, 40.0) if limit >= 100 else (30.0, 150.0)
    world.run(settled)
    submitted, accepted, throttled = world.submitted, world.accepted, world.throttled
    world.run(settled + measured)
    achieved = (world.accepted - accepted) / measured / limit
    refused = (world.throttled - throttled) / (world.submitted - submitted)
    # What it does: 97.5 to 100 % of the limit, 0 to 0.4 % refused.
    assert 0.95 <= achieved <= 1.02
    assert refused < 0.006


def test_a_limit_that_is_lifted_is_released_slowly_at_first_and_whole_within_a_minute() -> None:
    world = World(ByBucket(100, 1.0), 0.03)
    world.run(30.0)
    world.carrier = ByBucket(1_000_000, 1.0)
    rates = [world.adaptive.rate(world.run(at)) for at in (35.0, 45.0, 52.0)]
    assert rates == sorted(rates)
    assert rates[0] < 2 * 100
    world.run(90.0)
    assert world.adaptive.phase is Phase.FREE


@pytest.mark.parametrize(("before", "after"), [(1000, 50), (100, 300)])
def test_a_limit_that_changes_is_found_again(before: int, after: int) -> None:
    world = World(ByBucket(before, 1.0), 0.03)
    world.run(30.0)
    world.carrier = ByBucket(after, 1.0)
    world.carrier.at = world.now
    world.run(75.0)
    accepted = world.accepted
    world.run(105.0)
    assert (world.accepted - accepted) / 30.0 == pytest.approx(after, rel=0.1)


def test_an_outage_of_a_minute_does_not_leave_the_rate_at_nothing() -> None:
    world = World(ByBucket(100, 1.0), 0.03)
    world.run(30.0)
    world.carrier = BySecond(0)
    world.run(90.0)
    assert world.lowest_rate >= FLOOR
    world.carrier = ByBucket(100, 1.0)
    world.carrier.at = world.now
    world.run(110.0)
    accepted = world.accepted
    world.run(130.0)
    assert (world.accepted - accepted) / 20.0 == pytest.approx(100, rel=0.1)


def test_a_carrier_that_took_nothing_for_a_while_has_the_whole_rate_again_soon() -> None:
    world = World(BySecond(0), 0.05, 50)
    world.run(5.0)
    world.carrier = ByBucket(WIDE_OPEN, 1.0)
    world.run(17.0)
    accepted = world.accepted
    world.run(20.0)
    assert (world.accepted - accepted) / 3 >= 900


# -- carriers that throttle at random --

WIDE_OPEN = 1e9


@pytest.mark.parametrize("share", [0.001, 0.005, 0.01])
@pytest.mark.parametrize(("window", "rtt_s"), [(5, 0.5), (10, 0.02), (50, 0.05), (100, 0.05)])
@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_throttled_at_random_costs_a_lane_next_to_nothing(
    window: int, rtt_s: float, share: float, seed: int
) -> None:
    world = World(Noisy(ByBucket(WIDE_OPEN, 1.0), share, seed), rtt_s, window)
    world.run(10.0)
    for ten in range(2, 8):
        accepted = world.accepted
        world.run(10.0 * ten)
        # What it does: 95 to 100 %, and once in a while 91 %.
        assert (world.accepted - accepted) / 10 >= 0.88 * window / rtt_s


@pytest.mark.parametrize("share", [0.02, 0.03])
def test_more_noise_than_a_search_tolerates_is_told_from_a_limit_within_a_minute(share: float) -> None:
    world = World(Noisy(ByBucket(WIDE_OPEN, 1.0), share), 0.05, 50)
    world.run(60.0)
    accepted = world.accepted
    world.run(90.0)
    assert (world.accepted - accepted) / 30 >= 0.85 * 1000


@pytest.mark.parametrize("share", [0.005, 0.01])
@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("limit", [100, 1000])
def test_a_limit_is_found_behind_noise(limit: int, carrier: str, share: float) -> None:
    world = World(Noisy(CARRIERS[carrier](limit), share), 0.03)
    world.run(15.0)
    submitted, accepted, throttled = world.submitted, world.accepted, world.throttled
    world.run(60.0)
    assert 0.9 <= (world.accepted - accepted) / 45.0 / limit <= 1.02
    # At a hundred a second it takes more of a second to tell the two apart.
    assert (world.throttled - throttled) / (world.submitted - submitted) < share + (
        0.03 if limit < 1000 else 0.005
    )


def test_a_limit_that_comes_up_in_noise_is_found() -> None:
    world = World(Noisy(ByBucket(WIDE_OPEN, 1.0), 0.005), 0.05, 50)
    world.run(60.0)
    world.carrier = Noisy(ByBucket(200, 1.0), 0.005)
    world.run(90.0)
    submitted, throttled, accepted = world.submitted, world.throttled, world.accepted
    world.run(120.0)
    assert (world.accepted - accepted) / 30.0 == pytest.approx(200, rel=0.1)
    assert (world.throttled - throttled) / (world.submitted - submitted) < 0.03


@pytest.mark.parametrize("window", [51, 52, 54, 60])
def test_a_demand_barely_above_the_limit_is_kept_to_it(window: int) -> None:
    """No window brings more than a few parts in a hundred too much, so what is tolerated must not become a habit."""
    world = World(ByBucket(1000, 0.1), 0.05, window)
    world.run(30.0)
    submitted, throttled, accepted = world.submitted, world.throttled, world.accepted
    world.run(75.0)
    assert (world.throttled - throttled) / (world.submitted - submitted) < 0.006
    assert (world.accepted - accepted) / 45.0 >= 950


# -- single facts --


def test_a_burst_of_throttle_answers_is_one_signal() -> None:
    adaptive = AdaptiveRate(0.0)
    adaptive.sent(100, 1.0)
    for answer in range(900):
        adaptive.throttled(1.0 + answer * COHORT_S / 1000)
    assert (adaptive.phase, adaptive.rate(1.0 + COHORT_S / 2)) == (Phase.SEARCHING, 100.0)


def test_the_first_estimate_counts_the_whole_burst_in_whatever_order_it_is_told() -> None:
    adaptive = AdaptiveRate(0.0)
    adaptive.throttled(1.0)
    adaptive.sent(60, 1.0)
    adaptive.throttled(1.01)
    adaptive.sent(40, 1.01)
    assert adaptive.rate(1.02) == 100.0


def test_successes_of_long_ago_are_not_part_of_the_estimate() -> None:
    adaptive = AdaptiveRate(0.0)
    adaptive.sent(5000, 1.0)
    adaptive.sent(7, 9.5)
    adaptive.throttled(10.0)
    assert adaptive.rate(10.0) == 7.0


def test_without_throttling_there_is_no_limit() -> None:
    adaptive = AdaptiveRate(0.0)
    for second in range(100):
        adaptive.sent(1000, float(second))
    assert adaptive.rate(100.0) == 0.0


def test_a_learnt_limit_never_passes_the_ceiling() -> None:
    adaptive = AdaptiveRate(0.0, ceiling=50.0)
    adaptive.sent(100, 1.0)
    adaptive.throttled(1.0)
    assert adaptive.rate(1.0) == 50.0


def test_a_limit_nobody_was_reminded_of_is_forgotten() -> None:
    adaptive = AdaptiveRate(0.0)
    adaptive.sent(100, 1.0)
    adaptive.throttled(1.0)
    assert adaptive.rate(FORGET_S) > 0
    assert adaptive.rate(FORGET_S + 2) == 0.0


def test_a_limit_that_is_not_used_does_not_grow() -> None:
    adaptive = AdaptiveRate(0.0)
    adaptive.sent(100, 1.0)
    adaptive.throttled(1.0)
    for step in range(1000):
        adaptive.sent(1, 2.0 + step / 2)
    assert adaptive.rate(502.0) == 100.0


def test_the_longest_pause_a_carrier_asked_for_counts() -> None:
    adaptive = AdaptiveRate(0.0)
    adaptive.throttled(1.0, 5.0)
    adaptive.throttled(2.0, 1.0)
    adaptive.throttled(3.0)
    assert adaptive.paused_until == 6.0


@given(
    st.lists(st.tuples(st.sampled_from(["sent", "throttled", "rate"]), st.floats(0, 3), st.integers(1, 500)))
)
def test_no_order_of_facts_leads_below_the_floor_or_to_a_measurement_without_end(
    facts: list[tuple[str, float, int]],
) -> None:
    adaptive = AdaptiveRate(0.0)
    now = 0.0
    for verb, pause_s, n in facts:
        now += pause_s
        if verb == "sent":
            adaptive.sent(n, now)
        elif verb == "throttled":
            adaptive.throttled(now)
        rate = adaptive.rate(now)
        assert rate == 0.0 or rate >= FLOOR
    adaptive.rate(now + 30.0)
    assert adaptive.phase is not Phase.MEASURING
