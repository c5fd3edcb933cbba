"""Which unsent messages are in memory and which wait in the journal only.

Messages of one route, one priority and one strand form a *queue* (:class:`~stentor.journal.records.BacklogKey`). A
queue is either wholly in memory, or has a head in memory and a tail *behind* it in the journal; a new message never
passes those behind. Tails are read in blocks, oldest due first, when the head runs low, each an even share of what is
free.

Bounds: ``limit`` messages in memory in all. A queue may hold as many as are still free (the dynamic threshold of
shared switch buffers): one alone gets half, two get a third each, and there is always room left for the next, so a
slow channel cannot crowd out the others. Each has a small floor beyond that, so that a full memory cannot shut out an
urgent message. What is held back (``stentor.pacing.strands``) stays in the journal until it is released.

Messages that must keep their order have queues of their own, and a place there: when they are due, then their key.
While scheduled messages are due that are not queued yet, none whose place may be behind one of theirs is taken into
memory: it waits behind, where it is found in its place, over a restart too.

Invariants: every unsent message is in ``open`` or counted in ``behind`` of its queue, never both, never neither; when
one of an ordered queue is taken into memory, all that have a place before it there are in memory or have left it.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from stentor.journal.records import BacklogKey, BacklogRead
from stentor.message import Message
from stentor.pacing.strands import HELD, ORDERED

FLOOR: Final = 256
STRAND_SHARE: Final = 8
"""A strand's floor is this part of a plain queue's, for there may be many."""
BLOCK: Final = 2000
NEVER_MS: Final = 2**63 - 1

Place = tuple[int, int]
"""``due_at_ms`` and key."""
NEVER: Final[Place] = (NEVER_MS, 0)


class Queue:
    """One queue's head and tail. ``asked`` are the messages that a block under way may bring, 0 when none is;
    ``entered``, of an ordered queue, is the place before the first that came to be behind since it was asked for."""

    __slots__ = ("active", "after", "asked", "behind", "entered", "key")

    def __init__(self, key: BacklogKey) -> None:
        self.key = key
        self.active = 0
        self.behind = 0
        self.after: Place = (0, 0)
        self.asked = 0
        self.entered = NEVER


class Backlog:
    """All queues, and the messages in memory by key. ``left(message)`` is told of ordered ones that leave it."""

    __slots__ = (
        "_asked",
        "_latest",
        "_left",
        "_queues",
        "_with_tail",
        "floor",
        "held",
        "limit",
        "open",
        "tails",
        "unread_ms",
    )

    def __init__(
        self,
        limit: int,
        behind: dict[BacklogKey, int],
        floor: int = FLOOR,
        left: Callable[[Message], None] | None = None,
    ) -> None:
        self.limit = limit
        self._left = left
        self.floor = floor
        self.open: dict[int, Message] = {}
        self._asked = 0
        self._queues: dict[tuple[tuple[str, ...], int, int], Queue] = {}
        self._with_tail: dict[tuple[tuple[str, ...], int, int], Queue] = {}
        self.tails: dict[tuple[tuple[str, ...], int], int] = {}
        """How many strands of a route and priority have messages behind; without those that have none. Ordered ones are
        not counted: no other message waits behind them."""
        self.unread_ms = NEVER_MS
        """No scheduled message was due before this time and is not queued yet."""
        self.held = 0
        self._latest = Queue(BacklogKey(("",), 0))
        for key, count in behind.items():
            queue = self._queue(key.route, key.priority, key.strand)
            queue.behind = count
            if key.strand == HELD:
                self.held += count
            else:
                self._open_tail(queue)

    def set_limit(self, limit: int) -> None:
        """Another bound, from now on; messages in memory beyond it leave as they are sent."""
        self.limit = limit

    def __len__(self) -> int:
        """Every unsent message that is queued: in memory and behind."""
        return len(self.open) + self.behind

    @property
    def behind(self) -> int:
        """Messages in the journal only, those held back included."""
        return self.held + sum(queue.behind for queue in self._with_tail.values())

    def queues(self) -> Iterator[Queue]:
        return iter(self._queues.values())

    def _queue(self, route: tuple[str, ...], priority: int, strand: int) -> Queue:
        queue = self._queues.get((route, priority, strand))
        if queue is None:
            queue = self._queues[route, priority, strand] = Queue(BacklogKey(route, priority, strand))
        return queue

    def enter(self, message: Message) -> bool:
        """A message became queued (and its row says so). True: it is in memory now; False: it waits in the journal."""
        strand = message.strand
        queue = self._queue(message.route, message.priority, strand)
        if strand == HELD:
            self.held += 1
            queue.behind += 1
            return False
        may_pass = strand < ORDERED or message.due_at_ms < self.unread_ms
        if not queue.behind and may_pass and self._has_room(queue):
            queue.active += 1
            self.open[message.key] = message
            return True
        before = message.due_at_ms, message.key - 1
        if not queue.behind:
            queue.after = before
            self._open_tail(queue)
        if strand >= ORDERED:
            # Its place may be before that of others behind, and before what is being read.
            queue.after = min(queue.after, before)
            if queue.asked:
                queue.entered = min(queue.entered, before)
        queue.behind += 1
        return False

    def resume(self, message: Message) -> None:
        """A message that a start found under way is in memory, whatever the room: there were windows for it."""
        self._queue(message.route, message.priority, message.strand).active += 1
        self.open[message.key] = message

    def has_room_for_all(self, coming: int) -> bool:
        """All that is in memory, and as many as are ``coming``, take no more than half of it."""
        return 2 * (len(self.open) + coming) < self.limit

    def bring(self, message: Message) -> None:
        """As :meth:`resume`, for one that the journal has as queued and that was counted so."""
        self.leave_behind(message)
        self.resume(message)

    def _has_room(self, queue: Queue) -> bool:
        return queue.active < self._room(queue)

    def _room(self, queue: Queue) -> int:
        """How many messages of a queue may be in memory now: as many as are still free for all."""
        return max(self._floor(queue), self.limit - len(self.open) - self._asked)

    def _floor(self, queue: Queue) -> int:
        return self.floor if not queue.key.strand else max(1, self.floor // STRAND_SHARE)

    def leave(self, message: Message) -> None:
        """A message in memory left: sent, final or held back."""
        del self.open[message.key]
        if message.is_ordered and self._left is not None:
            self._left(message)
        queue = self._latest
        # Messages of one queue come in runs, and comparing is cheaper than hashing the route.
        key = queue.key
        if key.route is not message.route or key.priority != message.priority or key.strand != message.strand:
            queue = self._latest = self._queues[message.route, message.priority, message.strand]
        queue.active -= 1

    def leave_behind(self, message: Message) -> None:
        """A message that was in the journal only became final (cancelled, expired)."""
        queue = self._queues[message.route, message.priority, message.strand]
        queue.behind -= 1
        if message.strand == HELD:
            self.held -= 1
        assert queue.behind >= 0, f"queue {queue.key} counts fewer than none behind"
        self._close_tail(queue)

    def reads(self) -> Iterator[BacklogRead]:
        """The blocks to read now: queues whose head runs low and whose tail is not being read already. Of what is free
        none asks for more than an even share, or the first of them would leave the others nothing."""
        if not self._with_tail:
            return
        tails = [queue for queue in self._with_tail.values() if queue.after[0] < self._end_of(queue)[0]]
        share = (self.limit - len(self.open) - self._asked) // max(1, len(tails))
        for queue in tails:
            if queue.asked:
                continue
            room = self._room(queue)
            if queue.active > room // 2:
                continue
            # Some of those in memory may stand there still, where it is read.
            there = queue.behind + queue.active
            queue.asked = min(BLOCK, room - queue.active, there, max(share, self._floor(queue)))
            self._asked += queue.asked
            yield BacklogRead(queue.key, queue.after, queue.asked)

    def loaded(
        self, read: BacklogRead, messages: Iterable[Message], waiting: Callable[[Message], Message | None]
    ) -> list[Message]:
        """A block was read; ``waiting(message)`` is the copy that counts, or None for one that waits in the journal no
        longer, or not yet. Returns the messages that are in memory from now on."""
        queue = self._queue(read.queue.route, read.queue.priority, read.queue.strand)
        self._asked -= queue.asked
        queue.asked = 0
        taken: list[Message] = []
        count = 0
        end = self._end_of(queue)
        is_whole = True
        for stored in messages:
            if (stored.due_at_ms, stored.key) > end:
                # Others may come before it: it is read again when they have.
                queue.after = min((stored.due_at_ms, stored.key - 1), queue.entered)
                is_whole = False
                break
            count += 1
            queue.after = (stored.due_at_ms, stored.key)
            message = waiting(stored)
            if message is not None:
                self.open[message.key] = message
                taken.append(message)
        queue.entered = NEVER
        queue.active += len(taken)
        queue.behind -= len(taken)
        assert queue.behind >= 0, f"queue {queue.key} read more than it counted"
        if is_whole and count < read.limit and queue.behind:
            # The end of the tail was reached and something is still counted: it lies before the position (a clock set
            # back, a message accepted while the block was read). Read from the start once more.
            queue.after = (0, 0)
        self._close_tail(queue)
        return taken

    def _end_of(self, queue: Queue) -> Place:
        """The place up to which all that wait in a queue are known, and may be taken into memory."""
        if queue.key.strand < ORDERED:
            return NEVER
        return min(queue.entered, (self.unread_ms, -1))

    def _open_tail(self, queue: Queue) -> None:
        key = queue.key
        self._with_tail[key.route, key.priority, key.strand] = queue
        if key.strand >= ORDERED:
            return
        self.tails[key.route, key.priority] = self.tails.get((key.route, key.priority), 0) + 1

    def _close_tail(self, queue: Queue) -> None:
        key = queue.key
        if queue.behind or self._with_tail.pop((key.route, key.priority, key.strand), None) is None:
            return
        if key.strand >= ORDERED:
            return
        left = self.tails.pop((key.route, key.priority)) - 1
        if left:
            self.tails[key.route, key.priority] = left
