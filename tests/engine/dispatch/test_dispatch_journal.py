"""The dispatcher and what waits in the journal: starts, times, cancelling, receipts."""

import pytest

from stentor.dispatch.dispatcher import Limits
from stentor.driver import Inbound, Receipt
from stentor.errors import Refusal
from stentor.journal.records import (
    BacklogKey,
    BacklogRead,
    DueRead,
    ExpiredRead,
    ParkedReceipt,
    ReceiptRead,
    Recovery,
    UnansweredRead,
)
from stentor.message import Charge, EventKind, Message, Segment, Status
from stentor.outcome import Deferred, Refused, Returned, Scope, Sent, Unknown
from tests.engine.dispatch.dispatch_engine import ONCE, WALL, Engine, long_message, message

# -- start ----------------------------------------------------------------------------------------------------------


def test_a_start_ends_what_may_not_be_repeated_and_queues_what_may() -> None:
    once = message(1, delivery=ONCE, status=Status.SENDING)
    twice = message(2, status=Status.SENDING)
    engine = Engine(Recovery(leased=[once, twice], last_key=512))
    engine.lane()
    assert (once.status, twice.status) == (Status.UNKNOWN, Status.QUEUED)
    assert engine.turn() == []
    engine.commit()
    assert [each.token for each in engine.turn()] == [513]
    assert engine.events == [(1, EventKind.UNKNOWN)]
    assert engine.dispatcher.settler.counters["finished"] == 1


def test_the_backlog_is_read_at_start_and_sent() -> None:
    engine = Engine(Recovery(backlog={BacklogKey(("a", "b"), 2): 2}, last_key=512))
    engine.lane()
    engine.turn()
    (read,) = engine.reads(BacklogRead)
    engine.answer(read, message(1), message(2))
    assert [each.token for each in engine.turn()] == [257, 513]
    assert len(engine.dispatcher.backlog) == 2


def test_a_block_that_shows_a_message_nobody_knows_to_be_stored_leaves_it() -> None:
    engine = Engine(Recovery(backlog={BacklogKey(("a", "b"), 2): 1}, last_key=256))
    engine.turn()
    (read,) = engine.reads(BacklogRead)
    engine.dispatcher.accept([message(2)], ())
    engine.begin()
    engine.answer(read, message(1), message(2))
    engine.committed()
    assert len(engine.dispatcher.backlog) == 2


def test_a_half_sent_message_read_twice_stays_one() -> None:
    half = long_message(status=Status.QUEUED)
    half.segment_list = [Segment(1, Status.SENT, "c1", "c1", WALL)]
    engine = Engine(Recovery(backlog={BacklogKey(("a", "b"), 2): 1}, last_key=256))
    engine.lane()
    engine.turn()
    (block,) = engine.reads(BacklogRead)
    engine.dispatcher.receive("a", [Receipt("c1", Status.DELIVERED)], "t", engine.wall)
    (lookup,) = engine.reads(ReceiptRead)
    engine.answer(lookup, half)
    engine.commit()
    engine.answer(block, half)
    (second,) = engine.turn()
    engine.resolve(Sent(second, "c2", "c2"))
    engine.dispatcher.receive("a", [Receipt("c2", Status.DELIVERED)], "u", engine.wall)
    engine.commit()
    assert engine.events[-1] == (1, EventKind.DELIVERED)


# -- time -----------------------------------------------------------------------------------------------------------


def scheduled(key: int, in_s: int = 10) -> Message:
    return message(key, status=Status.SCHEDULED, due_at_ms=WALL + in_s * 1000, send_at_ms=WALL + in_s * 1000)


def test_a_scheduled_message_is_read_when_due_and_queued_when_that_is_durable() -> None:
    engine = Engine()
    engine.lane()
    engine.accept(scheduled(1))
    assert (engine.dispatcher.scheduled, engine.dispatcher.next_wake(0.0, WALL)) == (1, 1.0)
    engine.turn()
    assert engine.reads(DueRead) == []
    engine.wait(10)
    engine.turn()
    (read,) = engine.reads(DueRead)
    engine.answer(read, scheduled(1))
    assert engine.turn() == []
    engine.commit()
    assert len(engine.turn()) == 1
    assert engine.events == [(1, EventKind.QUEUED)]
    assert engine.dispatcher.scheduled == 0


