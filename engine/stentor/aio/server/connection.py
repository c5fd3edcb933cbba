"""One connection of the server: pumps octets, events and responses between transport, core and application.

There is no task and no future here. Invariants: at most one exchange is open at a time, and it is let go
(``detach``) exactly once; reading is on exactly while the core, the application and the client's appetite for
our output all allow it; whatever the core says of ``shutdown`` is done to the transport once.
"""

import asyncio
from collections.abc import Callable
from typing import Final, cast

import msgspec

from stentor.aio.server.exchange import (
    Answer,
    Application,
    BodyMode,
    Exchange,
    Fields,
    Peer,
    PeerKind,
    answer_problem,
)
from stentor.aio.server.turns import Turns
from stentor.wire.head import HeadMemo, RequestHead, ResponseHeads
from stentor.wire.http import ServerConnection
from stentor.wire.lines import LINE_LIMIT, LineSplitter
from stentor.wire.problem import Problem, problem
from stentor.wire.states import Body, BodyPiece, HTTPLimits, Shutdown


class ServerLimits(msgspec.Struct, frozen=True, gc=False):
    """Bounds of a server; each default with its reason."""

    http: HTTPLimits = HTTPLimits()
    # Of each kind, so that a flood from the network leaves room for local clients. Each may hold 64 KiB of requests
    # read ahead and 64 KiB of responses: 512 MiB if all are hostile at once.
    connections: int = 2048
    # Connections over the limit are told so and lingered with; beyond these the kernel's queue holds them.
    refused_connections: int = 256
    # Said to clients over the limit: connections come free as requests end, which takes well under a second.
    retry_after_s: int = 1
    line_octets: int = LINE_LIMIT
    # uvloop's own low mark is 16 octets, so both marks are always set.
    output_high_octets: int = 64 * 1024
    output_low_octets: int = 16 * 1024
    # A subscriber this far behind is not reading: 1 MiB is some 2,000 events.
    output_limit_octets: int = 1024 * 1024
    # Many a client sends all its lines before it reads the first result, and would hang if we stopped reading
    # at 64 KiB of results. A few of them at a time may leave this much untaken: some 25,000 results each.
    patient_streams: int = 16
    patient_high_octets: int = 4 * 1024 * 1024
    # Reading has long stopped when a stream of lines owes this much: only a handler without bounds gets here.
    lines_output_limit_octets: int = 16 * 1024 * 1024
    # Deadlines are looked at this often, for all connections by one timer.
    sweep_s: float = 1.0
    accept_batch: int = 128
    # Without descriptors, accepting is tried again this often; connections wait in the kernel meanwhile.
    accept_retry_s: float = 0.25


class Site:
    """What the connections of one server share."""

    __slots__ = (
        "_patient",
        "application",
        "connections",
        "heads",
        "is_closing",
        "limits",
        "loop",
        "memo",
        "on_lost",
        "requests",
        "turns",
    )

    def __init__(
        self,
        application: Application,
        limits: ServerLimits,
        loop: asyncio.AbstractEventLoop,
        on_lost: Callable[["Connection"], None],
    ) -> None:
        self.application = application
        self.limits = limits
        self.loop = loop
        self.on_lost = on_lost
        self.memo = HeadMemo(limits.http.header_count)
        self.heads = ResponseHeads()
        self.connections: set[Connection] = set()
        self.is_closing = False
        self.requests = 0
        self.turns = Turns(loop)
        self._patient = 0

    def take_patience(self) -> bool:
        """Whether one more stream may leave many results untaken; give it back when the stream is over."""
        if self._patient >= self.limits.patient_streams:
            return False
        self._patient += 1
        return True

    def give_patience_back(self) -> None:
        self._patient -= 1


READ_OCTETS: Final = 64 * 1024
"""What one read brings at most: about 500 messages of a stream, few milliseconds of work before others have a turn."""
# One for all connections: what is in it is taken out again before the loop does anything else.
_BUFFER: Final = bytearray(READ_OCTETS)
_VIEW: Final = memoryview(_BUFFER)


