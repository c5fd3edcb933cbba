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

**Between accounts of a class: deficit round-robin** with a quantum of QUANTUM segments. Two accounts that
both wait throughout get the same within QUANTUM + 2 M segments. **Between the batches of an account** likewise;
its messages without a batch count as one. **Within a batch**, or an account without any, the earliest due goes
first, then the earliest arrival.

Invariants: a message is in a queue at most once; its key, account, priority and due time do not change
meanwhile. Discarding is lazy, but entries of discarded messages never outnumber the live ones by more than a
constant.
"""

import heapq
from collections import OrderedDict, deque
from itertools import count
from typing import Final, TypeVar

from stentor.message import Message, Priority

QUANTUM: Final = 8
"""Segments an account may send before the next account of its class has its turn."""

UNIT: Final = 16
"""Credit is counted in sixteenths of a segment, so that it is exact."""

SHARES: Final = {Priority.URGENT: 0, Priority.HIGH: 4, Priority.NORMAL: 2, Priority.BULK: 1}
"""Sixteenths of all segments that a class is guaranteed while it waits."""

_SPARE_LIMIT: Final = 64
"""Empty accounts that a class keeps for the next who join."""

_STALE_LIMIT: Final = 32
"""Entries of discarded messages that an account's queue, or the due heap, may hold beyond its live ones."""

assert sum(SHARES.values()) < UNIT, "guaranteed shares must leave room for the best class"
assert list(SHARES) == sorted(Priority), "a better class must be listed first"


class _Held:
    """What a queue holds, by key. Queues of accounts hold the messages themselves and nothing per message.

    ``stale`` are keys of discarded messages that still stand in an account's queue; ``partial`` are costs
    that differ from ``message.segments``. Both are empty nearly always.
    """

    __slots__ = ("partial", "stale", "waiting")

    def __init__(self) -> None:
        self.waiting: dict[int, Message] = {}
        self.stale: set[int] = set()
        self.partial: dict[int, int] = {}

    def cost(self, message: Message) -> int:
        return (self.partial and self.partial.get(message.key)) or message.segments

    def prepare(self, message: Message, cost: int, account: "_Account") -> None:
        """What is seldom needed before a message may wait: its old entry goes, its own cost is noted."""
        if message.key in self.stale:
            account.purge(self)
        if cost != message.segments:
            self.partial[message.key] = cost

    def remove(self, message: Message) -> int:
        """Forget a message that goes; its cost."""
        del self.waiting[message.key]
        return (self.partial and self.partial.pop(message.key, 0)) or message.segments

    def is_dropped(self, message: Message) -> bool:
        """Whether this entry of an account's queue was discarded; if so, it must be dropped now."""
        if self.stale and message.key in self.stale:
            self.stale.remove(message.key)
            return True
        return False


class _Account:
    """One account's messages of one class, or those of one of its batches.

    ``ordered`` is in order of due time, then arrival; ``late`` is a heap of the few that were due before one
    that had come already. Of two with the same due time, the one in ``ordered`` came first.
    """

    __slots__ = ("deficit", "last_due_ms", "late", "live", "ordered")

    def __init__(self) -> None:
        self.ordered: deque[Message] = deque()
        self.late: list[tuple[int, int, Message]] = []
        self.last_due_ms = 0
        self.live = 0
        self.deficit = 0

    def head(self, held: _Held) -> Message:
        """The next live message; discarded ones before it are dropped. There must be one."""
        ordered, late = self.ordered, self.late
        while ordered and held.is_dropped(ordered[0]):
            ordered.popleft()
        while late and held.is_dropped(late[0][2]):
            heapq.heappop(late)
        if late and (not ordered or late[0][0] < ordered[0].due_at_ms):
            return late[0][2]
        return ordered[0]

    def take(self, held: _Held, budget: int, out: list[Message]) -> int:
        """Move messages to ``out`` until their segments reach ``budget``; the segments moved."""
        ordered, late = self.ordered, self.late
        waiting, stale, partial = held.waiting, held.stale, held.partial
        served = 0
        before = len(out)
        left = self.live
        while left and served < budget and not (late or stale or partial):
            message = ordered.popleft()
            del waiting[message.key]
            out.append(message)
            served += message.segments
            left -= 1
        while left and served < budget:
            message = self._pop(held)
            out.append(message)
            served += held.remove(message)
            left -= 1
        self.live -= len(out) - before
        return served

    def take_turn(self, held: _Held, budget: int, out: list[Message]) -> int:
        """As :meth:`take`, but only what the deficit pays for; it is charged."""
        ordered, waiting, deficit = self.ordered, held.waiting, self.deficit
        served = 0
        is_plain = not (self.late or held.stale or held.partial)
        while is_plain and self.live and served < budget:
            message = ordered[0]
            cost = message.segments
            if served + cost > deficit:
                break
            del ordered[0], waiting[message.key]
            out.append(message)
            served += cost
            self.live -= 1
        if is_plain:
            self.deficit -= served
            return served
        while self.live and served < budget and held.cost(self.head(held)) <= self.deficit - served:
            message = self._pop(held)
            out.append(message)
            served += held.remove(message)
            self.live -= 1
        self.deficit -= served
        return served

    def drop(self, message: Message, held: _Held) -> None:
        """Take account of a message that was marked stale."""
        self.live -= 1
        if len(self.ordered) + len(self.late) > 2 * self.live + _STALE_LIMIT:
            self.purge(held)

    def earliest_ms(self, held: _Held) -> int:
        return self.head(held).due_at_ms

    def purge(self, held: _Held) -> None:
        """Drop all entries of discarded messages."""
        self.ordered = deque(message for message in self.ordered if not held.is_dropped(message))
        self.late = [entry for entry in self.late if not held.is_dropped(entry[2])]
        heapq.heapify(self.late)

    def _pop(self, held: _Held) -> Message:
        message = self.head(held)
        if self.ordered and message is self.ordered[0]:
            self.ordered.popleft()
        else:
            heapq.heappop(self.late)
        return message


