"""One webhook at work: its deliveries are sent as the pace of all webhooks allows.

A delivery is usually one request over a connection that stands already: it is written, and what comes back calls back;
no task, no timer and no future comes of it. What has to wait for something first, a connection, or its text from the
journal, is done by a task, of which there are as many as were needed at once.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from hashlib import sha256
from math import inf
from typing import Any, Final, Protocol

import msgspec

from stentor.aio.webhooks.pacing import Starts
from stentor.clock import Clock
from stentor.errors import JournalError
from stentor.message import EVENT_WORDS
from stentor.webhooks.attempts import Attempt, AttemptLog
from stentor.webhooks.endpoint import Endpoint
from stentor.webhooks.feed import Delivery
from stentor.webhooks.signing import signed_end, signed_fields
from stentor.webhooks.subscription import Webhook
from stentor.webhooks.verdict import ANSWER_OCTETS, DELIVERED, Ruling, Verdict, judge
from stentor.wire.asking import URL, read_url
from stentor.wire.calls import FailureKind, HTTPFailure, HTTPReply, HTTPRequest, InvalidRequest

MOST_FORMS: Final = 64
_JSON: Final = ("content-type", "application/json")

Content = tuple[str, bytes]
"""Where a delivery goes and what it says."""
Done = Callable[[HTTPReply | HTTPFailure | None], None]
Write = Callable[[bytes], None]
Spawn = Callable[[str, Any], asyncio.Task[None]]


class Poster(Protocol):
    """Sends requests; ``stentor.aio.http.Client`` is one, and describes what is here."""

    async def send(self, request: HTTPRequest) -> HTTPReply | HTTPFailure: ...

    def beginning(self, method: str, fields: Sequence[tuple[str, str]], url: URL) -> bytes: ...

    def seize(self, url: URL, done: Done) -> Write | None: ...


class Form(msgspec.Struct, frozen=True):
    """What a webhook's requests to one address have in common: their beginning, and ``names`` of configured fields."""

    address: str
    names: tuple[str, ...]
    url: URL
    beginning: bytes


