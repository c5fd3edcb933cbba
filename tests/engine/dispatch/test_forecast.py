"""How long a message would wait, told on the side of lateness, and refused only when that is too long."""

from math import inf

import pytest

from stentor.dispatch.forecast import wait_s
from stentor.journal.records import BacklogKey, Recovery
from stentor.message import Priority
from stentor.outcome import Sent
from stentor.pacing.gate import LimitRule
from tests.engine.dispatch.dispatch_engine import Engine, message

KEY = BacklogKey(("a", "b"), Priority.NORMAL)


def engine(behind: int = 0, rate: float = 0.0, **more: int) -> Engine:
    counts = {BacklogKey(("a", "b"), Priority[name]): count for name, count in more.items()}
    one = Engine(Recovery(backlog=counts | {KEY: behind}))
    one.dispatcher.channels["a"].set_rate(rate, 0.0)
    one.lane()
    return one


def wait(one: Engine, priority: Priority = Priority.NORMAL, **more) -> float:
    return wait_s(one.dispatcher, message(99_999, priority=priority, **more), one.now, one.wall)


def test_nothing_before_it_is_no_wait() -> None:
    assert wait(engine()) == 0.0


def test_without_a_channel_that_is_up_nobody_can_say() -> None:
    one = Engine()
    assert wait(one) == inf
    one.lane("b")
    assert wait(one) == 0.0
    assert wait(one, route=("gone",)) == inf


def test_what_stands_before_it_is_divided_by_the_rate() -> None:
    assert wait(engine(500, rate=10.0)) == pytest.approx(50.0)


def test_only_its_own_class_and_better_ones_stand_before_it() -> None:
    one = engine(100, rate=10.0, URGENT=50, BULK=1000)
    assert wait(one, Priority.URGENT) == pytest.approx(50 / (10 * (1 - 3 / 16)))
    assert wait(one, Priority.NORMAL) == pytest.approx(150 / (10 * (1 - 1 / 16)))
    assert wait(one, Priority.BULK) == pytest.approx(115.0)


def test_what_left_lately_counts_more_than_what_is_configured() -> None:
    one = engine(rate=100.0)
    one.accept(*[message(key) for key in range(1, 1001)])
    for _ in range(10):
        found = one.turn()
        one.resolve(*[Sent(each, None) for each in found])
        one.commit()
        one.wait(1.0)
    rate = one.dispatcher.channels["a"].pace.rate(one.now)
    assert 0 < rate < 100
    assert wait(one) == pytest.approx(len(one.dispatcher.backlog) / rate)


def test_where_nothing_is_known_of_the_rate_nothing_is_foretold() -> None:
    assert wait(engine(1000)) == 0.0


def test_who_waits_for_its_limit_counts() -> None:
    one = engine()
    one.dispatcher.set_limits((LimitRule(name="l", limit=60, every="minute"),), one.now, one.wall)
    one.accept(*[message(key) for key in range(1, 12)])
    one.turn()
    assert wait(one) >= 10.0


def limited(rule: LimitRule, count: int, priority: Priority = Priority.BULK) -> Engine:
    """``count`` messages of one class wait for a limit, or for nothing if it concerns none of them."""
    one = engine(rate=1000.0)
    one.dispatcher.set_limits((rule,), one.now, one.wall)
    one.accept(*[message(key, priority=priority) for key in range(1, count + 1)])
    one.dispatcher.channels["a"].bucket.set_rate(0.0, one.now)
    for _ in range(20):
        one.resolve(*[Sent(each, None) for each in one.turn()])
        one.commit()
    return one


def test_worse_ones_that_wait_for_its_limit_take_only_their_share() -> None:
    one = limited(LimitRule(name="l", limit=60, every="minute"), 101)
    assert wait(one, Priority.BULK) == pytest.approx(101, abs=2)
    assert wait(one, Priority.URGENT) < 2.0


def test_who_waits_for_a_limit_keeps_nobody_else_back() -> None:
    one = limited(LimitRule(name="l", limit=60, every="minute", prefixes=(message(1).to[:4],)), 101)
    assert wait(one, Priority.BULK, to="+36201234567") < 2.0


def test_an_allowance_that_is_used_up_lasts_until_it_is_renewed() -> None:
    rule = LimitRule(name="l", limit=3, every="day", is_allowance=True)
    assert wait(limited(rule, 2)) == 0.0
    used_up = limited(rule, 3)
    until_s = 86_400 - used_up.wall / 1000 % 86_400
    assert wait(used_up) == pytest.approx(until_s)
    assert wait(limited(rule, 3 + 3 + 1), Priority.BULK) == pytest.approx(until_s + 86_400)


def test_a_channel_that_had_little_to_do_tells_nothing_of_how_fast_it_goes() -> None:
    one = engine(rate=100.0)
    one.accept(message(1))
    one.resolve(*[Sent(each, None) for each in one.turn()])
    one.commit()
    one.wait(5.0)
    one.accept(*[message(key) for key in range(2, 502)])
    assert one.dispatcher.channels["a"].pace.rate(one.now) < 1
    assert wait(one) == pytest.approx(5.0, rel=0.1)
