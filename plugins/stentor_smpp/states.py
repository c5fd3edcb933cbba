"""States of a session and which request is legal in each, as tables for both roles (SMPP 3.4 section 2.3).

``REQUESTS[role][state]`` holds the requests that side may send in that state. What is missing there is
answered by ``judge``: a request the side may send at other times gets its own response with ESME_RINVBNDSTS,
one it may never send gets generic_nack, and those that are never answered are ignored. A response is legal
where its request was.
"""

from enum import Enum
from typing import Final

from stentor_smpp.fields import (
    ALERT_NOTIFICATION,
    BIND_RECEIVER,
    BIND_TRANSCEIVER,
    BIND_TRANSMITTER,
    BINDS,
    BROADCAST_SM,
    CANCEL_BROADCAST_SM,
    CANCEL_SM,
    DATA_SM,
    DELIVER_SM,
    ENQUIRE_LINK,
    OUTBIND,
    QUERY_BROADCAST_SM,
    QUERY_SM,
    REPLACE_SM,
    SUBMIT_MULTI,
    SUBMIT_SM,
    UNANSWERED,
    UNBIND,
)


class Role(Enum):
    """Which end of the session this is."""

    ESME = "esme"
    MC = "mc"

    @property
    def peer(self) -> "Role":
        """The other end."""
        return Role.MC if self is Role.ESME else Role.ESME


class State(Enum):
    """Where the session stands. BINDING and UNBINDING wait for the answer of one side or the other.

    UNBOUND lasts from an answered unbind until the connection is gone. SMPP 5.0 would let either side ask for a sign
    of life in it; we hang up at once, so nothing is taken or sent any more.
    """

    OPEN = "open"
    OUTBOUND = "outbound"
    BINDING = "binding"
    BOUND_TX = "bound_tx"
    BOUND_RX = "bound_rx"
    BOUND_TRX = "bound_trx"
    UNBINDING = "unbinding"
    UNBOUND = "unbound"
    CLOSED = "closed"


BOUND: Final = frozenset({State.BOUND_TX, State.BOUND_RX, State.BOUND_TRX})

BOUND_BY: Final[dict[int, State]] = {
    BIND_TRANSMITTER: State.BOUND_TX,
    BIND_RECEIVER: State.BOUND_RX,
    BIND_TRANSCEIVER: State.BOUND_TRX,
}

_LINK: Final = frozenset({ENQUIRE_LINK})
_COMMON: Final = frozenset({UNBIND, ENQUIRE_LINK})
_SUBMITS: Final = frozenset(
    {
        SUBMIT_SM,
        SUBMIT_MULTI,
        QUERY_SM,
        CANCEL_SM,
        REPLACE_SM,
        DATA_SM,
        BROADCAST_SM,
        QUERY_BROADCAST_SM,
        CANCEL_BROADCAST_SM,
    }
)
_DELIVERS: Final = frozenset({DELIVER_SM, DATA_SM, ALERT_NOTIFICATION})
# SMPP 3.4 lets either side send data_sm over either kind of bind.
_DATA: Final = frozenset({DATA_SM})
_NOTHING: Final[frozenset[int]] = frozenset()

REQUESTS: Final[dict[Role, dict[State, frozenset[int]]]] = {
    Role.ESME: {
        State.OPEN: BINDS | _LINK,
        State.OUTBOUND: BINDS | _LINK,
        State.BINDING: _LINK,
        State.BOUND_TX: _SUBMITS | _COMMON,
        State.BOUND_RX: _DATA | _COMMON,
        State.BOUND_TRX: _SUBMITS | _COMMON,
        State.UNBINDING: _COMMON,
        State.UNBOUND: _NOTHING,
        State.CLOSED: _NOTHING,
    },
    Role.MC: {
        State.OPEN: _LINK | {OUTBIND},
        State.OUTBOUND: _LINK,
        State.BINDING: _LINK,
        State.BOUND_TX: _DATA | _COMMON,
        State.BOUND_RX: _DELIVERS | _COMMON,
        State.BOUND_TRX: _DELIVERS | _COMMON,
        State.UNBINDING: _COMMON,
        State.UNBOUND: _NOTHING,
        State.CLOSED: _NOTHING,
    },
}

_EVER: Final = {role: frozenset().union(*states.values()) for role, states in REQUESTS.items()}


class Verdict(Enum):
    """What becomes of a peer's request in the present state."""

    TAKE = "take"
    HOLD = "hold until bound"
    WRONG_STATE = "its response with ESME_RINVBNDSTS"
    ALREADY_BOUND = "its response with ESME_RALYBND"
    NEVER = "generic_nack with ESME_RINVCMDID"
    IGNORE = "nothing"


def judge(sender: Role, state: State, command_id: int) -> Verdict:
    """What becomes of a known request of ``sender`` while the session is in ``state``."""
    if command_id in REQUESTS[sender][state]:
        return Verdict.TAKE
    if command_id in UNANSWERED:
        # A client takes an alert over any bind; out of place these are not worth an answer.
        is_lenient = sender is Role.MC and command_id == ALERT_NOTIFICATION and state in BOUND
        return Verdict.TAKE if is_lenient else Verdict.IGNORE
    if command_id not in _EVER[sender]:
        return Verdict.NEVER
    if command_id in BINDS:
        return Verdict.ALREADY_BOUND
    if sender is Role.MC:
        return _judge_delivery(state, command_id)
    return Verdict.WRONG_STATE


def _judge_delivery(state: State, command_id: int) -> Verdict:
    """A client is lenient: carriers deliver over transmitters, while we say goodbye, and before bind_resp."""
    if command_id == UNBIND:
        return Verdict.TAKE
    if state is State.BINDING:
        return Verdict.HOLD
    if state in BOUND or state is State.UNBINDING:
        return Verdict.TAKE
    return Verdict.WRONG_STATE
