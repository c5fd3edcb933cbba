"""What a session tells its shell. Each read yields at most one event of a batch kind, in order of arrival."""

from enum import Enum
from typing import Any, Final

import msgspec

from stentor_smpp.hot import UsualReceipt
from stentor_smpp.pdu import PDU, Malformed
from stentor_smpp.states import State
from stentor_smpp.tlvs import TLV

# Whatever the shell wants back with the answer; the session only carries it.
Token = Any

# (token, command_status, message_id or None, TLVs); the answer to one submit_sm, deliver_sm or data_sm.
Response = tuple[Token, int, str | None, tuple[TLV, ...]]


class Responses(msgspec.Struct, frozen=True):
    """Answers to message requests. A generic_nack counts as one; its status is never 0."""

    responses: list[Response]


class LateResponses(msgspec.Struct, frozen=True):
    """Answers to requests that had been handed back as expired: the token again, and the id that may settle
    it."""

    responses: list[Response]


class Answers(msgspec.Struct, frozen=True):
    """Whole answers to query_sm, cancel_sm, replace_sm, submit_multi and the broadcast operations."""

    answers: list[tuple[Token, PDU]]


class Requests(msgspec.Struct, frozen=True):
    """The peer's requests; each must be answered by ``respond``, ``respond_ids`` or ``reply``, in any
    order."""

    pdus: list[PDU]


class Receipts(msgspec.Struct, frozen=True):
    """Receipts of the usual shape, for a session that reads them; each must be answered like any request."""

    receipts: list[UsualReceipt]


class Expired(msgspec.Struct, frozen=True):
    """Requests without an answer in time. Each is handed back here once and is in doubt."""

    tokens: list[Token]


class Unexpected(msgspec.Struct, frozen=True):
    """Responses nobody waits for, or of the wrong kind: (command_id, command_status, sequence_number)."""

    responses: list[tuple[int, int, int]]


class Faults(msgspec.Struct, frozen=True):
    """PDUs that could not be read; the session has already reacted as each one says."""

    faults: list[Malformed]


class BindRequested(msgspec.Struct, frozen=True):
    """MC only: answer with ``accept_bind`` or ``refuse_bind``."""

    pdu: PDU


class Bound(msgspec.Struct, frozen=True):
    """The bind stands. ``peer_version`` is what the peer announced, None for an MC that did not."""

    state: State
    system_id: str
    peer_version: int | None


class Outbound(msgspec.Struct, frozen=True):
    """ESME only: the MC asks to be bound to."""

    system_id: str
    password: str


class Alert(msgspec.Struct, frozen=True):
    """ESME only: alert_notification, a handset is reachable again. Never answered."""

    pdu: PDU


class EndReason(Enum):
    """Why a session ended."""

    UNBOUND = "we unbound"
    PEER_UNBOUND = "the peer unbound"
    BIND_REFUSED = "the bind was refused"
    CLOSED = "closed on our side"
    LOST = "the connection was lost"
    SESSION_INIT = "no bind in time"
    BIND_RESPONSE = "no answer to the bind in time"
    ENQUIRE_RESPONSE = "no sign of life after enquire_link"
    UNBIND_RESPONSE = "no answer to unbind in time"
    SLOW_PDU = "a PDU was begun and not finished in time"
    FRAMING = "the stream of PDUs cannot be followed"
    NOT_SMPP = "the peer does not speak SMPP"
    NOT_BOUND = "too many requests before the bind"
    FLOOD = "too many responses nobody asked for"
    OUTPUT = "the peer does not read our answers"


UNBOUND_BY: Final = frozenset({EndReason.UNBOUND, EndReason.PEER_UNBOUND})
"""The ends that both sides agreed on."""


class Ended(msgspec.Struct, frozen=True):
    """The last event of every session. The shell sends what is left to send, then closes.

    ``never_left``: requests whose octets were still in the session; they are not sent any more. ``in_doubt``:
    the others without an answer. ``status`` is that of a refused bind.
    """

    reason: EndReason
    detail: str
    never_left: list[Token]
    in_doubt: list[Token]
    status: int = 0


Event = (
    Responses
    | LateResponses
    | Answers
    | Requests
    | Receipts
    | Expired
    | Unexpected
    | Faults
    | BindRequested
    | Bound
    | Outbound
    | Alert
    | Ended
)


class EventQueue:
    """Events in order of arrival; what comes by the hundred in one read is gathered into one event of its
    kind."""

    __slots__ = ("_events", "answers", "faults", "late", "receipts", "requests", "responses", "unexpected")

    def __init__(self) -> None:
        self._events: list[Event] = []
        self.responses: list[Response] = []
        self.late: list[Response] = []
        self.answers: list[tuple[Token, PDU]] = []
        self.requests: list[PDU] = []
        self.receipts: list[UsualReceipt] = []
        self.unexpected: list[tuple[int, int, int]] = []
        self.faults: list[Malformed] = []

    def append(self, event: Event) -> None:
        """Put an event behind everything gathered before it."""
        self._flush()
        self._events.append(event)

    def drain(self) -> list[Event]:
        """Everything since the last call, oldest first."""
        self._flush()
        events = self._events
        self._events = []
        return events

    def _flush(self) -> None:
        events = self._events
        if self.responses:
            events.append(Responses(self.responses))
            self.responses = []
        if self.late:
            events.append(LateResponses(self.late))
            self.late = []
        if self.answers:
            events.append(Answers(self.answers))
            self.answers = []
        if self.requests:
            events.append(Requests(self.requests))
            self.requests = []
        if self.receipts:
            events.append(Receipts(self.receipts))
            self.receipts = []
        if self.unexpected:
            events.append(Unexpected(self.unexpected))
            self.unexpected = []
        if self.faults:
            events.append(Faults(self.faults))
            self.faults = []
