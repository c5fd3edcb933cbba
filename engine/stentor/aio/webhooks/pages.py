"""From the journal to deliveries: pages of events with their messages, filtered and rendered; and pages of the log."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol, cast

from stentor.aio.journal.reader import Told
from stentor.aio.webhooks.delivering import Content, Deliverer
from stentor.api.events import event_text
from stentor.clock import Clock
from stentor.message import Event, Message
from stentor.webhooks.attempts import KEPT_MS, Attempt, Wanted, parse_block
from stentor.webhooks.feed import Delivery, Page, Read
from stentor.webhooks.subscription import Filter


class EventReader(Protocol):
    """Reads of the journal; ``stentor.aio.journal.reader.Reader`` has them."""

    async def told(
        self, after_seq: int, limit: int, wants: Callable[[Event], bool], *, as_text: bool = False
    ) -> Told: ...

    async def messages(self, keys: Sequence[int]) -> list[Message]: ...

    async def event(self, seq: int) -> Event | None: ...

    async def seq_before(self, at_ms: int) -> int: ...

    async def attempts(self, webhook: int) -> list[tuple[int, bytes]]: ...


def delivery_of(event: Event, message: Message | None, bodies: dict[int, bytes], filter: Filter) -> Delivery:
    """With its body, rendered once for all who want it; without, if its message is not at hand."""
    if message is None and event.key:
        return Delivery(event, event.at_ms)
    body = bodies.get(event.seq)
    if body is None:
        body = bodies[event.seq] = event_text(event, message)
    return Delivery(event, event.at_ms, body, filter.url(message))


def _found(event: Event, message: Message | bytes | None, filter: Filter) -> Delivery | None:
    """Of an event in the journal; None if its message is gone or it does not concern the webhook after all."""
    if type(message) is bytes:
        return Delivery(event, event.at_ms, event_text(event, message))
    message = cast(Message | None, message)
    if (message is None and event.key) or not filter.concerns(event, message):
        return None
    return delivery_of(event, message, {}, filter)


class Pages:
    """Reads what webhooks were not told when it happened. Raises JournalError."""

    def __init__(self, reader: EventReader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock

    async def read(self, one: Deliverer, page: Page) -> Read:
        endpoint = one.endpoint
        account = endpoint.webhook.account

        def wants(event: Event) -> bool:
            return (
                (event.account == account or not event.account)
                and page.has(event)
                and endpoint.filter.may_concern(event)
            )

        filter = endpoint.filter
        told = await self._reader.told(page.after_seq, page.limit, wants, as_text=not filter.needs_message)
        found = [_found(event, message, filter) for event, message in told.pairs]
        deliveries = [delivery for delivery in found if delivery is not None]
        if page.is_replay:
            since_ms = self._clock.wall_ms()
            for delivery in deliveries:
                delivery.since_ms, delivery.is_replay = since_ms, True
        return Read(deliveries, told.last_seq, told.is_end or told.last_seq >= page.end_seq)

    async def content(self, one: Deliverer, delivery: Delivery) -> Content | None:
        """What a delivery says now that was not kept in memory."""
        event = delivery.event
        message = None
        if event.key:
            found = await self._reader.messages((event.key,))
            if not found:
                return None
            message = found[0]
        again = delivery_of(event, message, {}, one.endpoint.filter)
        assert again.body is not None, "its message is at hand"
        return again.url, again.body

    async def attempts(self, webhook: int, wanted: Wanted) -> list[Attempt]:
        """Attempts, newest first: ``wanted.limit`` of them, and more if it came so."""
        since_ms = self._clock.wall_ms() - KEPT_MS
        found: list[Attempt] = []
        for last_attempt, block in await self._reader.attempts(webhook):
            # Neither this block nor one behind it has an attempt newer than its last.
            if sum(attempt.number > last_attempt for attempt in found) >= wanted.limit:
                break
            found += [each for each in parse_block(block) if each.at_ms >= since_ms and wanted.has(each)]
            await asyncio.sleep(0)  # a log may be of 16,000
        return sorted(found, key=lambda attempt: attempt.number, reverse=True)