class _Batches:
    """One account's messages of one class, of which some belong to batches: each batch has its turns, as accounts
    have. The flow "" holds those that belong to none."""

    __slots__ = ("deficit", "flows", "live")

    def __init__(self, before: _Account) -> None:
        self.flows: OrderedDict[str, _Account] = OrderedDict()
        if before.live:
            self.flows[""] = before
        self.live = before.live
        self.deficit = before.deficit
        before.deficit = 0

    def head(self, held: _Held) -> Message:
        return _settle_turn(self.flows, held)[1].head(held)

    def take(self, held: _Held, budget: int, out: list[Message]) -> int:
        """As an account's."""
        flows = self.flows
        served = 0
        before = len(out)
        while flows and served < budget:
            name, flow = _settle_turn(flows, held)
            take = flow.take if len(flows) == 1 else flow.take_turn
            served += take(held, budget - served, out)
            if not flow.live:
                flow.purge(held)
                del flows[name]
        self.live -= len(out) - before
        return served

    def take_turn(self, held: _Held, budget: int, out: list[Message]) -> int:
        """As an account's."""
        served = 0
        while self.live and served < budget and held.cost(self.head(held)) <= self.deficit - served:
            served += self.take(held, 1, out)
        self.deficit -= served
        return served

    def drop(self, message: Message, held: _Held) -> None:
        name = message.batch or ""
        flow = self.flows[name]
        self.live -= 1
        flow.drop(message, held)
        if not flow.live:
            flow.purge(held)
            del self.flows[name]

    def earliest_ms(self, held: _Held) -> int:
        return min(flow.earliest_ms(held) for flow in self.flows.values())

    def purge(self, held: _Held) -> None:
        for flow in self.flows.values():
            flow.purge(held)


_Member = TypeVar("_Member", _Account, _Account | _Batches)


def _settle_turn(members: OrderedDict[str, _Member], held: _Held) -> tuple[str, _Member]:
    """Pass the turn on until its holder can pay for its next message. One alone need not pay."""
    while True:
        name = next(iter(members))
        member = members[name]
        if len(members) == 1:
            return name, member
        if type(member) is not _Account or member.late or held.stale or held.partial:
            cost = held.cost(member.head(held))
        else:
            cost = member.ordered[0].segments
        if cost <= member.deficit:
            return name, member
        members.move_to_end(name)
        members[next(iter(members))].deficit += QUANTUM


