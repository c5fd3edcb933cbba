"""One server connection without a socket: exchanges, pipelines, refusals, and deadlines by arithmetic."""

import h11
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.wire.head import HeadMemo, RequestHead, ResponseHeads
from stentor.wire.http import ServerConnection
from stentor.wire.states import Body, BodyFailed, BodyPiece, Event, HTTPLimits, Shutdown

POST = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
GET = b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
DEFAULTS = HTTPLimits()


def stream(framing: bytes = b"Transfer-Encoding: chunked") -> bytes:
    return b"POST /stream HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n"


class Talk:
    """A server's connection with a small application: echoes bodies, streams pieces back, refuses /no."""

    def __init__(self, limits: HTTPLimits = DEFAULTS, body_limit: int = 100) -> None:
        self.core = ServerConnection(limits, HeadMemo(limits.header_count), ResponseHeads(), 0.0)
        self.now = 0.0
        self.body_limit = body_limit
        self.events: list[Event] = []
        self.output = b""
        self.answers_later = False

    def say(self, *pieces: bytes) -> bytes:
        """Let the client say ``pieces``; what the server writes to it."""
        for piece in pieces:
            self.core.receive(piece, self.now)
            self.turn()
        return self.take()

    def hang_up(self) -> bytes:
        self.core.receive_eof(self.now)
        self.turn()
        return self.take()

    def at(self, now: float) -> bytes:
        """Let it become ``now``."""
        self.now = now
        if self.core.next_deadline() <= now:
            self.core.expire(now)
            self.turn()
        return self.take()

    def turn(self) -> None:
        while (event := self.core.next_event(self.now)) is not None:
            self.events.append(event)
            if isinstance(event, RequestHead):
                self.route(event)
            elif isinstance(event, Body):
                self.answer(event.data)
            elif isinstance(event, BodyPiece):
                self.core.send(event.data)
                if event.is_last:
                    self.core.end(self.now)
            elif isinstance(event, BodyFailed):
                self.core.send(b"failed")
                self.core.end(self.now)
        self.output += self.core.take_output()

    def route(self, head: RequestHead) -> None:
        if head.path == "/no":
            self.core.respond(404, b"no", "text/plain", self.now)
        elif head.path == "/stream":
            self.core.take_body(None, self.now, is_streamed=True)
            if self.core.shutdown is Shutdown.STAY:
                self.core.start(202, "text/plain")
        else:
            body = self.core.take_body(self.body_limit, self.now)
            if body is not None:
                self.answer(body)

    def answer(self, body: bytes) -> None:
        if not self.answers_later:
            self.core.respond(200, body, "text/plain", self.now, [("X", "y")])

    def take(self) -> bytes:
        self.output += self.core.take_output()
        output, self.output = self.output, b""
        return output


def responses(output: bytes, *methods: bytes) -> list[tuple[int, bytes]]:
    """What h11's client makes of ``output``: status and body of each response."""
    found = []
    client = h11.Connection(h11.CLIENT)
    client.receive_data(output)
    for method in methods:
        client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
        client.send(h11.EndOfMessage())
        while isinstance(event := client.next_event(), h11.InformationalResponse):
            pass
        assert isinstance(event, h11.Response), event
        status, body = event.status_code, b""
        while isinstance(event := client.next_event(), h11.Data):
            body += event.data
        assert isinstance(event, h11.EndOfMessage), event
        found.append((status, body))
        if client.our_state is h11.DONE:
            client.start_next_cycle()
    assert client.trailing_data[0] == b""
    return found


