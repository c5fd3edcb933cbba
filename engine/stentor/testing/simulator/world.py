"""The world around one dispatcher: a pump that keeps the order of the real one, clients, operators, crashes.

Time is a number that jumps from one event to the next. All that is random comes from one seeded source, and nothing
depends on the order of a set of texts, so a seed is a run. After every step the invariants are checked.
"""

from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from random import Random
from typing import Any, Final

from stentor.dispatch import Dispatcher, Limits
from stentor.driver import Capabilities, Inbound, Receipt
from stentor.errors import Refusal
from stentor.ids import IdGenerator, message_key
from stentor.message import Delivery, Message, Priority, Status
from stentor.outcome import Deferred, Outcome, Refused, Returned, Sent, Submission, Unknown
from stentor.records import DueRead, Read, ReceiptRead
from stentor.retry import RetryPolicy
from stentor.testing.simulator.carrier import Carrier, PeerLane
from stentor.testing.simulator.faults import CALM, Faults, Violation
from stentor.testing.simulator.invariants import check_end, check_memory, check_settled
from stentor.testing.simulator.journal import ModelJournal, Rows, rows_of
from stentor.text.segments import Encoding

HOUR_S: Final = 3600.0
CALM_S: Final = 600.0
"""The end of the time simulated, without faults and new messages."""
PATIENCE_S: Final = 4 * HOUR_S
"""After the last fault everything must be finished within this time."""
STEPS: Final = 60_000
START_MS: Final = 1_800_000_000_000
RETRY_COMMIT_S: Final = 0.5

TEXTS: Final = {1: "x", 2: "x" * 200, 3: "x" * 400}
ROUTES: Final = (("a",), ("a", "b"), ("b", "a"), ("b", "c", "a"), ("c",), ("c",), ("gone", "b"))


class Ticket:
    """Receipts and inbound messages that a carrier wants acknowledged."""

    def __init__(self, carrier: Carrier, items: Sequence[Receipt | Inbound], since: float) -> None:
        self.carrier = carrier
        self.items = items
        self.since = since


