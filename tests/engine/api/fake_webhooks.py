"""Webhooks at work over a journal and a receiver in memory."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from stentor.aio.journal.reader import Told
from stentor.aio.webhooks.delivering import Done, Write
from stentor.aio.webhooks.subscribers import Webhooks
from stentor.api.engine import Watcher
from stentor.message import Event, Message
from stentor.testing.host import MemoryLog
from stentor.webhooks.endpoint import EndpointLimits
from stentor.webhooks.records import WebhookRecords
from stentor.webhooks.subscription import Webhook
from stentor.wire.asking import URL
from stentor.wire.calls import HTTPFailure, HTTPReply, HTTPRequest
from tests.engine.api.fake_engine import FakeEngine
from tests.support.shown import shown


class MemoryJournal:
    """Keeper and reader: what was told is what can be read."""

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine
        self.records = WebhookRecords()
        self.disabled_ones: list[Webhook] = []

    @property
    def last_seq(self) -> int:
        return self._engine.last_seq

    def kept(self, done: Callable[[], None] | None) -> None:
        if done is not None:
            asyncio.get_running_loop().call_soon(done)

    def disabled(self, webhook: Webhook, wall_ms: int) -> None:
        self.disabled_ones.append(webhook)

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        return self._engine.watch(watcher)

    async def told(
        self, after_seq: int, limit: int, wants: Callable[[Event], bool], *, as_text: bool = False
    ) -> Told:
        after = [event for event, _ in self._engine.library.told if event.seq > after_seq]
        found = [event for event in after if wants(event)][:limit]
        messages = await self.messages([event.key for event in found])
        is_end = len(found) < limit
        last_seq = max([event.seq for event in (after if is_end else found)], default=after_seq)
        by_key = {message.key: message for message in messages}
        pairs = [(event, by_key.get(event.key)) for event in found]
        return Told(shown(pairs, as_text=as_text), last_seq, is_end)

    async def messages(self, keys: Sequence[int]) -> list[Message]:
        stored = self._engine.library.messages
        return [stored[key] for key in keys if key in stored]

    async def event(self, seq: int) -> Event | None:
        return next((event for event, _ in self._engine.library.told if event.seq == seq), None)

    async def seq_before(self, at_ms: int) -> int:
        return next(
            (event.seq - 1 for event, _ in self._engine.library.told if event.at_ms >= at_ms), self.last_seq
        )

    async def attempts(self, webhook: int) -> list[tuple[int, bytes]]:
        blocks = [block for key, block in self.records.attempts.items() if key[0] == webhook]
        return sorted(((block.last_attempt, block.octets) for block in blocks), reverse=True)


class MemoryReceiver:
    """Answers what it is told to, 200 otherwise; ``hold`` keeps it from answering until it is set."""

    def __init__(self) -> None:
        self.requests: list[HTTPRequest] = []
        self.replies: list[HTTPReply | HTTPFailure] = []
        self.hold = asyncio.Event()
        self.hold.set()

    async def send(self, request: HTTPRequest) -> HTTPReply | HTTPFailure:
        self.requests.append(request)
        await self.hold.wait()
        return self.replies.pop(0) if self.replies else HTTPReply(200, {}, b"thanks", 0.0, "192.0.2.1:443")

    def beginning(self, method: str, fields: Sequence[tuple[str, str]], url: URL) -> bytes:
        return b""

    def seize(self, url: URL, done: Done) -> Write | None:
        return None


def webhooks(engine: FakeEngine, spawn: Callable[[str, Any], asyncio.Task[None]]) -> Webhooks:
    """Of an engine in memory."""
    journal = MemoryJournal(engine)
    limits = EndpointLimits(concurrency=2)
    return Webhooks(
        journal,
        journal,
        MemoryReceiver(),
        engine.clock,
        engine.ids,
        MemoryLog(),
        lambda: 0.5,
        spawn,
        limits,
    )
