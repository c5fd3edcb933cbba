"""A start goes on with what a killed daemon had in flight: nothing that may have left is sent again in silence."""

import copy

import pytest

from stentor.dispatch.dispatcher import Dispatcher, Limits
from stentor.driver import Capabilities, Receipt
from stentor.ids import IdGenerator
from stentor.journal.flight_record import MOST_SLOTS, FlightRecord, Noted, channel_mark
from stentor.journal.records import BacklogKey, BacklogRead, ReceiptRead, Recovery
from stentor.message import Error, EventKind, Message, Segment, Status
from stentor.outcome import (
    Deferred,
    Outcome,
    Refused,
    Returned,
    Scope,
    Sent,
    Submission,
    Unknown,
    reference_of,
)
from stentor.retry import RetryPolicy
from stentor.text.coding import Alphabet, Coding
from stentor.text.segments import Encoding
from tests.engine.dispatch.dispatch_engine import ONCE, WALL, Engine, long_message, message


def noted(token: int = 257, attempt: int = 1, channel: str = "a") -> Noted:
    return Noted(token, attempt, channel_mark(channel))


def started(*departed: Message, record: list[Noted] | None = None, **capabilities: object) -> Engine:
    """A daemon that finds these messages queued in the journal, and so much in the record."""
    queued = [each for each in departed if each.status is Status.QUEUED and each.strand >= 0]
    engine = Engine(
        Recovery(
            backlog={BacklogKey(("a", "b"), 2): len(queued)} if queued else {},
            leased=[each for each in departed if each.status is Status.SENDING],
            noted=[noted()] if record is None else record,
            departed=list(departed),
            last_key=1 << 20,
        ),
        **capabilities,
    )
    engine.lane("a")
    return engine


def lines(engine: Engine) -> list[tuple[int, str, str]]:
    """Attempt, channel and error of what the next commit adds to timelines."""
    commit = engine.dispatcher.ledger.commit
    return [(line.attempt, line.channel, line.error.code) for line in commit.history if line.error]


# -- what a start makes of it -----------------------------------------------------------------------------------------


def test_an_attempt_without_a_result_counts_and_is_told_of_and_made_again() -> None:
    lost = message(channel="b")
    engine = started(lost)
    assert lines(engine) == [(1, "a", "no_answer")]
    assert (lost.attempts, lost.status, len(engine.dispatcher.backlog)) == (1, Status.QUEUED, 1)
    (again,) = engine.turn()
    assert (again.token, again.attempt) == (257, 2)
    engine.resolve(Sent(again, "c1", "c1"))
    engine.commit()
    assert engine.events == [(1, EventKind.SENT)]
    assert len(engine.dispatcher.backlog) == 0


def test_a_message_being_sent_by_its_record_is_treated_the_same() -> None:
    engine = started(lost := message(status=Status.SENDING, channel="a"))
    assert lines(engine) == [(1, "a", "no_answer")]
    assert [each.attempt for each in engine.turn()] == [2]
    assert lost.attempts == 1


@pytest.mark.parametrize(
    ("settled", "record"),
    [
        (message(attempts=1), [noted()]),
        (message(strand=-1), [noted()]),
        (message(status=Status.SCHEDULED), [noted()]),
        (long_message(segment_list=[Segment(1, Status.SENT, "c", "c", WALL, channel="a")]), [noted()]),
        (message(), []),
        (message(), [noted(513)]),
    ],
    ids=[
        "its result is known",
        "held back since",
        "postponed since",
        "that segment is sent",
        "nothing",
        "another",
    ],
)
def test_what_has_come_home_is_left_alone(settled: Message, record: list[Noted]) -> None:
    engine = started(copy.deepcopy(settled), record=record)
    assert lines(engine) == []
    assert not engine.dispatcher.ledger.commit.changed
    assert not engine.dispatcher.backlog.open


def test_at_most_once_is_left_to_its_lease() -> None:
    once = message(delivery=ONCE, status=Status.SENDING, channel="a")
    engine = started(once)
    assert (once.status, once.attempts) == (Status.UNKNOWN, 1)
    queued = message(delivery=ONCE)
    engine = started(queued)
    assert (queued.attempts, lines(engine)) == (0, [])


