"""One connection of the simulated SMSC: its session, and how its submissions are treated.

The session core speaks; this module decides by the verdicts of ``behaviour``. When nothing is to go wrong,
the octets go through ``fast`` first and only what it does not know reaches the session. Output is bounded:
reading stops while much of it waits. Invariant: what was sent and not acknowledged goes back to the account
when the connection ends.
"""

import socket
import ssl
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, Final, Protocol

import trio

from bench.peers import requests
from bench.peers.accounts import Account
from bench.peers.behaviour import OK, THROTTLED, Verdict
from bench.peers.fast import FastReader, FramingLost, Seen
from bench.peers.garbage import make_garbage
from bench.peers.options import Options
from bench.peers.receipts import Delivery
from bench.peers.record import Record
from bench.peers.schedule import hold
from bench.peers.store import Message
from bench.peers.transport import Transport
from stentor_smpp import status as codes
from stentor_smpp.events import Answers, BindRequested, Bound, Ended, Event, Expired, Requests, Responses
from stentor_smpp.fields import ALERT_NOTIFICATION, CANCEL_SM, DELIVER_SM, QUERY_SM, SUBMIT_SM
from stentor_smpp.link import SessionSettings
from stentor_smpp.pdu import PDU, encode_body
from stentor_smpp.session import Session
from stentor_smpp.states import Role, State
from stentor_smpp.timers import TimerSettings
from stentor_smpp.tlvs import CONGESTION_STATE, TLV

OUTPUT_OCTETS: Final = 1024 * 1024
"""Unsent output at which reading stops."""
BUSY_PAUSE_S: Final = 0.5
"""How long a delivery rests that the client could not take now."""
HALF_OCTETS: Final = 9
"""What is missing of an answer that is cut in the middle."""

_VERSION_5: Final = 0x50
_RECEIVING: Final = (State.BOUND_RX, State.BOUND_TRX)
_KINDS: Final = {State.BOUND_TX: "transmitter", State.BOUND_RX: "receiver", State.BOUND_TRX: "transceiver"}
_BUSY: Final = frozenset({codes.RX_T_APPN, codes.RMSGQFUL, codes.RTHROTTLED, codes.RSYSERR})

Answer = tuple[PDU, int, bytes]
"""A submit_sm, its command_status, and the id it was given."""


class Centre(requests.Desk, Protocol):
    """What all connections share; ``smsc.SMSC`` is it."""

    record: Record | None
    nursery: trio.Nursery
    context: ssl.SSLContext | None

    def check(self, system_id: str, password: str) -> int: ...

    def account(self, system_id: str) -> Account: ...

    def date(self, now: float) -> bytes: ...

    def early_deliveries(self, system_id: str) -> list[Delivery]: ...

    def touched(self, connection: "Connection") -> None: ...

    def ended(self, connection: "Connection", number: int) -> None: ...


