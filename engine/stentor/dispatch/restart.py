"""What a crash left under way: leases in the journal, and the record of flights, whose answers were never seen.

An at-most-once attempt is not repeated, unless its peer can tell it from a new one; any other is, as after a lost link,
and its timeline says that it may have left.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby

from stentor.dispatch.limits import Limits
from stentor.dispatch.sending import Departures
from stentor.ids import message_key
from stentor.journal.backlog import Backlog
from stentor.journal.flight_record import Noted, channel_mark
from stentor.journal.records import ParkedReceipt, Recovery
from stentor.message import Delivery, Message, Status
from stentor.pacing.strands import HELD
from stentor.scheduling.lanes import Channel
from stentor.settling.holding import STOPPED
from stentor.settling.ledger import Ledger
from stentor.settling.lifecycle import Change, advance, finish
from stentor.settling.receipts import ParkedReceipts
from stentor.settling.settle import Settler


def park_again(known: Iterable[ParkedReceipt], limits: Limits, ledger: Ledger) -> ParkedReceipts:
    """The receipts that were parked; those for which there is no room any more leave the journal too."""
    parked = ParkedReceipts(limits.parked, limits.parked_age_ms)
    for receipt in known:
        for gone in parked.park(receipt):
            ledger.forget(gone.family, gone.match_id)
    return parked


class Restart:
    """Settles what was under way, once. ``left_before(message)`` tells that all of a message had left before."""

    __slots__ = ("_backlog", "_channels", "_departures", "_ledger", "_left_before", "_settler")

    def __init__(
        self,
        ledger: Ledger,
        backlog: Backlog,
        settler: Settler,
        departures: Departures,
        channels: Mapping[str, Channel],
        left_before: Callable[[Message], bool],
    ) -> None:
        self._ledger = ledger
        self._backlog = backlog
        self._settler = settler
        self._departures = departures
        self._channels = channels
        self._left_before = left_before

    def settle(self, recovery: Recovery, wall_ms: int) -> None:
        """The messages that were with a driver when the daemon died."""
        noted: dict[int, list[Noted]] = {}
        for each in recovery.noted:
            noted.setdefault(message_key(each.token), []).append(each)
        for message in recovery.leased:
            self._settle(message, noted.pop(message.key, ()), wall_ms)
        for message in recovery.departed:
            # What is held back, or waits for its time, has come home since it left.
            if message.key in noted and message.status is Status.QUEUED and message.strand != HELD:
                doubtful = self._doubtful(message, noted[message.key])
                if doubtful and not self._left_before(message):
                    self._backlog.bring(message)
                    advance(message, Change.TAKE)
                    self._settle_doubt(message, doubtful, wall_ms)
        # What stands in the record is needed until what was made of it is durable.
        self._ledger.effects.landed += self._settler.record.taken

    def _settle(self, message: Message, noted: Iterable[Noted], wall_ms: int) -> None:
        """A message that the journal has as being sent."""
        if self._left_before(message):
            self._settler.holding.held[message.key] = message
            self._settler.settled(message, wall_ms)
        elif message.delivery is Delivery.AT_MOST_ONCE:
            self._settle_lease(message, wall_ms)
        elif doubtful := self._doubtful(message, noted):
            # Its record was written for another reason while it was with a driver; so below.
            self._backlog.resume(message)
            self._settle_doubt(message, doubtful, wall_ms)
        else:
            advance(message, Change.GIVE_BACK)
            self._ledger.changed(message)
            self._ledger.effects.queued[message.key] = message

    def _doubtful(self, message: Message, noted: Iterable[Noted]) -> list[Noted]:
        """What of a message's flights has no result in the journal, in the order of attempts."""
        if message.delivery is Delivery.AT_MOST_ONCE:
            return []
        sent = {
            (message.key + segment.index, channel_mark(segment.channel))
            for segment in message.segment_list
            if segment.status >= Status.SENT
        }
        doubtful = [
            each for each in noted if each.attempt > message.attempts and (each.token, each.mark) not in sent
        ]
        return sorted(doubtful, key=lambda each: (each.attempt, each.mark, each.token))

    def _settle_doubt(self, message: Message, doubtful: Sequence[Noted], wall_ms: int) -> None:
        """At-least-once attempts that may have left: they count, are told of, and may be settled late, as if their
        links had been lost. ``message`` is in memory and being sent."""
        channels = {channel_mark(name): channel for name, channel in self._channels.items()}
        last = doubtful[0].attempt
        for (attempt, mark), flights in groupby(doubtful, lambda each: (each.attempt, each.mark)):
            if attempt > last:
                message.attempts = last
                self._ledger.note(message, wall_ms, Status.QUEUED, STOPPED)
            last, message.attempts = attempt, attempt - 1
            channel = channels.get(mark)
            if channel is not None:
                self._leave_again(message, channel, {each.token for each in flights}, wall_ms)
        if channel is not None and channel.capabilities.is_idempotent:
            # The same attempt goes once more. Another channel than this would make a second of it.
            self._ledger.note(message, wall_ms, Status.QUEUED, STOPPED, attempt=last)
            self._ledger.changed(message)
            self._settler.give_back(message, 0.0)
        else:
            self._settler.retry_later(message, STOPPED, wall_ms)

    def _leave_again(self, message: Message, channel: Channel, tokens: set[int], wall_ms: int) -> None:
        """The message is as many segments as when these left, which may not have been durable: a receipt may yet tell
        of them, and no more of what had left before and was cut otherwise."""
        holding = self._settler.holding
        handed = self._departures.handed_before(message, channel, wall_ms)
        message.channel = channel.name
        if handed:
            holding.doubts.cut_anew(message, handed)
        if self._is_known(message, channel, tokens, {each.token for each in handed}):
            for left in handed:
                if left.token in tokens:
                    holding.doubt(message, left.token, left, channel, wall_ms)

    def _is_known(self, message: Message, channel: Channel, tokens: set[int], handed: set[int]) -> bool:
        """Were these cut as the channel would be handed them now? Where only some of a message left, and nothing of it
        is known to have been sent, they may have completed what another channel had begun."""
        if not tokens <= handed:
            return False
        if message.segment_list or tokens == handed:
            return True
        takers = [self._channels.get(name) for name in message.route]
        unit, coding = channel.capabilities.unit, channel.capabilities.coding
        return all(
            taker is not None and (taker.capabilities.unit, taker.capabilities.coding) == (unit, coding)
            for taker in takers
        )

    def _settle_lease(self, message: Message, wall_ms: int) -> None:
        """An at-most-once attempt was under way: its peer is asked again, or a receipt waited for, if either can tell
        what became of it."""
        channel = self._channels.get(message.channel)
        was_held = message.error is not None and message.error.code == "no_answer"
        if channel is not None and channel.capabilities.is_idempotent and not was_held:
            self._backlog.resume(message)
            self._departures.resume(message, channel, wall_ms)
        elif channel is not None and channel.capabilities.can_look_up and not was_held:
            self._backlog.resume(message)
            # When it left is nowhere written: not before it was due.
            self._departures.resume(message, channel, wall_ms, max(1, message.due_at_ms))
        elif channel is not None and channel.capabilities.echoes_reference:
            self._settler.holding.hold_again(message, channel, wall_ms)
        else:
            # One that was held before counts its attempt already.
            message.attempts += not was_held
            message.error = STOPPED
            finish(message, Change.DOUBT, wall_ms)
            self._settler.counters["finished"] += 1
            self._ledger.ended(message, wall_ms)
