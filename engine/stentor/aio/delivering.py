"""One webhook at work: a fixed number of tasks that take its deliveries one after the other and send them.

There is no task and no timer for a delivery. All webhooks together start so many deliveries in a turn of the event loop
and no more (:class:`Turns`), so that a burst of events is told in small shares between everything else.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from math import inf
from typing import Any, Final, Protocol

from stentor.clock import Clock
from stentor.errors import JournalError
from stentor.message import EVENT_WORDS, Event
from stentor.webhooks.attempts import Attempt, AttemptLog
from stentor.webhooks.endpoint import Endpoint
from stentor.webhooks.feed import Delivery
from stentor.webhooks.signing import signed_fields
from stentor.webhooks.subscription import Webhook
from stentor.webhooks.verdict import ANSWER_OCTETS, DELIVERED, Ruling, Verdict, judge
from stentor.wire.calls import FailureKind, HTTPFailure, HTTPReply, HTTPRequest, InvalidRequest

STARTS_A_TURN: Final = 8
"""Deliveries that are started in one turn of the loop, however short it was."""
STARTS_A_SECOND: Final = 5_300
"""What long turns add up to: while sending takes all of the loop, deliveries get a fifth of it and no more."""
MOST_A_TURN: Final = 128
_JSON: Final = ("content-type", "application/json")

Content = tuple[str, bytes]
"""Where a delivery goes and what it says."""


class Poster(Protocol):
    """Sends requests; ``stentor.aio.http.Client`` is one."""

    async def send(self, request: HTTPRequest) -> HTTPReply | HTTPFailure: ...


class Turns:
    """Lets a few in at each turn of the loop, in the order in which they came."""

    __slots__ = ("_began", "_limit", "_loop", "_started", "_waiting")

    def __init__(self) -> None:
        self._limit = STARTS_A_TURN
        self._began = 0.0
        self._loop = asyncio.get_running_loop()
        self._started = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        if self._started >= self._limit or self._waiting:
            future: asyncio.Future[None] = self._loop.create_future()
            self._waiting.append(future)
            await future  # whoever wakes it has counted it
            return
        if not self._started:
            self._limit = STARTS_A_TURN
            self._began = self._loop.time()
            self._loop.call_soon(self._next)
        self._started += 1

    def _next(self) -> None:
        began, self._began = self._began, self._loop.time()
        due = int((self._began - began) * STARTS_A_SECOND)
        self._limit = min(MOST_A_TURN, max(STARTS_A_TURN, due))
        self._started = 0
        while self._waiting and self._started < self._limit:
            future = self._waiting.popleft()
            if not future.done():  # its task may have been cancelled
                future.set_result(None)
                self._started += 1
        if self._started:
            self._loop.call_soon(self._next)


class Deliverer:
    """The tasks of one webhook. ``content`` reads again what a delivery says, None when there is nothing left of it;
    ``secrets`` are those to sign with; ``changed`` is called after each outcome."""

    def __init__(
        self,
        endpoint: Endpoint,
        log: AttemptLog,
        poster: Callable[[], Poster],
        turns: Turns,
        clock: Clock,
        content: Callable[["Deliverer", Delivery], Awaitable[Content | None]],
        secrets: Callable[[Webhook, int], Sequence[bytes]],
        changed: Callable[["Deliverer"], None],
    ) -> None:
        self.endpoint = endpoint
        self.log = log
        self.is_gone = False
        self._poster = poster
        self._turns = turns
        self._clock = clock
        self._content = content
        self._secrets = secrets
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._idle: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, spawn: Callable[[str, Any], asyncio.Task[None]]) -> None:
        """Begin; as many tasks as there may be deliveries under way."""
        names = (f"webhook {self.endpoint.webhook.id} {n}" for n in range(self.endpoint.limits.concurrency))
        self._tasks = [spawn(name, self._work()) for name in names]

    async def stop(self) -> None:
        """End all tasks. What is under way is cut off, and sent again at the next start."""
        self.is_gone = True
        self._disarm()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def wake(self) -> None:
        """There may be something to take."""
        while self._idle:
            future = self._idle.popleft()
            if not future.done():
                future.set_result(None)
                return

    # -- a task's life ----------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        endpoint, clock = self.endpoint, self._clock
        while True:
            one = endpoint.take(clock.now())
            if one is None:
                await self._park()
                continue
            # The next is somebody else's, if there is one.
            self.wake()
            await self._turns.enter()
            await self._deliver(one)

    async def _park(self) -> None:
        self._arm()
        future: asyncio.Future[None] = self._loop.create_future()
        self._idle.append(future)
        await future

    def _arm(self) -> None:
        """One timer for the earliest moment at which there may be something to take."""
        self._disarm()
        now = self._clock.now()
        at = self.endpoint.wakes_at(now)
        if at < inf and not self.is_gone:
            self._timer = self._loop.call_later(max(0.0, at - now), self.wake)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _deliver(self, one: Delivery) -> None:
        verdict: Verdict | None
        try:
            content = (one.url, one.body) if one.body is not None else await self._content(self, one)
        except JournalError as error:
            verdict = Verdict(Ruling.FAILED, 0.0, f"the journal could not be read: {error}")
        else:
            verdict = None if content is None else await self._send(content, one.event, one.attempts + 1)
        now = self._clock.now()
        if verdict is None:
            self.endpoint.skip(one, now)
        else:
            self.endpoint.resolve(one, verdict, now, self._clock.wall_ms())
        self._changed(self)

    async def _send(self, content: Content, event: Event, attempt: int) -> Verdict:
        """Post an event, and log it."""
        outcome, logged = await self.post(content, str(event.seq), EVENT_WORDS[event.kind], attempt)
        self.log.add(logged)
        return DELIVERED if logged.is_delivered else judge(outcome, self._clock.wall_ms())

    async def post(
        self, content: Content, event_id: str, word: str, attempt: int
    ) -> tuple[HTTPReply | HTTPFailure, Attempt]:
        """One signed request, and how the log tells of it."""
        url, body = content
        webhook = self.endpoint.webhook
        wall_ms = self._clock.wall_ms()
        signed = signed_fields(self._secrets(webhook, wall_ms), event_id, wall_ms // 1000, body)
        request = HTTPRequest("POST", url or webhook.url, (_JSON, *signed, *webhook.fields), body, True)
        try:
            outcome = await self._poster().send(request)
        except InvalidRequest as error:
            outcome = HTTPFailure(FailureKind.NOTHING_LEFT, str(error), 0.0)
        if isinstance(outcome, HTTPReply):
            status, answer, failure, remote = outcome.status, outcome.body[:ANSWER_OCTETS], "", outcome.remote
        else:
            status, answer, failure, remote = 0, b"", f"{outcome.kind.value}: {outcome.detail}"[:500], ""
        return outcome, Attempt(
            self.log.next_number(),
            event_id,
            word,
            attempt,
            wall_ms,
            request.url,
            tuple(name for name, _ in webhook.fields),
            len(body),
            sha256(body).digest(),
            round(outcome.took_s * 1000),
            status,
            answer,
            failure,
            remote,
        )
