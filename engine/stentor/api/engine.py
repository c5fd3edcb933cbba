"""What the API needs of the engine behind it. The pump provides it; tests provide a small one of their own."""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from stentor.clock import Clock
from stentor.dispatch.snapshot import (
    BatchSnapshot,
    ChannelSnapshot,
    EngineSnapshot,
    QueueShape,
    WebhookSnapshot,
)
from stentor.errors import JournalError
from stentor.ids import IdGenerator
from stentor.journal.records import History, Idempotency
from stentor.message import Direction, Event, Message, Status
from stentor.webhooks.attempts import Attempt, Wanted
from stentor.webhooks.subscription import Reach, Webhook

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
    ) -> list[tuple[Event, Message | bytes | None]]:
        """Events with their messages, or the text of ``api.render`` for these in the status the event tells of."""

    async def queue_shape(self, now_ms: int) -> QueueShape:
        """The queue by calling code and age."""

    async def idempotency(self, account: str, key: str, first_line: int, limit: int) -> list[Idempotency]: ...


class WebhookDesk(Protocol):
    """All webhooks at work. What changes one returns once that is durable. An account is the caller's to check, except
    where it is asked for."""

    @property
    def reach(self) -> Reach: ...

    def entropy(self, count: int) -> bytes:
        """Random octets, fit for a secret."""

    def all(self, account: str) -> Sequence[Webhook]:
        """Those of an account, oldest first."""

    def find(self, account: str, key: int) -> Webhook | None: ...

    def snapshot(self, key: int) -> WebhookSnapshot: ...

    async def add(self, webhook: Webhook) -> None:
        """It hears of what happens from now on."""

    async def change(self, webhook: Webhook) -> None: ...

    async def remove(self, key: int) -> None: ...

    async def attempts(self, key: int, wanted: Wanted) -> list[Attempt]:
        """Those of the log, newest first; more than the limit if it comes so."""

    async def test(self, key: int) -> Attempt:
        """Send a test event now, whatever state it is in, and once."""

    async def replay(self, key: int, since_ms: int, until_ms: int) -> None:
        """Deliver the events of a time once more, as far as they are kept."""

    async def deliver_again(self, key: int, seq: int) -> None:
        """Deliver one event once more. Raises Refusal: 404 if it is not kept or not the account's, 409 while too many
        wait."""

    def callback(self, account: str, url: str) -> str:
        """The address a message names, checked and ready to be told of its events. Raises Refusal."""


class Engine(Protocol):
    """The running engine."""

    clock: Clock
    ids: IdGenerator

    @property
    def library(self) -> Library: ...

    @property
    def webhooks(self) -> WebhookDesk: ...

    def accept(
        self,
        messages: Sequence[Message],
        idempotency: Sequence[Idempotency],
        done: Accepted,
        *,
        is_patient: bool = False,
    ) -> None:
        """Store new messages in one transaction and send them. Raises Overloaded when there is no room for them;
        then nothing was stored and ``done`` is not called. Those of a patient client may wait some milliseconds for
        others where their channels have the time."""

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
