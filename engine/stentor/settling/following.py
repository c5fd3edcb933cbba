"""Segments that have left are followed: overdue receipts are asked for, and withdrawals passed on.

A receipt that is later than its channel's ``query_after_s`` is asked for at that age, at twice, at four times it and so
on until the receipt horizon. Nothing is kept for each segment: the journal's index of what waits for a receipt is
ordered by time, so for each of these ages a position in it says up to where has been asked.

Never more than ``QUESTIONS`` of a channel are open. A question is open until any receipt comes for its segment, or for
``ANSWER_S``. What cannot be asked now waits, the longest overdue first.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from typing import Final

from stentor.driver import Followed
from stentor.errors import Refusal
from stentor.journal.records import OverdueRead
from stentor.message import Message, Segment, Status
from stentor.scheduling.lanes import Channel

QUESTIONS: Final = 20
ANSWER_S: Final = 30.0
SHORTEST_SWEEP_S: Final = 1.0
LONGEST_SWEEP_S: Final = 300.0

Batches = Sequence[tuple[str, list[Followed]]]
"""What to tell which channel's driver."""


class Ages:
    """The ages at which one channel is asked; for each, up to where in the journal that has been done, and when to look
    again: a quarter of an age later is soon enough."""

    __slots__ = ("_next", "_positions", "ages_ms", "is_reading", "query_after_s")

    def __init__(self, query_after_s: float, horizon_ms: int, now: float, wall_ms: int) -> None:
        self.query_after_s = query_after_s
        age_ms = max(1, int(query_after_s * 1000))
        self.ages_ms: list[int] = []
        while age_ms < horizon_ms:
            self.ages_ms.append(age_ms)
            age_ms *= 2
        # What is older than an age at the start is the next age's: each segment is asked about once.
        self._positions = [(wall_ms - until_ms, 0) for until_ms in (*self.ages_ms[1:], horizon_ms)]
        self._next = [now] * len(self.ages_ms)
        self.is_reading = False

    @property
    def next_at(self) -> float:
        """When there is something to look at, in monotonic seconds."""
        return min(self._next, default=inf)

    def read(self, channel: str, now: float, wall_ms: int, limit: int) -> OverdueRead | None:
        """What to look at now: the age that has waited longest."""
        while (at := self.next_at) <= now:
            level = self._next.index(at)
            before_ms = wall_ms - self.ages_ms[level]
            if before_ms > self._positions[level][0]:
                self.is_reading = True
                return OverdueRead(channel, self._positions[level], before_ms, limit, level)
            self._rest(level, now)
        return None

    def looked(self, read: OverdueRead, position: tuple[int, int] | None, now: float) -> None:
        """Up to where has been asked; None: all that was to be found."""
        self.is_reading = False
        self._positions[read.level] = position or (read.before_ms, 0)
        if position is None:
            self._rest(read.level, now)
        else:
            self._next[read.level] = now

    def _rest(self, level: int, now: float) -> None:
        quarter_s = self.ages_ms[level] / 4000
        self._next[level] = now + min(LONGEST_SWEEP_S, max(SHORTEST_SWEEP_S, quarter_s))


