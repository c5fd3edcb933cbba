"""What waits in the journal alone: when to look for it, and what becomes of what is found.

Owns the reads under way, the count of scheduled messages and the times of the sweeps. A read shows the journal as it
was a moment ago: each message found is first exchanged for the copy that counts, and left alone if that is no longer,
or not yet, what the row says.

A block that came back full is asked for again once what was done about it is durable, or it would only come again.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from stentor.journal.backlog import NEVER_MS, Backlog
from stentor.journal.expiries import Expiries
from stentor.journal.records import BacklogRead, DueRead, ExpiredRead, KeyRead, Read, UnansweredRead
from stentor.message import EventKind, Message, Status
from stentor.settling.ledger import Ledger
from stentor.settling.lifecycle import TOO_EARLY, Change, advance, finish
from stentor.settling.settle import Settler

LOOKAHEAD_MS: Final = 30_000
"""How far ahead the journal is asked what will expire, and so how often."""
SWEEP_PAUSE_S: Final = 1.0
"""Between two sweeps for what expires, and between two reads of what has."""
EXPIRIES: Final = 10_000
RECEIPT_SWEEP_S: Final = 300.0
FIRST_SWEEP_S: Final = 1.0


class Reading:
    """Asks the journal and answers to it. ``block`` bounds what one read may find."""

    __slots__ = (
        "_asked",
        "_backlog",
        "_is_reading_due",
        "_is_sweeping",
        "_ledger",
        "_marks",
        "_next_due_ms",
        "_next_expiry",
        "_next_receipt_sweep",
        "_next_sweep",
        "_queued_from_ms",
        "_queued_with",
        "_read_from_ms",
        "_settler",
        "_sweep_after",
        "_sweep_after_commit",
        "_unfinished",
        "block",
        "expiries",
        "scheduled",
    )

    def __init__(
        self, ledger: Ledger, backlog: Backlog, settler: Settler, scheduled: int, next_due_ms: int, block: int
    ) -> None:
        self._ledger = ledger
        self._backlog = backlog
        self._settler = settler
        self.scheduled = scheduled
        self.block = block
        self._next_due_ms = next_due_ms
        self._is_reading_due = False
        # Since when those are due that are being read, and those that the commit of this number queues; 0 for none.
        self._read_from_ms = self._queued_from_ms = self._queued_with = 0
        self._tell_unread()
        self._asked: list[Read] = []
        self._unfinished: list[Read] = []
        self._marks: dict[int, int] = {}
        self.expiries = Expiries(EXPIRIES)
        self._is_sweeping = False
        self._sweep_after = (1, 0)
        self._sweep_after_commit = 0
        self._next_sweep = self._next_expiry = self._next_receipt_sweep = 0.0

    def start(self, now: float) -> None:
        self._next_sweep = self._next_receipt_sweep = now + FIRST_SWEEP_S

    # -- asking -----------------------------------------------------------------------------------------------------

    def ask(self, read: Read) -> None:
        self._asked.append(read)

    def ask_for_backlog(self) -> None:
        """The heads of some queues may run low."""
        self._asked += self._backlog.reads()

    def take(self) -> Sequence[Read]:
        """What is to be read now, in this order."""
        reads, self._asked = self._asked, []
        for read in reads:
            self.begin(read)
        return reads

    def begin(self, read: Read) -> None:
        """What the read answers is going to be read from now on: whatever is changed meanwhile is kept at hand."""
        self._marks[id(read)] = self._ledger.begin_read()

    def put_off(self, read: Read) -> None:
        """It is only found out what to read, which may take long; then it begins."""
        self._ledger.end_read(self._marks.pop(id(read)))

    def answered(self, read: Read) -> None:
        """The answer has been used."""
        self.put_off(read)

    def schedule(self, message: Message) -> None:
        """A message that waits for its time is durable."""
        self.scheduled += 1
        self.expiries.expect(message.key, message.expires_at_ms)
        self._wait_until(message.due_at_ms)

    def _wait_until(self, due_ms: int) -> None:
        if due_ms and (not self._next_due_ms or due_ms < self._next_due_ms):
            self._next_due_ms = due_ms
            self._tell_unread()

    def _tell_unread(self) -> None:
        """What is ordered does not pass scheduled messages that are due and were not read yet, or are not queued."""
        unread = self._next_due_ms, self._read_from_ms, self._queued_from_ms
        self._backlog.unread_ms = min((due_ms for due_ms in unread if due_ms), default=NEVER_MS)

    def committed(self, number: int) -> None:
        """A commit is durable, and what it queues not in its queue yet: blocks that came back full no longer show what
        was done."""
        if self._queued_with and number >= self._queued_with:
            self._queued_from_ms = self._queued_with = 0
            self._tell_unread()
        if self._sweep_after_commit and number >= self._sweep_after_commit:
            self._sweep_after_commit = 0
            self._next_sweep = 0.0
        self._asked += self._unfinished
        self._unfinished = []

    def ask_again(self, read: Read) -> None:
        """Ask for what is left once what was done about the last answer is durable."""
        if self._ledger.is_settled:
            self._asked.append(read)
        else:
            self._unfinished.append(read)

    # -- time -------------------------------------------------------------------------------------------------------

    def tick(self, now: float, wall_ms: int, unanswered_before_ms: int) -> bool:
        """Ask for what time has brought. True when receipts were swept."""
        if self._next_due_ms and wall_ms >= self._next_due_ms and not self._is_reading_due:
            self._is_reading_due = True
            # What is scheduled from now on is not for this read to tell of.
            self._read_from_ms, self._next_due_ms = self._next_due_ms, 0
            self._asked.append(DueRead(wall_ms, self.block))
        self._expire(now, wall_ms)
        if now < self._next_receipt_sweep:
            return False
        self._next_receipt_sweep = now + RECEIPT_SWEEP_S
        self._asked.append(UnansweredRead(unanswered_before_ms, self.block))
        return True

    def _expire(self, now: float, wall_ms: int) -> None:
        """Ask for what has expired, and in good time for what will."""
        expiries = self.expiries
        if now >= self._next_expiry and (keys := expiries.due(wall_ms, self.block)):
            if len(keys) < self.block:
                self._next_expiry = now + SWEEP_PAUSE_S
            self._asked.append(KeyRead(tuple(keys)))
        if self._is_sweeping or now < self._next_sweep or wall_ms < expiries.known_until_ms:
            return
        self._next_sweep = now + SWEEP_PAUSE_S
        # What waits from now on is told of when it begins to.
        expiries.known_until_ms = wall_ms + LOOKAHEAD_MS
        if self._backlog.behind or self.scheduled:
            self._is_sweeping = True
            read = ExpiredRead(wall_ms, self.block, expiries.known_until_ms, self._sweep_after)
            self._asked.append(read)

    def next_wake(self, now: float, wall_ms: int) -> float:
        """When :meth:`tick` is next worth calling, in monotonic seconds; :attr:`next_due_ms` apart."""
        expiries = self.expiries
        wake = self._next_receipt_sweep
        if not self._is_sweeping:
            wake = min(wake, max(self._next_sweep, now + (expiries.known_until_ms - wall_ms) / 1000))
        if expiries.next_ms:
            wake = min(wake, max(self._next_expiry, now + (expiries.next_ms - wall_ms) / 1000))
        return wake

    @property
    def next_due_ms(self) -> int:
        """Wall time at which the first scheduled message is due; 0 for none, or while it is being read."""
        return 0 if self._is_reading_due else self._next_due_ms

    # -- answers ----------------------------------------------------------------------------------------------------

    def waiting(self, message: Message) -> Message | None:
        """The copy of a queued message that counts, None for one that is not behind (any more, or yet)."""
        if message.key in self._backlog.open or self._ledger.to_be_queued(message.key) is not None:
            return None
        live = self.latest(message)
        # One that was held or released meanwhile is counted in another queue.
        return live if live.status is Status.QUEUED and live.strand == message.strand else None

    def latest(self, message: Message) -> Message:
        """The copy of a message that counts: in memory, on its way to the journal, or as just read."""
        key = message.key
        return (
            self._backlog.open.get(key)
            or self._ledger.unseen(key, message.segments)
            or self._ledger.to_be_queued(key)
            or self._settler.holding.held.get(key)
            or self._settler.known(key)
            or message
        )

    def backlog_found(self, read: BacklogRead, messages: Sequence[Message]) -> list[Message]:
        """Returns the messages that are in memory from now on."""
        return self._backlog.loaded(read, messages, self.waiting)

    def due_found(self, read: DueRead, messages: Sequence[Message], next_due_ms: int, wall_ms: int) -> None:
        """Scheduled messages are due: they are queued once that is durable."""
        ledger = self._ledger
        for stored in messages:
            message = self.latest(stored)
            if message.status is not Status.SCHEDULED or ledger.to_be_queued(message.key) is not None:
                continue  # it fell due or ended meanwhile, or nobody knows yet that it is stored
            self.scheduled -= 1
            if message.expires_at_ms <= wall_ms:
                self._end(message, Change.EXPIRE, wall_ms)
                continue
            # One that was postponed has been told of as queued before.
            is_new = message.due_at_ms <= message.send_at_ms and message.error != TOO_EARLY
            advance(message, Change.FALL_DUE)
            message.error = None
            if not message.is_ordered:
                message.due_at_ms = wall_ms  # what is ordered keeps its place
            ledger.changed(message)
            if is_new:
                ledger.event(EventKind.QUEUED, message, wall_ms)
            ledger.effects.queued[message.key] = message
        if len(messages) == read.limit:
            self.ask_again(read)
            return
        self._is_reading_due = False
        if ledger.effects.queued:
            self._queued_from_ms = min(self._queued_from_ms or self._read_from_ms, self._read_from_ms)
            self._queued_with = ledger.commit.number
        self._read_from_ms = 0
        self._wait_until(next_due_ms)
        self._tell_unread()

    def expiring_found(self, read: ExpiredRead, messages: Sequence[Message], wall_ms: int) -> None:
        """What has expired, or soon will, among all that waits. Of a full block not all may be known that expires
        with its last."""
        self._is_sweeping = False
        self._sweep_after = (1, 0)
        is_full = len(messages) == read.limit
        known_until_ms = messages[-1].expires_at_ms if is_full else read.until_ms
        self.expiries.found(((each.expires_at_ms, each.key) for each in messages), known_until_ms)
        is_any = self.expired_found(messages, wall_ms)
        if not is_full or known_until_ms > wall_ms:
            return
        if is_any:
            self._sweep_after_commit = self._ledger.commit.number
        else:
            # All of them are in memory, where they are looked after: there may be others behind them.
            self._sweep_after = known_until_ms, messages[-1].key

    def expired_found(self, messages: Iterable[Message], wall_ms: int) -> bool:
        """End those whose validity passed while they waited in the journal; False if none did."""
        found = [
            self.end(message, Change.EXPIRE, wall_ms)
            for message in messages
            # All of one may have left, says a late answer: that is found out when it is loaded.
            if message.expires_at_ms <= wall_ms and len(message.segment_list) < message.segments
        ]
        return any(found)

    def unanswered_found(
        self, read: UnansweredRead, messages: Iterable[Message], wall_ms: int, is_unknown: bool
    ) -> None:
        """Messages whose receipts never came."""
        live = [self.latest(message) for message in messages]
        if self._settler.lose_sight(live, wall_ms, is_unknown) and len(live) == read.limit:
            self.ask_again(read)

    def end(self, stored: Message, change: Change, wall_ms: int) -> bool:
        """End a message that was read from the journal; False if it has left meanwhile, or is in memory."""
        message = self.latest(stored)
        key = message.key
        if key in self._backlog.open or message.status not in (Status.SCHEDULED, Status.QUEUED):
            return False
        # One that is to be queued after a commit is counted nowhere yet, and will not be.
        if self._ledger.to_be_queued(key) is None:
            if message.status is Status.SCHEDULED:
                self.scheduled -= 1
            else:
                self._backlog.leave_behind(message)
        self._end(message, change, wall_ms)
        return True

    def _end(self, message: Message, change: Change, wall_ms: int) -> None:
        finish(message, change, wall_ms)
        self._settler.counters["finished"] += 1
        self._ledger.ended(message, wall_ms)
