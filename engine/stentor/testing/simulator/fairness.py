"""Whose turn it was: what each channel's queue lets go, held against the bounds that ``stentor.scheduling.scheduler``
states.

A queue of the engine is replaced by one that watches itself. Nothing is known here of how the engine decides, only who
waits and who goes. What is handed over must have come out of such a queue.
"""

from collections.abc import Iterable
from fractions import Fraction
from typing import Final

from stentor.message import Message, Priority
from stentor.scheduling.scheduler import QUANTUM, SHARES, UNIT, ChannelQueue
from stentor.testing.simulator.faults import Violation

LARGEST: Final = 3
"""Segments of the longest message of a world."""

_SHARE: Final = {priority: Fraction(share, UNIT) for priority, share in SHARES.items() if share}


class Stretch:
    """A time throughout which somebody waits: how far ahead of what is due to it it is, and ever was."""

    __slots__ = ("_ahead", "_most")

    def __init__(self) -> None:
        self._ahead = self._most = Fraction(0)

    def behind(self, change: Fraction | int) -> Fraction:
        """Note a change; how far it is behind where it was best off."""
        self._ahead += change
        self._most = max(self._most, self._ahead)
        return self._most - self._ahead


class WatchedQueue(ChannelQueue):
    """Raises Violation when somebody gets less than what is promised."""

    __slots__ = ("_classes_waiting", "_costs", "_pairs", "_since", "_went", "name")

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self._costs: dict[int, tuple[Message, int]] = {}
        self._went = {True: 0, False: 0}
        """Segments that went, urgent and other."""
        self._since: dict[int, tuple[int, int]] = {}
        """What had gone when an urgent message came."""
        self._classes_waiting: dict[Priority, Stretch] = {}
        self._pairs: dict[tuple[Priority, str, str], Stretch] = {}

    def put(self, message: Message, cost: int = 0) -> None:
        super().put(message, cost)
        self._costs[message.key] = message, cost or message.segments
        if message.priority is Priority.URGENT:
            self._since[message.key] = self._went[True], self._went[False]

    def take(self, budget: int) -> list[Message]:
        taken = super().take(budget)
        for message in taken:
            self._goes(message)
        return taken

    def drain(self) -> list[Message]:
        drained = super().drain()
        assert not self._costs, f"{self.name} kept some of what it was to give back"
        self._classes_waiting.clear()
        self._pairs.clear()
        return drained

    def discard(self, key: int) -> bool:
        is_gone = super().discard(key)
        if is_gone:
            self._forget(key)
        return is_gone

    def _goes(self, message: Message) -> None:
        waiting = [other for other, _ in self._costs.values()]
        cost = self._costs[message.key][1]
        self._check_classes(message, cost, {other.priority for other in waiting})
        self._check_accounts(message, cost, waiting)
        self._went[message.priority is Priority.URGENT] += cost
        for key in self._since:
            self._check_urgent(key)
            break  # it has waited longest
        self._forget(message.key)

    def _forget(self, key: int) -> None:
        """It waits no more. Who waits for nothing more does so no longer throughout, even if more comes at once."""
        message, _ = self._costs.pop(key)
        self._since.pop(key, None)
        left = [other.account for other, _ in self._costs.values() if other.priority is message.priority]
        if not left:
            self._classes_waiting.pop(message.priority, None)
        if message.account not in left:
            for pair in [
                pair for pair in self._pairs if pair[0] is message.priority and message.account in pair
            ]:
                del self._pairs[pair]

    def _check_classes(self, message: Message, cost: int, waiting: Iterable[Priority]) -> None:
        """A class that waits throughout gets its share of all that goes."""
        stretches, self._classes_waiting = self._classes_waiting, {}
        for priority in sorted(_SHARE.keys() & set(waiting)):
            stretch = self._classes_waiting[priority] = stretches.get(priority) or Stretch()
            got = cost if message.priority is priority else 0
            behind = stretch.behind(got - _SHARE[priority] * cost)
            if behind > 4 * LARGEST:
                raise Violation(
                    f"{priority.word} is {float(behind):g} segments behind its share of {self.name}"
                )

    def _check_accounts(self, message: Message, cost: int, waiting: Iterable[Message]) -> None:
        """An account that waits throughout gets as much as any other of its class."""
        priority = message.priority
        accounts = {other.account for other in waiting if other.priority is priority}
        pairs = {(priority, one, other) for one in accounts for other in accounts if one != other}
        for pair in [pair for pair in self._pairs if pair[0] is priority and pair not in pairs]:
            del self._pairs[pair]
        for pair in sorted(pairs):
            stretch = self._pairs.setdefault(pair, Stretch())
            behind = stretch.behind(cost * ((message.account == pair[1]) - (message.account == pair[2])))
            if behind > QUANTUM + 2 * LARGEST:
                raise Violation(f"account {pair[1]} is {behind} segments behind {pair[2]} in {self.name}")

    def _check_urgent(self, key: int) -> None:
        """Others that go before an urgent message are few, whatever waits."""
        urgent, others = self._since[key]
        ours, theirs = self._went[True] - urgent, self._went[False] - others
        if theirs > 7 * LARGEST + Fraction(7, 9) * ours:
            raise Violation(f"urgent message {key} waited for {theirs} segments of others")
