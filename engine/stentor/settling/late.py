"""What comes late: an answer behind its doubt, a receipt that names an attempt by its reference.

Either says that a submission in doubt did leave. If its message waits to be sent again, it leaves its queue; if it
is under way again, or was sent again meanwhile, its segment goes by both names; if it is held, it goes on. So one
segment is settled once, whichever of its submissions the carrier tells of.
"""

from collections.abc import Callable, Mapping

from stentor.driver import Receipt
from stentor.message import Message, Segment, Status
from stentor.outcome import Outcome, Returned, Sent, Submission
from stentor.scheduling.lanes import Channel
from stentor.settling.doubts import Doubt
from stentor.settling.ledger import Ledger
from stentor.settling.settle import Settler


class LateAnswers:
    """Settles doubts. ``discard(message)`` takes a message out of the queue it waits in; ``recall(message, token)``
    takes back a submission that was not handed over yet; both are the dispatcher's own."""

    __slots__ = ("_channels", "_discard", "_doubts", "_holding", "_ledger", "_recall", "_settler")

    def __init__(
        self,
        ledger: Ledger,
        settler: Settler,
        channels: Mapping[str, Channel],
        discard: Callable[[Message], None],
        recall: Callable[[Message, int], Submission | None],
    ) -> None:
        self._ledger = ledger
        self._settler = settler
        self._channels = channels
        self._holding = settler.holding
        self._doubts = settler.holding.doubts
        self._discard = discard
        self._recall = recall

    # -- answers ----------------------------------------------------------------------------------------------------

    def outcome(self, outcome: Outcome, wall_ms: int) -> None:
        """An outcome of what is not in flight: late, or stray."""
        counters = self._settler.counters
        doubt = self._doubts.of(outcome.submission) if isinstance(outcome, Sent) else None
        if doubt is None:
            counters["stray"] += 1
            return
        assert isinstance(outcome, Sent)
        counters["late"] += 1
        match_id = outcome.match_id
        segment = self._segment(doubt)
        if segment is None:
            self._doubts.remove(doubt)
            self._left(doubt, outcome.carrier_id, match_id, wall_ms)
        elif match_id is None or segment.match_id is None or match_id == segment.match_id:
            self._doubts.remove(doubt)
        else:
            self._doubts.answer(doubt, match_id)
        if match_id is not None and (doubt.family, match_id) in self._settler.parked.waiting:
            self._join_parked(doubt, match_id, wall_ms)

    def _join_parked(self, doubt: Doubt, match_id: str, wall_ms: int) -> None:
        """The receipt came before the late answer; it is the segment's, by whatever name that goes now."""
        parked = self._settler.parked.waiting[doubt.family, match_id]
        receipt = Receipt(match_id, parked.status, parked.error, parked.done_at_ms, charge=parked.charge)
        named = self._settler.awaited.get(doubt.family, match_id) is not None
        primary = match_id if named else self.primary(doubt)
        if primary is not None and self._report_in_memory(doubt, primary, receipt, doubt.channel, wall_ms):
            self._settler.parked.take(doubt.family, match_id)
            self._ledger.forget(doubt.family, match_id)

    # -- receipts ---------------------------------------------------------------------------------------------------

    def by_other_id(self, channel: Channel, receipt: Receipt, wall_ms: int) -> str | None:
        """A receipt under the id of a late answer. Returns "" if it found its segment; else the id under which the
        journal knows that, None if the receipt is not of this kind."""
        doubt = self._doubts.answered(channel.family, receipt.match_id)
        return None if doubt is None else self._report(doubt, receipt, channel, wall_ms)

    def by_reference(self, channel: Channel, receipt: Receipt, wall_ms: int) -> str | None:
        """A receipt whose id is unknown, by the reference it repeats. Returns what :meth:`by_other_id` does."""
        if receipt.reference is None:
            return None
        doubt = self._doubts.named(channel.family, receipt.reference, receipt.to)
        if doubt is None:
            return None
        if self._segment(doubt) is not None:
            return self._report(doubt, receipt, channel, wall_ms)
        match_id = receipt.match_id or None
        if match_id is not None or receipt.status is not Status.SENT:
            # Under no id at all, only its reference will name the segment to the last receipt.
            self._doubts.remove(doubt)
        segment = self._left(doubt, match_id, match_id, wall_ms, is_reported=True)
        if match_id is not None:
            self._settler.awaited.take(doubt.family, match_id)
        self._settler.report(doubt.message, segment, receipt, channel, wall_ms)
        return ""

    def _report(self, doubt: Doubt, receipt: Receipt, channel: Channel, wall_ms: int) -> str | None:
        """A receipt for a segment that goes by another name now, or by none."""
        primary = self.primary(doubt)
        if primary is not None:
            if self._report_in_memory(doubt, primary, receipt, channel, wall_ms):
                return ""
            return primary if self._family(doubt) == channel.family else None
        segment = self._segment(doubt)
        assert segment is not None, "it was sent"
        self._settler.report(self._message(doubt), segment, receipt, channel, wall_ms)
        return ""

    def _report_in_memory(
        self, doubt: Doubt, primary: str, receipt: Receipt, channel: Channel, wall_ms: int
    ) -> bool:
        found = self._settler.awaited.take(self._family(doubt), primary)
        if found is None:
            return False
        self._settler.report(found[0], found[1], receipt, channel, wall_ms)
        return True

    # -- what is known ----------------------------------------------------------------------------------------------

    def _message(self, doubt: Doubt) -> Message:
        """The copy of the message that counts."""
        return self._settler.known(doubt.message.key) or doubt.message

    def _segment(self, doubt: Doubt) -> Segment | None:
        """The segment in doubt, if it is known to have left: this submission of it, or another."""
        for segment in self._message(doubt).segment_list:
            if segment.index == doubt.index:
                return segment
        return self._settler.told.get(doubt.token)

    def primary(self, doubt: Doubt) -> str | None:
        """The id by which the journal knows the segment, while a receipt is awaited."""
        segment = self._segment(doubt)
        return None if segment is None else segment.match_id

    def _family(self, doubt: Doubt) -> str:
        """Whose id that is."""
        segment = self._segment(doubt)
        message = self._message(doubt)
        name = (segment.channel if segment is not None else "") or message.channel
        return self._settler.family(name)

    # -- settling ---------------------------------------------------------------------------------------------------

    def _left(
        self,
        doubt: Doubt,
        carrier_id: str | None,
        match_id: str | None,
        wall_ms: int,
        *,
        is_reported: bool = False,
    ) -> Segment:
        """The segment did leave, and nothing had told so before. ``is_reported``: a receipt does now; it may have left
        over another channel of the family than the one that gives none."""
        message, channel, token = doubt.message, doubt.channel, doubt.token
        awaits = is_reported or (message.wants_receipt and channel.has_receipts)
        segment = Segment(doubt.index, Status.SENT, carrier_id, None, wall_ms, 0, None, channel.name)
        if not awaits:
            segment.final_at_ms = wall_ms
        elif match_id is not None:
            segment.match_id = match_id
            self._settler.awaited.add(doubt.family, match_id, message, segment)
        message.segment_list.append(segment)
        self._ledger.segment(message, segment)
        if message.key in self._holding.held:
            self._settle_held(message, wall_ms)
        elif message.status is Status.QUEUED:
            if is_whole(message, self._channels):
                self._discard(message)
                message.channel = channel.name
                self._settler.settled(message, wall_ms)
        elif not self._settler.forgive(message, token):
            self._settler.told[token] = segment
            submission = self._recall(message, token)
            if submission is not None:
                self._settler.never_left(message, Returned(submission), wall_ms)
        return segment

    def _settle_held(self, message: Message, wall_ms: int) -> None:
        done = {segment.index for segment in message.segment_list}
        if any(other.index not in done for other in self._doubts.about(message)):
            return
        if is_whole(message, self._channels):
            self._settler.settled(message, wall_ms)
        else:
            self._holding.release(message)


def is_whole(message: Message, channels: Mapping[str, Channel]) -> bool:
    """Has all of it left: each of its segments, or the one submission of a channel that takes whole messages?"""
    left = [segment for segment in message.segment_list if segment.status >= Status.SENT]
    if len(left) == message.segments:
        return True
    takers = (channels.get(segment.channel) for segment in left)
    return any(taker is not None and taker.capabilities.unit == "message" for taker in takers)
