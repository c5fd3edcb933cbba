"""Asks the carrier about messages: those in doubt first, then what the engine wants taken back or followed.

Doubt is settled here before the engine hears of it: a submission whose answer was lost is kept back, the carrier is
asked whether it has it, and only what nobody can tell becomes an ``Unknown``. The lane is as much wider as is kept
back, so that one lost answer does not hold up what comes behind it.

Invariants: what was handed in has its one outcome in the end; what waits is bounded, and beyond the bounds doubt is
told at once and other questions are left unasked; one question is under way at a time, at most ``PER_S`` a second
beside those about doubt.
"""

import asyncio
import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from stentor.aio.http import Client
from stentor.driver import Followed, Host
from stentor.outcome import Deferred, Outcome, Returned, Sent, Submission, Unknown
from stentor.wire.calls import HTTPFailure, HTTPReply, HTTPRequest, InvalidRequest
from stentor_http.carrier import Carrier
from stentor_http.questions import UNCERTAIN, CancelCall, QueryCall
from stentor_http.reach import Reach
from stentor_http.remembered import Remembered
from stentor_http.template import own_id

DOUBTS: Final = 1_000
WAITING: Final = 1_000
PER_S: Final = 2.0
CLOCK_MS: Final = 300_000
"""By how much a message may have left before it was due, by a clock that was set meanwhile."""


class Doubt(msgspec.Struct, eq=False):
    """An outcome kept back. ``asked_at_ms``: when its request left, or since when it may have, as ``is_moment_known``
    says; ``until``: when nobody is asked any more."""

    outcome: Unknown
    asked_at_ms: int
    until: float
    tries: int = 0
    is_moment_known: bool = True


