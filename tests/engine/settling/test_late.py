"""Answers that come behind their doubt, and receipts that name an attempt by its reference."""

import copy

import pytest

from stentor.dispatch.dispatcher import Limits
from stentor.driver import Capabilities, Receipt
from stentor.journal.records import BacklogKey, BacklogRead, ReceiptRead, Recovery
from stentor.message import Error, EventKind, Message, Segment, Status
from stentor.outcome import Deferred, Refused, Returned, Sent, Submission, Unknown, reference_of
from stentor.text.coding import Coding
from tests.engine.dispatch.dispatch_engine import ONCE, WALL, Engine, long_message, message


def handed_over(engine: Engine, *messages: Message) -> list[Submission]:
    """They are accepted and handed over, leases and all."""
    engine.accept(*messages)
    found = engine.turn()
    engine.commit()
    return found + engine.turn()


def held(**more) -> tuple[Engine, Message, Submission]:
    """An at-most-once message in doubt, on a channel whose receipts repeat references."""
    engine = Engine(**({"echoes_reference": True} | more))
    engine.lane()
    once = message(delivery=ONCE)
    (submission,) = handed_over(engine, once)
    engine.resolve(Unknown(submission))
    engine.commit()
    return engine, once, submission


def receipt(
    engine: Engine, status: Status, match_id: str = "", token: int = 257, to: str = "", attempt: int = 1
) -> None:
    """A receipt that repeats a reference comes over channel a; what it must be looked for is not in the journal."""
    named = Receipt(match_id, status, None, 0, reference_of(token, 1), to or "+40700000001")
    engine.dispatcher.receive("a", [named], "ticket", engine.wall)
    for read in engine.reads(ReceiptRead):
        engine.answer(read)


# -- answers --------------------------------------------------------------------------------------------------------


def test_a_message_that_waits_for_its_retry_leaves_the_queue_when_its_answer_comes() -> None:
    engine = Engine()
    engine.lane()
    sent = message()
    (submission,) = handed_over(engine, sent)
    engine.resolve(Unknown(submission), Sent(submission, "c1", "c1"))
    assert (sent.status, sent.attempts, sent.error) == (Status.SENT, 1, None)
    assert engine.turn() == [], "it left once"
    engine.commit()
    assert engine.events == [(1, EventKind.QUEUED), (1, EventKind.SENT)]
    assert len(engine.dispatcher.backlog) == 0
    engine.dispatcher.receive("a", [Receipt("c1", Status.DELIVERED)], "ticket", engine.wall)
    assert sent.status is Status.DELIVERED
    assert len(engine.dispatcher.settler.holding.doubts) == 0
    assert engine.dispatcher.settler.counters["late"] == 1


def test_so_does_one_that_waits_for_its_time() -> None:
    engine = Engine()
    engine.lane()
    sent = message()
    (first,) = handed_over(engine, sent)
    engine.resolve(Unknown(first))
    (second,) = engine.turn()
    engine.resolve(Unknown(second))
    assert engine.turn() == []
    assert len(engine.dispatcher.placing.due) == 1
    engine.resolve(Sent(first, "c1", "c1"))
    assert (sent.status, sent.attempts) == (Status.SENT, 2)
    assert len(engine.dispatcher.placing.due) == 0


def test_without_a_receipt_to_come_it_is_final() -> None:
    engine = Engine(receipts="none")
    engine.lane()
    sent = message()
    (submission,) = handed_over(engine, sent)
    engine.resolve(Unknown(submission), Sent(submission, "c1"))
    assert (sent.status, sent.is_final) == (Status.SENT, True)
    assert engine.dispatcher.settler.counters["finished"] == 1


@pytest.mark.parametrize("order", [("c1", "c2"), ("c2", "c1")])
@pytest.mark.parametrize("is_answered_first", [True, False])
def test_a_message_under_way_again_is_settled_once_under_either_id(order, is_answered_first: bool) -> None:
    engine = Engine()
    engine.lane()
    sent = message()
    (first,) = handed_over(engine, sent)
    engine.resolve(Unknown(first))
    (second,) = engine.turn()
    answers = [Sent(first, "c1", "c1"), Sent(second, "c2", "c2")]
    engine.resolve(*answers if is_answered_first else answers[::-1])
    assert (sent.status, len(sent.segment_list)) == (Status.SENT, 1)
    engine.commit()
    for match_id in order:
        engine.dispatcher.receive("a", [Receipt(match_id, Status.DELIVERED)], match_id, engine.wall)
        for read in engine.reads(ReceiptRead):
            engine.answer(read)
    engine.commit()
    assert engine.events[-2:] == [(1, EventKind.SENT), (1, EventKind.DELIVERED)]
    assert engine.tickets == list(order)
    assert engine.dispatcher.settler.told == {}


