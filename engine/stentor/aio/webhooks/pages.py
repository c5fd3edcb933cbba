"""From the journal to deliveries: pages of events with their messages, filtered and rendered."""

from collections.abc import Callable, Sequence
from typing import Protocol

from stentor.aio.journal.reader import Told
from stentor.aio.webhooks.delivering import Content, Deliverer
from stentor.api.events import event_body
from stentor.api.render import encode
from stentor.clock import Clock
from stentor.message import Event, Message
from stentor.webhooks.feed import Delivery, Page, Read


class EventReader(Protocol):
    """Reads of the journal; ``stentor.aio.journal.reader.Reader`` has them."""

    async def told(self, after_seq: int, limit: int, wants: Callable[[Event], bool]) -> Told: ...

    async def messages(self, keys: Sequence[int]) -> list[Message]: ...

    async def event(self, seq: int) -> Event | None: ...

    async def seq_before(self, at_ms: int) -> int: ...

    async def attempts(self, webhook: int) -> list[bytes]: ...


def delivery_of(
    event: Event, message: Message | None, bodies: dict[int, bytes], since_ms: int = 0
) -> Delivery:
    """With its body, rendered once for all who want it; without, if its message is not at hand."""
    since_ms = since_ms or event.at_ms
    if message is None and event.key:
        return Delivery(event, since_ms)
    body = bodies.get(event.seq)
    if body is None:
        body = bodies[event.seq] = encode(event_body(event, message))
    url = message.callback_url if message is not None else None
    return Delivery(event, since_ms, body, url or "")


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

        told = await self._reader.told(page.after_seq, page.limit, wants)
        messages = {message.key: message for message in told.messages}
        since_ms = self._clock.wall_ms() if page.is_replay else 0
        bodies: dict[int, bytes] = {}
        deliveries = [
            delivery_of(event, messages.get(event.key), bodies, since_ms)
            for event in told.events
            if (not event.key or event.key in messages)
            and endpoint.filter.concerns(event, messages.get(event.key))
        ]
        if page.is_replay:
            for delivery in deliveries:
                delivery.is_replay = True
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
        again = delivery_of(event, message, {})
        assert again.body is not None, "its message is at hand"
        return again.url, again.body