class Connection(asyncio.BufferedProtocol):
    """The protocol of one connection, Unix or TCP. ``refusal`` is said at once instead of serving."""

    __slots__ = (
        "_core",
        "_exchange",
        "_is_advancing",
        "_is_held",
        "_is_patient",
        "_is_put_off",
        "_is_reading",
        "_peer",
        "_refusal",
        "_shutdown",
        "_site",
        "_splitter",
        "_time",
        "_transport",
        "is_blocked",
    )

    def __init__(self, site: Site, peer: Peer, refusal: Problem | None = None) -> None:
        self._site = site
        self._peer = peer
        self._refusal = refusal
        self._time = site.loop.time
        self._core = ServerConnection(site.limits.http, site.memo, site.heads, self._time())
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._splitter: LineSplitter | None = None
        self._is_advancing = False
        self._is_reading = True
        self._is_held = False  # the application has paused reading
        self._is_patient = False
        self._is_put_off = False
        self._shutdown = Shutdown.STAY
        self.is_blocked = False

    @property
    def kind(self) -> PeerKind:
        """The kind of listener it came in by."""
        return self._peer.kind

    # ---- what the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        limits = self._site.limits
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(limits.output_high_octets, limits.output_low_octets)
        self._site.connections.add(self)
        now = self._time()
        if self._refusal is not None:
            self._core.refuse(self._refusal, now, [("Retry-After", str(limits.retry_after_s))])
        elif self._site.is_closing:
            self._core.finish(now)
        self._settle(now)

    def get_buffer(self, sizehint: int) -> bytearray:
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        now = self._time()
        self._core.receive(bytes(_VIEW[:nbytes]), now)
        # A crowd comes by the network; streams have an order of their own for when they bring too much. Who was refused
        # is only read to its end.
        if self._peer.kind is not PeerKind.TCP or self._splitter is not None or self._refusal is not None:
            self._advance(now)
            return
        turns = self._site.turns
        if turns.is_spent:
            self._put_off(now)
        else:
            self._advance(now)
            turns.done()

    def _put_off(self, now: float) -> None:
        """Others have the time there is, or came before."""
        if not self._is_put_off:
            self._is_put_off = True
            self._site.turns.put_off(self._take_turn)
        self._set_reading(now)

    def _take_turn(self) -> None:
        self._is_put_off = False
        if self._transport is not None:
            self._advance(self._time())

    def eof_received(self) -> bool:
        now = self._time()
        self._core.receive_eof(now)
        self._advance(now)
        return True  # a client that has only ended its own side still gets its answers

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._release(is_lost=True)
        self._site.connections.discard(self)
        self._site.on_lost(self)

    def pause_writing(self) -> None:
        exchange = self._exchange
        is_lines = exchange is not None and exchange.route.mode is BodyMode.LINES
        if is_lines and not self._is_patient and self._site.take_patience():
            self._is_patient = True
            high = self._site.limits.patient_high_octets
            self._live_transport().set_write_buffer_limits(high, high // 4)
        else:
            self._block()

    def resume_writing(self) -> None:
        if not self.is_blocked:
            return
        self.is_blocked = False
        now = self._time()
        self._core.unblock_output(now)
        exchange = self._exchange
        if exchange is not None and exchange.on_writable is not None:
            self._call(exchange.on_writable)
        self._advance(now)

    # ---- what the server tells

    @property
    def deadline(self) -> float:
        """When ``expire`` is due."""
        return self._core.next_deadline()

    def expire(self, now: float) -> None:
        self._core.expire(now)
        self._advance(now)

    def finish(self) -> None:
        """The server stops: close when the request in hand, if any, is answered."""
        now = self._time()
        self._core.finish(now)
        if self._exchange is not None and self._exchange.on_drain is not None:
            self._call(self._exchange.on_drain)
        self._advance(now)

    # ---- what the application does, by its exchange

    @property
    def unsent_octets(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def respond(self, status: int, body: bytes, content_type: str, fields: Fields) -> None:
        now = self._time()
        self._core.respond(status, body, content_type, now, fields)
        self._release(is_lost=False)
        self._advance(now)

    def start(self, status: int, content_type: str, fields: Fields) -> None:
        self._core.start(status, content_type, fields)
        if not self._is_advancing:
            self._flush()  # else with what follows

    def send(self, data: bytes) -> None:
        assert self._exchange is not None
        limits, route = self._site.limits, self._exchange.route
        is_lines = route.mode is BodyMode.LINES
        limit = route.output_limit
        if limit is None:
            limit = limits.lines_output_limit_octets if is_lines else limits.output_limit_octets
        unsent = self.unsent_octets
        if unsent > limit:
            self.drop()
            return
        self._core.send(data)
        self._flush()
        # The transport tells of its high mark only once, and that was before patience.
        if self._is_patient and not self.is_blocked and unsent > limits.patient_high_octets:
            self._block()

    def end(self) -> None:
        now = self._time()
        self._core.end(now)
        self._release(is_lost=False)
        self._advance(now)

    def drop(self) -> None:
        self._core.abort()
        self._settle(self._time())

    def pause_reading(self) -> None:
        self._is_held = True
        self._set_reading(self._time())

    def resume_reading(self) -> None:
        self._is_held = False
        self._set_reading(self._time())

    # ---- events

    def _advance(self, now: float) -> None:
        """Take events until there are none, then write and set the transport right. Does not nest."""
        if self._is_advancing:
            return
        self._is_advancing = True
        core = self._core
        try:
            while (event := core.next_event(now)) is not None:
                kind = type(event)
                if kind is RequestHead:
                    self._take_head(cast(RequestHead, event), now)
                elif kind is Body:
                    self._handle(cast(Body, event).data)
                elif kind is BodyPiece:
                    self._take_piece(cast(BodyPiece, event))
                else:
                    self._end_lines(event.problem)  # type: ignore[union-attr]  # set while lines come
                self._flush()
        finally:
            self._is_advancing = False
        self._settle(now)

    def _take_head(self, head: RequestHead, now: float) -> None:
        self._site.requests += 1
        try:
            decision = self._site.application.route(head, self._peer)
        except Exception as error:
            self._report(error)
            decision = _internal_error()
        if type(decision) is Answer:
            answer = decision
            self._core.respond(answer.status, answer.body, answer.content_type, now, answer.fields)
            return
        assert not isinstance(decision, Answer)
        self._exchange = Exchange(self, head, self._peer, decision)
        is_streamed = decision.mode is BodyMode.LINES
        body = self._core.take_body(decision.body_limit, now, is_streamed=is_streamed)
        if is_streamed and self._core.shutdown is Shutdown.STAY:
            self._splitter = LineSplitter(self._site.limits.line_octets)
            self._handle(b"")
        elif body is not None:
            self._handle(body)

    def _handle(self, body: bytes) -> None:
        exchange = self._exchange
        assert exchange is not None
        exchange.body = body
        try:
            self._site.application.handle(exchange)
        except Exception as error:
            self._fault(error)

    def _take_piece(self, piece: BodyPiece) -> None:
        exchange, splitter = self._exchange, self._splitter
        assert exchange is not None
        assert splitter is not None
        lines = splitter.feed(piece.data)
        if piece.is_last:
            lines += splitter.finish()
        if lines:
            handler = exchange.line_handler
            assert handler is not None, "a handler of lines is set by handle()"
            try:
                handler.on_lines(exchange, lines)
            except Exception as error:
                self._fault(error)
        if piece.is_last and not exchange.is_closed:
            self._end_lines(None)

    def _end_lines(self, fault: Problem | None) -> None:
        exchange = self._exchange
        assert exchange is not None
        handler = exchange.line_handler
        assert handler is not None, "a handler of lines is set by handle()"
        try:
            handler.on_lines_end(exchange, fault)
        except Exception as error:
            self._fault(error)

    # ---- faults of our own

    def _call(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception as error:
            self._fault(error)

    def _fault(self, error: Exception) -> None:
        """The application raised: the loop's exception handler is told, the client gets 500 or is cut."""
        self._report(error)
        if self._exchange is None:
            return
        if self._core.has_begun_response:
            self.drop()
        else:
            answer = _internal_error()
            self._exchange.respond(answer.status, answer.body, answer.content_type)

    def _report(self, error: Exception) -> None:
        message = "the application failed to serve a request"
        self._site.loop.call_exception_handler({"message": message, "exception": error, "protocol": self})

    # ---- the transport

    def _live_transport(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport

    def _release(self, *, is_lost: bool) -> None:
        """Let go of the exchange in hand."""
        exchange = self._exchange
        if exchange is None:
            return
        self._exchange = self._splitter = None
        self._is_held = False
        if self._is_patient:
            self._is_patient = False
            self._site.give_patience_back()
            if self._transport is not None:
                limits = self._site.limits
                self._transport.set_write_buffer_limits(limits.output_high_octets, limits.output_low_octets)
        try:
            exchange.detach(is_lost=is_lost)
        except Exception as error:
            self._report(error)

    def _flush(self) -> None:
        output = self._core.take_output()
        if output and self._transport is not None:
            self._transport.write(output)

    def _block(self) -> None:
        self.is_blocked = True
        now = self._time()
        self._core.block_output(now)
        self._set_reading(now)

    def _settle(self, now: float) -> None:
        self._flush()
        if self._core.shutdown is not self._shutdown:
            self._shut()
        self._set_reading(now)

    def _shut(self) -> None:
        shutdown = self._shutdown = self._core.shutdown
        self._release(is_lost=True)
        transport = self._transport
        if transport is None:
            return
        if shutdown is Shutdown.LINGER:
            transport.write_eof()
        elif shutdown is Shutdown.CLOSE:
            transport.close()
        else:
            transport.abort()

    def _set_reading(self, now: float) -> None:
        is_wanted = self._shutdown is Shutdown.LINGER or (
            not self.is_blocked and not self._is_held and self._core.wants_octets
        )
        transport = self._transport
        if is_wanted is self._is_reading or transport is None or transport.is_closing():
            return
        self._is_reading = is_wanted
        if is_wanted:
            transport.resume_reading()
            self._core.resume(now)
        else:
            transport.pause_reading()
            self._core.pause()


def _internal_error() -> Answer:
    return answer_problem(problem(500, "the request met a fault of the daemon", "internal_error"))