def asked(window: int = 10, **capabilities: object) -> tuple[Engine, Message, Submission]:
    """A daemon that was killed under an at-most-once message, and what its peer is asked."""
    once = message(delivery=ONCE, status=Status.SENDING, channel="a")
    engine = started(once, can_look_up=True, **capabilities)
    engine.turn()
    engine.commit()
    (question,) = engine.turn()
    return engine, once, question


def test_a_peer_that_can_be_asked_is_asked_about_the_same_attempt() -> None:
    engine, once, question = asked()
    assert (question.token, question.attempt, question.doubtful_since_ms) == (257, 1, WALL)
    assert (once.status, once.attempts) == (Status.SENDING, 0)
    engine.resolve(Sent(question, "c1", "c1"))
    assert (once.status, once.attempts) == (Status.SENT, 1)
    engine.commit()
    assert (engine.window_used(), engine.dispatcher.settler.repeats.bound) == (0, {})


def test_what_the_peer_certainly_has_not_is_sent() -> None:
    engine, once, question = asked()
    engine.resolve(Deferred(question, "carrier_error"))
    assert (once.status, once.attempts) == (Status.QUEUED, 1)
    engine.turn()
    engine.wait(120)
    engine.turn()
    engine.commit()
    (again,) = engine.turn()
    assert (again.attempt, again.doubtful_since_ms) == (2, 0)


def test_a_question_that_was_not_asked_is_handed_over_again() -> None:
    engine, once, question = asked()
    engine.resolve(Returned(question))
    engine.turn()
    engine.commit()
    (again,) = engine.turn()
    assert again == question
    assert once.status is Status.SENDING


def test_where_nobody_can_tell_it_stays_unknown() -> None:
    engine, once, question = asked()
    engine.resolve(Unknown(question))
    assert (once.status, once.attempts) == (Status.UNKNOWN, 1)
    assert engine.dispatcher.settler.repeats.bound == {}


def test_where_nobody_can_tell_a_receipt_may_still_name_it() -> None:
    engine, once, question = asked(echoes_reference=True)
    engine.resolve(Unknown(question))
    assert once.status is Status.SENDING
    receipt = Receipt("c1", Status.DELIVERED, None, 0, question.reference, once.to)
    engine.dispatcher.receive("a", [receipt], "ticket", engine.wall)
    (read,) = engine.reads(ReceiptRead)
    engine.answer(read)
    assert once.status is Status.DELIVERED


def test_a_receipt_may_be_quicker_than_the_question() -> None:
    engine, once, question = asked(echoes_reference=True)
    receipt = Receipt("c1", Status.DELIVERED, None, 0, question.reference, once.to)
    engine.dispatcher.receive("a", [receipt], "ticket", engine.wall)
    (read,) = engine.reads(ReceiptRead)
    engine.answer(read)
    engine.resolve(Sent(question, "c1", "c1"))
    assert once.status is Status.DELIVERED


def test_a_channel_that_cannot_look_up_any_more_is_not_handed_what_it_would_send() -> None:
    once = message(delivery=ONCE, status=Status.SENDING, channel="a")
    engine = started(once, can_look_up=True)
    engine.dispatcher.add_channel("a", "test", Capabilities(), 0.0, 0.0)
    assert engine.turn() == []
    engine.commit()
    assert (engine.turn(), once.status) == ([], Status.UNKNOWN)


def test_what_was_held_before_is_not_asked_about_again() -> None:
    held = message(delivery=ONCE, status=Status.SENDING, channel="a", attempts=1, error=Error("no_answer"))
    engine = started(held, can_look_up=True)
    assert held.status is Status.UNKNOWN
    assert engine.turn() == []


def test_of_a_long_message_only_what_was_in_flight_is_in_doubt() -> None:
    half = long_message(segment_list=[Segment(1, Status.SENT, "c1", "c1", WALL, channel="a")])
    engine = started(half, record=[noted(257), noted(258)], echoes_reference=True)
    assert lines(engine) == [(1, "a", "no_answer")]
    assert [doubt.token for doubt in engine.dispatcher.settler.holding.doubts.about(half)] == [258]
    assert [each.token for each in engine.turn()] == [258]


