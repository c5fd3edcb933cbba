"""The engine as a driver sees it, in memory: records everything and knows when the contract is broken.

Invariants it watches: exactly one outcome for each submission, only for what was handed over, and after an Unknown
at most one Sent, the answer that came too late; no batch beyond a lane's free window; nothing after the end. A
breach is recorded as a sentence, not raised into the driver; :meth:`MemoryHost.verify` raises them all.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from stentor.clock import Clock
from stentor.driver import Driver, HTTPExchange, Inbound, Log, Receipt
from stentor.outcome import CODES, Deferred, Outcome, Refused, Sent, Submission, Unknown
from stentor.testing.visit import APIRequest, Served, Visit, find_served

WALL_MS: Final = 1_800_000_000_000

Settling = Literal["at once", "held", "refused"]


class LoopClock:
    """Both times from a loop's. Monotonic time is ``ahead_s`` ahead, so that nobody takes one for the other."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ahead_s: float = 10_000.0) -> None:
        self._loop = loop
        self._ahead_s = ahead_s

    def now(self) -> float:
        return self._loop.time() + self._ahead_s

    def wall_ms(self) -> int:
        return WALL_MS + round(self._loop.time() * 1000)


class LogLine(msgspec.Struct, frozen=True):
    """One call of the log."""

    level: str
    event: str
    values: dict[str, object]


class MemoryLog:
    """Keeps what was logged."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = []

    def debug(self, event: str, **values: object) -> None:
        self.lines.append(LogLine("debug", event, values))

    def info(self, event: str, **values: object) -> None:
        self.lines.append(LogLine("info", event, values))

    def warning(self, event: str, **values: object) -> None:
        self.lines.append(LogLine("warning", event, values))

    def error(self, event: str, **values: object) -> None:
        self.lines.append(LogLine("error", event, values))


class HostLane:
    """A lane as the host knows it: what was offered last, the widest offer, and what it holds."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.window = 0
        self.widest = 0
        self.rate: float | None = None
        self.in_flight: dict[int, Submission] = {}

    @property
    def free(self) -> int:
        return max(0, self.window - len(self.in_flight))


