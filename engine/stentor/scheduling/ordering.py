"""Messages that must leave in the order they came: one at a time for each account and destination.

Of the ordered messages to one destination that are in memory one has the turn, and may wait in a channel's queue, for a
retry, or for its outcome; the others wait here, in the order they were accepted, until it is sent or has ended, and
that is durable: a crash that lost its end would put it behind who followed. They keep nobody else waiting. The journal
gives them back in that order too, because they share a strand and a retry does not change when they are due there.

Invariant: at most one ordered message of an account and destination is outside of here.
"""

import heapq
from itertools import count

import msgspec

from stentor.message import Message


class Chain(msgspec.Struct):
    """Ordered messages to one destination: who has the turn, and who waits for it, by key."""

    holder: int
    waiting: list[tuple[int, int, Message]] = msgspec.field(default_factory=list)


class Ordering:
    """All chains with a message in memory."""

    __slots__ = ("_arrivals", "_chains", "_waiting", "freed")

    def __init__(self) -> None:
        self._arrivals = count()
        self._chains: dict[tuple[str, str], Chain] = {}
        self._waiting: dict[int, Message] = {}
        self.freed: list[Message] = []
        """Messages that have the turn now and must be placed."""

    def __len__(self) -> int:
        return len(self._waiting)

    def waiting_keys(self) -> list[int]:
        """Who waits for a turn, or was just given it."""
        return [*self._waiting, *(message.key for message in self.freed)]

    def has_turn(self, message: Message) -> bool:
        """Whether an ordered message may be placed now; it waits here otherwise."""
        name = message.account, message.to
        chain = self._chains.get(name)
        if chain is None:
            self._chains[name] = Chain(message.key)
            return True
        if chain.holder == message.key:
            return True
        assert message.key not in self._waiting, f"message {message.key} waits already"
        heapq.heappush(chain.waiting, (message.key, next(self._arrivals), message))
        self._waiting[message.key] = message
        return False

    def left(self, message: Message) -> None:
        """It is durable that an ordered message is no longer in memory: sent, ended or held back. Whoever comes next
        has the turn."""
        name = message.account, message.to
        chain = self._chains.get(name)
        if chain is None or chain.holder != message.key:
            return
        while chain.waiting:
            key, _, following = heapq.heappop(chain.waiting)
            if self._waiting.get(key) is following:
                del self._waiting[key]
                chain.holder = key
                self.freed.append(following)
                return
        del self._chains[name]

    def discard(self, message: Message) -> bool:
        """Forget a message that waits here, or was just given the turn; False if it does not."""
        if self._waiting.pop(message.key, None) is not None:
            return True
        if any(freed is message for freed in self.freed):
            self.freed = [freed for freed in self.freed if freed is not message]
            return True
        return False
