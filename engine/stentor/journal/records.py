"""What the dispatcher asks the journal to keep, and what the journal gives back at start.

Records say how things *are*, not how they changed: the same record written twice, or a later one written instead of
an earlier, leaves the same journal. So a commit that failed can be merged into the next, and one message changed
many times between two commits costs one row.
"""

import msgspec

from stentor.driver import Inbound
from stentor.journal.flight_record import Noted
from stentor.message import Charge, Error, Event, Message, Segment, Status
from stentor.webhooks.records import WebhookRecords, WebhookRecovery


class History(msgspec.Struct, frozen=True, gc=False):
    """One line of a message's timeline that its present state does not tell: a failed attempt, an intermediate
    receipt. ``segment`` is 0 for the message as a whole; ``status`` is what it led to. One with a ``charge`` tells what
    the carrier counted for an attempt it took, and has the status SENDING."""

    key: int
    at_ms: int
    status: Status
    segment: int = 0
    attempt: int = 0
    channel: str = ""
    error: Error | None = None
    charge: Charge | None = None


class ParkedReceipt(msgspec.Struct, frozen=True, gc=False):
    """A receipt that names nothing we know yet: it overtook the response, or is not ours. ``family``: the channels
    whose ids it may be one of (driver.Capabilities)."""

    family: str
    match_id: str
    status: Status
    at_ms: int
    error: Error | None = None
    done_at_ms: int = 0
    charge: Charge | None = None


PartsName = tuple[str, str, str, int, int]
"""What the parts of one inbound message have in common: receipt family, originator, destination, reference, total."""


class HeldPart(msgspec.Struct, frozen=True, gc=False):
    """A part of an inbound message that waits for the others. ``family``: the channels that may bring them
    (driver.Capabilities); ``channel`` brought this one. ``item.part`` is never None. ``key`` is its own (``ids``)."""

    key: int
    family: str
    channel: str
    at_ms: int
    item: Inbound

    @property
    def name(self) -> PartsName:
        item = self.item
        assert item.part is not None
        return self.family, item.originator, item.to, item.part.reference, item.part.total


class JoinedParts(msgspec.Struct, frozen=True, gc=False):
    """Parts that have become a message, remembered in case their carrier repeats one. ``key`` is the message's;
    ``digests`` are as many octets for each part of the total, in order, zeros for one that never came."""

    key: int
    family: str
    originator: str
    to: str
    reference: int
    total: int
    at_ms: int
    digests: bytes

    @property
    def name(self) -> PartsName:
        return self.family, self.originator, self.to, self.reference, self.total


class Idempotency(msgspec.Struct, frozen=True, gc=False):
    """The answer a key was given. ``line`` is -1 for a whole request, else the line of a stream, counted from 0; at
    -2 stands how many a stream had."""

    account: str
    key: str
    line: int
    digest: bytes
    at_ms: int
    answer: bytes


class Commit(msgspec.Struct):
    """Everything one transaction writes.

    ``accepted`` and ``received`` are new messages (MT and MO); ``changed`` holds messages by key and ``segments``
    pairs by segment key, whose present state replaces what is stored; ``settings`` are small named values.
    A setting with an empty value is gone.
    ``parked`` holds receipts by family and id, None for one that was matched or grew too old. ``idempotency`` belongs
    to ``accepted``. ``parts`` wait by their own keys, ``joined`` are remembered by their messages'; ``dropped`` are
    keys of either that are kept no longer. ``memory`` is what drivers keep, by channel and name, None for what is gone.
    """

    number: int
    accepted: list[Message] = msgspec.field(default_factory=list)
    received: list[Message] = msgspec.field(default_factory=list)
    changed: dict[int, Message] = msgspec.field(default_factory=dict)
    segments: dict[int, tuple[Message, Segment]] = msgspec.field(default_factory=dict)
    history: list[History] = msgspec.field(default_factory=list)
    events: list[Event] = msgspec.field(default_factory=list)
    parked: dict[tuple[str, str], ParkedReceipt | None] = msgspec.field(default_factory=dict)
    idempotency: list[Idempotency] = msgspec.field(default_factory=list)
    settings: dict[str, str] = msgspec.field(default_factory=dict)
    parts: dict[int, HeldPart] = msgspec.field(default_factory=dict)
    joined: dict[int, JoinedParts] = msgspec.field(default_factory=dict)
    dropped: list[int] = msgspec.field(default_factory=list)
    memory: dict[tuple[str, str], bytes | None] = msgspec.field(default_factory=dict)
    webhooks: WebhookRecords = msgspec.field(default_factory=WebhookRecords)

    @property
    def rows(self) -> int:
        """How many rows it touches, roughly; what a commit's size is bounded by."""
        return (
            len(self.accepted)
            + len(self.received)
            + len(self.changed)
            + len(self.segments)
            + len(self.history)
            + len(self.parked)
            + len(self.idempotency)
            + len(self.parts)
            + len(self.joined)
            + len(self.memory)
            + self.webhooks.rows
        )

    @property
    def is_void(self) -> bool:
        """Nothing to write: only somebody waits for what is durable already."""
        return not (self.rows or self.events or self.settings or self.dropped)


