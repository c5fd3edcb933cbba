"""A message that waits for a rate limit keeps back no other, and goes as soon as the limit allows it."""

import pytest

from stentor.dispatch.dispatcher import Limits
from stentor.journal.records import BacklogRead
from stentor.message import Priority, Status
from stentor.outcome import Sent
from stentor.pacing.gate import LimitRule
from stentor.scheduling.parking import EFFORT
from tests.engine.dispatch.dispatch_engine import Engine, long_message, message

ROMANIA, HUNGARY = "+40700000001", "+36300000001"


def engine(*rules: LimitRule, limits: Limits | None = None, window: int = 1000) -> Engine:
    found = Engine(limits=limits)
    found.dispatcher.set_limits(rules, 0.0, found.wall)
    found.lane(window=window)
    return found


def slow(**more) -> LimitRule:
    return LimitRule(**({"name": "slow", "limit": 60, "every": "minute", "prefixes": ("+40",)} | more))


def gone(engine: Engine) -> list[int]:
    """Numbers of the messages that leave now; each is answered for."""
    found = engine.turn()
    engine.resolve(*[Sent(each, None) for each in found])
    engine.commit()
    return [each.token >> 8 for each in found]


def parked(engine: Engine, channel: str = "a") -> int:
    parking = engine.dispatcher.channels[channel].parking
    assert parking is not None
    return len(parking)


def test_others_pass_those_that_wait() -> None:
    one = engine(slow())
    one.accept(*[message(key, to=ROMANIA) for key in (1, 2, 3)], message(4, to=HUNGARY))
    assert gone(one) == [1, 4]
    assert parked(one) == 2
    one.accept(message(5, to=HUNGARY))
    assert gone(one) == [5]


def test_a_waiting_message_goes_when_its_time_comes_and_not_before() -> None:
    one = engine(slow())
    one.accept(*[message(key, to=ROMANIA) for key in (1, 2, 3)])
    assert gone(one) == [1]
    wake = one.dispatcher.next_wake(one.now, one.wall)
    assert wake == pytest.approx(1.0)
    one.wait(0.99)
    assert gone(one) == []
    one.wait(0.01)
    assert gone(one) == [2]
    one.wait(1.0)
    assert gone(one) == [3]
    assert parked(one) == 0


def test_a_new_message_does_not_pass_those_that_wait_for_the_same() -> None:
    one = engine(slow())
    one.accept(message(1, to=ROMANIA), message(2, to=ROMANIA))
    assert gone(one) == [1]
    one.wait(1.0)
    one.accept(message(3, to=ROMANIA))
    assert gone(one) == [2]


def test_an_urgent_message_goes_first_also_among_those_that_wait() -> None:
    one = engine(slow())
    one.accept(*[message(key, to=ROMANIA) for key in (1, 2, 3)])
    assert gone(one) == [1]
    one.accept(message(4, to=ROMANIA, priority=Priority.URGENT))
    one.wait(1.0)
    assert gone(one) == [4]


def test_accounts_that_wait_for_one_limit_are_served_in_turn() -> None:
    one = engine(slow(limit=3600, burst=1))
    one.accept(*[message(key, to=ROMANIA, account="many") for key in range(1, 101)])
    one.accept(*[message(key, to=ROMANIA, account="few") for key in range(101, 111)])
    left: list[int] = []
    for _ in range(60):
        left += gone(one)
        one.wait(1 / 60)
    assert 8 <= sum(1 for key in left if key > 100) <= 10


def test_what_is_released_and_cannot_go_keeps_its_room_from_nobody_for_long() -> None:
    """A released message is cancelled before the lane takes it: the next one is released in its place."""
    one = engine(slow(), window=1)
    one.accept(
        *[message(key, to=ROMANIA) for key in (1, 2, 3)], message(4, to=HUNGARY, priority=Priority.URGENT)
    )
    assert [each.token >> 8 for each in one.turn()] == [4]
    assert parked(one) == 0, "nothing was tried yet"
    one.dispatcher.cancel(message(1, to=ROMANIA), one.wall)
    one.resolve(*[Sent(flight[0], None) for flight in one.dispatcher.settler.flights.values()])
    one.commit()
    assert gone(one) == [2]


def test_cancelling_what_waits_lets_the_next_go() -> None:
    one = engine(slow())
    one.accept(*[message(key, to=ROMANIA) for key in (1, 2, 3)])
    assert gone(one) == [1]
    cancelled = one.dispatcher.cancel(message(2, to=ROMANIA), one.wall)
    assert cancelled.status is Status.CANCELLED
    one.commit()
    one.wait(1.0)
    assert gone(one) == [3]


def test_what_waits_expires_like_anything_else() -> None:
    one = engine(slow())
    waiting = message(2, to=ROMANIA, expires_at_ms=one.wall + 500)
    one.accept(message(1, to=ROMANIA), waiting)
    assert gone(one) == [1]
    one.wait(1.1)
    assert gone(one) == []
    assert waiting.status is Status.EXPIRED


