"""How a session reads: octets in any pieces become responses, requests, and reactions to what is wrong.

Owns framing and the rules about who may say what. Responses to messages and the message request of the other
side are read in one loop without leaving it; everything else takes the longer way. Bounded: a PDU's length is
judged as soon as four octets are there, and only one unfinished PDU is held.
"""

from typing import Final

from stentor_smpp import status as codes
from stentor_smpp.events import Alert, BindRequested, EndReason, Outbound, Token
from stentor_smpp.fields import (
    BINDS,
    DATA_SM_RESP,
    DELIVER_SM,
    DELIVER_SM_RESP,
    ENQUIRE_LINK,
    GENERIC_NACK,
    LAYOUTS,
    OUTBIND,
    RESPONSE_BIT,
    SUBMIT_SM,
    SUBMIT_SM_RESP,
    UNANSWERED,
    UNBIND,
    command_name,
)
from stentor_smpp.hot import parse_message, parse_message_id, parse_usual_receipt
from stentor_smpp.link import Link, SessionSettings
from stentor_smpp.pdu import HEADER, HEADER_OCTETS, PDU, Malformed, Reaction, check_frame, decode_framed
from stentor_smpp.states import BOUND, Role, State, Verdict, judge
from stentor_smpp.tlvs import CONGESTION_STATE, SC_INTERFACE_VERSION, first

# Responses that are a message_id (SMPP 3.4 sections 4.4.2, 4.6.2 and 4.7.2); the volume.
_MESSAGE_RESPONSES: Final = frozenset({SUBMIT_SM_RESP, DELIVER_SM_RESP, DATA_SM_RESP})
_STRAY_PERIOD_S: Final = 60.0

_MISPLACED: Final = {
    Verdict.WRONG_STATE: (Reaction.RESPOND, codes.RINVBNDSTS),
    Verdict.ALREADY_BOUND: (Reaction.RESPOND, codes.RALYBND),
    Verdict.NEVER: (Reaction.NACK, codes.RINVCMDID),
}


