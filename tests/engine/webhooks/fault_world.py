"""Webhooks among faults, all drawn from one seed: commits that fail, crashes, clocks that jump, receivers that do not.

The whole of ``stentor.aio.webhooks.subscribers`` runs on a virtual loop, between a journal in memory and receivers
that hold it to what engine/WEBHOOKS.md promises. A world raises AssertionError at the moment something is broken.
"""

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import msgspec

from stentor.aio.journal.reader import Told
from stentor.aio.webhooks.delivering import Done, Write
from stentor.aio.webhooks.subscribers import Webhooks
from stentor.api.engine import Watcher
from stentor.ids import IdGenerator
from stentor.message import Event, EventKind, Message
from stentor.testing.host import MemoryLog
from stentor.testing.vloop import VirtualLoop
from stentor.text.segments import Encoding
from stentor.webhooks.endpoint import EndpointLimits
from stentor.webhooks.records import Progress, Waiting, WebhookRecords, WebhookRecovery
from stentor.webhooks.subscription import Webhook
from stentor.wire.asking import URL
from stentor.wire.calls import FailureKind, HTTPFailure, HTTPReply, HTTPRequest
from tests.support.shown import shown

WALL_MS = 1_800_000_000_000
LIMITS = EndpointLimits(concurrency=3, window=8, waiting=5)
LIFE = (EventKind.QUEUED, EventKind.SENT, EventKind.DELIVERED)
MESSAGES = 40
SENDING_S = 240.0
FAULTS_S = 1200.0
LONGEST_S = 48 * 3600.0
HOOKS = {256: "https://first.example/", 512: "https://second.example/"}


class Kept(msgspec.Struct):
    """What is on the disk: all that a crash leaves."""

    events: list[tuple[Event, Message]] = []
    progress: dict[int, Progress] = {}
    waiting: dict[tuple[int, int], Waiting] = {}


class Clock:
    """Virtual time, and a wall clock that may be set."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.offset_ms = 0

    def now(self) -> float:
        return self._loop.time()

    def wall_ms(self) -> int:
        return WALL_MS + round(self._loop.time() * 1000) + self.offset_ms


class Journal:
    """Keeper and reader of one life of the daemon. Commits take time and fail; what failed is in the next."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.records = WebhookRecords()
        self.last_seq = world.kept.events[-1][0].seq if world.kept.events else 0
        self.is_dead = False
        self._told: list[tuple[Event, Message]] = []
        self._done: list[Callable[[], None]] = []
        self._watchers: list[Watcher] = []
        self._is_writing = False

    def tell(self, event: Event, message: Message) -> None:
        self._told.append((event, message))
        self._begin()

    def kept(self, done: Callable[[], None] | None) -> None:
        self._done += [done] if done is not None else []
        self._begin()

    def _begin(self) -> None:
        if self._is_writing or self.is_dead:
            return
        self._is_writing = True
        writing = self.records, self._told, self._done
        self.records, self._told, self._done = WebhookRecords(), [], []
        self._world.loop.call_later(self._world.random.uniform(0.001, 0.2), self._end, *writing)

    def _end(
        self, records: WebhookRecords, told: list[tuple[Event, Message]], done: list[Callable[[], None]]
    ) -> None:
        if self.is_dead:
            return
        self._is_writing = False
        if self._world.strikes(0.2):
            self.records = records.merged(self.records)
            self._told, self._done = told + self._told, done + self._done
            self._world.loop.call_later(0.5, self._begin)
            return
        self._write(records, told)
        if told:
            for watcher in tuple(self._watchers):
                watcher(told)
        for each in done:
            each()
        if self._told or self.records.rows:
            self._begin()

    def _write(self, records: WebhookRecords, told: list[tuple[Event, Message]]) -> None:
        kept = self._world.kept
        kept.events += told
        if told:
            self.last_seq = told[-1][0].seq
        kept.progress |= records.progress
        for key, row in records.waiting.items():
            if row is None:
                kept.waiting.pop(key, None)
            else:
                kept.waiting[key] = row
        for hook, progress in records.progress.items():
            self._world.check_cursor(hook, progress.seq)

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def disabled(self, webhook: Webhook, wall_ms: int) -> None:
        raise AssertionError("nothing here disables a webhook")

    async def told(
        self, after_seq: int, limit: int, wants: Callable[[Event], bool], *, as_text: bool = False
    ) -> Told:
        after = [pair for pair in self._world.kept.events if pair[0].seq > after_seq]
        await asyncio.sleep(self._world.random.uniform(0, 0.3))
        found = [pair for pair in after if wants(pair[0])][:limit]
        is_end = len(found) < limit
        looked = after if is_end else found
        last_seq = looked[-1][0].seq if looked else after_seq
        return Told(shown(found, as_text=as_text), last_seq, is_end)

    async def messages(self, keys: Sequence[int]) -> list[Message]:
        await asyncio.sleep(0.01)
        by_key = {message.key: message for _, message in self._world.kept.events}
        return [by_key[key] for key in keys]

    async def event(self, seq: int) -> Event | None:
        return next((event for event, _ in self._world.kept.events if event.seq == seq), None)

    async def seq_before(self, at_ms: int) -> int:
        return 0

    async def attempts(self, webhook: int) -> list[tuple[int, bytes]]:
        return []


