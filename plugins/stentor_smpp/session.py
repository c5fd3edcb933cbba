"""The SMPP session without any I/O, for both roles: octets and the time in, events and octets out.

Owns what the shell may do with a session (SMPP 3.4 sections 2 and 4). Invariants:

- every request handed to ``submit`` comes back exactly once: answered, expired, or in ``Ended``;
- a sequence number that is outstanding is never used again;
- after ``Ended`` nothing happens any more; octets that remain are answers, never requests.

The shell calls a method, then drains events and output. ``now`` is in monotonic seconds and never goes back.
A method the state does not allow is a bug of the shell and fails an assertion.
"""

from collections.abc import Iterable, Sequence
from struct import Struct as Packer
from typing import Final

from stentor_smpp.events import EndReason, Event, Expired, Token
from stentor_smpp.fields import (
    ALERT_NOTIFICATION,
    DATA_SM,
    DELIVER_SM,
    ENQUIRE_LINK,
    ENQUIRE_LINK_RESP,
    OUTBIND,
    RESPONSE_BIT,
    SUBMIT_SM,
    UNBIND,
    command_name,
)
from stentor_smpp.hot import UsualReceipt
from stentor_smpp.ledger import LAST_SEQUENCE
from stentor_smpp.link import SessionSettings
from stentor_smpp.pdu import HEADER, HEADER_OCTETS, PDU, Fields, encode, encode_body
from stentor_smpp.receiver import Receiver
from stentor_smpp.states import BOUND, REQUESTS, Role, State
from stentor_smpp.timers import Timer
from stentor_smpp.tlvs import SC_INTERFACE_VERSION, TLV

INTERFACE_VERSION: Final = 0x34

_HEADER_AND_NUL: Final = Packer(">IIIIB")
# Requests whose answer carries a message_id, empty in a deliver_sm_resp.
_MESSAGES: Final = frozenset({SUBMIT_SM, DELIVER_SM, DATA_SM})

_TIMER_ENDS: Final = {
    Timer.SESSION_INIT: EndReason.SESSION_INIT,
    Timer.BIND_RESPONSE: EndReason.BIND_RESPONSE,
    Timer.ENQUIRE_RESPONSE: EndReason.ENQUIRE_RESPONSE,
    Timer.UNBIND_RESPONSE: EndReason.UNBIND_RESPONSE,
    Timer.PDU: EndReason.SLOW_PDU,
}