def test_a_message_scheduled_while_due_ones_are_read_is_not_forgotten() -> None:
    engine = Engine(Recovery(scheduled=1, next_due_ms=WALL, last_key=256))
    engine.turn()
    (read,) = engine.reads(DueRead)
    engine.accept(scheduled(2))
    engine.answer(read, message(1, status=Status.SCHEDULED, send_at_ms=WALL))
    engine.commit()
    engine.wait(10)
    engine.turn()
    assert len(engine.reads(DueRead)) == 1


def test_a_full_block_of_due_messages_is_asked_for_again_after_the_commit() -> None:
    engine = Engine(Recovery(scheduled=3, next_due_ms=WALL, last_key=768), Limits(block=2))
    engine.turn()
    (read,) = engine.reads(DueRead)
    engine.answer(read, *(message(key, status=Status.SCHEDULED, send_at_ms=WALL) for key in (1, 2)))
    engine.turn()
    assert engine.reads(DueRead) == []
    engine.commit()
    (again,) = engine.reads(DueRead)
    engine.answer(again, message(3, status=Status.SCHEDULED, send_at_ms=WALL))
    assert engine.dispatcher.scheduled == 0


def test_a_message_expires_wherever_it_waits() -> None:
    engine = Engine(
        Recovery(backlog={BacklogKey(("c",), 2): 1}, scheduled=1, next_due_ms=WALL * 2, last_key=512)
    )
    in_memory = message(3, expires_at_ms=WALL + 1_000)
    engine.accept(in_memory)
    engine.wait(31)
    engine.turn()
    assert in_memory.status is Status.EXPIRED
    (read,) = engine.reads(ExpiredRead)
    gone = {"expires_at_ms": WALL + 1}
    engine.answer(read, message(1, route=("c",), **gone), message(2, status=Status.SCHEDULED, **gone))
    engine.commit()
    assert engine.events[1:] == [(key, EventKind.EXPIRED) for key in (3, 1, 2)]
    assert (len(engine.dispatcher.backlog), engine.dispatcher.scheduled) == (0, 0)


@pytest.mark.parametrize(("is_unknown", "status"), [(True, Status.UNKNOWN), (False, Status.SENT)])
def test_a_receipt_that_never_comes_is_waited_for_only_so_long(is_unknown: bool, status: Status) -> None:
    engine = Engine(Recovery(), Limits(receipt_horizon_ms=60_000, missing_receipt_is_unknown=is_unknown))
    engine.wait(100)
    engine.turn()
    (read,) = engine.reads(UnansweredRead)
    assert read.before_ms == engine.wall - 60_000
    lost = message(
        status=Status.SENT, sent_at_ms=WALL, segment_list=[Segment(1, Status.SENT, "c", "c", WALL)]
    )
    engine.answer(read, lost)
    commit = engine.begin()
    assert commit is not None
    assert (commit.changed[256].status, commit.changed[256].is_final) == (status, True)
    assert commit.segments[257][1].match_id is None


def test_nothing_wakes_an_idle_dispatcher_for_long() -> None:
    engine = Engine()
    engine.wait(2)
    engine.turn()
    assert engine.dispatcher.next_wake(engine.now, engine.wall) >= engine.now + 25


# -- cancelling -----------------------------------------------------------------------------------------------------


def test_a_message_can_be_cancelled_wherever_it_waits() -> None:
    engine = Engine(Recovery(backlog={BacklogKey(("c",), 2): 1}, last_key=256))
    engine.accept(message(2), scheduled(3))
    for stored in (message(1, route=("c",)), message(2), scheduled(3)):
        cancelled = engine.dispatcher.cancel(stored, engine.wall)
        assert cancelled.status is Status.CANCELLED
        with pytest.raises(Refusal, match="cancelled already"):
            engine.dispatcher.cancel(cancelled, engine.wall)
    engine.commit()
    assert (len(engine.dispatcher.backlog), engine.dispatcher.scheduled) == (0, 0)
    engine.lane()
    assert engine.turn() == []


