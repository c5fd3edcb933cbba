"""The message: what was accepted, what has become of it, and the closed sets that describe it.

One Struct serves memory and journal alike. It is the dispatcher's working state, so it is mutable; only the
dispatcher changes one. Numbers stand in fields of their own (``to``, ``originator``) and so does the body
(``text``, ``data``), apart from what billing and statistics need: each can be sealed or erased by itself.
"""

import enum
from typing import Final

import msgspec

from stentor.text.segments import Encoding


class Priority(enum.IntEnum):
    """Who goes first; lower is sooner."""

    URGENT = 0
    HIGH = 1
    NORMAL = 2
    BULK = 3

    @property
    def word(self) -> str:
        return PRIORITY_WORDS[self]


PRIORITY_WORDS: Final = ("urgent", "high", "normal", "bulk")


class Status(enum.IntEnum):
    """Where a message, or one of its segments, stands. Below SENT it has not left; from DELIVERED on it is final.

    SENT is final only for a message that waits for no receipt (``Message.is_final``).
    """

    SCHEDULED = 0
    QUEUED = 1
    SENDING = 2
    SENT = 3
    DELIVERED = 4
    UNDELIVERED = 5
    REJECTED = 6
    FAILED = 7
    EXPIRED = 8
    CANCELLED = 9
    UNKNOWN = 10
    RECEIVED = 11

    @property
    def word(self) -> str:
        return STATUS_WORDS[self]


STATUS_WORDS: Final = tuple(status.name.lower() for status in Status)
NOT_LEFT: Final = frozenset(Status) - {Status.SENT, Status.DELIVERED, Status.UNDELIVERED, Status.RECEIVED}
"""Of a message in one of these, segments may not have left yet, or never."""


class Direction(enum.IntEnum):
    """MT goes out to a handset, MO came in from one."""

    MT = 0
    MO = 1


class Delivery(enum.IntEnum):
    """What to do when it is not known whether an attempt left."""

    AT_LEAST_ONCE = 0
    AT_MOST_ONCE = 1


class Error(msgspec.Struct, frozen=True, gc=False):
    """Why: ``code`` from the catalogue, the carrier's own code, a sentence up to 200 characters."""

    code: str
    carrier_code: str | None = None
    detail: str = ""


class Charge(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What a carrier counted for an attempt: segments (0: it did not say) and a price in millionths of ``currency``
    (empty: it did not say which)."""

    segments: int = 0
    price_micros: int = 0
    currency: str = ""


class Segment(msgspec.Struct, gc=False):
    """One air-interface part of a message that has been handed to a driver; ``index`` counts from 1.

    ``match_id`` is the carrier's id in the form its receipts will name it by, while one is awaited. ``channel`` took
    it, which decides how the message goes on elsewhere when only some of it was sent.
    """

    index: int
    status: Status = Status.QUEUED
    carrier_id: str | None = None
    match_id: str | None = None
    sent_at_ms: int = 0
    final_at_ms: int = 0
    error: Error | None = None
    channel: str = ""


class Message(msgspec.Struct, gc=False):
    """An accepted message. Times are wall milliseconds, 0 for "not yet" or "none".

    ``route`` lists the channels that may carry it, in order of preference; ``channel`` is the one that has it or had
    it last. ``due_at_ms`` orders the queue: when it was accepted, becomes due, or may be tried again. It lies before
    ``send_at_ms``, the client's wish, where a channel takes messages ahead of that. ``metadata`` is the client's JSON
    object as octets. ``segment_list`` is empty until the first segment has an outcome. ``encoding`` and ``segments``
    are what the client was told until the message goes over a channel that differs.
    ``reference`` joins the segments on the handset, 0..65535; the low 8 bits where the channel numbers with 8.

    ``batch`` is the client's label for messages that belong together; ``strand`` the part of its queue that it waits
    in (``stentor.pacing.strands``); ``is_ordered``: it leaves after those to the same destination that came before it;
    ``ignores_quiet``: quiet hours do not hold it up, whatever is said about them later.
    ``callback_url`` is where its client wants its events posted.
    """

    key: int
    tail: int
    account: str
    to: str
    originator: str
    text: str | None
    encoding: Encoding
    segments: int
    submitted_at_ms: int
    due_at_ms: int
    expires_at_ms: int
    route: tuple[str, ...]
    priority: Priority = Priority.NORMAL
    status: Status = Status.QUEUED
    channel: str = ""
    direction: Direction = Direction.MT
    delivery: Delivery = Delivery.AT_LEAST_ONCE
    wants_receipt: bool = True
    flash: bool = False
    reference: int = 0
    send_at_ms: int = 0
    sent_at_ms: int = 0
    final_at_ms: int = 0
    attempts: int = 0
    error: Error | None = None
    ref: str | None = None
    metadata: bytes | None = None
    data: bytes | None = None
    udh: bytes | None = None
    segment_list: list[Segment] = msgspec.field(default_factory=list)
    batch: str | None = None
    strand: int = 0
    is_ordered: bool = False
    callback_url: str | None = None
    ignores_quiet: bool = False

    @property
    def is_final(self) -> bool:
        return self.final_at_ms != 0


class EventKind(enum.IntEnum):
    """What clients are told (contract: events). The word on the wire is ``EVENT_WORDS[kind]``."""

    QUEUED = 1
    SENT = 2
    DELIVERED = 3
    UNDELIVERED = 4
    REJECTED = 5
    FAILED = 6
    EXPIRED = 7
    CANCELLED = 8
    UNKNOWN = 9
    RECEIVED = 10
    CHANNEL_UP = 11
    CHANNEL_DOWN = 12
    WEBHOOK_DISABLED = 13


EVENT_WORDS: Final = {
    kind: (kind.name.replace("_", ".") if kind >= EventKind.CHANNEL_UP else f"message.{kind.name}").lower()
    for kind in EventKind
}

EVENT_OF_STATUS: Final = {
    status: EventKind[status.name] for status in Status if status.name in EventKind.__members__
}
STATUS_OF_EVENT: Final = {kind: status for status, kind in EVENT_OF_STATUS.items()}


class Event(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Something clients are told. ``seq`` orders all events of a journal and is the event's id.

    ``key`` names the message, 0 for an event of a channel, which ``channel`` then names, or of a webhook, whose id
    stands there.
    """

    seq: int
    kind: EventKind
    at_ms: int
    account: str
    key: int = 0
    channel: str = ""
    detail: str = ""
