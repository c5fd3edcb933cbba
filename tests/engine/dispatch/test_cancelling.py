"""Cancelling what a driver has: it is asked back, ends when it comes back, and is believed to have left if it did."""

import pytest

from stentor.errors import Refusal
from stentor.message import Error, Status
from stentor.outcome import Deferred, Outcome, Refused, Returned, Sent, Submission, Unknown
from tests.engine.dispatch.dispatch_engine import ONCE, Engine, long_message, message


class Recalling(Engine):
    """An engine whose drivers can give back what they were handed."""

    def __init__(self, *messages, can_recall: bool = True) -> None:
        super().__init__(can_recall=can_recall)
        self.lane()
        self.accept(*messages)
        found = self.turn()
        self.commit()  # of leases
        self.handed: list[Submission] = found + self.turn()

    def recall(self, stored, *, asks: bool) -> list[Submission]:
        """What the pump does: whom to ask, and what they say."""
        cancelling = self.dispatcher.cancelling
        cancelling.recall(stored)
        return self.ask(asks=asks)

    def ask(self, *, asks: bool) -> list[Submission]:
        cancelling = self.dispatcher.cancelling
        all_asked: list[Submission] = []
        for name, submissions in cancelling.take_recalls():
            assert name == "a"
            all_asked += submissions
            cancelling.recalled(submissions, [each.token for each in submissions if asks])
        return all_asked

    def refused(self, stored) -> str:
        with pytest.raises(Refusal) as caught:
            self.dispatcher.cancel(stored, self.wall)
        assert caught.value.status == 409
        return caught.value.code

    def settle(self, *outcomes: Outcome) -> list[Submission]:
        """What goes next after these."""
        self.resolve(*outcomes)
        self.turn()
        self.wait(1800)
        return self.turn()


def test_what_is_given_back_at_once_is_cancelled():
    mine = message()
    engine = Recalling(mine)
    (submission,) = engine.handed
    engine.dispatcher.cancelling.recall(mine)
    assert engine.dispatcher.cancelling.take_recalls() == [("a", [submission])]
    engine.resolve(Returned(submission))
    engine.dispatcher.cancelling.recalled([submission], ())
    assert engine.dispatcher.cancel(mine, engine.wall).status is Status.CANCELLED
    engine.commit()
    assert engine.turn() == []
    assert (engine.window_used(), len(engine.dispatcher.backlog.open)) == (0, 0)


@pytest.mark.parametrize("delivery", [message().delivery, ONCE])
@pytest.mark.parametrize(
    "outcome", [Returned, lambda each: Deferred(each, "carrier_busy"), lambda each: Deferred(each, "x", None)]
)
def test_what_was_asked_for_ends_when_it_comes_back_in_whatever_way(outcome, delivery):
    mine = message(delivery=delivery)
    engine = Recalling(mine)
    (submission,) = engine.handed
    assert engine.recall(mine, asks=True) == [submission]
    assert engine.refused(mine) == "withdrawal_requested"
    assert engine.settle(outcome(submission)) == []
    assert mine.status is Status.CANCELLED
    assert engine.refused(mine) == "already_cancelled"


def test_what_was_asked_for_and_left_all_the_same_has_left():
    mine = message()
    engine = Recalling(mine)
    engine.recall(mine, asks=True)
    engine.settle(Sent(engine.handed[0], "c", "c"))
    assert mine.status is Status.SENT
    assert engine.refused(mine) == "already_left"


def test_what_was_asked_for_and_is_refused_is_rejected():
    mine = message()
    engine = Recalling(mine)
    engine.recall(mine, asks=True)
    engine.settle(Refused(engine.handed[0], "bad_content"))
    assert mine.status is Status.REJECTED


def test_what_is_in_doubt_is_not_sent_again_and_says_that_it_may_have_left():
    mine = message()
    engine = Recalling(mine)
    engine.recall(mine, asks=True)
    assert engine.settle(Unknown(engine.handed[0])) == []
    assert (mine.status, mine.error) == (Status.CANCELLED, Error("no_answer", None, "no_answer"))


@pytest.mark.parametrize(("can_recall", "asks"), [(True, False), (False, True)])
def test_where_nobody_asks_it_has_left_and_is_tried_again(can_recall, asks):
    mine = message()
    engine = Recalling(mine, can_recall=can_recall)
    assert len(engine.recall(mine, asks=asks)) == can_recall
    assert engine.refused(mine) == "already_left"
    engine.settle(Returned(engine.handed[0]))
    assert mine.status is Status.SENDING


def test_what_has_begun_to_leave_is_completed():
    mine = long_message()
    engine = Recalling(mine)
    first, second = engine.handed
    engine.resolve(Sent(first, "c", "c"))
    assert engine.recall(mine, asks=True) == []
    engine.resolve(Returned(second))
    (again,) = engine.turn()
    assert again.token == second.token


def test_a_segment_that_left_meanwhile_keeps_the_rest_from_ending():
    mine = long_message()
    engine = Recalling(mine)
    first, second = engine.handed
    assert engine.recall(mine, asks=True) == [first, second]
    engine.resolve(Sent(first, "c", "c"), Returned(second))
    (again,) = engine.turn()
    assert again.token == second.token


def test_all_that_drivers_have_of_a_batch_is_asked_for():
    mine, other = message(1, batch="b"), message(2, batch="other")
    foreign, plain = message(3, account="y", batch="b"), message(4)
    engine = Recalling(mine, other, foreign, plain)
    engine.dispatcher.cancelling.recall_batch("x", "b")
    (asked,) = engine.ask(asks=True)
    assert asked.token == mine.key + 1
    engine.settle(*map(Returned, engine.handed))
    statuses = [each.status for each in (mine, other, foreign, plain)]
    assert statuses == [Status.CANCELLED, Status.SENDING, Status.SENDING, Status.SENDING]


def test_what_left_memory_is_forgotten():
    mine, once = message(1), message(2, delivery=ONCE)
    engine = Recalling(mine, once)
    for each in (mine, once):
        engine.recall(each, asks=True)
    cancelling = engine.dispatcher.cancelling
    assert len(cancelling._wanted) == 2
    engine.settle(*[Sent(each, None) for each in engine.handed])
    assert not cancelling._wanted


@pytest.mark.parametrize("outcome", [Returned, lambda each: Deferred(each, "x", None), Unknown])
def test_what_a_driver_asks_for_again_after_a_start_ends_when_it_comes_back(outcome):
    mine, other = message(1), message(2)
    engine = Recalling(mine, other)
    first, second = engine.handed
    engine.dispatcher.cancelling.asked([first.token, 17])
    assert engine.refused(mine) == "withdrawal_requested"
    assert engine.refused(other) == "already_left"
    engine.settle(outcome(first), Returned(second))
    assert (mine.status, other.status) == (Status.CANCELLED, Status.SENDING)