class BacklogKey(msgspec.Struct, frozen=True, gc=False):
    """One queue of the backlog: messages of one route, one priority and one strand, oldest due first."""

    route: tuple[str, ...]
    priority: int
    strand: int = 0


class Recovery(msgspec.Struct):
    """What a journal holds when it is opened: bounded, whatever the backlog.

    ``backlog`` counts queued messages by queue; their rows are read in blocks later. ``leased`` are at-most-once
    messages whose attempt was journalled and has no answer. ``next_due_ms`` is when the first scheduled message is
    due, 0 for none. ``memory`` is what drivers keep, by channel and name. ``noted`` stood in the record of flights,
    ``departed`` are the messages it names.
    """

    last_key: int = 0
    last_seq: int = 0
    backlog: dict[BacklogKey, int] = msgspec.field(default_factory=dict)
    scheduled: int = 0
    next_due_ms: int = 0
    leased: list[Message] = msgspec.field(default_factory=list)
    noted: list[Noted] = msgspec.field(default_factory=list)
    departed: list[Message] = msgspec.field(default_factory=list)
    parked: list[ParkedReceipt] = msgspec.field(default_factory=list)
    settings: dict[str, str] = msgspec.field(default_factory=dict)
    parts: list[HeldPart] = msgspec.field(default_factory=list)
    joined: list[JoinedParts] = msgspec.field(default_factory=list)
    memory: dict[str, dict[str, bytes]] = msgspec.field(default_factory=dict)
    webhooks: list[WebhookRecovery] = msgspec.field(default_factory=list)

    @property
    def paused(self) -> set[str]:
        """Channels that an operator paused."""
        return {name[7:] for name, value in self.settings.items() if name.startswith("paused:") and value}


class BacklogRead(msgspec.Struct, frozen=True, gc=False):
    """Read the next ``limit`` queued messages of one queue after the position ``(due_at_ms, key)``."""

    queue: BacklogKey
    after: tuple[int, int]
    limit: int


class DueRead(msgspec.Struct, frozen=True, gc=False):
    """Read scheduled messages due by ``until_ms``, earliest first, and when the next one after them is due."""

    until_ms: int
    limit: int


class ReceiptRead(msgspec.Struct, frozen=True, gc=False):
    """Find the messages that await receipts under these ids of any of these channels."""

    channels: tuple[str, ...]
    match_ids: tuple[str, ...]
    number: int


class ExpiredRead(msgspec.Struct, frozen=True, gc=False):
    """Read queued and scheduled messages whose validity ends by ``until_ms``, the first ``limit`` after the position
    ``(expires_at_ms, key)``. If more of them have expired at ``now_ms``, any of those."""

    now_ms: int
    limit: int
    until_ms: int
    after: tuple[int, int] = (1, 0)


class KeyRead(msgspec.Struct, frozen=True, gc=False):
    """Read the messages of these keys, whose validity has passed."""

    keys: tuple[int, ...]


class OverdueRead(msgspec.Struct, frozen=True, gc=False):
    """Read messages that ``channel`` sent before ``before_ms`` and that still wait for a receipt, the first ``limit``
    after the position ``(sent_at_ms, key)``. ``level`` is the asker's own."""

    channel: str
    after: tuple[int, int]
    before_ms: int
    limit: int
    level: int


class UnansweredRead(msgspec.Struct, frozen=True, gc=False):
    """Read messages that were sent before ``before_ms``, and due before it, and still wait for a receipt."""

    before_ms: int
    limit: int


class BatchRead(msgspec.Struct, frozen=True, gc=False):
    """Read the messages of a batch in ``status``, in the order of strand and key, after the position ``after``.
    ``number`` names what it is done for."""

    account: str
    batch: str
    status: int
    after: tuple[int, int]
    limit: int
    number: int


OtherRead = DueRead | ReceiptRead | ExpiredRead | KeyRead | OverdueRead | UnansweredRead | BatchRead
Read = BacklogRead | OtherRead
"""What the dispatcher asks of the journal's readers. The answer is a list of messages."""
