"""A carrier and the driver that speaks to it, in one: takes submissions, answers, sends receipts, loses links.

It keeps the truth about each submission, and holds the engine to the driver contract whenever something is handed
over: never beyond the window or the batch, never the same segment twice at once, a lease before it leaves.
"""

from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from stentor.dispatch.dispatcher import Dispatcher
from stentor.driver import Capabilities, Followed, Inbound, Receipt
from stentor.ids import message_key
from stentor.message import Error, Status
from stentor.outcome import Deferred, Outcome, Refused, Returned, Scope, Sent, Submission, Unknown
from stentor.settling.following import QUESTIONS
from stentor.testing.simulator.faults import Violation
from stentor.testing.simulator.lane import Held, Leak, PeerLane
from stentor.testing.simulator.scene import Scene

ANSWER_TIMEOUT_S: Final = 30.0
BAD: Final = (Status.UNDELIVERED, Status.REJECTED, Status.EXPIRED, Status.UNKNOWN)


class Carrier:
    """One channel's peer."""

    def __init__(self, world: Scene, name: str, capabilities: Capabilities, rate: float, lanes: int) -> None:
        self.world = world
        self.name = name
        self.capabilities = capabilities
        self.rate = rate
        self.lanes = {f"{name}-{number}": PeerLane(f"{name}-{number}") for number in range(lanes)}
        self.bucket = Leak()
        self.bucket.set_rate(rate)
        self.is_configured = True
        self.outbox: list[Receipt | Inbound] = []
        # What an idempotent peer has, by token and octets: it is delivered once.
        self.has: dict[tuple[int, bytes, bytes], Sent] = {}
        # What one that can be asked finds, by token and attempt.
        self.attempts: dict[tuple[int, int], Sent] = {}
        # The last receipt of each id, whether it was sent or not, and what was taken back.
        self.last: dict[str, Receipt] = {}
        self.withdrawn: dict[str, None] = {}
        self.asked: dict[str, int] = {}
        self.reported: dict[str, None] = {}
        self.is_sending = False
        self._given_back: dict[int, Submission] = {}

    def can_recall(self, *, is_able: bool) -> None:
        """Whether it can give back what it was handed."""
        self.capabilities = msgspec.structs.replace(self.capabilities, can_recall=is_able)

    # -- submissions --------------------------------------------------------------------------------------------

    def submit(self, lane_key: str, batch: list[Submission]) -> None:
        """What the pump hands to the driver."""
        world, faults, random = self.world, self.world.faults, self.world.random
        lane = self.lanes[lane_key]
        self._check(lane, batch)
        together = random.random() < 0.5
        answered: list[Outcome] = []
        for submission in batch:
            world.fates.check(submission, self)
            held = lane.held[submission.token] = Held(submission)
            outcome = self._decide(held)
            if isinstance(outcome, Unknown) and outcome.reason == "timeout":
                world.after(ANSWER_TIMEOUT_S, self.answer, lane, [outcome])
                self._answer_late(lane, held, ANSWER_TIMEOUT_S)
            elif random.random() < faults.answer_at_once:
                self.answer(lane, [outcome])
            elif together:
                answered.append(outcome)
            else:
                world.after(self._answer_s(), self.answer, lane, [outcome])
        if answered:
            random.shuffle(answered)
            world.after(self._answer_s(), self.answer, lane, answered)

    def _check(self, lane: PeerLane, batch: list[Submission]) -> None:
        size = len(batch)
        if size > self.capabilities.batch_limit:
            raise Violation(f"{lane.key} was handed {size}, its batch is {self.capabilities.batch_limit}")
        if len(lane.held) + size > lane.window:
            raise Violation(
                f"{lane.key} holds {len(lane.held)}, was handed {size}, its window is {lane.window}"
            )
        if not lane.undurable:
            lane.most = lane.window
        for submission in batch:
            lane.undurable[submission.token] = None
            ahead_ms = submission.send_at_ms - self.world.wall_ms
            # The rest of what has begun to leave goes at once, and a clock that is set back makes anything early.
            may_be_early = submission.segments > 1 or not self.world.is_steady
            if ahead_ms > self.capabilities.schedules_s * 1000 and not may_be_early:
                raise Violation(f"{lane.key} was handed {submission.token} {ahead_ms} ms before it is due")
        if len(lane.undurable) > lane.most:
            raise Violation(
                f"{lane.key} has {len(lane.undurable)} without a durable result, window {lane.most}"
            )
        # A lease leaves when it is durable, some time after its token was granted.
        poured = sum(1 for submission in batch if self.world.fates.may_be_repeated(submission.token))
        lane.bucket.pour(poured, self.world.now, lane.key)
        self.bucket.pour(poured, self.world.now, self.name)

    def _answer_s(self) -> float:
        random = self.world.random
        if random.random() < self.world.faults.answer_slow:
            return random.choice((1.0, 5.0, 25.0))
        return random.choice((0.0, 0.005, 0.02, 0.05))

    def _answer_late(self, lane: PeerLane, held: Held, delay_s: float) -> None:
        """The answer comes after all, behind a doubt that is told of in ``delay_s``."""
        random = self.world.random
        if held.taken is not None and random.random() < self.world.faults.answer_late:
            delay_s += random.choice((0.0, 0.01, 1.0, 30.0, 300.0, 900.0))
            self.world.after(delay_s, self.answer, lane, [held.taken])

    def _decide(self, held: Held) -> Outcome:
        """What becomes of a submission; a time limit is one that is never answered."""
        faults, random, submission = self.world.faults, self.world.random, held.submission
        if submission.doubtful_since_ms:
            return self._look_up(held)
        if random.random() < faults.returned:
            return Returned(submission)
        if random.random() < faults.refused:
            return Refused(submission, "bad_destination", "11", scope=random.choice(list(Scope)))
        if random.random() < faults.throttled:
            pause_s = random.choice((0.0, 2.0))
            return Deferred(submission, "throttled", "88", "", Scope.LANE, pause_s, is_throttle=True)
        if random.random() < faults.deferred:
            pause_s = random.choice((0.0, 10.0))
            return Deferred(submission, "carrier_busy", "20", "", random.choice(list(Scope)), pause_s)
        if random.random() < faults.doubted:
            if random.random() < 0.5:
                self._take(held, is_answered=False)
            return Unknown(submission, "link_lost")
        if random.random() < faults.silent:
            if random.random() < 0.5:
                self._take(held, is_answered=False)
            return Unknown(submission, "timeout")
        return self._take(held)

    def _look_up(self, held: Held) -> Outcome:
        """Asked whether it has what may have left in an earlier life."""
        random, submission = self.world.random, held.submission
        if not self.capabilities.can_look_up:
            raise Violation(f"{self.name} was asked about {submission.token}, and cannot tell")
        if random.random() < self.world.faults.returned:
            return Returned(submission)
        if random.random() < self.world.faults.doubted:
            return Unknown(submission, "nobody can tell")
        known = self.attempts.get((submission.token, submission.attempt))
        self.world.counts["looked_up"] += 1
        if known is None:
            return Deferred(submission, "carrier_error", detail="the carrier does not have it")
        held.taken = Sent(submission, known.carrier_id, known.match_id)
        return held.taken

    def _take(self, held: Held, *, is_answered: bool = True) -> Sent:
        submission = held.submission
        name = submission.token, submission.udh, submission.data
        known = self.has.get(name) if self.capabilities.is_idempotent else None
        if known is not None:
            held.taken = Sent(submission, known.carrier_id, known.match_id)
            return held.taken
        carrier_id = self.world.fresh_id()
        match_id = None if self.capabilities.receipts == "none" else carrier_id
        sent = held.taken = self.has[name] = Sent(submission, carrier_id, match_id)
        self.attempts[submission.token, submission.attempt] = sent
        self.world.said[carrier_id] = submission
        self.world.fates.took(submission.token)
        if match_id is not None:
            self.world.truth[match_id] = submission.token
            self._report(submission, match_id, is_answered)
        return sent

    def _receipt(
        self, submission: Submission, match_id: str, status: Status, error: Error | None = None
    ) -> Receipt:
        if not self.capabilities.echoes_reference:
            return Receipt(match_id, status, error)
        if not match_id:
            self.world.unnamed.setdefault(submission.token, {})[status] = None
        return Receipt(match_id, status, error, 0, submission.reference, submission.to)

    def _report(self, submission: Submission, match_id: str, is_answered: bool) -> None:
        """The receipts of a submission, over the time to come."""
        faults, random = self.world.faults, self.world.random
        if (
            self.capabilities.echoes_reference
            and not is_answered
            and random.random() < faults.receipt_unnamed
        ):
            match_id = ""
        if not submission.wants_receipt:
            return
        status = random.choice(BAD) if random.random() < faults.receipt_bad else Status.DELIVERED
        error = None if status is Status.DELIVERED else Error("not_delivered", "1")
        receipt = self._receipt(submission, match_id, status, error)
        if match_id:
            self.last[match_id] = receipt
        if random.random() >= faults.receipt_missing:
            delay_s = 0.0 if random.random() < faults.receipt_first else 5.0
            if random.random() < faults.receipt_late:
                delay_s = 400.0
            if random.random() < faults.receipt_between:
                self._send_receipt(
                    self._receipt(submission, match_id, Status.SENT), random.random() * delay_s
                )
            self._send_receipt(receipt, delay_s)
            if random.random() < faults.receipt_twice:
                self._send_receipt(receipt, delay_s + random.choice((0.0, 0.01, 3.0)))

    def answer(self, lane: PeerLane, outcomes: list[Outcome]) -> None:
        """The peer's answers arrive. Those of a link that died meanwhile are told all the same: they are stray."""
        world = self.world
        outcomes = [each for each in outcomes if id(each.submission) not in self._given_back]
        if world.dispatcher is None or not self.is_configured:
            return
        for outcome in outcomes:
            token = outcome.submission.token
            held = lane.held.get(token)
            if held is not None and held.submission is outcome.submission:
                del lane.held[token]
                world.note_outcome(lane, outcome)
                if isinstance(outcome, Unknown) and outcome.reason != "timeout":
                    self._answer_late(lane, held, 0.0)
            else:
                world.note_late(outcome)
        world.trace("answer", lane.key, *outcomes)
        world.dispatcher.resolve(outcomes, world.now, world.wall_ms)
        world.kick()
        if world.random.random() < world.faults.answer_twice:
            world.after(1.0, self.answer, lane, outcomes)

    # -- giving back --------------------------------------------------------------------------------------------

    def recall(self, submissions: Sequence[Submission]) -> Collection[int]:
        """Their messages are cancelled: some come back at once, for some the peer is asked, for some it is too late."""
        world, random = self.world, self.world.random
        world.trace("recall", self.name, *[each.token for each in submissions])
        if not self.capabilities.can_recall:
            raise Violation(f"{self.name} was asked to give back what it was handed, and cannot")
        asked: dict[int, None] = {}
        for submission in submissions:
            for lane in self.lanes.values():
                held = lane.held.get(submission.token)
                if held is None or held.submission is not submission:
                    continue
                drawn = random.random()
                if held.taken is None and drawn < 0.4:
                    self._give_back(lane, held)
                elif drawn < 0.8:
                    asked[submission.token] = None
                    if submission.segments == 1:
                        world.fates.asked_back[submission.token] = None
                    world.after(self._answer_s(), self._give_back, lane, held)
        world.counts["withdrawn"] += len(asked)
        return asked

    def _give_back(self, lane: PeerLane, held: Held) -> None:
        """It never left, if its outcome is not known by now; what is told of it later is not heard."""
        submission = held.submission
        if held.taken is None and lane.held.get(submission.token) is held:
            self.answer(lane, [Returned(submission)])
            self._given_back[id(submission)] = submission

    # -- questions ----------------------------------------------------------------------------------------------

    def query(self, segments: Sequence[Followed]) -> None:
        """Asked what became of them; it may say so, and may say that they are under way."""
        world, random = self.world, self.world.random
        world.trace("query", self.name, *segments)
        world.counts["asked"] += len(segments)
        for segment in segments:
            row = world.journal.messages[message_key(segment.token)]
            times = self.asked[segment.match_id] = self.asked.get(segment.match_id, 0) + 1
            if not world.is_steady:
                continue
            query_after_ms = self.capabilities.query_after_s * 1000
            if world.wall_ms - row.sent_at_ms < query_after_ms:
                raise Violation(f"segment {segment.token} is asked about too early")
            # What it would hold until it is due is followed for as much longer.
            until_ms = world.limits.receipt_horizon_ms + self.capabilities.schedules_s * 1000
            if query_after_ms * 2 ** (times - 1) >= until_ms:
                raise Violation(f"segment {segment.token} is asked about too often")
        for segment in segments:
            if random.random() < 0.7 and segment.match_id in self.last:
                self._send_receipt(self.last[segment.match_id], 0.1)
            elif random.random() < 0.5:
                self._send_receipt(Receipt(segment.match_id, Status.SENT), 0.1)
        open_ = [token for token, (name, _) in self._dispatcher.following.asked.items() if name == self.name]
        if len(open_) > QUESTIONS + 3:
            raise Violation(f"{len(open_)} questions to {self.name} are open")

    def withdraw(self, segments: Sequence[Followed]) -> None:
        """Asked not to deliver them: it takes back what it has not reported yet, or does not care."""
        self.world.trace("withdraw", self.name, *segments)
        for segment in segments:
            if not self.capabilities.can_cancel:
                raise Violation(f"{self.name} was asked for {segment.token}, which it cannot give back")
            if segment.match_id not in self.reported and self.world.random.random() < 0.7:
                self.withdrawn[segment.match_id] = None
                self._send_receipt(Receipt(segment.match_id, Status.CANCELLED), 0.1)
                self.world.counts["withdrawn"] += 1

    @property
    def _dispatcher(self) -> Dispatcher:
        dispatcher = self.world.dispatcher
        assert dispatcher is not None
        return dispatcher

    # -- receipts -----------------------------------------------------------------------------------------------

    def _send_receipt(self, item: Receipt | Inbound, delay_s: float) -> None:
        self.world.after(delay_s, self.post, item)

    def post(self, item: Receipt | Inbound) -> None:
        """The carrier has something for us; it repeats it until it is acknowledged."""
        if isinstance(item, Receipt) and item.status is not Status.SENT:
            if item.match_id in self.withdrawn and item.status is not Status.CANCELLED:
                return
            self.reported[item.match_id] = None
        self.outbox.append(item)
        if not self.is_sending:
            self.is_sending = True
            self.world.after(self.world.random.choice((0.0, 0.01, 0.1)), self.send)

    def send(self) -> None:
        """Send all that waits, over any channel that shares our ids."""
        world = self.world
        self.is_sending = False
        if not self.outbox:
            return
        through = world.way_for(self.name)
        if world.dispatcher is None or through is None:
            self.is_sending = True
            world.after(5.0, self.send)
            return
        batch, self.outbox = self.outbox, []
        world.heard(batch)
        ticket = world.new_ticket(self.post, batch)
        world.trace("receive", through, *batch)
        world.dispatcher.receive(through, batch, ticket, world.wall_ms)
        world.kick()

    @property
    def is_reachable(self) -> bool:
        """Is there a link for receipts to come over?"""
        return self.is_configured and any(lane.window for lane in self.lanes.values())

    # -- links --------------------------------------------------------------------------------------------------

    def link_up(self, lane: PeerLane, window: int, rate: float | None) -> None:
        world = self.world
        if world.dispatcher is None or not self.is_configured:
            return
        lane.window = window
        # The bound on what has no durable result: as much as was ever offered while it was under way.
        lane.most = max(lane.most, window) if lane.undurable else window
        if rate is not None:
            lane.rate = rate
        lane.bucket.set_rate(lane.rate)
        world.trace("lane", lane.key, window, rate)
        world.dispatcher.offer_lane(self.name, lane.key, window, rate, world.now, world.wall_ms)
        world.kick()

    def link_down(self, lane: PeerLane, *, is_removed: bool = False) -> None:
        """The link dies: what the carrier never saw comes back, the rest is in doubt."""
        world, random = self.world, self.world.random
        dispatcher = world.dispatcher
        if dispatcher is None or not self.is_configured:
            return
        held, lane.held = list(lane.held.values()), {}
        outcomes: list[Outcome] = [
            Returned(each.submission)
            if each.taken is None and random.random() < 0.7
            else Unknown(each.submission, "link_lost")
            for each in held
        ]
        window_first = random.random() < 0.5
        is_careless = is_removed and random.random() < 0.3
        world.trace("link lost", lane.key, is_removed, is_careless, *outcomes)
        lane.window = 0
        for each in held:
            self._answer_late(lane, each, 0.0)
        if window_first and not is_removed:
            dispatcher.offer_lane(self.name, lane.key, 0, None, world.now, world.wall_ms)
        for outcome in outcomes:
            # The engine itself answers for a driver that removes a lane and says nothing.
            world.note_outcome(lane, Unknown(outcome.submission) if is_careless else outcome)
        if not is_careless:
            dispatcher.resolve(outcomes, world.now, world.wall_ms)
        if is_removed:
            dispatcher.remove_lane(self.name, lane.key, world.now, world.wall_ms)
            lane.forget()
        elif not window_first:
            dispatcher.offer_lane(self.name, lane.key, 0, None, world.now, world.wall_ms)
        world.kick()

    def reset(self) -> None:
        """The daemon, or its channel, is gone or new: no link is left."""
        self.is_configured = True
        for lane in self.lanes.values():
            lane.held.clear()
            lane.window = 0
            lane.forget()
        self.bucket = Leak()
        self.bucket.set_rate(self.rate)
