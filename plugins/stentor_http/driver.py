"""The HTTP driver's shell: a lane, and a fixed set of workers that each have one request under way.

Invariants: a submission is in ``_queue``, in ``_halves``, in ``_exchanges``, in ``_under_way`` or with the asker from
:meth:`HTTPDriver.submit` until it has its outcome; nothing is sent twice by the driver but what was refused together
with others; outcomes of one turn of the loop go to the host in one call.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Final

from stentor.aio.http import Client, ClientSettings
from stentor.driver import DriverStatus, Followed, Host, LaneStatus
from stentor.outcome import Outcome, Refused, Returned, Sent, Submission, Unknown
from stentor.wire.asking import read_url
from stentor.wire.calls import HTTPReply, InvalidRequest
from stentor_http.asking import Asker
from stentor_http.config import HTTPConfig, load_carrier, proxy_url
from stentor_http.errands import Errands
from stentor_http.exchange import Exchange, build, read
from stentor_http.inbox import BODY_LIMIT, Inbox
from stentor_http.reach import FIRST_PAUSE_S, LANE, LONGEST_PAUSE_S, Reach
from stentor_http.remembered import Remembered
from stentor_http.trouble import Trouble

ANSWER_LIMIT: Final = 8 * 1024 * 1024  # a batch of thousands with a kilobyte about each


class HTTPDriver:
    """One channel. A Follower: some carriers can be asked about what they have taken."""

    def __init__(self, config: HTTPConfig, host: Host) -> None:
        self.config, self.host = config, host
        self.carrier = load_carrier(config)
        self.concurrency = config.concurrency or self.carrier.connections
        self.counters: Counter[str] = Counter()
        self.trouble = Trouble(self.carrier, host)
        self.errands: Errands | None = None
        if self.carrier.code.fetches:
            self.errands = Errands(host, self.counters, self.trouble, proxy_url(config))
        self.inbox = Inbox(self.carrier, host, self.counters, self._flush_later, self.trouble, self.errands)
        self.reach: Reach | None = None
        self.client: Client | None = None
        self.asker: Asker | None = None
        self._queue: deque[Submission] = deque()
        self._halves: deque[Sequence[Submission]] = deque()  # of batches that were refused as a whole
        self._exchanges: deque[Exchange] = deque()
        self._under_way: dict[int, Exchange] = {}  # by the object's id
        self._resting: deque[asyncio.Future[None]] = deque()
        self._outcomes: list[Outcome] = []
        self._is_draining = False
        self._is_idle = asyncio.Event()
        self._is_over = asyncio.Event()
        self._is_down = asyncio.Event()
        self._is_down.set()

    # ---- life

    async def run(self) -> None:
        if self._is_draining:
            return
        self._is_down.clear()
        if not self.config.verify:
            self.host.log.warning("the carrier's certificate is not verified", key="verify")
        if self.config.public_url and (self.carrier.has_receipts or self.carrier.has_inbound):
            self.host.serve(self.inbox.prefix, self.inbox.handle, BODY_LIMIT)
        client = self.client = Client(self._settings(), random=self.host.random, reset=self._reset)
        rate = self.carrier.rate if self.config.obey_rate else 0.0
        window = self.config.window or self.concurrency * self.carrier.batch_limit
        reach = self.reach = Reach(self.carrier, self.host, client, self.trouble, window, rate)
        kept, wall_ms = self.host.kept(), self.host.clock.wall_ms()
        remembered = Remembered(self.carrier, self.inbox.keep, kept, wall_ms)
        asker = self.asker = Asker(
            self.carrier, self.host, client, reach, self.counters, self._settle, remembered
        )
        try:
            async with asyncio.TaskGroup() as group:
                lives = [reach.watch(), *(self._work(client, reach, asker) for _ in range(self.concurrency))]
                if self.carrier.questions.is_any:
                    lives.append(asker.run())
                if self.errands is not None:
                    lives.append(self.errands.run())
                tasks = [group.create_task(life) for life in lives]
                await self._is_over.wait()
                for task in tasks:
                    task.cancel()
        finally:
            reach.end()
            asker.give_up()
            if self.errands is not None:
                self.errands.give_up()
            self._give_up()
            await client.close(0.0)
            self._is_down.set()

    async def drain(self, deadline: float) -> None:
        self._is_draining = True
        if self.reach is not None:
            self.reach.end()
        self._give_back()
        try:
            async with asyncio.timeout(deadline - self.host.clock.now()):
                while self._under_way:
                    self._is_idle.clear()
                    await self._is_idle.wait()
                if self.asker is not None:
                    await self.asker.finish()
        except TimeoutError:
            self.host.log.warning("drain ran out of time", requests=len(self._under_way))
        self._is_over.set()
        await self._is_down.wait()

    def status(self) -> DriverStatus:
        url, reach, counters = read_url(self.carrier.url), self.reach, Counter(self.counters)
        if self.client is not None:
            statistics = self.client.statistics()
            counters["connections"] = statistics.open
            counters["connections_made"] = statistics.made
            for kind, count in statistics.failures.items():
                counters[f"failed_{kind}"] = count
        if self.asker is not None and self.carrier.questions.lookup is not None:
            counters["in_doubt"] = self.asker.kept_back
        state, since_ms = (reach.state, reach.since_ms) if reach is not None else ("down", 0)
        detail = "" if self.config.verify or not url.is_tls else "certificate not verified"
        lane = LaneStatus(LANE, state, f"{url.host}:{url.port}", since_ms, detail)
        return DriverStatus((lane,), dict(counters), self.trouble.text, self.trouble.at_ms)

    def _settings(self) -> ClientSettings:
        config = self.config
        # One for a token or a try while all others are in use, and one for questions.
        connections = self.concurrency + 1 + self.carrier.questions.is_any
        return ClientSettings(
            connections=connections,
            connections_per_origin=connections,
            idle_s=config.idle_timeout,
            connect_s=config.connect_timeout,
            tls_s=config.connect_timeout,
            answer_s=config.answer_timeout,
            body_s=config.answer_timeout,
            body_limit=ANSWER_LIMIT,
            verify=config.verify,
            ca_file=config.ca_file,
            certificate_file=config.certificate_file,
            key_file=config.key_file,
            proxy=proxy_url(config),
        )

    # ---- submissions

    def submit(self, lane: str, batch: Sequence[Submission]) -> None:
        if self._is_draining or self.reach is None or not self.reach.is_up:
            self.host.resolve([Returned(submission) for submission in batch])
            return
        in_doubt = [submission for submission in batch if submission.doubtful_since_ms]
        if in_doubt:
            assert self.asker is not None, "it is made with the reach"
            self.asker.resume(in_doubt)
            batch = [submission for submission in batch if not submission.doubtful_since_ms]
        self._queue.extend(batch)
        limit = self.carrier.batch_limit
        self._wake(-(-len(batch) // limit))

    def query(self, segments: Sequence[Followed]) -> None:
        """Ask for the states of messages that have left."""
        self._follow(segments, is_cancel=False)

    def cancel(self, segments: Sequence[Followed]) -> None:
        """Ask the carrier to take messages back."""
        self._follow(segments, is_cancel=True)

    def _follow(self, segments: Sequence[Followed], *, is_cancel: bool) -> None:
        if self.asker is None or self.reach is None or not self.reach.is_up:
            self.counters["unasked"] += len(segments)
        else:
            self.asker.follow(segments, is_cancel=is_cancel)

    def _wake(self, count: int) -> None:
        resting = self._resting
        while count > 0 and resting:
            waiter = resting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                count -= 1

    async def _work(self, client: Client, reach: Reach, asker: Asker) -> None:
        """One request after the other. Those that wait are built only now, so that batches are as full as can be."""
        loop, pause_s = asyncio.get_running_loop(), FIRST_PAUSE_S
        while True:
            if not self._queue and not self._halves and not self._exchanges:
                waiter: asyncio.Future[None] = loop.create_future()
                self._resting.append(waiter)
                await waiter
                continue
            token = await reach.token()
            if token is None:
                self._lose()
                continue
            exchange = self._next(token)
            if exchange is None or await self._exchange(client, reach, asker, exchange):
                pause_s = FIRST_PAUSE_S
            elif not client.statistics().open:
                self._lose()
            else:
                # The carrier is there, but does not want as many connections.
                await asyncio.sleep(pause_s * (0.5 + self.host.random()))
                pause_s = min(LONGEST_PAUSE_S, pause_s * 2)

    def _next(self, token: str) -> Exchange | None:
        """The next request, if any is left: other workers take from the same queue."""
        if not self._exchanges and (self._halves or self._queue):
            queue = self._queue
            taken: Sequence[Submission]
            if self._halves:
                taken = self._halves.popleft()
            else:
                taken = [queue.popleft() for _ in range(min(self.carrier.batch_limit, len(queue)))]
            try:
                built = build(self.carrier, taken, self.host.clock.wall_ms(), token)
            except BaseException:
                queue.extendleft(reversed(taken))  # our own fault ends this incarnation, and loses nothing
                raise
            self._settle(built.outcomes)
            if built.fault is not None:
                self.counters["faults"] += 1
                self.trouble.tell(built.fault)
            self._exchanges.extend(built.exchanges)
            self._wake(len(built.exchanges) - 1)
        return self._exchanges.popleft() if self._exchanges else None

    async def _exchange(self, client: Client, reach: Reach, asker: Asker, exchange: Exchange) -> bool:
        """One request from start to end. False when there was no connection for it."""
        asked_at_ms = self.host.clock.wall_ms()
        self._under_way[id(exchange)] = exchange
        try:
            answer = await client.send(exchange.request)
        except InvalidRequest as error:
            self._end(
                exchange, [Refused(one, "bad_request", detail=str(error)) for one in exchange.submissions]
            )
            self.trouble.tell(str(error))
            return True
        reading = read(self.carrier, exchange, answer, self.host.clock.wall_ms())
        outcomes: Sequence[Outcome] = reading.outcomes
        for outcome in outcomes:
            if type(outcome) is Sent and outcome.charge is not None:
                self.counters["charged_segments"] += outcome.charge.segments
        if Unknown in map(type, outcomes):
            outcomes = asker.keep_back(outcomes, asked_at_ms)
        if reading.is_to_halve:
            self._halve(exchange)
        self._end(exchange, outcomes)
        self.counters["requests"] += 1
        if isinstance(answer, HTTPReply):
            reach.answered()
        if reading.fault is not None:
            self.counters["faults"] += 1
            self.trouble.tell(reading.fault)
        if reading.is_unauthorised:
            reach.forget_token()
        return not reading.is_unreachable

    def _halve(self, exchange: Exchange) -> None:
        """A batch was refused, perhaps for one of its messages: its halves tell which. Nothing of it was taken."""
        self.counters["halved"] += 1
        submissions = exchange.submissions
        if self._is_draining:
            self._settle([Returned(submission) for submission in submissions])
            return
        middle = len(submissions) // 2
        self._halves += submissions[:middle], submissions[middle:]
        self._wake(1)

    # ---- outcomes

    def _end(self, exchange: Exchange, outcomes: Sequence[Outcome]) -> None:
        del self._under_way[id(exchange)]
        self._settle(outcomes)

    def _settle(self, outcomes: Sequence[Outcome]) -> None:
        """Gather what this turn of the loop brings: answers of many connections come in one."""
        if not outcomes:
            return
        if not self._outcomes:
            asyncio.get_running_loop().call_soon(self._tell)
        self._outcomes.extend(outcomes)

    def _flush_later(self, flush: Callable[[], None]) -> None:
        """Two turns on: an answer that was read with this request has woken its worker by then."""
        loop = asyncio.get_running_loop()

        def told() -> None:
            self._tell()
            flush()

        loop.call_soon(loop.call_soon, told)

    def _tell(self) -> None:
        outcomes, self._outcomes = self._outcomes, []
        if outcomes:
            self.host.resolve(outcomes)
        if not self._under_way:
            self._is_idle.set()

    def _reset(self) -> None:
        self.trouble.tell("the carrier reset an idle connection")
        self._lose()

    def _lose(self) -> None:
        if self.reach is not None:
            self.reach.lose()
        self._give_back()

    def _give_back(self) -> None:
        """What no worker has begun never left us."""
        waiting = [*self._queue, *(one for half in self._halves for one in half)]
        waiting += [one for exchange in self._exchanges for one in exchange.submissions]
        self._queue.clear()
        self._halves.clear()
        self._exchanges.clear()
        self._settle([Returned(submission) for submission in waiting])

    def _give_up(self) -> None:
        """The end: what is under way now is in doubt."""
        self._give_back()
        for exchange in self._under_way.values():
            self._outcomes.extend(Unknown(submission) for submission in exchange.submissions)
        self._under_way.clear()
        self._tell()
