"""The life of a message as one table: which change may follow which status, and what it leads to.

Nothing else in the engine writes the status of a message that was accepted. A pair that is not in the table is a bug of
ours; a receipt, which a carrier may send at any time, is applied to its segment, and makes a change only once the whole
message is SENT (``Settler.report``).
"""

import enum
from collections.abc import Mapping
from typing import Final

from stentor.message import Error, Message, Status

TOO_EARLY: Final = Error("too_early")
"""Why a message is scheduled again that was queued before its ``send_at_ms``; it is its error until it is due."""


class Change(enum.Enum):
    """What can happen to a message."""

    # A member is one object; hashing its name, as Enum does, is four times slower, and done thrice a message.
    __hash__ = object.__hash__

    FALL_DUE = "its time came"
    POSTPONE = "it may leave later: quiet hours, or a channel that takes nothing ahead"
    TAKE = "handed to a driver"
    GIVE_BACK = "came back to be tried again"
    SEND = "the carrier took it"
    REFUSE = "the carrier refused it for good"
    GIVE_UP = "attempts or routes are exhausted"
    EXPIRE = "its validity passed"
    CANCEL = "the client cancelled it"
    DOUBT = "it may have left, and may not be repeated"
    DELIVER = "receipt: delivered"
    NOT_DELIVER = "receipt: failed"
    REJECT = "receipt: rejected"
    EXPIRE_THERE = "receipt: expired at the carrier"
    LOSE_SIGHT = "receipt: unknown, or none within the horizon"
    WITHDRAW = "receipt: the carrier took it back"


_S = Status
_RECEIPTS: Final[Mapping[Change, Status]] = {
    Change.DELIVER: _S.DELIVERED,
    Change.NOT_DELIVER: _S.UNDELIVERED,
    Change.REJECT: _S.REJECTED,
    Change.EXPIRE_THERE: _S.EXPIRED,
    Change.LOSE_SIGHT: _S.UNKNOWN,
    Change.WITHDRAW: _S.CANCELLED,
}

TABLE: Final[Mapping[Status, Mapping[Change, Status]]] = {
    _S.SCHEDULED: {
        Change.FALL_DUE: _S.QUEUED,
        Change.EXPIRE: _S.EXPIRED,
        Change.CANCEL: _S.CANCELLED,
        Change.GIVE_UP: _S.FAILED,
    },
    _S.QUEUED: {
        Change.TAKE: _S.SENDING,
        Change.SEND: _S.SENT,  # a late answer told that it had left
        Change.POSTPONE: _S.SCHEDULED,
        Change.EXPIRE: _S.EXPIRED,
        Change.CANCEL: _S.CANCELLED,
        Change.GIVE_UP: _S.FAILED,
    },
    _S.SENDING: {
        Change.GIVE_BACK: _S.QUEUED,
        Change.SEND: _S.SENT,
        Change.REFUSE: _S.REJECTED,
        Change.GIVE_UP: _S.FAILED,
        Change.EXPIRE: _S.EXPIRED,
        Change.DOUBT: _S.UNKNOWN,
    },
    _S.SENT: dict(_RECEIPTS),
    _S.DELIVERED: {},
    _S.UNDELIVERED: {},
    _S.REJECTED: {},
    _S.FAILED: {},
    _S.EXPIRED: {},
    _S.CANCELLED: {},
    _S.UNKNOWN: {},
    _S.RECEIVED: {},
}
"""Every status, every change that may follow it. An absent change is illegal; an empty row is final."""

CHANGE_OF_RECEIPT: Final[Mapping[Status, Change]] = {status: change for change, status in _RECEIPTS.items()}
"""The change that a receipt (or the combination of a message's receipts) of this status makes."""


def advance(message: Message, change: Change) -> Status:
    """Make the change; returns the new status. An illegal change is our bug."""
    after = TABLE[message.status].get(change)
    assert after is not None, f"{message.status.word} message cannot {change.name}"
    message.status = after
    return after


def finish(message: Message, change: Change, at_ms: int) -> Status:
    """Make a change that ends the message at ``at_ms``."""
    message.final_at_ms = at_ms
    return advance(message, change)
