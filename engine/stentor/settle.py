"""What became of submissions: from a driver's outcomes to changes of messages.

Owns what is in flight. Each submission has one *flight* from the moment it is handed over until its one outcome; an
outcome without a flight is counted as stray and changes nothing. A message of several segments has an *attempt*
that gathers their outcomes until the last is in.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

import msgspec

from stentor.detours import Detour
from stentor.driver import Receipt
from stentor.lanes import Channel, Lane
from stentor.ledger import Ledger
from stentor.lifecycle import CHANGE_OF_RECEIPT, Change, advance, finish
from stentor.message import Delivery, Error, Message, Segment, Status
from stentor.outcome import Deferred, Outcome, Refused, Returned, Scope, Sent, Submission, Unknown
from stentor.receipts import AwaitedReceipts, ParkedReceipts, combine
from stentor.records import History, ParkedReceipt
from stentor.retry import RetryPolicy

REFUSAL_PAUSE_S: Final = 10.0
"""How long a lane, or all lanes of a channel, rest after a refusal that reaches so far."""

Flight = tuple[Submission, Message, Lane]
"""A submission under way. Not a Struct: one is made for every submission, and a tuple costs a third."""


class Attempt(msgspec.Struct, gc=False):
    """The outcomes gathered so far of one attempt at a message. ``turned_away``: refused for no fault of its own."""

    pending: int
    refused: Refused | None = None
    turned_away: Refused | None = None
    deferred: Deferred | None = None
    doubt: Unknown | None = None
    is_throttled: bool = False
    is_returned: bool = False


class Settler:
    """Applies outcomes and receipts to messages; tells what must be tried again and what has left memory.

    ``try_again(message, delay_s)`` and ``gone(message)`` are the dispatcher's own, called as decisions fall;
    ``family(channel)`` names the family of a channel's carrier ids; ``leads_on(message, avoided)`` says whether its
    route has a channel that is not avoided. ``detours`` are those of messages in memory, by key.
    """

    __slots__ = (
        "_attempts",
        "_gone",
        "_leads_on",
        "_ledger",
        "_random",
        "_together",
        "_together_limit",
        "_try_again",
        "awaited",
        "counters",
        "detours",
        "family",
        "flights",
        "parked",
        "retry",
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
    ) -> None:
        self._ledger = ledger
        self.retry = retry
        self._random = random
        self._try_again = try_again
        self._gone = gone
        self.family = family
        self._leads_on = leads_on
        self.detours: dict[int, Detour] = {}
        self.awaited = AwaitedReceipts(awaited_limit)
        self._together_limit = awaited_limit
        self.parked = parked
        self.flights: dict[int, Flight] = {}
        self._attempts: dict[int, Attempt] = {}
        self._together: OrderedDict[int, Message] = OrderedDict()
        self.counters = {"stray": 0, "duplicate_receipts": 0, "sent": 0, "finished": 0}

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
            _, message, lane = self.flights.pop(submission.token)
            lane.window.give_back(1)
            self._gather(message, Returned(submission), wall_ms)

    # -- outcomes ---------------------------------------------------------------------------------------------------

    def resolve(self, outcomes: Iterable[Outcome], now: float, wall_ms: int) -> None:
        """Apply a batch of outcomes. Window slots are freed once the result is durable, for ``Returned`` at once."""
        flights = self.flights
        slots = self._ledger.effects.slots
        succeeded: dict[Lane, int] = {}
        for outcome in outcomes:
            submission = outcome.submission
            flight = flights.pop(submission.token, None)
            if flight is None or flight[0] is not submission:
                if flight is not None:
                    flights[submission.token] = flight
                self.counters["stray"] += 1
                continue
            _, message, lane = flight
            if isinstance(outcome, Sent):
                succeeded[lane] = succeeded.get(lane, 0) + 1
                slots[lane] = slots.get(lane, 0) + 1
                self._segment_sent(message, outcome, lane.channel, wall_ms)
            else:
                self._not_sent(message, lane, outcome, now, wall_ms)
        for lane, count in succeeded.items():
            lane.sent += count
            lane.channel.counters["sent"] += count
            lane.window.succeeded(count)
            lane.adaptive.sent(count, now)

    def _segment_sent(self, message: Message, outcome: Sent, channel: Channel, wall_ms: int) -> None:
        submission = outcome.submission
        name, match_id = channel.name, outcome.match_id
        awaits = message.wants_receipt and channel.has_receipts and not message.final_at_ms
        if awaits:
            segment = Segment(
                submission.index, Status.SENT, outcome.carrier_id, match_id, wall_ms, 0, None, name
            )
            if match_id is not None:
                self.awaited.add(channel.family, match_id, message, segment)
        else:
            segment = Segment(
                submission.index, Status.SENT, outcome.carrier_id, None, wall_ms, wall_ms, None, name
            )
        message.channel = name
        self._ledger.commit.segments[submission.token] = (message, segment)
        if message.segments == 1:
            message.segment_list = [segment]
            self._all_sent(message, not awaits, wall_ms)
        else:
            message.segment_list.append(segment)
            self._gather(message, outcome, wall_ms)
        if self.parked.waiting and awaits and match_id is not None:
            self._join_parked(channel, match_id, wall_ms)

    def _all_sent(self, message: Message, is_final: bool, wall_ms: int) -> None:
        message.attempts += 1
        message.sent_at_ms = wall_ms
        message.error = None
        advance(message, Change.SEND)
        if is_final:
            message.final_at_ms = wall_ms
            self.counters["finished"] += 1
        self.counters["sent"] += 1
        self._ledger.ended(message, wall_ms)
        if self.detours:
            self.detours.pop(message.key, None)
        self._gone(message)

    def _not_sent(
        self,
        message: Message,
        lane: Lane,
        outcome: Refused | Deferred | Returned | Unknown,
        now: float,
        wall_ms: int,
    ) -> None:
        counters = lane.channel.counters
        if isinstance(outcome, Returned):
            counters["returned"] += 1
            lane.window.give_back(1)
        else:
            slots = self._ledger.effects.slots
            slots[lane] = slots.get(lane, 0) + 1
        if isinstance(outcome, Deferred):
            if outcome.is_throttle:
                counters["throttled"] += 1
                lane.throttled += 1
                lane.adaptive.throttled(now, outcome.retry_after_s)
            else:
                counters["deferred"] += 1
            if outcome.scope in (Scope.LANE, Scope.CHANNEL) and not outcome.is_throttle:
                self._pause(outcome, lane, now)
        elif isinstance(outcome, Refused):
            counters["refused"] += 1
            if outcome.scope in (Scope.LANE, Scope.CHANNEL):
                self._pause(outcome, lane, now)
                self.detours.setdefault(message.key, Detour()).refused(lane, outcome.scope)
        elif isinstance(outcome, Unknown):
            counters["doubt"] += 1
        self._gather(message, outcome, wall_ms)

    def _pause(self, outcome: Deferred | Refused, lane: Lane, now: float) -> None:
        """A failure that reaches further than its message stops what it reaches for a while."""
        pause_s = REFUSAL_PAUSE_S if isinstance(outcome, Refused) else max(1.0, outcome.retry_after_s)
        until = now + pause_s
        reached = lane.channel.lanes.values() if outcome.scope is Scope.CHANNEL else (lane,)
        for each in reached:
            each.paused_until = max(each.paused_until, until)
            each.window.failed(now)

    def _gather(self, message: Message, outcome: Outcome, wall_ms: int) -> None:
        """Count one outcome of an attempt; with the last, decide."""
        attempt = self._attempts.get(message.key)
        if attempt is None:
            attempt = Attempt(1)
        attempt.pending -= 1
        match outcome:
            case Refused() if outcome.scope in (Scope.LANE, Scope.CHANNEL):
                attempt.turned_away = outcome
            case Refused():
                attempt.refused = outcome
            case Deferred() if outcome.is_throttle:
                attempt.is_throttled = True
            case Deferred():
                attempt.deferred = outcome
            case Unknown():
                attempt.doubt = outcome
            case Returned():
                attempt.is_returned = True
        if attempt.pending == 0:
            self._attempts.pop(message.key, None)
            self._conclude(message, attempt, wall_ms)

    def _conclude(self, message: Message, attempt: Attempt, wall_ms: int) -> None:
        if message.final_at_ms:
            # A segment was already refused or the message was otherwise ended; the rest only had to come home.
            self.detours.pop(message.key, None)
            return
        if attempt.refused is not None:
            self._end(message, Change.REFUSE, _error(attempt.refused), wall_ms, counts=True)
        elif attempt.doubt is not None and message.delivery is Delivery.AT_MOST_ONCE:
            self._end(message, Change.DOUBT, _error(attempt.doubt), wall_ms, counts=True)
        elif attempt.turned_away is not None:
            self._go_elsewhere(message, attempt.turned_away, wall_ms)
        elif attempt.doubt is not None or attempt.deferred is not None:
            self._retry_later(message, attempt, wall_ms)
        elif attempt.is_throttled or attempt.is_returned:
            self._give_back(message, 0.0)
        else:
            self._all_sent_in_segments(message, wall_ms)

    def _go_elsewhere(self, message: Message, outcome: Refused, wall_ms: int) -> None:
        """Another lane or channel may take what this one does not; when none is left, the refusal is the message's."""
        detour = self.detours[message.key]
        counts = detour.counts(message.channel)
        if not self._leads_on(message, detour.avoided):
            self._end(message, Change.REFUSE, _error(outcome), wall_ms, counts=counts)
            return
        message.attempts += counts
        error = message.error = _error(outcome)
        self._ledger.commit.history.append(
            History(message.key, wall_ms, Status.QUEUED, 0, message.attempts, message.channel, error)
        )
        self._ledger.changed(message)
        self._give_back(message, 0.0)

    def _all_sent_in_segments(self, message: Message, wall_ms: int) -> None:
        self._all_sent(message, False, wall_ms)
        self.remember(message)
        self._finish_if_reported(message, wall_ms)

    def remember(self, message: Message) -> None:
        """A message of several segments awaits receipts: all of them must find this one copy of it. Beyond the bound
        the oldest is forgotten with all its ids, and read from the journal when one comes."""
        self._together[message.key] = message
        if len(self._together) > self._together_limit:
            _, oldest = self._together.popitem(last=False)
            for segment in oldest.segment_list:
                if segment.match_id is not None:
                    self._forget(oldest, segment)

    def known(self, key: int) -> Message | None:
        """The one copy of a message of several segments that awaits receipts."""
        return self._together.get(key)

    def _retry_later(self, message: Message, attempt: Attempt, wall_ms: int) -> None:
        message.attempts += 1
        reason = attempt.deferred or attempt.doubt
        assert reason is not None
        error = message.error = _error(reason)
        age_s = (wall_ms - message.submitted_at_ms) / 1000
        delay_s = self.retry.delay(message.attempts, age_s, self._random())
        self._ledger.commit.history.append(
            History(message.key, wall_ms, Status.QUEUED, 0, message.attempts, message.channel, error)
        )
        if delay_s is None:
            given_up = Error("attempts_exhausted", error.carrier_code, error.detail or error.code)
            self._end(message, Change.GIVE_UP, given_up, wall_ms, counts=False)
            return
        if attempt.deferred is not None:
            delay_s = max(delay_s, attempt.deferred.retry_after_s)
        elif message.attempts == 1:
            # A first doubt is more often a lost link than a carrier in trouble.
            delay_s = 0.0
        message.due_at_ms = wall_ms + int(delay_s * 1000)
        self._ledger.changed(message)
        self._give_back(message, delay_s)

    def _give_back(self, message: Message, delay_s: float) -> None:
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
        self.detours.pop(message.key, None)
        self._gone(message)

    # -- receipts ---------------------------------------------------------------------------------------------------

    def _join_parked(self, channel: Channel, match_id: str, wall_ms: int) -> None:
        """The response came at last: its receipt may be waiting."""
        receipt = self.parked.take(channel.family, match_id)
        if receipt is None:
            return
        self._ledger.forget(channel.family, match_id)
        found = self.awaited.take(channel.family, match_id)
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
        if segment.final_at_ms:
            self.counters["duplicate_receipts"] += 1
            return
        if receipt.status is Status.SENT:
            self._ledger.commit.history.append(
                History(
                    message.key,
                    wall_ms,
                    Status.SENT,
                    segment.index,
                    message.attempts,
                    channel.name,
                    receipt.error,
                )
            )
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
            self._together.pop(message.key, None)
        if status is Status.SENT:
            message.final_at_ms = wall_ms
            self._ledger.changed(message)
        else:
            message.error = worst.error
            finish(message, CHANGE_OF_RECEIPT[status], wall_ms)
            self._ledger.ended(message, wall_ms)
        self.counters["finished"] += 1

    def lose_sight(self, messages: Sequence[Message], wall_ms: int, is_unknown: bool) -> int:
        """The receipts of these never came within the horizon: they end as UNKNOWN, or as SENT. Returns how many."""
        lost = 0
        for message in messages:
            if message.status is not Status.SENT or message.final_at_ms:
                continue
            lost += 1
            for segment in message.segment_list:
                if segment.match_id is not None:
                    self._forget(message, segment)
                    segment.match_id = None
                    self._ledger.segment(message, segment)
            self._together.pop(message.key, None)
            self.counters["finished"] += 1
            if is_unknown:
                message.error = Error("no_receipt")
                finish(message, Change.LOSE_SIGHT, wall_ms)
                self._ledger.ended(message, wall_ms)
            else:
                message.final_at_ms = wall_ms
                self._ledger.changed(message)
        return lost

    def _forget(self, message: Message, segment: Segment) -> None:
        """Nobody in memory waits for the segment's receipt, unless its id was given again meanwhile."""
        assert segment.match_id is not None
        family = self.family(segment.channel or message.channel)
        found = self.awaited.get(family, segment.match_id)
        if found is not None and found[0].key == message.key:
            self.awaited.forget(family, segment.match_id)


def _error(outcome: Refused | Deferred | Unknown) -> Error:
    if isinstance(outcome, Unknown):
        return Error("no_answer", None, outcome.reason)
    return Error(outcome.code, outcome.carrier_code, outcome.detail[:200])
