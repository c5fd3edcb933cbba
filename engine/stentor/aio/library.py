"""What the API reads: the committed journal, with what memory knows better laid over it."""

from stentor.aio.reader import Reader
from stentor.api.engine import Search
from stentor.dispatch import Dispatcher
from stentor.message import Event, Message, Status
from stentor.records import History, Idempotency


class JournalLibrary:
    """Reads through one read-only connection; the writer never notices."""

    def __init__(self, reader: Reader, dispatcher: Dispatcher) -> None:
        self._reader = reader
        self._open = dispatcher.backlog.open

    def _overlay(self, message: Message) -> Message:
        """Being with a driver is not journalled for messages that may be repeated: memory alone knows it."""
        live = self._open.get(message.key)
        if live is not None and live.status is Status.SENDING and message.status is Status.QUEUED:
            message.status = Status.SENDING
            message.channel = live.channel
        elif live is not None and not message.channel:
            message.channel = live.channel
        return message

    async def message(self, key: int) -> Message | None:
        found = await self._reader.message(key)
        return None if found is None else self._overlay(found)

    async def search(self, search: Search) -> list[Message]:
        return [self._overlay(message) for message in await self._reader.search(search)]

    async def history(self, key: int) -> list[History]:
        return await self._reader.history(key)

    async def events(self, after_seq: int, limit: int, account: str) -> list[tuple[Event, Message | None]]:
        """Events with their messages, shown in the status the event told of."""
        events = await self._reader.events(after_seq, limit, account)
        messages = await self._reader.messages(sorted({event.key for event in events if event.key}))
        by_key = {message.key: message for message in messages}
        return [(event, by_key.get(event.key)) for event in events]

    async def idempotency(self, account: str, key: str, first_line: int, limit: int) -> list[Idempotency]:
        return await self._reader.idempotency(account, key, first_line, limit)
