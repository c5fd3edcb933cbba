"""The dispatcher as the pump sees it: what leaves, in the journal's order, and what comes back."""

from stentor.dispatch.sending import ROUND
from stentor.journal.records import (
    Recovery,
)
from stentor.message import EventKind, Status
from stentor.outcome import Returned, Sent
from stentor.text.coding import Alphabet, Coding
from tests.engine.dispatch.dispatch_engine import ONCE, WALL, Engine, long_message, message


def test_a_message_leaves_after_its_commit_and_its_slot_is_free_after_that_of_its_result() -> None:
    engine = Engine()
    engine.lane()
    sent = message(wants_receipt=False)
    engine.dispatcher.accept([sent], ())
    assert engine.turn() == []
    engine.commit()
    (submission,) = engine.turn()
    assert sent.status is Status.SENDING
    engine.resolve(Sent(submission, "c1"))
    assert (sent.status, sent.is_final, engine.window_used()) == (Status.SENT, True, 1)
    engine.begin()
    assert engine.window_used() == 1
    engine.committed()
    assert engine.window_used() == 0
    assert engine.events == [(1, EventKind.QUEUED), (1, EventKind.SENT)]
    assert len(engine.dispatcher.backlog) == 0


def test_a_commit_that_failed_gives_back_what_is_new() -> None:
    engine = Engine()
    engine.lane()
    engine.dispatcher.accept([message()], ())
    engine.begin()
    assert [each.key for each in engine.dispatcher.commit_failed().accepted] == [256]
    engine.commit()
    assert engine.turn() == []
    assert engine.events == []


def test_a_lease_is_durable_before_its_submission_leaves() -> None:
    engine = Engine()
    engine.lane()
    leased = message(delivery=ONCE)
    engine.accept(leased)
    assert engine.turn() == []
    commit = engine.begin()
    assert commit is not None
    assert commit.changed[256].status is Status.SENDING
    assert engine.turn() == []
    engine.committed()
    assert [each.token for each in engine.turn()] == [257]


def test_a_lease_found_at_the_start_counts_as_an_attempt() -> None:
    leased = message(delivery=ONCE, status=Status.SENDING, channel="a")
    engine = Engine(Recovery(leased=[leased], last_key=256))
    engine.commit()
    assert (leased.status, leased.attempts, leased.channel) == (Status.UNKNOWN, 1, "a")


def test_a_lease_whose_lane_is_gone_returns() -> None:
    engine = Engine()
    engine.lane()
    leased = message(delivery=ONCE)
    engine.accept(leased)
    engine.turn()
    engine.begin()
    engine.dispatcher.remove_lane("a", "1", engine.now, engine.wall)
    engine.committed()
    assert engine.turn() == []
    assert (leased.status, leased.attempts) == (Status.QUEUED, 0)
    engine.commit()
    engine.lane("b")
    engine.turn()
    engine.commit()
    assert len(engine.turn()) == 1


def test_leases_leave_in_batches_the_driver_takes() -> None:
    engine = Engine(batch_limit=2)
    engine.lane()
    engine.accept(*(message(key, delivery=ONCE) for key in range(1, 6)))
    for _ in range(3):
        engine.turn()
    engine.commit()
    engine.dispatcher.flush(engine.now, engine.wall)
    assert [len(batch) for _, batch in engine.dispatcher.take_outgoing()] == [2, 2, 1]


def test_leases_beyond_a_window_that_shrank_return() -> None:
    engine = Engine()
    engine.lane(window=3)
    engine.accept(*(message(key, delivery=ONCE) for key in (1, 2, 3)))
    engine.turn()
    engine.lane(window=1)
    engine.commit()
    assert len([each for _, batch in engine.dispatcher.take_outgoing() for each in batch]) == 1


def test_the_rest_of_a_leased_message_leaves_though_nothing_else_is_to_be_written() -> None:
    engine = Engine()
    engine.lane(window=1)
    engine.accept(long_message(delivery=ONCE))
    engine.turn()
    engine.commit()
    (first,) = engine.turn()
    engine.resolve(Sent(first, "c1", "c1"))
    engine.commit()
    engine.turn()
    assert engine.begin() is not None, "the second segment's lease"
    engine.committed()
    assert [each.index for each in engine.turn()] == [2]


def test_what_is_decided_and_not_handed_over_comes_back_when_its_lane_goes() -> None:
    engine = Engine()
    engine.lane()
    lost = message()
    engine.accept(lost)
    engine.dispatcher.flush(engine.now, engine.wall)
    engine.dispatcher.remove_lane("a", "1", engine.now, engine.wall)
    assert list(engine.dispatcher.take_outgoing()) == []
    assert (lost.status, lost.attempts) == (Status.QUEUED, 0)


