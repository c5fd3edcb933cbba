"""The window of a lane."""

import itertools

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stentor.pacing.window import (
    _TRANSITIONS,
    DEAD_AFTER,
    PROBE_FIRST_S,
    PROBE_LONGEST_S,
    LaneState,
    LaneWindow,
    _Fact,
)


def fail_one_cohort(window: LaneWindow, now: float = 0.0) -> None:
    """Everything that is free leaves, fails and comes back."""
    n = window.free()
    window.take(n)
    for _ in range(n):
        window.failed(now)
    window.give_back(n)


def test_every_state_knows_every_fact() -> None:
    assert set(_TRANSITIONS) == set(itertools.product(LaneState, _Fact))


def test_a_whole_window_that_fails_is_one_signal() -> None:
    window = LaneWindow(100)
    fail_one_cohort(window)
    assert (window.limit, window.state) == (50, LaneState.THROTTLED)
    fail_one_cohort(window)
    assert window.limit == 25


def test_answers_of_the_old_window_do_not_cut_again_while_they_trickle_in() -> None:
    window = LaneWindow(100)
    window.take(100)
    cuts = 0
    for _ in range(100):
        cuts += window.failed(0.0)
        window.give_back(1)
    assert (cuts, window.limit) == (1, 50)


def test_answers_of_the_old_window_do_not_cut_again_while_new_submissions_leave() -> None:
    window = LaneWindow(100)
    window.take(100)
    cuts = 0
    for _ in range(100):
        cuts += window.failed(0.0)
        window.give_back(1)
        window.take(window.free())
    assert (cuts, window.limit, window.in_flight) == (1, 50, 50)
    assert window.failed(0.0)


def test_mixed_answers_of_one_window_cut_it_once() -> None:
    window = LaneWindow(100)
    window.take(100)
    cuts = 0
    for n in range(100):
        if n % 2:
            window.succeeded(1)
        else:
            cuts += window.failed(0.0)
        window.give_back(1)
    assert cuts == 1


def test_failures_of_the_whole_channel_do_not_kill_a_lane_that_sends_nothing() -> None:
    window = LaneWindow(10)
    for _ in range(100):
        window.failed(0.0)
    assert (window.limit, window.state) == (10, LaneState.READY)


def test_a_cut_window_grows_by_one_for_a_window_of_successes() -> None:
    window = LaneWindow(100)
    fail_one_cohort(window)
    for limit in range(50, 60):
        window.succeeded(limit)
        # n steps of 1/limit, while the limit grows a little.
        assert window.limit in (limit, limit + 1)
    for _ in range(4_000):
        window.succeeded(1)
    assert (window.limit, window.state) == (100, LaneState.READY)


def test_successes_at_once_count_as_one_by_one() -> None:
    one, many = LaneWindow(1000), LaneWindow(1000)
    for window in (one, many):
        fail_one_cohort(window)
    for _ in range(300):
        one.succeeded(1)
    many.succeeded(300)
    assert one.limit == many.limit


def test_a_lane_whose_cohorts_all_fail_is_dead_and_probed_with_one_ever_more_seldom() -> None:
    window = LaneWindow(1000)
    for _ in range(DEAD_AFTER - 1):
        fail_one_cohort(window)
    assert window.state is LaneState.THROTTLED
    pauses = []
    now = 0.0
    for _ in range(12):
        fail_one_cohort(window, now)
        assert (window.state, window.limit) == (LaneState.DEAD, 1)
        assert (window.free(now), window.free(window.probe_at)) == (0, 1)
        pauses.append(window.probe_at - now)
        now = window.probe_at
    assert pauses[:3] == [PROBE_FIRST_S, 2 * PROBE_FIRST_S, 4 * PROBE_FIRST_S]
    assert pauses[-1] == PROBE_LONGEST_S


def test_one_success_revives_a_dead_lane() -> None:
    window = LaneWindow(1000)
    for _ in range(DEAD_AFTER):
        fail_one_cohort(window)
    window.take(1)
    window.succeeded(1)
    window.give_back(1)
    assert (window.state, window.probe_at) == (LaneState.THROTTLED, 0.0)
    assert 1 <= window.free(0.0) <= 2


def test_an_offer_below_what_is_in_flight_leaves_nothing_free() -> None:
    window = LaneWindow(10)
    window.take(8)
    window.offer(5)
    assert (window.free(), window.in_flight, window.limit) == (0, 8, 5)
    window.give_back(4)
    assert window.free() == 1


