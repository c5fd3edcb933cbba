"""The server's side of one HTTP/1.1 connection, sans-IO (RFC 9112).

Octets and times go in (``receive``, ``receive_eof``, ``expire``), events come out one at a time
(``next_event``), and so do octets to write (``take_output``), the next deadline and what to do with the
transport (``shutdown``). What the application decides goes in between: ``take_body`` or ``respond`` for a
head, ``respond`` or ``start``/``send``/``end`` for the answer. Whatever a client does is an answer or a
shutdown; an assertion here is a bug of the shell or the application.

Invariants: one request is in hand at a time and its response is complete before the next head is looked at;
octets of later requests wait in ``_data``, which the shell keeps near ``read_ahead_octets`` by heeding
``wants_octets``; a streamed body is never kept; after LINGER or CLOSED no event comes any more.

The request's phases are the table ``states.NEXT_PHASES``; the response goes NONE, OPEN, COMPLETE beside them.
"""

import math
from collections.abc import Iterable

from stentor.wire import problem as problems
from stentor.wire.body import ChunkedBody, LengthBody, too_large
from stentor.wire.head import HeadMemo, RequestHead, ResponseHeads, bare_line_end, encode_fields, malformed
from stentor.wire.problem import Problem, problem
from stentor.wire.states import (
    NEXT_PHASES,
    Body,
    BodyFailed,
    BodyPiece,
    Event,
    HTTPLimits,
    Phase,
    Response,
    Shutdown,
)

_READING_BODY = frozenset({Phase.WHOLE, Phase.STREAM, Phase.DISCARD})
_BETWEEN = frozenset({Phase.IDLE, Phase.HEAD})
_NEVER = math.inf


