"""A message over channels that take texts in different ways: what is sent, and what it is said to be."""

import copy

import pytest

from stentor.driver import Capabilities, Receipt
from stentor.message import Delivery, Message, Segment, Status
from stentor.outcome import Deferred, Returned, Sent, Submission, Unknown
from stentor.text import gsm0338
from stentor.text.coding import Alphabet, Coding
from stentor.text.languages import Language
from stentor.text.national import Shift, tables
from stentor.text.segments import Encoding
from tests.engine.dispatch.dispatch_engine import WALL, Engine, message

GSM7, UCS2, LATIN1, BINARY = Encoding.GSM7, Encoding.UCS2, Encoding.LATIN1, Encoding.BINARY
NARROW, WIDE = Coding(), Coding(wide_reference=True)
NO_SEPTETS, TURKISH = Coding(Alphabet.UCS2), Coding(languages=(Language.TURKISH,))
WHOLE = Capabilities(unit="message")
TEXT = "0123456789" * 31


def pair(first: Coding | Capabilities, second: Coding | Capabilities) -> Engine:
    """An engine whose channels a and b take texts so; both are up."""
    engine = Engine()
    for name, given in (("a", first), ("b", second)):
        taken = given if isinstance(given, Capabilities) else Capabilities(coding=given)
        engine.dispatcher.channels[name].capabilities = taken
        engine.lane(name, 50)
    return engine


def handed_over(engine: Engine) -> list[Submission]:
    """All that is handed over, now and when pauses have passed, without an answer."""
    handed = engine.turn()
    engine.wait(60)
    while more := engine.turn():
        handed += more
    return handed


def fail_over(engine: Engine) -> list[Submission]:
    """Channel a goes down; what is handed over then, over b."""
    engine.lane("a", 0)
    return handed_over(engine)


