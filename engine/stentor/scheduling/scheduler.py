"""Who goes next: the messages one channel has in memory, and the messages that wait for a time.

:class:`ChannelQueue` orders by priority, then fairly between accounts, then by due time. All costs are in
segments.

**Between priorities: earned passing.** The best class that waits goes first, but HIGH, NORMAL and BULK are
each guaranteed a share of all segments (1/4, 1/8, 1/16) while they wait. A waiting class earns ``share *
cost`` of credit from every message that goes; as soon as its credit covers its next message, that one goes
first and is paid for. Credit starts from nothing when a class begins to wait and is never below nothing. With
M the largest cost of a message that waits:

* A class never holds more than 4 M of credit. (While no class can pay, each holds less than M; one message
  adds at most 7/16 M to all three together; while one can pay, each message that passes takes away more than
  it adds.) So a class that waited long cannot flood the others.
* In any stretch in which class c waits throughout and n segments go, c gets at least ``share(c) * n - 4 M``.
* An urgent message that has u urgent segments before it and in itself waits for at most ``7 M + 7/9 u``
  segments of others: in practice, for one-segment messages, half a dozen.

**Between accounts of a class: deficit round-robin** (``stentor.scheduling.turns``) with a quantum of QUANTUM
segments. Two accounts that both wait throughout get the same within QUANTUM + 2 M segments, and none that comes and
goes gets more than QUANTUM + M beyond them. **Between the batches of an account** likewise; its messages without a
batch count as one. **Within a batch**, or an account without any, the earliest due goes first, then the earliest
arrival.

Invariants: a message is in a queue at most once; its key, account, priority and due time do not change
meanwhile. Discarding is lazy, but entries of discarded messages never outnumber the live ones by more than a
constant.
"""

import heapq
from itertools import count
from typing import Final

from stentor.message import Message, Priority
from stentor.scheduling.turns import QUANTUM, STALE_LIMIT, Batches, Flow, Held, Turns

__all__ = ["QUANTUM", "SHARES", "UNIT", "ChannelQueue", "DueHeap"]

UNIT: Final = 16
"""Credit is counted in sixteenths of a segment, so that it is exact."""

SHARES: Final = {Priority.URGENT: 0, Priority.HIGH: 4, Priority.NORMAL: 2, Priority.BULK: 1}
"""Sixteenths of all segments that a class is guaranteed while it waits."""

_SPARE_LIMIT: Final = 256
"""Empty flows that a class keeps for the next accounts that join."""

assert sum(SHARES.values()) < UNIT, "guaranteed shares must leave room for the best class"
assert list(SHARES) == sorted(Priority), "a better class must be listed first"


class _Class(Turns[Flow | Batches]):
    """The messages of one priority, by account.

    ``next_cost`` is the cost of the message that would go next, 0 when it must be found out.
    """

    __slots__ = ("_spare", "credit", "next_cost", "share")

    def __init__(self, share: int) -> None:
        super().__init__()
        self.share = share
        self.credit = 0
        self.next_cost = 0
        # Accounts come and go with their messages; what one leaves behind serves the next.
        self._spare: list[Flow] = []

    def flow(self, account: Flow | Batches, message: Message) -> Flow:
        """Where a message goes that belongs to a batch, or whose account has others that do."""
        self.next_cost = 0
        if type(account) is Flow:
            batches = self.members[message.account] = Batches(account)
            if self.holder is account:
                self.holder = batches
            account = batches
        assert type(account) is Batches
        account.live += 1
        return account.flow(message)

    def join(self, name: str) -> Flow | Batches:
        """A new account; its turn comes last. A class that begins to wait has earned nothing."""
        if not self.members:
            self.credit = 0
        self.next_cost = 0
        if self._spare:
            flow = self._spare.pop()
            flow.name = name
        else:
            flow = Flow(name)
        self.members[name] = flow
        return flow

    def cost_of_next(self, held: Held) -> int:
        """What the message that would go next costs. The class must not be empty."""
        if not self.next_cost:
            self.next_cost = held.cost(self.settle(held).head(held))
        return self.next_cost

    def take(self, held: Held, budget: int, out: list[Message]) -> int:
        """Move messages to ``out`` until their segments reach ``budget`` or none is left; the segments
        moved."""
        members = self.members
        served = 0
        # Whose turn it is was settled when the cost was found out.
        account = self.holder if self.next_cost else None
        self.next_cost = 0
        while members and served < budget:
            if account is None:
                account = self.settle(held)
            if len(members) == 1:
                served += account.take(held, budget - served, out)
            else:
                served += account.take_turn(held, budget - served, out)
            if not account.live:
                self._left(account, held)
            account = None
        return served

    def discard(self, message: Message, held: Held) -> None:
        """Take account of a message that was marked stale."""
        account = self.members[message.account]
        self.next_cost = 0
        account.drop(message, held)
        if not account.live:
            self._left(account, held)

    def _left(self, account: Flow | Batches, held: Held) -> None:
        # As leave: accounts of few messages come and go all the time.
        del self.members[account.name]
        if account is self.holder:
            self.holder = None
        if type(account) is not Flow or account.ordered or account.late:
            account.purge(held)
        if type(account) is Flow and len(self._spare) < _SPARE_LIMIT:
            account.last_due_ms = account.deficit = 0
            self._spare.append(account)


