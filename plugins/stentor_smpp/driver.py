"""The SMPP driver's shell: one supervised bind for each session of a channel, on asyncio.

A *bind* owns one place at the SMSC: it connects, binds, lives until its session ends, gives back what was in flight,
and tries again after a pause. Its lane exists while it is bound. Pure decisions are the session's (``session``); what
is here moves octets, arms one timer for each session, and turns events into outcomes.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final, cast

from stentor.driver import DriverStatus, Host, LaneStatus
from stentor.outcome import Outcome, Refused, Returned, Submission, Unknown
from stentor_smpp.config import SMPPConfig
from stentor_smpp.events import (
    Bound,
    Ended,
    EndReason,
    Event,
    Expired,
    Faults,
    LateResponses,
    Requests,
    Responses,
    Unexpected,
)
from stentor_smpp.fields import BIND_RECEIVER, BIND_TRANSCEIVER, BIND_TRANSMITTER
from stentor_smpp.link import SessionSettings
from stentor_smpp.matching import Mode, id_keys
from stentor_smpp.outcomes import outcome
from stentor_smpp.pdu import PDU, EncodeError, Limits
from stentor_smpp.receiving import read
from stentor_smpp.session import INTERFACE_VERSION, Session
from stentor_smpp.states import Role
from stentor_smpp.status import RALYBND, ROK, RX_T_APPN, lookup
from stentor_smpp.submitting import Packer
from stentor_smpp.timers import TimerSettings

_COMMANDS: Final = {
    "transceiver": BIND_TRANSCEIVER,
    "transmitter": BIND_TRANSMITTER,
    "receiver": BIND_RECEIVER,
}
_SHORT: Final = {"transceiver": "trx", "transmitter": "tx", "receiver": "rx"}
_STEADY_S: Final = 30.0
"""A bind that stood this long starts the pauses anew."""
_WRITE_LOW, _WRITE_HIGH = 64 * 1024, 256 * 1024
_WRITE_LIMIT: Final = 8 * 1024 * 1024
"""Octets a peer may leave unread before it counts as dead."""
_UNANSWERED_PAUSE: Final = 4000
"""Requests of the peer waiting for the journal at which it is not read any further."""


class Connection(asyncio.Protocol):
    """One TCP connection and its session. ``ended`` is set once the session is over."""

    def __init__(self, bind: "Bind", session: Session) -> None:
        self.session = session
        self.ended = asyncio.Event()
        self.idle = asyncio.Event()
        self._bind = bind
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_full = False
        self._is_paused = False

    # -- asyncio ----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have this interface without being of the class.
        self._transport = transport = cast(asyncio.Transport, transport)
        transport.set_write_buffer_limits(high=_WRITE_HIGH, low=_WRITE_LOW)
        self.settle()

    def data_received(self, data: bytes) -> None:
        self.session.receive(data, self._bind.now())
        self.settle()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.session.connection_lost(str(exc) if exc else "the peer closed the connection")
        self.settle()

    def pause_writing(self) -> None:
        self._is_full = True
        self._pace()

    def resume_writing(self) -> None:
        self._is_full = False
        self._pace()

    # -- the session's shell ----------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Do what the session decided: events to the driver, octets to the peer, the timer to its next deadline."""
        for event in self.session.drain_events():
            self._bind.handle(event, self)
        self._send()
        self._pace()
        if self.session.outstanding == 0:
            self.idle.set()
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
        pause = self._is_full or self.session.unanswered >= _UNANSWERED_PAUSE
        if pause is not self._is_paused:
            self._is_paused = pause
            if pause:
                transport.pause_reading()
            else:
                transport.resume_reading()

    def _arm(self) -> None:
        deadline = self.session.next_deadline()
        timer = self._timer
        if timer is not None:
            # An earlier timer stands: it will find out for itself that it came too soon, once in a while.
            if not timer.cancelled() and timer.when() <= deadline and not self.ended.is_set():
                return
            timer.cancel()
            self._timer = None
        if deadline != float("inf"):
            self._timer = self._loop.call_at(self._loop.time() + deadline - self._bind.now(), self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.session.tick(self._bind.now())
        self.settle()

    def submit(self, batch: Sequence[tuple[Submission, bytes]]) -> None:
        self.idle.clear()
        self.session.submit(batch, self._bind.now())
        self._send()
        self._arm()

    def answer(self, pdus: Sequence[PDU], is_durable: bool) -> None:
        """Answer the peer's requests: taken, or "try again later"."""
        status = ROK if is_durable else RX_T_APPN
        self.session.respond((pdu, status) for pdu in pdus)
        self._send()
        self._pace()


class Bind:
    """One place at the SMSC, held for as long as the channel lives."""

    def __init__(self, driver: "SMPPDriver", kind: str, number: int) -> None:
        self.key = f"{_SHORT[kind]}-{number}"
        self.kind = kind
        self.connection: Connection | None = None
        self.state = "connecting"
        self.detail = ""
        self.since_ms = driver.host.clock.wall_ms()
        self.is_draining = False
        self._stop = asyncio.Event()
        self._driver = driver
        self._config = driver.config
        self._host = driver.host
        self._pause_s = driver.config.reconnect_first_s
        self._bound_at: float | None = None
        self._ended: Ended | None = None

    def now(self) -> float:
        return self._host.clock.now()

    def _set_state(self, state: str, detail: str = "") -> None:
        self.state, self.detail, self.since_ms = state, detail, self._host.clock.wall_ms()

    async def run(self) -> None:
        """Connect, live, pause, again; until drained."""
        while not self.is_draining:
            self._set_state("connecting")
            self._bound_at = None
            try:
                pause_s = await self._live()
            except OSError as error:
                self._driver.fail(f"{self.key}: cannot connect to {self._driver.peer}: {error}")
                pause_s = self._back_off()
            except TimeoutError:
                self._driver.fail(
                    f"{self.key}: no connection to {self._driver.peer} in {self._config.connect_s:g} s"
                )
                pause_s = self._back_off()
            if self.is_draining:
                break
            self._set_state("waiting", f"trying again in {pause_s:.1f} s: {self._driver.last_error or ''}")
            await self._wait(pause_s)

    async def _wait(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._stop.wait()
        except TimeoutError:
            return

    def _back_off(self) -> float:
        """The next pause: doubling, with jitter, from the start again after a bind that stood."""
        if self._bound_at is not None and self.now() - self._bound_at >= _STEADY_S:
            self._pause_s = self._config.reconnect_first_s
        pause_s = self._pause_s
        self._pause_s = min(self._config.reconnect_longest_s, pause_s * 2)
        return pause_s * (0.5 + self._host.random())

    async def _live(self) -> float:
        """One connection from start to end; returns how long to pause after it."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._config.connect_s):
            _, connection = await loop.create_connection(
                lambda: Connection(self, Session(self._driver.settings, self.now())),
                self._config.host,
                self._config.port,
            )
        self.connection = connection
        try:
            self._set_state("binding")
            connection.session.bind(_COMMANDS[self.kind], self._credentials(), self.now())
            connection.settle()
            await connection.ended.wait()
        finally:
            connection.session.close("the driver stopped")
            connection.settle()
            self.connection = None
        return self._pause_after(self._ended)

    def _credentials(self) -> dict[str, object]:
        config = self._config
        return {
            "system_id": config.system_id,
            "password": config.password,
            "system_type": config.system_type,
            "interface_version": INTERFACE_VERSION,
            "addr_ton": 0,
            "addr_npi": 0,
            "address_range": config.address_range,
        }

    def _pause_after(self, ended: Ended | None) -> float:
        if ended is None or ended.reason is not EndReason.BIND_REFUSED:
            return self._back_off()
        longest = max(self._config.refused_pause_s, self._back_off())
        if ended.status == RALYBND:
            # The SMSC still holds our old session and lets go of it in its own time.
            longest = max(self._back_off(), self._config.refused_pause_s / 2)
        return longest * (0.75 + self._host.random() / 2)

    # -- events -----------------------------------------------------------------------------------------------------

    def handle(self, event: Event, connection: Connection) -> None:
        match event:
            case Responses():
                self._resolve_responses(event.responses)
            case Requests():
                self._receive(event.pdus, connection)
            case Expired():
                self._host.resolve([Unknown(token, "no response in time") for token in event.tokens])
            case Bound():
                self._bound(event)
            case Ended():
                self._end(event, connection)
            case LateResponses():
                self._driver.counters["late_responses"] += len(event.responses)
            case Unexpected():
                self._driver.counters["unexpected_responses"] += len(event.responses)
            case Faults():
                self._driver.counters["malformed_pdus"] += len(event.faults)
                self._host.log.warning("malformed PDU", lane=self.key, detail=event.faults[0].detail)
            case _:
                self._driver.counters["ignored_pdus"] += 1

    def _resolve_responses(self, responses: Iterable[tuple[Submission, int, str | None, object]]) -> None:
        response_key = self._driver.response_key
        outcomes: list[Outcome] = []
        for submission, status, message_id, _ in responses:
            outcomes.append(outcome(submission, status, message_id, response_key))
            if status:
                self._driver.count_status(status)
        self._host.resolve(outcomes)

    def _receive(self, pdus: list[PDU], connection: Connection) -> None:
        """Receipts and messages of one read. They are answered when the host has made them durable."""
        items, unreadable = read(pdus, self._driver.receipt_key)
        self._driver.counters["unreadable_receipts"] += unreadable
        if items:
            self._host.receive(items, lambda is_durable: connection.answer(pdus, is_durable))
        else:
            connection.session.respond((pdu, ROK) for pdu in pdus)

    def _bound(self, event: Bound) -> None:
        self._bound_at = self.now()
        self._set_state("bound", f"to {event.system_id}" if event.system_id else "")
        self._host.log.info("bound", lane=self.key, peer=self._driver.peer, smsc=event.system_id)
        if self.kind != "receiver" and not self.is_draining:
            self._host.lane(self.key, self._config.window)

    def _end(self, event: Ended, connection: Connection) -> None:
        """The session is over: its lane closes and everything in flight comes back, each once."""
        self._ended = event
        connection.ended.set()
        connection.idle.set()
        outcomes: list[Outcome] = [Returned(token) for token in event.never_left]
        outcomes += [Unknown(token, event.reason.value) for token in event.in_doubt]
        if self.kind != "receiver":
            self._host.lane(self.key, 0)
        if outcomes:
            self._host.resolve(outcomes)
        if self.is_draining:
            return
        text = f"{event.reason.value}: {event.detail}" if event.detail else event.reason.value
        if event.status:
            text = f"{event.reason.value} with {lookup(event.status).name} (0x{event.status:08X})"
        self._driver.fail(f"{self.key}: {text}")

    # -- the driver's hand ------------------------------------------------------------------------------------------

    def submit(self, batch: Sequence[Submission]) -> None:
        connection = self.connection
        if connection is None or not connection.session.is_bound:
            self._host.resolve([Returned(submission) for submission in batch])
            return
        packed: list[tuple[Submission, bytes]] = []
        pack = self._driver.packer.pack
        for submission in batch:
            try:
                packed.append((submission, pack(submission)))
            except EncodeError as error:
                self._host.resolve([Refused(submission, "bad_request", None, str(error))])
        connection.submit(packed)

    async def drain(self, deadline: float) -> None:
        """Wait for what is in flight, say goodbye, close. What is still open at the deadline is in doubt."""
        self.is_draining = True
        self._stop.set()
        connection = self.connection
        if connection is None:
            return
        if self.kind != "receiver" and connection.session.is_bound:
            self._host.lane(self.key, 0)
        loop_deadline = asyncio.get_running_loop().time() + max(0.0, deadline - self.now())
        try:
            async with asyncio.timeout_at(loop_deadline):
                await connection.idle.wait()
        except TimeoutError:
            self._host.log.warning(
                "drain ran out of time", lane=self.key, in_flight=connection.session.outstanding
            )
        if connection.session.is_bound:
            connection.session.unbind(self.now())
            connection.settle()
        else:
            connection.session.close("drained")
            connection.settle()
        await connection.ended.wait()


class SMPPDriver:
    """One channel: its binds, its packer, its counters."""

    def __init__(self, config: SMPPConfig, host: Host) -> None:
        self.config = config
        self.host = host
        self.response_key, self.receipt_key = id_keys(Mode(config.message_ids))
        self.packer = Packer(config)
        self.peer = f"{config.host}:{config.port}"
        self.last_error: str | None = None
        self.last_error_at_ms = 0
        self.counters = dict.fromkeys(
            (
                "late_responses",
                "unexpected_responses",
                "malformed_pdus",
                "ignored_pdus",
                "unreadable_receipts",
            ),
            0,
        )
        self.settings = SessionSettings(
            role=Role.ESME,
            window=config.window,
            peer_window=max(10_000, 2 * _UNANSWERED_PAUSE),
            timers=TimerSettings(
                bind_response_s=config.connect_s,
                enquire_link_s=config.enquire_link_s,
                enquire_response_s=config.enquire_response_s,
                response_s=config.response_s,
            ),
            limits=Limits(are_passwords_long=True),
        )
        kinds = [config.bind] * config.sessions
        binds = [Bind(self, kind, number) for number, kind in enumerate(kinds, 1)]
        if config.bind == "transmitter":
            binds += [Bind(self, "receiver", number) for number in range(1, config.receivers + 1)]
        self.binds = {bind.key: bind for bind in binds}

    def fail(self, text: str) -> None:
        """Remember and report what went wrong last. Never holds a secret."""
        if text != self.last_error:
            self.host.log.warning("link trouble", detail=text)
        self.last_error, self.last_error_at_ms = text, self.host.clock.wall_ms()

    def count_status(self, status: int) -> None:
        name = f"status_{lookup(status).name}"
        self.counters[name] = self.counters.get(name, 0) + 1

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for bind in self.binds.values():
                group.create_task(bind.run(), name=f"{self.host.channel}/{bind.key}")

    def submit(self, lane: str, batch: Sequence[Submission]) -> None:
        self.binds[lane].submit(batch)

    async def drain(self, deadline: float) -> None:
        await asyncio.gather(*(bind.drain(deadline) for bind in self.binds.values()))

    def status(self) -> DriverStatus:
        return DriverStatus(
            lanes=tuple(
                LaneStatus(bind.key, bind.state, self.peer, bind.since_ms, bind.detail)
                for bind in self.binds.values()
            ),
            counters=dict(self.counters),
            last_error=self.last_error,
            last_error_at_ms=self.last_error_at_ms,
        )
