"""``GET /v1/events``: committed events as Server-Sent Events, from now on or after ``Last-Event-ID``.

An event's id is its seq, so a reader that comes back misses nothing and sees nothing twice. A subscriber
first reads what the journal has, page by page, and goes over to what commits tell once there is no more; what
is committed during the last read is kept aside for it. One that does not take what it is sent is dropped by
the connection, at ``OUTPUT_LIMIT``: it comes back with the last id it saw.
"""

from collections.abc import Callable, Sequence
from typing import Final, Literal, cast

import msgspec

from stentor.aio.exchange import Exchange
from stentor.api.call import Call, Tasks, give, refusal_answer
from stentor.api.engine import Engine
from stentor.api.render import MessageBody, Time, encode, message_body, time_text
from stentor.errors import JournalError, Refusal
from stentor.message import EVENT_OF_STATUS, EVENT_WORDS, Event, EventKind, Message
from stentor.wire.sse import CONTENT_TYPE, KEEP_ALIVE, encode_event

KEEP_ALIVE_S: Final = 15.0
OUTPUT_LIMIT: Final = 4 * 1024 * 1024
"""Octets a subscriber may leave untaken: some 6,000 events."""
_PAGE: Final = 500
_ASIDE: Final = 5_000
"""Events kept aside during one read of the journal; when there are more, it is read once more."""

LAST_EVENT_ID: Final = "last-event-id"
_FIELDS: Final = (("Cache-Control", "no-cache"), ("X-Accel-Buffering", "no"))
_STATUS_OF_EVENT: Final = {kind: status for status, kind in EVENT_OF_STATUS.items()}

Later = Callable[[float, Callable[[], None]], object]
"""Calls back after some seconds, like a loop's ``call_later``."""

EventWord = Literal[
    "message.queued",
    "message.sent",
    "message.delivered",
    "message.undelivered",
    "message.rejected",
    "message.failed",
    "message.expired",
    "message.cancelled",
    "message.unknown",
    "message.received",
    "channel.up",
    "channel.down",
    "webhook.disabled",
    "webhook.test",
]


class ChannelEventBody(msgspec.Struct, frozen=True):
    """The channel an event tells of, and why."""

    name: str
    detail: str


class WebhookEventBody(msgspec.Struct, frozen=True):
    """The webhook an event tells of, and why."""

    id: str
    detail: str


class EventBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event. ``message`` has the status it tells of, and all else as it is when the event is told."""

    id: str
    type: EventWord
    at: Time
    message: MessageBody | None = None
    channel: ChannelEventBody | None = None
    webhook: WebhookEventBody | None = None


def event_body(event: Event, message: Message | None) -> EventBody:
    """``message`` is the event's, None for an event of a channel or a webhook."""
    word = cast(EventWord, EVENT_WORDS[event.kind])
    if event.kind is EventKind.WEBHOOK_DISABLED:
        webhook = WebhookEventBody(event.channel, event.detail)
        return EventBody(str(event.seq), word, time_text(event.at_ms), webhook=webhook)
    if message is None:
        channel = ChannelEventBody(event.channel, event.detail)
        return EventBody(str(event.seq), word, time_text(event.at_ms), channel=channel)
    body = message_body(message, _STATUS_OF_EVENT[event.kind])
    return EventBody(str(event.seq), word, time_text(event.at_ms), body)


def event_octets(event: Event, message: Message | None) -> bytes:
    """An event as a subscriber reads it."""
    return encode_event(encode(event_body(event, message)), EVENT_WORDS[event.kind], str(event.seq))


def parse_last_id(text: str) -> int:
    """The seq to go on after. Raises Refusal (400)."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        detail = "not an event's id; send the last one that was received"
        raise Refusal("bad_last_event_id", detail, f"$.headers.{LAST_EVENT_ID}", 400)
    return int(text)


def _is_gone(event: Event, message: Message | None) -> bool:
    """Whether the event's message cannot be shown any more."""
    return message is None and event.key != 0


