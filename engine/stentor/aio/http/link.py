"""One connection to a server and the exchanges over it, one at a time.

Whatever the server does ends the exchange with a value. Invariants: at most one exchange is under way; one timer, which
is moved only when it fires; after a fault, a cancellation or a stray octet the connection is closed and never used
again.
"""

import asyncio
import enum
import os
import select
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

import msgspec

from stentor.aio.http.settings import ClientSettings
from stentor.wire.answer import Answer, AnswerReader, BadAnswer
from stentor.wire.calls import FailureKind

Write = Callable[[bytes], None]
"""Writes a whole request; it never waits."""
_EARLY_S: Final = 0.002  # event loops round timers to milliseconds


class Fault(msgspec.Struct, frozen=True, gc=False):
    """Why an exchange has no answer. ``is_stale``: the connection ended before an octet of an answer came."""

    kind: FailureKind
    detail: str
    is_stale: bool = False


class Phase(enum.Enum):
    """What the exchange waits for."""

    WRITE = "the request was not taken"
    ANSWER = "no answer"
    BODY = "the answer was not complete"


class Link(asyncio.Protocol):
    """A connection. ``idle_at`` is when its last exchange ended, ``idle_s`` how long it may be kept from then."""

    def __init__(self, settings: ClientSettings, lost: Callable[["Link"], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._limits = {
            Phase.WRITE: settings.write_s,
            Phase.ANSWER: settings.answer_s,
            Phase.BODY: settings.body_s,
        }
        # No deadline set while the timer runs can come before it fires.
        self._step_s = min(self._limits.values())
        self._lost = lost
        self._reader = AnswerReader(settings.body_limit, cuts_body=settings.cuts_body)
        self._done: Callable[[Answer | Fault], None] | None = None  # of the exchange under way
        self._phase = Phase.ANSWER
        self._is_paused = False
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._poll: select.poll | None = None
        self.remote = ""
        self.origin = ""
        self.idle_at = 0.0
        self.idle_s = settings.idle_s
        self.is_open = False
        self.error: Exception | None = None  # what the connection was lost by, None for an end in good order

    # ---- for the pool

    @property
    def transport(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport

    def start(self, transport: asyncio.Transport) -> None:
        """Use this transport from now on: the first, or the one TLS has put on it."""
        self._transport = transport
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple) and len(peer) >= 2:
            host = f"[{peer[0]}]" if ":" in str(peer[0]) else peer[0]
            self.remote = f"{host}:{peer[1]}"
        sock: Any = transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            self._poll = select.poll()
            self._poll.register(sock.fileno(), select.POLLIN)

    def is_quiet(self) -> bool:
        """Nothing has come since the last answer, not even what the event loop has not read yet.

        A server that closes an idle connection does so in this moment or any other: what has arrived is seen here,
        what is still on its way cannot be.
        """
        if not self.is_open or self.transport.is_closing():
            return False
        return self._poll is None or not self._poll.poll(0)

    def is_reusable_after(self, answer: Answer) -> bool:
        """True if another exchange may follow the one that gave this answer."""
        if not (answer.keeps_alive and self.is_open) or self._is_paused or self.transport.is_closing():
            return False
        if "keep-alive" in answer.fields:
            # Half a second is what a packet may take to where the connection is being closed.
            self.idle_s = min(self.idle_s, max(0.0, answer.idle_s - 0.5))
        return self.idle_s > 0

    def close(self) -> None:
        """Close in good order. An exchange under way ends in doubt."""
        self.is_open = False
        if self._transport is not None:
            if self._transport.get_write_buffer_size():
                self._transport.abort()  # octets that the server does not take must not keep the socket
            else:
                self._transport.close()
        self._end(Fault(FailureKind.MAY_HAVE_LEFT, "the connection was closed on our side"))

    def abort(self) -> None:
        """Close at once, whatever is still to be written."""
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    async def exchange(self, octets: bytes, *, has_body: bool = True) -> Answer | Fault:
        """Write a request and wait for its answer; ``has_body`` False for HEAD and CONNECT."""
        waiter: asyncio.Future[Answer | Fault] = self._loop.create_future()
        write = self.expect(partial(_settle, waiter), self._loop.time(), has_body=has_body)
        write(octets)
        try:
            return await waiter
        except BaseException:
            self._done = None
            self.abort()  # an answer left unread would be taken for the next one's
            raise

    def expect(self, done: Callable[[Answer | Fault], None], now: float, *, has_body: bool = True) -> Write:
        """The same without waiting: ``done`` is called once, later, with what came of the request that is written now
        with what this returns."""
        assert self._done is None, "one exchange at a time"
        self._done = done
        self._reader.begin(has_body=has_body)
        self._enter(Phase.ANSWER, now)
        if self._timer is None:
            self._arm(now)
        return self.transport.write

    # ---- for the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.is_open = True
        self.start(cast(asyncio.Transport, transport))

    def data_received(self, data: bytes) -> None:
        if self._done is None:
            self.abort()  # nobody asked
            return
        reader = self._reader
        is_first = not reader.has_begun
        answer = reader.feed(data)
        if answer is None:
            if is_first:
                self._enter(Phase.BODY, self._loop.time())
        elif type(answer) is BadAnswer:
            self.abort()
            self._end(Fault(FailureKind.BAD_ANSWER, answer.detail))
        else:
            self._end(cast(Answer, answer))

    def eof_received(self) -> None:
        self._finish(None)

    def connection_lost(self, error: Exception | None) -> None:
        self.error = error
        self._finish(error)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._poll = None
        self._lost(self)

    def pause_writing(self) -> None:
        self._is_paused = True
        if not self._reader.has_begun:
            self._enter(Phase.WRITE, self._loop.time())

    def resume_writing(self) -> None:
        self._is_paused = False
        if self._phase is Phase.WRITE:
            self._enter(Phase.ANSWER, self._loop.time())

    # ---- ends

    def _finish(self, error: Exception | None) -> None:
        """Nothing more comes. In good order that is how some answers end; a reset may have cut them."""
        self.is_open = False
        if self._done is None:
            return
        answer = self._reader.finish() if error is None else None
        if answer is not None:
            self._end(answer)
            return
        detail = f"the connection was lost ({reason(error)})" if error else "the connection was closed"
        has_begun = self._reader.has_begun
        place = "within the answer" if has_begun else "before an answer"
        said = self._said()
        self._end(Fault(FailureKind.MAY_HAVE_LEFT, f"{detail} {place}{said}", is_stale=not has_begun))

    def _said(self) -> str:
        """What is known of an answer that did not come whole."""
        status = self._reader.status
        return f", its status {status}" if status else ""

    def _end(self, outcome: Answer | Fault) -> None:
        """The exchange under way has ended, if there is one; what is called may begin the next."""
        done, self._done = self._done, None
        if done is not None:
            done(outcome)

    # ---- time

    def _enter(self, phase: Phase, now: float) -> None:
        self._phase = phase
        self._due = now + self._limits[phase]

    def _arm(self, now: float) -> None:
        self._timer = self._loop.call_at(min(self._due, now + self._step_s), self._expire)

    def _expire(self) -> None:
        self._timer = None
        if self._done is None:
            return
        now = self._loop.time()
        if now < self._due - _EARLY_S:
            self._arm(now)
            return
        limit_s = self._limits[self._phase]
        self.abort()
        said = self._said()
        self._end(Fault(FailureKind.MAY_HAVE_LEFT, f"{self._phase.value} within {limit_s:g} s{said}"))


def _settle(waiter: asyncio.Future[Answer | Fault], outcome: Answer | Fault) -> None:
    if not waiter.done():  # else it was cancelled, and its task has not run since
        waiter.set_result(outcome)


def reason(error: BaseException) -> str:
    """An error of the operating system or of TLS in its own words, without the addresses asyncio puts in."""
    number = getattr(error, "errno", None)
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError | socket.gaierror):
        return os.strerror(number) if number and number > 0 else error.strerror or str(error)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
