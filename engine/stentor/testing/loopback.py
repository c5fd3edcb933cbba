"""A driver without a network: it "sends" by answering its submissions itself, and writes their receipts.

Complete and honest, for tests of the engine and as an example of the driver contract. It is no entry point; a test
passes :data:`LOOPBACK` to the engine by hand. ``answers`` are dealt out in turn, so a run is the same each time.
Invariant: a submission is in ``_in_flight`` from :meth:`LoopbackDriver.submit` until its one outcome.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from stentor.driver import (
    CONTRACT_VERSION,
    Capabilities,
    Driver,
    DriverSpec,
    DriverStatus,
    Host,
    Inbound,
    LaneStatus,
    Receipt,
)
from stentor.message import Error, Status
from stentor.outcome import Deferred, Outcome, Refused, Returned, Scope, Sent, Submission, Unknown

Kind = Literal["sent", "refused", "deferred", "throttled", "returned", "unknown", "never"]
Fate = Literal["delivered", "undelivered", "none"]


class LoopbackConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the channel pretends."""

    lanes: Annotated[int, Meta(ge=1, le=64, description="Lanes offered at once.")] = 1
    window: Annotated[int, Meta(ge=1, description="Submissions in flight per lane.")] = 100
    batch_limit: Annotated[int, Meta(ge=1, description="The largest batch taken.")] = 500
    unit: Annotated[Literal["segment", "message"], Meta(description="What one submission is.")] = "segment"
    delay_s: Annotated[float, Meta(ge=0, description="Until the answer; 0 answers within submit.")] = 0.0
    answers: Annotated[
        tuple[Kind, ...],
        Meta(min_length=1, description="Outcomes dealt out in turn; never leaves it to doubt at the end."),
    ] = ("sent",)
    receipts: Annotated[
        tuple[Fate, ...], Meta(description="Receipts dealt out in turn to what was sent; empty for none.")
    ] = ("delivered",)
    receipt_delay_s: Annotated[float, Meta(ge=0, description="From the answer to the receipt.")] = 0.0
    is_idempotent: Annotated[bool, Meta(description="Claim that there is never a doubt.")] = False


