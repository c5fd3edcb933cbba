"""What may keep a message from leaving: rate limits, quiet hours, whoever holds it back, and that it is not due.

It composes: how much may go is ``gate`` and ``parking``, when is ``quiet``, what is held back is ``holdback``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from stentor.dispatch.holdback import Holdback
from stentor.dispatch.reading import Reading
from stentor.journal.backlog import Backlog
from stentor.message import Error, Message, Status
from stentor.pacing.gate import Gate, LimitRule
from stentor.pacing.quiet import REASON, Quiet, QuietRule
from stentor.scheduling.lanes import Channel
from stentor.scheduling.parking import Parking
from stentor.settling.ledger import Ledger
from stentor.settling.lifecycle import TOO_EARLY, Change, advance


class Restraint:
    """``discard(message)`` takes a message from wherever it waits in memory, ``end(message, change, wall_ms)`` ends one
    that is there, ``forget(message)`` drops what is known beside one that leaves memory: all are the dispatcher's."""

    __slots__ = ("_backlog", "_forget", "_ledger", "gate", "holdback", "postponed", "quiet")

    def __init__(
        self,
        ledger: Ledger,
        backlog: Backlog,
        reading: Reading,
        settings: Mapping[str, str],
        discard: Callable[[Message], None],
        end: Callable[[Message, Change, int], None],
        forget: Callable[[Message], None],
    ) -> None:
        self._ledger = ledger
        self._backlog = backlog
        self._forget = forget
        self.gate = Gate(settings)
        self.holdback = Holdback(ledger, backlog, reading, self.gate, settings, discard, end, forget)
        self.quiet: Quiet | None = None
        self.postponed = 0

    def set_limits(
        self, rules: Iterable[LimitRule], channels: Iterable[Channel], now: float, wall_ms: int
    ) -> list[Message]:
        """The rate limits from now on. Returns what was parked, to be placed anew."""
        self.gate.set_rules(rules, now, wall_ms)
        self.gate.forget_stale(self._ledger.commit.settings)
        parked: list[Message] = []
        for channel in channels:
            if channel.parking is not None:
                parked += channel.parking.drain()
            self.watch(channel)
        return parked

    def watch(self, channel: Channel) -> None:
        """A channel's messages may have to wait for rate limits, if there are any."""
        channel.wake()
        channel.parking = None if self.gate.is_open else Parking(self.gate, channel, self.stops)

    def set_quiet(self, rules: Sequence[QuietRule]) -> None:
        """The quiet hours from now on."""
        self.quiet = Quiet(rules) if rules else None

    def assign(self, messages: Sequence[Message]) -> None:
        """Give new messages the strands they wait in, if they may have to wait in the journal, and keep in their
        timeline what moved them."""
        if self.quiet is not None:
            for message in messages:
                if message.error is not None:
                    self._ledger.note(message, message.submitted_at_ms, message.status, message.error)
        is_divided = not self.gate.is_open
        has_room = is_divided and self._backlog.has_room_for_all(self._ledger.accepting)
        tails = self._backlog.tails
        for message in messages:
            if message.batch is not None or message.is_ordered:
                self.holdback.assign(message)
            elif is_divided:
                # What goes into memory at once need not be found in a strand; each is a place of its own to write to.
                is_late = not has_room or message.status is not Status.QUEUED
                if is_late or (tails and (message.route, message.priority) in tails):
                    self.holdback.assign(message)

    def stops(self, message: Message, channel: Channel, wall_ms: int) -> bool:
        """Whether a message that is to leave by the channel may not, because of its batch, of quiet hours, or because
        it is not due and the channel's peer would not hold it so long; it is seen to then."""
        if message.batch is not None and self.holdback.stops(message, wall_ms):
            return True
        if message.segment_list:
            return False  # what has begun to leave is completed
        at_ms = wall_ms
        if message.send_at_ms > wall_ms:
            until_ms = message.send_at_ms - channel.ahead_ms
            if until_ms > wall_ms:
                self._postpone(message, until_ms, TOO_EARLY, wall_ms)
                return True
            at_ms = message.send_at_ms
        if self.quiet is None:
            return False
        until_ms = self.quiet.opens_ms(message, at_ms)
        if until_ms <= at_ms:
            return False
        self.postponed += 1
        self._postpone(message, until_ms, REASON, wall_ms)
        return True

    def _postpone(self, message: Message, until_ms: int, reason: Error, wall_ms: int) -> None:
        advance(message, Change.POSTPONE)
        message.due_at_ms = until_ms
        message.error = reason
        self._ledger.changed(message)
        self._ledger.note(message, wall_ms, message.status, reason)
        self._forget(message)
        self._backlog.leave(message)
        if not self.gate.is_open:
            # From now on it waits in the journal, with many.
            self.holdback.assign(message)
        self._ledger.effects.queued[message.key] = message