def test_a_message_can_be_cancelled_before_its_commit_is_known_to_be_durable() -> None:
    engine = Engine()
    engine.lane()
    engine.dispatcher.accept([message(1), scheduled(2)], ())
    engine.begin()
    engine.dispatcher.cancel(message(1), engine.wall)
    engine.dispatcher.cancel(scheduled(2), engine.wall)
    engine.committed()
    engine.commit()
    assert engine.turn() == []
    assert (len(engine.dispatcher.backlog), engine.dispatcher.scheduled) == (0, 0)


def test_a_message_that_just_fell_due_can_be_cancelled() -> None:
    engine = Engine(Recovery(scheduled=1, next_due_ms=WALL, last_key=256))
    engine.lane()
    engine.turn()
    (read,) = engine.reads(DueRead)
    engine.answer(read, message(status=Status.SCHEDULED, send_at_ms=WALL))
    engine.dispatcher.cancel(message(status=Status.SCHEDULED, send_at_ms=WALL), engine.wall)
    engine.commit()
    assert engine.turn() == []
    assert engine.events == [(1, EventKind.QUEUED), (1, EventKind.CANCELLED)]


@pytest.mark.parametrize("part", ["sending", "half sent", "half sent and behind", "final"])
def test_what_has_left_cannot_be_cancelled(part: str) -> None:
    engine = Engine(Recovery(backlog={BacklogKey(("c",), 2): 1}, last_key=256))
    engine.lane()
    left = long_message(2)
    engine.accept(left)
    first, second = engine.turn()
    if part == "half sent":
        engine.resolve(Sent(first, "c1", "c1"), Deferred(second, "carrier_busy"))
        assert left.status is Status.QUEUED
    elif part == "half sent and behind":
        left = long_message(1, route=("c",), segment_list=[Segment(1, Status.SENT)])
    elif part == "final":
        engine.resolve(Refused(first, "bad_destination"), Returned(second))
    with pytest.raises(Refusal) as refused:
        engine.dispatcher.cancel(left, engine.wall)
    assert refused.value.status == 409


# -- receipts -------------------------------------------------------------------------------------------------------


def test_a_receipt_is_acknowledged_after_its_commit() -> None:
    engine = Engine()
    engine.lane()
    delivered = message()
    engine.accept(delivered)
    engine.resolve(*[Sent(each, "c1", "c1") for each in engine.turn()])
    engine.dispatcher.receive("a", [Receipt("c1", Status.DELIVERED)], "ticket", engine.wall)
    engine.begin()
    assert engine.tickets == []
    engine.committed()
    assert engine.tickets == ["ticket"]
    assert delivered.status is Status.DELIVERED


def test_a_receipt_that_overtakes_its_response_is_parked_until_it_comes() -> None:
    engine = Engine()
    engine.lane()
    delivered = message()
    engine.accept(delivered)
    (submission,) = engine.turn()
    engine.dispatcher.receive("a", [Receipt("c1", Status.DELIVERED)], "ticket", engine.wall)
    (read,) = engine.reads(ReceiptRead)
    engine.answer(read)
    engine.commit()
    assert engine.tickets == ["ticket"]
    engine.resolve(Sent(submission, "c1", "c1"))
    commit = engine.begin()
    assert commit is not None
    assert commit.parked == {("a", "c1"): None}
    assert [event.kind for event in commit.events] == [EventKind.SENT, EventKind.DELIVERED]


def test_what_an_overtaking_receipt_says_of_the_price_outlives_a_restart_and_later_receipts() -> None:
    engine = Engine()
    engine.lane()
    engine.accept(message())
    charge = Charge(2, 45_000, "EUR")
    for receipt in (Receipt("c1", Status.SENT, charge=charge), Receipt("c1", Status.DELIVERED)):
        engine.dispatcher.receive("a", [receipt], "ticket", engine.wall)
        (read,) = engine.reads(ReceiptRead)
        engine.answer(read)
    commit = engine.begin()
    assert commit is not None
    kept = commit.parked["a", "c1"]
    assert kept is not None
    again = Engine(Recovery(parked=[kept]))
    again.lane()
    again.accept(message())
    (submission,) = again.turn()
    again.resolve(Sent(submission, "c1", "c1"))
    commit = again.begin()
    assert commit is not None
    assert [line.charge for line in commit.history if line.charge is not None] == [charge]


