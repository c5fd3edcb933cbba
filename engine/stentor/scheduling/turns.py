"""Whose turn it is within a class: deficit round-robin between accounts, and between the batches of one account.

What takes turns is a :class:`Flow`, messages in order of due time, or the :class:`Batches` of an account, flows that
take turns themselves. Whoever's turn begins may send QUANTUM segments more; what it cannot use for its next message it
keeps for its next turn. One alone need not pay.

Invariants: the turn goes round, so between two turns of a member every other that waits throughout has had one; a
member that waits for nothing is not there, and comes back as the last and without anything saved.
"""

import heapq
from collections import OrderedDict, deque
from typing import Final, Generic, TypeVar

from stentor.message import Message

QUANTUM: Final = 8
"""Segments an account may send before the next account of its class has its turn."""

STALE_LIMIT: Final = 32
"""Entries of discarded messages that a flow, or the heap of what is due, may hold beyond its live ones."""


class Held:
    """What a queue holds, by key. Its flows hold the messages themselves and nothing per message.

    ``stale`` are keys of discarded messages that still stand in a flow; ``partial`` are costs that differ from
    ``message.segments``. Both are empty nearly always.
    """

    __slots__ = ("partial", "stale", "waiting")

    def __init__(self) -> None:
        self.waiting: dict[int, Message] = {}
        self.stale: set[int] = set()
        self.partial: dict[int, int] = {}

    def cost(self, message: Message) -> int:
        return (self.partial and self.partial.get(message.key)) or message.segments

    def prepare(self, message: Message, cost: int, flow: "Flow") -> None:
        """What is seldom needed before a message may wait: its old entry goes, its own cost is noted."""
        if message.key in self.stale:
            flow.purge(self)
        if cost != message.segments:
            self.partial[message.key] = cost

    def remove(self, message: Message) -> int:
        """Forget a message that goes; its cost."""
        del self.waiting[message.key]
        return (self.partial and self.partial.pop(message.key, 0)) or message.segments

    def is_dropped(self, message: Message) -> bool:
        """Whether this entry of a flow was discarded; if so, it must be dropped now."""
        if self.stale and message.key in self.stale:
            self.stale.remove(message.key)
            return True
        return False


class Flow:
    """One account's messages of one class, or those of one of its batches; ``name`` tells it from the others.

    ``ordered`` is in order of due time, then arrival; ``late`` is a heap of the few that were due before one
    that had come already. Of two with the same due time, the one in ``ordered`` came first.
    """

    __slots__ = ("deficit", "last_due_ms", "late", "live", "name", "ordered")

    def __init__(self, name: str) -> None:
        self.name = name
        self.ordered: deque[Message] = deque()
        self.late: list[tuple[int, int, Message]] = []
        self.last_due_ms = 0
        self.live = 0
        self.deficit = 0

    def head(self, held: Held) -> Message:
        """The next live message; discarded ones before it are dropped. There must be one."""
        ordered, late = self.ordered, self.late
        while ordered and held.is_dropped(ordered[0]):
            ordered.popleft()
        while late and held.is_dropped(late[0][2]):
            heapq.heappop(late)
        if late and (not ordered or late[0][0] < ordered[0].due_at_ms):
            return late[0][2]
        return ordered[0]

    def take(self, held: Held, budget: int, out: list[Message]) -> int:
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

    def take_turn(self, held: Held, budget: int, out: list[Message]) -> int:
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
            self.deficit = deficit - served
            return served
        while self.live and served < budget and held.cost(self.head(held)) <= self.deficit - served:
            message = self._pop(held)
            out.append(message)
            served += held.remove(message)
            self.live -= 1
        self.deficit -= served
        return served

    def drop(self, message: Message, held: Held) -> None:
        """Take account of a message that was marked stale."""
        self.live -= 1
        if len(self.ordered) + len(self.late) > 2 * self.live + STALE_LIMIT:
            self.purge(held)

    def earliest_ms(self, held: Held) -> int:
        return self.head(held).due_at_ms

    def purge(self, held: Held) -> None:
        """Drop all entries of discarded messages."""
        self.ordered = deque(message for message in self.ordered if not held.is_dropped(message))
        self.late = [entry for entry in self.late if not held.is_dropped(entry[2])]
        heapq.heapify(self.late)

    def _pop(self, held: Held) -> Message:
        message = self.head(held)
        if self.ordered and message is self.ordered[0]:
            self.ordered.popleft()
        else:
            heapq.heappop(self.late)
        return message


_Member = TypeVar("_Member", Flow, "Flow | Batches")


class Turns(Generic[_Member]):
    """Those who wait, by name; ``holder`` is the first of them once its turn has begun."""

    __slots__ = ("holder", "members")

    def __init__(self) -> None:
        self.members: OrderedDict[str, _Member] = OrderedDict()
        self.holder: _Member | None = None

    def settle(self, held: Held) -> _Member:
        """Pass the turn on until its holder can pay for its next message, or is alone. Somebody must wait."""
        members, holder = self.members, self.holder
        if len(members) == 1:
            return holder or next(iter(members.values()))
        while True:
            if holder is None:
                holder = self.holder = next(iter(members.values()))
                holder.deficit += QUANTUM
            if type(holder) is not Flow or holder.late or held.stale or held.partial:
                cost = held.cost(holder.head(held))
            else:
                cost = holder.ordered[0].segments
            if cost <= holder.deficit:
                return holder
            members.move_to_end(holder.name)
            holder = None

    def leave(self, member: _Member) -> None:
        """It waits for nothing more. If it had the turn, the next one's begins."""
        del self.members[member.name]
        if member is self.holder:
            self.holder = None


class Batches(Turns[Flow]):
    """One account's messages of one class, of which some belong to batches: each batch has its turns, as accounts
    have. The flow "" holds those that belong to none."""

    __slots__ = ("deficit", "live", "name")

    def __init__(self, before: Flow) -> None:
        super().__init__()
        self.name = before.name
        self.live = before.live
        self.deficit = before.deficit
        before.name, before.deficit = "", 0
        if before.live:
            self.members[""] = before

    def flow(self, message: Message) -> Flow:
        """Where a message of the account goes."""
        name = message.batch or ""
        flow = self.members.get(name)
        if flow is None:
            flow = self.members[name] = Flow(name)
        return flow

    def head(self, held: Held) -> Message:
        return self.settle(held).head(held)

    def take(self, held: Held, budget: int, out: list[Message]) -> int:
        """As a flow's."""
        served = 0
        before = len(out)
        while self.members and served < budget:
            flow = self.settle(held)
            take = flow.take if len(self.members) == 1 else flow.take_turn
            served += take(held, budget - served, out)
            if not flow.live:
                flow.purge(held)
                self.leave(flow)
        self.live -= len(out) - before
        return served

    def take_turn(self, held: Held, budget: int, out: list[Message]) -> int:
        """As a flow's."""
        served = 0
        while self.live and served < budget and held.cost(self.head(held)) <= self.deficit - served:
            served += self.take(held, 1, out)
        self.deficit -= served
        return served

    def drop(self, message: Message, held: Held) -> None:
        flow = self.members[message.batch or ""]
        self.live -= 1
        flow.drop(message, held)
        if not flow.live:
            flow.purge(held)
            self.leave(flow)

    def earliest_ms(self, held: Held) -> int:
        return min(flow.earliest_ms(held) for flow in self.members.values())

    def purge(self, held: Held) -> None:
        for flow in self.members.values():
            flow.purge(held)
