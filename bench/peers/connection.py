"""One connection of the simulated SMSC: its socket, its session, and how its submissions are treated.

The session core speaks; this module decides by the verdicts of ``behaviour``. When nothing is to go wrong,
the octets go through ``fast`` first and only what it does not know reaches the session. Output is bounded:
reading stops while much of it waits. Invariant: what was sent and not acknowledged goes back to the account
when the connection ends.
"""

import socket
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Protocol

import trio

from bench.peers.accounts import Account
from bench.peers.behaviour import OK, THROTTLED, Judge, ReceiptForm, Verdict
from bench.peers.fast import FastReader, FramingLost, Seen
from bench.peers.options import Options
from bench.peers.receipts import Delivery, message_id, pack_receipt, receipt_template
from bench.peers.record import Record
from bench.peers.statistics import Statistics
from stentor_smpp import status as codes
from stentor_smpp.events import BindRequested, Bound, Ended, Event, Expired, Requests, Responses
from stentor_smpp.fields import DELIVER_SM, SUBMIT_SM
from stentor_smpp.link import SessionSettings
from stentor_smpp.pdu import PDU
from stentor_smpp.session import Session
from stentor_smpp.states import Role, State
from stentor_smpp.timers import TimerSettings

READ_OCTETS: Final = 256 * 1024
OUTPUT_OCTETS: Final = 1024 * 1024
"""Unsent output at which reading stops."""
BUSY_PAUSE_S: Final = 0.5
"""How long a delivery rests that the client could not take now."""

_RECEIVING: Final = (State.BOUND_RX, State.BOUND_TRX)
_KINDS: Final = {State.BOUND_TX: "transmitter", State.BOUND_RX: "receiver", State.BOUND_TRX: "transceiver"}
_BUSY: Final = frozenset({codes.RX_T_APPN, codes.RMSGQFUL, codes.RTHROTTLED, codes.RSYSERR})

Answer = tuple[PDU, int, bytes]
"""A submit_sm, its command_status, and the id it was given."""


class Centre(Protocol):
    """What all connections share; ``smsc.SMSC`` is it."""

    options: Options
    judge: Judge
    record: Record | None
    statistics: Statistics
    ids: Iterator[int]
    nursery: trio.Nursery

    def check(self, system_id: str, password: str) -> int: ...

    def account(self, system_id: str) -> Account: ...

    def date(self, now: float) -> bytes: ...

    def receipt(self, pdu: PDU, id_octets: bytes, state: str) -> Delivery: ...

    def later(self, delay_s: float, function: Callable[..., object], *arguments: Any) -> None: ...

    def touched(self, connection: "Connection") -> None: ...

    def ended(self, connection: "Connection", number: int) -> None: ...


