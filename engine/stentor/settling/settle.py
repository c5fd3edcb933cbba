"""What became of submissions: from a driver's outcomes to changes of messages.

Owns what is in flight. Each submission has one *flight* from the moment it is handed over until its one outcome; what
comes without a flight is late or stray (``late``). A message of several segments has an *attempt* that gathers their
outcomes until the last is in.

Doubt is settled by the message's delivery promise: sent again, or never again. Then it is *held* while something may
yet tell of it (``holding``). A peer that is idempotent leaves no doubt: it is asked again (``repeats``).
"""

from collections.abc import Callable, Collection, Iterable, Sequence

from stentor.driver import Receipt
from stentor.journal.flight_record import FlightRecord
from stentor.journal.records import ParkedReceipt
from stentor.message import Delivery, Error, Message, Segment, Status
from stentor.outcome import Deferred, Outcome, Refused, Returned, Scope, Sent, Submission, Unknown
from stentor.retry import RetryPolicy
from stentor.scheduling.detours import Detour, put_off
from stentor.scheduling.lanes import Channel, Lane
from stentor.settling.attempts import Attempt, error_of
from stentor.settling.holding import Holding
from stentor.settling.ledger import Ledger
from stentor.settling.lifecycle import CHANGE_OF_RECEIPT, Change, advance, finish
from stentor.settling.receipts import AwaitedReceipts, AwaitedTogether, ParkedReceipts, combine
from stentor.settling.repeats import Repeats

Flight = tuple[Submission, Message, Lane, int]
"""A submission under way, and its slot in the record. Not a Struct: for every submission, a tuple costs a third."""


