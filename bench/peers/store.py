"""What the simulated SMSC remembers of the messages it took, for query_sm and cancel_sm.

Bounded: of more messages than it holds the oldest are forgotten. Invariant: a final state never changes.
"""

from collections.abc import Iterator

import msgspec

from bench.peers.dialect import UNFINISHED

Address = tuple[int, int, str]


class Message(msgspec.Struct):
    """A message that was taken. ``id`` as the response said it; times are seconds since 1970, ``final_at`` 0 until
    then. ``end`` is what it is to become at ``due_at``, whether a receipt tells it or not. ``held_until``: its time, if
    it was to be scheduled; 0 otherwise."""

    id: bytes
    receipt_id: str
    service_type: str
    source: Address
    destination: Address
    submitted_at: float
    text: str = ""
    reference: bytes | None = None
    wanted: int = 0
    state: str = "ENROUTE"
    final_at: float = 0.0
    end: str = ""
    due_at: float = 0.0
    held_until: float = 0.0

    def become(self, state: str, at: float) -> None:
        """What has happened to it; nothing can after a final state."""
        if self.final_at:
            return
        self.state = state
        if state not in UNFINISHED:
            self.final_at = at

    def settle(self, now: float) -> None:
        """Let what is due have happened."""
        if self.held_until and now >= self.held_until:
            self.held_until = 0.0
            self.become("ENROUTE", now)
        if self.end and now >= self.due_at:
            self.become(self.end, self.due_at)

    def is_wanted(self, state: str) -> bool:
        """Whether registered_delivery asked for a receipt of this state (SMPP 3.4 section 5.2.17; 3 is of 5.0)."""
        return self.wanted == 1 or self.wanted == (3 if state == "DELIVRD" else 2)


class Store:
    """The newest messages."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._messages: dict[str, Message] = {}

    def add(self, message: Message) -> None:
        if self._limit <= 0:
            return
        if len(self._messages) >= self._limit:
            del self._messages[next(iter(self._messages))]
        self._messages[message.id.decode("ascii")] = message

    def find(self, message_id: str, source: Address, now: float) -> Message | None:
        """By its id, as it is now; the source must be the submission's (SMPP 3.4 sections 4.8.1 and 4.9.1)."""
        message = self._messages.get(message_id)
        if message is None or message.source != source:
            return None
        message.settle(now)
        return message

    def pending(
        self, service_type: str, source: Address, destination: Address, now: float
    ) -> Iterator[Message]:
        """Everything between these two that has not come to its end."""
        wanted = (service_type, source, destination)
        for message in self._messages.values():
            if (message.service_type, message.source, message.destination) == wanted:
                message.settle(now)
                if not message.final_at:
                    yield message