class Connection:
    """From accept to the end."""

    def __init__(self, smsc: Centre, sock: socket.socket, number: int) -> None:
        self._smsc = smsc
        self._sock = sock
        self._number = number
        options = smsc.options
        settings = SessionSettings(
            Role.MC,
            window=options.deliver_window,
            peer_window=options.window,
            timers=TimerSettings(enquire_link_s=options.enquire_link_s, response_s=options.deliver_timeout_s),
        )
        self.session = Session(settings, time.monotonic())
        self._fast: FastReader | None = None
        if options.behaviour.is_plain and options.enquire_link_s is None and not options.is_slow:
            state = options.behaviour.receipt_states[0][0]
            self._fast = FastReader(smsc.ids, options.behaviour.receipts, state, options.deliver_window)
            if smsc.record is not None:
                self._fast.keep_record()
        self._account: Account | None = None
        self._unsent = bytearray()
        self._is_writing = False
        self._is_over = False
        self._is_stalled = False
        self._submits = 0

    # -- the socket ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        sock = self._sock
        has_delayed_acks = self._smsc.options.has_delayed_acks
        try:
            while not self._is_over:
                await trio.lowlevel.wait_readable(sock)
                try:
                    data = sock.recv(READ_OCTETS)
                except BlockingIOError:
                    continue
                if has_delayed_acks:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
                if not data:
                    break
                self._receive(data)
                while (len(self._unsent) > OUTPUT_OCTETS or self._is_stalled) and not self._is_over:
                    await self._rest()
        except (OSError, trio.ClosedResourceError):
            pass  # the client is gone, or we are closing: either way this is the end
        finally:
            self.close()

    async def _rest(self) -> None:
        options = self._smsc.options
        if self._is_stalled:
            await trio.sleep(options.behaviour.stall_s)
            self._is_stalled = False
            self._write(b"")
        else:
            await trio.sleep(0.001)

    def _write(self, octets: bytes) -> None:
        if self._is_over:
            return
        if self._unsent or self._is_stalled:
            self._unsent += octets
            octets = b""
        try:
            sent = 0 if self._is_stalled or not octets else self._sock.send(octets)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        if sent < len(octets):
            self._unsent += memoryview(octets)[sent:]
        if self._unsent and not self._is_writing and not self._is_stalled:
            self._is_writing = True
            self._smsc.nursery.start_soon(self._write_rest)

    async def _write_rest(self) -> None:
        try:
            while self._unsent and not self._is_over and not self._is_stalled:
                await trio.lowlevel.wait_writable(self._sock)
                try:
                    del self._unsent[: self._sock.send(self._unsent)]
                except BlockingIOError:
                    continue
        except (OSError, trio.ClosedResourceError):
            self.close()
        finally:
            self._is_writing = False

    def close(self) -> None:
        """End at once; what was not acknowledged goes back."""
        if self._is_over:
            return
        self._is_over = True
        self.session.connection_lost()
        self._events(self.session.drain_events(), time.monotonic())
        account = self._account
        if account is not None:
            if self in account.receivers:
                account.receivers.remove(self)
            if self._fast is not None:
                account.give_back(self._fast.outstanding.values())
            self._smsc.statistics.redelivered += self._fast is not None and len(self._fast.outstanding)
            account.flush()
        self._smsc.ended(self, self._number)
        trio.lowlevel.notify_closing(self._sock)
        self._sock.close()

    # -- what comes ----------------------------------------------------------------------------------------

    def _receive(self, data: bytes) -> None:
        now = time.monotonic()
        fast = self._fast
        if fast is None:
            self.session.receive(data, now)
        else:
            try:
                fast.read(data, self._smsc.date(now))
            except FramingLost:
                fast.others.append(fast.rest)
            self._settle_fast(fast, now)
            for pdu in fast.others:
                self.session.receive(pdu, now)
            fast.others.clear()
        self._events(self.session.drain_events(), now)
        if self._account is not None and self._account.waiting:
            self._account.flush()
        self.push()

    def _settle_fast(self, fast: FastReader, now: float) -> None:
        """Counts, the record, and what had no room, after one read."""
        statistics = self._smsc.statistics
        if fast.submits:
            statistics.submitted(now, fast.submits)
            statistics.statuses[OK] += fast.submits
            statistics.receipts += fast.receipts
            fast.submits = fast.receipts = 0
        if fast.acknowledgements or fast.inbound_acknowledgements:
            statistics.acknowledged += fast.acknowledgements
            statistics.inbound_acknowledged += fast.inbound_acknowledgements
            statistics.last_acknowledged_at = now
            fast.acknowledgements = fast.inbound_acknowledgements = 0
        record = self._smsc.record
        if record is not None and fast.seen is not None:
            record.seen(now, self._number, fast.seen)
            record.answered(now, self._number, [(seen[0], OK) for seen in fast.seen])
            fast.seen.clear()
        if fast.refused:
            self._refused(fast.refused)
            fast.refused = []
        if fast.acknowledged:
            if record is not None:
                record.acknowledged(now, fast.acknowledged)
            fast.acknowledged.clear()
        if fast.overflow and self._account is not None:
            self._account.waiting += fast.overflow
            fast.overflow = []

    def _events(self, events: list[Event], now: float) -> None:
        while events:
            for event in events:
                match event:
                    case BindRequested():
                        self._bind(event.pdu, now)
                    case Bound():
                        self._bound(event, now)
                    case Requests():
                        self._requests(event.pdus, now)
                    case Responses():
                        self._responses([(token, status) for token, status, _, _ in event.responses], now)
                    case Expired():
                        self._give_back(event.tokens)
                    case Ended():
                        self._give_back([*event.in_doubt, *event.never_left])
                        if not self._is_over:
                            self._write(self.session.drain_output())
                            self.close()
                    case _:
                        self._smsc.statistics.unexpected += 1
            events = self.session.drain_events()

    def _bind(self, request: PDU, now: float) -> None:
        status = self._smsc.check(request.fields["system_id"], request.fields["password"])
        if status == OK:
            self.session.accept_bind(request, self._smsc.options.name, now)
        else:
            self._smsc.statistics.refused_binds += 1
            self.session.refuse_bind(request, status)

    def _bound(self, event: Bound, now: float) -> None:
        account = self._account = self._smsc.account(event.system_id)
        is_receiver = event.state in _RECEIVING
        if is_receiver:
            account.receivers.append(self)
        if self._fast is not None:
            self._fast.is_bound = event.state is not State.BOUND_RX
            self._fast.is_receiver = is_receiver
        self._smsc.statistics.binds += 1
        self._smsc.statistics.last_bind_at = now
        if self._smsc.record is not None:
            self._smsc.record.bound(now, self._number, event.system_id, _KINDS[event.state])

    # -- submissions ---------------------------------------------------------------------------------------

    def _requests(self, pdus: Sequence[PDU], now: float) -> None:
        smsc, record = self._smsc, self._smsc.record
        behaviour = smsc.options.behaviour
        answers: dict[float, list[Answer]] = defaultdict(list)
        for pdu in pdus:
            if pdu.command_id != SUBMIT_SM:
                self.session.respond([(pdu, codes.RINVCMDID)])
                continue
            self._submits += 1
            smsc.statistics.submitted(now, 1)
            verdict = smsc.judge.judge(now, bool(pdu.fields["registered_delivery"] & 3))
            id_octets = message_id(next(smsc.ids)) if verdict.status == OK else b"-"
            if record is not None:
                record.seen(now, self._number, [_seen(pdu, id_octets)])
            if verdict.receipts:
                self._plan_receipts(pdu, id_octets, verdict)
            if verdict.is_lost:
                smsc.statistics.lost += 1
            else:
                answers[verdict.delay_s].append((pdu, verdict.status, id_octets))
            if verdict.is_dropping or (behaviour.drop_after and self._submits >= behaviour.drop_after):
                self._drop(answers)
                return
            if behaviour.stall_after and self._submits == behaviour.stall_after:
                self._is_stalled = True
        for delay_s, batch in answers.items():
            if delay_s > 0:
                smsc.later(delay_s, self.answer, batch)
            else:
                self.answer(batch)

    def _plan_receipts(self, pdu: PDU, id_octets: bytes, verdict: Verdict) -> None:
        smsc = self._smsc
        assert self._account is not None
        for delay_s, state in verdict.receipts:
            delivery = smsc.receipt(pdu, id_octets, state)
            if verdict.is_receipt_first:
                self._account.waiting.append(delivery)
            else:
                # Never earlier than the answer: at the same moment the answer was put on the agenda before.
                smsc.later(verdict.delay_s + delay_s, self._account.waiting.append, delivery)
        smsc.statistics.receipts += len(verdict.receipts)
        if verdict.is_receipt_first:
            self._account.flush()
            self.push()

    def answer(self, answers: Iterable[Answer]) -> None:
        """Answer submissions now."""
        smsc = self._smsc
        if self.session.state is State.CLOSED:
            return
        now = time.monotonic()
        for pdu, status, id_octets in answers:
            smsc.statistics.statuses[status] += 1
            if status == OK:
                self.session.respond_ids([(pdu, id_octets.decode("ascii"))])
            else:
                smsc.statistics.throttled += status == THROTTLED
                self.session.respond([(pdu, status)])
            if smsc.record is not None:
                smsc.record.answered(now, self._number, [(pdu.sequence, status)])
        smsc.touched(self)

    def _drop(self, answers: dict[float, list[Answer]]) -> None:
        """Cut the line: now, or with half of an answer sent."""
        self._smsc.statistics.dropped += 1
        if self._smsc.options.behaviour.is_drop_mid_pdu and answers:
            for batch in answers.values():
                self.answer(batch)
            octets = self.session.drain_output()
            self._flush_record()
            self._write(octets[: len(octets) - 9])
        self.close()

    # -- deliveries ----------------------------------------------------------------------------------------

    @property
    def room(self) -> int:
        """Deliveries that can be taken now."""
        if self._is_over or self._is_stalled or not self.session.is_bound:
            return 0
        return self._fast.room if self._fast is not None else self.session.room

    def deliver(self, deliveries: list[Delivery]) -> None:
        """Send these; ``room`` said so."""
        if self._fast is not None:
            self._fast.deliver(deliveries)
        else:
            self.session.submit([(each, each.body) for each in deliveries], time.monotonic(), DELIVER_SM)
            if self._smsc.record is not None:
                self._smsc.record.delivered(time.monotonic(), deliveries)
        self._smsc.touched(self)

    def _responses(self, answers: Sequence[tuple[Delivery, int]], now: float) -> None:
        statistics = self._smsc.statistics
        if self._smsc.record is not None:
            self._smsc.record.acknowledged(now, answers)
        taken = [delivery for delivery, status in answers if status == OK]
        statistics.acknowledged += sum(1 for delivery in taken if delivery.state)
        statistics.inbound_acknowledged += sum(1 for delivery in taken if not delivery.state)
        if taken:
            statistics.last_acknowledged_at = now
        self._refused([answer for answer in answers if answer[1] != OK])

    def _refused(self, answers: Sequence[tuple[Delivery, int]]) -> None:
        """A client that is busy is asked again a little later; what it never wants is dropped."""
        account = self._account
        assert account is not None
        for delivery, status in answers:
            if status in _BUSY:
                self._smsc.later(BUSY_PAUSE_S, account.waiting.append, delivery)
            else:
                self._smsc.statistics.refused_deliveries += 1

    def _give_back(self, deliveries: list[Delivery]) -> None:
        if self._account is not None and deliveries:
            self._smsc.statistics.redelivered += len(deliveries)
            self._account.give_back(deliveries)

    # -- out -----------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Let the session's timers act."""
        self.session.tick(now)
        self._events(self.session.drain_events(), now)
        self.push()

    def push(self) -> None:
        """Send what is to be sent; the record goes first."""
        octets = self.session.drain_output() if not self._is_over else b""
        fast = self._fast
        if fast is not None and fast.output:
            if fast.sent and self._smsc.record is not None:
                self._smsc.record.delivered(time.monotonic(), fast.sent)
                fast.sent.clear()
            octets += b"".join(fast.output)
            fast.output.clear()
        self._flush_record()
        if octets:
            self._write(octets)

    def _flush_record(self) -> None:
        if self._smsc.record is not None:
            self._smsc.record.flush()


def _seen(pdu: PDU, id_octets: bytes) -> Seen:
    fields = pdu.fields
    destination = fields["destination_addr"].encode("latin-1")
    esm, coding, text = fields["esm_class"], fields["data_coding"], fields["short_message"]
    return pdu.sequence, id_octets, destination, esm, coding, text


def head_of(pdu: PDU) -> bytes:
    """The octets of a submit_sm from service_type to dest_addr_npi, for ``receipt_template``."""
    fields = pdu.fields
    service, source = fields["service_type"].encode("latin-1"), fields["source_addr"].encode("latin-1")
    tons = bytes((fields["source_addr_ton"], fields["source_addr_npi"]))
    destination = bytes((fields["dest_addr_ton"], fields["dest_addr_npi"]))
    return b"".join((service, b"\0", tons, source, b"\0", destination))


def receipt_for(pdu: PDU, id_octets: bytes, state: str, date: bytes, form: ReceiptForm) -> Delivery:
    """The receipt of a submission that the session core read."""
    template = receipt_template(head_of(pdu), state, date, form)
    number = pdu.fields["destination_addr"].encode("latin-1")
    return Delivery(pack_receipt(template, number, id_octets, form), id_octets, state)
