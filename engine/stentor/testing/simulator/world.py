"""The world around one dispatcher: clients, operators, clocks, crashes, and what is true.

Time is a number that jumps from one event to the next. All that is random comes from one seeded source, and nothing
depends on the order of a set of texts, so a seed is a run. After every step the invariants are checked.
"""

from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush
from random import Random
from typing import Any, Final

import msgspec

from stentor.dispatch.dispatcher import Dispatcher, Limits
from stentor.driver import Capabilities, Inbound, Receipt
from stentor.ids import message_key
from stentor.journal.flight_record import SLOT_OCTETS
from stentor.message import Status
from stentor.outcome import Outcome, Returned, Sent, Submission
from stentor.retry import RetryPolicy
from stentor.testing.simulator.carrier import Carrier
from stentor.testing.simulator.clients import Clients
from stentor.testing.simulator.fairness import WatchedQueue
from stentor.testing.simulator.fates import Fates
from stentor.testing.simulator.faults import CALM, Faults, Violation
from stentor.testing.simulator.handsets import ROOM, Handsets
from stentor.testing.simulator.holds import Holds
from stentor.testing.simulator.invariants import check_end, check_memory, check_settled
from stentor.testing.simulator.journal import ModelJournal, Rows
from stentor.testing.simulator.lane import PeerLane
from stentor.testing.simulator.limits import LimitWatch, drawn_quiet, drawn_rules
from stentor.testing.simulator.order import check_order
from stentor.testing.simulator.pump import ModelPump
from stentor.testing.simulator.scene import Ticket
from stentor.testing.simulator.texts import CODINGS
from stentor.testing.simulator.validity import check_expired, check_leaving

