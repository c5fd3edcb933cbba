"""The dispatcher: the whole of the engine's mind, without I/O, task or clock.

Facts go in through methods (new messages, commits, outcomes, receipts, lanes, time). Decisions come out by draining:
a commit for the journal, batches for drivers, reads for the journal's readers, tickets to settle, and ``next_wake``.
It only composes: who is in memory is ``backlog``, who goes next is ``scheduler``, how much may go is ``lanes``, what
became of it is ``settle``, what must be written is ``ledger``.

The journal's order is the law: a message is queued after its commit, a lease leaves after its commit, a window slot is
free again after the commit of its result, a receipt is acknowledged after its commit.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from stentor.backlog import FLOOR, Backlog
from stentor.driver import Capabilities, Inbound, Receipt
from stentor.errors import Refusal
from stentor.expand import expand
from stentor.ids import IdGenerator
from stentor.lanes import Channel, Lane
from stentor.ledger import Ledger
from stentor.lifecycle import Change, advance, finish
from stentor.message import Delivery, Direction, Error, EventKind, Message, Status
from stentor.outcome import Outcome, Returned, Submission, Unknown
from stentor.receipts import AwaitedReceipts, ParkedReceipts
from stentor.records import (
    BacklogRead,
    Commit,
    DueRead,
    ExpiredRead,
    Idempotency,
    ParkedReceipt,
    Read,
    ReceiptRead,
    Recovery,
    UnansweredRead,
)
from stentor.retry import RetryPolicy
from stentor.scheduler import DueHeap
from stentor.settle import Settler

SWEEP_S: Final = 1.0
BACKLOG_SWEEP_S: Final = 30.0
RECEIPT_SWEEP_S: Final = 300.0
READ_LIMIT: Final = 1000


class Limits(msgspec.Struct, frozen=True):
    """The dispatcher's own bounds. ``receipt_horizon_ms``: how long a receipt is waited for after
    the message was sent; then it is UNKNOWN, or stays SENT if ``missing_receipt_is_unknown`` is false. ``floor``: what a
    queue may always have in memory. ``block``: messages that one read of the journal finds at most."""

    active: int = 50_000
    parked: int = 50_000
    parked_age_ms: int = 24 * 3600 * 1000
    receipt_horizon_ms: int = 72 * 3600 * 1000
    missing_receipt_is_unknown: bool = True
    floor: int = FLOOR
    block: int = READ_LIMIT


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
    ) -> None:
        self.limits = limits
        self.channels: dict[str, Channel] = {}
        self.ledger = Ledger(recovery.last_seq)
        self.backlog = Backlog(limits.active, recovery.backlog, limits.floor)
        self.due = DueHeap()
        self.scheduled = recovery.scheduled
        self.counters = {"accepted": 0, "received": 0}
        parked = ParkedReceipts(limits.parked, limits.parked_age_ms)
        for receipt in recovery.parked:
            parked.park(receipt)
        self.settler = Settler(
            self.ledger,
            retry,
            limits.active,
            parked,
            random,
            self._try_again,
            self.backlog.leave,
            self._family,
        )
        self._ids = ids
        self._inbound_account = inbound_account
        self._paused = {name[7:] for name, value in recovery.settings.items() if name.startswith("paused:") and value}
        self._again: list[tuple[Message, float]] = []
        self._outgoing: list[tuple[Lane, list[Submission]]] = []
        self._reads: list[Read] = []
        self._lookups: dict[int, tuple[Channel, Hashable, list[Receipt]]] = {}
        self._lookup_number = 0
        self._next_due_ms = recovery.next_due_ms
        self._is_reading_due = False
        self._marks: dict[int, int] = {}
        self._next_sweep = self._next_backlog_sweep = self._next_receipt_sweep = 0.0
        self._leased = recovery.leased

    def adjust(self, limits: Limits, retry: RetryPolicy) -> None:
        """The configuration changed. Bounds that shrank are kept to as messages leave."""
        self.limits = limits
        self.backlog.set_limit(limits.active)
        self.settler.retry = retry

    # -- start and channels -----------------------------------------------------------------------------------------

    def start(self, now: float, wall_ms: int) -> None:
        """Settle what a crash left in doubt: an at-most-once attempt whose answer was never seen is not repeated."""
        for message in self._leased:
            message.error = Error("no_answer", None, "the daemon stopped while the attempt was under way")
            finish(message, Change.DOUBT, wall_ms)
            self.ledger.ended(message, wall_ms)
        self._leased = []
        self._next_sweep = now + SWEEP_S
        self._next_backlog_sweep = now + BACKLOG_SWEEP_S
        self._next_receipt_sweep = now + SWEEP_S

    def add_channel(self, name: str, driver: str, capabilities: Capabilities, rate: float, now: float) -> Channel:
        assert name not in self.channels
        channel = self.channels[name] = Channel(name, driver, capabilities, rate, now)
        channel.paused = name in self._paused
        return channel

    def remove_channel(self, name: str, now: float, wall_ms: int) -> None:
        """The configuration no longer has it. Its queue moves to what else its messages' routes allow."""
        channel = self.channels[name]
        for key in list(channel.lanes):
            self.remove_lane(name, key, now, wall_ms)
        del self.channels[name]
        self._place(channel.queue.drain(), wall_ms)

    def offer_lane(self, name: str, key: str, window: int, rate: float | None, now: float, wall_ms: int) -> None:
        """A driver declares a lane or changes it."""
        channel = self.channels[name]
        lane = channel.lanes.get(key)
        if lane is None:
            channel.lanes[key] = Lane(channel, key, window, rate or 0.0, now)
        else:
            lane.offer(window, rate, now)
        if lane is not None and not window:
            self._return_leftover(lane, wall_ms)
        self._channel_may_have_changed(channel, wall_ms)

    def remove_lane(self, name: str, key: str, now: float, wall_ms: int) -> None:
        """A lane is gone. What it never got comes back; what it still holds is in doubt (its driver's bug)."""
        channel = self.channels[name]
        lane = channel.lanes.pop(key, None)
        if lane is None:
            return
        lane.window.offer(0)
        held = [flight.submission for flight in self.settler.flights.values() if flight.lane is lane]
        self.settler.resolve([Unknown(submission, "lane_lost") for submission in held], now, wall_ms)
        self._return_leftover(lane, wall_ms)
        self._channel_may_have_changed(channel, wall_ms)

    def _return_leftover(self, lane: Lane, wall_ms: int) -> None:
        while lane.leftover:
            message, submission = lane.leftover.popleft()
            self.settler.never_left(message, Returned(submission), wall_ms)

    def set_paused(self, name: str, paused: bool, wall_ms: int) -> None:
        """The operator's hand; survives a restart."""
        channel = self.channels[name]
        channel.paused = paused
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
            waiting = [other for other in self.channels.values() if not other.is_up and other.queue]
            for other in waiting:
                self._place(other.queue.drain(), wall_ms)
        else:
            self.ledger.channel_event(EventKind.CHANNEL_DOWN, channel.name, wall_ms, channel.last_error or "")
            self._place(channel.queue.drain(), wall_ms)

    # -- messages in and out of memory ------------------------------------------------------------------------------

    def accept(self, messages: Sequence[Message], idempotency: Iterable[Idempotency]) -> None:
        """New messages, to be written with the next commit and queued after it."""
        ledger = self.ledger
        commit = ledger.commit
        commit.accepted += messages
        commit.idempotency += idempotency
        for message in messages:
            if message.status is Status.QUEUED:
                ledger.event(EventKind.QUEUED, message, message.submitted_at_ms)

    def _queue_accepted(self, messages: Iterable[Message], wall_ms: int) -> None:
        entered: list[Message] = []
        for message in messages:
            if message.status is Status.SCHEDULED:
                self.scheduled += 1
                if not self._next_due_ms or message.due_at_ms < self._next_due_ms:
                    self._next_due_ms = message.due_at_ms
            elif self.backlog.enter(message):
                entered.append(message)
        self._place(entered, wall_ms)

    def _place(self, messages: Iterable[Message], wall_ms: int) -> None:
        """Put queued messages that are in memory into the queue of the channel that should carry them."""
        chosen: dict[tuple[str, ...], Channel | None] = {}
        for message in messages:
            route = message.route
            channel = chosen[route] if route in chosen else chosen.setdefault(route, self._choose(route))
            if channel is None:
                message.error = Error("no_route", None, f"none of {', '.join(route)} is configured")
                self._end_in_memory(message, Change.GIVE_UP, wall_ms)
            elif message.due_at_ms > wall_ms:
                self.due.push(message.due_at_ms, message)
            else:
                message.channel = channel.name
                channel.queue.put(message)

    def _choose(self, route: tuple[str, ...]) -> Channel | None:
        """The first channel of the route that is up; else the first that exists."""
        known = [channel for name in route if (channel := self.channels.get(name)) is not None]
        return next((channel for channel in known if channel.is_up), known[0] if known else None)

    def _family(self, channel: str) -> str:
        """Whose ids a channel's are; a channel no longer configured keeps to itself."""
        known = self.channels.get(channel)
        return known.family if known is not None else channel

    def _try_again(self, message: Message, delay_s: float) -> None:
        self._again.append((message, delay_s))

    def _place_again(self, wall_ms: int) -> None:
        again, self._again = self._again, []
        for message, delay_s in again:
            if message.status is not Status.QUEUED:
                continue  # cancelled or expired since
            if delay_s > 0:
                self.due.push(wall_ms + int(delay_s * 1000), message)
            else:
                self._place((message,), wall_ms)

    def _end_in_memory(self, message: Message, change: Change, wall_ms: int) -> None:
        finish(message, change, wall_ms)
        self.settler.counters["finished"] += 1
        self.ledger.ended(message, wall_ms)
        self.backlog.leave(message)

    # -- commits ----------------------------------------------------------------------------------------------------

    def take_commit(self) -> Commit | None:
        """What is to be written now; None when there is nothing, or a commit is under way."""
        if self.ledger.writing is not None or self.ledger.is_empty:
            return None
        return self.ledger.take()

    def committed(self, now: float, wall_ms: int) -> tuple[Commit, Sequence[Hashable]]:
        """The commit is durable: queue its messages, free its slots, let its leases go. Returns it with the tickets
        that may be settled."""
        commit, effects = self.ledger.committed()
        self.counters["accepted"] += len(commit.accepted)
        self.counters["received"] += len(commit.received)
        for lane, count in effects.slots.items():
            lane.window.give_back(count)
        self._queue_accepted(commit.accepted, wall_ms)
        leases: dict[Lane, list[Submission]] = {}
        for lane, message, submission in effects.leases:
            if lane.channel.lanes.get(lane.key) is not lane or not lane.window.offered:
                lane.window.give_back(1)
                self.settler.never_left(message, Returned(submission), wall_ms)
            else:
                self.settler.hand_over(message, submission, lane)
                leases.setdefault(lane, []).append(submission)
        self._outgoing += leases.items()
        return commit, effects.tickets

    def commit_failed(self) -> Commit:
        """Nothing of the commit was written. New messages in it are dropped and returned; the rest is kept."""
        return self.ledger.failed()

    # -- sending ----------------------------------------------------------------------------------------------------

    def flush(self, now: float, wall_ms: int) -> None:
        """Decide what can go now. Call after facts went in; drain afterwards."""
        if self._again:
            self._place_again(wall_ms)
        for channel in self.channels.values():
            if channel.is_up and channel.has_work:
                self._fill(channel, now, wall_ms)
        if self._again:
            self._place_again(wall_ms)
        self._reads += self.backlog.reads()

    def _fill(self, channel: Channel, now: float, wall_ms: int) -> None:
        lanes = channel.in_turn()
        share = -(-channel.queue.segments // len(lanes))
        for lane in lanes:
            budget = min(lane.budget(now), channel.capabilities.batch_limit, max(share, len(lane.leftover)))
            if channel.rate:
                budget = min(budget, channel.bucket.available(now))
            if budget <= 0:
                continue
            batch = self._take(channel, lane, budget, wall_ms)
            if batch:
                lane.take(len(batch), now)
                channel.bucket.take(len(batch), now)
                self._hand_over(lane, batch)

    def _take(self, channel: Channel, lane: Lane, budget: int, wall_ms: int) -> list[tuple[Message, Submission]]:
        """At most ``budget`` submissions for the lane: what is left over first, then from the queue."""
        batch: list[tuple[Message, Submission]] = []
        leftover = lane.leftover
        while leftover and len(batch) < budget:
            batch.append(leftover.popleft())
        while len(batch) < budget and (messages := channel.queue.take(budget - len(batch))):
            for message in messages:
                if message.expires_at_ms <= wall_ms:
                    self._end_in_memory(message, Change.EXPIRE, wall_ms)
                    continue
                submissions = expand(message, channel.capabilities, wall_ms)
                advance(message, Change.TAKE)
                message.channel = channel.name
                if message.delivery is Delivery.AT_MOST_ONCE:
                    self.ledger.changed(message)
                self.settler.begin(message, len(submissions))
                for submission in submissions:
                    batch.append((message, submission))
        while len(batch) > budget:
            leftover.appendleft(batch.pop())
        return batch

    def _hand_over(self, lane: Lane, batch: Iterable[tuple[Message, Submission]]) -> None:
        """Submissions leave at once; those of at-most-once messages after their lease is durable."""
        leaving: list[Submission] = []
        for message, submission in batch:
            if message.delivery is Delivery.AT_MOST_ONCE:
                self.ledger.effects.leases.append((lane, message, submission))
            else:
                self.settler.hand_over(message, submission, lane)
                leaving.append(submission)
        if leaving:
            self._outgoing.append((lane, leaving))

    def take_outgoing(self) -> Sequence[tuple[Lane, list[Submission]]]:
        """Batches to hand to drivers, each within its lane's window."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def resolve(self, outcomes: Iterable[Outcome], now: float, wall_ms: int) -> None:
        """Outcomes from a driver."""
        self.settler.resolve(outcomes, now, wall_ms)

    # -- receiving --------------------------------------------------------------------------------------------------

    def receive(self, name: str, items: Iterable[Receipt | Inbound], ticket: Hashable, wall_ms: int) -> None:
        """Receipts and inbound messages of a channel. ``ticket`` comes back from :meth:`committed` once all of them
        are durable."""
        settler = self.settler
        channel = self.channels[name]
        family, counters = channel.family, channel.counters
        missing: list[Receipt] = []
        for item in items:
            if type(item) is Receipt:
                counters["receipts"] += 1
                found = settler.awaited.take(family, item.match_id)
                if found is None:
                    missing.append(item)
                else:
                    settler.report(found[0], found[1], item, channel, wall_ms)
            else:
                assert isinstance(item, Inbound)
                counters["inbound"] += 1
                self._receive_inbound(name, item, wall_ms)
        if not missing:
            self.ledger.effects.tickets.append(ticket)
            return
        self._lookup_number += 1
        self._lookups[self._lookup_number] = channel, ticket, missing
        relatives = tuple(other.name for other in self.channels.values() if other.family == family)
        self._reads.append(ReceiptRead(relatives, tuple(item.match_id for item in missing), self._lookup_number))

    def _receive_inbound(self, name: str, item: Inbound, wall_ms: int) -> None:
        key, tail = self._ids.next(wall_ms)
        message = Message(
            key=key,
            tail=tail,
            account=self._inbound_account,
            to=item.to,
            originator=item.originator,
            text=item.text,
            data=item.data,
            encoding=item.encoding,
            segments=item.segments,
            submitted_at_ms=wall_ms,
            due_at_ms=wall_ms,
            expires_at_ms=0,
            route=(name,),
            status=Status.RECEIVED,
            channel=name,
            direction=Direction.MO,
            final_at_ms=wall_ms,
            wants_receipt=False,
        )
        self.ledger.commit.received.append(message)
        self.ledger.event(EventKind.RECEIVED, message, wall_ms)

    def _receipts_found(self, read: ReceiptRead, messages: Iterable[Message], wall_ms: int) -> None:
        """The journal was asked for receipts that memory could not place; what it does not know is parked."""
        settler = self.settler
        channel, ticket, missing = self._lookups.pop(read.number)
        found = {
            segment.match_id: (message, segment)
            for message in map(self._live, messages)
            for segment in message.segment_list
            if segment.match_id is not None
        }
        for receipt in missing:
            place = settler.awaited.take(channel.family, receipt.match_id) or found.pop(receipt.match_id, None)
            if place is not None:
                settler.report(place[0], place[1], receipt, channel, wall_ms)
                continue
            channel.counters["unmatched"] += 1
            self._park(
                ParkedReceipt(
                    channel.family, receipt.match_id, receipt.status, wall_ms, receipt.error, receipt.done_at_ms
                )
            )
        self.ledger.effects.tickets.append(ticket)

    def _park(self, receipt: ParkedReceipt) -> None:
        parked = self.settler.parked
        self._forget_parked(parked.park(receipt))
        # An intermediate receipt behind a final one is not kept, and must not replace it in the journal.
        if parked.get(receipt.family, receipt.match_id) is receipt:
            self.ledger.commit.parked.append(receipt)

    def _forget_parked(self, gone: Iterable[ParkedReceipt]) -> None:
        """Parked receipts that grew too old or had to make room are forgotten by the journal too."""
        self.ledger.commit.forgotten += [(receipt.family, receipt.match_id) for receipt in gone]

    def _live(self, message: Message) -> Message:
        """The one copy of a message that counts: in memory, not yet committed, or as just read."""
        key = message.key
        live = self.backlog.open.get(key) or self.ledger.unseen(key) or self.settler.known(key)
        if live is not None:
            return live
        if message.segments > 1 and not message.final_at_ms:
            self.settler.remember(message)
        return message

    # -- reads ------------------------------------------------------------------------------------------------------

    def take_reads(self) -> Sequence[Read]:
        """What to ask the journal's readers. Each is answered by :meth:`answer`."""
        reads, self._reads = self._reads, []
        for read in reads:
            self._marks[id(read)] = self.ledger.begin_read()
        return reads

    def answer(self, read: Read, messages: Sequence[Message], next_due_ms: int, wall_ms: int) -> None:
        """A read's answer. ``next_due_ms`` matters for DueRead alone: when the first message after those is due."""
        self._use(read, messages, next_due_ms, wall_ms)
        self.ledger.end_read(self._marks.pop(id(read)))

    def _use(self, read: Read, messages: Sequence[Message], next_due_ms: int, wall_ms: int) -> None:
        match read:
            case BacklogRead():
                self._place(self.backlog.loaded(read, messages), wall_ms)
            case DueRead():
                self._fell_due(read, messages, next_due_ms, wall_ms)
            case ReceiptRead():
                self._receipts_found(read, messages, wall_ms)
            case ExpiredRead():
                ended = [self._end_stored(message, Change.EXPIRE, wall_ms) for message in messages]
                if len(messages) == read.limit and any(ended):
                    self._next_backlog_sweep = 0.0
            case UnansweredRead():
                live = [self._live(message) for message in messages]
                self.settler.lose_sight(live, wall_ms, self.limits.missing_receipt_is_unknown)
                if len(messages) == read.limit:
                    self._next_receipt_sweep = 0.0

    def _fell_due(self, read: DueRead, messages: Sequence[Message], next_due_ms: int, wall_ms: int) -> None:
        self._is_reading_due = False
        entered: list[Message] = []
        for message in messages:
            if self.ledger.unseen(message.key) is not None:
                continue  # it fell due or ended meanwhile
            advance(message, Change.FALL_DUE)
            message.due_at_ms = wall_ms
            self.scheduled -= 1
            self.ledger.changed(message)
            self.ledger.event(EventKind.QUEUED, message, wall_ms)
            if self.backlog.enter(message):
                entered.append(message)
        # More than one block may be due: then the next is asked for at once.
        self._next_due_ms = wall_ms if len(messages) == read.limit else next_due_ms
        self._place(entered, wall_ms)

    def _end_stored(self, message: Message, change: Change, wall_ms: int) -> bool:
        """End a message that was read from the journal, if it has not left meanwhile."""
        if message.key in self.backlog.open or self.ledger.unseen(message.key) is not None:
            return False
        if message.status is Status.SCHEDULED:
            self.scheduled -= 1
        elif message.status is Status.QUEUED:
            self.backlog.leave_behind(message)
        else:
            return False
        finish(message, change, wall_ms)
        self.settler.counters["finished"] += 1
        self.ledger.ended(message, wall_ms)
        return True

    def cancel(self, stored: Message, wall_ms: int) -> Message:
        """Cancel a message, given as the journal has it. Raises Refusal (409) once it has left or is final."""
        message = self.backlog.open.get(stored.key)
        if message is None:
            message = self.ledger.unseen(stored.key) or stored
            if message is not stored or not self._end_stored(stored, Change.CANCEL, wall_ms):
                raise _already_left(message)
            return stored
        if message.status is not Status.QUEUED or message.segment_list:
            raise _already_left(message)
        if not self.due.discard(message.key):
            self.channels[message.channel].queue.discard(message.key)
        self._end_in_memory(message, Change.CANCEL, wall_ms)
        return message

    # -- time -------------------------------------------------------------------------------------------------------

    def tick(self, now: float, wall_ms: int) -> None:
        """Time passed: what is due, what expired, what to look for in the journal."""
        for message in self.due.pop_due(wall_ms):
            self._place((message,), wall_ms)
        if self._next_due_ms and wall_ms >= self._next_due_ms and not self._is_reading_due:
            self._is_reading_due = True
            self._reads.append(DueRead(wall_ms, self.limits.block))
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP_S
            self._sweep_memory(wall_ms)
        if now >= self._next_backlog_sweep:
            self._next_backlog_sweep = now + BACKLOG_SWEEP_S
            if self.backlog.behind or self.scheduled:
                self._reads.append(ExpiredRead(wall_ms, self.limits.block))
        if now >= self._next_receipt_sweep:
            self._next_receipt_sweep = now + RECEIPT_SWEEP_S
            self._reads.append(UnansweredRead(wall_ms - self.limits.receipt_horizon_ms, self.limits.block))
            self._forget_parked(self.settler.parked.expire(wall_ms))

    def _sweep_memory(self, wall_ms: int) -> None:
        expired = [
            message
            for message in self.backlog.open.values()
            if message.expires_at_ms <= wall_ms and message.status is Status.QUEUED
        ]
        for message in expired:
            if not self.due.discard(message.key):
                self.channels[message.channel].queue.discard(message.key)
            self._end_in_memory(message, Change.EXPIRE, wall_ms)

    def next_wake(self, now: float, wall_ms: int) -> float:
        """When :meth:`tick` and :meth:`flush` are next worth calling, in monotonic seconds."""
        wake = min(self._next_sweep if self.backlog.open else self._next_backlog_sweep, self._next_backlog_sweep)
        due_ms = self.due.next_due_ms()
        if self._next_due_ms and not self._is_reading_due:
            due_ms = min(due_ms, self._next_due_ms) if due_ms else self._next_due_ms
        if due_ms:
            wake = min(wake, now + max(0, due_ms - wall_ms) / 1000)
        for channel in self.channels.values():
            if channel.is_up and channel.has_work and (at := channel.ready_at(now)) is not None:
                wake = min(wake, at)
        # A bucket's ready time can round to just before it has a token: never spin on it.
        return max(wake, now + 0.001)

    def queue_lengths(self) -> Mapping[str, tuple[int, int, str]]:
        """Every queue the dispatcher owns: length, bound, and what happens when it is full."""
        limit = self.limits.active
        return {
            "active set": (len(self.backlog.open), limit, "new messages wait in the journal"),
            "awaited receipts": (len(self.settler.awaited), limit, "the oldest are looked up in the journal"),
            "parked receipts": (len(self.settler.parked), self.limits.parked, "the oldest are dropped and counted"),
            "lookups": (len(self._lookups), 0, "bounded by the carriers' windows towards us"),
        }


def _already_left(message: Message) -> Refusal:
    return Refusal("already_left", f"the message is {message.status.word} and cannot be cancelled", "$", 409)
