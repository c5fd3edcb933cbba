"""One TCP connection under one SMPP session: octets in and out, one timer, and when not to read.

Owns the transport. Invariants: a peer that does not read our answers, or that we have no answers for yet, is not read
from either; once the session is over the transport goes too, whether the peer takes the last octets or not.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Protocol, cast

from stentor.outcome import Submission
from stentor_smpp.events import Event
from stentor_smpp.hot import UsualReceipt
from stentor_smpp.pdu import PDU
from stentor_smpp.questions import Question
from stentor_smpp.session import Session
from stentor_smpp.status import ROK, RX_T_APPN

_WRITE_LOW, _WRITE_HIGH = 64 * 1024, 256 * 1024
_WRITE_LIMIT: Final = 8 * 1024 * 1024
"""Octets a peer may leave unread before it counts as dead."""
UNANSWERED_PAUSE: Final = 4000
"""Requests of the peer waiting for the journal at which it is not read any further."""
UNANSWERED_OCTETS: Final = 8 * 1024 * 1024
"""And how many octets they may have come in: one request may hold 64 KiB."""
_BEHIND_S: Final = 1.0
"""How often a connection that is not read, because of us, is looked at."""


class Holder(Protocol):
    """Whose connection it is."""

    def now(self) -> float:
        """Monotonic seconds."""

    def begin(self, connection: "Connection") -> None:
        """The connection stands."""

    def handle(self, event: Event, connection: "Connection") -> None:
        """The session has something to tell."""

    def congested(self, congestion: int) -> None:
        """The peer said how busy it is, 0 to 100."""

    def explain(self, error: Exception) -> str:
        """Why the connection was lost, in words."""


class Connection(asyncio.Protocol):
    """One TCP connection and its session.

    ``ended`` is set once the session is over, ``closed`` once the transport is gone too; ``idle`` while no submission
    waits for an answer. ``questions`` counts the requests under way that are no submissions; ``is_leaving``: the
    session ends as soon as nothing is in flight.
    """

    __slots__ = (
        "_farewell",
        "_holder",
        "_is_full",
        "_is_paused",
        "_loop",
        "_read_octets",
        "_timer",
        "_timer_at",
        "_transport",
        "_unsettled",
        "closed",
        "ended",
        "idle",
        "is_leaving",
        "questions",
        "session",
    )

    def __init__(self, holder: Holder, session: Session) -> None:
        self.session = session
        self.ended = asyncio.Event()
        self.closed = asyncio.Event()
        self.idle = asyncio.Event()
        self._holder = holder
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._is_full = False
        self._is_paused = False
        self._read_octets = 0
        self._unsettled = 0
        self._farewell = ""
        self.is_leaving = False
        self.questions = 0

    @property
    def in_flight(self) -> int:
        """Submissions without an answer."""
        return self.session.outstanding - self.questions

    @property
    def encryption(self) -> Any:
        """The ``ssl_object`` of the transport; None without TLS."""
        return self._transport.get_extra_info("ssl_object") if self._transport is not None else None

    # -- asyncio ----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have this interface without being of the class.
        self._transport = transport = cast(asyncio.Transport, transport)
        transport.set_write_buffer_limits(high=_WRITE_HIGH, low=_WRITE_LOW)
        self._holder.begin(self)
        self.settle()

    def data_received(self, data: bytes) -> None:
        self._read_octets = len(data)
        self.session.receive(data, self._holder.now())
        self.settle()

    def eof_received(self) -> None:
        # Waiting for connection_lost would be waiting for a peer that has gone to take what is still unsent.
        self.session.connection_lost("the peer closed the connection")
        self.settle()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.session.connection_lost(self._holder.explain(exc) if exc else "the peer closed the connection")
        self.settle()
        self.closed.set()

    def pause_writing(self) -> None:
        self._is_full = True
        self._pace()

    def resume_writing(self) -> None:
        self._is_full = False
        self._pace()

    # -- the session's shell ----------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Do what the session decided: events to the driver, octets to the peer, the timer to its next deadline."""
        session = self.session
        for event in session.drain_events():
            self._holder.handle(event, self)
        if session.congestion is not None:
            congestion, session.congestion = session.congestion, None
            self._holder.congested(congestion)
        if self.in_flight == 0:
            self.idle.set()
            if self.is_leaving and session.is_bound:
                session.unbind(self._holder.now(), self._farewell)
        self._send()
        self._pace()
        self._arm()

    def _send(self) -> None:
        output = self.session.drain_output()
        transport = self._transport
        if transport is None:
            return
        if output:
            transport.write(output)
        if self.ended.is_set():
            transport.close()
        elif transport.get_write_buffer_size() > _WRITE_LIMIT:
            self.session.close("the peer does not read")
            transport.abort()

    def _pace(self) -> None:
        """A peer that does not read our answers, or that we have no answers for yet, is not read from either."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        pause = self._is_full or self._is_behind
        if pause is not self._is_paused:
            self._is_paused = pause
            if pause:
                transport.pause_reading()
            else:
                transport.resume_reading()
                self._postpone()

    @property
    def _is_behind(self) -> bool:
        """Our journal is slow: what the peer has said since is unread, so its silence is our doing."""
        return self.session.unanswered >= UNANSWERED_PAUSE or self._unsettled >= UNANSWERED_OCTETS

    def _postpone(self) -> None:
        """Look at the timers only after what waits in the socket was read."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer_at = 0.0
            self._timer = self._loop.call_later(_BEHIND_S, self._tick)

    def _arm(self) -> None:
        deadline = self.session.next_deadline()
        if self._timer is not None:
            # An earlier timer stands: it will find out for itself that it came too soon, once in a while.
            if self._timer_at <= deadline and not self.ended.is_set():
                return
            self._timer.cancel()
            self._timer = None
        if deadline != float("inf"):
            self._timer_at = deadline
            self._timer = self._loop.call_later(max(0.0, deadline - self._holder.now()), self._tick)

    def _tick(self) -> None:
        if self._is_behind:
            self._postpone()
            return
        self._timer = None
        self.session.tick(self._holder.now())
        self.settle()

    # -- the holder's hand ------------------------------------------------------------------------------------------

    def submit(self, batch: Sequence[tuple[Submission, bytes]]) -> None:
        if not batch:
            return
        self.idle.clear()
        self.session.submit(batch, self._holder.now())
        self._send()
        self._arm()

    def ask(self, question: Question, command_id: int, body: bytes) -> None:
        """Send a request that is no submission, beside the window."""
        self.questions += 1
        self.session.submit([(question, body)], self._holder.now(), command_id)
        self._send()
        self._arm()

    def hold(self) -> int:
        """The octets of this read, which count as unsettled until ``answer`` gives them back."""
        octets, self._read_octets = self._read_octets, 0
        self._unsettled += octets
        return octets

    def answer(self, pdus: Sequence[PDU | UsualReceipt], octets: int, is_durable: bool) -> None:
        """Answer the peer's requests, held as ``octets``: taken, or "try again later"."""
        self._unsettled -= octets
        status = ROK if is_durable else RX_T_APPN
        self.session.respond((pdu, status) for pdu in pdus)
        self._send()
        self._pace()

    def retire(self, detail: str) -> None:
        """Say goodbye once nothing is in flight any more; nothing new is sent until then."""
        self.is_leaving = True
        self._farewell = detail

    def leave(self) -> None:
        """Say goodbye, or hang up if there is nobody to say it to."""
        if self.session.is_bound:
            self.session.unbind(self._holder.now())
        else:
            self.session.close("drained")
        self.settle()

    def stop(self) -> None:
        """Be gone, now. A goodbye just written still leaves; a peer that takes nothing does not keep the socket."""
        self.session.close("the driver stopped")
        self.settle()
        if self._transport is not None:
            self._loop.call_soon(self._abort)

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def within(limit_s: float, event: asyncio.Event) -> bool:
    """Wait for ``event``; False when it did not come in ``limit_s``."""
    try:
        async with asyncio.timeout(max(0.0, limit_s)):
            await event.wait()
    except TimeoutError:
        return False
    return True
