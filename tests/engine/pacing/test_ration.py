"""What a crowd may use of the loop's time: a share with a small burst; more the longer somebody has been waiting."""

from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.pacing.ration import BURST_S, CROWD, CROWD_S, LONGEST_S, MEMORY_S, PRESSED, SHARE, Ration

GRAIN_S = 1e-5
"""Times of the slow model."""


def crowded(now: float) -> Ration:
    """Where there are enough clients to be a crowd."""
    ration = Ration(now)
    ration.saw(now, CROWD)
    return ration


def test_few_clients_have_what_time_there_is():
    ration = Ration(0.0)
    ration.saw(0.0, CROWD - 1)
    assert ration.share == 1.0
    ration.spend(BURST_S)
    assert ration.credit_s(BURST_S / 2) == pytest.approx(BURST_S / 2)


def test_a_crowd_is_expected_back_for_a_while():
    ration = crowded(0.0)
    ration.saw(1.0, 3)
    ration.credit_s(CROWD_S - 1.0)
    assert ration.share == SHARE
    ration.credit_s(CROWD_S + 1.0)
    assert ration.share == 1.0


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), max_size=40))
def test_the_credit_is_what_counting_grain_by_grain_gives(steps):
    now, model_s = 0.0, BURST_S
    ration = crowded(now)
    for pause, cost in steps:
        for _ in range(pause):
            model_s = min(BURST_S, model_s + GRAIN_S * SHARE)
        now += pause * GRAIN_S
        assert ration.credit_s(now) == pytest.approx(model_s, abs=1e-9)
        ration.spend(cost * GRAIN_S)
        model_s = max(-BURST_S, model_s - cost * GRAIN_S)
        assert ration.credit_s(now) == pytest.approx(model_s, abs=1e-9)


@given(st.lists(st.tuples(st.floats(0, 0.01), st.floats(0, 0.0005)), max_size=100))
def test_in_no_interval_is_more_used_than_the_burst_and_the_share_and_the_last_piece(steps):
    now = 0.0
    ration = crowded(now)
    used: list[tuple[float, float]] = []
    for pause, cost in steps:
        now += pause
        if ration.credit_s(now) > 0.0:
            ration.spend(cost)
            used.append((now, cost))
    for first, (since, _) in enumerate(used):
        total = 0.0
        for until, cost in used[first:]:
            assert total <= BURST_S + SHARE * (until - since) + 1e-9
            total += cost


@given(st.lists(st.tuples(st.floats(0, 10), st.booleans()), min_size=1, max_size=30))
def test_the_share_grows_with_how_long_somebody_waited_of_late(looks):
    now = 0.0
    ration = crowded(now)
    waited: list[tuple[float, float]] = []
    for pause, has_waited in looks:
        if has_waited:
            waited.append((now, now + pause))
        now += pause
        ration.look(now, has_waited)
    pressure = sum(exp((end - now) / MEMORY_S) - exp((begin - now) / MEMORY_S) for begin, end in waited)
    begins, ends = PRESSED
    urgency = min(1.0, max(0.0, (pressure - begins) / (ends - begins)))
    assert ration.urgency == pytest.approx(urgency, abs=1e-9)
    assert ration.share == pytest.approx(SHARE + (1 - SHARE) * urgency, abs=1e-9)


def test_a_storm_is_a_crowd_for_a_second_and_what_stays_is_the_load_there_is():
    ration = crowded(0.0)
    ration.look(1.0, True)
    assert ration.share == SHARE
    ration.look(6.0, True)
    assert ration.share == 1.0
    ration.look(60.0, False)
    assert ration.share == SHARE


def test_long_work_is_not_held_against_those_who_come_after_it():
    ration = crowded(0.0)
    ration.spend(10.0)
    assert ration.credit_s(0.0) == -BURST_S
    assert ration.credit_s(1.01 * BURST_S / SHARE) > 0.0


def test_beside_a_busy_loop_a_slice_is_the_share_of_what_the_others_had():
    ration = crowded(0.0)
    ration.spend(10.0)
    assert ration.slice_s(0.0, 0.0) == 0.0
    assert ration.slice_s(0.0, 0.01) == pytest.approx(0.01 * SHARE / (1 - SHARE))
    assert ration.slice_s(0.0, 10.0) == LONGEST_S


def test_a_load_that_stays_has_slices_worth_a_turn_and_half_of_a_busy_loop():
    ration = crowded(0.0)
    ration.look(60.0, True)
    ration.spend(10.0)
    assert ration.slice_s(60.0, 0.0) == BURST_S
    assert ration.slice_s(60.0, 0.01) == 0.01


def test_a_clock_that_stands_gives_nothing():
    ration = crowded(5.0)
    ration.spend(BURST_S)
    assert ration.credit_s(4.0) == ration.credit_s(5.0) == 0.0
