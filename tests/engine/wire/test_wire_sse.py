"""Server-sent events, both directions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.wire.sse import KEEP_ALIVE, EventReader, ServerSentEvent, StreamTooLong, encode_event


def read(pieces: list[bytes]) -> list[ServerSentEvent]:
    reader = EventReader()
    return [event for piece in pieces for event in reader.feed(piece)]


# octets -> what a reader makes of them (WHATWG HTML, section 9.2.6)
STREAMS = {
    "data only": (b"data: a\n\n", [ServerSentEvent("a")]),
    "no space after the colon": (b"data:a\n\n", [ServerSentEvent("a")]),
    "one space is taken": (b"data:  a\n\n", [ServerSentEvent(" a")]),
    "several lines": (b"data: a\ndata: b\n\n", [ServerSentEvent("a\nb")]),
    "an empty line of data": (b"data\n\n", [ServerSentEvent("")]),
    "CRLF and CR": (b"data: a\r\n\r\ndata: b\r\r", [ServerSentEvent("a"), ServerSentEvent("b")]),
    "all fields": (b"id: 7\nevent: x\ndata: a\n\n", [ServerSentEvent("a", "x", "7")]),
    "the id stays, the name does not": (
        b"id: 7\nevent: x\ndata: a\n\ndata: b\n\n",
        [ServerSentEvent("a", "x", "7"), ServerSentEvent("b", "message", "7")],
    ),
    "an id with NUL is ignored": (b"id: 7\nid: 8\0\ndata: a\n\n", [ServerSentEvent("a", "message", "7")]),
    "no data, no event": (b"event: x\n\ndata: a\n\n", [ServerSentEvent("a")]),
    "comments and unknown fields": (b": hi\nfoo: bar\ndata: a\n\n" + KEEP_ALIVE, [ServerSentEvent("a")]),
    "byte order mark": (b"\xef\xbb\xbfdata: a\n\n", [ServerSentEvent("a")]),
    "an unfinished event is dropped": (b"data: a\n\ndata: b\n", [ServerSentEvent("a")]),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_reads_the_same_whole_and_octet_by_octet(name):
    octets, events = STREAMS[name]
    assert read([octets]) == events
    assert read([octets[i : i + 1] for i in range(len(octets))]) == events


@given(
    st.text().filter(lambda text: "\r" not in text),
    st.from_regex(r"[a-z.]{1,12}", fullmatch=True),
    st.integers(1),
)
def test_what_is_encoded_is_read_back(data, name, number):
    octets = KEEP_ALIVE + encode_event(data.encode(), name, str(number))
    assert read([octets]) == [ServerSentEvent(data, name, str(number))]


def test_an_endless_line_and_an_endless_event_are_refused():
    with pytest.raises(StreamTooLong):
        EventReader(limit=10).feed(b"data: 123456789")
    with pytest.raises(StreamTooLong):
        EventReader(limit=10).feed(b"data: 1234\n" * 3)


def test_retry_is_remembered():
    reader = EventReader()
    reader.feed(b"retry: 1500\nretry: soon\n")
    assert reader.retry_ms == 1500
