"""The dispatcher in virtual time: a channel with a rate, a carrier that answers after a while, commits that take one.

Nothing waits and nothing is random but the arrivals, which come from a seed: the same run is the same picture.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Final

import msgspec

from stentor.dispatch.dispatcher import Dispatcher, Limits
from stentor.driver import Capabilities
from stentor.ids import IdGenerator
from stentor.journal.records import BacklogKey, BacklogRead, Recovery
from stentor.message import Delivery, Direction, Message, Priority, Status
from stentor.outcome import Outcome, Sent
from stentor.retry import RetryPolicy
from stentor.text.segments import Encoding

STEP_S: Final = 0.002
"""Virtual time passes in steps as long as a commit takes."""
ANSWER_S: Final = 0.02
WINDOW: Final = 100
_START_MS: Final = 1_800_000_000_000
_DAY_MS: Final = 86_400_000


class Departure(msgspec.Struct, frozen=True):
    """A message left: when, and how long it had waited, in seconds."""

    at_s: float
    waited_s: float
    priority: Priority
    account: str


class Arrivals(msgspec.Struct, frozen=True):
    """Messages of one kind: ``rate`` a second between two moments, at random."""

    priority: Priority
    rate: float
    account: str = "default"
    from_s: float = 0.0
    until_s: float = 1e9

    def moments(self, random: Random, end_s: float) -> Iterator[float]:
        at = self.from_s
        while self.rate:
            at += random.expovariate(self.rate)
            if at >= min(self.until_s, end_s):
                return
            yield at


_CAMPAIGN: Final = Arrivals(Priority.BULK, 0.0, "campaign")


def run(
    rate: float, arrivals: Sequence[Arrivals], end_s: float, seed: int = 1, campaign: int = 0
) -> list[Departure]:
    """Everything that left a channel of ``rate`` segments a second until ``end_s``. ``campaign``: so many bulk messages
    stand in the journal at the start."""
    random = Random(seed)
    coming = [(at, number) for number, each in enumerate(arrivals) for at in each.moments(random, end_s)]
    coming.sort(reverse=True)
    # The picture is of order and pace: what comes may all be in memory.
    limits = Limits() if campaign else Limits(active=10_000_000)
    ids = IdGenerator(lambda size: bytes(size))
    recovery = Recovery(backlog={BacklogKey(("alpha",), Priority.BULK): campaign} if campaign else {})
    dispatcher = Dispatcher(recovery, limits, RetryPolicy(), ids, lambda: 0.5)
    dispatcher.start(0.0, _START_MS)
    dispatcher.add_channel("alpha", "picture", Capabilities(receipts="none"), rate, 0.0)
    dispatcher.offer_lane("alpha", "1", WINDOW, None, 0.0, _START_MS)
    departures: list[Departure] = []
    accepted_s: dict[int, tuple[float, Arrivals]] = {}
    answers: dict[int, list[Outcome]] = defaultdict(list)
    for step in range(int(end_s / STEP_S)):
        now, wall_ms = step * STEP_S, _START_MS + int(step * STEP_S * 1000)
        fresh = []
        while coming and coming[-1][0] <= now:
            at, number = coming.pop()
            message = _message(arrivals[number], ids, wall_ms)
            accepted_s[message.key] = at, arrivals[number]
            fresh.append(message)
        if fresh:
            dispatcher.accept(fresh, ())
        if step in answers:
            dispatcher.resolve(answers.pop(step), now, wall_ms)
        dispatcher.tick(now, wall_ms)
        dispatcher.flush(now, wall_ms)
        for _, batch in dispatcher.take_outgoing():
            for submission in batch:
                at, kind = accepted_s.pop(submission.token - submission.index, (0.0, _CAMPAIGN))
                departures.append(Departure(now, now - at, kind.priority, kind.account))
                answers[step + round(ANSWER_S / STEP_S)].append(Sent(submission))
        for read in dispatcher.take_reads():
            found = _stored(read, campaign) if isinstance(read, BacklogRead) else []
            dispatcher.answer(read, found, 0, wall_ms)
        if dispatcher.take_commit() is not None:
            dispatcher.committed(now, wall_ms)
    return departures


def _stored(read: BacklogRead, campaign: int) -> list[Message]:
    """The next messages of the campaign, as the journal would find them: all were due before the picture begins."""
    first = (read.after[1] >> 8) + 1
    numbers = range(max(1, first), min(campaign, first + read.limit - 1) + 1)
    return [_message_of(_CAMPAIGN, number << 8, 0, _START_MS - 1) for number in numbers]


def _message(kind: Arrivals, ids: IdGenerator, wall_ms: int) -> Message:
    return _message_of(kind, *ids.next(wall_ms), wall_ms)


def _message_of(kind: Arrivals, key: int, tail: int, wall_ms: int) -> Message:
    return Message(
        key,
        tail,
        kind.account,
        "+99900000000",
        "stentor",
        "A picture",
        Encoding.GSM7,
        1,
        wall_ms,
        wall_ms,
        wall_ms + _DAY_MS,
        ("alpha",),
        kind.priority,
        Status.QUEUED,
        "alpha",
        Direction.MT,
        Delivery.AT_LEAST_ONCE,
        False,
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of them lie; there must be one."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


class Carrier:
    """A carrier that takes so many a second, by a bucket of a tenth of a second, and says "throttled" beyond."""

    def __init__(self, limit: Callable[[float], float]) -> None:
        self._limit = limit
        self._balance = 0.0
        self._at = 0.0

    def takes(self, now: float) -> bool:
        limit = self._limit(now)
        self._balance = min(limit / 10, self._balance + (now - self._at) * limit)
        self._at = now
        if self._balance < 1:
            return False
        self._balance -= 1
        return True


class Answers:
    """Answers on their way, by the moment they come."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, bool]] = []

    def send(self, at: float, is_accepted: bool) -> None:
        heapq.heappush(self._heap, (at, is_accepted))

    def come(self, now: float) -> Iterator[bool]:
        while self._heap and self._heap[0][0] <= now:
            yield heapq.heappop(self._heap)[1]