def octets(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def refusal(output: bytes) -> int:
    """The status of a refusal, which must be a problem and say that the connection closes."""
    head, _, body = output.partition(b"\r\n\r\n")
    assert b"Connection: close" in head
    assert b"application/problem+json" in head
    status = int(head.split(b" ")[1])
    said = msgspec.json.decode(body)
    assert said["status"] == status
    assert said["detail"]
    return status


# what the client says -> what it is answered
EXCHANGES = {
    "no body": (GET, [(200, b"")]),
    "a body with a length": (POST, [(200, b"hello")]),
    "a chunked body": (CHUNKED, [(200, b"hello")]),
    "refused without a body": (b"GET /no HTTP/1.1\r\nHost: a\r\n\r\n", [(404, b"no")]),
    "refused, the body discarded": (POST.replace(b"/echo", b"/no") + GET, [(404, b"no"), (200, b"")]),
    "a pipeline": (
        POST + GET + CHUNKED + POST,
        [(200, b"hello"), (200, b""), (200, b"hello"), (200, b"hello")],
    ),
    "empty lines between requests": (POST + b"\r\n\r\n" + POST + b"\r\n", [(200, b"hello")] * 2),
    "a stream": (stream() + b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n" + GET, [(202, b"abcdef"), (200, b"")]),
    "a stream with a length": (
        stream(b"Content-Length: 6") + b"abcdef" + GET,
        [(202, b"abcdef"), (200, b"")],
    ),
    "an empty stream": (stream(b"Content-Length: 0") + GET, [(202, b""), (200, b"")]),
}


@pytest.mark.parametrize("name", EXCHANGES)
def test_exchanges_are_the_same_whole_and_octet_by_octet(name):
    said, answered = EXCHANGES[name]
    for pieces in ([said], octets(said)):
        talk = Talk()
        output = talk.say(*pieces)
        assert responses(output, *[b"GET"] * len(answered)) == answered
        assert talk.core.shutdown is Shutdown.STAY


@given(st.lists(st.sampled_from(sorted(EXCHANGES)), min_size=1, max_size=6), st.data())
def test_any_pipeline_cut_anywhere_is_answered_in_order(names, data):
    said = b"".join(EXCHANGES[name][0] for name in names)
    answered = [answer for name in names for answer in EXCHANGES[name][1]]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(said)), max_size=6)))
    talk = Talk()
    output = b""
    for start, end in zip([0, *cuts], [*cuts, len(said)], strict=True):
        output += talk.say(said[start:end]) if end > start else b""
    assert responses(output, *[b"GET"] * len(answered)) == answered