class EventResource:
    """All subscribers. Watches the engine while there are any; renders an event once for an account."""

    __slots__ = ("_engine", "_later", "_stop_watching", "_subscribers", "_tasks", "_timer")

    def __init__(self, engine: Engine, tasks: Tasks, later: Later) -> None:
        self._engine = engine
        self._tasks = tasks
        self._later = later
        self._subscribers: dict[_Subscriber, None] = {}
        self._stop_watching: Callable[[], None] | None = None
        self._timer = False

    def __len__(self) -> int:
        return len(self._subscribers)

    def handle(self, exchange: Exchange, call: Call) -> None:
        after = exchange.head.headers.get(LAST_EVENT_ID)
        try:
            newest = self._engine.last_seq
            position = newest if after is None else min(newest, parse_last_id(after))
        except Refusal as error:
            give(exchange, refusal_answer(error))
            return
        exchange.start(200, CONTENT_TYPE, _FIELDS)
        exchange.send(KEEP_ALIVE)
        subscriber = _Subscriber(self._engine, self._tasks, exchange, call.account, position)

        def forget() -> None:
            self._forget(subscriber)

        def drain() -> None:
            forget()
            exchange.end()

        exchange.on_close = forget
        exchange.on_drain = drain
        exchange.on_writable = subscriber.catch_up
        self._subscribers[subscriber] = None
        if self._stop_watching is None:
            self._stop_watching = self._engine.watch(self._tell)
        if not self._timer:
            self._timer = True
            self._later(KEEP_ALIVE_S, self._keep_alive)
        if after is None:
            subscriber.is_live = True
        else:
            subscriber.catch_up()

    def _forget(self, subscriber: "_Subscriber") -> None:
        self._subscribers.pop(subscriber, None)
        subscriber.is_gone = True
        if not self._subscribers and self._stop_watching is not None:
            self._stop_watching()
            self._stop_watching = None

    def _tell(self, told: Sequence[tuple[Event, Message | None]]) -> None:
        """Hand committed events to the subscribers they concern, rendered once for each account."""
        by_account: dict[str, list[tuple[int, bytes]]] = {}
        missing: dict[str, int] = {}
        accounts = {subscriber.account for subscriber in self._subscribers}
        for event, message in told:
            concerned = (event.account,) if event.account else tuple(accounts)
            for account in concerned:
                if account not in accounts:
                    continue
                if _is_gone(event, message):
                    missing.setdefault(account, event.seq)
                    continue
                by_account.setdefault(account, []).append((event.seq, event_octets(event, message)))
        for subscriber in tuple(self._subscribers):
            account = subscriber.account
            if account in missing:
                subscriber.reread()
            elif account in by_account:
                subscriber.take(by_account[account])

    def _keep_alive(self) -> None:
        self._timer = bool(self._subscribers)
        if not self._timer:
            return
        for subscriber in tuple(self._subscribers):
            subscriber.keep_alive()
        self._later(KEEP_ALIVE_S, self._keep_alive)


class _Subscriber:
    """One reader. ``position`` is the seq up to which everything that concerns it was sent."""

    __slots__ = (
        "_aside",
        "_engine",
        "_exchange",
        "_is_quiet",
        "_is_reading",
        "_needs_round",
        "_tasks",
        "account",
        "is_gone",
        "is_live",
        "position",
    )

    def __init__(self, engine: Engine, tasks: Tasks, exchange: Exchange, account: str, position: int) -> None:
        self._engine = engine
        self._tasks = tasks
        self._exchange = exchange
        self.account = account
        self.position = position
        self.is_live = False
        self.is_gone = False
        self._is_reading = False
        self._is_quiet = True
        self._needs_round = False
        self._aside: list[tuple[int, bytes]] = []

    def take(self, events: Sequence[tuple[int, bytes]]) -> None:
        """Committed events, in order: sent now, or kept aside until what comes before them was read."""
        if self.is_live:
            self._send(events)
        elif self._is_reading and not self._needs_round:
            self._aside += events
            if len(self._aside) > _ASIDE:
                self._aside.clear()
                self._needs_round = True

    def reread(self) -> None:
        """Something was committed that can only be told by reading it."""
        self.is_live = False
        self._needs_round = True
        self._aside.clear()
        self.catch_up()

    def keep_alive(self) -> None:
        if self._is_quiet and self._exchange.is_writable:
            self._exchange.send(KEEP_ALIVE)
        self._is_quiet = True

    def catch_up(self) -> None:
        """Read on, if there is anything to read and the client takes it."""
        if not self.is_live and not self._is_reading and not self.is_gone:
            self._is_reading = True
            self._tasks.run("catch up with events", self._exchange, self._read(), is_streamed=True)

    def _send(self, events: Sequence[tuple[int, bytes]]) -> None:
        position = self.position
        octets = [text for seq, text in events if seq > position]
        if octets:
            self._is_quiet = False
            self._exchange.send(b"".join(octets))
        self.position = max(position, events[-1][0])

    async def _read(self) -> None:
        try:
            while not self.is_gone and not self.is_live and self._exchange.is_writable:
                await self._read_round()
        except JournalError:
            # The client comes back with the last id it saw, when there may be a journal to read.
            self._exchange.drop()
        finally:
            self._is_reading = False
            self._aside.clear()

    async def _read_round(self) -> None:
        self._needs_round = False
        self._aside.clear()
        newest = self._engine.last_seq
        found = await self._engine.library.events(self.position, _PAGE, self.account)
        shown = [
            (event.seq, event_octets(event, message))
            for event, message in found
            if not _is_gone(event, message)
        ]
        if shown:
            self._send(shown)
        self.position = max(self.position, found[-1][0].seq if found else 0)
        if len(found) == _PAGE or self.is_gone:
            return
        self.position = max(self.position, newest)
        if not self._needs_round:
            self.is_live = True
            if self._aside:
                self._send(self._aside)
