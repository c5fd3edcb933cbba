"""From a message to what drivers are handed."""

import pytest

from stentor.dispatch.expand import expand
from stentor.driver import Capabilities
from stentor.message import Message, Segment, Status
from stentor.text.coding import Coding
from stentor.text.segments import Encoding

SEGMENT, WIDE, WHOLE = (
    Capabilities(),
    Capabilities(coding=Coding(wide_reference=True)),
    Capabilities(unit="message"),
)


def message(text: str | None, encoding: Encoding, segments: int = 1, **more) -> Message:
    return Message(
        256,
        0,
        "x",
        "+40700000001",
        "1234",
        text,
        encoding,
        segments,
        0,
        0,
        61_500,
        ("a",),
        reference=0x1234,
        **more,
    )


@pytest.mark.parametrize(
    ("made", "udh", "data"),
    [
        (message("a€", Encoding.GSM7), b"", b"a\x1be"),
        (message("", Encoding.GSM7), b"", b""),
        (message("aж", Encoding.UCS2), b"", b"\x00a\x04\x36"),
        (message("😀", Encoding.UCS2), b"", b"\xd8\x3d\xde\x00"),
        (message(None, Encoding.BINARY, data=b"\x00\xff"), b"", b"\x00\xff"),
        (message(None, Encoding.BINARY, data=b"x", udh=b"\x02\x70\x00"), b"\x02\x70\x00", b"x"),
        (message(None, Encoding.BINARY, udh=b"\x02\x70\x00"), b"\x02\x70\x00", b""),
    ],
)
def test_a_short_message_is_one_segment_without_a_header_of_ours(
    made: Message, udh: bytes, data: bytes
) -> None:
    (submission,) = expand(made, SEGMENT, 0)
    assert (submission.udh, submission.data, submission.token, submission.index) == (udh, data, 257, 1)


@pytest.mark.parametrize(
    ("capabilities", "udh", "size"),
    [(SEGMENT, b"\x05\x00\x03\x34\x03", 153), (WIDE, b"\x06\x08\x04\x12\x34\x03", 152)],
)
def test_a_long_message_is_cut_and_numbered(capabilities: Capabilities, udh: bytes, size: int) -> None:
    made = message("x" * 400, Encoding.GSM7, 3)
    submissions = expand(made, capabilities, 0)
    assert [each.token for each in submissions] == [257, 258, 259]
    assert [each.udh for each in submissions] == [udh + bytes([index]) for index in (1, 2, 3)]
    assert [len(each.data) for each in submissions] == [size, size, 400 - 2 * size]
    assert {each.segments for each in submissions} == {3}


def test_segments_that_a_carrier_took_are_left_out() -> None:
    made = message("x" * 400, Encoding.GSM7, 3)
    whole = expand(made, SEGMENT, 0)
    made.segment_list = [Segment(2, Status.SENT), Segment(3, Status.DELIVERED)]
    made.attempts = 1
    (rest,) = expand(made, SEGMENT, 0)
    assert (rest.token, rest.udh, rest.data, rest.attempt) == (257, whole[0].udh, whole[0].data, 2)


def test_a_driver_of_whole_messages_is_given_the_text() -> None:
    (submission,) = expand(message("x" * 400, Encoding.GSM7, 3), WHOLE, 0)
    assert (submission.text, submission.segments, submission.index) == ("x" * 400, 3, 1)
    (submission,) = expand(message(None, Encoding.BINARY, data=b"\x01", udh=b"\x02\x70\x00"), WHOLE, 0)
    assert (submission.text, submission.udh, submission.data) == (None, b"\x02\x70\x00", b"\x01")


@pytest.mark.parametrize(("wall_ms", "valid_for_s"), [(0, 61), (60_000, 1), (61_499, 1), (70_000, 1)])
def test_what_is_left_of_the_validity_is_never_nothing(wall_ms: int, valid_for_s: int) -> None:
    assert expand(message("x", Encoding.GSM7), SEGMENT, wall_ms)[0].valid_for_s == valid_for_s