class MemoryHost:
    """Implements ``stentor.driver.Host``. ``jitter`` is what :meth:`random` returns.

    ``settling`` decides what becomes of receipts and inbound messages: durable at once, held until :meth:`settle`,
    or not stored. ``outcomes`` holds what each token got, in order; ``late`` the Sent that followed an Unknown;
    ``items`` what came in. ``served`` are the prefixes the driver serves, to which :meth:`ask` brings requests.
    ``requests`` are those it made to the API: ``api`` answers them at once, without it each waits for its ``answer``.
    ``memory`` is what it keeps; the hosts of several incarnations may share it. ``durable_memory`` is what a crash
    would leave of it; ``asked`` what it said that its peer is asked for again.
    """

    def __init__(self, clock: Clock, channel: str = "channel") -> None:
        self.channel = channel
        self.clock: Clock = clock
        self.memory_log = MemoryLog()
        self.log: Log = self.memory_log
        self.jitter = 0.5
        self.settling: Settling = "at once"
        self.lanes: dict[str, HostLane] = {}
        self.handed: dict[int, Submission] = {}
        self.outcomes: dict[int, Outcome] = {}
        self.order: list[Outcome] = []
        self.late: dict[int, Sent] = {}
        self.items: list[Receipt | Inbound] = []
        self.breaches: list[str] = []
        self.is_over = False
        self.served: dict[str, Served] = {}
        self.visits: list[Visit] = []
        self.requests: list[APIRequest] = []
        self.api: Callable[[APIRequest], tuple[int, bytes]] | None = None
        self.memory: dict[str, bytes] = {}
        self.durable_memory: dict[str, bytes] = {}
        self.asked: set[int] = set()
        self._lane_of: dict[int, HostLane] = {}
        self._held: list[Callable[[bool], None]] = []

    # -- what a driver calls ---------------------------------------------------------------------------------

    def lane(self, key: str, window: int, rate: float | None = None) -> None:
        if self._is_late(f"lane({key!r}, {window})"):
            return
        if window < 0 or (rate is not None and rate < 0):
            self.breaches.append(f"lane {key}: a window or rate below 0")
        lane = self.lanes.setdefault(key, HostLane(key))
        lane.window, lane.rate = max(0, window), rate
        lane.widest = max(lane.widest, window)

    def remove_lane(self, key: str) -> None:
        if self._is_late(f"remove_lane({key!r})"):
            return
        lane = self.lanes.pop(key, None)
        if lane is None:
            self.breaches.append(f"lane {key} was removed and never declared")
        elif lane.in_flight:
            self.breaches.append(f"lane {key} was removed with {len(lane.in_flight)} submissions unresolved")

    def resolve(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            self._resolve(outcome)

    def receive(self, items: Sequence[Receipt | Inbound], settled: Callable[[bool], None]) -> None:
        if self._is_late("receive()"):
            settled(False)
            return
        self.items += items
        if self.settling == "held":
            self._held.append(settled)
        else:
            settled(self.settling == "at once")

    def random(self) -> float:
        return self.jitter

    def serve(self, prefix: str, handler: Callable[[HTTPExchange], None], body_limit: int = 65_536) -> None:
        if self._is_late(f"serve({prefix!r})"):
            return
        if not prefix.startswith("/") or prefix.endswith("/"):
            self.breaches.append(f"serve({prefix!r}): a prefix begins with a slash and does not end with one")
        self.served[prefix] = Served(handler, body_limit)

    def request(
        self,
        method: str,
        target: str,
        body: bytes,
        answered: Callable[[int, bytes], None],
        fields: Iterable[tuple[str, str]] = (),
        account: str = "",
    ) -> None:
        if self._is_late(f"request({method} {target})"):
            return
        request = APIRequest(method, target, body, answered, tuple(fields), account)
        self.requests.append(request)
        if self.api is not None:
            request.answer(*self.api(request))

    def keep(self, name: str, value: bytes | None, durable: Callable[[], None] | None = None) -> None:
        if self._is_late(f"keep({name!r})"):
            return
        if not 0 < len(name.encode()) <= 255 or len(value or b"") > 65_536:
            self.breaches.append(
                f"keep({name!r}): a name of more than 255 octets, or a value of more than 64 KiB"
            )
        if value is None:
            self.memory.pop(name, None)
        else:
            self.memory[name] = value

        def settled(is_durable: bool) -> None:
            if not is_durable:
                return
            if value is None:
                self.durable_memory.pop(name, None)
            else:
                self.durable_memory[name] = value
            if durable is not None and not self.is_over:
                durable()

        if self.settling == "at once":
            settled(True)
        else:
            # What could not be written is written later.
            self._held.append(settled)

    def kept(self) -> Mapping[str, bytes]:
        return dict(self.memory)

    def asked_back(self, tokens: Collection[int]) -> None:
        if self._is_late("asked_back()"):
            return
        unresolved = {each.token for each in self.unresolved}
        for token in tokens:
            if token not in unresolved:
                self.breaches.append(f"asked_back({token}): it is not held")
        self.asked.update(tokens)

    # -- the engine's hand -----------------------------------------------------------------------------------

    @property
    def free(self) -> int:
        """Room of all lanes together."""
        return sum(lane.free for lane in self.lanes.values())

    @property
    def unresolved(self) -> list[Submission]:
        return [submission for token, submission in self.handed.items() if token not in self.outcomes]

    def submit(
        self, driver: Driver, lane: str, batch: Sequence[Submission], *, is_leased: bool = False
    ) -> None:
        """Hand a batch over as the engine would. ``is_leased``: it was taken while the lane still had room."""
        held = self.lanes[lane]
        assert is_leased or len(batch) <= held.free, f"the test overfills lane {lane}"
        for submission in batch:
            assert submission.token not in self.handed, "the test hands over one token twice"
            self.handed[submission.token] = submission
            held.in_flight[submission.token] = submission
            self._lane_of[submission.token] = held
        try:
            driver.submit(lane, batch)
        except Exception as error:
            self.breaches.append(f"submit raised {type(error).__name__}: {error}")

    def ask(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        address: str = "192.0.2.1:50000",
    ) -> Visit:
        """Bring a request to the handler of the longest prefix that fits, as the server would: 404 without one, 413
        for a body beyond the limit. What is returned has the response, now or later."""
        visit = Visit(method, target, body, headers or {}, address)
        served = find_served(self.served, visit.head.path)
        if served is None:
            visit.respond(404, b"")
        elif len(body) > served.body_limit:
            visit.respond(413, b"")
        else:
            self.visits.append(visit)
            try:
                served.handler(visit)
            except Exception as error:
                self.breaches.append(
                    f"the handler of {method} {target} raised {type(error).__name__}: {error}"
                )
        return visit

    def settle(self, is_durable: bool = True) -> int:
        """Settle everything held; how many calls of ``receive`` and ``keep`` that were."""
        held, self._held = self._held, []
        for settled in held:
            settled(is_durable)
        return len(held)

    def end(self) -> None:
        """The incarnation is over: nothing may be called any more, everything must be resolved."""
        if left := self.unresolved:
            self.breaches.append(
                f"the driver ended and {len(left)} submissions got no outcome, first {left[0].token}"
            )
        self.is_over = True

    def verify(self) -> None:
        """Raise AssertionError with every breach of the contract so far."""
        assert not self.breaches, "; ".join(self.breaches[:5]) + (" ..." if len(self.breaches) > 5 else "")

    def _is_late(self, call: str) -> bool:
        if self.is_over:
            self.breaches.append(f"{call} was called after the driver had ended")
        return self.is_over

    def _resolve(self, outcome: Outcome) -> None:
        submission: Any = outcome.submission
        token = submission.token
        name = type(outcome).__name__
        self._is_late(f"resolve({name} of {token})")
        if self.handed.get(token) is not submission:
            self.breaches.append(f"{name} for submission {token}, which was not handed over in this form")
            return
        before = self.outcomes.get(token)
        is_late = isinstance(before, Unknown) and isinstance(outcome, Sent) and token not in self.late
        if before is not None and not is_late:
            first = "Unknown, Sent" if token in self.late else type(before).__name__
            self.breaches.append(f"submission {token} got two outcomes: {first}, then {name}")
            return
        if isinstance(outcome, Refused | Deferred) and outcome.code not in CODES:
            self.breaches.append(f"{name} with code {outcome.code!r}, which is not in the catalogue")
        if isinstance(outcome, Sent) and outcome.carrier_id is None and outcome.match_id is not None:
            self.breaches.append(f"Sent of {token} has a match_id and no carrier_id")
        if isinstance(outcome, Sent) and is_late:
            self.late[token] = outcome
            return
        self.outcomes[token] = outcome
        self.order.append(outcome)
        del self._lane_of.pop(token).in_flight[token]
