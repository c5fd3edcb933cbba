"""Answers of HTTP servers: whole, octet by octet and with trailing data; and what is no answer."""

from types import MappingProxyType

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.wire.answer import HEAD_LIMIT, INTERIM_LIMIT, Answer, AnswerReader, BadAnswer

LIMIT = 100

OK = b"HTTP/1.1 200 OK\r\n"

# name -> (octets, status, body, keeps alive)
ANSWERS = {
    "length": (OK + b"Content-Length: 5\r\n\r\nhello", 200, b"hello", True),
    "no reason phrase": (b"HTTP/1.1 202 \r\nContent-Length: 2\r\n\r\nok", 202, b"ok", True),
    "no space behind the status": (b"HTTP/1.1 202\r\nContent-Length: 2\r\n\r\nok", 202, b"ok", True),
    "empty": (OK + b"Content-Length: 0\r\n\r\n", 200, b"", True),
    "at the limit": (OK + b"Content-Length: 100\r\n\r\n" + b"x" * 100, 200, b"x" * 100, True),
    "chunked": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n",
        200,
        b"hello",
        True,
    ),
    "chunked with a trailer": (
        OK + b"Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
        200,
        b"hello",
        True,
    ),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, b"", True),
    "redirect": (b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", 302, b"", True),
    "close": (OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", False),
    "close among others": (OK + b"Connection: x, Close\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", False),
    "HTTP/1.0 kept": (
        b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok",
        200,
        b"ok",
        True,
    ),
    "length and chunks": (
        OK + b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        200,
        b"ok",
        False,
    ),
    "the same length twice": (
        OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        200,
        b"ok",
        True,
    ),
    "interim answers": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        + OK
        + b"Content-Length: 2\r\n\r\nok",
        200,
        b"ok",
        True,
    ),
    "bare LF": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 200, b"ok", True),
    "folded field": (OK + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", True),
}

BAD = {
    "not HTTP": b"SSH-2.0-OpenSSH\r\n",
    "HTTP/2": b"HTTP/2 200\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "a field without a name": OK + b": x\r\n\r\n",
    "a field without a colon": OK + b"hello\r\n\r\n",
    "space before the colon": OK + b"Content-Length : 2\r\n\r\nok",
    "length is no number": OK + b"Content-Length: two\r\n\r\n",
    "length is negative": OK + b"Content-Length: -2\r\n\r\n",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "unknown coding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "bad chunk": OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "chunk too long": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n",
    "body over the limit": OK + b"Content-Length: 101\r\n\r\n",
    "chunks over the limit": OK + b"Transfer-Encoding: chunked\r\n\r\n65\r\n" + b"x" * 101 + b"\r\n0\r\n\r\n",
    "endless body over the limit": OK + b"\r\n" + b"x" * 101,
    "endless head": OK + b"X: " + b"x" * HEAD_LIMIT,
    "long head": OK + b"X: " + b"x" * HEAD_LIMIT + b"\r\n\r\n",
    "upgrade": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "endless interim answers": b"HTTP/1.1 100 Continue\r\n\r\n" * (INTERIM_LIMIT + 1),
}


def read(*pieces: bytes, **options) -> tuple[Answer | BadAnswer | None, AnswerReader]:
    reader = AnswerReader(LIMIT, **options)
    answer = None
    for piece in pieces:
        assert answer is None, "nothing is fed after the end"
        answer = reader.feed(piece)
    return answer, reader


def test_a_line_that_is_no_status_is_shown_as_it_came():
    answer, _ = read(b"HTTP/1.1 OK fine\r\n\r\n")
    assert isinstance(answer, BadAnswer)
    assert answer.detail == "the answer is not HTTP: illegal status line: HTTP/1.1 OK fine"


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("is_split", [False, True], ids=["whole", "octet by octet"])
def test_an_answer_is_read(name, is_split):
    octets, status, body, keeps_alive = ANSWERS[name]
    answer, _ = read(*([octets[i : i + 1] for i in range(len(octets))] if is_split else [octets]))
    assert isinstance(answer, Answer)
    assert (answer.status, answer.body, answer.keeps_alive) == (status, body, keeps_alive)


@pytest.mark.parametrize("name", [*ANSWERS, *BAD])
@pytest.mark.parametrize("before", ["length", "empty", "interim answers", "no content", "HTTP/1.0 kept"])
def test_an_answer_is_read_the_same_whatever_the_connection_brought_before(name, before):
    octets = ANSWERS[name][0] if name in ANSWERS else BAD[name]
    reader = AnswerReader(LIMIT)
    for each in (ANSWERS[before][0], octets, ANSWERS[before][0]):
        reader.begin()
        assert reader.feed(each) == read(each)[0]


