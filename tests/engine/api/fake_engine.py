"""An engine in memory for the tests of the API: stores when told to, or at the loop's next turn."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from stentor.aio.webhooks.subscribers import Webhooks
from stentor.api.engine import Accepted, Search, Watcher
from stentor.clock import ManualClock
from stentor.dispatch.snapshot import (
    BatchSnapshot,
    ChannelSnapshot,
    EngineSnapshot,
    JournalSnapshot,
    LaneSnapshot,
    QueueLine,
    QueueShape,
)
from stentor.driver import DriverStatus
from stentor.errors import JournalError, Overloaded, Refusal
from stentor.ids import IdGenerator
from stentor.journal.records import History, Idempotency
from stentor.message import EVENT_OF_STATUS, Event, EventKind, Message, Status
from stentor.pacing.strands import HELD


class FakeLibrary:
    """What was stored. ``hold`` keeps readers waiting until it is set."""

    def __init__(self) -> None:
        self.messages: dict[int, Message] = {}
        self.told: list[tuple[Event, Message | None]] = []
        self.lines: dict[tuple[str, str, int], Idempotency] = {}
        self.past: list[History] = []
        self.fault: Exception | None = None
        self.hold = asyncio.Event()
        self.hold.set()
        self.reads = 0

    async def _read(self) -> None:
        self.reads += 1
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault

    async def message(self, key: int) -> Message | None:
        await self._read()
        return self.messages.get(key)

    async def search(self, search: Search) -> list[Message]:
        await self._read()
        found = [
            message
            for key, message in sorted(self.messages.items(), reverse=True)
            if message.account == search.account
            and search.status in (None, message.status)
            and search.to in (None, message.to)
            and search.ref in (None, message.ref)
            and search.originator in (None, message.originator)
            and (search.before_key is None or key < search.before_key)
            and (search.since_ms is None or message.submitted_at_ms >= search.since_ms)
            and (search.until_ms is None or message.submitted_at_ms < search.until_ms)
        ]
        return found[: search.limit]

    async def history(self, key: int) -> list[History]:
        await self._read()
        return [line for line in self.past if line.key == key]

    async def events(self, after_seq: int, limit: int, account: str) -> list[tuple[Event, Message | None]]:
        await self._read()
        found = [
            (event, message)
            for event, message in self.told
            if event.seq > after_seq and event.account in ("", account)
        ][:limit]
        await self.hold.wait()
        return found

    async def queue_shape(self, now_ms: int) -> QueueShape:
        await self._read()
        return QueueShape((60,), (QueueLine("+40", (1, 2)),), True)

    async def idempotency(self, account: str, key: str, first_line: int, limit: int) -> list[Idempotency]:
        await self._read()
        found = [
            record
            for (whose, name, line), record in sorted(self.lines.items())
            if whose == account and name == key and line >= first_line
        ]
        return found[:limit]


class FakeEngine:
    """``holds`` keeps commits back until ``commit``; ``error`` and ``room`` make them fail."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.ids = IdGenerator(lambda count: bytes(range(256)) * (count // 256))
        self.library = FakeLibrary()
        self.webhooks: Webhooks
        self.holds = False
        self.error: JournalError | None = None
        self.overload: Overloaded | None = None
        self.is_behind = False
        self.unready: str | None = None
        self.last_seq = 0
        self.commits: list[int] = []
        self.patient: list[bool] = []
        self.paused: set[str] = set()
        self.batch_states: dict[tuple[str, str], str] = {}
        self.rate = 0.0
        self.is_late = False
        self._waiting: list[tuple[Sequence[Message], Sequence[Idempotency], Accepted]] = []
        self._caught_up: list[Callable[[], None]] = []
        self._watchers: list[Watcher] = []
        self.changed = asyncio.Event()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def watchers(self) -> int:
        return len(self._watchers)

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    def accept(
        self,
        messages: Sequence[Message],
        idempotency: Sequence[Idempotency],
        done: Accepted,
        *,
        is_patient: bool = False,
    ) -> None:
        assert messages or idempotency, "an empty transaction would never be reported"
        if self.overload is not None:
            raise self.overload
        self._waiting.append((messages, idempotency, done))
        self.patient.append(is_patient)
        self.changed.set()
        if not self.holds:
            asyncio.get_running_loop().call_soon(self.commit)

    def check_in_time(self, message: Message) -> None:
        if self.is_late:
            raise Refusal("would_be_late", "the message would expire before it leaves", "$", 409)

    def commit(self) -> None:
        """Everything that waits becomes durable, or fails."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        self.commits.append(sum(len(messages) for messages, _, _ in waiting))
        for messages, records, _ in waiting:
            if self.error is None:
                self.library.messages |= {message.key: message for message in messages}
                self.library.lines |= {(line.account, line.key, line.line): line for line in records}
        for _, _, done in waiting:
            done(self.error)
        resumes, self._caught_up = self._caught_up, []
        for resume in resumes:
            resume()

    def when_caught_up(self, resume: Callable[[], None]) -> None:
        self._caught_up.append(resume)

    def tell(self, *messages: Message) -> None:
        """Commit the present status of messages as events."""
        told: list[tuple[Event, Message | None]] = []
        for message in messages:
            self.last_seq += 1
            kind = EVENT_OF_STATUS[message.status]
            event = Event(self.last_seq, kind, self.clock.wall_ms(), message.account, message.key)
            told.append((event, message))
        self._publish(told)

    def tell_of_one_that_is_away(self, message: Message) -> None:
        """Commit an event whose message is not in memory."""
        self.last_seq += 1
        kind, wall_ms = EVENT_OF_STATUS[message.status], self.clock.wall_ms()
        self._publish([(Event(self.last_seq, kind, wall_ms, message.account, message.key), None)])

    def tell_channel(self, kind: EventKind, channel: str, detail: str = "") -> None:
        self.last_seq += 1
        self._publish([(Event(self.last_seq, kind, self.clock.wall_ms(), "", 0, channel, detail), None)])

    def _publish(self, told: list[tuple[Event, Message | None]]) -> None:
        self.library.told += told
        for watcher in tuple(self._watchers):
            watcher(told)

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        self._watchers.append(watcher)
        self.changed.set()

        def stop() -> None:
            self._watchers.remove(watcher)
            self.changed.set()

        return stop

    async def cancel(self, message: Message) -> Message:
        if message.status not in (Status.QUEUED, Status.SCHEDULED):
            raise Refusal("already_left", f"the message is {message.status.word}", "$", 409)
        message.status = Status.CANCELLED
        message.final_at_ms = self.clock.wall_ms()
        return message

    async def hold(self, message: Message) -> Message:
        if message.status not in (Status.QUEUED, Status.SCHEDULED):
            raise Refusal("already_left", f"the message is {message.status.word}", "$", 409)
        message.strand = HELD
        return message

    async def release(self, message: Message) -> Message:
        if message.strand != HELD:
            raise Refusal("not_held", f"the message is {message.status.word}", "$", 409)
        message.strand = 0
        return message

    async def batch(self, account: str, label: str) -> BatchSnapshot:
        mine = [m for m in self.library.messages.values() if (m.account, m.batch) == (account, label)]
        counts = Counter(message.status.word for message in mine)
        left = [message for message in mine if message.status < Status.SENT]
        state = self.batch_states.get((account, label), "active")
        return BatchSnapshot(label, state, counts, sum(m.strand == HELD for m in left), len(left), self.rate)

    async def pause_batch(self, account: str, label: str) -> BatchSnapshot:
        self.batch_states[account, label] = "paused"
        return await self.batch(account, label)

    async def resume_batch(self, account: str, label: str) -> BatchSnapshot:
        self.batch_states[account, label] = "resuming"
        return await self.batch(account, label)

    async def cancel_batch(self, account: str, label: str) -> BatchSnapshot:
        self.batch_states[account, label] = "cancelling"
        return await self.batch(account, label)

    def channels(self) -> Sequence[ChannelSnapshot]:
        lane = LaneSnapshot("1", "ready", 0, 10, 10, 0.0, 3, 0, "192.0.2.1:2775")
        return [
            ChannelSnapshot(
                name=name,
                driver="fake",
                state="paused" if name in self.paused else "up",
                paused=name in self.paused,
                rate_limit=0.0,
                rate_now=0.0,
                queued=0,
                in_flight=0,
                lanes=(lane,),
                counters={"sent": 3},
                driver_status=DriverStatus(counters={"binds": 1}),
                last_error="connection refused" if name == "beta" else None,
                last_error_at_ms=1_800_000_000_000 if name == "beta" else 0,
            )
            for name in ("alpha", "beta")
        ]

    async def pause(self, channel: str) -> ChannelSnapshot:
        self.paused.add(channel)
        return next(one for one in self.channels() if one.name == channel)

    async def resume(self, channel: str) -> ChannelSnapshot:
        self.paused.discard(channel)
        return next(one for one in self.channels() if one.name == channel)

    def snapshot(self) -> EngineSnapshot:
        journal = JournalSnapshot("open", "power", 1, 1, 0.5, 4096, 0, "3.40.1", False)
        return EngineSnapshot(
            "0",
            "ready",
            0,
            1.0,
            len(self.library.messages),
            0,
            0,
            0,
            0,
            tuple(self.channels()),
            (),
            (),
            journal,
            {},
        )

    def metrics(self) -> str:
        return "stentor_accepted_total 0\n"
