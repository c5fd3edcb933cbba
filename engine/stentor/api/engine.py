"""What the API needs of the engine behind it. The pump provides it; tests provide a small one of their own."""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from stentor.clock import Clock
from stentor.errors import JournalError
from stentor.ids import IdGenerator
from stentor.message import Direction, Event, Message, Status
from stentor.records import History, Idempotency
from stentor.snapshot import BatchSnapshot, ChannelSnapshot, EngineSnapshot, QueueShape

Accepted = Callable[[JournalError | None], None]
"""Called once: with None after the commit, or with the reason why nothing was stored."""

Watcher = Callable[[Sequence[tuple[Event, Message | None]]], None]
"""Called after each commit with its events, in order; messages must be rendered before it returns, they change."""


class Search(msgspec.Struct, frozen=True):
    """Filters of a listing, newest first. ``before_key`` is the cursor: only messages with a smaller key."""

    account: str
    status: Status | None = None
    to: str | None = None
    originator: str | None = None
    ref: str | None = None
    channel: str | None = None
    direction: Direction | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    before_key: int | None = None
    limit: int = 100


class Library(Protocol):
    """Reads of what is committed, overlaid with what memory knows better (``sending``). None disturbs the writer."""

    async def message(self, key: int) -> Message | None: ...

    async def search(self, search: Search) -> list[Message]: ...

    async def history(self, key: int) -> list[History]: ...

    async def events(
        self, after_seq: int, limit: int, account: str
    ) -> list[tuple[Event, Message | None]]: ...

    async def queue_shape(self, now_ms: int) -> QueueShape:
        """The queue by calling code and age."""

    async def idempotency(self, account: str, key: str, first_line: int, limit: int) -> list[Idempotency]: ...


class Engine(Protocol):
    """The running engine."""

    clock: Clock
    ids: IdGenerator

    @property
    def library(self) -> Library: ...

    def accept(self, messages: Sequence[Message], idempotency: Sequence[Idempotency], done: Accepted) -> None:
        """Store new messages in one transaction and send them. Raises Overloaded when there is no room for them;
        then nothing was stored and ``done`` is not called."""

    def check_in_time(self, message: Message) -> None:
        """Raises Refusal (409) for a message that is due now and would expire before it could leave, as things are."""

    @property
    def is_behind(self) -> bool:
        """True while commits fall behind: streams should stop reading until ``when_caught_up`` calls them."""

    def when_caught_up(self, resume: Callable[[], None]) -> None: ...

    async def cancel(self, message: Message) -> Message:
        """Cancel what has not left; the message as it then is. Refusal with status 409 once it has left."""

    async def hold(self, message: Message) -> Message:
        """Hold back what has not left, until it is released. Refusal with status 409 once it has left."""

    async def release(self, message: Message) -> Message:
        """Let a held message go on. Refusal with status 409 for one that is not held."""

    async def batch(self, account: str, label: str) -> BatchSnapshot:
        """A batch as it is now; without counts if it has no messages."""

    async def pause_batch(self, account: str, label: str) -> BatchSnapshot:
        """Let nothing more of a batch leave; returns once that is durable, while the journal is gone through."""

    async def resume_batch(self, account: str, label: str) -> BatchSnapshot: ...

    async def cancel_batch(self, account: str, label: str) -> BatchSnapshot: ...

    def channels(self) -> Sequence[ChannelSnapshot]: ...

    async def pause(self, channel: str) -> ChannelSnapshot: ...

    async def resume(self, channel: str) -> ChannelSnapshot: ...

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """Subscribe to committed events from now on; returns what ends the subscription."""

    @property
    def last_seq(self) -> int:
        """The newest committed event's seq."""

    def snapshot(self) -> EngineSnapshot: ...

    def metrics(self) -> str:
        """All metrics in Prometheus text format."""

    @property
    def unready(self) -> str | None:
        """Why work cannot be taken now, or None."""
