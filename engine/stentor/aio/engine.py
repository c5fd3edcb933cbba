"""The running engine as the API sees it: the pump, the channels and the journal's library behind one face."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from math import inf

from msgspec.structs import replace

from stentor import __version__
from stentor.aio.channel import RunningChannel
from stentor.aio.journal.library import JournalLibrary
from stentor.aio.pump import FULL_ROWS, Pump
from stentor.aio.webhooks.subscribers import Webhooks
from stentor.api.engine import Accepted, Watcher
from stentor.clock import Clock
from stentor.dispatch import forecast, overview
from stentor.dispatch.snapshot import (
    BacklogSnapshot,
    BatchSnapshot,
    ChannelSnapshot,
    EngineSnapshot,
    LaneSnapshot,
    QueueSnapshot,
)
from stentor.errors import Refusal
from stentor.ids import IdGenerator
from stentor.journal.records import Idempotency
from stentor.message import PRIORITY_WORDS, EventKind, Message, Status
from stentor.metrics import engine_metrics
from stentor.pacing.strands import HELD


class RunningEngine:
    """Implements :class:`stentor.api.engine.Engine`. ``state`` is a word for people: starting, ready, draining."""

    def __init__(self, pump: Pump, library: JournalLibrary, ids: IdGenerator) -> None:
        self.pump = pump
        self.clock: Clock = pump.clock
        self.ids = ids
        self.library = library
        self.running: dict[str, RunningChannel] = {}
        self.webhooks: Webhooks
        self.state = "starting"
        self.loop_lag_ms = 0.0
        self.clock_held_ms = 0
        self.extra_queues: Callable[[], Iterable[QueueSnapshot]] = tuple
        self._receiving: set[str] = set()
        self._started_at_ms = pump.clock.wall_ms()
        self._started = pump.clock.now()

    # -- taking work ------------------------------------------------------------------------------------------------

    def accept(
        self,
        messages: Sequence[Message],
        idempotency: Sequence[Idempotency],
        done: Accepted,
        *,
        is_patient: bool = False,
    ) -> None:
        self.pump.accept(messages, idempotency, done, is_patient=is_patient)

    def check_in_time(self, message: Message) -> None:
        if message.status is Status.SCHEDULED:
            return  # nobody knows what there will be to send then
        wait_s = forecast.wait_s(self.pump.dispatcher, message, self.clock.now(), self.clock.wall_ms())
        if self.clock.wall_ms() + wait_s * 1000 > message.expires_at_ms:
            when = (
                "no channel of its route is up"
                if wait_s == inf
                else f"it would leave in about {wait_s:.0f} s"
            )
            raise Refusal("would_be_late", f"the message would expire before it leaves: {when}", "$", 409)

    @property
    def is_behind(self) -> bool:
        return self.pump.is_behind

    def when_caught_up(self, resume: Callable[[], None]) -> None:
        self.pump.when_caught_up(resume)

    async def cancel(self, message: Message) -> Message:
        def cancel(stored: Message) -> Message:
            """What a driver has comes back first, if that can give it back."""
            dispatcher = self.pump.dispatcher
            dispatcher.cancelling.recall(stored)
            self.pump.recall()
            return dispatcher.cancel(stored, self.clock.wall_ms())

        return await self._change(message, cancel)

    async def hold(self, message: Message) -> Message:
        return await self._change(message, self.pump.dispatcher.restraint.holdback.hold)

    async def release(self, message: Message) -> Message:
        return await self._change(message, self.pump.dispatcher.restraint.holdback.release)

    async def _change(self, message: Message, change: Callable[[Message], Message]) -> Message:
        dispatcher = self.pump.dispatcher
        # What the caller read is old already: it may have left, and its result been committed, in the meantime.
        mark = dispatcher.ledger.begin_read()
        try:
            stored = await self.library.message(message.key)
            assert stored is not None, "messages are not deleted"
            changed = change(stored)
        finally:
            dispatcher.ledger.end_read(mark)
            # Also when it is refused: a carrier may have to be asked to take it back.
            self.pump.kick()
        await self._durable()
        return changed

    async def _durable(self) -> None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def settle() -> None:
            if not future.done():  # its waiter may have gone
                future.set_result(None)

        self.pump.when_durable(settle)
        await future

    # -- batches ----------------------------------------------------------------------------------------------------

    async def batch(self, account: str, label: str) -> BatchSnapshot:
        counts = await self.library.batch_counts(account, label)
        holdback = self.pump.dispatcher.restraint.holdback
        phase = holdback.phase(account, label)
        by_status: dict[str, int] = {}
        for (status, _), count in sorted(counts.items()):
            if count:
                by_status[status.word] = by_status.get(status.word, 0) + count
        return BatchSnapshot(
            batch=label,
            state=phase.value if phase is not None else "active",
            counts=by_status,
            held=sum(
                count for (status, is_held), count in counts.items() if is_held and status < Status.SENDING
            ),
            left=sum(count for (status, _), count in counts.items() if status < Status.SENT),
            rate=holdback.rate(account, label, self.clock.now()),
        )

    async def pause_batch(self, account: str, label: str) -> BatchSnapshot:
        self.pump.dispatcher.restraint.holdback.pause(account, label)
        return await self._changed_batch(account, label)

    async def resume_batch(self, account: str, label: str) -> BatchSnapshot:
        self.pump.dispatcher.restraint.holdback.resume(account, label)
        return await self._changed_batch(account, label)

    async def cancel_batch(self, account: str, label: str) -> BatchSnapshot:
        dispatcher = self.pump.dispatcher
        dispatcher.restraint.holdback.cancel(account, label, self.ids.last_key)
        dispatcher.cancelling.recall_batch(account, label)
        return await self._changed_batch(account, label)

    async def _changed_batch(self, account: str, label: str) -> BatchSnapshot:
        await self._durable()
        return await self.batch(account, label)

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        return self.pump.watch(watcher)

    @property
    def last_seq(self) -> int:
        return self.pump.last_seq

    @property
    def unready(self) -> str | None:
        if self.state != "ready":
            return f"the daemon is {self.state}"
        return str(self.pump.trouble) if self.pump.trouble is not None else self.pump.room.shortage

    # -- channels ---------------------------------------------------------------------------------------------------

    def channels(self) -> Sequence[ChannelSnapshot]:
        return [self._channel(running) for running in self.running.values()]

    def count_up(self) -> int:
        """How many channels are up: they can send, or receive if that is all they do.

        Of those that only receive the dispatcher knows no lane, so whether one came up or went down is seen here, by
        looking, and told as an event like any other's.
        """
        receiving = set()
        up = 0
        for name, running in self.running.items():
            if running.channel.capabilities.can_send:
                up += running.channel.is_up
            elif self._channel(running).state == "up":
                up += 1
                receiving.add(name)
        ledger, wall_ms = self.pump.dispatcher.ledger, self.clock.wall_ms()
        for name in sorted(receiving ^ self._receiving):
            kind = EventKind.CHANNEL_UP if name in receiving else EventKind.CHANNEL_DOWN
            running_now = self.running.get(name)
            error = running_now.status().last_error if running_now is not None else None
            ledger.channel_event(kind, name, wall_ms, "" if name in receiving else error or "")
            self.pump.kick()
        self._receiving = receiving
        return up

    async def pause(self, channel: str) -> ChannelSnapshot:
        return await self._set_paused(channel, True)

    async def resume(self, channel: str) -> ChannelSnapshot:
        return await self._set_paused(channel, False)

    async def _set_paused(self, name: str, paused: bool) -> ChannelSnapshot:
        running = self.running.get(name)
        if running is None:
            raise Refusal("not_found", f"there is no channel {name!r}", "$", 404)
        self.pump.dispatcher.set_paused(name, paused, self.clock.wall_ms())
        await self._durable()
        return self._channel(running)

    def _channel(self, running: RunningChannel) -> ChannelSnapshot:
        channel, now, status = running.channel, self.clock.now(), running.status()
        peers = {lane.key: lane for lane in status.lanes}
        lanes = tuple(
            LaneSnapshot(
                key=lane.key,
                state=lane.state(now),
                in_flight=lane.window.in_flight,
                window=lane.window.limit,
                offered=lane.window.offered,
                rate=lane.rate(now),
                sent=lane.sent,
                throttled=lane.throttled,
                peer=peers[lane.key].peer if lane.key in peers else "",
                detail=peers[lane.key].detail if lane.key in peers else "",
            )
            for lane in channel.lanes.values()
        )
        # What only receives was never offered as a lane, and is a link all the same.
        lanes += tuple(
            LaneSnapshot(
                key=lane.key,
                state="receiving" if lane.is_receiving else "down",
                in_flight=0,
                window=0,
                offered=0,
                rate=0.0,
                sent=0,
                throttled=0,
                peer=lane.peer,
                detail=lane.detail,
            )
            for lane in status.lanes
            if lane.key not in channel.lanes
        )
        state = channel.state
        if not channel.capabilities.can_send and state == "down":
            state = "up" if any(lane.is_receiving for lane in status.lanes) else "down"
        has_newer = status.last_error_at_ms >= channel.last_error_at_ms and status.last_error is not None
        return ChannelSnapshot(
            name=channel.name,
            driver=channel.driver,
            state=state,
            paused=channel.paused,
            rate_limit=channel.rate,
            rate_now=min((lane.rate for lane in lanes if lane.rate), default=channel.rate),
            queued=len(channel.queue),
            in_flight=sum(lane.in_flight for lane in lanes),
            lanes=lanes,
            counters=dict(channel.counters),
            driver_status=status,
            last_error=status.last_error if has_newer else channel.last_error,
            last_error_at_ms=status.last_error_at_ms if has_newer else channel.last_error_at_ms,
            can_send=channel.capabilities.can_send,
            breaker=channel.breaker.state.value,
            breaker_reason=channel.breaker.reason,
            pace=channel.pace.rate(now),
            waits_for=overview.waits_for(channel, now),
        )

    # -- pictures ---------------------------------------------------------------------------------------------------

    def snapshot(self) -> EngineSnapshot:
        pump, dispatcher = self.pump, self.pump.dispatcher
        settled = dispatcher.settler.counters
        return EngineSnapshot(
            version=__version__,
            state=self.state,
            started_at_ms=self._started_at_ms,
            uptime_s=self.clock.now() - self._started,
            accepted=dispatcher.counters["accepted"],
            sent=pump.sent,
            finished=pump.finished,
            received=dispatcher.counters["received"],
            scheduled=dispatcher.scheduled,
            channels=tuple(self.channels()),
            backlog=tuple(self._backlog()),
            queues=tuple(self._queues()),
            journal=replace(
                pump.journal.snapshot(), space=pump.room.space.word, free_octets=pump.room.free_octets
            ),
            counters={
                "stray_outcomes": settled["stray"],
                "duplicate_receipts": settled["duplicate_receipts"],
                "late_answers": settled["late"],
                "ambiguous_references": dispatcher.settler.holding.doubts.ambiguous,
                "postponed": dispatcher.restraint.postponed,
                "incomplete_messages": dispatcher.receiver.joiner.incomplete,
            },
            loop_lag_ms=self.loop_lag_ms,
            clock_held_ms=self.clock_held_ms,
            webhooks=self.webhooks.picture(),
            limits=tuple(overview.limits(dispatcher, self.clock.now(), self.clock.wall_ms())),
        )

    def _backlog(self) -> Iterable[BacklogSnapshot]:
        wall_ms = self.clock.wall_ms()
        queues = [queue for queue in self.pump.dispatcher.backlog.queues() if queue.active or queue.behind]
        oldest = self._oldest({(queue.key.route, queue.key.priority) for queue in queues if queue.active})
        # Strands of a queue are told together.
        counts: dict[tuple[tuple[str, ...], int], tuple[int, int, int]] = {}
        for queue in queues:
            name = queue.key.route, queue.key.priority
            active, behind, held = counts.get(name, (0, 0, 0))
            held += queue.behind if queue.key.strand == HELD else 0
            counts[name] = active + queue.active, behind + queue.behind, held
        for name, (active, behind, held) in counts.items():
            route, priority = name
            yield BacklogSnapshot(
                route=" ".join(route),
                priority=PRIORITY_WORDS[priority],
                active=active,
                journal=behind,
                oldest_age_s=(wall_ms - oldest.get(name, wall_ms)) / 1000,
                held=held,
            )

    def _oldest(self, wanted: set[tuple[tuple[str, ...], int]]) -> dict[tuple[tuple[str, ...], int], int]:
        """When the message of each queue was submitted that came into memory first."""
        found: dict[tuple[tuple[str, ...], int], int] = {}
        for message in self.pump.dispatcher.backlog.open.values():
            key = (message.route, message.priority)
            if key in wanted:
                wanted.discard(key)
                found[key] = message.submitted_at_ms
                if not wanted:
                    break
        return found

    def _queues(self) -> Iterable[QueueSnapshot]:
        pump = self.pump
        backlog = len(pump.dispatcher.backlog) + pump.dispatcher.scheduled
        yield QueueSnapshot("backlog", backlog, pump.backlog_limit, "submissions are refused with 503")
        yield QueueSnapshot(
            "commit", pump.waiting_rows, FULL_ROWS, "streams pause, then submissions are refused with 503"
        )
        for name, (length, limit, when_full) in pump.dispatcher.queue_lengths().items():
            yield QueueSnapshot(name, length, limit, when_full)
        yield from self.webhooks.queues()
        yield from self.extra_queues()

    def metrics(self) -> str:
        return engine_metrics(self.snapshot())
