"""Who is bound to the simulated SMSC, and the deliveries that wait for them.

Receipts and inbound messages of one system_id go to all its receivers and transceivers in turn. What was not
acknowledged when a connection ended comes first again on the next, as carriers do it. A receipt is never
dropped.
"""

from collections import deque
from collections.abc import Iterable
from typing import Protocol

from bench.peers.receipts import Delivery


class Receiving(Protocol):
    """A connection that takes deliveries."""

    @property
    def room(self) -> int: ...

    def deliver(self, deliveries: list[Delivery]) -> None: ...


class Account:
    """One system_id."""

    def __init__(self, system_id: str) -> None:
        self.system_id = system_id
        self.sessions = 0
        self.receivers: list[Receiving] = []
        self.waiting: deque[Delivery] = deque()
        self._next = 0

    def join(self, connection: Receiving, *, is_receiver: bool) -> None:
        """A connection was bound."""
        self.sessions += 1
        if is_receiver:
            self.receivers.append(connection)

    def leave(self, connection: Receiving) -> None:
        """A connection that was bound is gone."""
        self.sessions -= 1
        if connection in self.receivers:
            self.receivers.remove(connection)

    def give_back(self, deliveries: Iterable[Delivery]) -> None:
        """These were sent and not acknowledged: they go again, before all others and in their order."""
        self.waiting.extendleft(reversed(list(deliveries)))

    def flush(self) -> None:
        """Hand out what waits, as far as receivers have room, evenly."""
        receivers, waiting = self.receivers, self.waiting
        full = 0
        while waiting and full < len(receivers):
            receiver = receivers[self._next % len(receivers)]
            self._next += 1
            share = min(receiver.room, -(-len(waiting) // len(receivers)))
            if share <= 0:
                full += 1
                continue
            full = 0
            receiver.deliver([waiting.popleft() for _ in range(share)])
