"""All webhooks: who is told of a commit, who reads on in the journal, and what of it is kept.

Events come from commits while a webhook keeps up, and by pages from a reader of its own while it does not; one task
reads for all of them in turn. What changed is put into the journal's commits a few times a second: the journal hears of
progress, never of a delivery. Nothing here is in the way of a message: whatever has no room stays on the disk.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol

from stentor.aio.webhooks.delivering import Deliverer, Poster, Spawn
from stentor.aio.webhooks.pacing import Starts
from stentor.aio.webhooks.pages import EventReader, Pages, delivery_of
from stentor.api.engine import Watcher
from stentor.api.events import EventBody, WebhookEventBody
from stentor.api.render import encode, time_text
from stentor.clock import Clock
from stentor.dispatch.snapshot import QueueSnapshot, WebhookSnapshot, WebhooksSnapshot
from stentor.driver import Log
from stentor.errors import JournalError, Refusal
from stentor.ids import IdGenerator
from stentor.message import Event, Message
from stentor.webhooks.attempts import Attempt, AttemptLog, Wanted
from stentor.webhooks.endpoint import Endpoint, EndpointLimits
from stentor.webhooks.feed import Tide
from stentor.webhooks.records import Progress, WebhookRecords, WebhookRecovery
from stentor.webhooks.schedule import State
from stentor.webhooks.subscription import Reach, Webhook, checked_url, origin

FLUSH_S: Final = 0.25
"""How long an outcome may take to the journal: what a crash repeats, at most."""
POSITIONS_S: Final = 60.0
"""How often it hears how far those are that have nothing to tell."""
MAX_CALLBACKS: Final = 200
"""Origins that an account's messages may name."""
READ_PAUSE_S: Final = 1.0

Told = Sequence[tuple[Event, Message | None]]


class Keeper(Protocol):
    """The journal's side: the pump is behind it."""

    @property
    def records(self) -> WebhookRecords:
        """What the open commit has of webhooks; :meth:`kept` has it written."""

    @property
    def last_seq(self) -> int: ...

    def kept(self, done: Callable[[], None] | None) -> None: ...

    def disabled(self, webhook: Webhook, wall_ms: int) -> None:
        """Tell the account that a webhook disabled itself."""

    def watch(self, watcher: Watcher) -> Callable[[], None]: ...