def test_a_start_with_more_parked_receipts_than_there_is_room_for_forgets_the_oldest() -> None:
    parked = [ParkedReceipt("a", f"c{at_ms}", Status.DELIVERED, WALL + at_ms) for at_ms in (1, 2)]
    engine = Engine(Recovery(parked=parked), Limits(parked=1))
    commit = engine.begin()
    assert commit is not None
    assert commit.parked == {("a", "c1"): None}


def test_a_receipt_finds_a_segment_that_its_lookup_cannot_have_seen() -> None:
    engine = Engine(None, Limits(active=1, floor=5))
    engine.lane()
    delivered = message(1)
    engine.accept(delivered, message(2))
    first, second = engine.turn()
    engine.dispatcher.receive("a", [Receipt("c1", Status.DELIVERED)], "ticket", engine.wall)
    (read,) = engine.reads(ReceiptRead)
    engine.resolve(Sent(first, "c1", "c1"), Sent(second, "c2", "c2"))
    assert len(engine.dispatcher.settler.awaited) == 1, "the first was evicted"
    engine.commit()
    engine.answer(read)
    assert delivered.status is Status.DELIVERED


def test_a_receipt_may_come_over_any_channel_of_the_family_also_for_a_removed_one() -> None:
    engine = Engine(receipt_family="f")
    engine.lane("a")
    engine.dispatcher.remove_channel("a", engine.now, engine.wall)
    engine.dispatcher.receive("b", [Receipt("c1", Status.DELIVERED)], "ticket", engine.wall)
    (read,) = engine.reads(ReceiptRead)
    assert read.channels == ("a", "b")


def test_a_segment_remembers_the_channel_that_took_it() -> None:
    engine = Engine()
    engine.lane("a")
    half = long_message()
    engine.accept(half)
    first, second = engine.turn()
    engine.resolve(Sent(first, "c1", "c1"), Returned(second))
    engine.lane("a", window=0)
    engine.lane("b")
    engine.turn()
    commit = engine.begin()
    assert commit is not None
    assert (half.channel, commit.segments[257][1].channel) == ("b", "a")


def test_an_inbound_message_is_stored_told_of_and_acknowledged() -> None:
    engine = Engine()
    engine.dispatcher.receive("a", [Inbound("+1", "1234", "hi")], "ticket", engine.wall)
    commit = engine.begin()
    assert commit is not None
    (received,) = commit.received
    assert (received.text, received.status, received.is_final) == ("hi", Status.RECEIVED, True)
    engine.committed()
    assert engine.tickets == ["ticket"]
    assert [kind for _, kind in engine.events] == [EventKind.RECEIVED]


def test_receipts_and_inbound_messages_of_one_ticket_are_acknowledged_together() -> None:
    engine = Engine()
    items = [Inbound("+1", "1234", "hi"), Receipt("unknown", Status.DELIVERED)]
    engine.dispatcher.receive("a", items, "ticket", engine.wall)
    engine.commit()
    assert engine.tickets == []
    (read,) = engine.reads(ReceiptRead)
    engine.answer(read)
    engine.commit()
    assert engine.tickets == ["ticket"]
    assert engine.dispatcher.channels["a"].counters["unmatched"] == 1


def test_every_queue_says_its_bound_and_what_happens_when_it_is_full() -> None:
    for length, limit, policy in Engine().dispatcher.queue_lengths().values():
        assert (length, limit >= 0, bool(policy)) == (0, True, True)


def test_a_failure_of_the_channel_stops_all_its_lanes_for_a_while() -> None:
    engine = Engine()
    engine.lane("a", key="1")
    engine.lane("a", key="2")
    engine.accept(message(1, route=("a",)))
    (submission,) = engine.turn()
    engine.resolve(Deferred(submission, "carrier_busy", scope=Scope.CHANNEL, retry_after_s=9.0))
    engine.accept(message(2, route=("a",)))
    assert engine.turn() == []
    engine.wait(9)
    assert len(engine.turn()) == 2


def test_an_outcome_nobody_waits_for_changes_nothing() -> None:
    engine = Engine()
    engine.lane()
    sent = message()
    engine.accept(sent)
    (submission,) = engine.turn()
    engine.resolve(Unknown(submission), Refused(submission, "bad_destination"))
    assert engine.dispatcher.settler.counters["stray"] == 1
    assert sent.status is Status.QUEUED
