"""What both halves of a session stand on: its state, its output, its book of requests, and its end.

Owns the order of what is sent. Answers leave before requests, so that a session that ends can still answer
while the requests that never left are taken back. Invariant: after ``Ended`` nothing is written any more.
"""

import msgspec

from stentor_smpp.events import UNBOUND_BY, Bound, Ended, EndReason, EventQueue
from stentor_smpp.fields import GENERIC_NACK, RESPONSE_BIT
from stentor_smpp.ledger import Ledger
from stentor_smpp.pdu import CLIENT_PDU_OCTETS, HEADER, HEADER_OCTETS, PDU, SERVER_PDU_OCTETS, Limits
from stentor_smpp.states import BOUND_BY, Role, State
from stentor_smpp.timers import Timers, TimerSettings


class SessionSettings(msgspec.Struct, frozen=True, gc=False):
    """What one session may do; every number is a bound with its reaction.

    ``window`` our outstanding requests (``submit`` asserts it); ``peer_window`` the peer's unanswered ones,
    more are refused with 0x58 (MC) or 0x64 (ESME); ``held_requests`` that came before bind_resp are kept for
    after it, more are refused likewise; ``early_requests`` refused before the bind, then the session ends;
    ``strays_per_minute`` responses nobody asked for, then it ends; ``late_kept`` expired requests remembered,
    the oldest forgotten first; ``output_octets`` of answers the shell could not take away, then it ends.
    ``reads_receipts``: receipts of the usual shape come as such, not as PDUs.
    """

    role: Role
    window: int = 10
    peer_window: int = 1000
    timers: TimerSettings = TimerSettings()
    limits: Limits | None = None
    held_requests: int = 100
    early_requests: int = 5
    strays_per_minute: int = 1000
    late_kept: int = 10_000
    output_octets: int = 4 << 20
    reads_receipts: bool = False

    def pdu_limits(self) -> Limits:
        """The limits given, or those usual for the role."""
        if self.limits is not None:
            return self.limits
        return Limits(SERVER_PDU_OCTETS if self.role is Role.MC else CLIENT_PDU_OCTETS)


class Link:
    """State, output and ending of one session."""

    __slots__ = (
        "_control",
        "_events",
        "_goodbye",
        "_held",
        "_ledger",
        "_limits",
        "_partial",
        "_peer_version",
        "_request_output",
        "_settings",
        "_state",
        "_timers",
        "_unanswered",
        "_unsent",
        "congestion",
    )

    def __init__(self, settings: SessionSettings, now: float, first_sequence: int) -> None:
        self._settings = settings
        self._limits = settings.pdu_limits()
        self._state = State.OPEN
        self._timers = Timers(settings.timers, now)
        self._ledger = Ledger(first_sequence, settings.late_kept)
        self._events = EventQueue()
        self._control: list[bytes] = []
        self._request_output: list[bytes] = []
        self._unsent = 0
        self._partial = bytearray()
        self._held: list[PDU] = []
        self._unanswered = 0
        self._peer_version: int | None = None
        self._goodbye = ""
        # The peer's latest congestion_state (SMPP 5.0 section 4.8.4.18), until the shell has looked at it.
        self.congestion: int | None = None

    def _is_closed(self) -> bool:
        return self._state is State.CLOSED or self._state is State.UNBOUND

    def _become_bound(self, command_id: int, system_id: str, version: int | None, now: float) -> None:
        self._state = BOUND_BY[command_id]
        self._peer_version = version
        self._timers = self._timers.bound(now)
        self._events.append(Bound(self._state, system_id, version))
        self._events.requests += self._held
        self._held = []

    def _write(self, octets: bytes) -> None:
        self._control.append(octets)
        self._unsent += len(octets)

    def _request(self, command_id: int, body: bytes = b"") -> bytes:
        """Octets of a request of ours that takes no slot."""
        return HEADER.pack(HEADER_OCTETS + len(body), command_id, 0, self._ledger.next_sequence()) + body

    def _ask(self, command_id: int, body: bytes = b"") -> bytes:
        """Octets of a request of ours that takes no slot, and whose answer is waited for."""
        sequence = self._ledger.next_sequence()
        self._ledger.waiting[sequence] = command_id | RESPONSE_BIT
        return HEADER.pack(HEADER_OCTETS + len(body), command_id, 0, sequence) + body

    def _answer(self, command_id: int, status: int, sequence: int) -> None:
        """Send a response that is a bare header."""
        self._write(HEADER.pack(HEADER_OCTETS, command_id | RESPONSE_BIT, status, sequence))

    def _nack(self, status: int, sequence: int) -> None:
        self._write(HEADER.pack(HEADER_OCTETS, GENERIC_NACK, status, sequence))

    def _end(self, reason: EndReason, detail: str, status: int = 0) -> None:
        """Hand back every request once, split by whether its octets ever left, and stop."""
        if self._is_closed():
            return
        self._state = State.UNBOUND if reason in UNBOUND_BY else State.CLOSED
        never_left, in_doubt = self._ledger.hand_back()
        self._request_output = []
        self._partial = bytearray()
        self._held = []
        self._unanswered = 0
        self._events.append(Ended(reason, detail, never_left, in_doubt, status))
