"""Splitting bodies into lines: any pieces, any line ends, bounded memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.wire.lines import Line, LineSplitter, OverlongLine

LIMIT = 8

CASES = {
    "nothing": (b"", [], 0),
    "one line": (b"abc\n", [b"abc"], 1),
    "no newline at the end": (b"abc\ndef", [b"abc", b"def"], 2),
    "CRLF": (b"abc\r\ndef\r\n", [b"abc", b"def"], 2),
    "CR at the very end": (b"abc\r", [b"abc"], 1),
    "blank lines are counted": (b"\n\r\n  \nabc\n\n", [b"abc"], 5),
    "at the limit": (b"12345678\n", [b"12345678"], 1),
    "at the limit with CRLF": (b"12345678\r\nx\n", [b"12345678", b"x"], 2),
    "at the limit without newline": (b"12345678", [b"12345678"], 1),
    "over the limit": (b"a\n123456789\nb\n", [b"a", OverlongLine(2, LIMIT), b"b"], 3),
    "over the limit by far": (b"a\n" + b"x" * 100 + b"\nb", [b"a", OverlongLine(2, LIMIT), b"b"], 3),
    "over the limit at the end": (b"a\n\n123456789", [b"a", OverlongLine(3, LIMIT)], 3),
    "over the limit with CR inside": (b"1234567\r9\n", [OverlongLine(1, LIMIT)], 1),
    "over the limit and blank": (b" " * 20 + b"\na\n", [OverlongLine(1, LIMIT), b"a"], 2),
    "two over the limit": (
        b"x" * 20 + b"\n" + b"y" * 20 + b"\nz\n",
        [OverlongLine(1, LIMIT), OverlongLine(2, LIMIT), b"z"],
        3,
    ),
}


def split(pieces: list[bytes], limit: int = LIMIT) -> tuple[list[Line], int]:
    splitter = LineSplitter(limit)
    lines = [line for piece in pieces for line in splitter.feed(piece)]
    lines += splitter.finish()
    return lines, splitter.count


@pytest.mark.parametrize("name", CASES)
def test_the_same_lines_come_out_whole_and_octet_by_octet(name):
    body, lines, count = CASES[name]
    assert split([body]) == (lines, count)
    assert split([body[i : i + 1] for i in range(len(body))]) == (lines, count)


def model(body: bytes) -> tuple[list[Line], int]:
    """Slow and obvious: all of it at once, line by line."""
    lines: list[Line] = []
    ended = body.split(b"\n")
    if ended[-1].removesuffix(b"\r") == b"":
        ended.pop()
    for number, raw in enumerate(ended, 1):
        line = raw.removesuffix(b"\r")
        if len(line) > LIMIT:
            lines.append(OverlongLine(number, LIMIT))
        elif line.strip():
            lines.append(line)
    return lines, len(ended)


@given(st.lists(st.text("a \r\n", max_size=24).map(str.encode), max_size=12))
def test_any_pieces_of_any_body_split_as_the_model_splits_the_whole(pieces):
    assert split(pieces) == model(b"".join(pieces))


def test_an_endless_line_is_reported_early_and_not_kept():
    splitter = LineSplitter(LIMIT)
    reported = [line for _ in range(1000) for line in splitter.feed(b"x" * 1000)]
    assert reported == [OverlongLine(1, LIMIT)]
    assert splitter._partial == b""