def test_when_a_channel_goes_down_what_waited_there_goes_over_the_next() -> None:
    one = engine(slow(channels=("a",)))
    one.accept(message(1, to=ROMANIA), message(2, to=ROMANIA))
    assert gone(one) == [1]
    one.lane("b")
    one.lane(window=0)
    assert gone(one) == [2]


def test_another_lane_takes_what_the_first_ones_limit_refuses() -> None:
    one = engine(LimitRule(name="sim", limit=1, every="day", is_allowance=True, per=("lane",)))
    one.lane(key="2")
    one.accept(*[message(key) for key in (1, 2, 3)])
    one.dispatcher.tick(one.now, one.wall)
    one.dispatcher.flush(one.now, one.wall)
    assert sorted((lane.key, len(batch)) for lane, batch in one.dispatcher.take_outgoing()) == [
        ("1", 1),
        ("2", 1),
    ]
    assert parked(one) == 1
    assert one.dispatcher.next_wake(one.now, one.wall) > one.now + 0.1


def test_what_different_limits_keep_from_each_lane_is_not_tried_over_and_over() -> None:
    """Each limit has room by the lane that the other is full on, so neither says when its time will come."""
    one = engine(
        LimitRule(name="old", limit=60, every="minute", burst=1, lanes=("1",)),
        LimitRule(name="new", limit=30, every="minute", burst=1, lanes=("2",)),
    )
    one.lane(key="2")
    one.accept(*[message(key, to=ROMANIA) for key in range(1, 8)])
    left, turns = gone(one), 1
    assert sorted(left) == [1, 2], "one by each lane"
    began = one.now
    while len(left) < 7:
        wake = one.dispatcher.next_wake(one.now, one.wall)
        one.wait(wake - one.now)
        left += gone(one)
        turns += 1
    took_s = one.now - began
    assert took_s == pytest.approx(4.0, abs=0.2), "sixty a minute by one, thirty by the other"
    assert turns < 30 * took_s, "a turn for each pause of each lot, and for each message"
    assert parked(one) == 0


def test_a_message_larger_than_the_burst_goes_when_the_quota_is_full() -> None:
    one = engine(slow(unit="segments", burst=1))
    one.accept(long_message(1, to=ROMANIA), long_message(2, to=ROMANIA))
    assert gone(one) == [1, 1]
    one.wait(1.0)
    assert gone(one) == []
    one.wait(1.0)
    assert gone(one) == [2, 2]


def test_a_turn_parks_no_more_than_it_has_time_for() -> None:
    one = engine(slow(limit=1, every="day"), window=10)
    one.accept(*[message(key, to=ROMANIA) for key in range(1, 2 * EFFORT + 10)], message(9_999, to=HUNGARY))
    assert gone(one) == [1]
    assert parked(one) == EFFORT
    assert one.dispatcher.next_wake(one.now, one.wall) == pytest.approx(one.now, abs=0.002)
    assert gone(one) == []
    assert gone(one) == [9_999]
    assert parked(one) == 2 * EFFORT + 8


def test_what_waits_in_the_journal_for_a_limit_keeps_back_no_other_there() -> None:
    """The limited messages fill their share of the memory; those they do not concern are read all the same."""
    one = engine(slow(limit=1, every="day"), limits=Limits(active=40, floor=2))
    one.accept(*[message(key, to=ROMANIA) for key in range(1, 100)])
    one.accept(*[message(key, to=HUNGARY) for key in range(100, 110)])
    seen = gone(one)
    for read in one.reads(BacklogRead):
        assert read.queue.strand == 0, "the limited ones have enough in memory"
        one.answer(read, *[message(key, to=HUNGARY) for key in range(100, 110)])
        seen += gone(one)
    assert set(range(100, 110)) <= set(seen)


def test_without_limits_nothing_is_parked_and_a_reload_brings_back_what_was() -> None:
    one = engine(slow(limit=1, every="day"))
    one.accept(message(1, to=ROMANIA), message(2, to=ROMANIA))
    assert gone(one) == [1]
    one.dispatcher.set_limits((), one.now, one.wall)
    assert gone(one) == [2]
    assert one.dispatcher.channels["a"].parking is None


def test_what_was_used_is_written_with_the_commit_of_the_result() -> None:
    one = engine(slow(limit=2, every="month", is_allowance=True))
    one.accept(message(1, to=ROMANIA))
    (left,) = one.turn()
    assert one.begin() is None, "no commit for its own sake"
    one.resolve(Sent(left, None))
    commit = one.begin()
    assert commit is not None
    assert [value.split()[1] for name, value in commit.settings.items() if name == "limit:slow:[]"] == ["1"]
