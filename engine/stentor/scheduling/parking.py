"""Where a channel's messages wait for a rate limit, aside from its queue, so that nothing waits behind them.

A message that may not go is *parked* in the lot of what it waits for (:class:`~stentor.pacing.gate.Wait`). When there
is room again, as many are released into the channel's queue as the room allows, by priority and fairly as in any
queue; there they stand for their turn like all others, and are counted when they really go. A new message is parked
behind those that wait already. What one lane's limit refuses is offered to the channel's other lanes before it is
parked.

Work is bounded: a message is parked at most once for each release, releases follow the quotas, and one turn parks at
most EFFORT messages. What one limit refuses on one lane and another on the next is between two lots, of which each has
room by its own limit: their turns come PAUSE_S later.

Invariants: a message is in at most one lot; those released and not yet gone never cost more than the room there was,
but for the last of them.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from itertools import count
from typing import Final

from stentor.message import Message, Priority
from stentor.pacing.gate import Gate, Limit, Values, Wait
from stentor.rate import UNLIMITED
from stentor.scheduling.lanes import Channel, Lane
from stentor.scheduling.scheduler import SHARES, ChannelQueue

EFFORT: Final = 1000
"""Messages parked in one turn, at most: a few milliseconds."""
PAUSE_S: Final = 0.05
"""Until a lot is looked at again whose time has come and whose message may go by no lane."""


class Lot:
    """What waits for the same quotas. ``need`` is the largest cost that was refused since there last was room;
    ``released`` is what stands in the channel's queue again. ``is_between``: a message came back that another limit
    keeps from the lanes where this one has room."""

    __slots__ = ("is_between", "is_scheduled", "limit", "need", "queue", "released", "values")

    def __init__(self, limit: Limit, values: Values) -> None:
        self.limit = limit
        self.values = values
        self.queue = ChannelQueue()
        self.need = 1
        self.released = 0
        self.is_scheduled = False
        self.is_between = False


class Parking:
    """The lots of one channel. ``stops(message, channel, wall_ms)`` tells and sees to it that a message may not leave
    at all. In each turn: :meth:`release`, for each lane :meth:`begin` and :meth:`next`, then :meth:`finish`."""

    __slots__ = (
        "_aside",
        "_between",
        "_channel",
        "_effort",
        "_gate",
        "_heap",
        "_lots",
        "_numbers",
        "_parked",
        "_released",
        "_retry",
        "_stops",
        "_watched",
    )

    def __init__(self, gate: Gate, channel: Channel, stops: Callable[[Message, Channel, int], bool]) -> None:
        self._gate = gate
        self._stops = stops
        self._channel = channel
        self._lots: dict[tuple[str, Values], Lot] = {}
        self._parked: dict[int, Lot] = {}
        self._released: dict[int, tuple[Lot, int]] = {}
        self._heap: list[tuple[float, int, Lot]] = []
        self._numbers = count()
        self._watched: dict[Lot, None] = {}
        self._aside: list[tuple[Message, Wait]] = []
        self._retry: deque[tuple[Message, Wait]] = deque()
        self._between: set[int] = set()
        self._effort = 0

    def __len__(self) -> int:
        return len(self._parked)

    def keys(self) -> Iterable[int]:
        """The messages that are parked."""
        return self._parked.keys()

    def waiting_before(self, limit: Limit, values: Values, priority: Priority) -> tuple[int, int]:
        """How many wait for this that go before a message of ``priority``, and the share, in parts of UNIT, that worse
        ones take meanwhile."""
        lot = self._lots.get((limit.rule.name, values))
        if lot is None:
            return 0, 0
        counts = {each: lot.queue.count(each) for each in Priority}
        before = sum(count for each, count in counts.items() if each <= priority)
        return before, sum(SHARES[each] for each, count in counts.items() if each > priority and count)

    def lots(self) -> Iterable[Lot]:
        return self._lots.values()

    # -- in and out -------------------------------------------------------------------------------------------------

    def takes(self, message: Message) -> bool:
        """Park a new message behind those that wait for the same; False if none does."""
        if not self._parked:
            return False
        name = self._channel.name
        for limit in self._gate.limits_of(name):
            values = limit.values(message, name)
            if values is not None and (lot := self._lots.get((limit.rule.name, values))) and lot.queue:
                self._park(message, Wait(limit, values))
                return True
        return False

    def _park(self, message: Message, wait: Wait) -> None:
        key = wait.limit.rule.name, wait.values
        lot = self._lots.get(key)
        if lot is None:
            lot = self._lots[key] = Lot(wait.limit, wait.values)
        lot.queue.put(message)
        self._parked[message.key] = lot
        self._watched[lot] = None

    def discard(self, key: int) -> bool:
        """Forget a message; False if it is not parked."""
        self._settle(key)
        lot = self._parked.pop(key, None)
        return lot is not None and lot.queue.discard(key)

    def drain(self) -> list[Message]:
        """Everything that is parked. What was released is no longer this channel's to count."""
        found = [message for lot in self._lots.values() for message in lot.queue.drain()]
        for each in (self._lots, self._parked, self._released, self._heap, self._watched):
            each.clear()
        return found

    def _settle(self, key: int) -> None:
        """A released message stands in the channel's queue no more."""
        found = self._released.pop(key, None)
        if found is not None:
            found[0].released -= found[1]
            self._watched[found[0]] = None

    # -- a turn -----------------------------------------------------------------------------------------------------

    def release(self, now: float, wall_ms: int) -> None:
        """Move into the channel's queue what may go now."""
        self._effort = 0
        heap = self._heap
        while heap and heap[0][0] <= now:
            lot = heapq.heappop(heap)[2]
            lot.is_scheduled = False
            self._watched[lot] = None
        for lot in self._watched:
            if lot.queue and not lot.is_scheduled and not lot.released:
                self._release_from(lot, now, wall_ms)

    def _release_from(self, lot: Lot, now: float, wall_ms: int) -> None:
        room, _ = self._room(lot, now, wall_ms)
        if room > 0:
            lot.need = 1
        while lot.queue and lot.released < room:
            (message,) = lot.queue.take(1)
            cost = lot.limit.cost(message)
            lot.released += cost
            del self._parked[message.key]
            self._released[message.key] = lot, cost
            self._channel.queue.put(message)

    def begin(self) -> None:
        """Another lane has its turn: it may take what the others refused."""
        self._retry += self._aside
        self._aside = []

    def next(self, lane: Lane, budget: int, now: float, wall_ms: int) -> list[Message]:
        """Messages that go over the lane now, or whose validity has passed, at most ``budget`` segments of them or a
        little more; empty when there is nothing more for it."""
        queue = self._channel.queue
        while self._effort < EFFORT:
            before = None
            if self._retry:
                message, before = self._retry.popleft()
                found = [message]
            else:
                found = queue.take(min(budget, EFFORT - self._effort))
                if not found:
                    break
            passed = self._passed(found, lane, now, wall_ms, before)
            if passed:
                return passed
        return []

    def _passed(
        self, found: Iterable[Message], lane: Lane, now: float, wall_ms: int, before: Wait | None
    ) -> list[Message]:
        """Those that may go; the others are seen to. ``before`` is what the one that was found waits for on another
        lane."""
        check, stops, released = self._gate.check, self._stops, self._released
        channel, key = self._channel.name, lane.key
        passes = self._gate.way(channel, key).passes
        passed: list[Message] = []
        for message in found:
            if released:
                self._settle(message.key)
            if message.expires_at_ms <= wall_ms:
                passed.append(message)
            elif stops(message, self._channel, wall_ms):
                self._effort += 1
            elif (
                passes(message, now, wall_ms) or (wait := check(message, channel, key, now, wall_ms)) is None
            ):
                passed.append(message)
            elif wait.limit.by_lane and len(self._channel.lanes) > 1:
                self._aside.append((message, wait))
                if before is not None and before.limit is not wait.limit:
                    self._between.add(message.key)
            else:
                self._refuse(message, wait)
        return passed

    def _refuse(self, message: Message, wait: Wait) -> None:
        self._effort += 1
        self._park(message, wait)
        lot = self._parked[message.key]
        lot.need = max(lot.need, wait.limit.cost(message))
        lot.is_between |= message.key in self._between

    def finish(self, now: float, wall_ms: int) -> None:
        """The lanes had their turns: park what none took, and know when to look again."""
        if not (self._watched or self._retry or self._aside):
            return
        for message, wait in (*self._retry, *self._aside):
            self._refuse(message, wait)
        self._retry.clear()
        self._aside.clear()
        self._between.clear()
        watched, self._watched = self._watched, {}
        for lot in watched:
            if lot.is_scheduled or lot.released:
                continue  # it will be looked at when its time comes, or when the last of those went
            if not lot.queue:
                del self._lots[lot.limit.rule.name, lot.values]
            else:
                _, at = self._room(lot, now, wall_ms)
                if at is None:
                    self._watched[lot] = None
                else:
                    if lot.is_between:
                        lot.is_between = False
                        at = max(at, now + PAUSE_S)
                    lot.is_scheduled = True
                    heapq.heappush(self._heap, (at, next(self._numbers), lot))

    def next_wake(self) -> float | None:
        """When the next turn is due by time alone; None when only an event can bring it."""
        if self._effort >= EFFORT and self._channel.queue:
            return 0.0
        return self._heap[0][0] if self._heap else None

    def _room(self, lot: Lot, now: float, wall_ms: int) -> tuple[int, float | None]:
        """How much of what the lot waits for may go now, and when what it needs may; None when only an event can tell.

        A lane counts when it has room itself, or will have in time.
        """
        limit, need = lot.limit, lot.need
        if not limit.by_lane:
            _, quota = limit.quota(lot.values, "", now, wall_ms)
            at = quota.ready_at(need, now, wall_ms)
            return (max(1, quota.left(now, wall_ms)), at) if at <= now else (0, at)
        room, first_at = 0, None
        for lane in self._channel.lanes.values():
            lane_at = lane.ready_at(now)
            if lane_at is None:
                continue
            left = UNLIMITED
            if limit.concerns_lane(lane.key):
                _, quota = limit.quota(lot.values, lane.key, now, wall_ms)
                left = max(1, quota.left(now, wall_ms))
                lane_at = max(lane_at, quota.ready_at(need, now, wall_ms))
            first_at = lane_at if first_at is None else min(first_at, lane_at)
            if lane_at <= now:
                room = max(room, left)
        return room, first_at
