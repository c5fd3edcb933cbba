"""What is held does not leave, what is released does, and a batch of any size is gone through block by block."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.dispatch.holdback import BLOCK, SETTING, Phase
from stentor.errors import Refusal
from stentor.journal.records import BatchRead, Commit, Recovery
from stentor.message import Message, Status
from stentor.outcome import Deferred, Sent
from stentor.pacing.gate import LimitRule
from stentor.pacing.quiet import QuietRule
from stentor.pacing.strands import HELD, PLAIN
from stentor.testing.simulator.journal import ModelJournal, rows_of
from tests.engine.dispatch.dispatch_engine import WALL, Engine, message

NAME = f'{SETTING}["x","b"]'


class Journalled(Engine):
    """An engine whose journal is a model that keeps what was committed and answers every read."""

    def __init__(self, recovery: Recovery | None = None) -> None:
        super().__init__(recovery)
        self.journal = ModelJournal()
        self.blocks = 0
        self.largest = 0
        self.lane()

    def begin(self) -> Commit | None:
        commit = super().begin()
        if commit is not None:
            self.largest = max(self.largest, len(commit.changed))
            self.journal.apply(rows_of(commit))
        return commit

    def settle(self) -> None:
        """Answer reads and write until nothing is left to do."""
        while True:
            self.commit()
            reads = self.dispatcher.take_reads()
            if not reads:
                return
            for read in reads:
                self.blocks += isinstance(read, BatchRead)
                self.answer(read, *self.journal.read(read))

    def gone(self) -> list[int]:
        found = self.turn()
        self.resolve(*[Sent(each, None) for each in found])
        self.settle()
        return [each.token >> 8 for each in found]

    def status(self, key: int) -> Status:
        return self.journal.messages[key << 8].status

    def change(self, what: str, key: int) -> Message:
        """Hold or release a message, as the journal has it."""
        found: Message = getattr(self.dispatcher.restraint.holdback, what)(self.journal.message(key << 8))
        return found


def batch(*keys: int, **more) -> list[Message]:
    return [message(key, batch="b", **more) for key in keys]


def test_a_held_message_stays_where_it_is_until_it_is_released() -> None:
    one = Journalled()
    first, second = message(1), message(2)
    one.accept(first, second)
    held = one.change("hold", 1)
    assert (held, held.status, held.strand) == (first, Status.QUEUED, HELD)
    one.commit()
    assert one.gone() == [2]
    assert len(one.dispatcher.backlog) == 1
    one.change("release", 1)
    one.commit()
    assert one.gone() == [1]
    assert len(one.dispatcher.backlog) == 0


def test_a_scheduled_message_that_is_held_does_not_leave_when_it_is_due() -> None:
    one = Journalled()
    scheduled = message(1, status=Status.SCHEDULED, due_at_ms=WALL + 1000, send_at_ms=WALL + 1000)
    one.accept(scheduled)
    one.change("hold", 1)
    one.settle()
    one.wait(2.0)
    assert one.gone() == []
    assert (one.status(1), one.dispatcher.backlog.held) == (Status.QUEUED, 1)
    one.change("release", 1)
    one.settle()
    assert one.gone() == [1]


@pytest.mark.parametrize("status", [Status.SENDING, Status.SENT, Status.CANCELLED])
def test_what_has_left_or_ended_is_not_held(status: Status) -> None:
    one = Journalled()
    with pytest.raises(Refusal) as caught:
        one.dispatcher.restraint.holdback.hold(message(1, status=status))
    assert (caught.value.status, caught.value.code) == (409, "already_left")
    with pytest.raises(Refusal) as caught:
        one.dispatcher.restraint.holdback.release(message(1, status=status))
    assert (caught.value.status, caught.value.code) == (409, "not_held")


def test_a_message_that_waits_to_be_tried_again_can_be_held() -> None:
    one = Journalled()
    one.accept(message(1))
    (left,) = one.turn()
    one.resolve(Deferred(left, "carrier_busy"))
    one.change("hold", 1)
    one.settle()
    one.wait(60.0)
    assert one.gone() == []


def test_held_messages_are_cancelled_and_expire_like_others() -> None:
    one = Journalled()
    one.accept(message(1), message(2))
    for key in (1, 2):
        one.change("hold", key)
    one.settle()
    one.dispatcher.cancel(one.journal.message(1 << 8), one.wall)
    one.settle()
    one.wait(3601.0)
    assert one.gone() == []
    assert (one.status(1), one.status(2)) == (Status.CANCELLED, Status.EXPIRED)
    assert len(one.dispatcher.backlog) == 0


def test_a_paused_batch_stands_still_at_once_and_others_go_on() -> None:
    one = Journalled()
    one.accept(*batch(1, 2), message(3))
    one.dispatcher.restraint.holdback.pause("x", "b")
    assert one.gone() == [3]
    assert one.journal.settings[NAME] == "paused"
    assert one.dispatcher.restraint.holdback.phase("x", "b") is Phase.PAUSED
    one.accept(*batch(4))
    assert one.gone() == []
    assert one.dispatcher.backlog.held == 3
    one.dispatcher.restraint.holdback.resume("x", "b")
    one.settle()
    assert sorted(one.gone() + one.gone()) == [1, 2, 4]
    assert NAME not in one.journal.settings
    assert one.dispatcher.restraint.holdback.phase("x", "b") is None


def test_the_same_label_of_another_account_is_another_batch() -> None:
    one = Journalled()
    one.accept(*batch(1), *batch(2, account="y"))
    one.dispatcher.restraint.holdback.pause("x", "b")
    assert one.gone() == [2]


def test_what_comes_back_from_a_driver_is_held_if_its_batch_was_paused_meanwhile() -> None:
    one = Journalled()
    one.accept(*batch(1))
    (left,) = one.turn()
    one.dispatcher.restraint.holdback.pause("x", "b")
    one.settle()
    one.resolve(Deferred(left, "carrier_busy"))
    one.wait(60.0)
    assert one.gone() == []
    assert one.dispatcher.backlog.held == 1


def test_a_pause_is_remembered_over_a_restart() -> None:
    one = Journalled(Recovery(settings={NAME: "paused"}))
    one.settle()
    one.accept(*batch(1))
    assert one.gone() == []
    assert one.dispatcher.backlog.held == 1


def test_one_message_of_a_paused_batch_cannot_be_released_by_itself() -> None:
    one = Journalled()
    one.accept(*batch(1))
    one.dispatcher.restraint.holdback.pause("x", "b")
    one.settle()
    with pytest.raises(Refusal) as caught:
        one.change("release", 1)
    assert caught.value.code == "batch_paused"


def test_a_cancelled_batch_ends_whatever_of_it_has_not_left() -> None:
    one = Journalled()
    scheduled = message(
        9, batch="b", status=Status.SCHEDULED, due_at_ms=WALL + 10**7, send_at_ms=WALL + 10**7
    )
    one.accept(*batch(1, 2, 3), scheduled, message(4))
    assert len(one.turn()) == 4
    one.dispatcher.restraint.holdback.cancel("x", "b", 9 << 8)
    one.settle()
    assert one.status(9) is Status.CANCELLED
    # What was with a driver comes back, and is not tried again.
    one.resolve(
        *[Deferred(flight[0], "carrier_busy") for flight in list(one.dispatcher.settler.flights.values())]
    )
    one.turn()
    one.settle()
    assert [one.status(key) for key in (1, 2, 3, 4)] == [Status.CANCELLED] * 3 + [Status.QUEUED]
    one.accept(*batch(10))
    assert one.gone() == [10], "a cancellation does not concern what is submitted later"


def test_cancelling_a_paused_batch_ends_what_is_held() -> None:
    one = Journalled()
    one.accept(*batch(1, 2))
    one.dispatcher.restraint.holdback.pause("x", "b")
    one.settle()
    one.dispatcher.restraint.holdback.cancel("x", "b", 5 << 8)
    one.settle()
    assert [one.status(key) for key in (1, 2)] == [Status.CANCELLED] * 2
    assert len(one.dispatcher.backlog) == 0


def test_a_large_batch_is_gone_through_in_blocks_each_in_a_commit_of_its_own() -> None:
    one = Journalled()
    count = 4 * BLOCK + 3
    one.accept(*batch(*range(1, count + 1)))
    one.dispatcher.restraint.holdback.pause("x", "b")
    one.settle()
    assert one.largest == BLOCK
    assert one.dispatcher.backlog.held == count
    one.dispatcher.restraint.holdback.resume("x", "b")
    one.settle()
    assert one.dispatcher.backlog.held == 0
    assert one.blocks <= 2 * (count // BLOCK + 3)


def test_released_messages_return_to_the_strand_of_their_limits() -> None:
    one = Journalled()
    one.dispatcher.set_limits(
        (LimitRule(name="l", limit=1, every="day", prefixes=("+40",)),), one.now, one.wall
    )
    one.accept(message(1))
    assert one.journal.messages[1 << 8].strand == PLAIN, "there was room for it in memory"
    one.change("hold", 1)
    one.settle()
    one.change("release", 1)
    one.settle()
    gate = one.dispatcher.restraint.gate
    assert one.journal.messages[1 << 8].strand == gate.strand(message(1)) != PLAIN


def test_the_pace_of_a_batch_is_what_left_lately() -> None:
    one = Journalled()
    one.lane(window=1000)
    one.accept(*batch(*range(1, 101)))
    for _ in range(10):
        one.gone()
        one.wait(1.0)
    assert one.dispatcher.restraint.holdback.rate("x", "b", one.now) == pytest.approx(10.0)
    one.wait(25.0)
    assert one.dispatcher.restraint.holdback.rate("x", "b", one.now) == 0.0
    assert one.dispatcher.restraint.holdback.rate("x", "other", one.now) == 0.0


@given(steps=st.lists(st.sampled_from(("pause", "resume", "cancel", "more", "turn", "settle")), max_size=25))
def test_in_any_order_every_message_is_held_gone_or_cancelled_and_counted(steps: list[str]) -> None:
    one = Journalled()
    key = 0
    holdback = one.dispatcher.restraint.holdback
    for step in steps:
        match step:
            case "more":
                one.accept(*batch(key + 1, key + 2))
                key += 2
            case "turn":
                gone = one.gone()
                assert not gone or holdback.phase("x", "b") is not Phase.PAUSED
            case "settle":
                one.settle()
            case "cancel":
                holdback.cancel("x", "b", key << 8)
            case _:
                getattr(holdback, step)("x", "b")
    one.settle()
    left = [row for row in one.journal.messages.values() if row.status is Status.QUEUED]
    is_paused = holdback.phase("x", "b") is Phase.PAUSED
    assert len(one.dispatcher.backlog) == len(left)
    assert all((row.strand == HELD) is is_paused for row in left)
    assert one.dispatcher.backlog.held == (len(left) if is_paused else 0)


def test_a_long_message_that_has_begun_to_leave_is_completed_whatever_is_held() -> None:
    one = Journalled()
    one.accept(message(1, text="x" * 200, segments=2, batch="b"))
    first, second = one.turn()
    one.resolve(Sent(first, "c1", "c1"), Deferred(second, "carrier_busy"))
    one.settle()
    with pytest.raises(Refusal):
        one.change("hold", 1)
    one.dispatcher.restraint.holdback.pause("x", "b")
    one.dispatcher.restraint.set_quiet((QuietRule(start_min=9 * 60, end_min=12 * 60),))
    one.settle()
    one.turn()
    one.wait(60.0)
    assert one.gone() == [1]