def test_a_lane_that_comes_back_starts_whole() -> None:
    window = LaneWindow(10)
    fail_one_cohort(window)
    window.offer(0)
    assert (window.state, window.free()) == (LaneState.SUSPENDED, 0)
    window.offer(20)
    assert (window.state, window.free()) == (LaneState.READY, 20)


def test_more_than_is_free_cannot_be_taken_nor_more_than_is_in_flight_given_back() -> None:
    window = LaneWindow(2)
    with pytest.raises(AssertionError):
        window.take(3)
    with pytest.raises(AssertionError):
        window.give_back(1)


class WindowMachine(RuleBasedStateMachine):
    """Any order of facts keeps the bounds."""

    def __init__(self) -> None:
        super().__init__()
        self.window = LaneWindow(16)
        self.now = 0.0
        self.in_flight = 0

    @rule(n=st.integers(0, 40))
    def offer(self, n: int) -> None:
        self.window.offer(n)

    @rule(part=st.floats(0, 1))
    def take(self, part: float) -> None:
        n = int(self.window.free() * part)
        self.window.take(n)
        self.in_flight += n
        assert n == 0 or self.in_flight <= self.window.limit

    @precondition(lambda self: self.in_flight)
    @rule(part=st.floats(0, 1), failed=st.booleans(), pause_s=st.floats(0, 2))
    def answer(self, part: float, failed: bool, pause_s: float) -> None:
        self.now += pause_s
        n = max(1, int(self.in_flight * part))
        if failed:
            self.window.failed(self.now)
        else:
            self.window.succeeded(n)
        self.window.give_back(n)
        self.in_flight -= n

    @invariant()
    def bounds_hold(self) -> None:
        window = self.window
        assert window.in_flight == self.in_flight >= 0
        assert 0 <= window.limit <= window.offered
        assert window.limit >= 1 or not window.offered
        assert window.free() == max(0, window.limit - self.in_flight)
        assert (window.state is LaneState.SUSPENDED) == (window.offered == 0)
        assert window.state is not LaneState.READY or window.limit == window.offered


TestWindowMachine = WindowMachine.TestCase


def one_cohort(window: LaneWindow, fate: str, now: float = 0.0) -> None:
    """Everything that is free leaves, has the same fate and comes back."""
    n = window.free()
    window.take(n)
    for _ in range(n):
        getattr(window, fate)(now)
    window.give_back(n)


def test_a_lane_that_answers_nothing_is_dead_after_two_windows_and_cut_by_none() -> None:
    window = LaneWindow(10)
    one_cohort(window, "unanswered")
    assert (window.limit, window.state) == (10, LaneState.READY)
    one_cohort(window, "unanswered", 60.0)
    assert (window.limit, window.state, window.probe_at) == (1, LaneState.DEAD, 60.0 + PROBE_FIRST_S)
    one_cohort(window, "unanswered", 90.0)
    assert window.probe_at == 90.0 + 2 * PROBE_FIRST_S


@pytest.mark.parametrize(
    "answer", [lambda w: w.succeeded(1), lambda w: w.refused(), lambda w: w.deferred(0.0)]
)
def test_any_answer_says_that_the_lane_is_not_silent(answer) -> None:
    window = LaneWindow(10)
    for _ in range(20):
        one_cohort(window, "unanswered")
        answer(window)
        assert window.state is LaneState.READY


def test_a_lane_that_defers_everything_is_dead_after_five_cohorts_of_fifty_and_no_sooner() -> None:
    window = LaneWindow(8)
    for _ in range(6):
        one_cohort(window, "deferred")
        assert (window.limit, window.state) == (8, LaneState.READY)
    one_cohort(window, "deferred", 3.0)
    assert (window.limit, window.state, window.probe_at) == (1, LaneState.DEAD, 3.0 + PROBE_FIRST_S)
    wide = LaneWindow(100)
    for _ in range(DEAD_AFTER - 1):
        one_cohort(wide, "deferred")
    assert wide.state is LaneState.READY
    one_cohort(wide, "deferred")
    assert wide.state is LaneState.DEAD


def test_one_success_in_fifty_keeps_a_lane_that_defers_alive_and_whole() -> None:
    window = LaneWindow(7)
    for _ in range(100):
        one_cohort(window, "deferred")
        one_cohort(window, "deferred")
        window.succeeded(1)
        assert (window.limit, window.state) == (7, LaneState.READY)