class ChannelQueue:
    """Messages in memory for one channel. Bounded by the dispatcher's limit on the active set."""

    __slots__ = ("_arrivals", "_classes", "_earning", "_held", "_segments", "_stale", "_waiting")

    def __init__(self) -> None:
        self._arrivals = count()
        self._classes = tuple(_Class(share) for share in SHARES.values())
        self._earning = tuple(class_ for class_ in self._classes if class_.share)
        self._held = Held()
        self._waiting = self._held.waiting
        self._stale = self._held.stale
        self._segments = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, key: int) -> bool:
        return key in self._waiting

    @property
    def segments(self) -> int:
        """The cost of everything that waits."""
        return self._segments

    def count(self, priority: Priority) -> int:
        """Messages of ``priority`` that wait. Linear in accounts."""
        return sum(account.live for account in self._classes[priority].members.values())

    def oldest_due_ms(self, priority: Priority) -> int:
        """The earliest due time of a message of ``priority``, 0 when none waits. Linear in accounts."""
        accounts = self._classes[priority].members.values()
        return min((account.earliest_ms(self._held) for account in accounts), default=0)

    def put(self, message: Message, cost: int = 0) -> None:
        """Let ``message`` wait. ``cost`` is the number of its segments still to be sent, 0 for all of
        them."""
        key = message.key
        waiting = self._waiting
        assert key not in waiting, f"message {key} waits already"
        class_ = self._classes[message.priority]
        account = class_.members.get(message.account) or class_.join(message.account)
        if message.batch is not None or type(account) is not Flow:
            account = class_.flow(account, message)
        cost = cost or message.segments
        if self._stale or cost != message.segments:
            self._held.prepare(message, cost, account)
        waiting[key] = message
        self._segments += cost
        account.live += 1
        due_ms = message.due_at_ms
        if due_ms >= account.last_due_ms:
            account.last_due_ms = due_ms
            account.ordered.append(message)
        else:
            class_.next_cost = 0
            heapq.heappush(account.late, (due_ms, next(self._arrivals), message))

    def take(self, budget: int) -> list[Message]:
        """Messages in the order they should go, until their segments reach ``budget``; the last may
        overshoot."""
        out: list[Message] = []
        held, waiting = self._held, self._waiting
        while budget > 0 and waiting:
            class_, run = self._next_run(budget)
            served = class_.take(held, run, out)
            for each in self._earning:
                if each.members:
                    each.credit += each.share * served
            class_.credit = max(0, class_.credit - UNIT * served)
            self._segments -= served
            budget -= served
        return out

    def drain(self) -> list[Message]:
        """Everything, in the order it would have gone."""
        return self.take(self._segments)

    def discard(self, key: int) -> bool:
        """Forget a message; False if it does not wait here."""
        message = self._waiting.get(key)
        if message is None:
            return False
        self._segments -= self._held.remove(message)
        self._held.stale.add(key)
        self._classes[message.priority].discard(message, self._held)
        return True

    def _next_run(self, budget: int) -> tuple[_Class, int]:
        """The class whose turn it is, and for how many segments before another may pass it. Whatever goes pays for it,
        and every class that waits earns from it."""
        best: _Class | None = None
        run = budget
        for class_ in self._classes:
            if not class_.members:
                continue
            if best is None:
                best = class_
                continue
            missing = UNIT * (class_.next_cost or class_.cost_of_next(self._held)) - class_.credit
            if missing <= 0:
                return class_, 1
            if missing < run * class_.share:
                run = -(-missing // class_.share)
        assert best is not None, "something waits"
        return best, run


class DueHeap:
    """Messages that wait for a time: scheduled ones, and those to be tried again. Bounded like the active
    set."""

    __slots__ = ("_arrivals", "_heap", "_waiting")

    def __init__(self) -> None:
        self._arrivals = count()
        self._heap: list[tuple[int, int, Message]] = []
        self._waiting: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, key: int) -> bool:
        return key in self._waiting

    def push(self, due_ms: int, message: Message) -> None:
        """Let ``message`` wait until ``due_ms``, wall time."""
        key = message.key
        assert key not in self._waiting, f"message {key} waits already"
        arrival = next(self._arrivals)
        self._waiting[key] = arrival
        heapq.heappush(self._heap, (due_ms, arrival, message))

    def pop_due(self, now_ms: int) -> list[Message]:
        """Every message due at ``now_ms``, earliest first."""
        heap, waiting = self._heap, self._waiting
        due: list[Message] = []
        while heap and heap[0][0] <= now_ms:
            _, arrival, message = heapq.heappop(heap)
            if waiting.get(message.key) == arrival:
                del waiting[message.key]
                due.append(message)
        return due

    def next_due_ms(self) -> int:
        """When the next message is due, 0 for none."""
        heap, waiting = self._heap, self._waiting
        while heap and waiting.get(heap[0][2].key) != heap[0][1]:
            heapq.heappop(heap)
        return heap[0][0] if heap else 0

    def discard(self, key: int) -> bool:
        """Forget a message; False if it does not wait here."""
        if self._waiting.pop(key, None) is None:
            return False
        if len(self._heap) > 2 * len(self._waiting) + STALE_LIMIT:
            waiting = self._waiting
            self._heap = [entry for entry in self._heap if waiting.get(entry[2].key) == entry[1]]
            heapq.heapify(self._heap)
        return True
