"""Request heads as h11 reads them, and the forms refused because two servers could read them differently."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stentor.wire import head as head_module
from stentor.wire.head import (
    FieldLines,
    HeadMemo,
    RequestHead,
    ResponseHeads,
    _read_any,
    _read_usual,
    encode_fields,
    read_head,
)
from stentor.wire.problem import Problem


def block(line: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join([line, *(fields or (b"Host: a",)), b"", b""])


def read(line: bytes, *fields: bytes) -> RequestHead:
    head = read_head(block(line, *fields))
    assert isinstance(head, RequestHead), head
    return head


def test_a_head_says_method_path_query_and_fields():
    head = read(
        b"POST /v1/x%20y?a=b&c=%C3%A9&d HTTP/1.1", b"HOST: a", b"Content-Length: 12", b"X:  1 ", b"x: 2"
    )
    assert (head.method, head.path, head.query) == ("POST", "/v1/x%20y", "a=b&c=%C3%A9&d")
    assert head.query_fields() == [("a", "b"), ("c", "é"), ("d", "")]
    assert dict(head.headers) == {"host": "a", "content-length": "12", "x": "1, 2"}
    assert (head.content_length, head.keeps_alive, head.expects_continue) == (12, True, False)


def test_a_query_of_too_many_fields_is_a_value_error():
    head = read(b"GET /?" + b"a&" * 200 + b" HTTP/1.1")
    with pytest.raises(ValueError):
        head.query_fields()


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/", "/", ""),
        (b"*", "*", ""),
        (b"//a//b?", "//a//b", ""),
        (b"/a?b?c", "/a", "b?c"),
        (b"/a#f", "/a", ""),
        (b"http://host/a?b", "/a", "b"),
        (b"HTTPS://host:80", "/", ""),
        (b"http://host?a", "/", "a"),
    ],
)
def test_the_target_is_read_in_every_form_a_server_must_know(target, path, query):
    head = read(b"GET " + target + b" HTTP/1.1")
    assert (head.path, head.query) == (path, query)


@pytest.mark.parametrize(
    ("line", "fields", "keeps_alive"),
    [
        (b"GET / HTTP/1.1", (b"Host: a",), True),
        (b"GET / HTTP/1.1", (b"Host: a", b"Connection: close"), False),
        (b"GET / HTTP/1.1", (b"Host: a", b"Connection: x, Close"), False),
        (b"GET / HTTP/1.1", (b"Host: a", b"Connection: x", b"connection: close"), False),
        (b"GET / HTTP/1.0", (b"X: a",), False),
        (b"GET / HTTP/1.0", (b"Connection: keep-alive",), False),
    ],
)
def test_who_may_keep_the_connection(line, fields, keeps_alive):
    assert read(line, *fields).keeps_alive is keeps_alive


def test_a_client_of_HTTP_1_0_is_not_asked_to_continue():
    assert read(b"POST / HTTP/1.1", b"Host: a", b"Expect: 100-Continue").expects_continue
    assert not read(b"POST / HTTP/1.0", b"Host: a", b"Expect: 100-continue").expects_continue


# Each is read differently by some server, or is not HTTP: RFC 9112 §11.2 on request smuggling.
REFUSED = {
    "bare LF ends the line": (b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    "bare LF ends a field": (b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
    "bare CR in a value": (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\rContent-Length: 5\r\n\r\n", 400),
    "NUL in a value": (b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400),
    "NUL in the target": (b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "folded field": (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400),
    "folded with tab": (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n", 400),
    "space before the first field": (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    "space before the colon": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\n", 400),
    "no colon": (b"GET / HTTP/1.1\r\nHost: a\r\nabc\r\n\r\n", 400),
    "empty name": (b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400),
    "no host": (b"GET / HTTP/1.1\r\nX: a\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "two lengths": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
    "two lengths in one": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 6\r\n\r\n", 400),
    "signed length": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n", 400),
    "negative length": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n", 400),
    "hexadecimal length": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\n", 400),
    "empty length": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400),
    "endless length": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * 100 + b"\r\n\r\n", 400),
    "chunked and a length": (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
    ),
    "a length and chunked": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        400,
    ),
    "chunked in HTTP/1.0": (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "chunked twice": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        501,
    ),
    "another coding": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
    "nearly chunked": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 501),
    "chunked after a control": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n", 400),
    "no version": (b"GET /\r\nHost: a\r\n\r\n", 400),
    "lower case version": (b"GET / http/1.1\r\nHost: a\r\n\r\n", 400),
    "two spaces": (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "space in the target": (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "octets over 127 in the target": (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "authority form": (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "another version": (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    "too many fields": (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 100 + b"\r\n", 431),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_head_that_could_be_read_in_two_ways_is_refused(name):
    octets, status = REFUSED[name]
    head = read_head(octets)
    assert isinstance(head, Problem)
    assert head.status == status


def test_as_many_fields_as_allowed_are_read():
    assert len(read(b"GET / HTTP/1.1", b"Host: a", *[b"X-%d: a" % i for i in range(99)]).headers) == 100


def test_the_memo_gives_the_same_head_for_the_same_octets_and_never_one_for_others():
    memo = HeadMemo()
    first = memo.read(block(b"GET /a HTTP/1.1"))
    second = memo.read(block(b"GET /a HTTP/1.1"))
    assert second == first
    assert memo.read(block(b"GET /a HTTP/1.1")) is second
    other = memo.read(block(b"GET /b HTTP/1.1"))
    assert isinstance(other, RequestHead)
    assert other.path == "/b"


def test_the_memo_is_bounded_and_keeps_nothing_that_cannot_recur(monkeypatch):
    monkeypatch.setattr(head_module, "_MEMO_HEADS", 256)
    memo = HeadMemo()
    for i in range(1000):
        for _ in range(2):
            memo.read(block(b"GET /%d HTTP/1.1" % i))
        assert 0 < len(memo._heads) <= 256
    kept = len(memo._heads)
    for _ in range(3):
        memo.read(block(b"GET / HTTP/1.1", b"Host: a", b"Idempotency-Key: 1"))
        memo.read(block(b"GET / HTTP/1.1", b"Host: a", b"X: " + b"x" * 3000))
        memo.read(block(b"GET / HTTP/1.1", b"X: a"))
    assert len(memo._heads) == kept


@pytest.mark.parametrize("line", [b"GET /\xff+40712345678 HTTP/1.1", b"\x16\x03\x01\x02"])
def test_a_refusal_does_not_quote_what_was_sent(line):
    fault = read_head(block(line))
    assert isinstance(fault, Problem)
    assert (fault.status, fault.detail) == (400, "illegal request line")


def test_a_crowd_in_which_each_has_its_own_head_leaves_the_memo_to_those_that_recur(monkeypatch):
    monkeypatch.setattr(head_module, "_SEEN_HEADS", 1024)
    memo = HeadMemo()
    mine = block(b"GET /mine HTTP/1.1")
    memo.read(mine)
    kept = memo.read(mine)
    for i in range(5000):
        memo.read(block(b"GET / HTTP/1.1", b"Host: a", b"Authorization: Bearer %d" % i))
        assert len(memo._seen) <= 1024
    assert memo.read(mine) is kept


def test_lines_that_came_before_are_read_the_same_and_their_number_is_bounded():
    lines = FieldLines()
    field = lines[b"Content-Type: \ta/b; c=d "]
    assert field == ("content-type", "a/b; c=d")
    assert lines[b"Content-Type: \ta/b; c=d "] is field
    assert lines[b"Idempotency-Key: 7"] == ("idempotency-key", "7")
    assert lines[b"X: " + b"x" * 300] == ("x", "x" * 300)
    assert list(lines) == [b"Content-Type: \ta/b; c=d "]
    for i in range(10_000):
        assert lines[b"X:%d" % i] == ("x", str(i))
        assert len(lines) <= 4096
    for line in (b"", b"X", b": a", b"X : a", b"X: \n", b"X: a\r", b" X: a"):
        with pytest.raises(ValueError, match="usual"):
            lines[line]


def test_a_head_cannot_be_changed_by_who_reads_it():
    with pytest.raises(TypeError):
        read(b"GET / HTTP/1.1").headers["a"] = "b"  # type: ignore[index]  # it must refuse


def test_the_date_stands_in_every_response_once_it_is_known():
    heads = ResponseHeads()
    assert heads.fixed(200, "a/b", 3, is_last=False) == (
        b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 3\r\n\r\n"
    )
    heads.set_date("Sun, 06 Nov 1994 08:49:37 GMT")
    assert heads.fixed(204, "", 0, is_last=True) == (
        b"HTTP/1.1 204 No Content\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: close\r\n\r\n"
    )


@pytest.mark.parametrize("field", [("A b", "c"), ("A", "b\r\nC: d"), ("A", "b\n"), ("", "b"), ("A\n", "b")])
def test_a_field_that_would_break_out_of_its_line_is_our_bug(field):
    with pytest.raises(AssertionError):
        encode_fields([field])


_TOKENS = st.text("aZ0!#-_x", min_size=1, max_size=4)
_NAMES = st.one_of(
    st.sampled_from(
        ["Host", "host", "Content-Length", "content-length", "Transfer-Encoding", "Connection", "Expect", "X"]
    ),
    _TOKENS,
)
_VALUES = st.one_of(
    st.sampled_from(
        ["7", "007", "+7", "7, 7", "", "close", "chunked", "100-continue", "a b", "keep-alive, Close"]
    ),
    st.text("aé\xff \t,;=\x00\x01\x0b\x0c\x7f\x85\xa0:", max_size=5),
)
_LINES = st.builds(
    "{}{}{}{}".format,
    _NAMES,
    st.sampled_from([":", ": ", ":\t ", " :", ""]),
    _VALUES,
    st.sampled_from(["", " ", "\t"]),
)
_REQUEST_LINES = st.builds(
    "{}{}{}{}HTTP/{}".format,
    _TOKENS,
    st.sampled_from([" ", "  ", ""]),
    st.one_of(st.sampled_from(["/", "*", "http://h/p?q", "/a?b#c", "a"]), st.text("/a?#%\x7f é", max_size=6)),
    st.sampled_from([" ", " ", "\t"]),
    st.sampled_from(["1.1", "1.1", "1.0", "2.0", "1.11"]),
)


@given(
    _REQUEST_LINES,
    st.lists(_LINES, max_size=5),
    st.booleans(),
    st.sampled_from(["\r\n", "\r\n", "\r\n", "\n", "\r\n "]),
)
@example("POST / HTTP/1.1", ["X: a"], True, "\r\n")
@settings(max_examples=400, deadline=None)
def test_a_usual_head_is_read_as_h11_reads_it(line: str, lines: list[str], has_host: bool, end: str) -> None:
    whole = [line, *(["Host: h"] if has_host else []), *lines]
    block = (end.join(whole) + "\r\n\r\n").encode("latin-1")
    usual = _read_usual(block, 100, FieldLines())
    if usual is not None:
        assert usual == _read_any(block, 100)


def test_heads_of_phones_carriers_and_clients_are_usual() -> None:
    fields = "host: h:80\r\nContent-Type: application/json\r\nX-Signature: sha256=00ff\r\nConnection: close\r\nn:\r\n"
    block = f"POST /in/a/receipt?token=t&x=%20 HTTP/1.1\r\n{fields}Content-Length: 12\r\n\r\n".encode()
    usual = _read_usual(block, 100, FieldLines())
    assert usual is not None
    assert usual == _read_any(block, 100)
    assert _read_usual(block, 5, FieldLines()) is None
