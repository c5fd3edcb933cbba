"""A dispatcher whose pump and journal are in the hands of a test."""

import copy

from stentor.dispatch.dispatcher import Dispatcher, Limits
from stentor.driver import Capabilities
from stentor.ids import IdGenerator
from stentor.journal.records import (
    Commit,
    Recovery,
)
from stentor.message import Delivery, EventKind, Message
from stentor.outcome import Submission
from stentor.retry import RetryPolicy
from stentor.text.segments import Encoding

WALL = 1_800_000_000_000
ONCE = Delivery.AT_MOST_ONCE


def message(key: int = 1, **more) -> Message:
    values = {
        "key": key << 8, "tail": 0, "account": "x", "to": "+40700000001", "originator": "1234", "text": "x",
        "encoding": Encoding.GSM7, "segments": 1, "submitted_at_ms": WALL, "due_at_ms": WALL,
        "expires_at_ms": WALL + 3_600_000, "route": ("a", "b"),
    }  # fmt: skip
    return Message(**(values | more))


def long_message(key: int = 1, **more) -> Message:
    return message(key, text="x" * 200, segments=2, **more)


class Engine:
    """A dispatcher, its pump and its journal, all in the hands of the test. ``other`` is what channel b can, if not
    the same as a."""

    def __init__(
        self,
        recovery: Recovery | None = None,
        limits: Limits | None = None,
        other: Capabilities | None = None,
        **capabilities,
    ) -> None:
        self.dispatcher = Dispatcher(
            recovery or Recovery(), limits or Limits(), RetryPolicy(), IdGenerator(bytes), lambda: 0.0
        )
        self.now, self.wall = 0.0, WALL
        self.events: list[tuple[int, EventKind]] = []
        self.tickets: list[object] = []
        alike = Capabilities(**capabilities)
        for name, each in (("a", alike), ("b", other or alike)):
            self.dispatcher.add_channel(name, "test", each, 0.0, 0.0)
        self.dispatcher.start(0.0, WALL)

    def lane(self, channel: str = "a", window: int = 10, key: str = "1") -> None:
        self.dispatcher.offer_lane(channel, key, window, None, self.now, self.wall)

    def accept(self, *messages: Message) -> None:
        self.dispatcher.accept(messages, ())
        self.commit()

    def begin(self) -> Commit | None:
        return self.dispatcher.take_commit()

    def committed(self) -> Commit:
        commit, tickets = self.dispatcher.committed(self.now, self.wall)
        self.events += [(event.key >> 8, event.kind) for event in commit.events if event.key]
        self.tickets += tickets
        return commit

    def commit(self) -> None:
        while self.begin() is not None:
            self.committed()

    def turn(self) -> list[Submission]:
        """What is handed over now."""
        self.dispatcher.tick(self.now, self.wall)
        self.dispatcher.flush(self.now, self.wall)
        return [each for _, batch in self.dispatcher.take_outgoing() for each in batch]

    def reads(self, kind: type):
        return [read for read in self.dispatcher.take_reads() if isinstance(read, kind)]

    def resolve(self, *outcomes) -> None:
        self.dispatcher.resolve(outcomes, self.now, self.wall)

    def answer(self, read, *messages: Message, next_due_ms: int = 0) -> None:
        self.dispatcher.answer(read, [copy.deepcopy(each) for each in messages], next_due_ms, self.wall)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.wall += int(seconds * 1000)

    def window_used(self, channel: str = "a", key: str = "1") -> int:
        return self.dispatcher.channels[channel].lanes[key].window.in_flight
