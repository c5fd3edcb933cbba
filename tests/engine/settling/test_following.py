"""Overdue receipts are asked for, a few at a time; what is cancelled after it left is asked back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stentor.dispatch.dispatcher import Limits
from stentor.driver import Capabilities, Followed, Receipt
from stentor.errors import Refusal
from stentor.journal.records import OverdueRead, ReceiptRead
from stentor.message import EventKind, Message, Segment, Status
from stentor.outcome import Sent
from stentor.scheduling.lanes import Channel, Lane
from stentor.settling.following import ANSWER_S, QUESTIONS, Following
from tests.engine.dispatch.dispatch_engine import WALL, Engine, long_message, message

HORIZON_MS = 1_600_000
LIMITS = Limits(receipt_horizon_ms=HORIZON_MS)


def sent(key: int, at_ms: int = WALL, channel: str = "a", segments: int = 1, **more) -> Message:
    segment_list = [
        Segment(index, Status.SENT, f"C{key}-{index}", f"c{key}-{index}", at_ms)
        for index in range(1, segments + 1)
    ]
    make = message if segments == 1 else long_message
    return make(key, status=Status.SENT, channel=channel, sent_at_ms=at_ms, segment_list=segment_list, **more)


def engine_that_asks(**more) -> Engine:
    engine = Engine(limits=LIMITS, **({"query_after_s": 100.0} | more))
    engine.lane()
    engine.turn()
    return engine


def answer(engine: Engine, *messages: Message) -> list[tuple[str, list[Followed]]]:
    """Answer what is to be read now, as the journal would; the questions that follow."""
    while reads := engine.reads(OverdueRead):
        for read in reads:
            found = sorted(
                (each.sent_at_ms, each.key, each)
                for each in messages
                if each.status is Status.SENT
                and not each.final_at_ms
                and each.channel == read.channel
                and (each.sent_at_ms, each.key) > read.after
                and each.sent_at_ms < read.before_ms
            )
            engine.answer(read, *[each for _, _, each in found[: read.limit]])
        engine.turn()
    return list(engine.dispatcher.take_questions())


def test_a_receipt_is_asked_for_when_it_is_late_and_again_after_growing_pauses() -> None:
    engine = engine_that_asks()
    answer(engine)
    late, asked = sent(1, engine.wall), []
    for _ in range(HORIZON_MS // 1000):
        engine.wait(1)
        engine.turn()
        for channel, segments in answer(engine, late):
            asked.append(engine.wall - WALL)
            assert (channel, segments) == ("a", [Followed(257, "C1-1", "c1-1", "1234", "+40700000001")])
    assert len(asked) == 4
    for at_ms, age_ms in zip(asked, (100_000, 200_000, 400_000, 800_000), strict=True):
        assert age_ms <= at_ms <= age_ms * 1.3, "at once, twice, four and eight times the age"


def test_a_channel_that_is_not_to_be_asked_is_not() -> None:
    engine = engine_that_asks(query_after_s=0.0)
    engine.wait(1000)
    engine.turn()
    assert engine.reads(OverdueRead) == []
    assert engine.dispatcher.queue_lengths()["open questions"][:2] == (0, 0)


def test_one_that_is_down_is_asked_when_it_is_up_again() -> None:
    engine = engine_that_asks()
    answer(engine)
    engine.dispatcher.remove_lane("a", "1", engine.now, engine.wall)
    late = sent(1, engine.wall)
    engine.wait(150)
    engine.turn()
    assert answer(engine, late) == []
    engine.lane()
    engine.turn()
    assert len(answer(engine, late)) == 1


def test_a_start_asks_about_each_segment_once() -> None:
    engine = Engine(limits=LIMITS, query_after_s=100.0)
    old = [sent(key, WALL - key * 90_000) for key in range(1, 15)]
    engine.lane()
    engine.turn()
    ((_, segments),) = answer(engine, *old)
    assert sorted(segment.token >> 8 for segment in segments) == list(range(2, 15)), (
        "all but the one that is not late"
    )


def test_few_questions_are_open_and_the_longest_overdue_go_first() -> None:
    engine = engine_that_asks()
    answer(engine)
    late = [sent(key, engine.wall + key) for key in range(1, 51)]
    engine.wait(126)
    engine.turn()
    ((_, first),) = answer(engine, *late)
    assert [segment.token >> 8 for segment in first] == list(range(1, QUESTIONS + 1))
    assert engine.dispatcher.queue_lengths()["open questions"][:2] == (QUESTIONS, 2 * QUESTIONS)
    engine.wait(1)
    engine.turn()
    assert answer(engine, *late) == []
    for match_id in ("c1-1", "c2-1"):
        engine.dispatcher.receive("a", [Receipt(match_id, Status.DELIVERED)], match_id, engine.wall)
    for read in engine.reads(ReceiptRead):
        engine.answer(read, *late[:2])
    engine.commit()
    engine.turn()
    ((_, second),) = answer(engine, *late[2:])
    assert [segment.token >> 8 for segment in second] == [QUESTIONS + 1, QUESTIONS + 2]
    assert engine.dispatcher.next_wake(engine.now, engine.wall) <= engine.now + ANSWER_S
    engine.wait(ANSWER_S)
    engine.turn()
    ((_, third),) = answer(engine, *late[2:])
    assert len(third) == QUESTIONS, "nobody answers, so others have their turn"


def test_segments_whose_receipts_came_are_not_asked_about() -> None:
    engine = engine_that_asks()
    answer(engine)
    half = sent(1, engine.wall, segments=2)
    half.segment_list[0].final_at_ms, half.segment_list[0].match_id = 1, None
    elsewhere = sent(2, engine.wall, segments=2)
    elsewhere.segment_list[1].channel = "b"
    engine.wait(130)
    engine.turn()
    ((_, segments),) = answer(engine, half, elsewhere)
    assert [segment.token for segment in segments] == [258, 513]


def test_a_message_that_ended_while_it_was_looked_for_is_not_asked_about() -> None:
    engine = engine_that_asks()
    answer(engine)
    late = sent(1, engine.wall)
    engine.wait(130)
    engine.turn()
    (read, *_) = engine.reads(OverdueRead)
    engine.dispatcher.receive("a", [Receipt("c1-1", Status.DELIVERED)], "ticket", engine.wall)
    for lookup in engine.reads(ReceiptRead):
        engine.answer(lookup, late)
    engine.answer(read, late)
    assert list(engine.dispatcher.take_questions()) == []


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 3_000_000), st.integers(1, 2)), max_size=60),
    st.sampled_from([7.0, 60.0, 900.0]),
    st.lists(st.integers(1, 200_000), min_size=20, max_size=60),
)
def test_each_segment_is_asked_about_once_at_each_of_its_ages(messages, query_after_s: float, steps) -> None:
    """Against the ages themselves; the questions are answered at once, with nothing."""
    channel = Channel("a", "test", Capabilities(query_after_s=query_after_s), 0.0, 0.0)
    channel.lanes["1"] = Lane(channel, "1", 1, 0.0, 0.0)
    channel.refresh()
    following = Following({"a": channel}, lambda stored: stored)
    rows = [sent(key, WALL + at_ms, segments=segments) for key, (at_ms, segments) in enumerate(messages, 1)]
    asked: dict[int, list[int]] = {}
    now_ms = 0
    for step in (0, *steps):
        now_ms += step
        while reads := list(following.tick(now_ms / 1000, WALL + now_ms, HORIZON_MS)):
            for read in reads:
                found = [each for each in sorted(rows, key=lambda each: (each.sent_at_ms, each.key))
                         if (each.sent_at_ms, each.key) > read.after and each.sent_at_ms < read.before_ms]  # fmt: skip
                following.found(read, found[: read.limit])
                assert len(following.asked) <= QUESTIONS
            for _, segments in following.take_questions():
                for segment in segments:
                    asked.setdefault(segment.token, []).append(WALL + now_ms)
            following.asked.clear()
    for each in rows:
        ages = [query_after_s * 1000 * 2**level for level in range(20)]
        due = sum(age < HORIZON_MS and each.sent_at_ms + age < WALL + now_ms - 300_001 for age in ages)
        past = sum(age < HORIZON_MS and each.sent_at_ms + age < WALL + now_ms for age in ages)
        for index in range(1, each.segments + 1):
            times = asked.get(each.key + index, [])
            assert due <= len(times) <= past
            assert all(at_ms - each.sent_at_ms >= query_after_s * 1000 for at_ms in times)


# -- withdrawing ----------------------------------------------------------------------------------------------------


def test_what_left_and_is_cancelled_is_asked_back_and_the_answer_says_so() -> None:
    engine = Engine(can_cancel=True)
    engine.lane()
    left = long_message()
    engine.accept(left)
    first, second = engine.turn()
    engine.resolve(Sent(first, "C1", "c1"), Sent(second, "C2", "c2"))
    engine.dispatcher.receive("a", [Receipt("c1", Status.DELIVERED)], "ticket", engine.wall)
    engine.commit()
    with pytest.raises(Refusal) as refused:
        engine.dispatcher.cancel(left, engine.wall)
    assert (refused.value.code, refused.value.status) == ("withdrawal_requested", 409)
    assert engine.dispatcher.take_withdrawals() == [
        ("a", [Followed(258, "C2", "c2", "1234", "+40700000001")])
    ]
    assert engine.dispatcher.take_withdrawals() == []
    engine.dispatcher.receive("a", [Receipt("c2", Status.CANCELLED)], "ticket", engine.wall)
    engine.commit()
    assert left.status is Status.CANCELLED
    assert engine.events[-1] == (1, EventKind.CANCELLED)


@pytest.mark.parametrize("why", ["cannot", "down", "final", "under way", "no receipt to come"])
def test_where_nobody_can_be_asked_it_has_simply_left(why: str) -> None:
    engine = Engine(can_cancel=why != "cannot", receipts="none" if why == "no receipt to come" else "segment")
    engine.lane()
    left = message()
    engine.accept(left)
    (submission,) = engine.turn()
    if why != "under way":
        engine.resolve(Sent(submission, "c1", "c1"))
    if why == "down":
        engine.dispatcher.remove_lane("a", "1", engine.now, engine.wall)
    if why == "final":
        engine.dispatcher.receive("a", [Receipt("c1", Status.DELIVERED)], "ticket", engine.wall)
    with pytest.raises(Refusal) as refused:
        engine.dispatcher.cancel(left, engine.wall)
    assert (refused.value.code, refused.value.status) == ("already_left", 409)
    assert engine.dispatcher.take_withdrawals() == []