def test_what_another_channel_began_anew_is_in_doubt_though_the_first_had_sent_it() -> None:
    half = long_message(segment_list=[Segment(1, Status.SENT, "c1", "c1", WALL, channel="a")])
    engine = started(half, record=[noted(257, channel="b"), noted(258, channel="b")])
    assert lines(engine) == [(1, "b", "no_answer")]
    assert len(engine.dispatcher.settler.holding.doubts) == 0, "how it was cut is not known"


def test_a_late_receipt_that_names_the_attempt_settles_it() -> None:
    lost = message()
    engine = started(lost, echoes_reference=True)
    receipt = Receipt("c1", Status.DELIVERED, None, 0, reference_of(257, 1), lost.to)
    engine.dispatcher.receive("a", [receipt], "ticket", engine.wall)
    (read,) = engine.reads(ReceiptRead)
    engine.answer(read)
    assert (lost.status, engine.turn()) == (Status.DELIVERED, [])
    engine.commit()
    assert engine.events == [(1, EventKind.SENT), (1, EventKind.DELIVERED)]
    assert len(engine.dispatcher.backlog) == 0


WHOLE, NARROW, WIDE = (
    Capabilities(unit="message"),
    Capabilities(),
    Capabilities(coding=Coding(wide_reference=True)),
)


@pytest.mark.parametrize(
    ("before", "then", "is_settled"),
    [(WHOLE, NARROW, False), (NARROW, WHOLE, False), (WIDE, NARROW, False), (NARROW, NARROW, True)],
    ids=["whole, then parts", "parts, then whole", "parts cut otherwise", "parts cut alike"],
)
def test_what_another_channel_cuts_otherwise_is_not_completed_by_a_receipt_for_what_left_before(
    before: Capabilities, then: Capabilities, *, is_settled: bool
) -> None:
    lost = long_message()
    engine = started(
        lost, record=[noted(channel="b")], unit=before.unit, coding=before.coding, echoes_reference=True
    )
    engine.dispatcher.channels["a"].capabilities = then
    again = engine.turn()
    assert {each.token for each in again} == ({257} if then is WHOLE else {257, 258})
    receipt = Receipt("c1", Status.DELIVERED, None, 0, reference_of(257, 1), lost.to)
    engine.dispatcher.receive("b", [receipt], "ticket", engine.wall)
    (read,) = engine.reads(ReceiptRead)
    engine.answer(read)
    told = [(segment.index, segment.channel, segment.status) for segment in lost.segment_list]
    assert told == ([(1, "b", Status.DELIVERED)] if is_settled else [])


def test_what_was_in_flight_is_as_many_segments_as_its_channel_made_of_it() -> None:
    """That its message had followed the channel was not durable yet."""
    lost = message(text="x" * 100)
    record = [noted(257), noted(258)]
    engine = started(lost, record=record, coding=Coding(Alphabet.UCS2), echoes_reference=True)
    receipt = Receipt("c2", Status.DELIVERED, None, 0, reference_of(258, 1), lost.to)
    engine.dispatcher.receive("a", [receipt], "ticket", engine.wall)
    (read,) = engine.reads(ReceiptRead)
    engine.answer(read)
    assert (lost.status, lost.segments) == (Status.QUEUED, 2)
    assert [(each.token, each.encoding) for each in engine.turn()] == [(257, Encoding.UCS2)]


def tell(engine: Engine, lost: Message, *named: tuple[str, int, int]) -> None:
    """Receipts come that name segments by channel, token and attempt, and bear ids that nobody knows."""
    for channel, token, attempt in named:
        reference = reference_of(token, attempt)
        receipt = Receipt(f"{token}-{attempt}", Status.DELIVERED, None, 0, reference, lost.to)
        engine.dispatcher.receive(channel, [receipt], "ticket", engine.wall)
        for read in engine.reads(ReceiptRead):
            engine.answer(read)