HOUR_S: Final = 3600.0
RUSH_S: Final = 600.0
CALM_S: Final = 600.0
"""The end of the time simulated, without faults and new messages."""
PATIENCE_S: Final = 4 * HOUR_S
"""After the last fault everything must be finished within this time."""
COUNTS: Final = (
    "submitted",
    "crashes",
    "commits",
    "handed",
    "late",
    "asked",
    "looked_up",
    "withdrawn",
    "acknowledged",
)
STEPS: Final = 60_000
START_MS: Final = 1_800_000_000_000


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
        # What a process stored there outlives it.
        self.flights = bytearray(2 * SLOT_OCTETS)
        self.fates = Fates(self.journal)
        self.clients = Clients(self)
        self.pump: ModelPump | None = None
        self.counts = dict.fromkeys(COUNTS, 0)
        # What the world knows to be true.
        self.accepted: dict[int, None] = {}
        self.refused: dict[tuple[int, int], None] = {}
        self.cancelled: dict[int, None] = {}
        self.truth: dict[str, int] = {}
        self.unnamed: dict[int, dict[Status, None]] = {}
        self.said: dict[str, Submission] = {}
        self.acknowledged: dict[str, tuple[Status, float]] = {}
        self.handsets = Handsets(self)
        self.final_at: dict[int, float] = {}
        self.booted_ms = 0
        # The process goes on, and so does its clock.
        # One world in twenty sees a rush, and remembers all of it.
        self.has_rush = seed % 20 == 7
        self.is_steady = not (self.faults.crash or self.faults.clock_jumps_s)
        self.are_held = False
        self.is_clock_set = self.faults.clock_jumps_s > 0.0
        self._is_prompt = self.faults.is_prompt
        self._ids_given = 0
        self._jump_ms = 0
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._event_number = 0
        self._draw_configuration(seed)
        self._begin_everything()

    def _draw_configuration(self, seed: int) -> None:
        random = self.random
        self.limits = Limits(
            active=random.choice((4, 8, 16, 1000)) if not self.has_rush else 1000,
            floor=random.choice((1, 2, 4)),
            block=random.choice((2, 5, 1000)),
            parked=1000,
            parts=random.choice((4, ROOM, ROOM)),
            join_timeout_ms=random.choice((30_000, 600_000, 1_800_000)),
            receipt_horizon_ms=900_000,
            missing_receipt_is_unknown=random.random() < 0.7,
            doubts=random.choice((3, 1000)),
            doubt_horizon_ms=random.choice((60_000, 600_000)),
        )
        self.retry = RetryPolicy(1.0, 3.0, 120.0, 6)
        family = random.choice(("", "family"))
        # Of its own, so that what else a seed draws stays as it is.
        answering = Random(~seed)
        self._carriers = {
            name: Carrier(
                self,
                name,
                Capabilities(
                    unit=random.choice(("segment", "segment", "segment", "message")),
                    batch_limit=random.choice((1, 3, 500)),
                    receipts=random.choice(("segment", "segment", "segment", "none")),
                    receipt_family=family if name != "c" else "",
                    is_idempotent=random.random() < 0.35,
                    echoes_reference=random.random() < 0.5,
                    can_look_up=answering.random() < 0.5,
                    query_after_s=random.choice((0.0, 0.0, 60.0, 200.0)),
                    can_cancel=random.random() < 0.5,
                    coding=random.choice(CODINGS),
                    schedules_s=random.choice((0.0, 0.0, 0.0, 30.0, 900.0)),
                ),
                rate=random.choice((0.0, 0.0, 0.5, 5.0)),
                lanes=random.choice((1, 2, 3)),
            )
            for name in ("a", "b", "c")
        }
        for number, carrier in enumerate(self._carriers.values()):
            carrier.can_recall(is_able=(seed + number) % 2 == 0)
        self.windows = random.choice(((1,), (1, 2, 4), (4, 10), (50,)))
        self.watch = LimitWatch(drawn_rules(random), drawn_quiet(random))
        self.quiet = self.watch.hours if self.watch.quiet else None
        self.holds = Holds(self)

    def _begin_everything(self) -> None:
        self.after(0.0, self.boot)
        self.every(150.0, self.submit)
        faults = self.faults
        for mean_s, action in (
            (faults.link_lost_s, self.lose_link),
            (faults.lane_changed_s, self.change_lane),
            (faults.paused_s, self.pause),
            (faults.held_s, self.holds.act),
            (faults.removed_s, self.remove),
            (faults.adjusted_s, self.adjust),
            (faults.clock_jumps_s, self.jump),
            (faults.cancelled_s, self.cancel),
            (200.0, self.receive_inbound),
        ):
            if mean_s:
                self.every(mean_s, action)
        if self.has_rush:
            self.after(RUSH_S, self.rush)
        for at_s in self.watch.openings_s if faults.ordered else ():
            self.after(at_s, self.submit, self.clients.talk)
        self.after(self.calm_at, self.calm_down)

    @property
    def dispatcher(self) -> Dispatcher | None:
        return self.pump.dispatcher if self.pump is not None else None

    @property
    def carriers(self) -> Mapping[str, Carrier]:
        return self._carriers

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
            pump = self.pump
            if pump is not None:
                if pump.is_touched:
                    pump.is_touched = False
                    check_memory(pump.dispatcher, self.journal, pump.writing)
                if self.random.random() < self.faults.crash:
                    self.crash()
            if self.is_calm and self._is_over():
                break
            if self.steps > STEPS or self.now > self.calm_at + PATIENCE_S:
                raise Violation(f"not finished: {self._unfinished()}")
        if self.pump is None:
            raise Violation("nothing happens any more")
        check_end(self, self.pump.dispatcher, self.pump.finished_before)
        self.handsets.check(self.journal)

    def _is_over(self) -> bool:
        pump = self.pump
        return (
            pump is not None
            and not self.journal.unsent
            and pump.dispatcher.ledger.is_settled
            and not self._unfinished()
            and not (self.handsets.to_come or self.journal.parts)
            and not any(carrier.outbox for carrier in self.carriers.values())
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
        self.booted_ms = self.wall_ms
        pump = self.pump = ModelPump(self)
        for carrier in self.carriers.values():
            self._configure(carrier)
        pump.dispatcher.set_limits(self.watch.rules, self.now, self.wall_ms)
        pump.dispatcher.restraint.set_quiet(self.watch.quiet)
        pump.dispatcher.start(self.now, self.wall_ms)
        pump.kick()

    def _configure(self, carrier: Carrier) -> None:
        assert self.dispatcher is not None
        carrier.is_configured = True
        self.dispatcher.add_channel(carrier.name, "model", carrier.capabilities, carrier.rate, self.now)
        self.dispatcher.channels[carrier.name].queue = WatchedQueue(carrier.name)
        carrier.reset()
        for lane in carrier.lanes.values():
            self.after(self.random.choice((0.1, 1.0, 20.0)), self.connect, carrier, lane)

    def connect(self, carrier: Carrier, lane: PeerLane) -> None:
        if not lane.window:
            window = self.random.choice(self.windows)
            carrier.link_up(lane, window, self.random.choice((None, 0.0, 2.0)))

    def crash(self) -> None:
        """The process is gone between two steps; what was being written may be durable or not."""
        pump = self.pump
        assert pump is not None
        self.trace("crash")
        self.counts["crashes"] += 1
        if pump.writing is not None and not pump.is_durable and self.random.random() < 0.5:
            self.apply(pump.writing)
        pump.is_dead = True
        self.watch.forget()
        self.pump = None
        for carrier in self.carriers.values():
            carrier.reset()
        for ticket in pump.tickets:
            # Nothing was acknowledged, so it comes again.
            for item in ticket.items:
                ticket.post(item)
        self.fates.crash()
        self.holds.crashed()
        self.after(self.random.choice((0.5, 5.0, 60.0)), self.boot)

    # -- what the pump tells ------------------------------------------------------------------------------------

    def kick(self) -> None:
        if self.pump is not None:
            self.pump.kick()

    def hand_over(self, channel: str, lane_key: str, batch: list[Submission]) -> None:
        """The pump hands a batch to a driver."""
        self.counts["handed"] += len(batch)
        for submission in batch:
            message = self.journal.messages[message_key(submission.token)]
            self.holds.check(message)
            check_order(self, message)
            if self._is_prompt and not submission.doubtful_since_ms:
                check_leaving(message, self.booted_ms, self.wall_ms)
            self.watch.note(message, channel, lane_key, self.now, self.wall_ms)
        self.trace("submit", lane_key, *[(each.token, each.attempt) for each in batch])
        carrier = self.carriers[channel]
        if not carrier.is_configured:
            raise Violation(f"{lane_key} is gone and was handed {len(batch)}")
        carrier.submit(lane_key, batch)

    def apply(self, rows: Rows) -> None:
        """A commit is durable."""
        self.journal.apply(rows)
        for key in rows.new.keys() | rows.changed.keys():
            row = self.journal.messages[key]
            # A key alone, never told to anybody, may be made again by a clock set back over a restart.
            if (key, row.tail) in self.refused:
                raise Violation(f"message {key} was refused and is stored")
            if row.final_at_ms and row.status is not Status.RECEIVED:
                self.final_at.setdefault(key, self.now)
            if row.status is Status.EXPIRED and self._is_prompt and not row.sent_at_ms:
                check_expired(row, self.booted_ms, self.fates)

    # -- clients ----------------------------------------------------------------------------------------------------

    def submit(self, how: Callable[[ModelPump], None] | None = None) -> None:
        if self.pump is not None and not self.pump.trouble:
            (how or self.clients.submit)(self.pump)

    def rush(self) -> None:
        if self.pump is None or self.pump.trouble:
            self.after(10.0, self.rush)
        elif not self.is_calm:
            self.clients.rush(self.pump)

    def cancel(self) -> None:
        if self.pump is not None:
            self.clients.cancel(self.pump)

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
        if carrier.is_configured or self.pump is None:
            return
        self.trace("add", carrier.name)
        self._configure(carrier)
        self.kick()

    def adjust(self) -> None:
        limits = self.random.choice((2, 8, 30, 1000))
        if self.dispatcher is not None:
            self.limits = msgspec.structs.replace(self.limits, active=limits)
            self.dispatcher.adjust(self.limits, self.retry)

    def jump(self) -> None:
        """Somebody sets the wall clock."""
        self.handsets.clock_jumps()
        self._jump_ms += self.random.choice((-600_000, -5_000, -1, 1, 5_000, 60_000))
        self.kick()

    def receive_inbound(self) -> None:
        carrier = self._some_carrier()
        if self.random.random() < self.faults.receipt_unknown:
            carrier.post(Receipt(self.fresh_id(), Status.DELIVERED))
        text = f"in {self._event_number}"
        carrier.post(Inbound("+40711111111", "1234", text))
        self.handsets.send(carrier.capabilities.receipt_family or carrier.name, carrier.post)

    def calm_down(self) -> None:
        """From now on all goes well."""
        self.trace("calm")
        self.is_calm = True
        self.faults = CALM
        self.holds.release_everything()
        self.watch.calm_down(self)
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

    def heard(self, items: Sequence[Receipt | Inbound]) -> None:
        self.handsets.heard(items)

    def way_for(self, carrier: str) -> str | None:
        """A receipt comes over any channel that shares the carrier's ids."""
        family = self.carriers[carrier].capabilities.receipt_family
        ways = [
            name
            for name, other in self.carriers.items()
            if other.is_reachable
            and (name == carrier or (family and other.capabilities.receipt_family == family))
        ]
        return self.random.choice(ways) if ways else None

    def note_late(self, outcome: Outcome) -> None:
        """A driver tells of what it has answered for already. Does the engine know what it speaks of?"""
        assert self.dispatcher is not None
        doubts = self.dispatcher.settler.holding.doubts
        if isinstance(outcome, Sent) and doubts.of(outcome.submission) is not None:
            self.counts["late"] += 1
            self.fates.note_late(outcome.submission.token)

    def note_outcome(self, lane: PeerLane, outcome: Outcome) -> None:
        """A driver answers for a submission."""
        self.fates.note(outcome)
        token = outcome.submission.token
        if isinstance(outcome, Returned):
            lane.undurable.pop(token, None)
        elif self.pump is not None:
            self.pump.note_result(lane, token)

    def new_ticket(
        self, post: Callable[[Receipt | Inbound], None], items: Sequence[Receipt | Inbound]
    ) -> Ticket:
        assert self.pump is not None
        ticket = Ticket(post, items)
        self.pump.tickets[ticket] = None
        return ticket

    def settle(self, ticket: object) -> None:
        """The carrier is told that we have all of it."""
        assert isinstance(ticket, Ticket)
        assert self.pump is not None
        del self.pump.tickets[ticket]
        self.counts["acknowledged"] += len(ticket.items)
        for item in ticket.items:
            check_settled(self, item)
            if isinstance(item, Inbound) and item.part is not None:
                self.handsets.acknowledged(item, ticket.post)
            if isinstance(item, Receipt) and item.match_id and item.status is not Status.SENT:
                self.acknowledged.setdefault(item.match_id, (item.status, self.now))