def test_HEAD_is_answered_with_the_length_and_no_body():
    output = Talk().say(b"HEAD /no HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
    assert b"Content-Length: 2" in output
    assert responses(output, b"HEAD", b"GET") == [(404, b""), (200, b"")]


def test_a_streamed_response_to_HEAD_has_no_body():
    output = Talk().say(b"HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
    assert responses(output, b"HEAD", b"GET") == [(202, b""), (200, b"")]


@pytest.mark.parametrize(
    "request_", [GET.replace(b"1.1", b"1.0"), GET.replace(b"Host", b"Connection: close\r\nHost")]
)
def test_the_last_request_of_a_connection_closes_it(request_):
    talk = Talk()
    output = talk.say(request_)
    assert b"Connection: close" in output
    assert talk.core.shutdown is Shutdown.CLOSE
    assert talk.say(GET) == b""


def test_a_streamed_response_to_HTTP_1_0_ends_with_the_connection():
    talk = Talk()
    output = talk.say(stream(b"Content-Length: 3").replace(b"1.1", b"1.0") + b"abc")
    assert output.endswith(b"\r\n\r\nabc")
    assert b"chunked" not in output
    assert talk.core.shutdown is Shutdown.CLOSE


def test_pieces_of_a_stream_come_as_they_arrive_and_are_answered_meanwhile():
    talk = Talk()
    assert talk.say(stream()).startswith(b"HTTP/1.1 202 ")
    assert talk.say(b"5\r\nab") == b"2\r\nab\r\n"
    assert talk.say(b"c") == b"1\r\nc\r\n"
    assert talk.say(b"de\r\n0\r\n") == b"2\r\nde\r\n"
    assert talk.say(b"\r\n") == b"0\r\n\r\n"


def test_chunks_of_one_read_are_one_event():
    talk = Talk()
    talk.say(stream() + b"1\r\na\r\n" * 1000)
    assert talk.events[1:] == [BodyPiece(b"a" * 1000, is_last=False)]


def test_one_who_waits_for_100_continue_is_told_once_the_body_is_wanted():
    talk = Talk()
    head = POST.replace(b"Host", b"Expect: 100-continue\r\nHost").removesuffix(b"hello")
    assert talk.say(head) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert responses(talk.say(b"hello"), b"GET") == [(200, b"hello")]
    assert responses(talk.say(head + b"hello"), b"GET") == [(200, b"hello")], "who does not wait is not told"


def test_one_who_waits_for_100_continue_and_is_refused_is_closed_on():
    talk = Talk()
    output = talk.say(POST.replace(b"Host", b"Expect: 100-continue\r\nHost").replace(b"/echo", b"/no")[:-5])
    assert output.startswith(b"HTTP/1.1 404 ")
    assert b"Connection: close" in output
    assert talk.core.shutdown is Shutdown.LINGER


LIMITED = HTTPLimits(head_octets=500, request_line_octets=100, header_count=5, discard_octets=50)

# what the client says -> the status it is refused with at once, without waiting for more
REFUSED = {
    "TLS": (b"\x16\x03\x01\x02", 400),
    "space first": (b" GET / HTTP/1.1\r\n", 400),
    "bare LF": (b"GET / HTTP/1.1\n", 400),
    "bare LF in a field": (b"GET / HTTP/1.1\r\nHost: a\n", 400),
    "a lone LF": (b"\n", 400),
    "a request line that never ends": (b"GET /" + b"a" * 100, 414),
    "a long request line": (b"GET /" + b"a" * 100 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "a head that never ends": (b"GET / HTTP/1.1\r\nX: " + b"a" * 500, 431),
    "a long head": (b"GET / HTTP/1.1\r\nX: " + b"a" * 500 + b"\r\nHost: a\r\n\r\n", 431),
    "many fields": (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 5 + b"\r\n", 431),
    "a length over the limit": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n", 413),
    "a chunk over the limit": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n",
        413,
    ),
    "a bad chunk": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab", 400),
    "both framings": (POST.replace(b"Host", b"Transfer-Encoding: chunked\r\nHost"), 400),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("before", [b"", POST], ids=["first", "second"])
def test_a_refusal_is_a_problem_and_ends_the_connection(name, before):
    said, status = REFUSED[name]
    for pieces in ([before + said], [before, *octets(said)]):
        talk = Talk(LIMITED)
        output = talk.say(*[piece for piece in pieces if piece])
        if before:
            first, _, output = output.partition(b"hello")
            assert first.startswith(b"HTTP/1.1 200")
        assert refusal(output) == status
        assert talk.core.shutdown is Shutdown.LINGER
        assert talk.say(GET * 10) == b"", "what follows may be smuggled"


def test_a_refused_body_over_the_discard_limit_ends_the_connection():
    talk = Talk(LIMITED)
    output = talk.say(b"POST /no HTTP/1.1\r\nHost: a\r\nContent-Length: 51\r\n\r\n")
    assert b"Connection: close" in output
    assert talk.core.shutdown is Shutdown.LINGER


def test_a_half_closed_client_gets_all_its_answers():
    talk = Talk()
    talk.answers_later = True
    assert talk.say(POST + GET) == b""
    assert talk.hang_up() == b""
    talk.core.respond(200, b"1", "text/plain", 0.0)
    talk.turn()
    talk.core.respond(200, b"2", "text/plain", 0.0)
    talk.turn()
    assert responses(talk.take(), b"GET", b"GET") == [(200, b"1"), (200, b"2")]
    assert talk.core.shutdown is Shutdown.CLOSE


def test_hanging_up_between_requests_closes_and_inside_a_head_or_body_is_told():
    talk = Talk()
    talk.say(POST)
    assert talk.hang_up() == b""
    assert talk.core.shutdown is Shutdown.CLOSE
    for said in (POST[:10], POST[:-1], CHUNKED[:-1]):
        talk = Talk()
        assert talk.say(said) == b""
        assert refusal(talk.hang_up()) == 400
        assert talk.core.shutdown is Shutdown.CLOSE


@pytest.mark.parametrize("said", [b"3\r\nabc\r\n", b"7\r\nabc"])
def test_a_stream_that_breaks_off_hands_over_what_came_and_still_gets_its_answer(said):
    talk = Talk()
    output = talk.say(stream() + said)
    output += talk.hang_up()
    assert responses(output, b"GET") == [(202, b"abcfailed")]
    assert isinstance(talk.events[-1], BodyFailed)
    assert talk.core.shutdown is Shutdown.CLOSE


def test_a_stream_with_a_fault_hands_over_what_came_before_it():
    talk = Talk()
    output = talk.say(stream() + b"3\r\nabc\r\nxyz")
    assert responses(output, b"GET") == [(202, b"abcfailed")]
    assert talk.core.shutdown is Shutdown.LINGER
    assert talk.say(GET) == b""


def test_a_stream_answered_before_its_end_closes():
    talk = Talk()
    talk.say(stream() + b"3\r\nabc\r\n")
    talk.core.end(0.0)
    assert talk.take() == b"0\r\n\r\n"
    assert talk.core.shutdown is Shutdown.LINGER


def test_no_more_than_a_bound_of_later_requests_is_asked_for():
    talk = Talk(HTTPLimits(read_ahead_octets=100))
    talk.answers_later = True
    talk.say(GET)
    assert talk.core.wants_octets
    talk.say(POST * 4)
    assert not talk.core.wants_octets
    talk.answers_later = False
    talk.core.respond(200, b"", "text/plain", 0.0)
    talk.turn()
    assert len(responses(talk.take(), *[b"GET"] * 5)) == 5
    assert talk.core.wants_octets


def test_an_idle_connection_keeps_nothing_of_what_it_read():
    talk = Talk(body_limit=1 << 20)
    talk.say(POST.replace(b"5", b"500000") + b"x" * 499_995)
    assert talk.core._data == b""


def test_no_request_is_begun_while_the_client_does_not_take_its_answers():
    talk = Talk()
    talk.core.block_output(0.0)
    assert talk.say(GET) == b""
    assert talk.events == []
    talk.core.unblock_output(0.0)
    talk.turn()
    assert responses(talk.take(), b"GET") == [(200, b"")]


def test_a_server_that_stops_closes_idle_connections_now_and_busy_ones_after_their_answer():
    talk = Talk()
    talk.say(POST)
    talk.core.finish(0.0)
    assert talk.core.shutdown is Shutdown.CLOSE
    talk = Talk()
    talk.answers_later = True
    talk.say(POST)
    talk.core.finish(0.0)
    assert talk.core.shutdown is Shutdown.STAY
    talk.core.respond(200, b"", "text/plain", 0.0)
    assert b"Connection: close" in talk.take()
    assert talk.core.shutdown is Shutdown.CLOSE


def test_a_second_response_is_our_bug():
    talk = Talk()
    talk.answers_later = True
    talk.say(POST)
    talk.core.start(200, "text/plain")
    with pytest.raises(AssertionError):
        talk.core.respond(200, b"", "text/plain", 0.0)


# ---- time


def test_an_idle_connection_is_closed_silently_after_a_minute():
    talk = Talk()
    assert talk.core.next_deadline() == 60
    talk.now = 5
    talk.say(POST)
    assert talk.core.next_deadline() == 65
    assert talk.at(65) == b""
    assert talk.core.shutdown is Shutdown.CLOSE


def test_a_head_has_ten_seconds_however_it_dribbles():
    talk = Talk()
    talk.now = 7
    for octet in octets(GET[:-1]):
        assert talk.say(octet) == b""
        assert talk.core.next_deadline() == 17
        assert talk.at(talk.now + 0.1) == b""
    assert talk.at(16.9) == b""
    assert refusal(talk.at(17)) == 408
    assert talk.core.shutdown is Shutdown.LINGER
    talk.at(19)
    assert talk.core.shutdown is Shutdown.CLOSE


def test_the_head_of_a_pipelined_request_has_its_time_from_when_it_is_looked_at():
    talk = Talk()
    talk.answers_later = True
    talk.say(GET + GET[:5])
    assert talk.core.next_deadline() == float("inf"), "the client waits for us"
    talk.now = 100
    talk.core.respond(200, b"", "text/plain", 100)
    talk.turn()
    assert talk.core.next_deadline() == 110


def test_a_body_must_bring_ten_KiB_in_every_ten_seconds():
    talk = Talk(body_limit=1 << 20)
    head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
    talk.say(head, b"x" * 10240)
    assert talk.at(10) == b"", "fast enough"
    talk.say(b"x" * 500_000)
    assert talk.at(20) == b"", "fast enough"
    talk.say(b"x" * 10239)
    assert talk.core.next_deadline() == 30
    assert refusal(talk.at(30)) == 408, "what came fast before earns nothing"


def test_a_stream_may_be_slow_but_not_silent_for_a_minute():
    talk = Talk()
    talk.say(stream())
    for second in range(0, 600, 50):
        talk.at(second)
        talk.say(b"1\r\na\r\n")
    talk.at(600)
    assert talk.core.shutdown is Shutdown.STAY
    assert talk.at(660) == b"6\r\nfailed\r\n0\r\n\r\n"
    assert talk.core.shutdown is Shutdown.LINGER


def test_the_clock_of_a_body_stands_while_we_do_not_read():
    talk = Talk()
    talk.say(stream())
    talk.core.pause()
    assert talk.core.next_deadline() == float("inf")
    talk.core.resume(1000)
    assert talk.core.next_deadline() == 1060


def test_the_rest_of_a_refused_body_must_come_in_time():
    talk = Talk()
    talk.say(POST.replace(b"/echo", b"/no")[:-1])
    talk.at(10)
    assert talk.core.shutdown is Shutdown.LINGER


def test_a_client_that_takes_nothing_for_a_minute_is_dropped():
    talk = Talk()
    talk.answers_later = True
    talk.say(GET)
    talk.core.block_output(3)
    assert talk.core.next_deadline() == 63
    talk.at(63)
    assert talk.core.shutdown is Shutdown.ABORT


def test_a_connection_that_cannot_be_closed_for_a_minute_is_dropped():
    talk = Talk()
    talk.say(GET.replace(b"1.1", b"1.0"))
    assert talk.core.shutdown is Shutdown.CLOSE
    talk.at(60)
    assert talk.core.shutdown is Shutdown.ABORT


@given(
    st.lists(
        st.binary(max_size=80) | st.sampled_from([GET, POST, CHUNKED, stream(), b"\r\n\r\n"]), max_size=8
    )
)
def test_whatever_a_client_says_is_answered_or_ends_the_connection_and_never_raises(pieces):
    talk = Talk(LIMITED)
    talk.say(*[piece for piece in pieces if piece])
    talk.hang_up()
    for now in (100, 200, 300):
        talk.at(now)
    assert talk.core.shutdown is not Shutdown.STAY
