"""The table of what is in doubt, by all the names under which something may tell of it."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from stentor.driver import Capabilities
from stentor.message import Message, Priority
from stentor.outcome import Submission, reference_of
from stentor.scheduling.lanes import Channel
from stentor.settling.doubts import Doubt, Doubts
from stentor.text.segments import Encoding
from tests.engine.dispatch.dispatch_engine import long_message, message

CHANNEL = Channel("a", "test", Capabilities(), 0.0, 0.0)


def submission(of: Message, index: int = 1) -> Submission:
    return Submission(
        of.key + index, 1, of.to, of.originator, Encoding.GSM7, b"", b"", index, of.segments, True, 60, Priority.NORMAL
    )  # fmt: skip


def doubt(of: Message, index: int = 1, at_ms: int = 0, reference: int | None = None) -> Doubt:
    name = None if reference is None else ("a", reference, of.to)
    return Doubt(of.key + index, of, submission(of, index), CHANNEL, "a", at_ms, name)


def test_a_doubt_is_found_by_its_very_submission() -> None:
    doubts, sent = Doubts(10), message()
    first, second = doubt(sent), doubt(sent)
    doubts.add(first)
    doubts.add(second)
    assert first.submission is not None
    assert doubts.of(first.submission) is first
    assert doubts.of(submission(sent)) is None, "equal, but not the one that was handed over"
    doubts.remove(first)
    assert doubts.of(first.submission) is None
    assert len(doubts) == 1


def test_a_reference_names_a_doubt_unless_two_segments_bear_it() -> None:
    doubts, one, other = Doubts(10), message(1), message(2)
    first, again, stranger = doubt(one, reference=7), doubt(one, reference=7), doubt(other, reference=7)
    doubts.add(first)
    assert doubts.named("a", 7, one.to) is first
    doubts.add(again)
    assert doubts.named("a", 7, one.to) is again, "two attempts at one segment are one"
    doubts.add(stranger)
    assert (doubts.named("a", 7, one.to), doubts.ambiguous) == (None, 1)
    for asked in (("b", 7, one.to), ("a", 8, one.to), ("a", 7, "+1")):
        assert doubts.named(*asked) is None
    doubts.drop(one)
    assert doubts.named("a", 7, one.to) is stranger
    assert doubts.ambiguous == 1


def test_an_answered_doubt_goes_by_its_id_and_its_submission_no_longer() -> None:
    doubts, sent = Doubts(10), message()
    late = doubt(sent)
    doubts.add(late)
    doubts.answer(late, "c1")
    assert late.submission is not None
    assert doubts.of(late.submission) is None
    assert doubts.answered("a", "c1") is late
    doubts.remove(late)
    assert doubts.answered("a", "c1") is None


def test_beyond_the_bound_the_oldest_makes_room() -> None:
    doubts = Doubts(2)
    all_ = [doubt(message(key), at_ms=key) for key in (1, 2, 3)]
    assert [doubts.add(each) for each in all_] == [None, None, all_[0]]
    assert (len(doubts), doubts.dropped, doubts.oldest_at_ms) == (2, 1, 2)
    assert doubts.expire(3) == [all_[1]]
    assert doubts.expire(3) == []


def test_a_message_may_be_named_while_each_of_its_doubts_has_a_name() -> None:
    doubts, sent = Doubts(10), long_message()
    doubts.add(doubt(sent, 1, reference=1))
    doubts.add(doubt(sent, 2))
    assert doubts.may_be_named([257])
    assert not doubts.may_be_named([257, 258])
    assert not doubts.may_be_named([257, 600])
    assert len(doubts.about(sent)) == 2


@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.integers(1, 2), st.integers(0, 2), st.integers(0, 4)), max_size=40
    )
)
def test_the_table_is_what_a_list_would_be(steps) -> None:
    """Added, dropped with their messages, expired and evicted, against a list in order of age."""
    doubts, model = Doubts(5), []
    messages = {key: long_message(key) for key in range(1, 5)}
    for at_ms, (key, index, reference, action) in enumerate(steps):
        if action == 3:
            doubts.drop(messages[key])
            model = [each for each in model if each.message is not messages[key]]
        elif action == 4:
            assert doubts.expire(at_ms - 3) == [each for each in model if each.at_ms < at_ms - 3]
            model = [each for each in model if each.at_ms >= at_ms - 3]
        else:
            new = doubt(messages[key], index, at_ms, reference or None)
            evicted = doubts.add(new)
            model.append(new)
            assert evicted is (model.pop(0) if len(model) > 5 else None)
        assert len(doubts) == len(model)
        assert {each for found in doubts.by_key.values() for each in found} == set(model)
        for key, found in doubts.by_key.items():
            assert found == [each for each in model if each.message.key == key]
        for each in model:
            assert doubts.of(each.submission) is each
            same = [other for other in model if other.name and other.name == each.name]
            if each.name:
                found = doubts.named(*each.name)
                assert found is (same[-1] if len({other.token for other in same}) == 1 else None)
        assert doubts.oldest_at_ms == (model[0].at_ms if model else 0)


def test_references_of_messages_that_follow_each_other_slowly_differ() -> None:
    """Keys of messages a millisecond or more apart share their low twelve bits."""
    tokens = [(1_800_000_000_000 - 1_577_836_800_000 + ms << 12) << 8 | 1 for ms in range(0, 2_000, 7)]
    assert len({reference_of(token, 1) for token in tokens}) > 0.99 * len(tokens)
    assert len({reference_of((5 << 20) + index, 1) for index in range(1, 256)}) == 255
    assert len({reference_of(5 << 20 | 1, attempt) for attempt in range(1, 200)}) == 199


def test_what_was_cut_otherwise_is_in_doubt_no_longer_unless_it_holds_all_of_the_message() -> None:
    doubts, short, long = Doubts(10), message(1), long_message(2)
    for of in (short, long):
        doubts.add(doubt(of))
        doubts.cut_anew(of, [submission(of)])
    assert len(doubts) == 2
    for of in (short, long):
        doubts.cut_anew(of, [replace(submission(of), data=b"\0x", encoding=Encoding.UCS2)])
    assert (len(doubts.about(short)), doubts.about(long)) == (1, [])
    whole = replace(submission(long), text=long.text)
    doubts.add(Doubt(long.key + 1, long, whole, CHANNEL, "a", 0))
    doubts.cut_anew(long, [replace(whole, data=b"its own way")])
    assert len(doubts.about(long)) == 1
    doubts.cut_anew(long, [replace(submission(long, index), data=b"x") for index in (1, 2)])
    assert doubts.about(long) == []


def test_what_nobody_knows_the_octets_of_is_no_part_of_anything() -> None:
    doubts, sent = Doubts(10), message()
    doubts.add(Doubt(257, sent, None, CHANNEL, "a", 0))
    doubts.cut_anew(sent, [submission(sent)])
    assert len(doubts) == 0