class Following:
    """Asks, and passes on. ``latest(message)`` is the dispatcher's: the copy that counts of one just read.

    ``asked`` are open questions by token, with channel and time limit: whoever has a receipt takes its segment out.
    """

    __slots__ = ("_ages", "_channels", "_latest", "_now", "_questions", "_wall_ms", "_withdrawals", "asked")

    def __init__(self, channels: Mapping[str, Channel], latest: Callable[[Message], Message]) -> None:
        self._channels = channels
        self._latest = latest
        self._ages: dict[str, Ages] = {}
        self._questions: dict[str, list[Followed]] = {}
        self._withdrawals: dict[str, list[Followed]] = {}
        self._now = 0.0
        self._wall_ms = 0
        self.asked: dict[int, tuple[str, float]] = {}

    # -- asking -----------------------------------------------------------------------------------------------------

    def tick(self, now: float, wall_ms: int, horizon_ms: int) -> Iterable[OverdueRead]:
        """What to read of the journal, to ask about it."""
        self._now, self._wall_ms = now, wall_ms
        reads: list[OverdueRead] = []
        for name, channel in self._channels.items():
            query_after_s = channel.capabilities.query_after_s
            if not query_after_s or not channel.is_up:
                continue
            ages = self._ages.get(name)
            if ages is None or (ages.query_after_s != query_after_s and not ages.is_reading):
                # What the peer holds until it is due is asked about for as much longer.
                until_ms = horizon_ms + channel.ahead_ms
                ages = self._ages[name] = Ages(query_after_s, until_ms, now, wall_ms)
            if ages.is_reading or ages.next_at > now or not (room := self._room(name)):
                continue
            read = ages.read(name, now, wall_ms, room)
            if read is not None:
                reads.append(read)
        return reads

    def _room(self, channel: str) -> int:
        """How many questions more may be open; those that were not answered in time are not waited for."""
        given_up = [token for token, (_, until) in self.asked.items() if until <= self._now]
        for token in given_up:
            del self.asked[token]
        return max(0, QUESTIONS - sum(name == channel for name, _ in self.asked.values()))

    def next_wake(self) -> float:
        """When :meth:`tick` is next worth calling, in monotonic seconds."""
        wake = inf
        for name, ages in self._ages.items():
            channel = self._channels.get(name)
            if channel is None or not channel.is_up or ages.is_reading:
                continue
            at = ages.next_at
            if at <= self._now and not self._room(name):
                at = min(until for asked, until in self.asked.values() if asked == name)
            wake = min(wake, at)
        return wake

    def found(self, read: OverdueRead, messages: Sequence[Message]) -> None:
        """The journal was asked: these are overdue, the oldest first."""
        position: tuple[int, int] | None = None
        room = self._room(read.channel)
        for stored in messages:
            overdue = [
                _followed(message, segment)
                for message in (self._latest(stored),)
                for segment in _awaited(message)
                if (segment.channel or message.channel) == read.channel
                and message.send_at_ms <= self._wall_ms
            ]
            if position is not None and len(overdue) > room:
                break
            position = stored.sent_at_ms, stored.key
            room -= len(overdue)
            self._questions.setdefault(read.channel, []).extend(overdue)
            for segment in overdue:
                self.asked[segment.token] = read.channel, self._now + ANSWER_S
        else:
            if len(messages) < read.limit:
                position = None
        self._ages[read.channel].looked(read, position, self._now)

    @property
    def limit(self) -> int:
        """How many questions may be open."""
        return QUESTIONS * sum(bool(each.capabilities.query_after_s) for each in self._channels.values())

    def take_questions(self) -> Batches:
        """What to ask the peers of which channels."""
        questions, self._questions = self._questions, {}
        return [(name, segments) for name, segments in questions.items() if segments]

    # -- withdrawing ------------------------------------------------------------------------------------------------

    def withdraw(self, message: Message) -> bool:
        """Ask the carriers to take back what has left; False when there is nobody to ask."""
        is_any = False
        for segment in _awaited(message):
            name = segment.channel or message.channel
            channel = self._channels.get(name)
            if channel is not None and channel.is_up and channel.capabilities.can_cancel:
                self._withdrawals.setdefault(name, []).append(_followed(message, segment))
                is_any = True
        return is_any

    def take_withdrawals(self) -> Batches:
        """What to ask the peers of which channels to take back."""
        withdrawals, self._withdrawals = self._withdrawals, {}
        return list(withdrawals.items())


def _awaited(message: Message) -> list[Segment]:
    """The segments of a message whose receipts it waits for."""
    if message.status is not Status.SENT or message.final_at_ms:
        return []
    return [segment for segment in message.segment_list if segment.match_id and not segment.final_at_ms]


def _followed(message: Message, segment: Segment) -> Followed:
    assert segment.match_id is not None
    carrier_id = segment.match_id if segment.carrier_id is None else segment.carrier_id
    return Followed(message.key + segment.index, carrier_id, segment.match_id, message.originator, message.to)


def asked_back() -> Refusal:
    """Whoever cancels a message that has left is told that its carrier may take it back."""
    return Refusal(
        "withdrawal_requested",
        "the message has left; its carrier was asked to take it back, and its status will say whether it did",
        "$",
        409,
    )


def already_left(message: Message) -> Refusal:
    """Whoever cancels a message that has left, or has ended without leaving, is told so."""
    if message.status is Status.CANCELLED:
        return Refusal("already_cancelled", "the message is cancelled already", "$", 409)
    return Refusal("already_left", f"the message is {message.status.word} and cannot be cancelled", "$", 409)
