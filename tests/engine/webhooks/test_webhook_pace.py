"""Deliveries have a pace of their own beside sending, and all of a loop that sends nothing."""

from stentor.webhooks.pace import CALM, FEWEST, MOST, MOST_LATE, PERIOD_S, STARTS_A_SECOND, Pace


def course(pace: Pace, seconds: float, turn_s: float, *, events_a_second: int) -> int:
    """Run periods of ``turn_s`` in which all that may start does; how many did."""
    now, started = 1.0, 0
    pace.begin(now)
    while now < 1.0 + seconds:
        started += pace.room
        pace.start(pace.room)
        now += turn_s
        assert pace.turn(now, round(now * events_a_second))
    return started


def test_beside_a_busy_line_deliveries_start_at_the_set_pace_however_long_its_turns_are() -> None:
    for turn_s in (0.013, 0.02, 0.05, 0.09):
        pace = Pace()
        started = course(pace, 5.0, turn_s, events_a_second=75_000)
        assert pace.is_paced
        assert 0.95 * STARTS_A_SECOND <= started / 5.0 <= 1.05 * STARTS_A_SECOND, turn_s


def test_a_loop_that_is_in_time_starts_more_from_period_to_period_up_to_a_bound() -> None:
    pace = Pace()
    assert course(pace, 5.0, PERIOD_S, events_a_second=75_000) > 4.9 / PERIOD_S * MOST * 0.98
    assert not pace.is_paced
    assert pace.room == MOST


def test_a_loop_that_is_late_by_deliveries_alone_is_not_paced() -> None:
    pace = Pace()
    course(pace, 5.0, 0.03, events_a_second=0)
    assert not pace.is_paced
    assert pace.room == MOST


def test_a_stall_is_not_made_up_for_in_one_burst() -> None:
    pace = Pace()
    pace.begin(0.0)
    pace.start(1)
    pace.turn(2.0, 7)
    assert pace.is_paced
    assert pace.room == MOST_LATE


def test_what_a_long_period_was_given_ends_with_it() -> None:
    pace = Pace()
    pace.begin(0.0)
    pace.start(1)
    pace.turn(0.09, 7)
    assert pace.room > MOST
    pace.start(1)
    pace.turn(0.09 + PERIOD_S, 8)
    assert abs(pace.room - FEWEST) <= 1


def test_a_period_in_time_now_and_then_does_not_end_the_pace() -> None:
    pace, now, started = Pace(), 1.0, 0
    pace.begin(now)
    for number in range(400):
        started += pace.room
        pace.start(pace.room)
        now += PERIOD_S if number % CALM else 2 * PERIOD_S
        pace.turn(now, number)
    assert pace.is_paced
    assert 0.95 * STARTS_A_SECOND <= started / (now - 1.0) <= 1.05 * STARTS_A_SECOND
    for number in range(CALM):
        pace.start(pace.room)
        now += PERIOD_S
        pace.turn(now, 1000 + number)
    assert not pace.is_paced


def test_a_period_in_which_nothing_starts_is_the_last() -> None:
    pace = Pace()
    pace.begin(0.0)
    pace.start(1)
    assert pace.turn(PERIOD_S, 0)
    assert not pace.turn(2 * PERIOD_S, 0)
    assert pace.room == FEWEST
