"""Bodies: Content-Length and chunked, in any pieces; what is not exactly chunked is a fault."""

import itertools

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.wire.body import ChunkedBody, LengthBody


def feed(body: ChunkedBody | LengthBody, pieces: list[bytes]) -> tuple[bytes, bytes]:
    """Payload, and what came after the body."""
    out: list[bytes] = []
    rest = b""
    for piece in pieces:
        if body.is_complete or body.problem is not None:
            rest += piece
        else:
            rest += body.feed(piece, out)
    return b"".join(out), rest


def octets(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


# octets -> payload and what follows
CHUNKED = {
    "empty": (b"0\r\n\r\n", b"", b""),
    "one chunk": (b"3\r\nabc\r\n0\r\n\r\n", b"abc", b""),
    "hexadecimal, both cases": (b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2, b""),
    "leading zeros": (b"0003\r\nabc\r\n000\r\n\r\n", b"abc", b""),
    "extensions are ignored": (b'3;a=b; c="d"\r\nabc\r\n0 ;x\r\n\r\n', b"abc", b""),
    "a trailer is dropped": (b"3\r\nabc\r\n0\r\nA: b\r\nC:\r\n\r\n", b"abc", b""),
    "payload that looks like framing": (b"7\r\n0\r\n\r\n0\r\r\n0\r\n\r\n", b"0\r\n\r\n0\r", b""),
    "what follows is left": (b"1\r\na\r\n0\r\n\r\nGET /", b"a", b"GET /"),
}

FAULTS = {
    "no size": b"\r\nabc",
    "not hexadecimal": b"xyz\r\n",
    "negative": b"-1\r\na\r\n",
    "with 0x": b"0x3\r\nabc\r\n",
    "with underscore": b"1_0\r\n",
    "space before": b" 3\r\nabc\r\n",
    "space after": b"3 \r\nabc\r\n",
    "bare LF": b"3\nabc\r\n",
    "NUL in the extension": b"3;a=\0\r\nabc\r\n",
    "CR in the extension": b"3;a=\rb\r\nabc\r\n",
    "too big a number": b"1" * 16 + b"\r\n",
    "longer than said": b"3\r\nabcd\r\n",
    "chunk ends in LF": b"3\r\nabc\n0\r\n\r\n",
    "chunk ends in CR and more": b"3\r\nabc\rx0\r\n\r\n",
    "trailer is no field": b"0\r\nabc\r\n\r\n",
    "trailer name with space": b"0\r\nA : b\r\n\r\n",
    "trailer is folded": b"0\r\nA: b\r\n c\r\n\r\n",
    "trailer with bare LF": b"0\r\nA: b\nC: d\r\n\r\n",
    "trailer too long": b"0\r\nA: " + b"x" * 9000,
    "size line too long": b"3;" + b"x" * 300,
}


@pytest.mark.parametrize("name", CHUNKED)
def test_a_chunked_body_reads_the_same_whole_and_octet_by_octet(name):
    data, payload, rest = CHUNKED[name]
    for pieces in ([data], octets(data)):
        body = ChunkedBody(None)
        assert feed(body, pieces) == (payload, rest)
        assert body.is_complete
        assert body.problem is None


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_chunked_body_is_refused_whole_and_octet_by_octet(name):
    for pieces in ([FAULTS[name]], octets(FAULTS[name])):
        body = ChunkedBody(None)
        feed(body, pieces)
        assert body.problem is not None
        assert body.problem.status in (400, 431)
        assert not body.is_complete


@pytest.mark.parametrize("pieces", [[b"5\r\nabcde\r\n"], octets(b"5\r\nab"), [b"3\r\nabc\r\n2\r\n"]])
def test_a_chunk_beyond_the_limit_is_refused_by_its_size_before_it_comes(pieces):
    body = ChunkedBody(4)
    payload, _ = feed(body, pieces)
    assert body.problem is not None
    assert body.problem.status == 413
    assert len(payload) <= 4


def test_extensions_are_bounded_over_the_whole_body():
    body = ChunkedBody(None)
    feed(body, [b"1;" + b"x" * 200 + b"\r\na\r\n"] * 100)
    assert body.problem is not None


def test_nothing_of_the_payload_is_held_back():
    body, out = ChunkedBody(None), []
    body.feed(b"ffffff\r\n" + b"x" * 10, out)
    body.feed(b"y" * 1000, out)
    assert b"".join(out) == b"x" * 10 + b"y" * 1000


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in itertools.pairwise(marks)]


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=8),
    st.binary(max_size=8),
    st.lists(st.integers(0, 2000), max_size=8),
)
def test_what_h11_sends_in_chunks_is_read_in_any_pieces(payloads, rest, places):
    client = h11.Connection(h11.CLIENT)
    client.send(
        h11.Request(method="POST", target="/", headers=[("Host", "a"), ("Transfer-Encoding", "chunked")])
    )
    data = b"".join(client.send(h11.Data(data=payload)) for payload in payloads)
    data += client.send(h11.EndOfMessage()) + rest
    body = ChunkedBody(None)
    assert feed(body, cut(data, places)) == (b"".join(payloads), rest)
    assert body.is_complete


@given(st.text("0123aF;\r\n x:\0", max_size=30).map(str.encode))
def test_whatever_is_taken_as_a_chunked_body_h11_takes_alike(data):
    body = ChunkedBody(None)
    payload, rest = feed(body, [data])
    if not body.is_complete:
        return
    server = h11.Connection(h11.SERVER)
    server.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + data)
    taken = b""
    while type(event := server.next_event()) is not h11.EndOfMessage:
        assert event is not h11.NEED_DATA
        taken += bytes(event.data) if isinstance(event, h11.Data) else b""
    assert (taken, server.trailing_data[0]) == (payload, rest)


@pytest.mark.parametrize("pieces", [[b"abcdef"], octets(b"abcdef"), [b"ab", b"cdef"]])
def test_a_body_with_a_length_ends_there(pieces):
    body = LengthBody(4)
    assert feed(body, pieces) == (b"abcd", b"ef")
    assert body.is_complete