def test_of_attempts_that_were_cut_differently_only_the_last_can_be_completed_by_receipts() -> None:
    """Half of what one channel cut and half of what another did are no text on a handset."""
    lost = long_message()
    attempts = [noted(key, *each) for each in ((1, "b"), (2, "a")) for key in (257, 258)]
    other = Capabilities(coding=Coding(wide_reference=True), echoes_reference=True)
    engine = started(lost, record=attempts, other=other, echoes_reference=True)
    assert lines(engine) == [(1, "b", "no_answer"), (2, "a", "no_answer")]
    tell(engine, lost, ("b", 257, 1), ("a", 258, 2))
    assert (lost.status, [segment.index for segment in lost.segment_list]) == (Status.QUEUED, [2])
    tell(engine, lost, ("a", 257, 2))
    assert lost.status is Status.DELIVERED
    assert {segment.channel for segment in lost.segment_list} == {"a"}


@pytest.mark.parametrize(("wide", "known"), [(True, 0), (False, 1)])
def test_a_part_may_have_completed_what_another_channel_had_begun(*, wide: bool, known: int) -> None:
    """That some of it had been sent was not durable, so it was cut as nobody knows; unless all channels cut alike."""
    lost = long_message()
    other = Capabilities(coding=Coding(wide_reference=wide), echoes_reference=True)
    engine = started(lost, record=[noted(258)], other=other, echoes_reference=True)
    assert lines(engine) == [(1, "a", "no_answer")]
    assert len(engine.dispatcher.settler.holding.doubts) == known


def test_what_was_begun_anew_as_a_whole_does_not_complete_what_was_sent_in_parts() -> None:
    """That it had been begun anew was not durable, so the part that was sent still counts."""
    half = long_message(segment_list=[Segment(2, Status.SENT, "c1", "c1", WALL, channel="b")])
    engine = started(half, other=Capabilities(), unit="message", echoes_reference=True)
    assert lines(engine) == [(1, "a", "no_answer")]
    tell(engine, half, ("a", 257, 1))
    assert half.status is Status.QUEUED
    assert [(segment.index, segment.channel) for segment in half.segment_list] == [(2, "b")]


def test_what_its_channel_cannot_carry_any_more_is_in_doubt_no_longer() -> None:
    lost = message(text="x" * 200_000)
    engine = started(lost, echoes_reference=True)
    assert lines(engine) == [(1, "a", "no_answer")]
    assert len(engine.dispatcher.settler.holding.doubts) == 0


def test_an_idempotent_peer_is_given_the_same_attempt_and_the_timeline_says_why() -> None:
    lost = message()
    engine = started(lost, is_idempotent=True)
    assert lines(engine) == [(1, "a", "no_answer")]
    assert [each.attempt for each in engine.turn()] == [1]


def test_each_attempt_whose_result_was_not_written_is_told_of() -> None:
    lost = message(attempts=1)
    engine = started(lost, record=[noted(attempt=3, channel="b"), noted(attempt=2)])
    assert lines(engine) == [(2, "a", "no_answer"), (3, "b", "no_answer")]
    assert lost.attempts == 3


def test_attempts_that_are_used_up_by_it_end_the_message() -> None:
    lost = message(attempts=99)
    engine = started(lost, record=[noted(attempt=100)])
    engine.commit()
    assert (lost.status, engine.events) == (Status.FAILED, [(1, EventKind.FAILED)])
    assert engine.dispatcher.settler.counters["finished"] == 1
    assert not engine.dispatcher.backlog.open


def test_a_channel_that_is_configured_no_longer_leaves_a_doubt_that_nothing_settles() -> None:
    lost = message()
    engine = started(lost, record=[noted(channel="gone")])
    assert [(attempt, code) for attempt, _, code in lines(engine)] == [(1, "no_answer")]
    assert len(engine.dispatcher.settler.holding.doubts) == 0


def test_others_of_its_queue_are_read_as_before() -> None:
    engine = started(message(1), message(2))
    engine.turn()
    (read,) = engine.reads(BacklogRead)
    engine.answer(read, message(1), message(2))
    assert [(each.token, each.attempt) for each in engine.turn()] == [(513, 1)]


