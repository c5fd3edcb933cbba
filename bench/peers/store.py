"""What the simulated SMSC remembers of the messages it took, for query_sm and cancel_sm.

Bounded: of more messages than it holds the oldest are forgotten. Invariant: a final state never changes.
"""

from collections.abc import Iterator

import msgspec

from bench.peers.dialect import UNFINISHED

Address = tuple[int, int, str]


class Message(msgspec.Struct):
    """A message that was taken. ``id`` as the response said it; times are seconds since 1970, ``final_at`` 0 until
    then."""

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

    @property
    def is_final(self) -> bool:
        return self.final_at > 0

    def become(self, state: str, at: float) -> None:
        """What has happened to it; nothing can after a final state."""
        if self.is_final:
            return
        self.state = state
        if state not in UNFINISHED:
            self.final_at = at

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

    def find(self, message_id: str, source: Address) -> Message | None:
        """By its id; the source must be the submission's (SMPP 3.4 sections 4.8.1 and 4.9.1)."""
        message = self._messages.get(message_id)
        return message if message is not None and message.source == source else None

    def pending(self, service_type: str, source: Address, destination: Address) -> Iterator[Message]:
        """Everything between these two that has not come to its end."""
        wanted = (service_type, source, destination)
        for message in self._messages.values():
            if (message.service_type, message.source, message.destination) == wanted and not message.is_final:
                yield message