class Session(Receiver):
    """One session over one connection, from connect to ``Ended``. ``now``: when the connection stood."""

    __slots__ = ()

    def __init__(self, settings: SessionSettings, now: float, first_sequence: int = 1) -> None:
        super().__init__(settings, now, first_sequence)

    # ------------------------------------------------------------ what the shell may ask

    @property
    def state(self) -> State:
        """Where the session stands."""
        return self._state

    @property
    def is_bound(self) -> bool:
        """True while messages may be submitted."""
        return self._state in BOUND

    @property
    def room(self) -> int:
        """Requests that ``submit`` would take now; 0 unless bound."""
        return self._settings.window - len(self._ledger.outstanding) if self._state in BOUND else 0

    @property
    def outstanding(self) -> int:
        """Requests of ours that wait for their answer."""
        return len(self._ledger.outstanding)

    @property
    def unanswered(self) -> int:
        """Requests of the peer that the shell has not answered; near ``peer_window`` it should stop
        reading."""
        return self._unanswered

    @property
    def may_send_tlvs(self) -> bool:
        """True when the peer announced at least version 3.4; without an announcement it may not know TLVs."""
        return self._peer_version is not None and self._peer_version >= INTERFACE_VERSION

    def next_deadline(self) -> float:
        """When ``tick`` has something to do at the earliest; infinity when never."""
        if self._is_closed():
            return float("inf")
        return self._timers.next_deadline(self._ledger.oldest_deadline())

    def drain_events(self) -> list[Event]:
        """What happened since the last call, oldest first."""
        return self._events.drain()

    def drain_output(self) -> bytes:
        """Octets to send. From here on the requests among them count as having left."""
        parts = self._control
        if self._request_output:
            parts += self._request_output
            self._request_output = []
            self._ledger.undrained.clear()
        if not parts:
            return b""
        self._control = []
        self._unsent = 0
        return b"".join(parts)

    # ------------------------------------------------------------ what the shell may do

    def bind(self, command_id: int, fields: Fields, now: float) -> None:
        """ESME: ask to be bound (SMPP 3.4 section 4.1). Raises EncodeError for credentials that do not
        fit."""
        assert self._settings.role is Role.ESME
        assert self._state in (State.OPEN, State.OUTBOUND), self._state
        body = encode_body(command_id, fields, (), self._limits.are_passwords_long)
        self._state = State.BINDING
        self._timers = self._timers.bind_sent(now)
        self._write(self._ask(command_id, body))

    def outbind(self, system_id: str, password: str) -> None:
        """MC: ask the ESME to bind (SMPP 3.4 section 4.1.7)."""
        assert self._settings.role is Role.MC
        assert self._state is State.OPEN, self._state
        body = encode_body(OUTBIND, {"system_id": system_id, "password": password})
        self._state = State.OUTBOUND
        self._write(self._request(OUTBIND, body))

    def accept_bind(self, request: PDU, system_id: str, now: float) -> None:
        """MC: let the ESME in. A peer below version 3.4 gets no TLV."""
        assert self._state is State.BINDING, self._state
        version: int = request.fields["interface_version"]
        tlvs: tuple[TLV, ...] = ()
        if version >= INTERFACE_VERSION:
            tlvs = ((SC_INTERFACE_VERSION, bytes((INTERFACE_VERSION,))),)
        response = PDU(request.command_id | RESPONSE_BIT, 0, request.sequence, {"system_id": system_id}, tlvs)
        self._write(encode(response))
        self._become_bound(request.command_id, request.fields["system_id"], version, now)

    def refuse_bind(self, request: PDU, status: int) -> None:
        """MC: refuse; the ESME may try again until the session_init timer ends it."""
        assert self._state is State.BINDING, self._state
        assert status != 0
        self._state = State.OPEN
        self._answer(request.command_id, status, request.sequence)

    def submit(self, batch: Sequence[tuple[Token, bytes]], now: float, command_id: int = SUBMIT_SM) -> None:
        """Send requests, each ``(token, body)``; every token comes back exactly once. Needs ``room``.

        Any request that is answered may go this way: an MC sends deliver_sm, either side query_sm or data_sm.
        """
        state = self._state
        assert state in BOUND, state
        assert command_id in REQUESTS[self._settings.role][state], command_name(command_id)
        ledger = self._ledger
        outstanding = ledger.outstanding
        assert len(outstanding) + len(batch) <= self._settings.window, "the window is full"
        response_id = command_id | RESPONSE_BIT
        deadline = now + self._settings.timers.response_s
        sequence = ledger.sequence
        waiting = ledger.waiting
        output = self._request_output
        undrained = ledger.undrained
        pack = HEADER.pack
        for token, body in batch:
            while sequence in outstanding or sequence in waiting:
                sequence = sequence + 1 if sequence < LAST_SEQUENCE else 1
            outstanding[sequence] = (token, response_id, deadline)
            undrained.append(sequence)
            output.append(pack(HEADER_OCTETS + len(body), command_id, 0, sequence))
            output.append(body)
            sequence = sequence + 1 if sequence < LAST_SEQUENCE else 1
        ledger.sequence = sequence
        if self._settings.timers.inactivity_s is not None:
            self._timers = self._timers.sent(now)

    def notify(self, body: bytes) -> None:
        """MC: send alert_notification, which has no answer and takes no slot."""
        assert ALERT_NOTIFICATION in REQUESTS[self._settings.role][self._state], self._state
        self._write(self._request(ALERT_NOTIFICATION, body))

    def respond(self, answers: Iterable[tuple[PDU | UsualReceipt, int]]) -> None:
        """Answer requests with a status alone: an error as a bare header, a success with an empty
        message_id."""
        if self._is_closed():
            return
        parts: list[bytes] = []
        count = 0
        for pdu, status in answers:
            response_id = pdu.command_id | RESPONSE_BIT
            if status == 0 and pdu.command_id in _MESSAGES:
                parts.append(_HEADER_AND_NUL.pack(HEADER_OCTETS + 1, response_id, 0, pdu.sequence, 0))
            else:
                parts.append(HEADER.pack(HEADER_OCTETS, response_id, status, pdu.sequence))
            count += 1
        self._answered(count)
        self._write(b"".join(parts))

    def respond_ids(self, answers: Iterable[tuple[PDU, str]]) -> None:
        """Answer requests with success and a message_id of Latin-1 without NULs."""
        if self._is_closed():
            return
        parts: list[bytes] = []
        count = 0
        for pdu, message_id in answers:
            octets = message_id.encode("latin-1")
            header = HEADER.pack(
                HEADER_OCTETS + 1 + len(octets), pdu.command_id | RESPONSE_BIT, 0, pdu.sequence
            )
            parts += (header, octets, b"\0")
            count += 1
        self._answered(count)
        self._write(b"".join(parts))

    def reply(self, request: PDU, fields: Fields, tlvs: tuple[TLV, ...] = (), status: int = 0) -> None:
        """Answer one request with any body. Raises EncodeError for a body that does not fit."""
        if self._is_closed():
            return
        octets = encode(PDU(request.command_id | RESPONSE_BIT, status, request.sequence, fields, tlvs))
        self._answered(1)
        self._write(octets)

    def unbind(self, now: float, detail: str = "") -> None:
        """Say goodbye; requests still outstanding when the answer comes are in doubt. Needs a bind."""
        assert self._state in BOUND, self._state
        self._state = State.UNBINDING
        self._goodbye = detail
        self._timers = self._timers.unbind_sent(now)
        # Behind the requests already queued: nothing may follow a goodbye.
        self._request_output.append(self._ask(UNBIND))

    def close(self, detail: str = "") -> None:
        """End at once; what must still be sent is in the output."""
        self._end(EndReason.CLOSED, detail)

    def connection_lost(self, detail: str = "") -> None:
        """The transport is gone: everything outstanding comes back in ``Ended``."""
        self._control = []
        self._end(EndReason.LOST, detail)
        self._state = State.CLOSED

    def tick(self, now: float) -> None:
        """Let the timers act whose deadline is not after ``now``."""
        if self._is_closed():
            return
        expired = self._ledger.expire(now)
        if expired:
            self._events.append(Expired(expired))
        for timer in self._timers.fired(now):
            if timer is Timer.ENQUIRE_LINK:
                self._enquire(now)
            elif timer is Timer.INACTIVITY:
                self.unbind(now, "no message for too long")
            else:
                self._end(_TIMER_ENDS[timer], "")
                return

    def _enquire(self, now: float) -> None:
        """Ask for a sign of life; anything the peer sent since has answered the older enquire_links."""
        self._ledger.forget_waiting(ENQUIRE_LINK_RESP)
        self._write(self._ask(ENQUIRE_LINK))
        self._timers = self._timers.enquired(now)

    def _answered(self, count: int) -> None:
        self._unanswered -= count
        assert self._unanswered >= 0, "answered more requests than came"
