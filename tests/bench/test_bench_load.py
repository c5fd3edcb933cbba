"""What the load generator reads and makes, held against slow obvious ways."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.peers.answers import BadAnswer, ChunkedAnswer, Chunks, split_answer
from bench.peers.histogram import Histogram
from bench.peers.lines import MessageMaker

HEAD = b"HTTP/1.1 202 Accepted\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=12), st.integers(1, 30))
def test_a_chunked_answer_is_the_same_in_any_pieces(parts: list[bytes], size: int) -> None:
    octets = HEAD + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    answer = ChunkedAnswer()
    body = b"".join(answer.feed(octets[at : at + size]) for at in range(0, len(octets), size))
    assert (answer.status, body, answer.is_over) == (202, b"".join(parts), True)


def test_an_answer_that_is_cut_short_is_not_over() -> None:
    answer = ChunkedAnswer()
    assert answer.feed(HEAD + b"5\r\nhel") == b"hel"
    assert not answer.is_over


def test_a_refusal_instead_of_a_stream_comes_plain() -> None:
    answer = ChunkedAnswer()
    assert answer.feed(b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\n{}") == b"{}"
    assert answer.status == 503


@pytest.mark.parametrize("octets", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 20_000])
def test_what_is_no_answer_is_refused(octets: bytes) -> None:
    with pytest.raises(BadAnswer):
        split_answer(octets)


def test_chunks_with_a_length_that_is_none_are_refused() -> None:
    with pytest.raises(ValueError):
        Chunks().feed(b"five\r\nhello\r\n")


def test_an_answer_with_a_length_is_split_once_it_is_whole() -> None:
    octets = b"HTTP/1.1 202 Accepted\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1"
    length = len(octets) - len("HTTP/1.1")
    assert all(split_answer(octets[:end]) is None for end in range(length))
    assert split_answer(octets) == (202, b"hello", length)


def test_messages_hold_what_was_asked_for() -> None:
    texts = ['100 % "sure" {n}', "žluťoučký {n} kůň {n}", "plain"]
    maker = MessageMaker(texts, "+999", {"ref": "r{n}", "from": "me"}, ("urgent", "bulk"))
    made = [json.loads(octets) for octets in maker.make(5, 6)]
    for number, message in enumerate(made, 5):
        assert message == {
            "to": f"+999{number:08d}",
            "text": texts[number % 3].replace("{n}", str(number)),
            "priority": ("urgent", "bulk")[number % 2],
            "ref": f"r{number}",
            "from": "me",
        }


def test_a_stamp_is_the_moment_of_making() -> None:
    (first,), (second,) = (MessageMaker(["{t}"], "+999", {}).make(0, 1) for _ in range(2))
    assert 0 < int(json.loads(first)["text"]) < int(json.loads(second)["text"])


def test_percentiles_are_within_two_per_cent_of_the_truth() -> None:
    chosen = random.Random(1)
    durations = [chosen.expovariate(1 / 0.01) + 1e-5 for _ in range(5000)]
    histogram = Histogram()
    for duration in durations:
        histogram.add(duration)
    durations.sort()
    for share in (0.5, 0.99, 0.999):
        assert histogram.percentile(share) == pytest.approx(durations[int(share * 5000) - 1], rel=0.021)
    assert histogram.percentile(1.0) == pytest.approx(durations[-1], rel=0.021)


def test_a_histogram_of_nothing_answers_nothing() -> None:
    assert Histogram().percentile(0.99) == 0.0
