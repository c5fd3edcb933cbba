"""Peers that deliver once however often they are handed something: no doubt, but never another channel."""

import copy

import pytest

from stentor.driver import Receipt
from stentor.journal.records import Recovery
from stentor.message import Error, Message, Segment, Status
from stentor.outcome import Deferred, Refused, Returned, Scope, Sent, Submission, Unknown, reference_of
from stentor.scheduling.lanes import REFUSAL_PAUSE_S
from tests.engine.dispatch.dispatch_engine import ONCE, WALL, Engine, long_message, message


def handed_over(engine: Engine) -> list[Submission]:
    """Whatever goes now, leases and all."""
    found = engine.turn()
    engine.commit()
    return found + engine.turn()


def under_way(window: int = 10, **more) -> tuple[Engine, Message, Submission]:
    engine = Engine(**({"is_idempotent": True} | more))
    engine.lane(window=window)
    once = message(delivery=ONCE)
    engine.accept(once)
    (submission,) = handed_over(engine)
    return engine, once, submission


def test_an_at_most_once_submission_is_handed_over_again_as_the_same_attempt() -> None:
    engine, once, first = under_way()
    engine.resolve(Unknown(first))
    assert (once.status, once.attempts) == (Status.SENDING, 0)
    engine.commit()
    (second,) = handed_over(engine)
    assert second == first
    engine.resolve(Sent(second, "c1", "c1"))
    assert (once.status, once.attempts) == (Status.SENT, 1)
    engine.commit()
    assert engine.window_used() == 0
    assert engine.dispatcher.settler.repeats.bound == {}


def test_an_at_least_once_message_is_tried_again_at_once_and_uncounted() -> None:
    engine = Engine(is_idempotent=True)
    engine.lane()
    twice = message()
    engine.accept(twice)
    (first,) = engine.turn()
    for _ in range(3):
        engine.resolve(Unknown(first))
        assert (twice.status, twice.attempts) == (Status.QUEUED, 0)
        engine.commit()
        engine.wait(120)
        (again,) = engine.turn()
        assert (again.token, again.attempt) == (first.token, first.attempt)
        first = again


def test_a_lane_that_never_answers_is_asked_ever_more_seldom() -> None:
    engine, _, submission = under_way(window=1)
    asked = 0
    for _ in range(60):
        engine.resolve(Unknown(submission))
        for _ in range(10):
            engine.commit()
            if again := handed_over(engine):
                (submission,) = again
                asked += 1
                break
            engine.wait(1)
    assert asked < 30


@pytest.mark.parametrize(
    "outcome",
    [
        Returned,
        Unknown,
        lambda each: Deferred(each, "carrier_busy"),
        lambda each: Deferred(each, "throttled", is_throttle=True),
        lambda each: Refused(each, "no_credit", scope=Scope.CHANNEL),
    ],
    ids=["returned", "doubt", "deferred", "throttled", "refused by the channel"],
)
def test_what_may_have_left_goes_to_no_other_channel(outcome) -> None:
    engine, once, first = under_way()
    engine.lane("b")
    engine.resolve(Unknown(first))
    engine.commit()
    (second,) = handed_over(engine)
    engine.resolve(outcome(second))
    engine.commit()
    assert (once.status, once.channel) == (Status.SENDING, "a")
    engine.wait(2 * REFUSAL_PAUSE_S)
    (third,) = handed_over(engine)
    assert third == first
    assert engine.window_used("b") == 0


def test_a_refusal_of_the_message_is_the_peer_s_answer() -> None:
    engine, once, first = under_way()
    engine.resolve(Unknown(first))
    engine.commit()
    (second,) = handed_over(engine)
    engine.resolve(Refused(second, "bad_destination"))
    assert (once.status, engine.dispatcher.settler.repeats.bound) == (Status.REJECTED, {})


def test_it_waits_for_its_channel_to_come_back() -> None:
    engine, once, first = under_way()
    engine.lane("b")
    engine.dispatcher.remove_lane("a", "1", engine.now, engine.wall)
    engine.commit()
    assert handed_over(engine) == []
    assert once.status is Status.SENDING
    engine.lane("a", key="2")
    assert handed_over(engine) == [first]


def test_another_lane_of_its_channel_may_take_it() -> None:
    engine, _, first = under_way()
    engine.lane("a", key="2")
    engine.resolve(Unknown(first))
    engine.dispatcher.remove_lane("a", "1", engine.now, engine.wall)
    engine.commit()
    assert handed_over(engine) == [first]


def test_when_its_validity_has_passed_it_stays_in_doubt() -> None:
    engine, once, _ = under_way()
    engine.dispatcher.remove_lane("a", "1", engine.now, engine.wall)
    engine.wait(3601)
    engine.turn()
    assert (once.status, once.error) == (Status.UNKNOWN, Error("no_answer", None, "not_repeated"))
    assert len(engine.dispatcher.channels["a"].repeats) == 0


