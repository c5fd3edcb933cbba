"""The two times."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.clock import ManualClock, SteadyClock, Step, StepKind, SystemClock


def test_the_machine_s_clocks_are_read() -> None:
    clock = SystemClock()
    assert time.monotonic() <= clock.now() <= time.monotonic()
    assert abs(clock.wall_ms() - time.time() * 1000) < 5_000


def test_a_manual_clock_stands_still_until_it_is_told() -> None:
    clock = ManualClock(10.0, 1_000)
    assert (clock.now(), clock.wall_ms()) == (10.0, 1_000)
    clock.advance(1.5)
    assert (clock.now(), clock.wall_ms()) == (11.5, 2_500)


def test_a_manual_wall_clock_can_be_set_without_time_passing() -> None:
    clock = ManualClock(0.0, 1_000)
    clock.wall_at_ms = 5
    assert (clock.now(), clock.wall_ms()) == (0.0, 5)


# -- the steady clock

HOUR_MS = 3_600_000
START_MS = 1_800_000_000_000


class Machine(ManualClock):
    """A machine whose wall clock somebody plays with."""

    def __init__(self) -> None:
        super().__init__(500.0, START_MS)
        self.steady = SteadyClock(self, self.now)

    def step(self, step_ms: int) -> None:
        self.wall_at_ms += step_ms

    def passes(self, seconds: int, wall_share: float = 1.0) -> None:
        """Time goes on second by second, each of them looked at."""
        for _ in range(seconds):
            self.monotonic_s += 1.0
            self.wall_at_ms += round(1000 * wall_share)
            self.steady.wall_ms()

    @property
    def error_ms(self) -> int:
        """How far the steady clock is from the time that has passed."""
        return self.steady.wall_ms() - START_MS - round((self.monotonic_s - 500.0) * 1000)


def test_a_wall_clock_that_runs_is_shown_as_it_is() -> None:
    machine = Machine()
    machine.passes(100)
    assert machine.steady.wall_ms() == machine.wall_ms()
    assert machine.steady.now() == machine.now()
    assert machine.steady.take_steps() == []


@pytest.mark.parametrize("step_ms", [5_000, -5_000, 299_000, -299_000])
def test_a_small_step_is_followed_and_told_of_once(step_ms: int) -> None:
    machine = Machine()
    machine.step(step_ms)
    machine.passes(10)
    assert machine.error_ms == step_ms
    assert machine.steady.take_steps() == [Step(StepKind.FOLLOWED, step_ms)]
    assert machine.steady.take_steps() == []


@pytest.mark.parametrize("step_ms", [HOUR_MS, -HOUR_MS, 87_600 * HOUR_MS, -87_600 * HOUR_MS])
def test_a_large_step_is_told_of_once_and_moves_nothing(step_ms: int) -> None:
    machine = Machine()
    machine.step(step_ms)
    machine.passes(600)
    assert abs(machine.error_ms) <= 1
    assert machine.steady.take_steps() == [Step(StepKind.HELD, step_ms)]
    assert machine.steady.held_ms == step_ms


def test_a_clock_that_comes_back_is_followed_again() -> None:
    machine = Machine()
    machine.step(HOUR_MS)
    machine.passes(60)
    machine.step(-HOUR_MS + 3_000)
    machine.passes(1)
    assert machine.error_ms == 3_000
    assert [step.kind for step in machine.steady.take_steps()] == [StepKind.HELD, StepKind.RETURNED]
    assert machine.steady.held_ms == 0


def test_a_large_step_that_lasts_is_believed() -> None:
    machine = Machine()
    machine.step(HOUR_MS)
    machine.passes(3_599)
    assert abs(machine.error_ms) <= 1
    machine.passes(3)
    assert machine.error_ms == HOUR_MS
    assert machine.steady.take_steps()[-1] == Step(StepKind.BELIEVED, HOUR_MS)


def test_a_clock_that_goes_on_stepping_is_believed_only_when_it_rests() -> None:
    machine = Machine()
    for _ in range(4):
        machine.step(HOUR_MS)
        machine.passes(3_000)
    assert abs(machine.error_ms) <= 1
    assert [step.kind for step in machine.steady.take_steps()] == [StepKind.HELD]


def test_a_large_step_is_believed_when_somebody_says_so() -> None:
    machine = Machine()
    machine.step(-HOUR_MS)
    machine.passes(5)
    machine.steady.believe()
    assert machine.error_ms == -HOUR_MS
    machine.passes(5)
    kinds = [step.kind for step in machine.steady.take_steps()]
    assert kinds == [StepKind.HELD, StepKind.BELIEVED]


def test_many_small_steps_are_one_large_one() -> None:
    machine = Machine()
    for _ in range(20):
        machine.step(60_000)
        machine.passes(10)
    assert machine.error_ms == 300_000
    kinds = [step.kind for step in machine.steady.take_steps()]
    assert kinds == [StepKind.FOLLOWED] * 5 + [StepKind.HELD]


def test_a_clock_that_stands_still_holds_nothing_up_for_long() -> None:
    machine = Machine()
    machine.passes(20_000, wall_share=0.0)
    assert -301_000 <= machine.error_ms <= -299_000
    assert [step.kind for step in machine.steady.take_steps()] == [StepKind.HELD]


def test_a_clock_that_is_a_little_fast_is_never_held() -> None:
    machine = Machine()
    machine.passes(10 * 3600, wall_share=1.05)
    assert machine.error_ms == 36_000 * 50
    assert machine.steady.take_steps() == []


def test_steps_nobody_asks_for_are_not_kept_for_ever() -> None:
    machine = Machine()
    for number in range(1_000):
        machine.step(10_000 if number % 2 else -10_000)
        machine.passes(1)
    assert len(machine.steady.take_steps()) == 100


@given(st.lists(st.integers(-(10**12), 10**12), max_size=30))
def test_within_an_hour_no_steps_carry_it_far(steps_ms: list[int]) -> None:
    machine = Machine()
    for step_ms in steps_ms:
        machine.step(step_ms)
        machine.passes(100)
        assert abs(machine.error_ms) <= 300_001
