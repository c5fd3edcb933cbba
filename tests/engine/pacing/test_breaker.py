"""A channel whose lanes are all dead gives its messages to the next, and is probed with one until it works again."""

import pytest

from stentor.dispatch.overview import waits_for
from stentor.message import Priority
from stentor.outcome import Deferred, Outcome, Scope, Sent, Unknown
from stentor.pacing.breaker import Breaker, BreakerState
from stentor.pacing.window import DEAD_AFTER, LaneWindow
from tests.engine.dispatch.dispatch_engine import Engine, message


def dead() -> LaneWindow:
    window = LaneWindow(10)
    for _ in range(DEAD_AFTER):
        window.take(1)
        window.failed(0.0)
        window.give_back(1)
    return window


def test_it_opens_when_the_last_working_lane_dies_and_closes_when_one_works() -> None:
    breaker, alive, gone = Breaker(), LaneWindow(10), dead()
    breaker.failed([alive, gone], "x")
    assert breaker.is_closed
    breaker.failed([gone, LaneWindow(0)], "carrier_busy 20")
    assert (breaker.state, breaker.reason, breaker.has_opened) == (BreakerState.OPEN, "carrier_busy 20", True)
    breaker.works([gone])
    assert not breaker.is_closed
    breaker.works([gone, alive])
    assert (breaker.state, breaker.reason) == (BreakerState.CLOSED, "")


def test_a_probe_is_wanted_when_it_is_due_and_nothing_is_under_way() -> None:
    breaker, gone = Breaker(), dead()
    breaker.failed([gone], "x")
    breaker.tick([gone], gone.probe_at - 0.1, is_busy=False)
    assert not breaker.wants_probe
    breaker.tick([gone], gone.probe_at, is_busy=True)
    assert not breaker.wants_probe
    breaker.tick([gone], gone.probe_at, is_busy=False)
    assert (breaker.wants_probe, breaker.state) == (True, BreakerState.PROBING)
    breaker.failed([gone], "still")
    assert (breaker.wants_probe, breaker.state, breaker.reason) == (False, BreakerState.OPEN, "still")


class Two(Engine):
    """Channel ``a`` fails all it is given, ``b`` takes all."""

    def __init__(self) -> None:
        super().__init__()
        self.lane("a", window=2)
        self.lane("b", window=100)
        self.sent: list[int] = []
        self.works = False

    def go(self) -> list[int]:
        """One turn; numbers of what ``a`` was handed."""
        self.dispatcher.tick(self.now, self.wall)
        self.dispatcher.flush(self.now, self.wall)
        tried: list[int] = []
        for lane, batch in self.dispatcher.take_outgoing():
            for each in batch:
                if lane.channel.name == "a":
                    tried.append(each.token >> 8)
                if lane.channel.name == "b" or self.works:
                    self.sent.append(each.token >> 8)
                    self.resolve(Sent(each, None))
                else:
                    self.resolve(Deferred(each, "carrier_busy", "20", "", Scope.CHANNEL))
        self.commit()
        return tried

    def kill(self) -> int:
        """Let ``a`` fail until its circuit is open; the number of the next message."""
        key = 1
        while self.breaker.is_closed:
            self.accept(message(key), message(key + 1))
            self.go()
            self.wait(2.0)
            key += 2
        return key

    @property
    def breaker(self) -> Breaker:
        return self.dispatcher.channels["a"].breaker


def test_messages_that_wait_at_a_dead_channel_go_to_the_next_at_once() -> None:
    one = Two()
    key = one.kill()
    assert one.breaker.reason == "carrier_busy 20"
    one.accept(*[message(number) for number in range(key, key + 20)])
    assert one.go() == []
    assert set(range(key, key + 20)) <= set(one.sent)


def test_what_was_queued_there_moves_when_the_circuit_opens() -> None:
    one = Two()
    one.accept(*[message(number, priority=Priority.BULK) for number in range(1, 51)])
    for _ in range(40):
        if not one.breaker.is_closed:
            break
        one.go()
        one.wait(1.1)
    assert not one.breaker.is_closed
    one.go()
    assert len(one.sent) >= 30
    assert len(one.dispatcher.channels["a"].queue) == 0


def test_a_message_without_another_way_waits_there_and_is_the_probe() -> None:
    one = Two()
    key = one.kill()
    one.accept(message(key, route=("a",)))
    (reason,) = waits_for(one.dispatcher.channels["a"], one.now)
    assert reason.startswith("a dead peer, circuit")
    one.wait(61.0)
    one.works = True
    assert one.go() == [key]
    assert one.breaker.is_closed


def test_one_message_probes_and_all_return_once_it_was_taken() -> None:
    one = Two()
    key = one.kill()
    one.go()
    one.wait(61.0)
    one.works = True
    one.accept(*[message(number) for number in range(key, key + 9)])
    while not one.breaker.is_closed:
        assert len(one.go()) <= 1, "one at a time finds out"
        one.wait(0.1)
        one.accept(message(key + one.wall % 100_000))
    one.accept(message(9_999_998), message(9_999_999))
    assert {9_999_998, 9_999_999} & set(one.go() + one.go() + one.go())


def test_a_new_link_closes_the_circuit() -> None:
    one = Two()
    one.kill()
    one.lane("a", window=0)
    one.lane("a", window=5)
    assert one.breaker.is_closed


@pytest.mark.parametrize(
    ("window", "rate", "expected"),
    [
        (0, 0.0, ["a link"]),
        (1, 0.0, ["answers, the window is full"]),
        (100, 1.0, ["its rate of 1/s"]),
        (100, 0.0, []),
    ],
)
def test_what_a_channel_waits_for_is_told(window: int, rate: float, expected: list[str]) -> None:
    one = Engine()
    channel = one.dispatcher.channels["a"]
    channel.set_rate(rate, 0.0)
    one.lane(window=window) if window else None
    one.accept(*[message(key, route=("a",)) for key in (1, 2, 3)])
    one.turn()
    assert list(waits_for(channel, one.now)) == expected


def test_a_channel_that_was_stopped_by_hand_waits_for_who_stopped_it() -> None:
    one = Engine()
    channel = one.dispatcher.channels["a"]
    one.accept(message(route=("a",)))
    one.dispatcher.set_paused("a", True, one.wall)
    assert waits_for(channel, one.now) == ("its operator, who paused it",)
    one.dispatcher.set_enabled("a", False, one.wall)
    assert waits_for(channel, one.now) == ("the configuration, which disables it",)


@pytest.mark.parametrize(
    ("outcome", "at_most", "reason"),
    [
        (lambda each: Unknown(each, "no response in time"), 6, "no_answer: no response in time"),
        (
            lambda each: Deferred(each, "carrier_error", "8", "ESME_RSYSERR"),
            60,
            "carrier_error 8 ESME_RSYSERR",
        ),
    ],
)
def test_a_channel_on_which_nothing_gets_through_opens_whatever_its_peer_says(
    outcome, at_most: int, reason: str
) -> None:
    class Fruitless(Two):
        def resolve(self, *outcomes: Outcome) -> None:
            super().resolve(
                *[each if isinstance(each, Sent) else outcome(each.submission) for each in outcomes]
            )

    one = Fruitless()
    tried = 0
    for key in range(1, 100):
        one.accept(message(key))
        tried += len(one.go())
        one.wait(1.0)
    assert tried - 10 <= at_most
    assert one.breaker.reason == reason
    assert len(one.sent) >= 95
    one.wait(61.0)
    one.works = True
    one.go()
    one.accept(message(200))
    one.go()
    assert one.breaker.is_closed
