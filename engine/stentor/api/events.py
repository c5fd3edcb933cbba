"""``GET /v1/events``: committed events as Server-Sent Events, from now on or after ``Last-Event-ID``.

An event's id is its seq, so a reader that comes back misses nothing and sees nothing twice. A subscriber
first reads what the journal has, page by page, and goes over to what commits tell once there is no more; what
is committed during the last read is kept aside for it. One that does not take what it is sent is dropped by
the connection, at ``OUTPUT_LIMIT``: it comes back with the last id it saw.

Sending goes first: while commits tell more than a small share of the loop's time can pass on, subscribers are left
behind and read on together, a page of the journal for all of an account, as fast as that share allows; or as fast as
they can while the loop has nothing else to do.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, Literal, cast

import msgspec

from stentor.aio.server.exchange import Exchange
from stentor.api.call import Call, Tasks, give, refusal_answer
from stentor.api.engine import Engine
from stentor.api.render import MessageBody, Time, encode, message_body, time_text
from stentor.errors import JournalError, Refusal
from stentor.message import EVENT_WORDS, STATUS_OF_EVENT, Event, EventKind, Message
from stentor.wire.sse import CONTENT_TYPE, KEEP_ALIVE, encode_event

KEEP_ALIVE_S: Final = 15.0
OUTPUT_LIMIT: Final = 4 * 1024 * 1024
"""Octets a subscriber may leave untaken: some 6,000 events."""
_PAGE: Final = 500
_ASIDE: Final = 5_000
"""Events kept aside during one read of the journal; when there are more, it is read once more."""

_SHARE: Final = 0.025
"""Of the loop's time, for all subscribers together while it is busy."""
_DEBT_S: Final = 0.01
"""Time spent beyond the share at which subscribers are left behind."""
_BREATH_S: Final = 0.002
_PAUSE_S: Final = 0.05
_LATE_S: Final = 0.003
"""A timer that comes so late says that the loop is busy."""
_RENDERING: Final = 9
"""What rendering an event costs, in events given out."""
_SENT_A_ROUND: Final = 10_000
"""Events given out in one go, all subscribers together: a few milliseconds."""

LAST_EVENT_ID: Final = "last-event-id"
_FIELDS: Final = (("Cache-Control", "no-cache"), ("X-Accel-Buffering", "no"))

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
    body = message_body(message, STATUS_OF_EVENT[event.kind])
    return EventBody(str(event.seq), word, time_text(event.at_ms), body)


def event_text(event: Event, message: Message | bytes | None) -> bytes:
    """An event's JSON. ``message`` may be the text of it already, in the status the event tells of."""
    if type(message) is bytes:
        return b'{"id":"%d",%b%b}' % (event.seq, _middle(event.kind, event.at_ms), message)
    return encode(event_body(event, cast(Message | None, message)))


# Events of one commit have their time in common.
@lru_cache(maxsize=1024)
def _middle(kind: EventKind, at_ms: int) -> bytes:
    return f'"type":"{EVENT_WORDS[kind]}","at":"{time_text(at_ms)}","message":'.encode()


def event_octets(event: Event, message: Message | bytes | None) -> bytes:
    """An event as a subscriber reads it."""
    return encode_event(event_text(event, message), EVENT_WORDS[event.kind], str(event.seq))


def parse_last_id(text: str) -> int:
    """The seq to go on after. Raises Refusal (400)."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        detail = "not an event's id; send the last one that was received"
        raise Refusal("bad_last_event_id", detail, f"$.headers.{LAST_EVENT_ID}", 400)
    return int(text)


def _is_gone(event: Event, message: Message | bytes | None) -> bool:
    """Whether the event's message cannot be shown any more."""
    return message is None and event.key != 0