class Deliverer:
    """One webhook's. ``content`` reads again what a delivery says, None when there is nothing left of it; ``secrets``
    are those to sign with; ``changed`` is called after outcomes, once a turn of the loop or a period."""

    def __init__(
        self,
        endpoint: Endpoint,
        log: AttemptLog,
        poster: Callable[[], Poster],
        starts: Starts,
        clock: Clock,
        content: Callable[["Deliverer", Delivery], Awaitable[Content | None]],
        secrets: Callable[[Webhook, int], Sequence[bytes]],
        changed: Callable[["Deliverer"], None],
        spawn: Spawn,
    ) -> None:
        self.endpoint = endpoint
        self.log = log
        self.is_gone = False
        self._poster = poster
        self._starts = starts
        self._clock = clock
        self._content = content
        self._secrets = secrets
        self._changed = changed
        self._spawn = spawn
        self._loop = asyncio.get_running_loop()
        self._has_changed = False
        self._forms: dict[str, Form] = {}
        self._formed_for: tuple[Webhook, Poster] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._left: deque[Delivery] = deque()
        self._idle: deque[asyncio.Future[None]] = deque()
        self._tasks: list[asyncio.Task[None]] = []

    async def stop(self) -> None:
        """End. What is under way is cut off, or goes unheard, and is sent again at the next start."""
        self.is_gone = True
        self._starts.leave(self)
        self._disarm()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def wake(self) -> None:
        """There may be something to take."""
        if not self.is_gone:
            self._starts.ask(self)

    def start_some(self, most: int) -> int:
        """For the pace alone: start deliveries, ``most`` if there are so many; how many were started."""
        if self._has_changed:
            self._has_changed = False
            self._changed(self)
        now, wall_ms = self._clock.now(), self._clock.wall_ms()
        endpoint, poster = self.endpoint, self._poster()
        take, webhook = endpoint.take, endpoint.webhook
        usual, secrets = self._form(poster, webhook, webhook.url), self._secrets(webhook, wall_ms)
        requests: list[tuple[Write, bytes]] = []
        count = 0
        while count < most and (one := take(now)) is not None:
            count += 1
            form = self._form(poster, webhook, one.url) if one.url else usual
            request = None if form is None else self._begin(one, poster, form, secrets, wall_ms)
            if request is None:
                self._leave_to_task(one)
            else:
                requests.append(request)
        # All in a row: the kernel's work on one pushes what prepares the next out of the processor's caches.
        for write, octets in requests:
            write(octets)
        if count < most:
            if endpoint.wants_page:
                self._changed(self)  # a pause may have ended without an outcome
            self._arm(now)
        return count

    def _arm(self, now: float) -> None:
        """One timer for the earliest moment at which there may be something to take."""
        self._disarm()
        at = self.endpoint.wakes_at(now)
        if at < inf:
            self._timer = self._loop.call_later(max(0.0, at - now), self.wake)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- over a connection that stands ------------------------------------------------------------------------------

    def _begin(
        self, one: Delivery, poster: Poster, form: Form, secrets: Sequence[bytes], wall_ms: int
    ) -> tuple[Write, bytes] | None:
        """The request and what writes it, if its text is at hand and there is a connection for it."""
        body = one.body
        if body is None:
            return None
        write = poster.seize(form.url, partial(self._answered, one, form, body, wall_ms))
        if write is None:
            return None
        end = signed_end(secrets, b"%d" % one.event.seq, wall_ms // 1000, body)
        return write, form.beginning + end

    def _form(self, poster: Poster, webhook: Webhook, address: str) -> Form | None:
        formed_for = self._formed_for
        if formed_for is None or formed_for[0] is not webhook or formed_for[1] is not poster:
            self._forms.clear()
            self._formed_for = webhook, poster
        form = self._forms.get(address)
        if form is not None:
            return form
        try:
            url = read_url(address)
            beginning = poster.beginning("POST", (_JSON, *webhook.fields), url)
        except InvalidRequest:
            return None  # the task says so
        if len(self._forms) >= MOST_FORMS:
            self._forms.clear()
        form = Form(address, _names(webhook), url, beginning)
        self._forms[address] = form
        return form

    def _answered(
        self,
        one: Delivery,
        form: Form,
        body: bytes,
        began_ms: int,
        outcome: HTTPReply | HTTPFailure | None,
    ) -> None:
        if self.is_gone:
            return
        if outcome is None:
            self._leave_to_task(one)
            return
        word = EVENT_WORDS[one.event.kind]
        number, event_id = self.log.next_number(), str(one.event.seq)
        logged = _attempt(
            number, event_id, word, one.attempts + 1, began_ms, form.address, form.names, body, outcome
        )
        self.log.add(logged)
        wall_ms = began_ms + logged.took_ms
        verdict = DELIVERED
        if not logged.is_delivered:
            wall_ms = self._clock.wall_ms()
            verdict = judge(outcome, wall_ms)
        self._resolve(one, verdict, self._clock.now(), wall_ms)

    def _resolve(self, one: Delivery, verdict: Verdict, now: float, wall_ms: int) -> None:
        self.endpoint.resolve(one, verdict, now, wall_ms)
        self._has_changed = True
        self.wake()

    # -- by a task --------------------------------------------------------------------------------------------------

    def _leave_to_task(self, one: Delivery) -> None:
        """To one that waits for work, or another: as many as may be in flight are always enough."""
        self._left.append(one)
        while self._idle:
            future = self._idle.popleft()
            if not future.done():
                future.set_result(None)
                return
        name = f"webhook {self.endpoint.webhook.id} {len(self._tasks)}"
        self._tasks.append(self._spawn(name, self._work()))

    async def _work(self) -> None:
        while True:
            while self._left:
                await self._deliver(self._left.popleft())
            future: asyncio.Future[None] = self._loop.create_future()
            self._idle.append(future)
            await future

    async def _deliver(self, one: Delivery) -> None:
        verdict: Verdict | None
        try:
            content = (one.url, one.body) if one.body is not None else await self._content(self, one)
        except JournalError as error:
            verdict = Verdict(Ruling.FAILED, 0.0, f"the journal could not be read: {error}")
        else:
            verdict = None if content is None else await self._send(content, one)
        now = self._clock.now()
        if verdict is not None:
            self._resolve(one, verdict, now, self._clock.wall_ms())
            return
        self.endpoint.skip(one, now)
        self._has_changed = True
        self.wake()

    async def _send(self, content: Content, one: Delivery) -> Verdict:
        """Post an event, and log it."""
        word = EVENT_WORDS[one.event.kind]
        outcome, logged = await self.post(content, str(one.event.seq), word, one.attempts + 1)
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
        request = HTTPRequest("POST", url or webhook.url, (_JSON, *webhook.fields, *signed), body, True)
        try:
            outcome = await self._poster().send(request)
        except InvalidRequest as error:
            outcome = HTTPFailure(FailureKind.NOTHING_LEFT, str(error), 0.0)
        number = self.log.next_number()
        names = _names(webhook)
        return outcome, _attempt(number, event_id, word, attempt, wall_ms, request.url, names, body, outcome)


def _names(webhook: Webhook) -> tuple[str, ...]:
    return tuple(name for name, _ in webhook.fields)


def _attempt(
    number: int,
    event_id: str,
    word: str,
    attempt: int,
    at_ms: int,
    address: str,
    names: tuple[str, ...],
    body: bytes,
    outcome: HTTPReply | HTTPFailure,
) -> Attempt:
    """How the log tells of it."""
    if isinstance(outcome, HTTPReply):
        status, answer, failure, remote = outcome.status, outcome.body[:ANSWER_OCTETS], "", outcome.remote
    else:
        status, answer, failure, remote = 0, b"", f"{outcome.kind.value}: {outcome.detail}"[:500], ""
    digest, took_ms = sha256(body).digest(), round(outcome.took_s * 1000)
    return Attempt(
        number,
        event_id,
        word,
        attempt,
        at_ms,
        address,
        names,
        len(body),
        digest,
        took_ms,
        status,
        answer,
        failure,
        remote,
    )