def test_a_receipt_may_come_before_the_answer_to_the_repetition() -> None:
    engine = Engine()
    engine.lane()
    sent = message()
    (first,) = handed_over(engine, sent)
    engine.resolve(Unknown(first))
    (second,) = engine.turn()
    engine.resolve(Sent(first, "c1", "c1"))
    engine.dispatcher.receive("a", [Receipt("c1", Status.DELIVERED)], "ticket", engine.wall)
    assert sent.status is Status.SENDING
    engine.resolve(Sent(second, "c2", "c2"))
    engine.commit()
    assert engine.events[-2:] == [(1, EventKind.SENT), (1, EventKind.DELIVERED)]


@pytest.mark.parametrize(
    "outcome",
    [
        lambda each: Deferred(each, "carrier_busy"),
        lambda each: Refused(each, "bad_destination"),
        Returned,
        Unknown,
    ],
    ids=["deferred", "refused", "returned", "doubt"],
)
def test_whatever_becomes_of_the_repetition_what_left_before_counts(outcome) -> None:
    engine = Engine()
    engine.lane()
    sent = message()
    (first,) = handed_over(engine, sent)
    engine.resolve(Unknown(first))
    (second,) = engine.turn()
    engine.resolve(Sent(first, "c1", "c1"), outcome(second))
    assert sent.status is Status.SENT
    assert engine.turn() == []
    engine.commit()
    assert engine.window_used() == 0


def test_a_repetition_that_was_not_handed_over_yet_is_not() -> None:
    engine = Engine()
    engine.lane(window=2)
    half = long_message()
    first, second = handed_over(engine, half)
    engine.resolve(Unknown(first), Unknown(second))
    engine.commit()
    engine.lane(window=1)
    (again,) = engine.turn()
    assert again.index == 1
    engine.resolve(Sent(second, "c2", "c2"))
    engine.resolve(Sent(again, "c1", "c1"))
    engine.commit()
    assert engine.turn() == []
    assert half.status is Status.SENT


def test_a_segment_that_left_is_left_out_of_the_retry() -> None:
    engine = Engine()
    engine.lane()
    half = long_message()
    first, second = handed_over(engine, half)
    engine.resolve(Unknown(first), Deferred(second, "carrier_busy", retry_after_s=5.0))
    engine.resolve(Sent(first, "c1", "c1"))
    assert half.status is Status.QUEUED
    assert engine.turn() == []
    engine.wait(6)
    (again,) = engine.turn()
    assert again.index == 2
    engine.resolve(Sent(again, "c2", "c2"))
    assert half.status is Status.SENT


@pytest.mark.parametrize("delivery", [{}, {"delivery": ONCE}], ids=["at least once", "at most once"])
def test_an_answer_that_comes_before_the_attempt_is_over_leaves_no_doubt(delivery) -> None:
    engine = Engine()
    engine.lane()
    whole = long_message(**delivery)
    first, second = handed_over(engine, whole)
    engine.resolve(Unknown(first), Sent(first, "c1", "c1"), Sent(second, "c2", "c2"))
    assert (whole.status, whole.attempts) == (Status.SENT, 1)


def test_a_whole_message_of_a_driver_that_takes_whole_messages_left_with_its_one_answer() -> None:
    engine = Engine(unit="message")
    engine.lane()
    whole = long_message()
    (submission,) = handed_over(engine, whole)
    engine.resolve(Unknown(submission), Sent(submission, "c1", "c1"))
    assert whole.status is Status.SENT


def test_an_answer_behind_the_end_is_counted_and_changes_nothing() -> None:
    engine = Engine()
    engine.lane()
    once = message(delivery=ONCE)
    (submission,) = handed_over(engine, once)
    engine.resolve(Unknown(submission))
    assert once.status is Status.UNKNOWN
    engine.resolve(Sent(submission, "c1", "c1"))
    assert (once.status, engine.dispatcher.settler.counters["stray"]) == (Status.UNKNOWN, 1)