def joined(submissions: list[Submission]) -> str:
    """The text as a handset reads it from segments of one reference and total, whatever their order."""
    parts = {}
    for each in submissions:
        header = each.udh
        assert header[1] in (0, 8)
        width = header[1] // 8 + 1
        parts[header[4 + width]] = (header[: 4 + width], each)
    total = len(parts)
    assert len({head for head, _ in parts.values()}) == 1
    assert sorted(parts) == list(range(1, total + 1))
    assert all(each.udh[3 + each.udh[1] // 8 + 1] == total for each in submissions)
    text = ""
    for number in range(1, total + 1):
        each = parts[number][1]
        text += gsm0338.decode(each.data) if each.encoding is GSM7 else each.data.decode("utf-16-be")
    return text


def sent(submission: Submission) -> Sent:
    return Sent(submission, f"id{submission.index}", f"id{submission.index}")


def long(text: str = TEXT, segments: int = 3, **more) -> Message:
    return message(1, text=text, segments=segments, reference=0xA1B2, **more)


def test_a_message_none_of_which_is_sent_follows_the_channel_that_sends() -> None:
    engine = pair(NARROW, WIDE)
    one = long("x" * 306, 2)
    engine.accept(one)
    first = engine.turn()
    assert [len(each.data) for each in first] == [153, 153]
    engine.resolve(*(Returned(each) for each in first))
    second = fail_over(engine)
    assert [len(each.data) for each in second] == [152, 152, 2]
    assert {(each.segments, each.udh[:4].hex()) for each in second} == {(3, "060804a1")}
    assert (one.segments, one.encoding) == (3, GSM7)
    # Durable with the segments, or before them: what a crash leaves is of one piece.
    commit = engine.begin()
    assert commit is not None
    assert commit.changed[one.key].segments == 3


@pytest.mark.parametrize("sent_first", [(1,), (2,), (1, 2), (1, 3), (2, 3)])
@pytest.mark.parametrize(("first", "second"), [(NARROW, WIDE), (WIDE, NARROW), (NARROW, NO_SEPTETS)])
def test_a_half_sent_message_is_completed_as_it_was_begun(
    first: Coding, second: Coding, sent_first: tuple[int, ...]
) -> None:
    engine = pair(first, second)
    one = long()
    engine.accept(one)
    begun = engine.turn()
    done = [each for each in begun if each.index in sent_first]
    engine.resolve(*(sent(each) for each in done))
    engine.resolve(*(Deferred(each, "carrier_busy") for each in begun if each not in done))
    rest = fail_over(engine)
    assert {each.index for each in rest} == {1, 2, 3} - set(sent_first)
    assert joined(done + rest) == TEXT
    assert (one.segments, one.encoding) == (3, GSM7)
    engine.resolve(*(sent(each) for each in rest))
    assert one.status is Status.SENT


def test_a_half_sent_message_is_completed_as_it_was_begun_after_a_restart() -> None:
    engine = pair(NARROW, WIDE)
    one = long()
    engine.accept(one)
    begun = engine.turn()
    engine.resolve(sent(begun[0]))
    engine.commit()
    kept = copy.deepcopy(one)
    kept.status = Status.QUEUED

    later = pair(NARROW, WIDE)
    later.lane("a", 0)
    later.accept(kept)
    rest = later.turn()
    assert [each.index for each in rest] == [2, 3]
    assert joined([begun[0], *rest]) == TEXT


def test_what_another_channel_went_on_with_is_completed_as_the_first_began_it() -> None:
    engine = pair(WIDE, NARROW)
    one = long()
    engine.accept(one)
    begun = engine.turn()
    kept = copy.deepcopy(one)
    kept.status = Status.QUEUED
    # The other channel's segment stands before that of the one which began.
    kept.segment_list = [
        Segment(1, Status.SENT, "d1", "d1", WALL + 9, channel="b"),
        Segment(2, Status.SENT, "c2", "c2", WALL, channel="a"),
    ]

    later = pair(WIDE, NARROW)
    later.lane("a", 0)
    later.accept(kept)
    (rest,) = later.turn()
    assert (rest.index, rest.udh, rest.data) == (3, begun[2].udh, begun[2].data)


def test_what_began_over_a_channel_that_is_gone_is_completed_all_the_same() -> None:
    engine = pair(WIDE, NARROW)
    one = long()
    engine.accept(one)
    begun = engine.turn()
    engine.resolve(sent(begun[0]))
    engine.resolve(*(Unknown(each) for each in begun[1:]))
    engine.dispatcher.remove_channel("a", engine.now, engine.wall)
    rest = handed_over(engine)
    # Both widths make three segments: the one of the channel that sends is as good a guess as any.
    assert [each.index for each in rest] == [2, 3]
    one_more = pair(Coding(languages=(Language.TURKISH,)), NO_SEPTETS)
    other = long("ş" * 200 + "x" * 100, 3)
    other.segments = 3
    one_more.accept(other)
    begun = one_more.turn()
    assert (other.encoding, len(begun)) == (GSM7, other.segments)
    one_more.resolve(sent(begun[0]))
    one_more.resolve(*(Unknown(each) for each in begun[1:]))
    one_more.dispatcher.remove_channel("a", one_more.now, one_more.wall)
    rest = handed_over(one_more)
    assert "".join(tables(Shift(locking=1)).decode(each.data) for each in [begun[0], *rest]) == other.text


def test_what_cannot_be_completed_goes_anew_and_old_receipts_say_nothing() -> None:
    engine = pair(NARROW, NO_SEPTETS)
    one = long()
    engine.accept(one)
    begun = engine.turn()
    engine.resolve(sent(begun[0]))
    engine.resolve(*(Unknown(each) for each in begun[1:]))
    one.segments = 7  # as no channel ever cut this text
    rest = fail_over(engine)
    assert [each.index for each in rest] == [1, 2, 3, 4, 5]
    assert {each.encoding for each in rest} == {UCS2}
    assert joined(rest) == TEXT
    engine.commit()
    engine.dispatcher.receive("a", [Receipt("id1", Status.UNDELIVERED)], "ticket", engine.wall)
    assert one.segment_list == []


def test_a_driver_of_whole_messages_is_given_all_of_what_was_half_sent() -> None:
    engine = pair(NARROW, WHOLE)
    one = long()
    engine.accept(one)
    begun = engine.turn()
    engine.resolve(sent(begun[1]))
    engine.resolve(Deferred(begun[0], "carrier_busy"), Deferred(begun[2], "carrier_busy"))
    (whole,) = fail_over(engine)
    assert (whole.text, whole.index, whole.segments) == (TEXT, 1, 3)
    engine.resolve(Sent(whole, "w", "w"))
    engine.commit()
    assert [(segment.index, segment.carrier_id) for segment in one.segment_list] == [(1, "w")]
    # A late word about the part that went before does not speak for the message.
    engine.dispatcher.receive("a", [Receipt("id2", Status.UNDELIVERED)], "early", engine.wall)
    assert one.status is Status.SENT
    engine.dispatcher.receive("b", [Receipt("w", Status.DELIVERED)], "late", engine.wall)
    assert one.status is Status.DELIVERED


@pytest.mark.parametrize("second", [NO_SEPTETS, WHOLE])
def test_of_what_goes_at_most_once_nothing_goes_anew(second) -> None:
    engine = pair(NARROW, second)
    one = long()
    one.delivery = Delivery.AT_MOST_ONCE
    engine.accept(one)
    assert engine.turn() == []
    engine.commit()
    begun = handed_over(engine)
    engine.resolve(sent(begun[0]), *(Deferred(each, "carrier_busy") for each in begun[1:]))
    engine.commit()
    if second is NO_SEPTETS:
        one.segments = 7  # as no channel ever cut this text
    assert fail_over(engine) == []
    engine.commit()
    assert handed_over(engine) == []
    assert (one.status, one.error.code) == (Status.FAILED, "begun_anew")
    assert [(segment.index, segment.status) for segment in one.segment_list] == [(1, Status.SENT)]


def test_what_goes_anew_is_taken_back_in_the_journal() -> None:
    engine = pair(NARROW, WHOLE)
    one = long()
    engine.accept(one)
    begun = engine.turn()
    engine.resolve(sent(begun[1]), Deferred(begun[0], "carrier_busy"), Deferred(begun[2], "carrier_busy"))
    engine.commit()
    fail_over(engine)
    commit = engine.begin()
    assert commit is not None
    _, segment = commit.segments[one.key + 2]
    assert (segment.status, segment.match_id) == (Status.QUEUED, None)
    assert [line.error.code for line in commit.history if line.error is not None] == ["begun_anew"]


@pytest.mark.parametrize(
    ("first", "second", "text", "told", "found"),
    [
        (NARROW, NO_SEPTETS, "m" * 160, (GSM7, 1), (UCS2, 3)),
        (NARROW, Coding(Alphabet.ASCII), "ü" * 160, (GSM7, 1), (UCS2, 3)),
        (NARROW, Coding(Alphabet.LATIN1), "ü" * 160, (GSM7, 1), (GSM7, 1)),
        (TURKISH, NARROW, "ş" * 100, (GSM7, 1), (UCS2, 2)),
        (NARROW, TURKISH, "ş" * 100, (UCS2, 2), (UCS2, 2)),
        (Coding(is_latin1_wanted=True), NARROW, "ê" * 100, (LATIN1, 1), (UCS2, 2)),
        (Coding(is_latin1_wanted=True), TURKISH, "ê" * 50, (LATIN1, 1), (UCS2, 1)),
    ],
)
def test_the_encoding_that_was_told_holds_unless_the_channel_cannot(first, second, text, told, found) -> None:
    engine = pair(first, second)
    one = message(1, text=text, encoding=told[0], segments=told[1], reference=7)
    engine.accept(one)
    begun = engine.turn()
    assert (one.encoding, one.segments, len(begun)) == (*told, told[1])
    engine.resolve(*(Returned(each) for each in begun))
    rest = fail_over(engine)
    assert (one.encoding, one.segments, len(rest)) == (*found, found[1])
    assert {(each.encoding, each.segments) for each in rest} == {found}


def test_segments_of_what_was_told_to_be_one_have_a_reference_of_their_own() -> None:
    engine = pair(NO_SEPTETS, NARROW)
    made = [message(number << 12, text="m" * 160, segments=1, encoding=GSM7) for number in range(1, 200)]
    engine.lane("a", 1000)
    engine.accept(*made)
    first = [each for each in handed_over(engine) if each.index == 1]
    assert len(first) > 16
    assert len({each.udh[3] for each in first}) == len(first)


def test_what_a_channel_cannot_carry_ends_and_its_neighbours_go() -> None:
    engine = pair(NO_SEPTETS, NARROW)
    text = "m" * 153 * 255
    one, two = message(1, text=text, segments=255), message(2)
    engine.accept(one, two)
    assert [each.token for each in engine.turn()] == [two.key + 1]
    assert one.status is Status.FAILED
    assert one.error is not None
    assert one.error.code == "bad_content"
    assert "583 segments" in one.error.detail
    assert (one.segments, one.encoding) == (255, GSM7)
    assert one.key not in engine.dispatcher.backlog.open


def test_data_whose_header_leaves_no_room_for_a_wide_reference_end() -> None:
    engine = pair(WIDE, NARROW)
    udh = bytes((132, 0x70, 130)) + bytes(130)
    one = message(1, text=None, data=b"1234" * 5, udh=udh, encoding=BINARY, segments=10)
    engine.accept(one)
    assert engine.turn() == []
    assert one.status is Status.FAILED


def test_at_most_once_is_leased_with_what_is_really_sent() -> None:
    engine = pair(NO_SEPTETS, NARROW)
    one = message(1, text="m" * 71, delivery=Delivery.AT_MOST_ONCE)
    engine.accept(one)
    assert engine.turn() == []
    commit = engine.begin()
    assert commit is not None
    assert (commit.changed[one.key].segments, commit.changed[one.key].encoding) == (2, UCS2)
    engine.committed()
    assert {(each.segments, each.encoding) for each in engine.turn()} == {(2, UCS2)}


def test_a_channel_that_is_not_configured_has_no_coding() -> None:
    engine = pair(WIDE, NARROW)
    assert engine.dispatcher.coding("a") == WIDE
    assert engine.dispatcher.coding("nowhere") is None