class ServerConnection:
    """One connection as seen by the server. Times are monotonic seconds."""

    __slots__ = (
        "_blocked_at",
        "_body",
        "_data",
        "_deadline",
        "_has_ended",
        "_head",
        "_heads",
        "_is_last",
        "_is_paused",
        "_is_unread",
        "_limits",
        "_memo",
        "_output",
        "_pending",
        "_phase",
        "_pieces",
        "_position",
        "_response",
        "_searched",
        "_window_octets",
        "shutdown",
    )

    def __init__(self, limits: HTTPLimits, memo: HeadMemo, heads: ResponseHeads, now: float) -> None:
        self._limits = limits
        self._memo = memo
        self._heads = heads
        self._phase = Phase.IDLE
        self._response = Response.NONE
        self._data = b""
        self._position = 0  # what of _data has been taken
        self._searched = 0  # up to where _data holds no end of a head
        self._has_ended = False  # the client has said that nothing more comes
        self._head: RequestHead | None = None
        self._body: LengthBody | ChunkedBody | None = None
        self._pieces: list[bytes] = []
        self._pending: BodyFailed | None = None
        self._output: list[bytes] = []
        self._is_last = False  # the connection closes after this response
        self._is_unread = False  # some of the request in hand will never be read
        self._deadline = now + limits.idle_s
        self._window_octets = 0
        self._is_paused = False
        self._blocked_at = _NEVER
        self.shutdown = Shutdown.STAY

    # ---- what the client does

    def receive(self, data: bytes, now: float) -> None:
        """Take octets from the client; then ask ``next_event`` until it has none."""
        phase = self._phase
        if phase is Phase.IDLE:
            self._enter(Phase.HEAD, now + self._limits.head_s)
        elif phase in _READING_BODY:
            self._window_octets += len(data)
        elif phase is Phase.LINGER or phase is Phase.CLOSED:
            return
        if self._position == len(self._data):
            self._data = data
            self._searched = 0
        else:
            self._data = self._data[self._position :] + data
            self._searched = max(0, self._searched - self._position)
        self._position = 0

    def receive_eof(self, now: float) -> None:
        """The client has ended its side. What it sent in full is still answered."""
        self._has_ended = True
        if self._phase is Phase.LINGER:
            self._close(now)

    def next_event(self, now: float) -> Event | None:
        """The next event, or None until more octets or the application's decision are there."""
        phase = self._phase
        if phase is Phase.HEAD or phase is Phase.IDLE:
            return self._next_head(now)
        if phase in _READING_BODY:
            return self._next_body(now)
        if self._pending is None:
            return None
        if self._pieces:
            return BodyPiece(self._join_pieces(), is_last=False)
        failed, self._pending = self._pending, None
        return failed

    # ---- what the application decides

    def take_body(self, limit: int | None, now: float, *, is_streamed: bool = False) -> bytes | None:
        """Let the body of the request just routed come. One longer than ``limit`` is answered 413.

        Returns a whole body that is already there; else it comes as an event, or in pieces if streamed.
        """
        head = self._head
        assert self._phase is Phase.ROUTING
        assert head is not None
        length = head.content_length
        if length is not None:
            if limit is not None and length > limit:
                self._refuse(too_large(limit), now)
                return None
            end = self._position + length
            if not is_streamed and end <= len(self._data):
                body = self._data[self._position : end]
                self._position = end
                self._enter(Phase.SERVE, _NEVER)
                return body
        self._body = ChunkedBody(limit) if length is None else LengthBody(length)
        if head.expects_continue and length != 0 and self._position == len(self._data):
            self._output.append(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._enter(Phase.STREAM if is_streamed else Phase.WHOLE, _NEVER)
        self._open_window(now)
        return None

    def respond(
        self,
        status: int,
        body: bytes,
        content_type: str,
        now: float,
        fields: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Answer the request in hand with a whole response."""
        request = self._head
        assert request is not None
        is_last = self._begin_response(request, is_whole=True)
        encoded = encode_fields(fields) if fields else b""
        head = self._heads.fixed(status, content_type, len(body), is_last=is_last, fields=encoded)
        self._output.append(head if request.method == "HEAD" else head + body)
        self._complete(now)

    def start(self, status: int, content_type: str, fields: Iterable[tuple[str, str]] = ()) -> None:
        """Begin a response of unknown length; a streamed request body may still be coming."""
        head = self._head
        assert head is not None
        assert self._phase is not Phase.ROUTING
        is_last = self._begin_response(head, is_whole=False)
        self._response = Response.OPEN
        is_chunked = not head.is_http_1_0
        self._output.append(
            self._heads.streamed(
                status, content_type, is_last=is_last, is_chunked=is_chunked, fields=encode_fields(fields)
            )
        )

    def send(self, data: bytes) -> None:
        """Some of the body of a response that was started."""
        head = self._head
        assert self._response is Response.OPEN
        assert head is not None
        if not data or head.method == "HEAD":
            return
        self._output.append(data if head.is_http_1_0 else b"%x\r\n%b\r\n" % (len(data), data))

    def end(self, now: float) -> None:
        """The end of a response that was started; the connection closes if the request's body is coming."""
        head = self._head
        assert self._response is Response.OPEN
        assert head is not None
        if not head.is_http_1_0 and head.method != "HEAD":
            self._output.append(b"0\r\n\r\n")
        self._complete(now)

    def refuse(self, refusal: Problem, now: float, fields: Iterable[tuple[str, str]] = ()) -> None:
        """Answer before any request is there, and close."""
        assert self._phase in _BETWEEN
        self._refuse(refusal, now, fields)

    def finish(self, now: float) -> None:
        """The server stops: an idle connection closes, a busy one after its response."""
        self._is_last = True
        if self._phase is Phase.IDLE:
            self._close(now)

    def abort(self) -> None:
        """Break off at once; the client sees it."""
        self._phase = Phase.CLOSED
        self._deadline = self._blocked_at = _NEVER
        self.shutdown = Shutdown.ABORT

    # ---- what the transport does

    def take_output(self) -> bytes:
        """What is to be written now."""
        output = self._output
        if not output:
            return b""
        data = output[0] if len(output) == 1 else b"".join(output)
        output.clear()
        return data

    def block_output(self, now: float) -> None:
        """The client does not take what was written: no further request is begun until it does."""
        self._blocked_at = now

    def unblock_output(self, now: float) -> None:
        """The client took it."""
        self._blocked_at = _NEVER
        if self._phase is Phase.IDLE:
            self._deadline = now + self._limits.idle_s

    def pause(self) -> None:
        """We have stopped reading: the client's clock stands still."""
        self._is_paused = True
        if self._phase in _READING_BODY:
            self._deadline = _NEVER

    def resume(self, now: float) -> None:
        """We read again."""
        self._is_paused = False
        if self._phase in _READING_BODY:
            self._open_window(now)

    @property
    def wants_octets(self) -> bool:
        """False while enough of later requests waits."""
        return (
            self._phase is not Phase.SERVE
            or len(self._data) - self._position <= self._limits.read_ahead_octets
        )

    @property
    def has_begun_response(self) -> bool:
        """True once the response to the request in hand cannot be another."""
        return self._response is not Response.NONE

    # ---- time

    def next_deadline(self) -> float:
        """When ``expire`` is to be called; infinity for never."""
        return min(self._deadline, self._blocked_at + self._limits.stall_s)

    def expire(self, now: float) -> None:
        """Do what is due at ``now``; then ask for events, output and ``shutdown``."""
        if now >= self._blocked_at + self._limits.stall_s:
            self.abort()
        elif now >= self._deadline:
            self._expire_phase(now)

    def _expire_phase(self, now: float) -> None:
        match self._phase:
            case Phase.IDLE | Phase.LINGER:
                self._close(now)
            case Phase.HEAD:
                detail = f"the head of the request was not complete after {self._limits.head_s:g} s"
                self._refuse(problem(408, detail, "request_timeout"), now)
            case Phase.CLOSED:
                self.abort()
            case Phase.STREAM:
                if self._window_octets:
                    self._open_window(now)
                else:
                    detail = f"nothing of the body came for {self._limits.stream_window_s:g} s"
                    self._fail_body(problem(408, detail, "request_timeout"), now)
            case _:
                if self._window_octets >= self._limits.body_window_octets:
                    self._open_window(now)
                else:
                    rate = self._limits.body_window_octets / self._limits.body_window_s
                    detail = f"the body came slower than {rate:g} octets a second"
                    self._fail_body(problem(408, detail, "request_timeout"), now)

    def _open_window(self, now: float) -> None:
        self._window_octets = 0
        limits = self._limits
        window_s = limits.stream_window_s if self._phase is Phase.STREAM else limits.body_window_s
        self._deadline = _NEVER if self._is_paused else now + window_s

    # ---- heads

    def _next_head(self, now: float) -> RequestHead | None:
        if self._blocked_at is not _NEVER:
            return None
        if self._position == len(self._data):
            if self._has_ended:
                self._close(now)
            return None
        if self._phase is Phase.IDLE:
            self._enter(Phase.HEAD, now + self._limits.head_s)
        data = self._data
        # RFC 9112 §2.2: clients of old send an empty line after a body; it is no head and begins none.
        while data.startswith(b"\r\n", self._position):
            self._position += 2
            if self._position == len(data):
                self._enter(Phase.IDLE, now + self._limits.idle_s)
                return None
        end = data.find(b"\r\n\r\n", max(self._searched, self._position))
        if end < 0:
            self._await_head(now)
            return None
        block = data[self._position : end + 4]
        head = self._measure_head(block) or self._memo.read(block)
        if type(head) is Problem:
            self._refuse(head, now)
            return None
        assert type(head) is RequestHead
        self._position = self._searched = end + 4
        self._head = head
        self._enter(Phase.ROUTING, _NEVER)
        return head

    def _measure_head(self, block: bytes) -> Problem | None:
        """A problem if a head, or what is there of it, is over a limit."""
        limits = self._limits
        if len(block) <= limits.request_line_octets and len(block) <= limits.head_octets:
            return None
        line_end = block.find(b"\r\n")
        if line_end < 0 or line_end > limits.request_line_octets:
            detail = f"the request line is longer than {limits.request_line_octets} octets"
            return problem(414, detail, "uri_too_long")
        if len(block) > limits.head_octets:
            detail = f"request line and header fields are longer than {limits.head_octets} octets"
            return problem(431, detail, "header_fields_too_large")
        return None

    def _await_head(self, now: float) -> None:
        """Refuse at once what cannot become a head; else remember how far it was searched."""
        data, start = self._data, self._position
        rest = data[start:]
        fault = self._measure_head(rest)
        if fault is None and (rest[0] < 0x21 and rest != b"\r"):
            fault = malformed("the request does not begin with a method")
        if fault is None and bare_line_end(data, max(start, self._searched - 1)):
            fault = malformed("a line ends in LF without CR")
        if fault is None and self._has_ended:
            fault = malformed("the connection ended inside the head of a request")
        if fault is not None:
            self._refuse(fault, now)
        self._searched = max(start, len(data) - 3)

    # ---- bodies

    def _next_body(self, now: float) -> Event | None:
        body = self._body
        assert body is not None
        if self._position < len(self._data) and not body.is_complete:
            data = self._data[self._position :]
            self._data = body.feed(data, self._pieces)
            self._position = self._searched = 0
        if self._phase is Phase.DISCARD:
            self._pieces.clear()
        if body.problem is not None:
            self._fail_body(body.problem, now)
        elif body.is_complete:
            return self._end_body(now)
        elif self._phase is Phase.STREAM and self._pieces:
            return BodyPiece(self._join_pieces(), is_last=False)
        elif self._has_ended:
            self._fail_body(malformed("the connection ended inside the body"), now)
        else:
            return None
        return self.next_event(now)

    def _end_body(self, now: float) -> Event | None:
        phase = self._phase
        self._body = None
        if phase is Phase.DISCARD:
            self._await_next(now)
            return self.next_event(now)
        self._enter(Phase.SERVE, _NEVER)
        data = self._join_pieces()
        return Body(data) if phase is Phase.WHOLE else BodyPiece(data, is_last=True)

    def _join_pieces(self) -> bytes:
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        return data

    def _fail_body(self, fault: Problem, now: float) -> None:
        """The body cannot be read to its end. Pieces read before the fault are still handed out."""
        self._body = None
        if self._phase is Phase.WHOLE:
            self._pieces.clear()
            self._refuse(fault, now)
        elif self._phase is Phase.DISCARD:
            self._linger(now)
        else:
            self._data, self._position = b"", 0
            self._is_last = self._is_unread = True
            self._pending = BodyFailed(fault)
            self._enter(Phase.SERVE, _NEVER)

    # ---- responses

    def _begin_response(self, head: RequestHead, *, is_whole: bool) -> bool:
        """Decide whether the connection closes after the response to the request in hand."""
        assert self._response is Response.NONE, "a request has one response"
        phase = self._phase
        assert phase is Phase.SERVE or phase is Phase.STREAM or phase is Phase.ROUTING
        length = head.content_length
        if phase is Phase.STREAM and is_whole:
            self._is_last = True  # the rest of the body is as long as it likes
        elif phase is Phase.ROUTING and length != 0:
            # Whoever was promised nothing (100-continue) may or may not send the body: RFC 9110 §10.1.1.
            is_small = length is not None and length <= self._limits.discard_octets
            self._is_unread = not is_small or head.expects_continue
        if self._is_unread or not head.keeps_alive:
            self._is_last = True
        return self._is_last

    def _complete(self, now: float) -> None:
        """The response is said; go on to what follows it."""
        head, phase = self._head, self._phase
        assert head is not None
        self._response = Response.COMPLETE
        self._pending = None
        if phase is Phase.STREAM:
            self._body = None
            self._linger(now)
        elif phase is Phase.ROUTING and not self._is_unread and head.content_length:
            self._body = LengthBody(head.content_length)
            self._enter(Phase.DISCARD, _NEVER)
            self._open_window(now)
        else:
            self._await_next(now)

    def _await_next(self, now: float) -> None:
        self._head = None
        self._response = Response.NONE
        if self._position == len(self._data):
            self._data, self._position = b"", 0  # an idle connection keeps nothing of a read of 256 KiB
        if not self._is_last:
            self._enter(Phase.IDLE, now + self._limits.idle_s)
        elif self._is_unread or self._position < len(self._data):
            self._linger(now)
        else:
            self._close(now)

    def _refuse(self, refusal: Problem, now: float, fields: Iterable[tuple[str, str]] = ()) -> None:
        """Answer for ourselves, and close."""
        body = problems.encode(refusal)
        head = self._heads.fixed(
            refusal.status, problems.CONTENT_TYPE, len(body), is_last=True, fields=encode_fields(fields)
        )
        is_head = self._head is not None and self._head.method == "HEAD"
        self._output.append(head if is_head else head + body)
        self._linger(now)

    # ---- phases

    def _enter(self, phase: Phase, deadline: float) -> None:
        assert phase in NEXT_PHASES[self._phase], f"{self._phase.name} is not followed by {phase.name}"
        self._phase = phase
        self._deadline = deadline

    def _linger(self, now: float) -> None:
        self._data, self._position = b"", 0
        if self._has_ended:
            self._close(now)
            return
        self._enter(Phase.LINGER, now + self._limits.linger_s)
        self.shutdown = Shutdown.LINGER

    def _close(self, now: float) -> None:
        # What was written may still wait for the client to take it; the deadline is for one that never does.
        self._enter(Phase.CLOSED, now + self._limits.stall_s)
        self.shutdown = Shutdown.CLOSE