def test_a_receipt_that_came_before_its_late_answer_waits_for_it() -> None:
    engine = Engine()
    engine.lane()
    sent = message()
    (submission,) = handed_over(engine, sent)
    engine.resolve(Unknown(submission))
    engine.dispatcher.receive("a", [Receipt("c1", Status.DELIVERED)], "ticket", engine.wall)
    (read,) = engine.reads(ReceiptRead)
    engine.answer(read)
    engine.resolve(Sent(submission, "c1", "c1"))
    assert sent.status is Status.DELIVERED
    assert len(engine.dispatcher.settler.parked) == 0


def test_a_late_id_is_looked_for_in_the_journal_under_the_other() -> None:
    engine = Engine(limits=Limits(active=1))
    engine.lane()
    sent = message()
    (first,) = handed_over(engine, sent)
    engine.resolve(Unknown(first))
    (second,) = engine.turn()
    engine.resolve(Sent(second, "c2", "c2"), Sent(first, "c1", "c1"))
    engine.dispatcher.settler.awaited.forget("a", "c2")
    engine.commit()
    engine.dispatcher.receive("a", [Receipt("c1", Status.DELIVERED)], "ticket", engine.wall)
    (read,) = engine.reads(ReceiptRead)
    assert read.match_ids == ("c2",)
    engine.answer(read, sent)
    engine.commit()
    assert engine.events[-1] == (1, EventKind.DELIVERED)


def test_what_was_told_before_a_crash_is_not_sent_after_it() -> None:
    engine = Engine(Recovery(backlog={BacklogKey(("a", "b"), 2): 1}, last_key=256))
    engine.lane()
    engine.turn()
    (read,) = engine.reads(BacklogRead)
    engine.answer(read, message(segment_list=[Segment(1, Status.SENT, "c1", "c1", WALL)]))
    assert engine.turn() == []
    engine.commit()
    assert engine.events == [(1, EventKind.SENT)]


# -- held messages --------------------------------------------------------------------------------------------------


def test_an_at_most_once_message_is_held_while_a_receipt_may_tell_of_it() -> None:
    engine, once, _ = held()
    assert (once.status, once.attempts, once.error) == (
        Status.SENDING,
        1,
        Error("no_answer", None, "no_answer"),
    )
    assert (len(engine.dispatcher.backlog), engine.window_used()) == (0, 0)
    assert engine.dispatcher.queue_lengths()["doubts"][0] == 1
    receipt(engine, Status.DELIVERED, "c1")
    engine.commit()
    assert engine.events == [(1, EventKind.QUEUED), (1, EventKind.SENT), (1, EventKind.DELIVERED)]
    assert (once.attempts, once.segment_list[0].carrier_id, once.error) == (1, "c1", None)
    assert engine.tickets == ["ticket"]


def test_without_references_in_receipts_it_is_unknown_at_once() -> None:
    engine, once, _ = held(echoes_reference=False)
    assert (once.status, once.is_final) == (Status.UNKNOWN, True)
    assert len(engine.dispatcher.settler.holding.doubts) == 0


def test_a_held_message_goes_on_with_its_late_answer() -> None:
    engine, once, submission = held()
    engine.resolve(Sent(submission, "c1", "c1"))
    assert (once.status, once.attempts) == (Status.SENT, 1)
    engine.dispatcher.receive("a", [Receipt("c1", Status.UNDELIVERED)], "ticket", engine.wall)
    assert once.status is Status.UNDELIVERED
    engine.commit()
    assert len(engine.dispatcher.backlog) == 0


def test_what_nothing_tells_of_within_the_horizon_is_unknown() -> None:
    engine, once, _ = held()
    assert engine.dispatcher.next_wake(engine.now, engine.wall) <= engine.now + 601
    engine.wait(600)
    engine.turn()
    assert once.status is Status.SENDING
    engine.wait(0.1)
    engine.turn()
    assert (once.status, once.attempts) == (Status.UNKNOWN, 1)
    assert engine.dispatcher.settler.counters["finished"] == 1


def test_when_the_table_is_full_the_oldest_held_message_is_unknown() -> None:
    engine = Engine(limits=Limits(doubts=1), echoes_reference=True)
    engine.lane()
    first, second = message(1, delivery=ONCE), message(2, delivery=ONCE)
    one, two = handed_over(engine, first, second)
    engine.resolve(Unknown(one), Unknown(two))
    assert (first.status, second.status) == (Status.UNKNOWN, Status.SENDING)


