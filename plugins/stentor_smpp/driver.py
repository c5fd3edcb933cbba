"""The SMPP driver's shell: one supervised bind for each session of a channel, on asyncio.

A *bind* owns one place at the SMSC: it connects, binds, lives until its session ends, gives back what was in flight,
and tries again after a pause. Its lane exists while it is bound. Pure decisions are the session's (``session``); what
is here turns events into outcomes; ``connection`` moves the octets.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from stentor.driver import DriverStatus, Host, Inbound, LaneStatus, Receipt
from stentor.errors import Refusal
from stentor.outcome import Outcome, Refused, Returned, Sent, Submission, Unknown
from stentor_smpp.config import SMPPConfig
from stentor_smpp.connection import UNANSWERED_PAUSE, Connection, within
from stentor_smpp.detect import Detector, Finding, Ids
from stentor_smpp.events import (
    Bound,
    Ended,
    EndReason,
    Event,
    Expired,
    Faults,
    LateResponses,
    Receipts,
    Requests,
    Response,
    Responses,
    Unexpected,
)
from stentor_smpp.fields import BIND_RECEIVER, BIND_TRANSCEIVER, BIND_TRANSMITTER
from stentor_smpp.hot import UsualReceipt
from stentor_smpp.link import SessionSettings
from stentor_smpp.matching import Mode
from stentor_smpp.outcomes import Judge, Verdicts
from stentor_smpp.pdu import PDU, EncodeError, Limits
from stentor_smpp.receiving import read
from stentor_smpp.reports import Reports
from stentor_smpp.session import INTERFACE_VERSION, Session
from stentor_smpp.states import Role
from stentor_smpp.status import RALYBND, ROK, lookup
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
_FLUSH_S: Final = 1.0
"""How long the last octets of a session may take to leave."""


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
        self._judge = Judge(driver.verdicts)
        self._packer = driver.packer(None)
        self._pause_s = driver.config.reconnect_first_s
        self._bound_at: float | None = None
        self._ended: Ended | None = None
        self._connecting: asyncio.Timeout | None = None
        self._trouble = ""

    def now(self) -> float:
        return self._host.clock.now()

    def _set_state(self, state: str, detail: str = "") -> None:
        self.state, self.detail, self.since_ms = state, detail, self._host.clock.wall_ms()

    async def run(self) -> None:
        """Connect, live, pause, again; until drained."""
        while not self.is_draining:
            self._set_state("connecting")
            self._bound_at = None
            pause_s = await self._live()
            if self.is_draining:
                break
            self._set_state("waiting", f"trying again in {pause_s:.1f} s: {self._trouble}")
            await within(pause_s, self._stop)
        self._set_state("closed")

    async def _live(self) -> float:
        """One connection from start to end; returns how long to pause after it."""
        try:
            await self._connect()
            connection = self.connection
            assert connection is not None
            await connection.ended.wait()
            await within(_FLUSH_S, connection.closed)
        except TimeoutError:
            self._fail(f"no connection to {self._driver.peer} in {self._config.connect_s:g} s")
            return self._back_off()
        except (OSError, UnicodeError) as error:
            # UnicodeError: a host that cannot be a name.
            self._fail(f"cannot connect to {self._driver.peer}: {error}")
            return self._back_off()
        finally:
            self._leave_behind()
        return self._pause_after(self._ended)

    async def _connect(self) -> None:
        """Returns with ``self.connection`` set and its bind on the way."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._config.connect_s) as self._connecting:
                await loop.create_connection(
                    lambda: Connection(self, Session(self._driver.settings, self.now())),
                    self._config.host,
                    self._config.port,
                )
        finally:
            self._connecting = None

    def begin(self, connection: Connection) -> None:
        """The connection stands: ask to be bound."""
        self.connection = connection
        if self.is_draining:
            connection.session.close("drained")
            return
        self._set_state("binding")
        connection.session.bind(_COMMANDS[self.kind], self._credentials(), self.now())

    def _leave_behind(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.stop()

    def _fail(self, text: str) -> None:
        if not self.is_draining:
            self._trouble = text
            self._driver.fail(f"{self.key}: {text}")

    def _back_off(self) -> float:
        """The next pause: doubling, with jitter, from the start again after a bind that stood."""
        if self._bound_at is not None and self.now() - self._bound_at >= _STEADY_S:
            self._pause_s = self._config.reconnect_first_s
        pause_s = self._pause_s
        self._pause_s = min(self._config.reconnect_longest_s, pause_s * 2)
        return pause_s * (0.5 + self._host.random())

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
        pause_s = self._back_off()
        if ended is None or ended.reason is not EndReason.BIND_REFUSED:
            return pause_s
        longest_s = self._config.refused_pause_s
        if ended.status == RALYBND:
            # The SMSC still holds our old session and lets go of it in its own time.
            longest_s /= 2
        return max(pause_s, longest_s * (0.75 + self._host.random() / 2))

    # -- events -----------------------------------------------------------------------------------------------------

    def handle(self, event: Event, connection: Connection) -> None:
        match event:
            case Responses():
                self._resolve_responses(event.responses)
            case Requests():
                items, unreadable = read(event.pdus, self._driver.reports)
                self._receive(event.pdus, items, unreadable, connection)
            case Receipts():
                receipts, unreadable = self._driver.reports.usual(event.receipts)
                self._receive(event.receipts, receipts, unreadable, connection)
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

    def _resolve_responses(self, responses: Iterable[Response]) -> None:
        response_key = self._driver.ids.response_key
        outcomes: list[Outcome] = []
        others: list[Response] = []
        for response in responses:
            submission, status, message_id, _ = response
            if message_id and not status:
                outcomes.append(Sent(submission, message_id, response_key(message_id)))
            else:
                others.append(response)
        if outcomes:
            self._judge.got_through()
        for submission, status, _, tlvs in others:
            outcomes.append(self._judge.outcome(submission, status, tlvs, self.now()))
            if status:
                self._driver.count_status(status)
        self._host.resolve(outcomes)

    def _receive(
        self,
        pdus: Sequence[PDU | UsualReceipt],
        items: Sequence[Receipt | Inbound],
        unreadable: int,
        connection: Connection,
    ) -> None:
        """Receipts and messages of one read. They are answered when the host has made them durable."""
        self._driver.counters["unreadable_receipts"] += unreadable
        if items:
            self._host.receive(items, lambda is_durable: connection.answer(pdus, is_durable))
        else:
            connection.session.respond((pdu, ROK) for pdu in pdus)
        if (found := self._driver.ids.take_finding()) is not None:
            self._driver.found_ids(found)

    def _bound(self, event: Bound) -> None:
        self._bound_at = self.now()
        self._packer = self._driver.packer(event.peer_version)
        self._driver.ids.watch()
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
        text = f"{event.reason.value}: {event.detail}" if event.detail else event.reason.value
        if event.status:
            text = f"{event.reason.value} with {lookup(event.status).name} (0x{event.status:08X})"
        self._fail(text)

    # -- the driver's hand ------------------------------------------------------------------------------------------

    def submit(self, batch: Sequence[Submission]) -> None:
        connection = self.connection
        if connection is None or self.is_draining or not connection.session.is_bound:
            self._host.resolve([Returned(submission) for submission in batch])
            return
        packed: list[tuple[Submission, bytes]] = []
        refused: list[Outcome] = []
        pack, wall_ms = self._packer.pack, self._host.clock.wall_ms()
        for submission in batch:
            try:
                packed.append((submission, pack(submission, wall_ms)))
            except EncodeError as error:
                refused.append(Refused(submission, "bad_request", None, str(error)))
            except Refusal as error:
                refused.append(Refused(submission, error.code, None, error.detail))
        if refused:
            self._host.resolve(refused)
        connection.submit(packed)

    async def drain(self, deadline: float) -> None:
        """Wait for what is in flight, say goodbye, close. What is still open at the deadline is in doubt."""
        self.is_draining = True
        self._stop.set()
        if self._connecting is not None:
            self._connecting.reschedule(0.0)
        connection = self.connection
        if connection is None:
            return
        if self.kind != "receiver" and connection.session.is_bound:
            self._host.lane(self.key, 0)
        if not await within(deadline - self.now(), connection.idle):
            in_flight = connection.session.outstanding
            self._host.log.warning("drain ran out of time", lane=self.key, in_flight=in_flight)
        connection.leave()
        await within(deadline - self.now(), connection.closed)
        connection.stop()


class SMPPDriver:
    """One channel: its binds, its packer, its counters."""

    def __init__(self, config: SMPPConfig, host: Host) -> None:
        self.config = config
        self.host = host
        self.ids = Detector() if config.message_ids == "auto" else Ids(Mode(config.message_ids))
        self.reports = Reports(config, self.ids)
        self.verdicts = Verdicts(config.statuses)
        self._packers = (Packer(config), Packer(config, may_send_tlvs=False))
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
                "receipts_read_again",
            ),
            0,
        )
        self.settings = SessionSettings(
            role=Role.ESME,
            window=config.window,
            peer_window=max(10_000, 2 * UNANSWERED_PAUSE),
            timers=TimerSettings(
                bind_response_s=config.connect_s,
                enquire_link_s=config.enquire_link_s,
                enquire_response_s=config.enquire_response_s,
                response_s=config.response_s,
            ),
            limits=Limits(are_passwords_long=True),
            reads_receipts=True,
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
        info = lookup(status)
        # Codes without a name share a counter: there are four thousand million of them.
        name = f"status_{info.name}" if info.is_listed else "status_unlisted"
        self.counters[name] = self.counters.get(name, 0) + 1

    def packer(self, peer_version: int | None) -> Packer:
        """For an SMSC of this version. One that announces none is taken to know the TLVs it has us configured for."""
        with_tlvs, without = self._packers
        if peer_version is None or peer_version >= INTERFACE_VERSION or self.config.tlvs_to_old_peers:
            return with_tlvs
        if with_tlvs.sends_tlvs:
            self.host.log.warning("the SMSC takes no TLVs: sent without", version=f"0x{peer_version:02X}")
        return without

    def found_ids(self, found: Finding) -> None:
        """It was found out how receipts name messages; what was read in another way is read again."""
        self.host.log.info("message ids found", ids=found.dress.value, after_receipts=found.evidence)
        if found.receipts:
            self.counters["receipts_read_again"] += len(found.receipts)
            self.host.receive(found.receipts, self._read_again)

    def _read_again(self, is_durable: bool) -> None:
        if not is_durable:
            self.host.log.warning("receipts read again were not stored")

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for bind in self.binds.values():
                group.create_task(bind.run(), name=f"{self.host.channel}/{bind.key}")

    def submit(self, lane: str, batch: Sequence[Submission]) -> None:
        self.binds[lane].submit(batch)

    async def drain(self, deadline: float) -> None:
        await asyncio.gather(*(bind.drain(deadline) for bind in self.binds.values()))

    def _detail(self, bind: Bind) -> str:
        ids = self.ids.detail
        if not ids or bind.state != "bound":
            return bind.detail
        return f"{bind.detail}; message ids: {ids}" if bind.detail else f"message ids: {ids}"

    def status(self) -> DriverStatus:
        return DriverStatus(
            lanes=tuple(
                LaneStatus(bind.key, bind.state, self.peer, bind.since_ms, self._detail(bind))
                for bind in self.binds.values()
            ),
            counters=dict(self.counters),
            last_error=self.last_error,
            last_error_at_ms=self.last_error_at_ms,
        )