class Settler:
    """Applies outcomes and receipts to messages; tells what must be tried again and what has left memory.

    ``try_again(message, delay_s)`` and ``gone(message)`` are the dispatcher's own, called as decisions fall;
    ``family(channel)`` names the family of a channel's carrier ids; ``leads_on(message, avoided)`` says whether its
    route has a channel that is not avoided; ``late(outcome, wall_ms)`` is told of what is not in flight.

    ``detours`` are those of messages in memory, by key; ``told`` are segments that a late answer told of while they
    were under way again, by token; ``asked`` are open questions by token (``following``).
    """

    __slots__ = (
        "_attempts",
        "_bound",
        "_doubted",
        "_gone",
        "_leads_on",
        "_ledger",
        "_random",
        "_together",
        "_try_again",
        "asked",
        "awaited",
        "counters",
        "detours",
        "family",
        "flights",
        "holding",
        "known",
        "late",
        "parked",
        "record",
        "repeats",
        "retry",
        "told",
    )

    def __init__(
        self,
        ledger: Ledger,
        retry: RetryPolicy,
        awaited_limit: int,
        parked: ParkedReceipts,
        random: Callable[[], float],
        try_again: Callable[[Message, float], None],
        gone: Callable[[Message], None],
        family: Callable[[str], str],
        leads_on: Callable[[Message, Collection[str]], bool],
        detours: dict[int, Detour],
        doubts_limit: int,
        late: Callable[[Outcome, int], None],
        record: FlightRecord,
    ) -> None:
        self._ledger = ledger
        self.record = record
        self.retry = retry
        self._random = random
        self._try_again = try_again
        self._gone = gone
        self.family = family
        self._leads_on = leads_on
        self.detours = detours
        self.late = late
        self.told: dict[int, Segment] = {}
        self.asked: dict[int, tuple[str, float]] = {}
        self.awaited = AwaitedReceipts(awaited_limit)
        self.parked = parked
        self.flights: dict[int, Flight] = {}
        self._attempts: dict[int, Attempt] = {}
        self._together = AwaitedTogether(awaited_limit)
        self.known = self._together.get
        self.counters = {"stray": 0, "late": 0, "duplicate_receipts": 0, "sent": 0, "finished": 0}
        self.holding = Holding(ledger, doubts_limit, self.counters)
        self.repeats = Repeats(self._gather)
        self._doubted, self._bound = self.holding.doubts.by_key, self.repeats.bound

    # -- handing over -----------------------------------------------------------------------------------------------

    def begin(self, message: Message, count: int) -> None:
        """An attempt of several submissions begins."""
        self._attempts[message.key] = Attempt(count)

    def never_left(self, message: Message, outcome: Returned, wall_ms: int) -> None:
        """A submission that was taken from the queue but never handed to a driver."""
        self._gather(message, outcome, wall_ms)

    def take_back(self, batch: Iterable[Submission], wall_ms: int) -> None:
        """Submissions that no driver was given after all."""
        for submission in batch:
            _, message, lane, slot = self.flights.pop(submission.token)
            self.record.strike((slot,))
            lane.give_back(1)
            self._gather(message, Returned(submission), wall_ms)

    # -- outcomes ---------------------------------------------------------------------------------------------------

    def resolve(self, outcomes: Iterable[Outcome], now: float, wall_ms: int) -> None:
        """Apply a batch of outcomes. Window slots are freed once the result is durable, for ``Returned`` at once."""
        flights = self.flights
        slots, landed = self._ledger.effects.slots, self._ledger.effects.landed
        succeeded: dict[Lane, int] = {}
        for outcome in outcomes:
            submission = outcome.submission
            flight = flights.pop(submission.token, None)
            if flight is None or flight[0] is not submission:
                if flight is not None:
                    flights[submission.token] = flight
                self.late(outcome, wall_ms)
                continue
            _, message, lane, slot = flight
            if isinstance(outcome, Sent):
                landed.append(slot)
                succeeded[lane] = succeeded.get(lane, 0) + 1
                slots[lane] = slots.get(lane, 0) + 1
                self._segment_sent(message, outcome, lane.channel, wall_ms)
            else:
                self._clear(slot, message, outcome)
                self._not_sent(message, lane, outcome, now, wall_ms)
        for lane, count in succeeded.items():
            lane.took(count, now)

    def _clear(self, slot: int, message: Message, outcome: Outcome) -> None:
        """What was not taken, or has a lease, needs no record; a doubt needs one until the journal tells of it."""
        if not isinstance(outcome, Unknown) or message.delivery is Delivery.AT_MOST_ONCE:
            self.record.strike((slot,))
        elif (attempt := self._attempts.get(message.key)) is not None:
            attempt.slots.append(slot)
        else:
            self._ledger.effects.landed.append(slot)

    def _segment_sent(self, message: Message, outcome: Sent, channel: Channel, wall_ms: int) -> None:
        submission = outcome.submission
        if self.told and submission.token in self.told:
            self._sent_once_more(message, outcome, channel, wall_ms)
            return
        if self._bound:
            self._bound.pop(submission.token, None)
        name, match_id = channel.name, outcome.match_id
        if outcome.charge is not None:
            self._ledger.charged(submission, outcome.charge, wall_ms, name)
        awaits = message.wants_receipt and channel.has_receipts and not message.final_at_ms
        segment = Segment(submission.index, Status.SENT, outcome.carrier_id, None, wall_ms, 0, None, name)
        if not awaits:
            segment.final_at_ms = wall_ms
        elif match_id is not None:
            segment.match_id = match_id
            self.awaited.add(channel.family, match_id, message, segment)
        message.channel = name
        self._ledger.commit.segments[submission.token] = (message, segment)
        if message.segments == 1:
            message.segment_list = [segment]
            self._all_sent(message, not awaits, wall_ms)
        else:
            message.segment_list.append(segment)
            self._gather(message, outcome, wall_ms)
        if self.parked.waiting and awaits and match_id is not None:
            self.join_parked(channel.family, match_id, channel, wall_ms)

    def _sent_once_more(self, message: Message, outcome: Sent, channel: Channel, wall_ms: int) -> None:
        """What a late answer had told of left again: its newer id counts from now on, and the other one leads to it."""
        segment, match_id = self.told[outcome.submission.token], outcome.match_id
        if not segment.final_at_ms and match_id is not None:
            if segment.match_id is not None:
                self.forget_id(message, segment)
            segment.carrier_id, segment.match_id = outcome.carrier_id, match_id
            segment.channel = message.channel = channel.name
            self.awaited.add(channel.family, match_id, message, segment)
            self._ledger.segment(message, segment)
        self._gather(message, outcome, wall_ms)
        if self.parked.waiting and match_id is not None and segment.match_id == match_id:
            self.join_parked(channel.family, match_id, channel, wall_ms)

    def _all_sent(
        self, message: Message, is_final: bool, wall_ms: int, attempts: int = 1, is_here: bool = True
    ) -> None:
        """The carrier took all of it, in so many ``attempts`` more; ``is_here``: it leaves memory now."""
        message.attempts += attempts
        message.sent_at_ms = wall_ms
        message.error = None
        advance(message, Change.SEND)
        counters = self.counters
        if is_final:
            message.final_at_ms = wall_ms
            counters["finished"] += 1
            if self._doubted:
                self.holding.doubts.drop(message)
        counters["sent"] += 1
        self._ledger.ended(message, wall_ms)
        if self.detours:
            self.detours.pop(message.key, None)
        if is_here:
            self._gone(message)

    def settled(self, message: Message, wall_ms: int) -> None:
        """All of a message left, in attempts that count already. It is in no queue."""
        is_held = self.holding.held.pop(message.key, None) is not None
        self._all_sent(message, False, wall_ms, 0, not is_held)
        if message.segments > 1:
            self.remember(message)
        self._finish_if_reported(message, wall_ms)

    def _not_sent(
        self,
        message: Message,
        lane: Lane,
        outcome: Refused | Deferred | Returned | Unknown,
        now: float,
        wall_ms: int,
    ) -> None:
        lane.told(outcome, now)
        if isinstance(outcome, Returned):
            lane.give_back(1)
        else:
            slots = self._ledger.effects.slots
            slots[lane] = slots.get(lane, 0) + 1
        if isinstance(outcome, Refused):
            if outcome.scope in (Scope.LANE, Scope.CHANNEL):
                self.detours.setdefault(message.key, Detour()).refused(lane, outcome.scope)
        elif isinstance(outcome, Unknown):
            submission = outcome.submission
            known = self.holding.doubts.about(message)
            self.holding.doubt(message, submission.token, submission, lane.channel, wall_ms)
            if lane.channel.capabilities.is_idempotent:
                is_told = any(doubt.channel is lane.channel for doubt in known)
                self._ask_again(message, outcome, lane, now, wall_ms, is_told)
                return
        self._gather(message, outcome, wall_ms)

    def _gather(self, message: Message, outcome: Outcome, wall_ms: int) -> None:
        """Count one outcome of an attempt; with the last, decide."""
        submission = outcome.submission
        if self.told and self.told.pop(submission.token, None) is not None:
            self._bound.pop(submission.token, None)
            # Whatever became of the repetition: the segment had left before.
            outcome = Sent(submission)
        elif self._bound and submission.token in self._bound:
            settled = self.repeats.outcome(message, outcome, wall_ms)
            if settled is None:
                return
            outcome = settled
        attempt = self._attempts.get(message.key) or Attempt(1)
        attempt.gather(outcome)
        if attempt.pending == 0:
            self._attempts.pop(message.key, None)
            self._ledger.effects.landed += attempt.slots
            self._conclude(message, attempt, wall_ms)

    def _conclude(self, message: Message, attempt: Attempt, wall_ms: int) -> None:
        if message.final_at_ms:
            # A segment was already refused or the message was otherwise ended; the rest only had to come home.
            self.detours.pop(message.key, None)
            return
        if attempt.refused is not None:
            self._end(message, Change.REFUSE, error_of(attempt.refused), wall_ms, counts=True)
        elif attempt.doubt is not None and message.delivery is Delivery.AT_MOST_ONCE:
            self._doubt(message, attempt.doubt, attempt.doubtful, wall_ms)
        elif attempt.turned_away is not None:
            self._tell_doubt(message, attempt.doubt, wall_ms)
            self._go_elsewhere(message, attempt.turned_away, wall_ms)
        elif attempt.deferred is not None:
            self._tell_doubt(message, attempt.doubt, wall_ms)
            put_off(self.detours, message)
            least_s = attempt.deferred.retry_after_s
            self.retry_later(message, error_of(attempt.deferred), wall_ms, least_s)
        elif attempt.doubt is not None:
            self.retry_later(message, error_of(attempt.doubt), wall_ms)
        elif attempt.is_throttled or attempt.is_returned:
            self.give_back(message, 0.0)
        else:
            message.attempts += 1
            self.settled(message, wall_ms)

    def _go_elsewhere(self, message: Message, outcome: Refused, wall_ms: int) -> None:
        """Another lane or channel may take what this one does not; when none is left, the refusal is the message's."""
        detour = self.detours[message.key]
        counts = detour.counts(message.channel)
        if not self._leads_on(message, detour.avoided):
            self._end(message, Change.REFUSE, error_of(outcome), wall_ms, counts=counts)
            return
        message.attempts += counts
        error = message.error = error_of(outcome)
        self._ledger.note(message, wall_ms, Status.QUEUED, error)
        self._ledger.changed(message)
        self.give_back(message, 0.0)

    def remember(self, message: Message) -> None:
        """A message of several segments awaits receipts. One that had to make room is forgotten with all its ids."""
        if (oldest := self._together.remember(message)) is not None:
            for segment in oldest.segment_list:
                if segment.match_id is not None:
                    self.forget_id(oldest, segment)

    def forgive(self, message: Message, token: int) -> bool:
        """A late answer told of a segment whose outcome in the present attempt is known; False if it is not."""
        attempt = self._attempts.get(message.key)
        return attempt is not None and attempt.forgive(token)

    def _ask_again(
        self, message: Message, doubt: Unknown, lane: Lane, now: float, wall_ms: int, is_told: bool
    ) -> None:
        """An idempotent peer gave no answer. At-least-once messages may go another way, as the same attempt; once
        ``is_told``, the timeline says so."""
        submission = doubt.submission
        # Without a pause that grows, a lane that never answers would be asked without end.
        lane.failed(now, "no_answer")
        if message.delivery is Delivery.AT_MOST_ONCE:
            self.repeats.bind(message, submission, lane.channel, wall_ms)
            return
        if not is_told:
            self._tell_doubt(message, doubt, wall_ms)
        self._gather(message, Returned(submission), wall_ms)

    def _doubt(self, message: Message, doubt: Unknown, tokens: Iterable[int], wall_ms: int) -> None:
        """An at-most-once message is in doubt: it is held if a receipt may settle that, else nothing will."""
        error = error_of(doubt)
        if self.holding.doubts.may_be_named(tokens):
            self.detours.pop(message.key, None)
            self._gone(message)
            self.holding.hold(message, error, wall_ms)
        else:
            self._end(message, Change.DOUBT, error, wall_ms, counts=True)

    def _tell_doubt(self, message: Message, doubt: Unknown | None, wall_ms: int) -> None:
        """Part of an attempt may have left, and the message's error is going to tell of something else."""
        if doubt is not None:
            segment, attempt = doubt.submission.index, doubt.submission.attempt
            self._ledger.note(message, wall_ms, Status.QUEUED, error_of(doubt), segment, attempt=attempt)

    def retry_later(self, message: Message, error: Error, wall_ms: int, least_s: float | None = None) -> None:
        """An attempt failed, or may have; ``least_s``: its peer asked for a pause."""
        message.attempts += 1
        message.error = error
        age_s = (wall_ms - message.submitted_at_ms) / 1000
        delay_s = self.retry.delay(message.attempts, age_s, self._random())
        self._ledger.note(message, wall_ms, Status.QUEUED, error)
        if delay_s is None:
            given_up = Error("attempts_exhausted", error.carrier_code, error.detail or error.code)
            self._end(message, Change.GIVE_UP, given_up, wall_ms, counts=False)
            return
        if least_s is not None:
            delay_s = max(delay_s, least_s)
        elif message.attempts == 1:
            # A first doubt is more often a lost link than a carrier in trouble.
            delay_s = 0.0
        message.due_at_ms = message.due_at_ms if message.is_ordered else wall_ms + int(delay_s * 1000)
        self._ledger.changed(message)
        self.give_back(message, delay_s)

    def give_back(self, message: Message, delay_s: float) -> None:
        advance(message, Change.GIVE_BACK)
        if message.delivery is Delivery.AT_MOST_ONCE:
            # Its lease is in the journal; without this a crash would leave it in doubt though it never left.
            self._ledger.changed(message)
        self._try_again(message, delay_s)

    def _end(self, message: Message, change: Change, error: Error, wall_ms: int, *, counts: bool) -> None:
        if counts:
            message.attempts += 1
        message.error = error
        finish(message, change, wall_ms)
        self.counters["finished"] += 1
        self._ledger.ended(message, wall_ms)
        self.forget(message)
        self._gone(message)

    def forget(self, message: Message) -> None:
        """A message ended or left memory; what was known of it beside itself is known no longer."""
        self.detours.pop(message.key, None)
        if self._doubted:
            self.holding.doubts.drop(message)

    # -- receipts ---------------------------------------------------------------------------------------------------

    def join_parked(self, family: str, match_id: str, channel: Channel, wall_ms: int) -> None:
        """The response came at last: its receipt may be waiting."""
        receipt = self.parked.take(family, match_id)
        if receipt is None:
            return
        self._ledger.forget(family, match_id)
        found = self.awaited.take(family, match_id)
        assert found is not None, "added a moment ago"
        self.report(found[0], found[1], receipt, channel, wall_ms)

    def report(
        self,
        message: Message,
        segment: Segment,
        receipt: Receipt | ParkedReceipt,
        channel: Channel,
        wall_ms: int,
    ) -> None:
        """Apply a receipt that came over ``channel`` to the segment it names."""
        if self.asked:
            self.asked.pop(message.key + segment.index, None)
        if segment.final_at_ms:
            self.counters["duplicate_receipts"] += 1
            return
        if receipt.charge is not None:
            self._ledger.charged_later(message, segment, receipt.charge, wall_ms)
        if receipt.status is Status.SENT:
            self._ledger.note(message, wall_ms, Status.SENT, receipt.error, segment.index, channel.name)
            if segment.match_id is not None:
                self.awaited.add(channel.family, segment.match_id, message, segment)
            return
        segment.status = receipt.status
        segment.final_at_ms = wall_ms
        segment.error = receipt.error
        segment.match_id = None
        self._ledger.commit.segments[message.key + segment.index] = (message, segment)
        self._finish_if_reported(message, wall_ms)

    def _finish_if_reported(self, message: Message, wall_ms: int) -> None:
        """The message is final when it was sent whole and each of its segments is final."""
        if message.status is not Status.SENT or message.final_at_ms:
            return
        segments = message.segment_list
        if len(segments) == 1:
            worst = segments[0]
            if not worst.final_at_ms:
                return
            status = worst.status
        else:
            if not all(segment.final_at_ms for segment in segments):
                return
            status = combine([segment.status for segment in segments], False)
            worst = next(segment for segment in segments if segment.status is status)
            self._together.forget(message.key)
        if status is Status.SENT:
            message.final_at_ms = wall_ms
            self._ledger.changed(message)
        else:
            message.error = worst.error
            finish(message, CHANGE_OF_RECEIPT[status], wall_ms)
            self._ledger.ended(message, wall_ms)
        self.counters["finished"] += 1
        if self._doubted:
            self.holding.doubts.drop(message)

    def lose_sight(self, messages: Sequence[Message], wall_ms: int, is_unknown: bool) -> int:
        """The receipts of these never came within the horizon: they end as UNKNOWN, or as SENT. Returns how many."""
        lost = 0
        for message in messages:
            if message.status is not Status.SENT or message.final_at_ms:
                continue
            lost += 1
            for segment in message.segment_list:
                if segment.match_id is not None:
                    self.forget_id(message, segment)
                    segment.match_id = None
                    self._ledger.segment(message, segment)
            self._together.forget(message.key)
            self.holding.doubts.drop(message)
            self.counters["finished"] += 1
            if is_unknown:
                message.error = Error("no_receipt")
                finish(message, Change.LOSE_SIGHT, wall_ms)
                self._ledger.ended(message, wall_ms)
            else:
                message.final_at_ms = wall_ms
                self._ledger.changed(message)
        return lost

    def forget_id(self, message: Message, segment: Segment) -> None:
        """Nobody in memory waits for the segment's receipt, unless its id was given again meanwhile."""
        assert segment.match_id is not None
        family = self.family(segment.channel or message.channel)
        found = self.awaited.get(family, segment.match_id)
        if found is not None and found[0].key == message.key:
            self.awaited.forget(family, segment.match_id)
