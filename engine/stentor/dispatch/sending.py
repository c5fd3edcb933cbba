"""What goes to which lane now: batches for drivers, within windows and rates.

Owns the batches that are decided and not handed over yet. A message stays on one lane and in order: what a lane cannot
take at once is its *leftover*. A submission of an at-most-once message leaves after its lease is durable; until then
it holds its slot of the window.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from stentor.dispatch.expand import expand_rest, expand_usual, expand_whole, plan_begun, plan_for
from stentor.dispatch.restraint import Restraint
from stentor.driver import Capabilities
from stentor.errors import Refusal
from stentor.message import Delivery, Error, Message, Status
from stentor.outcome import CODES, Returned, Submission
from stentor.scheduling.lanes import Channel, Lane
from stentor.settling.ledger import Ledger
from stentor.settling.lifecycle import Change, advance
from stentor.settling.settle import Settler
from stentor.text.coding import Coding, Plan
from stentor.text.segments import MAX_SEGMENTS

ROUND: Final = 1000
"""Submissions after which one round over many channels ends: some milliseconds."""


class Departures:
    """Fills lanes from their channel's queue.

    ``end(message, change, wall_ms)`` is the dispatcher's own, for a message that will not leave after all;
    ``coding(name)`` says how a channel that took some of a message's segments cut them, None for one that is gone;
    ``restraint`` knows what else may keep a message from leaving.
    """

    __slots__ = (
        "_coding",
        "_end",
        "_first",
        "_is_stopping",
        "_ledger",
        "_outgoing",
        "_restraint",
        "_settler",
        "is_more",
    )

    def __init__(
        self,
        ledger: Ledger,
        settler: Settler,
        end: Callable[[Message, Change, int], None],
        coding: Callable[[str], Coding | None],
        restraint: Restraint,
    ) -> None:
        self._ledger = ledger
        self._settler = settler
        self._end = end
        self._coding = coding
        self._restraint = restraint
        self._is_stopping = False
        self._outgoing: list[tuple[Lane, list[Submission]]] = []
        self._first: Channel | None = None
        self.is_more = False

    def stop(self) -> None:
        """From now on leases return instead of leaving."""
        self._is_stopping = True

    def take_outgoing(self) -> Sequence[tuple[Lane, list[Submission]]]:
        """Batches to hand to drivers, each within its lane's window."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    # -- filling ----------------------------------------------------------------------------------------------------

    def in_turn(self, channels: Iterable[Channel], now: float) -> Iterator[Channel]:
        """The channels that are up and do not rest, until so much goes that the others must wait for the next round:
        what came back from the first can be read and written meanwhile. It begins with those."""
        up = [channel for channel in channels if channel.is_up]
        first = up.index(self._first) if self._first in up else 0
        self._first, self.is_more = None, False
        for channel in up[first:] + up[:first]:
            if channel.rests_until > now:
                continue  # another that had its turn may have woken it
            if sum(len(batch) for _, batch in self._outgoing) >= ROUND:
                self._first, self.is_more = channel, True
                return
            yield channel

    def turn(self, channel: Channel, now: float, wall_ms: int) -> None:
        """Let go what can go now over a channel that is up."""
        parking = channel.parking
        if parking is not None:
            parking.release(now, wall_ms)
        if channel.has_work:
            self.fill(channel, now, wall_ms)
        if parking is not None:
            parking.finish(now, wall_ms)
        channel.rest(now)

    def fill(self, channel: Channel, now: float, wall_ms: int) -> None:
        """Give the lanes of a channel that is up what they can take now, an even share each."""
        lanes, record = channel.in_turn(), self._settler.record
        if channel.repeats and not channel.capabilities.can_look_up:
            self._settler.repeats.give_up_questions(channel, wall_ms)
        share = -(-channel.queue.segments // len(lanes))
        for lane in lanes:
            waiting = max(share, len(lane.leftover), len(channel.repeats))
            budget = min(lane.budget(now), channel.capabilities.batch_limit, waiting)
            if channel.rate:
                budget = min(budget, channel.bucket.available(now))
            budget = record.room(budget)
            if budget <= 0:
                continue
            batch = self._take(channel, lane, budget, now, wall_ms)
            if batch:
                lane.take(len(batch), now)
                channel.bucket.take(len(batch), now)
                channel.pace.note(len(batch), now)
                self._hand_over(lane, batch)

    def _take(
        self, channel: Channel, lane: Lane, budget: int, now: float, wall_ms: int
    ) -> list[tuple[Message, Submission]]:
        """At most ``budget`` submissions for the lane: what is left over, what is repeated, then from the queue."""
        batch: list[tuple[Message, Submission]] = []
        leftover = lane.leftover
        for first in (leftover, channel.repeats):
            while first and len(batch) < budget:
                batch.append(first.popleft())
        name, capabilities, parking = channel.name, channel.capabilities, channel.parking
        doubts, restraint = self._settler.holding.doubts, self._restraint
        # What comes by a parking was asked about before it was counted there.
        is_asked = parking is None
        is_restrained = restraint.quiet is not None
        stopped = 0
        if parking is not None:
            parking.begin()
        while len(batch) + stopped < budget and (
            messages := channel.queue.take(budget - len(batch))
            if parking is None
            else parking.next(lane, budget - len(batch), now, wall_ms)
        ):
            for message in messages:
                if message.expires_at_ms <= wall_ms:
                    self._end(message, Change.EXPIRE, wall_ms)
                    continue
                may_be_stopped = is_restrained or message.batch is not None or message.send_at_ms > wall_ms
                if may_be_stopped and is_asked and restraint.stops(message, channel, wall_ms):
                    stopped += 1
                    continue
                if message.batch is not None:
                    restraint.holdback.departs(message, now)
                usual = expand_usual(message, capabilities, wall_ms)
                submissions = (usual,) if usual is not None else self._expand(message, capabilities, wall_ms)
                if not submissions:
                    continue
                if doubts.by_key and message.key in doubts.by_key:
                    doubts.cut_anew(message, submissions)
                advance(message, Change.TAKE)
                message.channel = name
                if message.delivery is Delivery.AT_MOST_ONCE:
                    self._ledger.changed(message)
                if len(submissions) == 1:
                    batch.append((message, submissions[0]))
                else:
                    self._settler.begin(message, len(submissions))
                    batch += [(message, submission) for submission in submissions]
        while len(batch) > budget:
            leftover.appendleft(batch.pop())
        return batch

    def _expand(self, message: Message, capabilities: Capabilities, wall_ms: int) -> Sequence[Submission]:
        """What is to be sent of a message that is not plainly one segment; nothing when the channel cannot carry it,
        and then it has ended."""
        coding, is_whole = capabilities.coding, capabilities.unit == "message"
        try:
            if is_whole and message.segment_list:
                self._begin_anew(message, wall_ms)
            begun = self._begun(message, coding, wall_ms) if message.segment_list else None
            if begun is not None:
                plan, coding = begun
            else:
                plan = plan_for(message, coding)
                self._follow(message, plan)
            if is_whole:
                return expand_whole(message, wall_ms)
            submissions = expand_rest(message, plan, coding, wall_ms)
        except Refusal as refusal:
            code = refusal.code if refusal.code in CODES else "bad_content"
            message.error = Error(code, None, refusal.detail[:200])
            self._end(message, Change.GIVE_UP, wall_ms)
            return ()
        assert submissions, "a message whose segments are all sent does not wait"
        return submissions

    def _begun(self, message: Message, coding: Coding, wall_ms: int) -> tuple[Plan, Coding] | None:
        """How the segments that are sent were cut; None when the rest cannot be cut so, and all go anew."""
        begun = self._as_begun(message, coding)
        if begun is None:
            self._begin_anew(message, wall_ms)
        return begun

    def _as_begun(self, message: Message, coding: Coding) -> tuple[Plan, Coding] | None:
        # Whoever took the first cut it; others, which may stand before it, completed what it had begun.
        began = min(message.segment_list, key=lambda segment: segment.sent_at_ms)
        first = self._coding(began.channel)
        return plan_begun(message, (coding,) if first is None else (first, coding))

    def _begin_anew(self, message: Message, wall_ms: int) -> None:
        """What was sent cannot be completed, so all goes once more, and the timeline says so. Raises Refusal
        for what goes at most once."""
        if message.delivery is Delivery.AT_MOST_ONCE:
            raise Refusal(
                "begun_anew", "some of its segments have left, and this channel cannot complete them"
            )
        left = f"{len(message.segment_list)} of {message.segments} segments had left over {message.channel}"
        self._ledger.note(message, wall_ms, Status.QUEUED, Error("begun_anew", None, left))
        settler = self._settler
        settler.holding.doubts.drop(message)
        for segment in message.segment_list:
            if segment.match_id is not None:
                settler.forget_id(message, segment)
                segment.match_id = None
            segment.status, segment.sent_at_ms, segment.final_at_ms = Status.QUEUED, 0, 0
            self._ledger.segment(message, segment)
        message.segment_list = []

    def _follow(self, message: Message, plan: Plan) -> None:
        """Nothing of the message is sent: it is what will be. In the journal before any of its segments is."""
        if message.segments != plan.segments or message.encoding is not plan.encoding:
            if plan.segments > MAX_SEGMENTS:
                detail = f"{plan.segments} segments, a message has at most {MAX_SEGMENTS}"
                raise Refusal("too_many_segments", detail, "$.text")
            message.segments, message.encoding = plan.segments, plan.encoding
            self._ledger.changed(message)

    def _hand_over(self, lane: Lane, batch: Iterable[tuple[Message, Submission]]) -> None:
        """Submissions leave at once; those of at-most-once messages after their lease is durable."""
        leaving: list[Submission] = []
        messages: list[Message] = []
        for message, submission in batch:
            if message.delivery is Delivery.AT_MOST_ONCE:
                self._ledger.effects.leases.append((lane, message, submission))
            else:
                messages.append(message)
                leaving.append(submission)
        if leaving:
            self._depart(lane, messages, leaving)

    def _depart(self, lane: Lane, messages: Sequence[Message], batch: list[Submission]) -> None:
        """The lane's driver is given these next; from here on a crash finds them in the record."""
        settler = self._settler
        flights = settler.flights
        slots = settler.record.depart(lane.channel.name, batch)
        for submission, message, slot in zip(batch, messages, slots, strict=True):
            flights[submission.token] = submission, message, lane, slot
        self._outgoing.append((lane, batch))

    def resume(self, message: Message, channel: Channel, wall_ms: int, doubtful_since_ms: int = 0) -> None:
        """A start found a message under way to an idempotent peer: the same attempt is handed over again. With
        ``doubtful_since_ms`` the peer is one that can be asked whether it has it."""
        capabilities = channel.capabilities
        usual = expand_usual(message, capabilities, wall_ms)
        submissions = (usual,) if usual is not None else self._expand(message, capabilities, wall_ms)
        if len(submissions) > 1:
            self._settler.begin(message, len(submissions))
        for submission in submissions:
            if doubtful_since_ms:
                submission = replace(submission, doubtful_since_ms=doubtful_since_ms)
                if capabilities.echoes_reference:
                    self._settler.holding.doubt(message, submission.token, submission, channel, wall_ms)
            self._settler.repeats.bind(message, submission, channel, wall_ms)

    def handed_before(self, message: Message, channel: Channel, wall_ms: int) -> Sequence[Submission]:
        """What a channel may have been handed of a message in an earlier life: cut as it cuts. The message follows, as
        it did then. Nothing where that cannot be told, or where it began anew what had been sent: that still counts."""
        coding, is_whole = channel.capabilities.coding, channel.capabilities.unit == "message"
        try:
            if message.segment_list:
                begun = None if is_whole else self._as_begun(message, coding)
                return () if begun is None else expand_rest(message, *begun, wall_ms)
            plan = plan_for(message, coding)
            self._follow(message, plan)
            return expand_whole(message, wall_ms) if is_whole else expand_rest(message, plan, coding, wall_ms)
        except Refusal:
            return ()

    # -- leases -----------------------------------------------------------------------------------------------------

    def let_go(self, leases: Iterable[tuple[Lane, Message, Submission]], wall_ms: int) -> None:
        """Leases are durable: what they are for may leave, if it has not left and the lane can still carry it."""
        settler = self._settler
        leaving: dict[Lane, list[tuple[Message, Submission]]] = {}
        leases = list(leases)
        room = settler.record.room(len(leases))
        for lane, message, submission in leases:
            channel, window = lane.channel, lane.window
            is_told = submission.token in settler.told
            is_there = (
                not is_told
                and channel.is_up
                and channel.lanes.get(lane.key) is lane
                and not self._is_stopping
            )
            if is_there and room and window.in_flight <= window.offered:
                room -= 1
                leaving.setdefault(lane, []).append((message, submission))
            else:
                lane.give_back(1)
                settler.never_left(message, Returned(submission), wall_ms)
        for lane, batch in leaving.items():
            limit = lane.channel.capabilities.batch_limit
            for start in range(0, len(batch), limit):
                messages, submissions = zip(*batch[start : start + limit], strict=True)
                self._depart(lane, messages, list(submissions))

    def recall(self, channel: Channel, token: int) -> Submission | None:
        """Take back a submission that waits to be handed over, None if there is none."""
        for waiting in (*(lane.leftover for lane in channel.lanes.values()), channel.repeats):
            for pair in waiting:
                if pair[1].token == token:
                    waiting.remove(pair)
                    return pair[1]
        return None

    def withdraw(self, lane: Lane, wall_ms: int) -> None:
        """What the lane was to be given comes back: it never left."""
        outgoing, self._outgoing = self._outgoing, []
        for other, batch in outgoing:
            if other is lane:
                self._settler.take_back(batch, wall_ms)
            else:
                self._outgoing.append((other, batch))
        while lane.leftover:
            message, submission = lane.leftover.popleft()
            self._settler.never_left(message, Returned(submission), wall_ms)

    def expire(self, channel: Channel, wall_ms: int) -> None:
        """What no driver was given while it was valid comes back, and ends unless another part of it is under way."""
        for lane in channel.lanes.values():
            if any(message.expires_at_ms <= wall_ms for message, _ in lane.leftover):
                waiting = list(lane.leftover)
                lane.leftover.clear()
                for message, submission in waiting:
                    if message.expires_at_ms <= wall_ms:
                        self._settler.never_left(message, Returned(submission), wall_ms)
                    else:
                        lane.leftover.append((message, submission))
        if channel.repeats:
            self._settler.repeats.expire(channel, wall_ms)