class _Pace:
    """How much of the loop's time was spent beyond the share. Times are monotonic seconds."""

    __slots__ = ("_at", "debt_s")

    def __init__(self) -> None:
        self.debt_s = 0.0
        self._at = 0.0

    def spend(self, began: float, now: float) -> None:
        paid_s = (now - self._at) * _SHARE
        self.debt_s = max(0.0, self.debt_s - paid_s) + now - began
        self._at = now

    def is_over(self, now: float) -> bool:
        return self.debt_s - (now - self._at) * _SHARE > _DEBT_S

    async def breathe(self, now: Callable[[], float]) -> None:
        """Let others work: briefly, and while they have much to do until the debt is paid."""
        while True:
            began = now()
            await asyncio.sleep(_BREATH_S)
            ended = now()
            if ended - began <= _BREATH_S + _LATE_S or (ended - self._at) * _SHARE >= self.debt_s:
                return
            await asyncio.sleep(_PAUSE_S)


class EventResource:
    """All subscribers. Watches the engine while there are any; renders an event once for an account."""

    __slots__ = (
        "_engine",
        "_is_serving",
        "_later",
        "_pace",
        "_stop_watching",
        "_subscribers",
        "_tasks",
        "_timer",
    )

    def __init__(self, engine: Engine, tasks: Tasks, later: Later) -> None:
        self._engine = engine
        self._tasks = tasks
        self._later = later
        self._subscribers: dict[_Subscriber, None] = {}
        self._stop_watching: Callable[[], None] | None = None
        self._timer = False
        self._pace = _Pace()
        self._is_serving = False

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
        subscriber = _Subscriber(self._engine, self._tasks, exchange, call.account, position, self._go_on)

        def forget() -> None:
            self._forget(subscriber)

        def drain() -> None:
            forget()
            exchange.end()

        exchange.on_close = forget
        exchange.on_drain = drain
        exchange.on_writable = lambda: self._go_on(subscriber)
        self._subscribers[subscriber] = None
        if self._stop_watching is None:
            self._stop_watching = self._engine.watch(self._tell)
        if not self._timer:
            self._timer = True
            self._later(KEEP_ALIVE_S, self._keep_alive)
        if after is None:
            subscriber.is_live = True
        else:
            subscriber.is_left = newest - position > 2 * _PAGE
            self._go_on(subscriber)

    def _go_on(self, subscriber: "_Subscriber") -> None:
        """It is behind, or may be."""
        if not subscriber.is_left:
            subscriber.catch_up()
        elif not self._is_serving:
            self._is_serving = True
            self._tasks.run("serve those behind", subscriber.exchange, self._serve(), is_streamed=True)

    def _forget(self, subscriber: "_Subscriber") -> None:
        self._subscribers.pop(subscriber, None)
        subscriber.is_gone = True
        if not self._subscribers and self._stop_watching is not None:
            self._stop_watching()
            self._stop_watching = None

    def _tell(self, told: Sequence[tuple[Event, Message | None]]) -> None:
        """Hand committed events to the subscribers they concern, rendered once for each account."""
        hearing = [subscriber for subscriber in self._subscribers if subscriber.hears]
        began = self._engine.clock.now()
        if not hearing:
            return
        is_much = len(told) * (len(hearing) + _RENDERING) > 2 * _SENT_A_ROUND
        if is_much or self._pace.is_over(began):
            for subscriber in hearing:
                subscriber.is_left = True
                subscriber.reread()
            self._go_on(hearing[0])
            return
        self._hand_out(told)
        self._pace.spend(began, self._engine.clock.now())

    def _hand_out(self, told: Sequence[tuple[Event, Message | None]]) -> None:
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

    # -- those behind -----------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        """Read on for all that were left behind, as long as one of them takes what it is sent."""
        now = self._engine.clock.now
        try:
            while behind := [one for one in self._subscribers if one.is_left and one.exchange.is_writable]:
                first = min(behind, key=lambda one: one.position)
                mates = [one for one in behind if one.account == first.account]
                await self._serve_page(first, mates)
                await self._pace.breathe(now)
        finally:
            self._is_serving = False

    async def _serve_page(self, first: "_Subscriber", mates: Sequence["_Subscriber"]) -> None:
        """One page after the position of the first, for all whose position it reaches."""
        after, limit = first.position, max(20, min(_PAGE, _SENT_A_ROUND // len(mates)))
        try:
            found = await self._engine.library.events(after, limit, first.account)
        except JournalError:
            # They come back with the last id they saw, when there may be a journal to read.
            for one in mates:
                one.exchange.drop()
            return
        began = self._engine.clock.now()
        last_seq = found[-1][0].seq if found else after
        shown = [
            (event.seq, event_octets(event, message))
            for event, message in found
            if not _is_gone(event, message)
        ]
        whole = b"".join([octets for _, octets in shown])
        for one in mates:
            if one.is_gone or not after <= one.position <= last_seq:
                continue
            if one.position == after and whole:
                one.send_page(whole, last_seq)
            elif shown:
                one.take_page(shown, last_seq)
            if len(found) < limit:
                # Near the end each goes over to what commits tell by itself.
                one.is_left = False
                one.catch_up()
        self._pace.spend(began, self._engine.clock.now())

    def _keep_alive(self) -> None:
        self._timer = bool(self._subscribers)
        if not self._timer:
            return
        for subscriber in tuple(self._subscribers):
            subscriber.keep_alive()
        self._later(KEEP_ALIVE_S, self._keep_alive)


class _Subscriber:
    """One reader. ``position`` is the seq up to which everything that concerns it was sent. ``is_left``: it is behind
    and reads on with all the others that are; ``left`` is called when it becomes so by itself."""

    __slots__ = (
        "_aside",
        "_engine",
        "_is_quiet",
        "_is_reading",
        "_left",
        "_needs_round",
        "_tasks",
        "account",
        "exchange",
        "is_gone",
        "is_left",
        "is_live",
        "position",
    )

    def __init__(
        self,
        engine: Engine,
        tasks: Tasks,
        exchange: Exchange,
        account: str,
        position: int,
        left: Callable[["_Subscriber"], None],
    ) -> None:
        self._engine = engine
        self._tasks = tasks
        self.exchange = exchange
        self.account = account
        self.position = position
        self.is_live = False
        self.is_left = False
        self.is_gone = False
        self._left = left
        self._is_reading = False
        self._is_quiet = True
        self._needs_round = False
        self._aside: list[tuple[int, bytes]] = []

    @property
    def hears(self) -> bool:
        """Whether it takes what is committed now."""
        return self.is_live or (self._is_reading and not self._needs_round)

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

    def send_page(self, whole: bytes, last_seq: int) -> None:
        """All that comes after its position, up to ``last_seq``."""
        self._is_quiet = False
        self.exchange.send(whole)
        self.position = last_seq

    def take_page(self, events: Sequence[tuple[int, bytes]], last_seq: int) -> None:
        """The same, of which it may have had the beginning."""
        self._send(events)
        self.position = max(self.position, last_seq)

    def keep_alive(self) -> None:
        if self._is_quiet and self.exchange.is_writable:
            self.exchange.send(KEEP_ALIVE)
        self._is_quiet = True

    def catch_up(self) -> None:
        """Read on, if there is anything to read and the client takes it."""
        if not self.is_live and not self.is_left and not self._is_reading and not self.is_gone:
            self._is_reading = True
            self._tasks.run("catch up with events", self.exchange, self._read(), is_streamed=True)

    def _send(self, events: Sequence[tuple[int, bytes]]) -> None:
        position = self.position
        octets = [text for seq, text in events if seq > position]
        if octets:
            self._is_quiet = False
            self.exchange.send(b"".join(octets))
        self.position = max(position, events[-1][0])

    async def _read(self) -> None:
        try:
            while not (self.is_gone or self.is_live or self.is_left) and self.exchange.is_writable:
                await self._read_round()
        except JournalError:
            # The client comes back with the last id it saw, when there may be a journal to read.
            self.exchange.drop()
        finally:
            self._is_reading = False
            self._aside.clear()
        if self.is_left and not self.is_gone:
            self._left(self)

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
        if len(found) == _PAGE or self.is_gone or self.is_left:
            self.is_left = self.is_left or self._engine.last_seq - self.position > 2 * _PAGE
            return
        self.position = max(self.position, newest)
        if not self._needs_round:
            self.is_live = True
            if self._aside:
                self._send(self._aside)
