"""What the API reads: the committed journal, with what memory knows better laid over it."""

from typing import Final

import msgspec

from stentor.aio.journal.queries import AGES_S
from stentor.aio.journal.reader import Reader
from stentor.api.engine import Search
from stentor.dispatch import overview
from stentor.dispatch.dispatcher import Dispatcher
from stentor.dispatch.snapshot import QueueShape
from stentor.journal.records import History, Idempotency
from stentor.message import Event, Message, Status

SHAPE_ROWS: Final = 1_000_000
"""Queued messages that one look at the queue goes through, at most: some seconds of the reader's time."""


class JournalLibrary:
    """Reads through one read-only connection; the writer never notices."""

    def __init__(self, reader: Reader, dispatcher: Dispatcher) -> None:
        self._reader = reader
        self._open = dispatcher.backlog.open
        self._held = dispatcher.settler.holding.held
        self._flights = dispatcher.settler.flights

    def _overlay(self, message: Message) -> Message:
        """Being with a driver is not journalled for messages that may be repeated: memory alone knows it."""
        live = self._open.get(message.key)
        if live is not None and live.status is Status.SENDING and message.status is Status.QUEUED:
            message.status = Status.SENDING
            message.channel = live.channel
        return message

    async def message(self, key: int) -> Message | None:
        found = await self._reader.message(key)
        return None if found is None else self._overlay(found)

    async def search(self, search: Search) -> list[Message]:
        if search.status is Status.SENDING:
            return self._sending(search)
        found: list[Message] = []
        wanted = search
        while True:
            stored = await self._reader.search(wanted)
            found += [
                message
                for message in map(self._overlay, stored)
                if search.status is None or message.status is search.status
            ]
            if len(found) >= search.limit or len(stored) < wanted.limit:
                return found
            # Some of the queued are with a driver by now; there are no more of these than windows allow.
            rest = search.limit - len(found)
            wanted = msgspec.structs.replace(search, before_key=stored[-1].key, limit=rest)

    def _sending(self, search: Search) -> list[Message]:
        """Messages that are with a driver now, or in doubt: all of them are in memory, and few."""
        found = [
            message
            for message in (*self._open.values(), *self._held.values())
            if message.status is Status.SENDING and _passes(search, message)
        ]
        found.sort(key=lambda message: message.key, reverse=True)
        return found[: search.limit]

    async def queue_shape(self, now_ms: int) -> QueueShape:
        """The queue by calling code and age, as the journal has it."""
        counts, is_whole = await self._reader.shape(now_ms, SHAPE_ROWS)
        return overview.queue_shape(counts, AGES_S, is_whole=is_whole)

    async def batch_counts(self, account: str, batch: str) -> dict[tuple[Status, bool], int]:
        """Messages of a batch by status and whether they are held."""
        counts = await self._reader.batch_counts(account, batch)
        queued = Status.QUEUED, False
        sending = {
            message.key
            for _, message, _, _ in self._flights.values()
            if message.batch == batch and message.account == account
        }
        if sending and counts.get(queued):
            moved = min(len(sending), counts[queued])
            counts[queued] -= moved
            counts[Status.SENDING, False] = counts.get((Status.SENDING, False), 0) + moved
        return counts

    async def history(self, key: int) -> list[History]:
        return await self._reader.history(key)

    async def events(
        self, after_seq: int, limit: int, account: str
    ) -> list[tuple[Event, Message | bytes | None]]:
        """Events with their messages, most of these as the text that shows them in the status the event told of."""
        found: list[tuple[Event, Message | bytes | None]] = []
        is_end = False
        while not is_end and len(found) < limit:
            told = await self._reader.told(
                after_seq, limit - len(found), lambda event: event.account in (account, ""), as_text=True
            )
            found += told.pairs
            after_seq, is_end = told.last_seq, told.is_end
        return found

    async def idempotency(self, account: str, key: str, first_line: int, limit: int) -> list[Idempotency]:
        return await self._reader.idempotency(account, key, first_line, limit)


def _passes(search: Search, message: Message) -> bool:
    """The filters of a search, but for that of status, applied to a message in memory."""
    return (
        message.account == search.account
        and search.to in (None, message.to)
        and search.originator in (None, message.originator)
        and search.ref in (None, message.ref)
        and search.channel in (None, message.channel)
        and search.direction in (None, message.direction)
        and (search.since_ms is None or message.submitted_at_ms >= search.since_ms)
        and (search.until_ms is None or message.submitted_at_ms < search.until_ms)
        and (search.before_key is None or message.key < search.before_key)
    )
