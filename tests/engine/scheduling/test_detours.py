"""A message that was refused for no fault of its own goes to another lane, then to another channel."""

import pytest

from stentor.driver import Capabilities
from stentor.message import Error, Status
from stentor.outcome import Deferred, Refused, Scope, Sent, Unknown
from stentor.scheduling.detours import Detour
from stentor.scheduling.lanes import REFUSAL_PAUSE_S, Channel, Lane
from tests.engine.dispatch.dispatch_engine import ONCE, Engine, long_message, message


def channel(name: str, *windows: int) -> list[Lane]:
    """A channel's lanes, each with its window."""
    made = Channel(name, "test", Capabilities(), 0.0, 0.0)
    for number, window in enumerate(windows):
        made.lanes[str(number)] = Lane(made, str(number), window, 0.0, 0.0)
    return list(made.lanes.values())


def test_a_lane_s_refusal_leaves_its_channel_while_another_lane_is_there() -> None:
    first, second, down = channel("a", 1, 1, 0)
    detour = Detour()
    detour.refused(first, Scope.LANE)
    assert detour.avoided == set()
    detour.refused(second, Scope.LANE)
    assert detour.avoided == {"a"}
    assert down.window.offered == 0


def test_a_lane_that_refuses_twice_speaks_for_its_channel() -> None:
    first, _second = channel("a", 1, 1)
    detour = Detour()
    detour.refused(first, Scope.LANE)
    detour.refused(first, Scope.LANE)
    assert detour.avoided == {"a"}


def test_a_channel_s_refusal_is_that_of_all_its_lanes() -> None:
    first, _second = channel("a", 1, 1)
    detour = Detour()
    detour.refused(first, Scope.CHANNEL)
    assert detour.avoided == {"a"}
    assert [detour.counts(name) for name in ("a", "a", "b")] == [True, False, True]


@pytest.mark.parametrize("scope", [Scope.LANE, Scope.CHANNEL])
@pytest.mark.parametrize("more", [{}, {"delivery": ONCE}], ids=["at least once", "at most once"])
def test_a_refusal_that_reaches_beyond_the_message_sends_it_to_the_next_channel(scope: Scope, more) -> None:
    engine = Engine()
    engine.lane("a")
    engine.lane("b")
    sent = message(**more)
    engine.accept(sent)
    engine.turn()
    engine.commit()
    (submission,) = engine.turn() or [flight[0] for flight in engine.dispatcher.settler.flights.values()]
    engine.resolve(Refused(submission, "no_credit", scope=scope))
    assert (sent.status, sent.attempts, sent.error) == (Status.QUEUED, 1, Error("no_credit"))
    lane = engine.dispatcher.channels["a"].lanes["1"]
    assert lane.paused_until == engine.now + REFUSAL_PAUSE_S
    engine.turn()
    engine.commit()
    engine.turn()
    assert sent.channel == "b"
    (again,) = [flight[0] for flight in engine.dispatcher.settler.flights.values()]
    engine.resolve(Sent(again, "c1", "c1"))
    assert (sent.status, sent.error, engine.dispatcher.settler.detours) == (Status.SENT, None, {})


@pytest.mark.parametrize("scope", [Scope.MESSAGE, Scope.DESTINATION])
def test_a_refusal_of_the_message_ends_it(scope: Scope) -> None:
    engine = Engine()
    engine.lane("a")
    engine.lane("b")
    sent = message()
    engine.accept(sent)
    (submission,) = engine.turn()
    engine.resolve(Refused(submission, "bad_destination", scope=scope))
    assert sent.status is Status.REJECTED


def test_a_message_every_channel_refused_ends_with_what_the_last_said() -> None:
    engine = Engine()
    engine.lane("a")
    engine.lane("b")
    sent = message()
    engine.accept(sent)
    for code in ("no_credit", "not_permitted"):
        (submission,) = engine.turn()
        engine.resolve(Refused(submission, code, scope=Scope.CHANNEL))
    assert (sent.status, sent.attempts, sent.error) == (Status.REJECTED, 2, Error("not_permitted"))
    assert engine.dispatcher.settler.detours == {}
    assert len(engine.dispatcher.backlog) == 0


def test_lanes_of_one_channel_that_refuse_count_as_one_attempt() -> None:
    engine = Engine()
    engine.lane("a", key="1")
    engine.lane("a", key="2")
    sent = message(route=("a",))
    engine.accept(sent)
    (submission,) = engine.turn()
    engine.resolve(Refused(submission, "not_permitted", scope=Scope.LANE))
    (again,) = engine.turn()
    assert (sent.channel, sent.attempts) == ("a", 1)
    engine.resolve(Refused(again, "not_permitted", scope=Scope.LANE))
    assert (sent.status, sent.attempts) == (Status.REJECTED, 1)