class _Class:
    """The messages of one priority. ``accounts`` holds those that wait, the one whose turn it is first.

    ``next_cost`` is the cost of the message that would go next, 0 when it must be found out.
    """

    __slots__ = ("_spare", "accounts", "credit", "next_cost", "share")

    def __init__(self, share: int) -> None:
        self.share = share
        self.credit = 0
        self.next_cost = 0
        self.accounts: OrderedDict[str, _Account | _Batches] = OrderedDict()
        # Accounts come and go with their messages; what one leaves behind serves the next.
        self._spare: list[_Account] = []

    def flow(self, account: "_Account | _Batches", message: Message) -> _Account:
        """Where a message goes that belongs to a batch, or whose account has others that do."""
        if type(account) is _Account:
            account = self.accounts[message.account] = _Batches(account)
            self.next_cost = 0
        assert type(account) is _Batches
        account.live += 1
        flow = account.flows.get(message.batch or "")
        if flow is None:
            self.next_cost = 0
            flow = account.flows[message.batch or ""] = _Account()
        return flow

    def join(self, name: str) -> _Account | _Batches:
        """A new account; its turn comes last. A class that begins to wait has earned nothing."""
        if not self.accounts:
            self.credit = 0
        self.next_cost = 0
        account = self.accounts[name] = self._spare.pop() if self._spare else _Account()
        return account

    def cost_of_next(self, held: _Held) -> int:
        """What the message that would go next costs. The class must not be empty."""
        if not self.next_cost:
            self.next_cost = held.cost(_settle_turn(self.accounts, held)[1].head(held))
        return self.next_cost

    def take(self, held: _Held, budget: int, out: list[Message]) -> int:
        """Move messages to ``out`` until their segments reach ``budget`` or none is left; the segments
        moved."""
        served = 0
        while self.accounts and served < budget:
            name, account = _settle_turn(self.accounts, held)
            if len(self.accounts) == 1:
                served += account.take(held, budget - served, out)
            else:
                served += account.take_turn(held, budget - served, out)
            if not account.live:
                self._leave(name, account, held)
        self.next_cost = 0
        return served

    def discard(self, message: Message, held: _Held) -> None:
        """Take account of a message that was marked stale."""
        account = self.accounts[message.account]
        self.next_cost = 0
        account.drop(message, held)
        if not account.live:
            self._leave(message.account, account, held)

    def _leave(self, name: str, account: _Account | _Batches, held: _Held) -> None:
        if type(account) is not _Account or account.ordered or account.late:
            account.purge(held)
        del self.accounts[name]
        if type(account) is _Account and len(self._spare) < _SPARE_LIMIT:
            account.last_due_ms = account.deficit = 0
            self._spare.append(account)


class ChannelQueue:
    """Messages in memory for one channel. Bounded by the dispatcher's limit on the active set."""

    __slots__ = ("_arrivals", "_classes", "_held", "_segments", "_stale", "_waiting")

    def __init__(self) -> None:
        self._arrivals = count()
        self._classes = tuple(_Class(share) for share in SHARES.values())
        self._held = _Held()
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
        return sum(account.live for account in self._classes[priority].accounts.values())

    def oldest_due_ms(self, priority: Priority) -> int:
        """The earliest due time of a message of ``priority``, 0 when none waits. Linear in accounts."""
        accounts = self._classes[priority].accounts.values()
        return min((account.earliest_ms(self._held) for account in accounts), default=0)

    def put(self, message: Message, cost: int = 0) -> None:
        """Let ``message`` wait. ``cost`` is the number of its segments still to be sent, 0 for all of
        them."""
        key = message.key
        waiting = self._waiting
        assert key not in waiting, f"message {key} waits already"
        class_ = self._classes[message.priority]
        account = class_.accounts.get(message.account) or class_.join(message.account)
        if message.batch is not None or type(account) is not _Account:
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
        while budget > 0 and self._waiting:
            class_, run = self._next_run(budget)
            served = class_.take(self._held, run, out)
            self._settle_credit(class_, served)
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
        """The class whose turn it is, and for how many segments before another may pass it."""
        best: _Class | None = None
        run = budget
        for class_ in self._classes:
            if not class_.accounts:
                continue
            if best is None:
                best = class_
                continue
            missing = UNIT * class_.cost_of_next(self._held) - class_.credit
            if missing <= 0:
                return class_, 1
            run = min(run, -(-missing // class_.share))
        assert best is not None, "something waits"
        return best, run

    def _settle_credit(self, served: _Class, segments: int) -> None:
        """Let every class that waits earn from ``segments`` that went, and the class that sent them pay."""
        for class_ in self._classes:
            if class_.accounts:
                class_.credit += class_.share * segments
        served.credit = max(0, served.credit - UNIT * segments)


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
        if len(self._heap) > 2 * len(self._waiting) + _STALE_LIMIT:
            waiting = self._waiting
            self._heap = [entry for entry in self._heap if waiting.get(entry[2].key) == entry[1]]
            heapq.heapify(self._heap)
        return True