class Webhooks:
    """Implements :class:`stentor.api.engine.WebhookDesk`. Belongs to one loop.

    ``spawn`` runs a coroutine as a supervised task; ``random`` is in [0, 1).
    """

    def __init__(
        self,
        keeper: Keeper,
        reader: EventReader,
        poster: Poster,
        clock: Clock,
        ids: IdGenerator,
        log: Log,
        random: Callable[[], float],
        spawn: Spawn,
        limits: EndpointLimits,
        *,
        reach: Reach = Reach.TLS,
    ) -> None:
        self.reach = reach
        self.poster = poster
        self._keeper = keeper
        self._reader = reader
        self._pages = Pages(reader, clock)
        self._clock = clock
        self._ids = ids
        self._log = log
        self._random = random
        self._spawn = spawn
        self._limits = limits
        self._tide = Tide(keeper.last_seq)
        self._starts = Starts(lambda: keeper.last_seq)
        self._all: dict[int, Deliverer] = {}
        self._by_account: dict[str, list[Deliverer]] = {}
        self._callbacks: dict[tuple[str, str], int] = {}
        self._dirty: dict[Deliverer, None] = {}
        self._has_dirty = asyncio.Event()
        self._wanting: dict[Deliverer, None] = {}
        self._wants = asyncio.Event()
        self._stop_watching: Callable[[], None] | None = None

    def start(self, recovered: Sequence[WebhookRecovery]) -> None:
        """Go on where the journal says they stand."""
        for each in recovered:
            log = AttemptLog(each.webhook.key, each.blocks, each.last_attempt)
            self._enter(self._endpoint(each.webhook, each.progress, each.waiting), log)
        self._spawn("webhooks' journal", self._keep())
        self._spawn("webhooks' reader", self._read())

    async def stop(self, within_s: float = 0.0) -> None:
        """Start nothing more and put how far it is into the next commit. What is under way gets so long to be
        answered: what is cut off is posted again at the next start."""
        self._watch_no_more()
        asked = self._starts.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while any(one.endpoint.in_flight for one in self._all.values()):
                    asked.clear()
                    await asked.wait()
        for one in self._all.values():
            await one.stop()
        self._dirty = dict.fromkeys(self._all.values())
        self._flush()

    def adjust(self, limits: EndpointLimits, poster: Poster, *, reach: Reach) -> None:
        """What a reloaded configuration says."""
        self.reach, self._limits, self.poster = reach, limits, poster
        for one in self._all.values():
            one.endpoint.limits = limits

    def _endpoint(self, webhook: Webhook, progress: Progress, waiting: Sequence[Any] = ()) -> Endpoint:
        now, wall_ms = self._clock.now(), self._clock.wall_ms()
        return Endpoint(webhook, progress, waiting, self._tide, self._limits, self._random, now, wall_ms)

    def _enter(self, endpoint: Endpoint, log: AttemptLog) -> None:
        webhook = endpoint.webhook
        one = Deliverer(
            endpoint,
            log,
            lambda: self.poster,
            self._starts,
            self._clock,
            self._pages.content,
            self._secrets,
            self._changed,
            self._spawn,
        )
        self._all[webhook.key] = one
        self._by_account.setdefault(webhook.account, []).append(one)
        if webhook.is_callback:
            self._callbacks[webhook.account, origin(webhook.url)] = webhook.key
        one.wake()
        self._want(one)

    # -- events -----------------------------------------------------------------------------------------------------

    def _tell(self, told: Told) -> None:
        """A commit: those that keep up take it from here, and all others find it in the journal."""
        if any(one.endpoint.feed.hears for one in self._all.values()):
            self._tell_all(told)
        else:
            self._watch_no_more()
        self._tide.seq = told[-1][0].seq

    def _watch(self) -> None:
        """Be told of commits, from now on: one is about to catch up with them."""
        if self._stop_watching is None:
            self._tide.seq = self._keeper.last_seq
            self._stop_watching = self._keeper.watch(self._tell)

    def _watch_no_more(self) -> None:
        """Nobody keeps up. Even to be told costs the line something."""
        if self._stop_watching is not None:
            self._stop_watching()
            self._stop_watching = None

    def _tell_all(self, told: Told) -> None:
        bodies: dict[int, bytes] = {}
        by_account: dict[str, list[tuple[Event, Message | None]]] = {}
        for pair in told:
            by_account.setdefault(pair[0].account, []).append(pair)
        common = by_account.pop("", None)
        if common is None:
            concerned = [
                (account, pairs) for account, pairs in by_account.items() if account in self._by_account
            ]
        else:
            # Events of channels concern everybody; the others' order among them is that of their numbers.
            concerned = [
                (account, sorted((*common, *by_account.get(account, ())), key=lambda pair: pair[0].seq))
                for account in self._by_account
            ]
        for account, pairs in concerned:
            for one in self._by_account[account]:
                self._tell_one(one, pairs, bodies)

    def _tell_one(self, one: Deliverer, pairs: Told, bodies: dict[int, bytes]) -> None:
        endpoint = one.endpoint
        feed, events = endpoint.feed, endpoint.filter
        if not feed.hears:
            return
        wanted = [pair for pair in pairs if events.may_concern(pair[0])]
        room = endpoint.room
        can_judge = not any(message is None and event.key for event, message in wanted)
        if can_judge:
            wanted = [pair for pair in wanted if events.concerns(*pair)]
        if not wanted:
            return
        # What cannot be judged from here is read.
        if can_judge and feed.has_room(len(wanted), room):
            feed.tell([delivery_of(event, message, bodies, events) for event, message in wanted], room)
        else:
            feed.miss(wanted[0][0].seq)
        if feed.is_live:
            one.wake()
        else:
            self._want(one)

    # -- the journal's pages ----------------------------------------------------------------------------------------

    def _want(self, one: Deliverer) -> None:
        """It may want a page."""
        self._wanting[one] = None
        self._wants.set()

    async def _read(self) -> None:
        """One page for each that wants one, in turn."""
        while True:
            await self._wants.wait()
            if not self._wanting:
                self._wants.clear()
                continue
            one = next(iter(self._wanting))
            del self._wanting[one]
            if one.is_gone:
                continue
            if self._stop_watching is None:
                self._tide.seq = (
                    self._keeper.last_seq
                )  # nobody keeps up, so nobody has missed what is passed by
            page = one.endpoint.begin_page()
            if page is None:
                continue
            if one.endpoint.feed.hears:
                self._watch()
            try:
                read = await self._pages.read(one, page)
            except JournalError as error:
                one.endpoint.finish_page(page, None)
                self._log.warning("webhooks cannot read the journal", reason=str(error))
                await asyncio.sleep(READ_PAUSE_S)
            else:
                one.endpoint.finish_page(page, read)
            self._mark(one)
            one.wake()
            self._want(one)

    # -- what is kept -----------------------------------------------------------------------------------------------

    def _changed(self, one: Deliverer) -> None:
        """An outcome was told."""
        endpoint = one.endpoint
        self._mark(one)
        if endpoint.wants_page:
            self._want(one)
        if endpoint.state is State.DISABLED and endpoint.webhook.reason and not endpoint.is_told:
            endpoint.is_told = True
            webhook = endpoint.webhook
            self._keeper.records.webhooks[webhook.key] = webhook
            self._keeper.disabled(webhook, self._clock.wall_ms())
            self._log.warning("webhook disabled", webhook=webhook.id, reason=webhook.reason, each_time=True)

    def _mark(self, one: Deliverer) -> None:
        self._dirty[one] = None
        self._has_dirty.set()

    async def _keep(self) -> None:
        """Put what changed into the journal, a few times a second."""
        clock = self._clock
        due = clock.now() + POSITIONS_S
        while True:
            try:
                async with asyncio.timeout(max(0.0, due - clock.now())):
                    await self._has_dirty.wait()
            except TimeoutError:
                due = clock.now() + POSITIONS_S
                self._dirty = dict.fromkeys(self._all.values())
            await asyncio.sleep(FLUSH_S)
            self._flush()

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, {}
        self._has_dirty.clear()
        for one in dirty:
            key = one.endpoint.webhook.key
            if key in self._all:
                self._record(key, one)
        if dirty:
            self._keeper.kept(None)

    def _record(self, key: int, one: Deliverer) -> None:
        records = self._keeper.records
        records.progress[key], waiting = one.endpoint.take_records()
        for seq, row in waiting.items():
            records.waiting[key, seq] = row
        for block in one.log.take():
            records.attempts[key, block.ring, block.slot] = block

    async def _durable(self, one: Deliverer | None = None) -> None:
        if one is not None and not one.is_gone:
            self._record(one.endpoint.webhook.key, one)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def settle() -> None:
            if not future.done():  # its waiter may have gone
                future.set_result(None)

        self._keeper.kept(settle)
        await future

    # -- the desk ---------------------------------------------------------------------------------------------------

    def entropy(self, count: int) -> bytes:
        return os.urandom(count)

    def all(self, account: str) -> Sequence[Webhook]:
        return [one.endpoint.webhook for one in self._by_account.get(account, ())]

    def find(self, account: str, key: int) -> Webhook | None:
        one = self._all.get(key)
        return one.endpoint.webhook if one is not None and one.endpoint.webhook.account == account else None

    def snapshot(self, key: int) -> WebhookSnapshot:
        endpoint = self._all[key].endpoint
        return WebhookSnapshot(
            endpoint.state.value,
            endpoint.waiting,
            endpoint.in_flight,
            not endpoint.feed.is_live and endpoint.feed.position < self._keeper.last_seq,
            endpoint.replay is not None,
            endpoint.delivered,
            endpoint.failed,
            endpoint.given_up,
            endpoint.failing_since_ms,
            endpoint.delivered_at_ms,
            endpoint.last_error,
        )

    async def add(self, webhook: Webhook) -> None:
        self._put(webhook)
        await self._durable()

    def _put(self, webhook: Webhook) -> None:
        progress = Progress(webhook.key, self._keeper.last_seq)
        self._keeper.records.webhooks[webhook.key] = webhook
        self._keeper.records.progress[webhook.key] = progress
        self._enter(self._endpoint(webhook, progress), AttemptLog(webhook.key))

    async def change(self, webhook: Webhook) -> None:
        one = self._all[webhook.key]
        one.endpoint.change(webhook, self._clock.now())
        one.endpoint.is_told = not webhook.is_enabled
        self._keeper.records.webhooks[webhook.key] = one.endpoint.webhook
        self._want(one)
        one.wake()
        await self._durable(one)

    async def remove(self, key: int) -> None:
        one = self._all.pop(key)
        webhook = one.endpoint.webhook
        mates = self._by_account[webhook.account]
        mates.remove(one)
        if not mates:
            del self._by_account[webhook.account]
        if webhook.is_callback:
            del self._callbacks[webhook.account, origin(webhook.url)]
        self._keeper.records.webhooks[key] = None
        await one.stop()
        await self._durable()

    async def attempts(self, key: int, wanted: Wanted) -> list[Attempt]:
        await self._durable(self._all[key])  # what is not written yet is part of the log, too
        return await self._pages.attempts(key, wanted)

    async def test(self, key: int) -> Attempt:
        one = self._all[key]
        wall_ms = self._clock.wall_ms()
        webhook = one.endpoint.webhook
        _, tail = self._ids.next(wall_ms)
        detail = WebhookEventBody(webhook.id, "a test, asked for by its account")
        body = encode(EventBody(f"test_{tail:x}", "webhook.test", time_text(wall_ms), webhook=detail))
        _, logged = await one.post(("", body), f"test_{tail:x}", "webhook.test", 1)
        one.log.add(logged)
        self._mark(one)
        return logged

    async def replay(self, key: int, since_ms: int, until_ms: int) -> None:
        one = self._all[key]
        after_seq = await self._reader.seq_before(since_ms)
        one.endpoint.start_replay(after_seq, since_ms, until_ms)
        self._want(one)
        await self._durable(one)

    async def deliver_again(self, key: int, seq: int) -> None:
        one = self._all[key]
        endpoint = one.endpoint
        event = await self._reader.event(seq)
        if event is None or event.account not in ("", endpoint.webhook.account):
            raise Refusal("not_found", "there is no such event any more", "$", 404)
        if endpoint.webhook.is_callback and not await self._is_called_back(endpoint, event):
            raise Refusal("not_found", "the event is of no message that names an address here", "$", 404)
        endpoint.deliver_again(event, self._clock.now(), self._clock.wall_ms())
        one.wake()
        await self._durable(one)

    async def _is_called_back(self, endpoint: Endpoint, event: Event) -> bool:
        """Whether the event's message asked for it to be told there."""
        messages = await self._reader.messages((event.key,)) if event.key else ()
        return any(endpoint.filter.concerns(event, message) for message in messages)

    def callback(self, account: str, url: str) -> str:
        checked_url(url, "$.callback_url", reach=self.reach)
        if (account, origin(url)) not in self._callbacks:
            if sum(whose == account for whose, _ in self._callbacks) >= MAX_CALLBACKS:
                detail = (
                    f"messages of an account name at most {MAX_CALLBACKS} different hosts; remove a callback"
                )
                raise Refusal("too_many_callbacks", detail, "$.callback_url")
            wall_ms = self._clock.wall_ms()
            key, tail = self._ids.next(wall_ms)
            self._put(Webhook(key, tail, account, origin(url), wall_ms, ("message.*",), is_callback=True))
        return url

    def _secrets(self, webhook: Webhook, wall_ms: int) -> Sequence[bytes]:
        """Its own; a callback's are those of its account's oldest webhook, if there is one."""
        if not webhook.is_callback:
            return webhook.secrets(wall_ms)
        for one in self._by_account.get(webhook.account, ()):
            if not one.endpoint.webhook.is_callback:
                return one.endpoint.webhook.secrets(wall_ms)
        return ()

    # -- pictures ---------------------------------------------------------------------------------------------------

    def picture(self) -> WebhooksSnapshot:
        """All of them together."""
        endpoints = [one.endpoint for one in self._all.values()]
        newest = self._keeper.last_seq
        states = dict.fromkeys((state.value for state in State), 0) if endpoints else {}
        for endpoint in endpoints:
            states[endpoint.state.value] += 1
        return WebhooksSnapshot(
            states,
            sum(endpoint.waiting for endpoint in endpoints),
            sum(endpoint.in_flight for endpoint in endpoints),
            sum(not each.feed.is_live and each.feed.position < newest for each in endpoints),
            sum(endpoint.delivered for endpoint in endpoints),
            sum(endpoint.failed for endpoint in endpoints),
            sum(endpoint.given_up for endpoint in endpoints),
            self._starts.pace.is_paced,
        )

    def queues(self) -> Sequence[QueueSnapshot]:
        """What is in memory of deliveries, and what waits to be tried again."""
        endpoints = [one.endpoint for one in self._all.values()]
        count = max(1, len(endpoints))
        ready = sum(endpoint.ready for endpoint in endpoints)
        waiting = sum(endpoint.waiting for endpoint in endpoints)
        window, most = self._limits.window * count, self._limits.waiting * count
        return (
            QueueSnapshot("webhook window", ready, window, "events stay in the journal until there is room"),
            QueueSnapshot(
                "webhook retries", waiting, most, "the webhook stands still until some are through"
            ),
        )