def test_a_held_message_is_held_again_by_the_next_start() -> None:
    _, once, _ = held()
    again = Engine(Recovery(leased=[copy.deepcopy(once)], last_key=256), echoes_reference=True)
    assert again.begin() is None, "nothing is to be written of what was held before"
    receipt(again, Status.DELIVERED, "c1")
    again.commit()
    assert again.events == [(1, EventKind.SENT), (1, EventKind.DELIVERED)]


def test_a_start_holds_what_was_under_way_for_as_long() -> None:
    under_way = message(delivery=ONCE, status=Status.SENDING, channel="a")
    engine = Engine(Recovery(leased=[under_way], last_key=256), echoes_reference=True)
    assert (under_way.status, under_way.attempts) == (Status.SENDING, 1)
    engine.wait(601)
    engine.turn()
    assert (under_way.status, under_way.attempts) == (Status.UNKNOWN, 1)


def test_a_start_that_finds_more_in_doubt_than_there_is_room_for_leaves_nothing_half_held() -> None:
    long = long_message(delivery=ONCE, status=Status.SENDING, channel="a")
    engine = Engine(Recovery(leased=[long], last_key=256), Limits(doubts=1), echoes_reference=True)
    assert long.status is Status.UNKNOWN
    assert len(engine.dispatcher.settler.holding.doubts) == 0


def test_what_was_cut_otherwise_is_no_part_of_what_is_sent_now() -> None:
    engine = Engine()
    engine.dispatcher.channels["b"].capabilities = Capabilities(coding=Coding(wide_reference=True))
    engine.lane("a")
    long = long_message()
    first, second = handed_over(engine, long)
    engine.dispatcher.set_paused("a", True, engine.wall)
    engine.lane("b")
    engine.resolve(Unknown(first), Unknown(second))
    again = engine.turn()
    assert [each.udh for each in again] != [each.udh for each in (first, second)]
    engine.resolve(Sent(first, "c1", "c1"))
    assert engine.dispatcher.settler.counters["stray"] == 1
    engine.resolve(Sent(again[0], "d1", "d1"), Sent(again[1], "d2", "d2"))
    assert [segment.carrier_id for segment in long.segment_list] == ["d1", "d2"]


def test_a_start_holds_only_what_is_in_doubt_of_a_long_message() -> None:
    half = long_message(
        delivery=ONCE, status=Status.SENDING, channel="a",
        segment_list=[Segment(1, Status.SENT, "c1", "c1", WALL)],
    )  # fmt: skip
    engine = Engine(Recovery(leased=[half], last_key=256), echoes_reference=True)
    receipt(engine, Status.DELIVERED, "c2", token=258)
    assert half.status is Status.SENT
    engine.dispatcher.receive("a", [Receipt("c1", Status.DELIVERED)], "ticket", engine.wall)
    (read,) = engine.reads(ReceiptRead)
    engine.answer(read, half)
    engine.commit()
    assert engine.events[-1] == (1, EventKind.DELIVERED)


def test_the_rest_of_a_held_message_is_sent_once_its_doubt_is_settled() -> None:
    engine = Engine(echoes_reference=True)
    engine.lane()
    half = long_message(delivery=ONCE)
    first, second = handed_over(engine, half)
    engine.resolve(Unknown(first), Returned(second))
    engine.commit()
    assert engine.turn() == []
    engine.resolve(Sent(first, "c1", "c1"))
    assert half.status is Status.QUEUED
    engine.commit()
    engine.turn()
    engine.commit()
    assert [each.index for each in engine.turn()] == [2]


# -- references -----------------------------------------------------------------------------------------------------


def test_a_receipt_s_reference_takes_a_message_out_of_the_queue() -> None:
    engine = Engine(echoes_reference=True)
    engine.lane()
    sent = message()
    (submission,) = handed_over(engine, sent)
    engine.resolve(Unknown(submission))
    receipt(engine, Status.DELIVERED, "c1")
    assert sent.status is Status.DELIVERED
    assert engine.turn() == []