class LoopbackDriver:
    """One channel. ``sent`` are all submissions it took responsibility for, in order."""

    def __init__(self, config: LoopbackConfig, host: Host) -> None:
        self.config = config
        self.sent: list[Submission] = []
        self.lane_keys = [f"loop-{number}" for number in range(1, config.lanes + 1)]
        self._host = host
        self._since_ms = host.clock.wall_ms()
        self._in_flight: dict[int, Submission] = {}
        self._counters: Counter[str] = Counter()
        self._answers = 0
        self._receipts = 0
        self._timers: deque[asyncio.TimerHandle] = deque()
        self._is_idle = asyncio.Event()
        self._is_draining = asyncio.Event()
        self._is_over = asyncio.Event()

    async def run(self) -> None:
        """Offer the lanes, and wait to be drained."""
        try:
            if not self._is_draining.is_set():
                for key in self.lane_keys:
                    self._host.lane(key, self.config.window)
                await self._is_over.wait()
        finally:
            self._stop()

    def submit(self, lane: str, batch: Sequence[Submission]) -> None:
        """Answer at once, or one timer for the batch."""
        if self._is_draining.is_set() or self._is_over.is_set():
            self._host.resolve([Returned(submission) for submission in batch])
            return
        self._in_flight.update((submission.token, submission) for submission in batch)
        self._later(self.config.delay_s, lambda: self._answer(batch))

    def inject(self, items: Sequence[Receipt | Inbound], settled: Callable[[bool], None]) -> None:
        """For tests: receipts or messages as from a peer."""
        self._host.receive(items, settled)

    async def drain(self, deadline: float) -> None:
        """Wait for the answers on their way; what is open at the deadline is in doubt."""
        self._is_draining.set()
        for key in self.lane_keys:
            self._host.lane(key, 0)
        try:
            async with asyncio.timeout(max(0.0, deadline - self._host.clock.now())):
                while self._in_flight:
                    self._is_idle.clear()
                    await self._is_idle.wait()
        except TimeoutError:
            self._host.log.warning("drain ran out of time", in_flight=len(self._in_flight))
        self._stop()

    def status(self) -> DriverStatus:
        state = "closed" if self._is_over.is_set() else "up"
        lanes = tuple(LaneStatus(key, state, "loopback", self._since_ms) for key in self.lane_keys)
        return DriverStatus(lanes, dict(self._counters))

    def _stop(self) -> None:
        """Nothing is left: no timer, no submission without its outcome."""
        self._is_over.set()
        while self._timers:
            self._timers.popleft().cancel()
        left, self._in_flight = self._in_flight, {}
        if left:
            self._host.resolve([Unknown(submission, "stopped") for submission in left.values()])

    def _later(self, delay_s: float, call: Callable[[], None]) -> None:
        if delay_s <= 0:
            call()
            return
        # Timers of one delay end in order, so those that are over stand at the front.
        timers, loop = self._timers, asyncio.get_running_loop()
        while timers and (timers[0].cancelled() or timers[0].when() < loop.time()):
            timers.popleft()
        timers.append(loop.call_later(delay_s, call))

    def _answer(self, batch: Sequence[Submission]) -> None:
        outcomes: list[Outcome] = []
        for submission in batch:
            kind = self.config.answers[self._answers % len(self.config.answers)]
            self._answers += 1
            self._counters[kind] += 1
            if kind != "never" and self._in_flight.pop(submission.token, None) is not None:
                outcomes.append(self._outcome(kind, submission))
        taken = [outcome for outcome in outcomes if isinstance(outcome, Sent)]
        self.sent += [outcome.submission for outcome in taken]
        self._host.resolve(outcomes)
        if not self._in_flight:
            self._is_idle.set()
        if taken and self.config.receipts:
            self._later(self.config.receipt_delay_s, lambda: self._send_receipts(taken))

    def _outcome(self, kind: Kind, submission: Submission) -> Outcome:
        match kind:
            case "sent":
                carrier_id = f"{submission.token:x}.{submission.attempt}"
                return Sent(submission, carrier_id, carrier_id)
            case "refused":
                return Refused(submission, "bad_destination", "404", "no such handset")
            case "deferred":
                return Deferred(submission, "carrier_busy", "503", "try again", retry_after_s=1.0)
            case "throttled":
                return Deferred(submission, "throttled", "429", "too fast", Scope.LANE, is_throttle=True)
            case "returned":
                return Returned(submission)
            case _:
                return Unknown(submission)

    def _send_receipts(self, taken: Sequence[Sent]) -> None:
        items: list[Receipt] = []
        done_at_ms = self._host.clock.wall_ms()
        for sent in taken:
            if not sent.submission.wants_receipt:
                continue
            fate = self.config.receipts[self._receipts % len(self.config.receipts)]
            self._receipts += 1
            match_id = sent.match_id or ""
            if fate == "delivered":
                items.append(Receipt(match_id, Status.DELIVERED, None, done_at_ms))
            elif fate == "undelivered":
                error = Error("not_delivered", "500", "the handset is off")
                items.append(Receipt(match_id, Status.UNDELIVERED, error, done_at_ms))
        if items:
            self._counters["receipts"] += len(items)
            self._host.receive(items, self._settled)

    def _settled(self, is_durable: bool) -> None:
        """There is nobody to acknowledge to; only the count is kept."""
        self._counters["acknowledged" if is_durable else "not_stored"] += 1


def _capabilities(config: LoopbackConfig) -> Capabilities:
    return Capabilities(
        unit=config.unit,
        batch_limit=config.batch_limit,
        receipts=config.unit if config.receipts else "none",
        is_idempotent=config.is_idempotent,
    )


def _make(config: LoopbackConfig, host: Host) -> Driver:
    return LoopbackDriver(config, host)


LOOPBACK: Final = DriverSpec(
    name="loopback", contract=CONTRACT_VERSION, config=LoopbackConfig, capabilities=_capabilities, make=_make
)