@pytest.mark.parametrize("name", ANSWERS)
def test_what_comes_behind_an_answer_ends_the_connection(name):
    octets, status, body, _ = ANSWERS[name]
    answer, _ = read(octets + b"H")
    assert isinstance(answer, Answer)
    assert (answer.status, answer.body, answer.keeps_alive) == (status, body, False)


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_answer_is_told(name):
    answer, _ = read(BAD[name])
    assert isinstance(answer, BadAnswer)
    assert answer.detail


@pytest.mark.parametrize("name", [name for name in BAD if len(BAD[name]) < HEAD_LIMIT])
def test_what_is_no_answer_is_told_when_it_comes_octet_by_octet(name):
    reader = AnswerReader(LIMIT)
    found = (reader.feed(bytes([octet])) for octet in BAD[name])
    assert isinstance(next(filter(None, found)), BadAnswer)


def test_garbage_is_told_at_its_first_octet():
    assert isinstance(read(b"h")[0], BadAnswer)
    assert read(b"H")[0] is None


@pytest.mark.parametrize("head", [OK + b"\r\n", b"HTTP/1.0 200 OK\r\n\r\n"])
def test_a_body_without_a_length_ends_with_the_connection(head):
    answer, reader = read(head + b"he", b"llo")
    assert answer is None
    answer = reader.finish()
    assert answer is not None
    assert (answer.body, answer.keeps_alive) == (b"hello", False)


@pytest.mark.parametrize(
    "octets",
    [b"", b"HTT", OK, OK + b"Content-Length: 5\r\n\r\nhell", ANSWERS["chunked"][0][:-1]],
)
def test_an_answer_that_breaks_off_is_none(octets):
    answer, reader = read(octets)
    assert answer is None
    assert reader.finish() is None


def test_the_answer_to_head_has_no_body():
    reader = AnswerReader(LIMIT)
    reader.begin(has_body=False)
    answer = reader.feed(OK + b"Content-Length: 500\r\n\r\n")
    assert isinstance(answer, Answer)
    assert (answer.body, answer.keeps_alive) == (b"", True)


@pytest.mark.parametrize("name", [name for name in BAD if "body over" in name or "chunks over" in name])
def test_a_body_over_the_limit_can_be_cut(name):
    answer, _ = read(BAD[name] + (b"x" * 101 if name == "body over the limit" else b""), cuts_body=True)
    assert isinstance(answer, Answer)
    assert (answer.body, answer.is_cut, answer.keeps_alive) == (b"x" * 100, True, False)


def test_one_reader_reads_the_next_answer():
    reader = AnswerReader(LIMIT)
    for octets, status, body, _ in ANSWERS.values():
        reader.begin()
        answer = reader.feed(octets)
        assert isinstance(answer, Answer)
        assert (answer.status, answer.body) == (status, body)


def test_fields_are_in_lower_case_and_joined():
    answer, _ = read(OK + b"X-A:  one \r\nx-a: two\r\nContent-Length: 0\r\nEmpty:\r\n\r\n")
    assert isinstance(answer, Answer)
    assert answer.fields == {"x-a": "one, two", "content-length": "0", "empty": ""}


@pytest.mark.parametrize(
    ("value", "idle_s"), [("timeout=5, max=100", 5.0), ("max=3", float("inf")), ("", float("inf"))]
)
def test_the_server_may_say_how_long_it_keeps_a_connection(value, idle_s):
    assert Answer(200, MappingProxyType({"keep-alive": value}), b"", True).idle_s == idle_s


TOKEN = st.text("abcXYZ019-_", min_size=1, max_size=12)
VALUE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30)


@given(st.integers(200, 599), st.lists(st.tuples(TOKEN, VALUE), max_size=8), st.binary(max_size=LIMIT))
def test_a_usual_head_says_what_h11_reads_in_it(status, fields, body):
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    head = f"HTTP/1.1 {status} Any\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode()
    judge = h11.Connection(h11.CLIENT)
    judge.send(h11.Request(method="GET", target="/", headers=[("Host", "h")]))
    judge.receive_data(head)
    try:
        event = judge.next_event()
    except h11.RemoteProtocolError:
        return
    expected: dict[str, str] = {}
    for name, value in event.headers:
        key, text = name.decode(), value.decode("latin-1")
        expected[key] = f"{expected[key]}, {text}" if key in expected else text
    reader = AnswerReader(LIMIT)
    answer = reader.feed(head if status in (204, 304) else head + body)
    assert isinstance(answer, Answer)
    assert (answer.status, answer.fields) == (status, expected)


@given(st.binary(max_size=300), st.integers(1, 20))
def test_noise_is_never_an_error_of_ours(noise, step):
    for start in (b"", OK, OK + b"Transfer-Encoding: chunked\r\n\r\n"):
        reader = AnswerReader(LIMIT)
        octets = start + noise
        for position in range(0, len(octets), step):
            if reader.feed(octets[position : position + step]) is not None:
                break
        else:
            reader.finish()
