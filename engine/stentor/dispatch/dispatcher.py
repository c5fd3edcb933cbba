"""The dispatcher: the whole of the engine's mind, without I/O, task or clock.

Facts go in through methods (new messages, commits, outcomes, receipts, lanes, time). Decisions come out by draining:
a commit for the journal, batches for drivers, reads for the journal's readers, tickets to settle, and ``next_wake``.
It only composes: who is in memory is ``backlog``, where they wait is ``placing``, who goes next is ``scheduler``, how
much may go is ``lanes``, what goes is ``sending``, what became of it is ``settle`` and, when that comes late, ``late``,
what carriers tell of their own accord is ``receiving``, what waits in the journal is ``reading``, what must be written
is ``ledger``.

The journal's order is the law: a message is queued after its commit, a lease leaves after its commit, a window slot is
free again after the commit of its result, a receipt is acknowledged after its commit.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from stentor.dispatch.cancelling import Cancelling
from stentor.dispatch.limits import Limits
from stentor.dispatch.queues import Length, queue_lengths
from stentor.dispatch.reading import Reading
from stentor.dispatch.restart import Restart, park_again
from stentor.dispatch.restraint import Restraint
from stentor.dispatch.sending import Departures
from stentor.driver import Capabilities, Inbound, Receipt
from stentor.ids import IdGenerator
from stentor.journal.backlog import Backlog
from stentor.journal.flight_record import FlightRecord
from stentor.journal.records import (
    BacklogRead,
    BatchRead,
    Commit,
    DueRead,
    ExpiredRead,
    Idempotency,
    KeyRead,
    OverdueRead,
    Read,
    ReceiptRead,
    Recovery,
    UnansweredRead,
)
from stentor.message import EventKind, Message, Status
from stentor.outcome import Outcome, Submission, Unknown
from stentor.pacing.gate import LimitRule
from stentor.retry import RetryPolicy
from stentor.scheduling.detours import Detour
from stentor.scheduling.lanes import Channel, Lane
from stentor.scheduling.placing import Placing
from stentor.settling.following import Batches, Following
from stentor.settling.joining import Joiner
from stentor.settling.late import LateAnswers, is_whole
from stentor.settling.ledger import Ledger
from stentor.settling.lifecycle import Change, finish
from stentor.settling.receiving import Receiver
from stentor.settling.settle import Settler
from stentor.text.coding import Coding

__all__ = ["Dispatcher", "Limits"]

SWEEP_S: Final = 1.0


class Dispatcher:
    """Facts in, lists out. Every method that takes ``now`` takes monotonic seconds, ``wall_ms`` wall milliseconds."""

    def __init__(
        self,
        recovery: Recovery,
        limits: Limits,
        retry: RetryPolicy,
        ids: IdGenerator,
        random: Callable[[], float],
        inbound_account: str = "default",
        record: FlightRecord | None = None,
    ) -> None:
        self.limits = limits
        self.channels: dict[str, Channel] = {}
        self._families: dict[str, str] = {}
        self._codings: dict[str, Coding] = {}
        self.ledger = Ledger(recovery.last_seq)
        detours: dict[int, Detour] = {}
        self.placing = Placing(self.channels, detours, self._no_route, self._stops)
        self.backlog = Backlog(limits.active, recovery.backlog, limits.floor, self._left_memory)
        self.counters = {"accepted": 0, "received": 0}
        self.settler = Settler(
            self.ledger,
            retry,
            limits.active,
            park_again(recovery.parked, limits, self.ledger),
            random,
            self.placing.try_again,
            self.backlog.leave,
            self._family,
            self.placing.leads_on,
            detours,
            limits.doubts,
            self._late,
            FlightRecord.in_memory() if record is None else record,
        )
        self.late = LateAnswers(self.ledger, self.settler, self.channels, self.placing.discard, self._recall)
        self.reading = Reading(
            self.ledger, self.backlog, self.settler, recovery.scheduled, recovery.next_due_ms, limits.block
        )
        end = self._end_in_memory
        actions = self.placing.discard, end
        waits = self.ledger, self.backlog, self.reading, recovery.settings
        self.restraint = Restraint(*waits, *actions, self.settler.forget)
        self.departures = Departures(self.ledger, self.settler, end, self.coding, self.restraint)
        joiner = Joiner(limits.parts, limits.join_timeout_ms, recovery.parts, recovery.joined)
        self.receiver = Receiver(
            self.ledger,
            self.settler,
            joiner,
            self.late,
            self._families,
            ids,
            inbound_account,
            self.reading.ask,
            self._live,
        )
        self.following = Following(self.channels, self.reading.latest)
        self.settler.asked = self.following.asked
        where = self.backlog, self.reading, self.following, self.settler.flights
        self.cancelling = Cancelling(*where, *actions)
        self._paused, self._recovery, self._next_sweep = recovery.paused, recovery, 0.0

    @property
    def scheduled(self) -> int:
        """Messages that wait for their time."""
        return self.reading.scheduled

    def adjust(self, limits: Limits, retry: RetryPolicy) -> None:
        """The configuration changed. Bounds that shrank are kept to as messages leave."""
        self.limits = limits
        self.backlog.set_limit(limits.active)
        self.reading.block = limits.block
        self.receiver.joiner.adjust(limits.parts, limits.join_timeout_ms)
        self.settler.retry = retry

    def set_limits(self, rules: Iterable[LimitRule], now: float, wall_ms: int) -> None:
        """The rate limits from now on."""
        self.placing.place(self.restraint.set_limits(rules, self.channels.values(), now, wall_ms), wall_ms)

    def _stops(self, message: Message, wall_ms: int) -> bool:
        if self.cancelling.stops(message, wall_ms):
            return True
        return message.batch is not None and self.restraint.holdback.stops(message, wall_ms)

    # -- start and channels -----------------------------------------------------------------------------------------

    def start(self, now: float, wall_ms: int) -> None:
        """Settle what a crash left under way, and begin."""
        restart = Restart(
            self.ledger, self.backlog, self.settler, self.departures, self.channels, self._left_before
        )
        restart.settle(self._recovery, wall_ms)
        self._next_sweep = now + SWEEP_S
        self.reading.start(now)
        self.restraint.holdback.start()

    def stop(self, wall_ms: int) -> None:
        """Nothing is handed over any more: what was to be comes back, so that it is not in doubt at the next start."""
        self.departures.stop()
        for channel in self.channels.values():
            for lane in channel.lanes.values():
                self.departures.withdraw(lane, wall_ms)

    def add_channel(
        self, name: str, driver: str, capabilities: Capabilities, rate: float, now: float
    ) -> Channel:
        """A new channel, or what a reloaded configuration makes of one, with all that waits for it."""
        channel = self.channels.get(name)
        if channel is None:
            channel = self.channels[name] = Channel(name, driver, capabilities, rate, now)
            channel.paused = name in self._paused
            self.restraint.watch(channel)
        channel.adapt(driver, capabilities, rate, now)
        self._families[name] = channel.family
        return channel

    def remove_channel(self, name: str, now: float, wall_ms: int) -> None:
        """The configuration no longer has it. Its queue moves to what else its messages' routes allow."""
        channel = self.channels[name]
        for key in list(channel.lanes):
            self.remove_lane(name, key, now, wall_ms)
        self.settler.repeats.unbind(channel, wall_ms)
        self._codings[name] = channel.capabilities.coding
        del self.channels[name]
        self.placing.place(channel.drain(), wall_ms)

    def offer_lane(
        self, name: str, key: str, window: int, rate: float | None, now: float, wall_ms: int
    ) -> None:
        """A driver declares a lane or changes it."""
        channel = self.channels[name]
        lane = channel.lanes.get(key)
        if lane is None:
            channel.lanes[key] = Lane(channel, key, window, rate or 0.0, now)
        else:
            lane.offer(window, rate, now)
        if lane is not None and not window:
            self.departures.withdraw(lane, wall_ms)
        self._channel_may_have_changed(channel, wall_ms)

    def remove_lane(self, name: str, key: str, now: float, wall_ms: int) -> None:
        """A lane is gone. What it never got comes back; what it still holds is in doubt (its driver's bug)."""
        channel = self.channels[name]
        lane = channel.lanes.pop(key, None)
        if lane is None:
            return
        lane.window.offer(0)
        self.departures.withdraw(lane, wall_ms)
        held = [flight[0] for flight in self.settler.flights.values() if flight[2] is lane]
        self.settler.resolve([Unknown(submission, "lane_lost") for submission in held], now, wall_ms)
        self._channel_may_have_changed(channel, wall_ms)

    def set_paused(self, name: str, paused: bool, wall_ms: int) -> None:
        """The operator's hand; survives a restart."""
        channel = self.channels[name]
        channel.paused = paused
        # Remembered for a channel that leaves the configuration and comes back.
        if paused:
            self._paused.add(name)
        else:
            self._paused.discard(name)
        self.ledger.commit.settings[f"paused:{name}"] = "1" if paused else ""
        self._channel_may_have_changed(channel, wall_ms)

    def set_enabled(self, name: str, enabled: bool, wall_ms: int) -> None:
        channel = self.channels[name]
        channel.enabled = enabled
        self._channel_may_have_changed(channel, wall_ms)

    def _channel_may_have_changed(self, channel: Channel, wall_ms: int) -> None:
        if not channel.refresh():
            return
        if channel.is_up:
            self.ledger.channel_event(EventKind.CHANNEL_UP, channel.name, wall_ms, "")
            for other in [each for each in self.channels.values() if not each.is_up and each.queue]:
                self.placing.place(other.drain(), wall_ms)
        else:
            self.ledger.channel_event(EventKind.CHANNEL_DOWN, channel.name, wall_ms, channel.last_error or "")
            self._give_up(channel, wall_ms)

    def _give_up(self, channel: Channel, wall_ms: int) -> None:
        """A channel is down, or all of it dead: what waits there goes on to the next channel of its route."""
        channel.breaker.has_opened = False
        for lane in channel.lanes.values():
            self.departures.withdraw(lane, wall_ms)
        self.placing.place(channel.drain(), wall_ms)

    # -- messages in and out of memory ------------------------------------------------------------------------------

    def accept(self, messages: Sequence[Message], idempotency: Iterable[Idempotency]) -> None:
        """New messages, to be written with the next commit and queued after it."""
        ledger = self.ledger
        commit = ledger.commit
        commit.accepted += messages
        commit.idempotency += idempotency
        self.restraint.assign(messages)
        for message in messages:
            if message.status is Status.QUEUED:
                ledger.event(EventKind.QUEUED, message, message.submitted_at_ms)

    def _enter(self, messages: Iterable[Message], wall_ms: int) -> None:
        """Messages whose rows say that they wait are counted, and are in memory if there is room."""
        entered: list[Message] = []
        for message in messages:
            if message.batch is not None:
                self.restraint.holdback.enters(message)
            if message.status is Status.SCHEDULED:
                self.reading.schedule(message)
            elif message.status is Status.QUEUED:
                if self.backlog.enter(message):
                    entered.append(message)
                else:
                    self.reading.expiries.expect(message.key, message.expires_at_ms)
        if entered:
            self.placing.place(entered, wall_ms)

    def _left_memory(self, message: Message) -> None:
        self.placing.ordering.discard(message)
        self.ledger.effects.turns.append(message)

    def _family(self, channel: str) -> str:
        """Whose ids a channel's are, also when it is no longer configured."""
        return self._families.get(channel, channel)

    def _no_route(self, message: Message, wall_ms: int) -> None:
        self._end_in_memory(message, Change.GIVE_UP, wall_ms)

    def coding(self, name: str) -> Coding | None:
        """How a channel takes texts, or took them before it was removed; None for one that was never configured."""
        channel = self.channels.get(name)
        return self._codings.get(name) if channel is None else channel.capabilities.coding

    def _end_in_memory(self, message: Message, change: Change, wall_ms: int) -> None:
        finish(message, change, wall_ms)
        self.settler.counters["finished"] += 1
        self.ledger.ended(message, wall_ms)
        self.settler.forget(message)
        self.backlog.leave(message)

    def _left_before(self, message: Message) -> bool:
        """The daemon died when all of it had left, says a late answer, and it was about to leave once more."""
        return bool(message.segment_list) and is_whole(message, self.channels)

    def _still_to_go(self, loaded: Iterable[Message], wall_ms: int) -> Iterator[Message]:
        """Of messages just read, those that neither left before nor expired while they waited; the others end."""
        for message in loaded:
            if self._left_before(message):
                self.settler.settled(message, wall_ms)
            elif message.expires_at_ms <= wall_ms:
                self._end_in_memory(message, Change.EXPIRE, wall_ms)
            else:
                yield message

    # -- commits ----------------------------------------------------------------------------------------------------

    def take_commit(self) -> Commit | None:
        """What is to be written now; None when there is nothing, or a commit is under way."""
        if self.ledger.writing is not None or self.ledger.is_empty:
            return None
        self.restraint.gate.save(self.ledger.commit.settings)
        return self.ledger.take()

    def committed(self, now: float, wall_ms: int) -> tuple[Commit, Sequence[Hashable]]:
        """The commit is durable: queue its messages, free its slots, let its leases go. Returns it with the tickets
        that may be settled."""
        commit, effects = self.ledger.committed()
        self.counters["accepted"] += len(commit.accepted)
        self.counters["received"] += len(commit.received)
        for lane, count in effects.slots.items():
            lane.give_back(count)
        self.settler.record.strike(effects.landed)
        for message in effects.turns:
            self.placing.ordering.left(message)
        self.reading.committed(commit.number)
        if effects.queued:
            self._enter(effects.queued.values(), wall_ms)  # these waited longer than the new ones
        self._enter(commit.accepted, wall_ms)
        if effects.leases:
            self.departures.let_go(effects.leases, wall_ms)
        return commit, effects.tickets

    def commit_failed(self) -> Commit:
        """Nothing of the commit was written. New messages in it are dropped and returned; the rest is kept."""
        return self.ledger.failed()

    @property
    def wanted(self) -> int:
        """How many more messages are needed in memory for lanes never to wait."""
        # What is new waits behind those in the journal, so it is no help where there are any.
        behind = {route[0] for route, _ in self.backlog.tails}
        channels = (channel for channel in self.channels.values() if channel.is_up)
        return sum(channel.wanted for channel in channels if channel.name not in behind)

    # -- sending ----------------------------------------------------------------------------------------------------

    def flush(self, now: float, wall_ms: int) -> None:
        """Decide what can go now. Call after facts went in; drain, and call again while :attr:`is_more`."""
        if self.placing.has_more:
            self.placing.place_again(wall_ms)
        for channel in self.departures.in_turn(self.channels.values(), now):
            if channel.breaker.has_opened:
                self._give_up(channel, wall_ms)
            self.departures.turn(channel, now, wall_ms)
        if self.placing.has_more:
            self.placing.place_again(wall_ms)
        self.reading.ask_for_backlog()

    @property
    def is_more(self) -> bool:
        """Some channels had to leave their turn to the next flush."""
        return self.departures.is_more

    def take_outgoing(self) -> Sequence[tuple[Lane, list[Submission]]]:
        """Batches to hand to drivers, each within its lane's window."""
        return self.departures.take_outgoing()

    def take_questions(self) -> Batches:
        """Segments whose receipts are overdue, by the channel to ask about them."""
        return self.following.take_questions()

    def take_withdrawals(self) -> Batches:
        """Segments that have left and are cancelled, by the channel to ask for them."""
        return self.following.take_withdrawals()

    def resolve(self, outcomes: Iterable[Outcome], now: float, wall_ms: int) -> None:
        """Outcomes from a driver."""
        self.settler.resolve(outcomes, now, wall_ms)

    # -- receiving --------------------------------------------------------------------------------------------------

    def receive(self, name: str, items: Iterable[Receipt | Inbound], ticket: Hashable, wall_ms: int) -> None:
        """Receipts and inbound messages of a channel. ``ticket`` comes back from :meth:`committed` once all of them
        are durable."""
        self.receiver.receive(self.channels[name], items, ticket, wall_ms)

    def _live(self, stored: Message) -> Message:
        """The one copy of a message that counts. All receipts of several segments must find it."""
        message = self.reading.latest(stored)
        if message is stored and message.segments > 1 and not message.final_at_ms:
            self.settler.remember(message)
        return message

    # -- reads ------------------------------------------------------------------------------------------------------

    def take_reads(self) -> Sequence[Read]:
        """What to ask the journal's readers. Each is answered by :meth:`answer`."""
        return self.reading.take()

    def answer(self, read: Read, messages: Sequence[Message], next_due_ms: int, wall_ms: int) -> None:
        """A read's answer. ``next_due_ms`` matters for DueRead alone: when the first message after those is due."""
        reading = self.reading
        match read:
            case BacklogRead():
                loaded = reading.backlog_found(read, messages)
                self.placing.place(self._still_to_go(loaded, wall_ms), wall_ms)
            case DueRead():
                reading.due_found(read, messages, next_due_ms, wall_ms)
            case ReceiptRead():
                self.receiver.found(read, messages, wall_ms)
            case ExpiredRead():
                reading.expiring_found(read, messages, wall_ms)
            case KeyRead():
                reading.expired_found(messages, wall_ms)
            case BatchRead():
                self.restraint.holdback.found(read, messages, wall_ms)
            case OverdueRead():
                self.following.found(read, messages)
            case UnansweredRead():
                reading.unanswered_found(read, messages, wall_ms, self.limits.missing_receipt_is_unknown)
        reading.answered(read)

    def cancel(self, stored: Message, wall_ms: int) -> Message:
        """Cancel a message, given as the journal has it. Raises Refusal (409) once it has left or is final."""
        return self.cancelling.cancel(stored, wall_ms)

    def _late(self, outcome: Outcome, wall_ms: int) -> None:
        self.late.outcome(outcome, wall_ms)

    def _recall(self, message: Message, token: int) -> Submission | None:
        channel = self.channels.get(message.channel)
        return None if channel is None else self.departures.recall(channel, token)

    # -- time -------------------------------------------------------------------------------------------------------

    def tick(self, now: float, wall_ms: int) -> None:
        """Time passed: what is due, what expired, what to look for in the journal."""
        for channel in self.channels.values():
            channel.look_for_probe(now)
        self.placing.place_due(wall_ms)
        self.receiver.join_overdue(wall_ms)
        for read in self.following.tick(now, wall_ms, self.limits.receipt_horizon_ms):
            self.reading.ask(read)
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP_S
            self._sweep_memory(wall_ms)
        self.settler.holding.expire(wall_ms - self.limits.doubt_horizon_ms, wall_ms)
        if self.reading.tick(now, wall_ms, wall_ms - self.limits.receipt_horizon_ms):
            self.receiver.expire(wall_ms)

    def _sweep_memory(self, wall_ms: int) -> None:
        # What this takes from lanes is queued, and ends below.
        for channel in self.channels.values():
            self.departures.expire(channel, wall_ms)
        expired = [
            message
            for message in self.backlog.open.values()
            if message.expires_at_ms <= wall_ms and message.status is Status.QUEUED
        ]
        for message in expired:
            self.placing.discard(message)
            self._end_in_memory(message, Change.EXPIRE, wall_ms)
        self.cancelling.sweep()

    def next_wake(self, now: float, wall_ms: int) -> float:
        """When :meth:`tick` and :meth:`flush` are next worth calling, in monotonic seconds."""
        wake = min(self.reading.next_wake(now, wall_ms), self.following.next_wake())
        if self.backlog.open:
            wake = min(wake, self._next_sweep)
        doubtful_ms = self.settler.holding.doubts.oldest_at_ms
        settled_ms = doubtful_ms and doubtful_ms + self.limits.doubt_horizon_ms + 1
        joined_ms = self.receiver.joiner.due_at_ms
        for due_ms in (self.placing.due.next_due_ms(), self.reading.next_due_ms, joined_ms, settled_ms):
            if due_ms:
                wake = min(wake, now + max(0, due_ms - wall_ms) / 1000)
        for channel in self.channels.values():
            if channel.is_up:
                wake = min(wake, channel.wakes_at(now))
        # A bucket's ready time can round to just before it has a token: never spin on it.
        return max(wake, now + 0.001)

    def queue_lengths(self) -> Mapping[str, Length]:
        """Every queue the dispatcher owns: length, bound, and what happens when it is full."""
        active = len(self.backlog.open)
        return queue_lengths(self.limits, active, self.settler, self.reading, self.receiver, self.following)
