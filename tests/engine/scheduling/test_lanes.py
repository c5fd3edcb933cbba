"""Who may take how much now."""

from stentor.driver import Capabilities
from stentor.message import Message
from stentor.scheduling.lanes import Channel, Lane
from stentor.text.segments import Encoding


def channel(rate: float = 0.0) -> Channel:
    return Channel("a", "test", Capabilities(), rate, 0.0)


def lane(window: int = 10, rate: float = 0.0, of: Channel | None = None, key: str = "1") -> Lane:
    of = of or channel()
    made = of.lanes[key] = Lane(of, key, window, rate, 0.0)
    of.refresh()
    return made


def message(key: int = 1) -> Message:
    return Message(key << 8, 0, "x", "+1", "1", "x", Encoding.GSM7, 1, 0, 0, 0, ("a",))


def test_the_budget_is_the_window_s_when_there_is_no_rate() -> None:
    made = lane(10)
    assert made.budget(0.0) == 10
    made.take(7, 0.0)
    assert made.budget(0.0) == 3


def test_the_budget_is_the_rate_s_when_that_is_less() -> None:
    made = lane(100, rate=50.0)
    assert made.budget(0.0) == 5, "the burst"
    made.take(5, 0.0)
    assert made.budget(0.0) == 0
    assert made.budget(0.04) == 2


def test_a_pause_leaves_nothing() -> None:
    made = lane()
    made.paused_until = 5.0
    assert (made.budget(4.9), made.budget(5.0)) == (0, 10)
    assert (made.state(4.9), made.state(5.0)) == ("throttled", "ready")


def test_a_throttled_lane_keeps_to_what_it_learnt() -> None:
    made = lane(100, rate=1_000.0)
    made.adaptive.sent(20, 1.0)
    made.adaptive.throttled(1.0)
    assert made.rate(1.0) == 20.0
    assert made.budget(1.0) <= 2


def test_the_lower_of_two_rates_holds() -> None:
    made = lane(100, rate=5.0)
    made.adaptive.sent(20, 1.0)
    made.adaptive.throttled(1.0)
    assert made.rate(1.0) == 5.0


def test_a_lane_waits_for_its_window_not_for_time() -> None:
    made = lane(1)
    made.take(1, 0.0)
    assert made.ready_at(0.0) is None


def test_a_lane_is_ready_when_rate_and_pauses_allow() -> None:
    made = lane(100, rate=10.0)
    made.take(1, 0.0)
    assert 0.09 <= (made.ready_at(0.0) or 0.0) <= 0.1
    made.paused_until = 3.0
    assert made.ready_at(0.0) == 3.0


def test_a_driver_s_new_offer_counts_from_now_on() -> None:
    made = lane(10, rate=10.0)
    made.offer(0, None, 1.0)
    assert (made.budget(1.0), made.state(1.0)) == (0, "down")
    made.offer(4, 0.0, 2.0)
    assert made.budget(2.0) == 4


def test_a_channel_is_up_with_a_lane_that_offers_and_nothing_against_it() -> None:
    made = channel()
    assert (made.refresh(), made.state) == (False, "down")
    mine = lane(5, of=made)
    assert (made.is_up, made.state) == (True, "up")
    made.paused = True
    assert (made.refresh(), made.state) == (True, "paused")
    made.enabled = False
    assert (made.refresh(), made.state) == (False, "disabled")
    made.enabled, made.paused = True, False
    mine.offer(0, None, 0.0)
    assert (made.refresh(), made.state) == (False, "down")


def test_lanes_take_turns_and_those_that_are_down_have_none() -> None:
    made = channel()
    lanes = [lane(1, of=made, key=str(number)) for number in range(3)]
    assert {made.in_turn()[0].key for _ in range(3)} == {"0", "1", "2"}
    lanes[1].offer(0, None, 0.0)
    assert all(len(made.in_turn()) == 2 for _ in range(3))


def test_work_is_what_waits_or_was_left_over() -> None:
    made = channel()
    mine = lane(1, of=made)
    assert not made.has_work
    made.queue.put(message())
    assert made.has_work
    made.queue.drain()
    mine.leftover.append((message(), None))  # type: ignore[arg-type]  # nobody looks at it
    assert made.has_work


def test_a_leftover_waits_for_its_own_lane() -> None:
    made = channel()
    busy = lane(1, of=made, key="busy")
    lane(1, of=made, key="idle")
    busy.take(1, 0.0)
    busy.leftover.append((message(), None))  # type: ignore[arg-type]  # nobody looks at it
    assert made.ready_at(0.0) is None, "the idle lane has nothing to do with it"
    made.queue.put(message(2))
    assert made.ready_at(0.0) == 0.0


def test_a_channel_is_ready_no_sooner_than_its_rate_allows() -> None:
    made = channel(rate=10.0)
    lane(5, of=made)
    made.queue.put(message())
    made.bucket.take(1, 0.0)
    assert 0.09 <= (made.ready_at(0.0) or 0.0) <= 0.1
    made.set_rate(0.0, 0.0)
    assert made.ready_at(0.0) == 0.0


def test_channels_of_a_family_share_its_ids() -> None:
    assert channel().family == "a"
    assert Channel("a", "test", Capabilities(receipt_family="f"), 0.0, 0.0).family == "f"