class Connection:
    """From accept to the end."""

    def __init__(self, smsc: Centre, sock: socket.socket, number: int) -> None:
        self._smsc = smsc
        self._number = number
        options = smsc.options
        self._transport = Transport(
            sock,
            smsc.nursery,
            self.close,
            context=smsc.context,
            piece=options.piece,
            has_delayed_acks=options.has_delayed_acks,
        )
        settings = SessionSettings(
            Role.MC,
            window=options.deliver_window,
            peer_window=options.window,
            timers=TimerSettings(enquire_link_s=options.enquire_link_s, response_s=options.deliver_timeout_s),
        )
        self.session = Session(settings, time.monotonic())
        self._fast = self._make_fast(options)
        self._account: Account | None = None
        self._is_over = False
        faulty = options.behaviour.faulty
        self._is_faulty = not faulty or number <= faulty
        self._submits = 0
        self._speaks_5 = False

    def _make_fast(self, options: Options) -> FastReader | None:
        if not options.is_fast:
            return None
        behaviour = options.behaviour
        state = behaviour.receipt_states[0][0]
        fast = FastReader(self._smsc.ids, behaviour.receipts, state, options.deliver_window)
        if self._smsc.record is not None:
            fast.keep_record()
        return fast

    # -- the socket ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        transport = self._transport
        try:
            while not self._is_over:
                data = await transport.read()
                if not data:
                    break
                self._receive(data)
                while (transport.unsent > OUTPUT_OCTETS or transport.is_held) and not self._is_over:
                    await self._rest()
        except (OSError, trio.ClosedResourceError):
            pass  # the client is gone, or we are closing: either way this is the end
        finally:
            self.close()

    async def _rest(self) -> None:
        if self._transport.is_held:
            await trio.sleep(self._smsc.options.behaviour.stall_s)
            self._transport.release()
        else:
            await trio.sleep(0.001)

    def outbind(self, system_id: str, password: str) -> None:
        """Ask the client at the other end to bind."""
        self.session.outbind(system_id, password)
        self.push()

    def close(self) -> None:
        """End at once; what was not acknowledged goes back."""
        if self._is_over:
            return
        self._is_over = True
        self.session.connection_lost()
        self._events(self.session.drain_events(), time.monotonic())
        account = self._account
        if account is not None:
            account.leave(self)
            if self._fast is not None:
                account.give_back(self._fast.outstanding.values())
            self._smsc.statistics.redelivered += self._fast is not None and len(self._fast.outstanding)
            account.flush()
        self._smsc.ended(self, self._number)
        self._transport.close()

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
                    case Answers():
                        self._responses([(token, pdu.status) for token, pdu in event.answers], now)
                    case Expired():
                        self._give_back(event.tokens)
                    case Ended():
                        self._give_back([*event.in_doubt, *event.never_left])
                        if not self._is_over:
                            self._transport.write(self.session.drain_output())
                            self.close()
                    case _:
                        self._smsc.statistics.unexpected += 1
            events = self.session.drain_events()

    def _bind(self, request: PDU, now: float) -> None:
        smsc = self._smsc
        system_id = request.fields["system_id"]
        status = smsc.check(system_id, request.fields["password"])
        if status != OK:
            smsc.statistics.refused_binds += 1
            self.session.refuse_bind(request, status)
            return
        self.session.accept_bind(request, smsc.options.name, now)
        early = smsc.early_deliveries(system_id)
        if early and self.session.state in _RECEIVING:
            # The session puts its answer first, as is right; here the answer comes last.
            answer = self.session.drain_output()
            self.session.submit([(each, each.body) for each in early], now, DELIVER_SM)
            self._transport.write(self.session.drain_output() + answer)

    def _bound(self, event: Bound, now: float) -> None:
        account = self._account = self._smsc.account(event.system_id)
        self._speaks_5 = (event.peer_version or 0) >= _VERSION_5
        is_receiver = event.state in _RECEIVING
        account.join(self, is_receiver=is_receiver)
        if self._fast is not None:
            self._fast.is_bound = event.state is not State.BOUND_RX
            self._fast.is_receiver = is_receiver
        self._smsc.statistics.binds += 1
        self._smsc.statistics.last_bind_at = now
        if self._smsc.record is not None:
            self._smsc.record.bound(now, self._number, event.system_id, _KINDS[event.state])

    # -- requests ------------------------------------------------------------------------------------------

    def _requests(self, pdus: Sequence[PDU], now: float) -> None:
        answers: dict[float, list[Answer]] = defaultdict(list)
        planned: list[tuple[Message, Verdict]] = []
        for pdu in pdus:
            if self.session.state is State.CLOSED:
                break  # a fault cut the line: what stands behind was never read
            if pdu.command_id == SUBMIT_SM:
                self._submit(pdu, now, answers, planned)
            elif pdu.command_id == QUERY_SM:
                self._smsc.statistics.queries += 1
                status, fields = requests.query(self._smsc, pdu, knows_scheduled=self._speaks_5)
                self.session.reply(pdu, fields, (), status)
            elif pdu.command_id == CANCEL_SM:
                self._smsc.statistics.cancels += 1
                self.session.respond([(pdu, requests.cancel(self._smsc, pdu, self._bound_account()))])
            else:
                self.session.respond([(pdu, codes.RINVCMDID)])
        self._answer_later(answers)
        # Behind the answers on the agenda, so that no receipt overtakes its answer unasked.
        for message, verdict in planned:
            requests.plan(self._smsc, message, verdict, self._bound_account())

    def _bound_account(self) -> Account:
        assert self._account is not None
        return self._account

    def _answer_later(self, answers: dict[float, list[Answer]]) -> None:
        for delay_s, batch in answers.items():
            if delay_s > 0:
                self._smsc.later(delay_s, self.answer, batch)
            else:
                self.answer(batch)
        answers.clear()

    def _submit(
        self,
        pdu: PDU,
        now: float,
        answers: dict[float, list[Answer]],
        planned: list[tuple[Message, Verdict]],
    ) -> None:
        smsc, record = self._smsc, self._smsc.record
        self._submits += 1
        smsc.statistics.submitted(now, 1)
        verdict, held_s = hold(smsc.judge.judge(now), pdu.fields, smsc.options.schedule_ahead_s, time.time())
        message = requests.take(smsc, pdu, held_s) if verdict.status == OK else None
        id_octets = message.id if message is not None else b"-"
        if record is not None:
            record.seen(now, self._number, [_seen(pdu, id_octets)])
        if verdict.is_lost:
            smsc.statistics.lost += 1
        else:
            answers[verdict.delay_s].append((pdu, verdict.status, id_octets))
        if message is not None and verdict.is_receipt_first:
            requests.plan(smsc, message, verdict, self._bound_account())
            self._bound_account().flush()
            self.push()
        elif message is not None:
            planned.append((message, verdict))
        if self._is_faulty:
            self._break(verdict.is_dropping, answers, now)

    def answer(self, answers: Iterable[Answer]) -> None:
        """Answer submissions now."""
        smsc = self._smsc
        if self.session.state is State.CLOSED:
            return
        now = time.monotonic()
        load = smsc.judge.congestion
        for pdu, status, id_octets in answers:
            smsc.statistics.statuses[status] += 1
            smsc.statistics.throttled += status == THROTTLED
            if load is not None:
                tlvs: tuple[TLV, ...] = ((CONGESTION_STATE, bytes((load,))),)
                fields = {"message_id": id_octets.decode("ascii") if status == OK else ""}
                self.session.reply(pdu, fields, tlvs, status)
            elif status == OK:
                self.session.respond_ids([(pdu, id_octets.decode("ascii"))])
            else:
                self.session.respond([(pdu, status)])
            if smsc.record is not None:
                smsc.record.answered(now, self._number, [(pdu.sequence, status)])
        smsc.touched(self)

    # -- faults of the connection --------------------------------------------------------------------------

    def _break(self, is_dropping: bool, answers: dict[float, list[Answer]], now: float) -> None:
        """What goes wrong with the connection behind so many submissions."""
        behaviour, count = self._smsc.options.behaviour, self._submits
        if is_dropping or (behaviour.drop_after and count >= behaviour.drop_after):
            self._drop(answers)
        elif behaviour.stall_after and count == behaviour.stall_after:
            self._stall(answers)
        elif behaviour.unbind_after and count == behaviour.unbind_after:
            self._answer_later(answers)
            self.session.unbind(now)
        elif behaviour.garbage_after and count % behaviour.garbage_after == 0:
            self._answer_later(answers)
            self.push()
            self._transport.write(make_garbage(behaviour.garbage, self._smsc.judge.random))

    def _drop(self, answers: dict[float, list[Answer]]) -> None:
        """Cut the line: now, or with half of an answer sent."""
        self._smsc.statistics.dropped += 1
        if self._smsc.options.behaviour.is_drop_mid_pdu and answers:
            octets = self._answered(answers)
            self._transport.write(octets[: len(octets) - HALF_OCTETS])
        self.close()

    def _stall(self, answers: dict[float, list[Answer]]) -> None:
        """Stand still: as it is, or in the middle of an answer."""
        if self._smsc.options.behaviour.is_stall_mid_pdu and answers:
            octets = self._answered(answers)
            self._transport.write(octets[: len(octets) - HALF_OCTETS])
            self._transport.hold()
            self._transport.write(octets[len(octets) - HALF_OCTETS :])
        else:
            self._transport.hold()

    def _answered(self, answers: dict[float, list[Answer]]) -> bytes:
        """The octets of these answers, given at once, and of everything before them."""
        for batch in answers.values():
            self.answer(batch)
        answers.clear()
        octets = self.session.drain_output()
        self._flush_record()
        return octets

    # -- deliveries ----------------------------------------------------------------------------------------

    @property
    def room(self) -> int:
        """Deliveries that can be taken now."""
        if self._is_over or self._transport.is_held or not self.session.is_bound:
            return 0
        return self._fast.room if self._fast is not None else self.session.room

    def deliver(self, deliveries: list[Delivery]) -> None:
        """Send these; ``room`` said so."""
        if self._fast is not None:
            self._fast.deliver(deliveries)
        else:
            now = time.monotonic()
            for command_id, batch in groupby(deliveries, lambda each: each.command_id):
                self.session.submit([(each, each.body) for each in batch], now, command_id)
            if self._smsc.record is not None:
                self._smsc.record.delivered(time.monotonic(), deliveries)
        self._smsc.touched(self)

    def alert(self, source: str) -> bool:
        """Tell that a handset is reachable again; False if the client does not take it."""
        if self._is_over or self.session.state not in _RECEIVING:
            return False
        fields: dict[str, Any] = {"source_addr_ton": 1, "source_addr_npi": 1, "source_addr": source}
        self.session.notify(encode_body(ALERT_NOTIFICATION, fields))
        self._smsc.touched(self)
        return True

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
            self._transport.write(octets)

    def _flush_record(self) -> None:
        if self._smsc.record is not None:
            self._smsc.record.flush()


def _seen(pdu: PDU, id_octets: bytes) -> Seen:
    fields = pdu.fields
    destination = fields["destination_addr"].encode("latin-1")
    esm, coding, text = fields["esm_class"], fields["data_coding"], fields["short_message"]
    return pdu.sequence, id_octets, destination, esm, coding, text