class World:
    """One run. ``lines`` is the trace, kept when ``is_traced``."""

    def __init__(self, seed: int, hours: float = 1.0, *, is_traced: bool = False) -> None:
        self.random = Random(seed)
        self.faults = Faults.drawn(self.random)
        self.lines: list[str] | None = [] if is_traced else None
        self.now = 0.0
        self.steps = 0
        self.calm_at = hours * HOUR_S - CALM_S
        self.is_calm = False
        self.journal = ModelJournal()
        self.dispatcher: Dispatcher | None = None
        self.life = 0
        self.counts = {"submitted": 0, "crashes": 0, "commits": 0, "handed": 0, "acknowledged": 0}
        # What the world knows to be true.
        self.accepted: dict[int, None] = {}
        self.refused: dict[int, None] = {}
        self.cancelled: dict[int, None] = {}
        self.delivery: dict[int, Delivery] = {}
        self.truth: dict[str, int] = {}
        self.fate: dict[int, str] = {}
        self.live: dict[int, Submission] = {}
        self.acknowledged: dict[str, tuple[Status, float]] = {}
        self.final_at: dict[int, float] = {}
        self._tickets: dict[Ticket, None] = {}
        self._ids_given = 0
        self._jump_ms = 0
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._event_number = 0
        self._draw_configuration()
        self._forget_life()
        self._begin_everything()

    def _draw_configuration(self) -> None:
        random = self.random
        self.limits = Limits(
            active=random.choice((4, 8, 16, 1000)),
            floor=random.choice((1, 2, 4)),
            block=random.choice((2, 5, 1000)),
            parked=1000,
            receipt_horizon_ms=900_000,
            missing_receipt_is_unknown=random.random() < 0.7,
        )
        self.retry = RetryPolicy(1.0, 3.0, 120.0, 6)
        family = random.choice(("", "family"))
        self.carriers = {
            name: Carrier(
                self,
                name,
                Capabilities(
                    unit="segment",
                    batch_limit=random.choice((1, 3, 500)),
                    receipts=random.choice(("segment", "segment", "segment", "none")),
                    receipt_family=family if name != "c" else "",
                ),
                rate=random.choice((0.0, 0.0, 0.5, 5.0)),
                lanes=random.choice((1, 2, 3)),
            )
            for name in ("a", "b", "c")
        }
        self.windows = random.choice(((1,), (1, 2, 4), (4, 10), (50,)))

    def _forget_life(self) -> None:
        """What a crash leaves nothing of."""
        self.trouble = False
        self.writing: Rows | None = None
        self._is_durable = False
        self._is_kicked = False
        self._is_write_due = False
        self._timer = 0
        self._timer_at = 0.0
        self._reads: deque[Read] = deque()
        self._is_reading = False
        self._accepts: list[list[Message]] = []
        self._accepts_writing: list[list[Message]] = []
        self._durable: list[Callable[[], None]] = []
        self._durable_writing: list[Callable[[], None]] = []
        self.resolved: list[tuple[PeerLane, int]] = []
        self._resolved_writing: list[tuple[PeerLane, int]] = []
        self.started_finished = 0

    def _begin_everything(self) -> None:
        self.after(0.0, self.boot)
        self.every(90.0, self.submit)
        faults = self.faults
        for mean_s, action in (
            (faults.link_lost_s, self.lose_link),
            (faults.lane_changed_s, self.change_lane),
            (faults.paused_s, self.pause),
            (faults.removed_s, self.remove),
            (faults.adjusted_s, self.adjust),
            (faults.clock_jumps_s, self.jump),
            (faults.cancelled_s, self.cancel),
            (60.0, self.receive_inbound),
        ):
            if mean_s:
                self.every(mean_s, action)
        self.after(self.calm_at, self.calm_down)

    # -- time -----------------------------------------------------------------------------------------------------

    @property
    def wall_ms(self) -> int:
        return START_MS + int(self.now * 1000) + self._jump_ms

    def after(self, delay_s: float, action: Callable[..., None], *values: Any) -> None:
        self._event_number += 1
        heappush(self._events, (self.now + delay_s, self._event_number, action, values))

    def every(self, mean_s: float, action: Callable[[], None]) -> None:
        """Do it again and again until the calm."""

        def again() -> None:
            if not self.is_calm:
                action()
                self.after(self.random.expovariate(1 / mean_s), again)

        self.after(self.random.expovariate(1 / mean_s), again)

    def trace(self, what: str, *values: object) -> None:
        if self.lines is not None:
            self.lines.append(f"{self.now:12.4f} {what} {' '.join(map(repr, values))}")

    def run(self) -> None:
        """To the end. Raises Violation, or whatever assertion of the engine fails."""
        while self._events:
            self.now, _, action, values = heappop(self._events)
            action(*values)
            self.steps += 1
            if self.dispatcher is not None:
                check_memory(self)
                if self.random.random() < self.faults.crash:
                    self.crash()
            if self.is_calm and self._is_over():
                break
            if self.steps > STEPS or self.now > self.calm_at + PATIENCE_S:
                raise Violation(f"not finished: {self._unfinished()}")
        check_end(self)

    def _is_over(self) -> bool:
        dispatcher = self.dispatcher
        return (
            dispatcher is not None
            and not self.journal.unsent
            and self.writing is None
            and dispatcher.ledger.is_empty
            and not self._unfinished()
        )

    def _unfinished(self) -> list[str]:
        journal = self.journal
        if len(self.final_at) == len(journal.messages) - len(journal.received):
            return []
        return [
            f"{key} {row.status.word}"
            for key, row in journal.messages.items()
            if key not in self.final_at and row.status is not Status.RECEIVED
        ]

    # -- start and crash --------------------------------------------------------------------------------------------

    def boot(self) -> None:
        recovery = self.journal.recovery()
        self.trace("boot", recovery.backlog, recovery.scheduled, len(recovery.leased))
        ids = IdGenerator(self.random.randbytes, recovery.last_key)
        self._ids = ids
        self.started_finished = len(self.final_at)
        dispatcher = Dispatcher(recovery, self.limits, self.retry, ids, self.random.random)
        self.dispatcher = dispatcher
        for carrier in self.carriers.values():
            if carrier.is_configured:
                self._configure(carrier)
        dispatcher.start(self.now, self.wall_ms)
        self.kick()

    def _configure(self, carrier: Carrier) -> None:
        assert self.dispatcher is not None
        carrier.is_configured = True
        self.dispatcher.add_channel(carrier.name, "model", carrier.capabilities, carrier.rate, self.now)
        for lane in carrier.lanes.values():
            lane.bucket = type(lane.bucket)()
            self.after(self.random.choice((0.1, 1.0, 20.0)), self.connect, carrier, lane)
        carrier.bucket = type(carrier.bucket)()
        carrier.bucket.set_rate(carrier.rate)

    def connect(self, carrier: Carrier, lane: PeerLane) -> None:
        if not lane.window:
            window = self.random.choice(self.windows)
            carrier.link_up(lane, window, self.random.choice((None, 0.0, 2.0)))

    def crash(self) -> None:
        """The process is gone between two steps; what was being written may be durable or not."""
        self.trace("crash")
        self.counts["crashes"] += 1
        if self.writing is not None and not self._is_durable and self.random.random() < 0.5:
            self._apply()
        self.dispatcher = None
        self.life += 1
        self._forget_life()
        for carrier in self.carriers.values():
            carrier.connection_lost()
        for ticket in self._tickets:
            ticket.carrier.outbox += ticket.items
            if not ticket.carrier.is_sending:
                ticket.carrier.is_sending = True
                self.after(5.0, ticket.carrier.send)
        self._tickets.clear()
        for token in self.live:
            self.fate[token] = "doubt"
        self.live.clear()
        for token, fate in self.fate.items():
            if fate == "settled" and not self._is_result_durable(token):
                self.fate[token] = "doubt"
        self.after(self.random.choice((0.5, 5.0, 60.0)), self.boot)

    def _is_result_durable(self, token: int) -> bool:
        row = self.journal.segments.get(token)
        message = self.journal.messages[message_key(token)]
        return bool(message.final_at_ms) or (row is not None and row[1].status >= Status.SENT)

    # -- the pump ---------------------------------------------------------------------------------------------------

    def kick(self) -> None:
        if not self._is_kicked:
            self._is_kicked = True
            self.after(self.random.choice((0.0, 0.0, 0.001)), self.turn, self.life)

    def turn(self, life: int) -> None:
        dispatcher = self.dispatcher
        if life != self.life or dispatcher is None:
            return
        self._is_kicked = False
        dispatcher.tick(self.now, self.wall_ms)
        dispatcher.flush(self.now, self.wall_ms)
        for lane, batch in dispatcher.take_outgoing():
            self.counts["handed"] += len(batch)
            self.trace("submit", lane.key, *[(each.token, each.attempt) for each in batch])
            carrier = self.carriers[lane.channel.name]
            if not carrier.is_configured:
                raise Violation(f"{lane.key} is gone and was handed {len(batch)}")
            carrier.submit(lane.key, batch)
        self._reads += dispatcher.take_reads()
        self._read_next()
        if not self.trouble and dispatcher.ledger.writing is None and self._has_something_to_write:
            self._write_soon(0.0)
        self._set_timer(dispatcher.next_wake(self.now, self.wall_ms))

    def _set_timer(self, at: float) -> None:
        if self._timer_at > self.now and abs(self._timer_at - at) < 0.001:
            return
        self._timer += 1
        self._timer_at = at
        self.after(max(0.0, at - self.now), self._wake, self.life, self._timer)

    def _wake(self, life: int, timer: int) -> None:
        if life == self.life and timer == self._timer:
            self.kick()

    # -- the writer -------------------------------------------------------------------------------------------------

    @property
    def _has_something_to_write(self) -> bool:
        return bool(self._durable) or (self.dispatcher is not None and not self.dispatcher.ledger.is_empty)

    def _write_soon(self, delay_s: float) -> None:
        if not self._is_write_due:
            self._is_write_due = True
            self.after(delay_s, self.write, self.life)

    def write(self, life: int) -> None:
        dispatcher, random, faults = self.dispatcher, self.random, self.faults
        if life != self.life or dispatcher is None:
            return
        self._is_write_due = False
        self._accepts_writing, self._accepts = self._accepts, []
        self._durable_writing, self._durable = self._durable, []
        commit = dispatcher.take_commit()
        if commit is None:
            if self._accepts_writing:
                raise Violation("clients wait for a commit that holds nothing")
            for done in self._durable_writing:
                done()
            return
        self._resolved_writing, self.resolved = self.resolved, []
        if commit.is_void:
            self.told(life)
            return
        self.writing = rows_of(commit)
        self._is_durable = False
        self.counts["commits"] += 1
        took_s = random.choice((1.0, 20.0)) if random.random() < faults.commit_slow else 0.005
        if random.random() < faults.commit_fails:
            self.after(took_s, self.commit_failed, life)
        else:
            self.after(took_s, self.commit_durable, life)

    def commit_durable(self, life: int) -> None:
        if life != self.life:
            return
        self._apply()
        is_late = self.random.random() < self.faults.told_late
        self.after(self.random.choice((0.001, 0.1, 2.0)) if is_late else 0.0, self.told, life)

    def _apply(self) -> None:
        assert self.writing is not None
        self._is_durable = True
        self.journal.apply(self.writing)
        for key in self.writing.new.keys() | self.writing.changed.keys():
            if key in self.refused:
                raise Violation(f"message {key} was refused and is stored")
            if key not in self.final_at and self.journal.messages[key].final_at_ms:
                if self.journal.messages[key].status is not Status.RECEIVED:
                    self.final_at[key] = self.now

    def told(self, life: int) -> None:
        """The pump hears that the commit is durable."""
        dispatcher = self.dispatcher
        if life != self.life or dispatcher is None:
            return
        self.trouble = False
        self.writing = None
        _, tickets = dispatcher.committed(self.now, self.wall_ms)
        self.trace("committed", self.counts["commits"])
        for messages in self._accepts_writing:
            for message in messages:
                self.accepted[message.key] = None
        for lane, token in self._resolved_writing:
            lane.undurable.pop(token, None)
        self._resolved_writing = []
        for done in self._durable_writing:
            done()
        for ticket in tickets:
            assert isinstance(ticket, Ticket)
            self._settle(ticket)
        self.kick()

    def commit_failed(self, life: int) -> None:
        dispatcher = self.dispatcher
        if life != self.life or dispatcher is None:
            return
        self.trace("commit failed", self.counts["commits"])
        self.trouble = True
        self.writing = None
        dropped = dispatcher.commit_failed()
        for messages in self._accepts_writing:
            for message in messages:
                self.refused[message.key] = None
        if {message.key for message in dropped.accepted} - self.refused.keys():
            raise Violation("a failed commit dropped what nobody was told of")
        self.resolved = self._resolved_writing + self.resolved
        self._durable = self._durable_writing + self._durable
        self._write_soon(RETRY_COMMIT_S)

    # -- the reader -------------------------------------------------------------------------------------------------

    def _read_next(self) -> None:
        if self._reads and not self._is_reading:
            self._is_reading = True
            self.after(self._read_s(), self.look, self.life, self._reads.popleft())

    def _read_s(self) -> float:
        random = self.random
        return random.choice((0.01, 0.3, 3.0)) if random.random() < self.faults.read_slow else 0.001

    def look(self, life: int, read: Read) -> None:
        """The snapshot is taken now; the answer comes later."""
        if life != self.life:
            return
        if isinstance(read, ReceiptRead):
            self.look_for_receipts(life, read, read.channels, [])
        else:
            self.after(self._read_s(), self.look_further, life, read, self.journal.read(read))

    def look_for_receipts(
        self, life: int, read: ReceiptRead, channels: tuple[str, ...], found: list[Message]
    ) -> None:
        """One channel after the other, each a read of its own."""
        if life != self.life:
            return
        if not channels:
            self.answer(life, read, found, 0)
            return
        found = found + self.journal.awaiting(channels[0], read.match_ids)
        self.after(self._read_s(), self.look_for_receipts, life, read, channels[1:], found)

    def look_further(self, life: int, read: Read, messages: list[Message]) -> None:
        if life != self.life:
            return
        next_due_ms = self.journal.next_due_ms(read.until_ms) if isinstance(read, DueRead) else 0
        self.after(self._read_s(), self.answer, life, read, messages, next_due_ms)

    def answer(self, life: int, read: Read, messages: list[Message], next_due_ms: int) -> None:
        dispatcher = self.dispatcher
        if life != self.life or dispatcher is None:
            return
        self.trace("read", read, [message.key for message in messages], next_due_ms)
        dispatcher.answer(read, messages, next_due_ms, self.wall_ms)
        self._is_reading = False
        self._read_next()
        self.kick()

    # -- clients ----------------------------------------------------------------------------------------------------

    def submit(self) -> None:
        dispatcher, random = self.dispatcher, self.random
        if dispatcher is None or self.trouble:
            return
        route, account = random.choice(ROUTES), random.choice(("one", "two"))
        messages = [
            self._message(random.choice(ROUTES) if random.random() < 0.3 else route, account)
            for _ in range(random.choice((1, 1, 2, 5, 25)))
        ]
        self.counts["submitted"] += len(messages)
        self.trace("accept", *[(message.key, message.route, message.status) for message in messages])
        dispatcher.accept(messages, ())
        self._accepts.append(messages)
        self.kick()

    def _message(self, route: tuple[str, ...], account: str) -> Message:
        random, wall_ms = self.random, self.wall_ms
        key, tail = self._ids.next(wall_ms)
        segments = random.choice((1, 1, 1, 2, 3))
        delay_ms = random.choice((0, 0, 0, 1_000, 60_000, 600_000))
        delivery = self.delivery[key] = random.choice(tuple(Delivery))
        return Message(
            key=key,
            tail=tail,
            account=account,
            to="+40700000001",
            originator="1234",
            text=TEXTS[segments],
            encoding=Encoding.GSM7,
            segments=segments,
            submitted_at_ms=wall_ms,
            due_at_ms=wall_ms + delay_ms,
            expires_at_ms=wall_ms + delay_ms + random.choice((5_000, 300_000, 7_200_000)),
            route=route,
            priority=random.choice(tuple(Priority)),
            status=Status.SCHEDULED if delay_ms else Status.QUEUED,
            delivery=delivery,
            wants_receipt=random.random() < 0.8,
            send_at_ms=wall_ms + delay_ms if delay_ms else 0,
        )

    def cancel(self) -> None:
        """A client cancels something it may know of; it is read first, as the API does."""
        if self.dispatcher is not None and self.journal.unsent:
            key = self.random.choice(list(self.journal.unsent))
            stored = self.journal.message(key)
            self.after(self.random.choice((0.0, 0.001)), self.cancel_stored, self.life, stored)

    def cancel_stored(self, life: int, stored: Message) -> None:
        if life != self.life or self.dispatcher is None:
            return
        try:
            self.dispatcher.cancel(stored, self.wall_ms)
        except Refusal as refusal:
            self.trace("not cancelled", stored.key, str(refusal))
            return
        self.trace("cancelled", stored.key)

        def done() -> None:
            self.cancelled[stored.key] = None
            if self.journal.messages[stored.key].status is not Status.CANCELLED:
                raise Violation(f"message {stored.key} was said to be cancelled and is not")

        self._durable.append(done)
        self.kick()

    # -- operators and the weather ------------------------------------------------------------------------------------

    def _some_carrier(self) -> Carrier:
        return self.random.choice(list(self.carriers.values()))

    def lose_link(self) -> None:
        carrier = self._some_carrier()
        lane = self.random.choice(list(carrier.lanes.values()))
        if lane.window:
            carrier.link_down(lane, is_removed=self.random.random() < 0.3)
            self.after(self.random.choice((0.01, 5.0, 100.0)), self.connect, carrier, lane)

    def change_lane(self) -> None:
        carrier = self._some_carrier()
        lane = self.random.choice(list(carrier.lanes.values()))
        if lane.window:
            carrier.link_up(lane, self.random.choice(self.windows), self.random.choice((None, 0.0, 0.5, 4.0)))

    def pause(self) -> None:
        carrier = self._some_carrier()
        if self.dispatcher is not None and carrier.is_configured:
            self._set_paused(carrier, True)
            self.after(self.random.choice((0.0, 10.0, 300.0)), self._set_paused, carrier, False)

    def _set_paused(self, carrier: Carrier, paused: bool) -> None:
        if self.dispatcher is not None and carrier.is_configured:
            self.trace("pause", carrier.name, paused)
            self.dispatcher.set_paused(carrier.name, paused, self.wall_ms)
            self.kick()

    def remove(self) -> None:
        """A new configuration leaves a channel out for a while."""
        carrier = self._some_carrier()
        if self.dispatcher is None or not carrier.is_configured:
            return
        for lane in carrier.lanes.values():
            carrier.link_down(lane, is_removed=True)
        self.trace("remove", carrier.name)
        carrier.is_configured = False
        self.dispatcher.remove_channel(carrier.name, self.now, self.wall_ms)
        self.kick()
        self.after(self.random.choice((0.0, 5.0, 60.0)), self.add, carrier)

    def add(self, carrier: Carrier) -> None:
        if carrier.is_configured:
            return
        if self.dispatcher is None:
            carrier.is_configured = True
            return
        self.trace("add", carrier.name)
        self._configure(carrier)
        self.kick()

    def adjust(self) -> None:
        limits = self.random.choice((2, 8, 30, 1000))
        if self.dispatcher is not None:
            old = self.limits
            self.limits = Limits(
                limits, old.floor, old.block, old.parked, old.parked_age_ms, old.receipt_horizon_ms,
                old.missing_receipt_is_unknown,
            )  # fmt: skip
            self.dispatcher.adjust(self.limits, self.retry)

    def jump(self) -> None:
        """Somebody sets the wall clock."""
        self._jump_ms += self.random.choice((-600_000, -5_000, -1, 1, 5_000, 60_000))
        self.kick()

    def receive_inbound(self) -> None:
        carrier = self._some_carrier()
        if self.random.random() < self.faults.receipt_unknown:
            carrier.post(Receipt(self.fresh_id(), Status.DELIVERED))
        text = f"in {self._event_number}"
        carrier.post(Inbound("+40711111111", "1234", text))

    def calm_down(self) -> None:
        """From now on all goes well."""
        self.trace("calm")
        self.is_calm = True
        self.faults = CALM
        for carrier in self.carriers.values():
            self.after(5.0, self.add, carrier)
            self.after(10.0, self._set_paused, carrier, False)
            self.after(90.0, self._set_paused, carrier, False)
            for lane in carrier.lanes.values():
                self.after(100.0, self.connect, carrier, lane)

    # -- truth --------------------------------------------------------------------------------------------------------

    def fresh_id(self) -> str:
        self._ids_given += 1
        return f"id{self._ids_given}"

    def may_be_repeated(self, token: int) -> bool:
        return self.delivery[message_key(token)] is Delivery.AT_LEAST_ONCE

    def check_submission(self, submission: Submission) -> None:
        """Something is handed to a driver: may it be?"""
        token = submission.token
        row = self.journal.messages.get(message_key(token))
        fate = self.fate.get(token)
        if row is None:
            raise Violation(f"segment {token} left before its message was stored")
        if row.final_at_ms:
            raise Violation(f"segment {token} left though its message is {row.status.word}")
        if token in self.live:
            raise Violation(f"segment {token} left twice at once")
        if fate == "settled":
            raise Violation(f"segment {token} left again though its result was known")
        if not self.may_be_repeated(token):
            if fate == "doubt":
                raise Violation(f"segment {token} left again, its message may be sent at most once")
            if row.status is not Status.SENDING:
                raise Violation(f"segment {token} left before its lease was durable")
        self.live[token] = submission

    def note_outcome(self, lane: PeerLane, outcome: Outcome) -> None:
        """A driver answers for a submission."""
        token = outcome.submission.token
        self.live.pop(token, None)
        match outcome:
            case Sent() | Refused():
                self.fate[token] = "settled"
            case Unknown():
                self.fate[token] = "doubt"
            case Deferred() | Returned():
                self.fate[token] = "free"
        if isinstance(outcome, Returned):
            lane.undurable.pop(token, None)
        else:
            self.resolved.append((lane, token))

    def note_removed(self, lane: PeerLane) -> None:
        """A new lane of the same name will start with a window and a bucket of its own."""
        lane.undurable.clear()
        lane.most = 0
        lane.rate = 0.0
        lane.bucket = type(lane.bucket)()

    def new_ticket(self, carrier: Carrier, items: Sequence[Receipt | Inbound]) -> Ticket:
        ticket = Ticket(carrier, items, self.now)
        self._tickets[ticket] = None
        return ticket

    def _settle(self, ticket: Ticket) -> None:
        self._tickets.pop(ticket, None)
        self.counts["acknowledged"] += len(ticket.items)
        for item in ticket.items:
            check_settled(self, item)
            if isinstance(item, Receipt) and item.status is not Status.SENT:
                self.acknowledged.setdefault(item.match_id, (item.status, self.now))