def test_the_record_is_kept_until_what_was_made_of_it_is_durable() -> None:
    before = Engine()
    before.lane()
    before.accept(message())
    before.turn()
    record = before.dispatcher.settler.record
    recovery = Recovery(backlog={BacklogKey(("a", "b"), 2): 1}, noted=record.noted, departed=[message()])
    again = Dispatcher(recovery, Limits(), RetryPolicy(), IdGenerator(bytes), lambda: 0.0, record=record)
    again.start(0.0, WALL)
    assert again.take_commit() is not None
    assert record.noted == [noted()]
    again.committed(0.0, WALL)
    assert record.noted == []


# -- what stands in it -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "is_struck_at_once"),
    [
        (lambda each: Sent(each, "c1", "c1"), False),
        (Unknown, False),
        (Returned, True),
        (lambda each: Deferred(each, "carrier_busy"), True),
        (lambda each: Deferred(each, "throttled", is_throttle=True), True),
        (lambda each: Refused(each, "bad_destination"), True),
        (lambda each: Refused(each, "no_credit", scope=Scope.CHANNEL), True),
    ],
)
def test_what_may_have_been_taken_stands_there_until_its_result_is_durable(
    outcome, is_struck_at_once
) -> None:
    engine = Engine()
    engine.lane()
    engine.accept(message())
    record = engine.dispatcher.settler.record
    (submission,) = engine.turn()
    assert record.noted == [noted()]
    result: Outcome = outcome(submission)
    engine.resolve(result)
    is_written = engine.begin() is not None
    assert len(record) == (not is_struck_at_once)
    if is_written:
        engine.committed()
    assert len(record) == 0


def test_a_doubt_about_one_of_several_segments_stands_there_until_the_attempt_is_over() -> None:
    engine = Engine()
    engine.lane()
    engine.accept(long_message())
    record = engine.dispatcher.settler.record
    first, second = engine.turn()
    engine.resolve(Unknown(first))
    engine.commit()
    assert {each.token for each in record.noted} == {257, 258}
    engine.resolve(Sent(second, "c2", "c2"))
    assert lines(engine) == [(1, "a", "no_answer")]
    engine.commit()
    assert record.noted == []


def test_a_failed_commit_strikes_nothing() -> None:
    engine = Engine()
    engine.lane()
    engine.accept(message())
    record = engine.dispatcher.settler.record
    (submission,) = engine.turn()
    engine.resolve(Sent(submission, "c1", "c1"))
    engine.begin()
    engine.dispatcher.commit_failed()
    assert len(record) == 1
    engine.commit()
    assert len(record) == 0


def test_an_attempt_made_before_the_last_ones_doubt_is_durable_has_a_slot_of_its_own() -> None:
    engine = Engine()
    engine.lane()
    engine.accept(message())
    record = engine.dispatcher.settler.record
    (submission,) = engine.turn()
    engine.resolve(Unknown(submission))
    engine.begin()
    assert [each.attempt for each in engine.turn()] == [2]
    assert {each.attempt for each in record.noted} == {1, 2}
    engine.committed()
    assert record.noted == [noted(attempt=2)]


def test_what_the_record_has_no_room_for_is_not_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine()
    engine.lane()
    monkeypatch.setattr(FlightRecord, "room", lambda self, wanted: min(wanted, 1 - len(self)))
    engine.accept(message(1), message(2), message(3, delivery=ONCE))
    engine.commit()
    (first,) = engine.turn()
    assert engine.turn() == []
    engine.resolve(Sent(first, "c1", "c1"))
    engine.commit()
    assert len(engine.turn()) == 1
    assert engine.dispatcher.queue_lengths()["record of flights"][:2] == (1, MOST_SLOTS)


def test_a_second_doubt_of_an_attempt_is_told_of_though_something_else_weighs_more() -> None:
    engine = Engine()
    engine.lane()
    engine.accept(long_message())
    first, second = engine.turn()
    engine.resolve(Unknown(first), Deferred(second, "carrier_busy"))
    assert lines(engine) == [(1, "a", "no_answer"), (1, "a", "carrier_busy")]