class Receiver(Link):
    """The reading half of a session."""

    __slots__ = ("_early", "_needed", "_stray_since", "_strays")

    def __init__(self, settings: SessionSettings, now: float, first_sequence: int) -> None:
        super().__init__(settings, now, first_sequence)
        self._needed = 0
        self._early = 0
        self._strays = 0
        self._stray_since = now

    def receive(self, data: bytes, now: float) -> None:
        """Take octets as they come from the wire, in any pieces."""
        if self._is_closed():
            return
        partial = self._partial
        if partial:
            partial += data
            if len(partial) < self._needed:
                return
            data = bytes(partial)
            partial.clear()
        at, is_message = self._read(data, now)
        if self._is_closed():
            return
        is_rest = at < len(data)
        if is_rest:
            self._keep(data, at)
        if at:
            self._timers = self._timers.received(now, is_message, now if is_rest else None)
        elif is_rest and self._timers.pdu_at is None:
            self._timers = self._timers.began(now)
        if self._unsent > self._settings.output_octets:
            self._control = []
            self._end(EndReason.OUTPUT, f"{self._unsent} octets of answers are unsent")

    def _read(self, data: bytes, now: float) -> tuple[int, bool]:
        """Take every whole PDU; where the rest begins, and whether any was more than enquire_link."""
        header = HEADER.unpack_from
        limit = self._limits.pdu_octets
        outstanding = self._ledger.outstanding
        responses = self._events.responses
        requests = self._events.requests
        receipts = self._events.receipts
        taken_id = self._taken_id()
        peer_window = self._settings.peer_window
        reads_receipts = self._settings.reads_receipts
        size = len(data)
        at = 0
        is_message = False
        while size - at >= HEADER_OCTETS:
            length, command_id, status, sequence = header(data, at)
            end = at + length
            if not HEADER_OCTETS <= length <= limit or end > size:
                break
            if command_id in _MESSAGE_RESPONSES:
                is_message = True
                entry = outstanding.get(sequence)
                if entry is not None and entry[1] == command_id:
                    message_id = parse_message_id(data, at, end)
                    if message_id is not None or length == HEADER_OCTETS:
                        del outstanding[sequence]
                        responses.append((entry[0], status, message_id, ()))
                        at = end
                        continue
            elif command_id == taken_id and self._unanswered < peer_window:
                is_message = True
                if reads_receipts and (receipt := parse_usual_receipt(data, at, end, sequence)) is not None:
                    self._unanswered += 1
                    receipts.append(receipt)
                    at = end
                    continue
                pdu = parse_message(data, at, end, command_id, status, sequence)
                if pdu is not None:
                    self._unanswered += 1
                    requests.append(pdu)
                    at = end
                    continue
            is_message = is_message or command_id & ~RESPONSE_BIT != ENQUIRE_LINK
            self._read_other(data, at, end, now)
            if self._is_closed():
                return end, is_message
            responses = self._events.responses
            requests = self._events.requests
            receipts = self._events.receipts
            taken_id = self._taken_id()
            at = end
        return at, is_message

    def _taken_id(self) -> int:
        """The request that ``_read`` itself takes in the present state; -1 when there is none."""
        if self._settings.role is Role.ESME:
            return DELIVER_SM if self._state in BOUND or self._state is State.UNBINDING else -1
        return SUBMIT_SM if self._state in (State.BOUND_TX, State.BOUND_TRX) else -1

    def _keep(self, data: bytes, at: int) -> None:
        """Hold the beginning of a PDU, once its length is known to be bearable."""
        frame = check_frame(data, at, self._limits)
        assert isinstance(frame, Malformed), "a whole PDU was left over"
        if frame.reaction is Reaction.NEED_MORE:
            self._partial += memoryview(data)[at:]
            self._needed = frame.length or 4
            return
        if frame.reaction is Reaction.CLOSE:
            self._end(EndReason.NOT_SMPP, frame.detail)
            return
        self._events.faults.append(frame)
        if self._state in BOUND or self._state is State.UNBINDING:
            self._nack(frame.status, frame.sequence)
        self._end(EndReason.FRAMING, frame.detail)

    def _read_other(self, data: bytes, at: int, end: int, now: float) -> None:
        command_id: int
        _, command_id, _, sequence = HEADER.unpack_from(data, at)
        if not command_id & RESPONSE_BIT:
            self._read_request(data, at, end, now)
        elif sequence in self._ledger.waiting:
            self._read_control(data, at, end, now)
        else:
            entry = self._ledger.outstanding.get(sequence)
            if entry is not None and command_id in (entry[1], GENERIC_NACK):
                del self._ledger.outstanding[sequence]
                self._resolve(entry[0], entry[1], self._decode_response(data, at, end))
            else:
                self._read_stray(data, at, end, now)

    def _decode_response(self, data: bytes, at: int, end: int) -> PDU:
        """A response whose body cannot be read still is the answer: it keeps its status and has no fields."""
        found = decode_framed(data, at, end, self._limits)
        if isinstance(found, Malformed):
            self._events.faults.append(found)
            _, command_id, status, sequence = HEADER.unpack_from(data, at)
            found = PDU(command_id, status, sequence)
        if found.command_id == GENERIC_NACK and found.status == 0:
            # A refusal without a reason must not pass for success.
            found.status = codes.RUNKNOWNERR
        if found.tlvs and (congestion := first(found.tlvs, CONGESTION_STATE)):
            self.congestion = congestion[-1]
        return found

    def _resolve(self, token: Token, response_id: int, pdu: PDU) -> None:
        if response_id in _MESSAGE_RESPONSES:
            self._events.responses.append((token, pdu.status, pdu.fields.get("message_id"), pdu.tlvs))
        else:
            self._events.answers.append((token, pdu))

    def _read_stray(self, data: bytes, at: int, end: int, now: float) -> None:
        """A response nobody waits for: late if we remember the request, else one of those that are
        counted."""
        _, command_id, status, sequence = HEADER.unpack_from(data, at)
        late = self._ledger.take_late(sequence, command_id)
        if late is not None:
            pdu = self._decode_response(data, at, end)
            self._events.late.append((late[0], pdu.status, pdu.fields.get("message_id"), pdu.tlvs))
            return
        self._events.unexpected.append((command_id, status, sequence))
        if now - self._stray_since >= _STRAY_PERIOD_S:
            self._stray_since = now
            self._strays = 0
        self._strays += 1
        if self._strays > self._settings.strays_per_minute:
            self._end(EndReason.FLOOD, f"{self._strays} in a minute")

    def _read_control(self, data: bytes, at: int, end: int, now: float) -> None:
        """The answer to our bind, unbind or enquire_link."""
        _, command_id, _, sequence = HEADER.unpack_from(data, at)
        expected = self._ledger.waiting[sequence]
        if command_id not in (expected, GENERIC_NACK):
            self._read_stray(data, at, end, now)
            return
        del self._ledger.waiting[sequence]
        request_id = expected & ~RESPONSE_BIT
        if end - at > HEADER_OCTETS and request_id not in BINDS:
            self._decode_response(data, at, end)
        if request_id == UNBIND:
            self._end(EndReason.UNBOUND, self._goodbye)
        elif request_id in BINDS:
            pdu = self._decode_response(data, at, end)
            if pdu.status != 0:
                self._end(EndReason.BIND_REFUSED, codes.lookup(pdu.status).name, pdu.status)
                return
            announced = first(pdu.tlvs, SC_INTERFACE_VERSION)
            # Some send two octets; the version is in the last.
            version = announced[-1] if announced else None
            self._become_bound(request_id, pdu.fields.get("system_id", ""), version, now)

    def _read_request(self, data: bytes, at: int, end: int, now: float) -> None:
        command_id: int
        _, command_id, _, sequence = HEADER.unpack_from(data, at)
        if command_id not in LAYOUTS:
            self._react(decode_framed(data, at, end, self._limits))
            return
        verdict = judge(self._settings.role.peer, self._state, command_id)
        if verdict is Verdict.TAKE:
            self._take(data, at, end, command_id, sequence)
        elif verdict is Verdict.HOLD:
            self._hold(decode_framed(data, at, end, self._limits))
        elif verdict in _MISPLACED:
            reaction, status = _MISPLACED[verdict]
            detail = f"{command_name(command_id)} is out of place while {self._state.value}"
            self._react(Malformed(4, detail, reaction, status, command_id, sequence, end - at))

    def _take(self, data: bytes, at: int, end: int, command_id: int, sequence: int) -> None:
        if command_id == ENQUIRE_LINK:
            self._answer(ENQUIRE_LINK, codes.ROK, sequence)
            return
        if command_id == UNBIND:
            self._answer(UNBIND, codes.ROK, sequence)
            crossed = self._state is State.UNBINDING
            self._end(EndReason.UNBOUND if crossed else EndReason.PEER_UNBOUND, self._goodbye)
            return
        found = decode_framed(data, at, end, self._limits)
        if command_id not in BINDS and command_id not in UNANSWERED:
            self._take_message(found)
        elif isinstance(found, Malformed):
            self._react(found)
        elif command_id in BINDS:
            self._state = State.BINDING
            self._events.append(BindRequested(found))
        elif command_id == OUTBIND:
            self._state = State.OUTBOUND
            self._events.append(Outbound(found.fields["system_id"], found.fields["password"]))
        else:
            self._events.append(Alert(found))

    def _take_message(self, found: PDU | Malformed) -> None:
        if isinstance(found, Malformed):
            self._react(found)
        elif self._unanswered >= self._settings.peer_window:
            self._put_off(found)
        else:
            self._unanswered += 1
            self._events.requests.append(found)

    def _hold(self, found: PDU | Malformed) -> None:
        """Some MCs deliver before they have answered the bind; that must not be lost."""
        if isinstance(found, Malformed):
            self._react(found)
        elif len(self._held) >= self._settings.held_requests:
            self._put_off(found)
        else:
            self._unanswered += 1
            self._held.append(found)

    def _put_off(self, found: PDU) -> None:
        is_server = self._settings.role is Role.MC
        self._answer(found.command_id, codes.RTHROTTLED if is_server else codes.RX_T_APPN, found.sequence)

    def _react(self, found: PDU | Malformed) -> None:
        assert isinstance(found, Malformed)
        self._events.faults.append(found)
        if found.reaction is Reaction.RESPOND:
            self._answer(found.command_id, found.status, found.sequence)
        elif found.reaction is Reaction.NACK:
            self._nack(found.status, found.sequence)
        self._count_early()

    def _count_early(self) -> None:
        """Before the bind a peer may be wrong a few times, not for as long as it likes."""
        if self._state in (State.OPEN, State.OUTBOUND, State.BINDING):
            self._early += 1
            if self._early > self._settings.early_requests:
                self._end(EndReason.NOT_BOUND, f"{self._early} requests")
