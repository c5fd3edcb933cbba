"""A pump without a loop: one incarnation of the daemon, from start to crash.

It calls the dispatcher in the order of the real pump: facts, then one turn for all of them; one commit at a time, one
read at a time. Commits and reads take time, commits fail, and what is durable may be heard of late.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from stentor.dispatch.dispatcher import Dispatcher
from stentor.ids import IdGenerator, message_key
from stentor.journal.flight_record import SLOT_OCTETS, FlightRecord, cells_of
from stentor.journal.records import DueRead, ExpiredRead, KeyRead, OverdueRead, Read, ReceiptRead
from stentor.message import Message, Status
from stentor.testing.simulator.faults import Violation
from stentor.testing.simulator.journal import Rows, rows_of
from stentor.testing.simulator.lane import PeerLane
from stentor.testing.simulator.scene import Scene, Ticket

RETRY_COMMIT_S: Final = 0.5


class ModelPump:
    """The running dispatcher. ``trouble``: the last commit failed. ``writing``: rows on their way to the journal.
    ``is_touched``: something was done since the invariants were last checked."""

    def __init__(self, world: Scene) -> None:
        recovery = world.journal.recovery()
        self.world = world
        record = FlightRecord(cells_of(world.flights), self._grow)
        recovery.noted = record.noted
        recovery.departed = [
            message
            for key in sorted({message_key(each.token) for each in recovery.noted})
            if (message := world.journal.message(key)).status < Status.SENT
        ]
        world.trace("start", recovery.backlog, recovery.scheduled, len(recovery.leased), recovery.noted)
        self.ids = IdGenerator(world.random.randbytes, recovery.last_key)
        self.dispatcher = Dispatcher(
            recovery, world.limits, world.retry, self.ids, world.random.random, record=record
        )
        self.finished_before = len(world.final_at)
        self.is_dead = False
        self.is_touched = True
        self.trouble = False
        self.writing: Rows | None = None
        self.is_durable = False
        self.tickets: dict[Ticket, None] = {}
        self._is_kicked = False
        self._is_write_due = False
        self._timer = 0
        self._timer_at = 0.0
        self._reads: deque[Read] = deque()
        self._is_reading = False
        self._accepts: list[Sequence[Message]] = []
        self._accepts_writing: list[Sequence[Message]] = []
        self._durable: list[Callable[[], None]] = []
        self._durable_writing: list[Callable[[], None]] = []
        # Lanes and tokens of results that are not durable yet.
        self._resolved: list[tuple[PeerLane, int]] = []
        self._resolved_writing: list[tuple[PeerLane, int]] = []

    def _grow(self, slots: int) -> memoryview:
        """Room for more in the record of flights; what stands in it is copied by who asks."""
        self.world.flights = bytearray(slots * SLOT_OCTETS)
        return cells_of(self.world.flights)

    def after(self, delay_s: float, action: Callable[..., None], *values: Any) -> None:
        """Do something later, unless the daemon has crashed by then."""

        def unless_dead() -> None:
            if not self.is_dead:
                action(*values)

        self.world.after(delay_s, unless_dead)

    # -- facts --------------------------------------------------------------------------------------------------

    def kick(self) -> None:
        """Something happened: decide before anything else does, or very soon after."""
        self.is_touched = True
        self._kick()

    def _kick(self) -> None:
        if not self._is_kicked:
            self._is_kicked = True
            self.after(self.world.random.choice((0.0, 0.0, 0.001)), self.turn)

    def accept(self, messages: Sequence[Message]) -> None:
        self.dispatcher.accept(messages, ())
        self._accepts.append(messages)
        self.kick()

    def when_durable(self, done: Callable[[], None]) -> None:
        """Call ``done`` after the commit that holds everything decided so far."""
        self._durable.append(done)
        self.kick()

    def note_result(self, lane: PeerLane, token: int) -> None:
        """A submission has a result; until it is durable it counts against the lane's window."""
        self._resolved.append((lane, token))

    # -- the turn -----------------------------------------------------------------------------------------------

    def turn(self) -> None:
        world, dispatcher = self.world, self.dispatcher
        self._is_kicked = False
        self.is_touched = True
        dispatcher.tick(world.now, world.wall_ms)
        dispatcher.flush(world.now, world.wall_ms)
        for lane, batch in dispatcher.take_outgoing():
            world.hand_over(lane.channel.name, lane.key, batch)
        self.recall()
        for channel, segments in dispatcher.take_questions():
            world.carriers[channel].query(segments)
        for channel, segments in dispatcher.take_withdrawals():
            world.carriers[channel].withdraw(segments)
        self._reads += dispatcher.take_reads()
        self._read_next()
        if not self.trouble and dispatcher.ledger.writing is None and self._has_something_to_write:
            self._write_soon(0.0)
        self._set_timer(dispatcher.next_wake(world.now, world.wall_ms))

    def recall(self) -> None:
        """Drivers give back what is cancelled, or have it asked back."""
        cancelling = self.dispatcher.cancelling
        for channel, submissions in cancelling.take_recalls():
            asked = self.world.carriers[channel].recall(submissions)
            cancelling.recalled(submissions, asked)

    def _set_timer(self, at: float) -> None:
        now = self.world.now
        if self._timer_at > now and abs(self._timer_at - at) < 0.001:
            return
        self._timer += 1
        self._timer_at = at
        self.after(max(0.0, at - now), self._wake, self._timer)

    def _wake(self, timer: int) -> None:
        if timer == self._timer:
            self._timer_at = 0.0
            self._kick()

    # -- the writer ---------------------------------------------------------------------------------------------

    @property
    def _has_something_to_write(self) -> bool:
        return bool(self._durable) or not self.dispatcher.ledger.is_empty

    def _write_soon(self, delay_s: float) -> None:
        if not self._is_write_due:
            self._is_write_due = True
            self.after(delay_s, self.write)

    def write(self) -> None:
        random, faults = self.world.random, self.world.faults
        self._is_write_due = False
        self._accepts_writing, self._accepts = self._accepts, []
        self._durable_writing, self._durable = self._durable, []
        commit = self.dispatcher.take_commit()
        if commit is None:
            # Nothing is left of a commit that failed: the next one may go through.
            self.trouble = False
            if self._accepts_writing:
                raise Violation("clients wait for a commit that holds nothing")
            for done in self._durable_writing:
                done()
            return
        self._resolved_writing, self._resolved = self._resolved, []
        if commit.is_void:
            self.told()
            return
        self.writing = rows_of(commit)
        self.is_durable = False
        self.world.counts["commits"] += 1
        took_s = random.choice((1.0, 20.0)) if random.random() < faults.commit_slow else 0.005
        self.after(
            took_s, self.commit_failed if random.random() < faults.commit_fails else self.commit_durable
        )

    def commit_durable(self) -> None:
        assert self.writing is not None
        self.world.apply(self.writing)
        self.is_durable = self.is_touched = True
        is_late = self.world.random.random() < self.world.faults.told_late
        self.after(self.world.random.choice((0.001, 0.1, 2.0)) if is_late else 0.0, self.told)

    def told(self) -> None:
        """The pump hears that the commit is durable."""
        world = self.world
        self.trouble = False
        self.writing = None
        _, tickets = self.dispatcher.committed(world.now, world.wall_ms)
        world.trace("committed", world.counts["commits"])
        for messages in self._accepts_writing:
            for message in messages:
                world.accepted[message.key] = None
        for lane, token in self._resolved_writing:
            lane.undurable.pop(token, None)
        self._resolved_writing = []
        for done in self._durable_writing:
            done()
        for ticket in tickets:
            world.settle(ticket)
        self.kick()

    def commit_failed(self) -> None:
        world = self.world
        world.trace("commit failed", world.counts["commits"])
        self.trouble = True
        self.writing = None
        dropped = self.dispatcher.commit_failed()
        for messages in self._accepts_writing:
            for message in messages:
                world.refused[message.key, message.tail] = None
        if {(message.key, message.tail) for message in dropped.accepted} - world.refused.keys():
            raise Violation("a failed commit dropped what nobody was told of")
        self._resolved = self._resolved_writing + self._resolved
        self._durable = self._durable_writing + self._durable
        self._write_soon(RETRY_COMMIT_S)

    # -- the reader ---------------------------------------------------------------------------------------------

    def _read_next(self) -> None:
        if self._reads and not self._is_reading:
            self._is_reading = True
            self.after(self._read_s(), self.look, self._reads.popleft())

    def _read_s(self) -> float:
        random = self.world.random
        return random.choice((0.01, 0.3, 3.0)) if random.random() < self.world.faults.read_slow else 0.001

    def look(self, read: Read) -> None:
        """The snapshot is taken now; the answer comes later."""
        if isinstance(read, ReceiptRead):
            self.look_for_receipts(read, read.channels, [])
        elif isinstance(read, (ExpiredRead, OverdueRead)):
            self.dispatcher.reading.put_off(read)
            keys = [message.key for message in self.world.journal.read(read)]
            self.after(self._read_s(), self.look_at, read, keys)
        else:
            self.after(self._read_s(), self.look_further, read, self.world.journal.read(read))

    def look_at(self, read: Read, keys: Sequence[int]) -> None:
        """It is known which messages are meant: now they are read."""
        self.dispatcher.reading.begin(read)
        self.after(self._read_s(), self.look_further, read, self.world.journal.read(KeyRead(tuple(keys))))

    def look_for_receipts(self, read: ReceiptRead, channels: Sequence[str], found: list[Message]) -> None:
        """One channel after the other, each a read of its own."""
        if not channels:
            self.answer(read, found, 0)
            return
        found = found + self.world.journal.awaiting(channels[0], read.match_ids)
        self.after(self._read_s(), self.look_for_receipts, read, channels[1:], found)

    def look_further(self, read: Read, messages: list[Message]) -> None:
        next_due_ms = self.world.journal.next_due_ms(read.until_ms) if isinstance(read, DueRead) else 0
        self.after(self._read_s(), self.answer, read, messages, next_due_ms)

    def answer(self, read: Read, messages: list[Message], next_due_ms: int) -> None:
        self.world.trace("read", read, [message.key for message in messages], next_due_ms)
        self.dispatcher.answer(read, messages, next_due_ms, self.world.wall_ms)
        self._is_reading = False
        self._read_next()
        self.kick()