class Asker:
    """The questions of one channel. ``settle`` takes outcomes; ``counters`` are the driver's."""

    def __init__(
        self,
        carrier: Carrier,
        host: Host,
        client: Client,
        reach: Reach,
        counters: "Counter[str]",
        settle: Callable[[Sequence[Outcome]], None],
        remembered: Remembered,
    ) -> None:
        self._carrier, self._host, self._client, self._reach = carrier, host, client, reach
        self._counters, self._settle, self._remembered = counters, settle, remembered
        self._due: list[tuple[float, int, Doubt]] = []
        self._entries = 0
        self._asked: Doubt | None = None
        self._cancels: dict[int, Followed] = {}
        self._queries: dict[int, Followed] = {}
        self._next_at = 0.0
        self._is_hurried = False
        self._news = asyncio.Event()
        self._is_idle = asyncio.Event()

    # ---- what is to be asked

    def keep_back(self, outcomes: Sequence[Outcome], asked_at_ms: int) -> Sequence[Outcome]:
        """Those that can be told now; the doubt among them is settled first, if that is possible."""
        lookup = self._carrier.questions.lookup
        if lookup is None or self._is_hurried:
            return outcomes
        told: list[Outcome] = []
        now = self._host.clock.now()
        for outcome in outcomes:
            if not isinstance(outcome, Unknown):
                told.append(outcome)
            elif self.kept_back >= DOUBTS:
                self._counters["doubts_unasked"] += 1
                told.append(outcome)
            else:
                if not lookup.is_exact:
                    self._remembered.note(outcome.submission, asked_at_ms)
                self._push(now + lookup.after_s, Doubt(outcome, asked_at_ms, now + lookup.patience_s))
        self._reach.widen(self.kept_back)
        return told

    def resume(self, submissions: Iterable[Submission]) -> None:
        """The daemon was killed under these: the carrier is asked about them, and none is sent."""
        lookup, clock = self._carrier.questions.lookup, self._host.clock
        for submission in submissions:
            if lookup is None or not self._remembered.is_same_account or self.kept_back >= DOUBTS:
                self._counters["doubts_unasked"] += 1
                self._settle([Unknown(submission, "the carrier cannot be asked")])
                continue
            known_ms = self._remembered.at_ms(submission)
            since_ms = known_ms or submission.doubtful_since_ms - CLOCK_MS
            now = clock.now()
            # It may have been under way a moment ago, and the carrier still busy with it.
            due = now + lookup.after_s
            self._push(due, Doubt(Unknown(submission), since_ms, due + lookup.patience_s, 0, bool(known_ms)))
        self._reach.widen(self.kept_back)

    def follow(self, segments: Sequence[Followed], *, is_cancel: bool) -> None:
        """Note questions of the engine; one that waits already is not asked twice."""
        waiting = self._cancels if is_cancel else self._queries
        for followed in segments:
            if followed.token in waiting:
                continue
            if len(waiting) >= WAITING or self._is_hurried:
                self._counters["unasked"] += 1
            else:
                waiting[followed.token] = followed
        self._news.set()

    @property
    def kept_back(self) -> int:
        """How many submissions are in doubt and not told of."""
        return len(self._due) + (self._asked is not None)

    # ---- life

    async def run(self) -> None:
        """For as long as the channel lives."""
        while True:
            now = self._host.clock.now()
            if self._due and (self._due[0][0] <= now or self._is_hurried):
                await self._settle_doubt(heapq.heappop(self._due)[2])
            elif (self._cancels or self._queries) and self._next_at <= now:
                self._next_at = now + 1.0 / PER_S
                # A cancellation is a race with the carrier, a query is not.
                waiting = self._cancels or self._queries
                await self._follow(waiting.pop(next(iter(waiting))), waiting is self._cancels)
            else:
                await self._rest(now)

    async def finish(self) -> None:
        """Ask about all doubt at once, and return when it is settled as far as it can be."""
        self._is_hurried = True
        self._counters["unasked"] += len(self._cancels) + len(self._queries)
        self._cancels.clear()
        self._queries.clear()
        self._news.set()
        while self.kept_back:
            self._is_idle.clear()
            await self._is_idle.wait()

    def give_up(self) -> None:
        """The end: what is still in doubt stays so, unless the next life can ask."""
        left = [doubt for _, _, doubt in self._due]
        if self._asked is not None:
            left.append(self._asked)
        self._due, self._asked = [], None
        for doubt in left:
            submission = doubt.outcome.submission
            self._tell(Returned(submission) if submission.doubtful_since_ms else doubt.outcome)

    async def _rest(self, now: float) -> None:
        wakes = [self._due[0][0]] if self._due else []
        if self._cancels or self._queries:
            wakes.append(self._next_at)
        self._news.clear()
        try:
            async with asyncio.timeout(min(wakes) - now if wakes else None):
                await self._news.wait()
        except TimeoutError:
            return

    # ---- doubt

    def _push(self, due: float, doubt: Doubt) -> None:
        self._entries += 1
        heapq.heappush(self._due, (due, self._entries, doubt))
        self._news.set()

    async def _settle_doubt(self, doubt: Doubt) -> None:
        lookup = self._carrier.questions.lookup
        assert lookup is not None, "nothing is kept back without"
        self._asked = doubt
        submission = doubt.outcome.submission
        doubt.tries += 1
        found, is_last = UNCERTAIN, doubt.tries >= lookup.tries
        if self._host.clock.now() < doubt.until:
            token = await self._reach.token()
            if token is not None:
                answer = await self._send(lookup.make(submission, doubt.asked_at_ms, token))
                found = lookup.read(
                    submission, doubt.asked_at_ms, answer, is_moment_known=doubt.is_moment_known
                )
        else:
            is_last = True
        self._asked = None
        if found.carrier_id:
            self._counters["doubts_taken"] += 1
            self._tell(self._sent(submission, found.carrier_id))
        elif not is_last and self._is_hurried and submission.doubtful_since_ms:
            self._tell(Returned(submission))  # the next life can ask again
        elif not is_last and not self._is_hurried:
            self._push(self._host.clock.now() + lookup.after_s * 2.0**doubt.tries, doubt)
        elif found.carrier_id is not None and is_last:
            self._counters["doubts_refuted"] += 1
            self._tell(Deferred(submission, "carrier_error", detail="the carrier does not have it"))
        else:
            self._counters["doubts_open"] += 1
            self._tell(doubt.outcome)

    def _sent(self, submission: Submission, carrier_id: str) -> Sent:
        return Sent(submission, carrier_id, own_id(submission) if self._carrier.matches_own else carrier_id)

    def _tell(self, outcome: Outcome) -> None:
        if not isinstance(outcome, Returned):
            self._remembered.forget(outcome.submission)
        self._settle([outcome])
        self._reach.widen(self.kept_back)
        if not self.kept_back:
            self._is_idle.set()

    # ---- questions of the engine

    async def _follow(self, followed: Followed, is_cancel: bool) -> None:
        questions = self._carrier.questions
        call: QueryCall | CancelCall | None = questions.cancel if is_cancel else questions.query
        assert call is not None, "the engine asks only for what the channel can"
        token = await self._reach.token()
        if token is None:
            self._counters["unasked"] += 1
            return
        answer = await self._send(call.make(followed, self._host.clock.wall_ms(), token))
        receipt = call.read(followed, answer)
        if receipt is not None:
            self._host.receive([receipt], _settled)
        elif isinstance(answer, HTTPReply):
            self._counters["cancels_refused" if is_cancel else "queries_refused"] += 1
        else:
            self._counters["unanswered_questions"] += 1

    async def _send(self, request: HTTPRequest) -> HTTPReply | HTTPFailure | None:
        self._counters["questions"] += 1
        try:
            return await self._client.send(request)
        except InvalidRequest:
            return None


def _settled(is_durable: bool) -> None:
    """Nobody waits for it: what was not stored is asked for again."""
