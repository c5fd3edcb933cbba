"""The two times."""

import time

from stentor.clock import ManualClock, SystemClock


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