def test_what_a_removed_lane_holds_is_in_doubt() -> None:
    engine = Engine()
    engine.lane()
    twice, once = message(1), message(2, delivery=ONCE)
    engine.accept(twice, once)
    engine.turn()
    engine.commit()
    engine.turn()
    engine.dispatcher.remove_lane("a", "1", engine.now, engine.wall)
    assert (twice.status, once.status) == (Status.QUEUED, Status.UNKNOWN)
    engine.lane("b")
    assert [each.token for each in engine.turn()] == [257]


def test_what_is_left_over_comes_back_when_the_channel_is_paused() -> None:
    engine = Engine()
    engine.lane(window=1)
    half = long_message()
    engine.accept(half)
    (first,) = engine.turn()
    engine.dispatcher.set_paused("a", True, engine.wall)
    engine.resolve(Sent(first, "c1", "c1"))
    assert half.status is Status.QUEUED
    engine.lane("b")
    assert [each.index for each in engine.turn()] == [2]


def test_what_is_left_over_expires_in_time() -> None:
    """A window whose answers are slow keeps nothing that was to wait for it no longer."""
    engine = Engine(coding=Coding(Alphabet.UCS2))
    engine.lane(window=4)
    # Of five segments where it was told to be of two, so that what was taken with it is left over too.
    half = message(text="x" * 306, segments=2, expires_at_ms=WALL + 5_000)
    short, lasting = message(2, expires_at_ms=WALL + 5_000), message(3)
    engine.accept(half, short, lasting)
    first = engine.turn()
    assert [each.index for each in first] == [1, 2, 3, 4]
    engine.wait(6)
    assert engine.turn() == []
    assert (half.status, short.status, lasting.status) == (Status.SENDING, Status.EXPIRED, Status.SENDING)
    engine.resolve(*(Sent(each, f"c{each.index}") for each in first))
    engine.commit()
    assert [each.token for each in engine.turn()] == [lasting.key + 1]
    assert half.status is Status.EXPIRED


def test_a_stop_returns_what_has_not_left() -> None:
    engine = Engine()
    engine.lane(window=1)
    leased = long_message(delivery=ONCE)
    engine.accept(leased)
    engine.turn()
    engine.dispatcher.stop(engine.wall)
    engine.commit()
    assert list(engine.dispatcher.take_outgoing()) == []
    assert leased.status is Status.QUEUED


def test_a_pause_survives_a_restart() -> None:
    engine = Engine()
    engine.dispatcher.set_paused("a", True, engine.wall)
    commit = engine.begin()
    assert commit is not None
    again = Engine(Recovery(settings=commit.settings))
    again.lane()
    assert again.dispatcher.channels["a"].state == "paused"


def test_messages_move_to_the_next_channel_when_theirs_goes_down() -> None:
    engine = Engine()
    engine.lane("a", window=0)
    engine.accept(message())
    assert engine.turn() == []
    engine.lane("b")
    assert len(engine.turn()) == 1


def test_a_removed_channel_s_messages_move_or_fail() -> None:
    engine = Engine()
    moves, fails = message(1), message(2, route=("a",))
    engine.accept(moves, fails)
    engine.dispatcher.remove_channel("a", engine.now, engine.wall)
    assert (moves.channel, moves.status, fails.status) == ("b", Status.QUEUED, Status.FAILED)
    assert fails.error is not None
    assert fails.error.code == "no_route"


def test_a_message_whose_channel_was_removed_can_be_cancelled() -> None:
    engine = Engine()
    engine.lane()
    returned = message(route=("a",))
    engine.accept(returned)
    engine.resolve(*[Returned(each) for each in engine.turn()])
    engine.dispatcher.remove_channel("a", engine.now, engine.wall)
    assert engine.dispatcher.cancel(returned, engine.wall).status is Status.CANCELLED


def test_a_round_over_many_channels_ends_when_much_has_gone_and_the_next_begins_with_the_others() -> None:
    engine = Engine(batch_limit=ROUND)
    for name in "ab":
        engine.lane(name, window=ROUND)
    engine.accept(*(message(key, route=("ab"[key % 2],)) for key in range(1, 2 * ROUND + 1)))
    first, second, third = (engine.turn() for _ in range(3))
    assert len(first) == len(second) == ROUND
    assert {each.token >> 8 & 1 for each in first} == {0} != {each.token >> 8 & 1 for each in second}
    assert not third
    assert not engine.dispatcher.is_more