def test_a_known_id_goes_before_any_reference() -> None:
    engine = Engine(echoes_reference=True)
    engine.lane()
    doubtful, sent = message(1), message(2)
    one, two = handed_over(engine, doubtful, sent)
    engine.resolve(Unknown(one), Sent(two, "c2", "c2"))
    receipt(engine, Status.DELIVERED, "c2", token=257)
    assert (doubtful.status, sent.status) == (Status.QUEUED, Status.DELIVERED)


@pytest.mark.parametrize("match_id", ["", "c9"])
def test_a_reference_that_names_nothing_in_doubt_changes_nothing(match_id: str) -> None:
    engine, once, _ = held()
    receipt(engine, Status.DELIVERED, match_id, token=513)
    receipt(engine, Status.DELIVERED, match_id, to="+40700000009")
    assert once.status is Status.SENDING
    engine.commit()
    assert engine.tickets == ["ticket", "ticket"]
    assert len(engine.dispatcher.settler.parked) == bool(match_id)
    assert engine.dispatcher.channels["a"].counters["unmatched"] == 2


def test_the_last_receipt_without_an_id_is_known_by_the_first() -> None:
    engine, once, _ = held()
    receipt(engine, Status.SENT)
    assert once.status is Status.SENT
    receipt(engine, Status.DELIVERED)
    assert once.status is Status.DELIVERED
    receipt(engine, Status.DELIVERED)
    engine.commit()
    assert engine.events[-2:] == [(1, EventKind.SENT), (1, EventKind.DELIVERED)]


def test_a_reference_is_the_second_name_of_what_was_sent_again() -> None:
    engine = Engine(echoes_reference=True)
    engine.lane()
    sent = message()
    (first,) = handed_over(engine, sent)
    engine.resolve(Unknown(first))
    (second,) = engine.turn()
    engine.resolve(Sent(second, "c2", "c2"))
    engine.commit()
    receipt(engine, Status.DELIVERED, "c1")
    assert sent.status is Status.DELIVERED


def test_a_reference_leads_to_the_journal_when_memory_has_forgotten() -> None:
    engine = Engine(echoes_reference=True)
    engine.lane()
    sent = message()
    (first,) = handed_over(engine, sent)
    engine.resolve(Unknown(first))
    (second,) = engine.turn()
    engine.resolve(Sent(second, "c2", "c2"))
    engine.dispatcher.settler.awaited.forget("a", "c2")
    engine.commit()
    named = Receipt("c1", Status.DELIVERED, None, 0, first.reference, first.to)
    engine.dispatcher.receive("a", [named], "ticket", engine.wall)
    (read,) = engine.reads(ReceiptRead)
    engine.answer(read)
    engine.commit()
    assert engine.tickets == []
    (read,) = engine.reads(ReceiptRead)
    assert read.match_ids == ("c2",)
    engine.answer(read, sent)
    engine.commit()
    assert (engine.tickets, engine.events[-1]) == (["ticket"], (1, EventKind.DELIVERED))


def test_two_copies_of_a_message_in_one_lookup_are_settled_once() -> None:
    """An intermediate receipt has brought it into memory from the journal; both last ones mean that copy."""
    engine = Engine()
    sent = message(
        status=Status.SENT,
        channel="a",
        sent_at_ms=WALL,
        segment_list=[Segment(1, Status.SENT, "c1", "c1", WALL)],
    )
    engine.dispatcher.receive("a", [Receipt("c1", Status.SENT)], "first", engine.wall)
    twice = [Receipt("c1", Status.DELIVERED)] * 2
    engine.dispatcher.receive("a", twice, "second", engine.wall)
    for read in engine.reads(ReceiptRead):
        engine.answer(read, sent)
    engine.commit()
    assert engine.events == [(1, EventKind.DELIVERED)]


def test_a_receipt_that_names_an_attempt_counts_though_that_channel_gives_none() -> None:
    engine, once, _ = held(receipts="none")
    receipt(engine, Status.DELIVERED, "r1")
    assert once.status is once.segment_list[0].status is Status.DELIVERED


def test_what_a_channel_of_whole_messages_was_about_to_get_has_not_left_with_one_segment() -> None:
    sent = Segment(1, Status.SENT, "c1", "c1", WALL, 0, None, "a")
    half = message(1, segments=2, status=Status.SENDING, channel="b", segment_list=[sent])
    engine = Engine(Recovery(leased=[half]))
    engine.dispatcher.channels["b"].capabilities = Capabilities(unit="message")
    engine.turn()
    assert half.status is Status.QUEUED
