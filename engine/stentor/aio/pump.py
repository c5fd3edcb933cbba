"""Drives the dispatcher: facts in, decisions out, one timer, one writer, one reader.

Everything that happens calls :meth:`Pump.kick`; one turn of the pump at the end of the loop's iteration then lets the
dispatcher decide once for all of it. Commits follow each other: while one is being written, the next is filled.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from math import inf
from typing import Final, cast

from stentor.aio import failpoints
from stentor.aio.inflow import Inflow
from stentor.aio.journal.reader import Reader
from stentor.aio.journal.room import Room
from stentor.aio.journal.writer import Journal
from stentor.api.engine import Accepted, Watcher
from stentor.clock import Clock
from stentor.dispatch.dispatcher import Dispatcher
from stentor.driver import Driver, Follower, Log, Recaller
from stentor.errors import JournalBusy, JournalError, JournalFull, Overloaded
from stentor.journal.records import (
    BacklogRead,
    BatchRead,
    Commit,
    DueRead,
    ExpiredRead,
    Idempotency,
    KeyRead,
    OtherRead,
    OverdueRead,
    Read,
    ReceiptRead,
    UnansweredRead,
)
from stentor.message import Event, Message, Priority
from stentor.outcome import Outcome, Returned

FULL_ROWS: Final = 20_000
"""New messages waiting for their commit at which submissions are refused."""
PIPELINE_ROWS: Final = 256
"""Rows that must have gathered for the next commit to begin before anybody is told of the last: small ones cost more
than the waiting."""
BLOCK_ROWS: Final = 1000
"""Messages that reads of several queues bring together, at least: enough that asking is not what costs."""
RETRY_COMMIT_S: Final = 0.5


class Pump:
    """The running dispatcher. All methods are to be called on its loop."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        journal: Journal,
        reader: Reader,
        clock: Clock,
        log: Log,
        backlog_limit: int,
        room: Room,
    ) -> None:
        self.dispatcher = dispatcher
        self.journal = journal
        self.clock = clock
        self.backlog_limit = backlog_limit
        self.room = room
        self.drivers: dict[str, Driver] = {}
        self.trouble: JournalError | None = None
        self.is_stopping = False
        self.last_seq = dispatcher.ledger.last_seq
        self.turns = 0
        self.sent = self.finished = 0
        """What became of messages, durably: nothing is counted that a crash could still take back."""
        self.commit_since: float | None = None
        self._log = log
        self._reader = reader
        self._loop = asyncio.get_running_loop()
        self._is_kicked = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._write = asyncio.Event()
        self._reads: deque[Read] = deque()
        self._read = asyncio.Event()
        self._accepts: list[Accepted] = []
        self._accepting = 0
        self._patience_s = inf
        """How long after the last commit the next may begin for what new messages it holds: a commit of three costs as
        much as one of thirty."""
        self._begun_at = -inf
        self._writing = 0
        self._inflow = Inflow(dispatcher, clock.now())
        self._durable: list[Callable[[], None]] = []
        self._watchers: list[Watcher] = []
        self._is_finishing = False
        self._fault: Exception | None = None

    # -- facts ------------------------------------------------------------------------------------------------------

    def kick(self) -> None:
        """Something happened: decide before the loop sleeps again."""
        if not self._is_kicked:
            self._is_kicked = True
            self._loop.call_soon(self._guarded, self._decide)

    def accept(
        self,
        messages: Sequence[Message],
        idempotency: Sequence[Idempotency],
        done: Accepted,
        *,
        is_patient: bool = False,
    ) -> None:
        """Store new messages in one transaction; ``done`` is called after it, some milliseconds later if client and
        channels are patient. Raises Overloaded, storing nothing."""
        failpoints.hit("body-decoded")
        if self.trouble is not None:
            raise Overloaded("journal_unavailable", str(self.trouble), 2)
        if self.room.shortage is not None:
            raise Overloaded("no_space", self.room.shortage, 5)
        if self.is_stopping:
            raise Overloaded("stopping", "the daemon is stopping", 5)
        waiting = self.waiting_rows
        if waiting + len(messages) > FULL_ROWS and waiting:
            raise Overloaded(
                "commits_behind", f"{waiting} messages wait to be stored, the limit is {FULL_ROWS}"
            )
        dispatcher = self.dispatcher
        if len(dispatcher.backlog) + dispatcher.scheduled + waiting + len(messages) > self.backlog_limit:
            raise Overloaded(
                "backlog_full", f"the backlog is full: its limit is {self.backlog_limit} messages", 10
            )
        self._accepting += len(messages)
        self._inflow.brought(len(messages))
        dispatcher.accept(messages, idempotency)
        self._accepts.append(done)
        patience_s = self._patience_of(messages) if is_patient else 0.0
        if patience_s < self._patience_s or self._accepting >= PIPELINE_ROWS or self._inflow.is_exhausted:
            self._patience_s = min(self._patience_s, patience_s)
            self.kick()  # else a turn has seen to the next commit, or the end of the present one will

    def when_durable(self, done: Callable[[], None]) -> None:
        """Call ``done`` after the commit that holds everything decided so far."""
        self._durable.append(done)
        self.kick()

    @property
    def waiting_rows(self) -> int:
        """New messages that wait for their commit."""
        return self._accepting + self._writing

    @property
    def is_behind(self) -> bool:
        return self._inflow.is_exhausted

    def when_caught_up(self, resume: Callable[[], None]) -> None:
        """Call ``resume`` once after one of the next commits."""
        self._inflow.wait(resume)

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        self._watchers.append(watcher)

        def stop() -> None:
            if watcher in self._watchers:
                self._watchers.remove(watcher)

        return stop

    # -- the turn ---------------------------------------------------------------------------------------------------

    def _guarded(self, act: Callable[..., None], *arguments: object) -> None:
        try:
            act(*arguments)
        except Exception as error:
            # The loop would only report it and go on, with a dispatcher that nobody can rely on any more, or with
            # clients and carriers that wait for ever.
            self._fault = error
            self._write.set()

    def _decide(self) -> None:
        self._is_kicked = False
        self.turns += 1
        now, wall_ms = self.clock.now(), self.clock.wall_ms()
        dispatcher, inflow = self.dispatcher, self._inflow
        dispatcher.tick(now, wall_ms)
        if not self.is_stopping:
            dispatcher.flush(now, wall_ms)
            self._hand_over()
            if dispatcher.is_more:
                self.kick()
        else:
            self._keep()
        reads = dispatcher.take_reads()
        if reads:
            self._reads += reads
            self._read.set()
        wake_at = dispatcher.next_wake(now, wall_ms)
        if self.trouble is None and dispatcher.ledger.writing is None and self._has_something_to_write:
            if self._can_gather and now < (begin_at := self._begun_at + self._patience_s):
                wake_at = min(wake_at, begin_at)
            else:
                self._write.set()
        elif inflow.is_exhausted and dispatcher.ledger.writing is None and inflow.idle(now):
            self.kick()
        self._set_timer(wake_at)

    def _hand_over(self) -> None:
        for lane, batch in self.dispatcher.take_outgoing():
            driver = self.drivers.get(lane.channel.name)
            if driver is None:
                # Its incarnation ended in this very turn.
                self.resolve([Returned(submission) for submission in batch])
            else:
                failpoints.hit("handing-over")
                driver.submit(lane.key, batch)
                failpoints.hit_soon("handed-over")
        self.recall()
        for name, segments in self.dispatcher.take_questions():
            if (driver := self.drivers.get(name)) is not None:
                cast(Follower, driver).query(segments)
        for name, segments in self.dispatcher.take_withdrawals():
            if (driver := self.drivers.get(name)) is not None:
                cast(Follower, driver).cancel(segments)

    def recall(self) -> None:
        """Have drivers give back what is cancelled, as far as they can; what they can at once comes before this
        returns."""
        cancelling = self.dispatcher.cancelling
        for name, submissions in cancelling.take_recalls():
            if (driver := self.drivers.get(name)) is not None:
                cancelling.recalled(submissions, cast(Recaller, driver).recall(submissions))

    def _keep(self) -> None:
        """A lease that became durable while the daemon stops: its message does not leave any more."""
        kept = [submission for _, batch in self.dispatcher.take_outgoing() for submission in batch]
        if kept:
            self.resolve([Returned(submission) for submission in kept])

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            if abs(self._timer_at - at) < 0.001:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self.kick()

    def resolve(self, outcomes: Sequence[Outcome]) -> None:
        """Outcomes from a driver."""
        self.dispatcher.resolve(outcomes, self.clock.now(), self.clock.wall_ms())
        self.kick()

    # -- writing ----------------------------------------------------------------------------------------------------

    @property
    def _has_something_to_write(self) -> bool:
        return bool(self._durable) or not self.dispatcher.ledger.is_empty

    @property
    def _can_gather(self) -> bool:
        """What there is to write is new messages, not many, and nothing else waits for it."""
        return (
            0 < self._accepting < PIPELINE_ROWS
            and not (self._durable or self.is_stopping or self._inflow.is_exhausted)
            and self.dispatcher.ledger.has_only_accepts
        )

    def _patience_of(self, messages: Sequence[Message]) -> float:
        """Of the channels that are to carry them; none for what is urgent or high."""
        channels, patience_s = self.dispatcher.channels, inf
        for message in messages:
            channel = channels.get(message.route[0])
            if channel is None or not channel.capabilities.patience_s or message.priority < Priority.NORMAL:
                return 0.0
            patience_s = min(patience_s, channel.capabilities.patience_s)
        return patience_s

    def finish(self) -> None:
        """Nothing new will come: :meth:`write` ends once everything is written."""
        self._is_finishing = True
        self._write.set()

    async def write(self) -> None:
        """The writer's life. It is never cancelled, only told to finish.

        One commit follows the other at once: whoever waits for a commit is told while the next is being written.
        """
        while self._has_something_to_write or not self._is_finishing:
            await self._write.wait()
            self._write.clear()
            if self._fault is not None:
                raise self._fault
            while self._has_something_to_write:
                if not await self._write_one():
                    if self._is_finishing:
                        return
                    break
                if self.dispatcher.ledger.commit.rows < PIPELINE_ROWS and not self._is_finishing:
                    break  # the turn that follows asks for the next commit

    async def _write_one(self) -> bool:
        """Write what has gathered; False when nothing was written."""
        accepts, self._accepts = self._accepts, []
        durable, self._durable = self._durable, []
        counted = self.dispatcher.settler.counters
        sent, finished = counted["sent"], counted["finished"]
        self._writing, self._accepting = self._accepting, 0
        self._patience_s, self._begun_at = inf, self.clock.now()
        commit = self.dispatcher.take_commit()
        if commit is None:
            assert not accepts, "what was accepted is in the ledger"
            self._tell(None, (), (), durable)
            return True
        try:
            if not commit.is_void:
                self.commit_since = self.clock.now()
                failpoints.before_commit(commit, self.dispatcher.ledger.writing_effects)
                await self.journal.commit(commit)
                failpoints.after_commit(commit, self.dispatcher.ledger.writing_effects)
        except (JournalFull, JournalBusy) as error:
            self._durable = durable + self._durable
            self._refuse(error, accepts)
            return False
        finally:
            self.commit_since = None
        if self.trouble is not None:
            self._log.warning("journal works again", after=str(self.trouble))
            self.trouble = None
        self._writing = 0
        commit, tickets = self.dispatcher.committed(self.clock.now(), self.clock.wall_ms())
        self.sent, self.finished = sent, finished
        self._inflow.committed(self._accepting, self.clock.now())
        if self._is_finishing:
            self._tell(commit, accepts, tickets, durable)
        else:
            self._loop.call_soon(self._guarded, self._tell, commit, accepts, tickets, durable)
        return True

    def _tell(
        self,
        commit: Commit | None,
        accepts: Sequence[Accepted],
        tickets: Sequence[Hashable],
        durable: Sequence[Callable[[], None]],
    ) -> None:
        """A commit is durable: clients, carriers and watchers hear of it."""
        for done in accepts:
            done(None)
        if accepts:
            failpoints.hit_soon("after-answer")
        self._settle(tickets)
        if commit is not None:
            self._publish(commit)
        for each in durable:
            each()
        self._inflow.resume_some()
        self.kick()

    def _refuse(self, error: JournalError, accepts: Sequence[Accepted]) -> None:
        if self.trouble is None:
            self._log.error("journal cannot be written", reason=str(error))
        self.trouble = error
        if isinstance(error, JournalFull):
            self.room.full()
        self._writing = 0
        self.dispatcher.commit_failed()
        # The next commit must not be empty, for it is how one learns that the journal can be written again.
        self.dispatcher.ledger.commit.settings["journal_failed_at_ms"] = str(self.clock.wall_ms())
        for done in accepts:
            done(error)
        self._loop.call_later(RETRY_COMMIT_S, self._write.set)

    def _settle(self, tickets: Sequence[Hashable]) -> None:
        for ticket in tickets:
            assert callable(ticket)
            ticket(True)
        if tickets:
            failpoints.hit_soon("after-acknowledgement")

    def _publish(self, commit: Commit) -> None:
        if not commit.events:
            return
        failpoints.hit("before-events")
        self.last_seq = commit.events[-1].seq
        if not self._watchers:
            return
        messages = {message.key: message for message in (*commit.accepted, *commit.received)}
        messages |= commit.changed
        told: list[tuple[Event, Message | None]] = [
            (event, messages.get(event.key)) for event in commit.events
        ]
        for watcher in tuple(self._watchers):
            watcher(told)

    # -- reading ----------------------------------------------------------------------------------------------------

    async def read(self) -> None:
        """The reader's life: answers what the dispatcher asks of the journal, in order."""
        while True:
            await self._read.wait()
            self._read.clear()
            while self._reads:
                read = self._reads.popleft()
                if isinstance(read, BacklogRead):
                    await self._read_backlog(read)
                else:
                    await self._read_one(read)
                self.kick()

    async def _read_backlog(self, first: BacklogRead) -> None:
        """Many queues may have few messages each: those that are asked for one after the other are read together."""
        reads = [first]
        wanted = first.limit
        while wanted < BLOCK_ROWS and self._reads and isinstance(read := self._reads[0], BacklogRead):
            reads.append(read)
            wanted += read.limit
            self._reads.popleft()
        found = await self._reader.backlog(reads)
        wall_ms = self.clock.wall_ms()
        for read, messages in zip(reads, found, strict=True):
            self.dispatcher.answer(read, messages, 0, wall_ms)

    async def _read_one(self, read: OtherRead) -> None:
        reader, reading = self._reader, self.dispatcher.reading
        next_due_ms = 0
        match read:
            case DueRead():
                messages = await reader.due(read.until_ms, read.limit)
                next_due_ms = await reader.next_due_ms(read.until_ms)
            case ReceiptRead():
                messages = [
                    message
                    for channel in read.channels
                    for message in await reader.receipts(channel, read.match_ids)
                ]
            case BatchRead():
                messages = await reader.batch(read)
            case ExpiredRead():
                reading.put_off(read)
                messages = await reader.expired(read, lambda: reading.begin(read))
            case OverdueRead():
                reading.put_off(read)
                messages = await reader.overdue(read, lambda: reading.begin(read))
            case KeyRead():
                messages = await reader.messages(read.keys)
            case UnansweredRead():
                messages = await reader.unanswered(read.before_ms, read.limit)
        self.dispatcher.answer(read, messages, next_due_ms, self.clock.wall_ms())