@pytest.mark.parametrize("outcome", [Unknown, Returned])
def test_an_answer_that_comes_behind_its_validity_is_the_last(outcome) -> None:
    engine, once, first = under_way()
    engine.resolve(Unknown(first))
    engine.commit()
    (second,) = handed_over(engine)
    engine.wait(3600)
    engine.resolve(outcome(second))
    assert (once.status, once.error) == (Status.UNKNOWN, Error("no_answer", None, "not_repeated"))
    engine.commit()
    assert handed_over(engine) == []


def test_so_is_the_first_doubt() -> None:
    engine, once, first = under_way()
    engine.wait(3600)
    engine.resolve(Unknown(first))
    engine.commit()
    assert (once.status, handed_over(engine)) == (Status.UNKNOWN, [])


def test_or_when_its_channel_is_removed_whether_it_waits_or_is_about_to_leave() -> None:
    engine = Engine(is_idempotent=True)
    engine.lane(window=1)
    first, second = message(1, delivery=ONCE), message(2, delivery=ONCE)
    engine.accept(first, second)
    (one,) = handed_over(engine)
    engine.resolve(Unknown(one))
    engine.commit()
    engine.turn()
    assert engine.begin() is not None, "its lease, once more"
    engine.dispatcher.remove_channel("a", engine.now, engine.wall)
    engine.committed()
    assert (first.status, second.status) == (Status.UNKNOWN, Status.QUEUED)
    assert engine.dispatcher.settler.repeats.bound == {}


def test_a_late_answer_spares_it_the_repetition() -> None:
    engine, once, first = under_way()
    engine.resolve(Unknown(first), Sent(first, "c1", "c1"))
    engine.commit()
    assert handed_over(engine) == []
    assert (once.status, engine.dispatcher.settler.repeats.bound) == (Status.SENT, {})


def test_so_it_does_while_its_lease_is_being_written() -> None:
    engine, once, first = under_way()
    engine.resolve(Unknown(first))
    engine.commit()
    engine.turn()
    assert engine.begin() is not None
    engine.resolve(Sent(first, "c1", "c1"))
    engine.committed()
    assert engine.turn() == []
    engine.commit()
    assert (once.status, engine.window_used()) == (Status.SENT, 0)


def test_what_is_still_said_of_the_first_is_not_taken_for_the_second_s_outcome() -> None:
    engine, once, first = under_way()
    engine.resolve(Unknown(first))
    engine.commit()
    (second,) = handed_over(engine)
    engine.resolve(Unknown(first))
    assert engine.window_used() == 1
    engine.resolve(Sent(second, "c1", "c1"))
    assert once.status is Status.SENT


def test_a_start_hands_over_again_what_was_under_way() -> None:
    half = long_message(
        delivery=ONCE, status=Status.SENDING, channel="a",
        segment_list=[Segment(1, Status.SENT, "c1", "c1", WALL)],
    )  # fmt: skip
    engine = Engine(Recovery(leased=[half], last_key=256), is_idempotent=True)
    engine.lane("b")
    assert handed_over(engine) == []
    engine.lane("a")
    (second,) = handed_over(engine)
    assert (second.index, second.attempt) == (2, 1)
    engine.resolve(Sent(second, "c2", "c2"))
    assert half.status is Status.SENT


def test_a_start_without_its_channel_leaves_it_in_doubt() -> None:
    engine = Engine()
    once = message(delivery=ONCE, status=Status.SENDING, channel="gone")
    again = Engine(Recovery(leased=[copy.deepcopy(once)], last_key=256), is_idempotent=True)
    again.commit()
    assert len(again.dispatcher.backlog) == len(engine.dispatcher.backlog) == 0
    assert again.dispatcher.settler.counters["finished"] == 1


def test_a_message_of_several_segments_repeats_what_was_not_answered() -> None:
    engine = Engine(is_idempotent=True)
    engine.lane()
    long = long_message(delivery=ONCE)
    engine.accept(long)
    first, second = handed_over(engine)
    engine.resolve(Unknown(first), Sent(second, "c2", "c2"))
    engine.commit()
    (again,) = handed_over(engine)
    assert again == first
    engine.resolve(Sent(again, "c1", "c1"))
    assert (long.status, long.attempts) == (Status.SENT, 1)


def test_what_is_given_up_is_held_where_receipts_may_still_tell() -> None:
    engine, once, _ = under_way(echoes_reference=True)
    engine.wait(3500)
    engine.dispatcher.remove_lane("a", "1", engine.now, engine.wall)
    engine.wait(101)
    engine.turn()
    assert once.status is Status.SENDING
    named = Receipt("c1", Status.DELIVERED, None, 0, reference_of(257, 1), once.to)
    engine.dispatcher.receive("a", [named], "ticket", engine.wall)
    (read,) = engine.dispatcher.take_reads()[-1:]
    engine.answer(read)
    assert once.status is Status.DELIVERED