def test_a_channel_that_is_down_is_waited_for_by_what_the_others_refused() -> None:
    engine = Engine()
    engine.lane("a")
    sent = message()
    engine.accept(sent)
    (submission,) = engine.turn()
    engine.resolve(Refused(submission, "no_credit", scope=Scope.CHANNEL))
    engine.wait(2 * REFUSAL_PAUSE_S)
    assert engine.turn() == []
    engine.lane("b")
    assert len(engine.turn()) == 1
    assert sent.channel == "b"


def test_segments_that_were_sent_stay_sent_on_the_detour() -> None:
    engine = Engine()
    engine.lane("a")
    engine.lane("b")
    half = long_message()
    engine.accept(half)
    first, second = engine.turn()
    engine.resolve(Sent(first, "c1", "c1"), Refused(second, "no_credit", scope=Scope.CHANNEL))
    (again,) = engine.turn()
    assert (again.index, half.channel) == (2, "b")


def test_what_is_deferred_after_a_detour_keeps_to_it() -> None:
    engine = Engine()
    engine.lane("a")
    engine.lane("b")
    sent = message()
    engine.accept(sent)
    (submission,) = engine.turn()
    engine.resolve(Refused(submission, "no_credit", scope=Scope.CHANNEL))
    (again,) = engine.turn()
    engine.resolve(Deferred(again, "carrier_busy"))
    engine.wait(3600)
    sent.expires_at_ms = engine.wall + 1000
    engine.turn()
    assert sent.channel == "b"


def test_a_message_that_ends_on_its_detour_leaves_nothing_behind() -> None:
    engine = Engine()
    engine.lane("a")
    sent = message()
    engine.accept(sent)
    (submission,) = engine.turn()
    engine.resolve(Refused(submission, "no_credit", scope=Scope.CHANNEL))
    engine.turn()
    engine.dispatcher.cancel(sent, engine.wall)
    assert (sent.status, engine.dispatcher.settler.detours) == (Status.CANCELLED, {})


def put_off_again_and_again(engine: Engine, times: int) -> list[str]:
    """The channels that a message is handed to, while all put it off."""
    found = []
    for _ in range(times):
        engine.turn()  # what came back is placed, to wait for its time
        engine.wait(3_600.0)
        engine.turn()
        engine.commit()
        engine.turn()
        ((submission, sent, lane, _),) = engine.dispatcher.settler.flights.values()
        found.append(lane.channel.name)
        assert sent.channel == lane.channel.name
        engine.resolve(Deferred(submission, "carrier_error"))
        engine.commit()
    return found


@pytest.mark.parametrize("more", [{}, {"delivery": ONCE}], ids=["at least once", "at most once"])
def test_what_a_channel_puts_off_is_tried_at_the_next_and_then_at_the_first_again(more) -> None:
    engine = Engine()
    engine.lane("a")
    engine.lane("b")
    engine.accept(message(expires_at_ms=10**15, **more))
    assert put_off_again_and_again(engine, 4) == ["a", "b", "a", "b"]


def test_where_no_other_channel_is_up_it_stays() -> None:
    engine = Engine()
    engine.lane("a")
    engine.accept(message(expires_at_ms=10**15))
    assert put_off_again_and_again(engine, 2) == ["a", "a"]
    engine.lane("b")
    assert put_off_again_and_again(engine, 2) == ["b", "a"]


def test_after_doubt_at_most_once_nothing_goes_elsewhere() -> None:
    engine = Engine()
    engine.lane("a")
    engine.lane("b")
    sent = message(delivery=ONCE)
    engine.accept(sent)
    engine.turn()
    engine.commit()
    engine.turn()
    ((submission, _, _, _),) = engine.dispatcher.settler.flights.values()
    engine.resolve(Unknown(submission))
    assert sent.status is Status.UNKNOWN
    engine.wait(3_600.0)
    assert engine.turn() == []


def test_a_long_message_that_has_begun_to_leave_stays_with_its_channel() -> None:
    engine = Engine()
    engine.lane("a")
    engine.lane("b")
    engine.accept(long_message(expires_at_ms=10**15))
    first, second = engine.turn()
    engine.resolve(Sent(first, None), Deferred(second, "carrier_error"))
    engine.commit()
    assert put_off_again_and_again(engine, 1) == ["a"]