class World:
    """One seed's course. ``accepted`` has the events that each webhook's receiver took."""

    def __init__(self, loop: VirtualLoop, seed: int) -> None:
        self.loop = loop
        self.random = Random(seed)
        self.kept = Kept()
        self.clock = Clock(loop)
        self.accepted: dict[int, set[int]] = {hook: set() for hook in HOOKS}
        self.crashes = self.repeated = 0
        self.broken: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._seq = 0
        self._live()

    # -- the daemon's lives ------------------------------------------------------------------------------------

    def _live(self) -> None:
        self.journal = Journal(self)
        ids = IdGenerator(self.random.randbytes)
        parts = (
            self.journal,
            self.journal,
            self,
            self.clock,
            ids,
            MemoryLog(),
            self.random.random,
            self._spawn,
        )
        self.webhooks = Webhooks(*parts, LIMITS)
        self.webhooks.start([self._recovery(hook) for hook in HOOKS])

    def _recovery(self, hook: int) -> WebhookRecovery:
        webhook = Webhook(hook, 1, "default", HOOKS[hook], WALL_MS, secret=bytes(32))
        rows = tuple(row for (whose, _), row in self.kept.waiting.items() if whose == hook)
        return WebhookRecovery(webhook, self.kept.progress.get(hook, Progress(hook, 0)), rows)

    def _spawn(self, name: str, work: Any) -> asyncio.Task[None]:
        task = self.loop.create_task(work, name=name)
        self._tasks.append(task)
        return task

    async def crash(self) -> None:
        """Nothing that was not committed survives."""
        self.crashes += 1
        self.journal.is_dead = True
        await self.end()
        self._live()

    async def end(self) -> None:
        """End a life, by force. Raises AssertionError for whatever it has broken."""
        await self.webhooks.stop()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        assert not self.broken, self.broken[0]
        for found in await asyncio.gather(*tasks, return_exceptions=True):
            if not isinstance(found, asyncio.CancelledError):
                raise AssertionError(f"a task ended by itself: {found!r}")

    # -- what happens ------------------------------------------------------------------------------------------

    def strikes(self, share: float) -> bool:
        """Whether a fault happens now; after FAULTS_S none does."""
        return self.loop.time() < FAULTS_S and self.random.random() < share

    async def run(self) -> None:
        """All of it; raises AssertionError."""
        left = [(number, kind) for number in range(MESSAGES) for kind in LIFE]
        order = sorted(left, key=lambda pair: self.random.random() + LIFE.index(pair[1]))
        for number, kind in order:
            await asyncio.sleep(self.random.expovariate(len(order) / SENDING_S))
            self._tell(number, kind)
            if self.strikes(0.05):
                await self.crash()
            if self.strikes(0.05):
                self.clock.offset_ms += self.random.choice((-600_000, 600_000, 3_600_000, -3_600_000))
        while self.loop.time() < FAULTS_S:
            await asyncio.sleep(self.random.expovariate(1 / 120))
            await self.crash()
        await self._until_all_told()
        await self.end()

    def _tell(self, number: int, kind: EventKind) -> None:
        # Until it is in the journal it has not happened: a crash takes it along, and it has another number then.
        seq = self._next_seq()
        event = Event(seq, kind, self.clock.wall_ms(), "default", (number + 1) << 8)
        self.journal.tell(event, _message(number))

    def _next_seq(self) -> int:
        self._seq += 1
        return self._seq

    async def _until_all_told(self) -> None:
        """What was taken but never answered is told again, hours later too; then nothing is left to tell."""
        while any(map(self._untold, HOOKS)) or self.kept.waiting or not self._is_at_end():
            await asyncio.sleep(60)
            assert not self.broken, self.broken[0]
            assert self.loop.time() < LONGEST_S, f"never told: {[self._untold(hook) for hook in HOOKS]}"

    def _is_at_end(self) -> bool:
        newest = self.kept.events[-1][0].seq
        return all(self.kept.progress[hook].seq == newest for hook in HOOKS)

    def _untold(self, hook: int) -> set[int]:
        return {event.seq for event, _ in self.kept.events} - self.accepted[hook]

    # -- the receivers -----------------------------------------------------------------------------------------

    async def send(self, request: HTTPRequest) -> HTTPReply | HTTPFailure:
        return await self._receive(request.url, int(dict(request.fields)["webhook-id"]))

    def beginning(self, method: str, fields: Sequence[tuple[str, str]], url: URL) -> bytes:
        return b""

    def seize(self, url: URL, done: Done) -> Write | None:
        """A connection that stands, if there is one; it may turn out to be closed."""
        if self.random.random() < 0.3:
            return None

        def write(octets: bytes) -> None:
            seq = int(octets.partition(b"webhook-id: ")[2].partition(b"\r\n")[0])
            self._spawn(f"exchange of {seq}", self._exchange(url, seq, done))

        return write

    async def _exchange(self, url: URL, seq: int, done: Done) -> None:
        if self.strikes(0.1):
            await asyncio.sleep(0.01)
            done(None)
        else:
            try:
                outcome = await self._receive(f"https://{url.host}/", seq)
            except AssertionError as error:
                self.broken.append(str(error))
                return
            done(outcome)
        await asyncio.Event().wait()  # a task of a life ends with it

    async def _receive(self, url: str, seq: int) -> HTTPReply | HTTPFailure:
        hook = next(hook for hook, each in HOOKS.items() if each == url)
        self._check_order(hook, seq)
        self._check_memory(hook)
        await asyncio.sleep(self.random.expovariate(1 / 0.2))
        # The second receiver is the worse one.
        if not self.strikes(0.2 if hook == 256 else 0.6):
            return self._accept(hook, seq)
        fate = self.random.randrange(6)
        if fate == 0:
            self._accept(hook, seq)
            return HTTPFailure(FailureKind.MAY_HAVE_LEFT, "the connection was lost", 0.0)
        if fate == 1:
            await asyncio.sleep(15)
            return HTTPFailure(FailureKind.MAY_HAVE_LEFT, "no answer within 15 s", 15.0)
        if fate == 2:
            return HTTPFailure(FailureKind.NOTHING_LEFT, "no connection", 0.0)
        status = (429, 500, 302)[fate - 3]
        return HTTPReply(status, {"retry-after": "7"}, b"no", 0.0, "192.0.2.1:443")

    def _accept(self, hook: int, seq: int) -> HTTPReply:
        self.repeated += seq in self.accepted[hook]
        self.accepted[hook].add(seq)
        return HTTPReply(200, {}, b"", 0.0, "192.0.2.1:443")

    def _check_order(self, hook: int, seq: int) -> None:
        key = next(event.key for event, _ in self.kept.events if event.seq == seq)
        before = {event.seq for event, _ in self.kept.events if event.key == key and event.seq < seq}
        assert before <= self.accepted[hook], f"event {seq} was sent before {before - self.accepted[hook]}"

    def check_cursor(self, hook: int, cursor: int) -> None:
        """Of a commit: what the cursor has passed was taken, or waits in the same journal."""
        waiting = {seq for whose, seq in self.kept.waiting if whose == hook}
        passed = {event.seq for event, _ in self.kept.events if event.seq <= cursor}
        lost = passed - self.accepted[hook] - waiting
        if lost:
            # A loop's callback has nobody to raise to.
            self.broken.append(f"the cursor {cursor} has passed {lost}")

    def _check_memory(self, hook: int) -> None:
        snapshot = self.webhooks.snapshot(hook)
        window, waiting = self.webhooks.queues()
        assert window.length <= 2.5 * LIMITS.window * len(HOOKS)
        assert waiting.length <= (LIMITS.waiting + LIMITS.window + LIMITS.concurrency) * len(HOOKS)
        assert snapshot.in_flight <= LIMITS.concurrency


def _message(number: int) -> Message:
    return Message(
        key=(number + 1) << 8,
        tail=number,
        account="default",
        to="+40712345678",
        originator="",
        text=f"message {number}",
        encoding=Encoding.GSM7,
        segments=1,
        submitted_at_ms=WALL_MS,
        due_at_ms=WALL_MS,
        expires_at_ms=WALL_MS + 86_400_000,
        route=("alpha",),
    )
