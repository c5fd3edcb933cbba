"""Channels and their lanes as the dispatcher sees them: who may take how much now.

A lane's budget is the least of what its window, its own rate, its learnt rate and the channel's rate allow. A
submission that overshoots the budget (a long message's later segments) waits as the lane's *leftover*, so a message
stays on one lane and in order, and no limit is ever passed.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from math import inf
from typing import Final, Protocol

from stentor.driver import Capabilities
from stentor.message import Message
from stentor.outcome import Deferred, Refused, Returned, Scope, Submission, Unknown
from stentor.pacing.breaker import Breaker
from stentor.pacing.pace import Pace
from stentor.pacing.window import LaneState, LaneWindow
from stentor.rate import AdaptiveRate, TokenBucket
from stentor.scheduling.scheduler import ChannelQueue

REFUSAL_PAUSE_S: Final = 10.0
"""How long a lane, or all lanes of a channel, rest after a refusal that reaches so far."""
DEPTH: Final = 2
"""Windows of messages that are good to have in memory: one on its way, one to follow."""


class Lane:
    """One bind, SIM or endpoint: its window, its rate, and what it still has to be given."""

    __slots__ = (
        "_configured_rate",
        "adaptive",
        "bucket",
        "channel",
        "key",
        "leftover",
        "pause_reason",
        "paused_until",
        "sent",
        "throttled",
        "window",
    )

    def __init__(self, channel: "Channel", key: str, window: int, rate: float, now: float) -> None:
        self.channel = channel
        self.key = key
        self.window = LaneWindow(window)
        self._configured_rate = rate
        self.bucket = TokenBucket(rate, now)
        self.adaptive = AdaptiveRate(now)
        self.leftover: deque[tuple[Message, Submission]] = deque()
        self.paused_until = 0.0
        self.pause_reason = ""
        self.sent = 0
        self.throttled = 0

    def offer(self, window: int, rate: float | None, now: float) -> None:
        """The driver changed what it offers."""
        self.channel.wake()
        self.window.offer(window)
        if rate is not None and rate != self._configured_rate:
            self._configured_rate = rate
            self.bucket.set_rate(rate, now)

    def rate(self, now: float) -> float:
        """Segments a second in force: the configured rate or the learnt one, whichever is lower; 0 for unlimited."""
        learnt, configured = self.adaptive.rate(now), self._configured_rate
        if not learnt or not configured:
            return learnt or configured
        return min(learnt, configured)

    def budget(self, now: float) -> int:
        """How many submissions it may be given now."""
        free = self.window.free(now)
        if free <= 0 or now < self.paused_until or now < self.adaptive.paused_until:
            return 0
        rate = self.rate(now)
        if rate != self.bucket.rate:
            self.bucket.set_rate(rate, now)
        return min(free, self.bucket.available(now)) if rate else free

    def ready_at(self, now: float) -> float | None:
        """When time alone will give it a budget; None when it waits for its window."""
        if self.window.free() <= 0:
            return None
        waits = (
            self.bucket.ready_at(1, now),
            self.window.probe_at,
            self.paused_until,
            self.adaptive.paused_until,
        )
        return max(waits)

    def take(self, count: int, now: float) -> None:
        """``count`` submissions are handed over."""
        self.window.take(count)
        self.bucket.take(count, now)

    def give_back(self, count: int) -> None:
        """``count`` submissions have their outcome, and their slots are free."""
        self.window.give_back(count)
        self.channel.wake()

    def pause(self, pause_s: float, now: float, outcome: Deferred | Refused) -> None:
        """A failure that reaches further than its message stops the lane, or all of its channel, for a while."""
        is_channel = outcome.scope is Scope.CHANNEL
        reason = reason_of(outcome)
        for each in self.channel.lanes.values() if is_channel else (self,):
            if now + pause_s >= each.paused_until:
                each.paused_until, each.pause_reason = now + pause_s, reason
            each.failed(now, reason)

    def told(self, outcome: Refused | Deferred | Returned | Unknown, now: float) -> None:
        """An outcome that is no success: count it, slow down or rest as it asks."""
        counters = self.channel.counters
        self.channel.wake()
        is_wide = isinstance(outcome, Deferred | Refused) and outcome.scope in (Scope.LANE, Scope.CHANNEL)
        match outcome:
            case Returned():
                counters["returned"] += 1
            case Deferred(is_throttle=True):
                counters["throttled"] += 1
                self.throttled += 1
                self.adaptive.throttled(now, outcome.retry_after_s)
            case Deferred():
                counters["deferred"] += 1
                if is_wide:
                    self.pause(max(1.0, outcome.retry_after_s), now, outcome)
                else:
                    self.window.deferred(now)
                    self._look_for_death(reason_of(outcome))
            case Refused():
                counters["refused"] += 1
                if is_wide:
                    self.pause(REFUSAL_PAUSE_S, now, outcome)
                else:
                    self.window.refused()
            case Unknown():
                counters["doubt"] += 1
                if not self.channel.capabilities.is_idempotent:
                    self.window.unanswered(now)
                    self._look_for_death(reason_of(outcome))

    def failed(self, now: float, reason: str) -> None:
        """The lane failed a submission, for a ``reason`` people can read."""
        self.window.failed(now)
        self.channel.wake()
        self._look_for_death(reason)

    def _look_for_death(self, reason: str) -> None:
        if self.window.state is LaneState.DEAD:
            self.channel.breaker.failed(self.channel.windows, reason)

    def succeeded(self, count: int) -> None:
        """The peer took ``count`` submissions."""
        self.channel.wake()
        self.window.succeeded(count)
        if not self.channel.breaker.is_closed:
            self.channel.breaker.works(self.channel.windows)

    def took(self, count: int, now: float) -> None:
        """As :meth:`succeeded`; and they count, and may raise the learnt rate."""
        self.sent += count
        self.channel.counters["sent"] += count
        self.succeeded(count)
        self.adaptive.sent(count, now)

    def state(self, now: float) -> str:
        if not self.window.offered:
            return "down"
        if now < self.paused_until or now < self.adaptive.paused_until:
            return "throttled"
        return self.window.state.value


def reason_of(outcome: Deferred | Refused | Unknown) -> str:
    """Why, as whoever looks after the channel reads it."""
    if isinstance(outcome, Unknown):
        return "no_answer" if outcome.reason == "no_answer" else f"no_answer: {outcome.reason}"
    return " ".join(part for part in (outcome.code, outcome.carrier_code, outcome.detail) if part)


class Aside(Protocol):
    """Where messages of a channel wait for rate limits (:class:`stentor.scheduling.parking.Parking`)."""

    def __len__(self) -> int: ...
    def keys(self) -> Iterable[int]: ...
    def takes(self, message: Message) -> bool: ...
    def discard(self, key: int) -> bool: ...
    def drain(self) -> list[Message]: ...
    def release(self, now: float, wall_ms: int) -> None: ...
    def begin(self) -> None: ...
    def next(self, lane: Lane, budget: int, now: float, wall_ms: int) -> list[Message]: ...
    def finish(self, now: float, wall_ms: int) -> None: ...
    def next_wake(self) -> float | None: ...


class Channel:
    """A configured driver: its lanes, its queue in memory, its rate, and the operator's hand on it. ``repeats`` are to
    be handed over again, by whichever of its lanes (``repeats``); ``parking`` holds what waits for rate limits, None
    while there are none. After its turn it *rests* until time, or something that happens to it, makes another worth
    having: of many channels few have one in each round. Whatever could let it send sooner must wake it."""

    __slots__ = (
        "_turn",
        "ahead_ms",
        "breaker",
        "bucket",
        "capabilities",
        "counters",
        "driver",
        "enabled",
        "family",
        "has_receipts",
        "is_up",
        "lanes",
        "last_error",
        "last_error_at_ms",
        "name",
        "pace",
        "parking",
        "paused",
        "queue",
        "rate",
        "repeats",
        "rests_until",
    )

    def __init__(self, name: str, driver: str, capabilities: Capabilities, rate: float, now: float) -> None:
        self.name = name
        self.rests_until = 0.0
        self.bucket = TokenBucket(rate, now)
        self.adapt(driver, capabilities, rate, now)
        self.queue = ChannelQueue()
        self.repeats: deque[tuple[Message, Submission]] = deque()
        self.parking: Aside | None = None
        self.pace = Pace(now)
        self.breaker = Breaker()
        self.lanes: dict[str, Lane] = {}
        self.paused = False
        self.enabled = True
        self.last_error: str | None = None
        self.last_error_at_ms = 0
        self.counters = dict.fromkeys(
            (
                "sent",
                "refused",
                "deferred",
                "throttled",
                "returned",
                "doubt",
                "receipts",
                "inbound",
                "unmatched",
                "repeated_parts",
            ),
            0,
        )
        self._turn = 0
        self.is_up = False

    def refresh(self) -> bool:
        """Work out ``is_up`` anew (a lane could carry something, now or when its window frees); True if it changed."""
        self.wake()
        before = self.is_up
        self.breaker.works(self.windows)
        self.is_up = (
            self.enabled and not self.paused and any(lane.window.offered for lane in self.lanes.values())
        )
        return self.is_up is not before

    @property
    def wanted(self) -> int:
        """How many more messages are needed in memory for its lanes never to wait."""
        wanted = -len(self.queue) - len(self.parking or ())
        for lane in self.lanes.values():
            window = lane.window
            wanted += DEPTH * window.offered - window.in_flight
        return max(0, wanted)

    @property
    def windows(self) -> list[LaneWindow]:
        return [lane.window for lane in self.lanes.values()]

    def look_for_probe(self, now: float) -> None:
        """A channel whose circuit is open may be due to be probed."""
        if not self.breaker.is_closed:
            self.wake()
            is_busy = self.has_work or any(lane.window.in_flight for lane in self.lanes.values())
            self.breaker.tick(self.windows, now, is_busy=is_busy)

    @property
    def state(self) -> str:
        if not self.enabled:
            return "disabled"
        if self.paused:
            return "paused"
        return "up" if self.is_up else "down"

    @property
    def has_work(self) -> bool:
        return bool(self.queue) or bool(self.repeats) or any(lane.leftover for lane in self.lanes.values())

    def put(self, message: Message) -> None:
        """Let a message wait for its turn, or with those that wait for the same limit."""
        self.wake()
        if self.parking is None or not self.parking.takes(message):
            self.queue.put(message)

    def discard(self, key: int) -> None:
        """Forget a message that waits here."""
        if self.parking is None or not self.parking.discard(key):
            self.queue.discard(key)

    def drain(self) -> list[Message]:
        """Everything that waits here."""
        found = self.queue.drain()
        return found if self.parking is None else found + self.parking.drain()

    def in_turn(self) -> Sequence[Lane]:
        """The lanes that may be ready, beginning with another one each time, so that load spreads."""
        lanes = [lane for lane in self.lanes.values() if lane.window.offered]
        if len(lanes) > 1:
            self._turn = (self._turn + 1) % len(lanes)
            return lanes[self._turn :] + lanes[: self._turn]
        return lanes

    def adapt(self, driver: str, capabilities: Capabilities, rate: float, now: float) -> None:
        """Be what the configuration says now."""
        self.driver = driver
        self.capabilities = capabilities
        self.family = capabilities.receipt_family or self.name
        self.has_receipts = capabilities.receipts != "none"
        self.ahead_ms = int(capabilities.schedules_s * 1000)
        self.set_rate(rate, now)

    def set_rate(self, rate: float, now: float) -> None:
        self.wake()
        self.rate = rate
        self.bucket.set_rate(rate, now)

    def ready_at(self, now: float) -> float | None:
        """When time alone lets a lane with work take more; None when only an event can."""
        is_any = bool(self.queue) or bool(self.repeats)
        # What is left over waits for its own lane.
        times = [
            at
            for lane in self.in_turn()
            if (is_any or lane.leftover) and (at := lane.ready_at(now)) is not None
        ]
        return max(min(times), self.bucket.ready_at(1, now)) if times else None

    def wake(self) -> None:
        """Something happened to it: it is to have a turn in the next round."""
        self.rests_until = 0.0

    def rest(self, now: float) -> None:
        """Its turn is over."""
        self.rests_until = self._next_turn(now)

    def wakes_at(self, now: float) -> float:
        """When its turn is next worth having by time alone; infinite when only an event can make it so."""
        return self.rests_until if self.rests_until > now else self._next_turn(now)

    def _next_turn(self, now: float) -> float:
        at = self.ready_at(now) if self.has_work else None
        parked_at = None if self.parking is None else self.parking.next_wake()
        return min(inf if at is None else at, inf if parked_at is None else parked_at)
