"""One driver, its host, its peer and the network between them, in virtual time.

:func:`play` runs a scene in a world of its own and then ends it as the engine would. Whatever a scene is about, the
end is always held to the same: everything resolved by the deadline, :meth:`run` returned, nothing left behind, nothing
heard afterwards, no exception escaped, no secret shown.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

import msgspec

from stentor.driver import Driver, DriverSpec
from stentor.message import Priority
from stentor.outcome import Submission
from stentor.testing.host import LoopClock, MemoryHost
from stentor.testing.network import Link, MemoryTransport, Network
from stentor.testing.peer import Peer
from stentor.testing.vloop import VirtualLoop, run_virtual
from stentor.text.segments import Encoding

DRAIN_S: Final = 30.0
AFTERWARDS_S: Final = 3600.0
CANARY: Final = "cAn4rY-7"
_TEXT: Final = "Your code is 4711"


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What is examined.

    ``table`` are the channel's keys as they stand in the configuration file, without secrets: the kit sets those that
    are texts. ``entry`` is the entry point, ``"package.module:NAME"``. ``patience_s`` is how long, in virtual time,
    anything may take (the longest pause between tries and the longest wait for an answer fit in twice). ``encodings``
    narrows what the capabilities claim where a check wants one.
    """

    spec: DriverSpec
    peer: Callable[[], Peer]
    table: Mapping[str, Any] = {}
    entry: str | None = None
    patience_s: float = 300.0
    logins_a_minute: float = 6.0
    connects_a_minute: float = 30.0
    unsettled_limit: int = 12_000
    seed: int = 1
    originators: tuple[str, ...] = ("+46700000000", "12345", "Stentor")

    def full_table(self) -> dict[str, Any]:
        """The table with the canary for each secret."""
        names = {item.name: item.encode_name for item in msgspec.structs.fields(self.spec.config)}
        return {**self.table, **{names[secret]: CANARY for secret in self.spec.secrets}}

    def config(self) -> Any:
        return msgspec.convert(self.full_table(), self.spec.config)


class World:
    """What a scene plays in."""

    def __init__(self, subject: Subject, loop: VirtualLoop, group: asyncio.TaskGroup) -> None:
        self.subject = subject
        self.loop = loop
        self.network: Network = loop.network
        self.peer = subject.peer()
        self.config = subject.config()
        self.capabilities = subject.spec.capabilities(self.config)
        self.hosts: list[MemoryHost] = []
        self.memory: dict[str, bytes] = {}
        self.errors: list[BaseException] = []
        self.host: MemoryHost
        self.driver: Driver
        self.life: asyncio.Task[None] | None = None
        self._group = group
        self._token = 0

    # -- incarnations ----------------------------------------------------------------------------------------

    def make(self) -> None:
        """A driver that is not running yet, with a host of its own."""
        self.host = MemoryHost(LoopClock(self.loop))
        self.host.memory = self.memory
        self.hosts.append(self.host)
        self.driver = self.subject.spec.make(self.config, self.host)

    def begin(self) -> None:
        self.make()
        self.run()

    def run(self) -> None:
        self.life = self._group.create_task(self._live(self.driver), name="driver")

    async def _live(self, driver: Driver) -> None:
        try:
            await driver.run()
        except Exception as error:
            self.errors.append(error)

    def now(self) -> float:
        """The host's monotonic time."""
        return self.host.clock.now()

    async def finish(self, drain_s: float = DRAIN_S) -> None:
        """Drain, and look at what is left. Does nothing for an incarnation that was finished before."""
        if self.host.is_over:
            return
        began = self.now()
        deadline = began + drain_s
        try:
            async with asyncio.timeout(max(0.0, drain_s) + 1.0):
                await self.driver.drain(deadline)
        except TimeoutError:
            raise AssertionError(f"drain did not return by its deadline of {drain_s:g} s") from None
        late_s = self.now() - max(deadline, began)
        assert late_s < 0.1, f"drain returned {late_s:.3f} s after its deadline"
        if self.life is not None:
            await asyncio.wait([self.life], timeout=1.0)
        self.end()

    async def cancel(self) -> None:
        """End the incarnation the hard way, as the engine does when it must."""
        assert self.life is not None
        self.life.cancel()
        await asyncio.wait([self.life], timeout=1.0)
        self.end(is_cancelled=True)

    def end(self, is_cancelled: bool = False) -> None:
        assert self.life is None or self.life.done(), (
            "run() has not returned a second after the driver was told to end"
        )
        if is_cancelled:
            # What a cancelled driver holds, the engine takes to be in doubt.
            self.host.is_over = True
        else:
            self.host.end()

    async def look_back(self) -> None:
        """Nothing is left behind, nothing happens afterwards, nothing escaped, nothing was told that is secret."""
        # Octets on their way are the network's.
        await asyncio.sleep(4 * self.network.latency_s)
        for _ in range(10):
            await asyncio.sleep(0)
        own = asyncio.current_task()
        tasks = [task.get_name() for task in asyncio.all_tasks() if task is not own]
        assert not tasks, f"tasks left behind: {tasks}"
        left = [link for link in self.network.links if not self.drivers_side(link).is_lost]
        assert not left, f"{len(left)} connections left behind"
        timers = [repr(timer) for timer in self.loop.pending_timers()]
        assert not timers, f"timers left behind: {timers}"
        await asyncio.sleep(AFTERWARDS_S)
        assert not self.loop.errors, f"an exception escaped: {self.loop.errors[0]}"
        self.still_runs()
        for host in self.hosts:
            host.verify()
        self.look_for_secrets()

    def look_for_secrets(self) -> None:
        """The canary that stands for every secret shows nowhere."""
        shown: list[tuple[str, object]] = [
            ("a log line", line) for host in self.hosts for line in host.memory_log.lines
        ]
        shown += [("an error", repr(error)) for error in self.errors]
        shown += [("the status", self.driver.status()), ("an exception", self.loop.errors)]
        shown += [("an outcome", outcome) for host in self.hosts for outcome in host.order]
        for place, value in shown:
            assert CANARY not in repr(value), f"a secret shows in {place}"

    def drivers_side(self, link: Link) -> MemoryTransport:
        return link.server if self.peer.is_dialling else link.client

    def peers_side(self, link: Link) -> MemoryTransport:
        return link.client if self.peer.is_dialling else link.server

    def still_runs(self) -> None:
        """No incarnation ended with an exception."""
        assert not self.errors, f"run() raised {self.errors[0]!r}"

    # -- waiting ---------------------------------------------------------------------------------------------

    async def until(self, condition: Callable[[], object], what: str, within_s: float | None = None) -> None:
        """Return once ``condition()`` holds; AssertionError naming ``what`` after ``within_s`` of virtual time."""
        patience_s = self.subject.patience_s if within_s is None else within_s
        end = self.loop.time() + patience_s
        step_s = 0.001
        while not condition():
            self.still_runs()
            assert self.loop.time() < end, f"not within {patience_s:g} s: {what}{self._complaints()}"
            await asyncio.sleep(step_s)
            step_s = min(0.25, step_s * 1.3)

    def _complaints(self) -> str:
        """What else is known to be wrong, for a failure that may follow from it."""
        known = [breach for host in self.hosts for breach in host.breaches[:3]]
        known += [f"an exception escaped: {context}" for context in self.loop.errors[:1]]
        return f" ({'; '.join(known)})" if known else ""

    async def ready(self, free: int = 1) -> None:
        """A lane can take ``free`` submissions."""
        await self.until(
            lambda: any(lane.free >= free for lane in self.host.lanes.values()),
            f"a lane with room for {free} submissions",
        )

    async def resolved(self, batch: Sequence[Submission] | None = None) -> None:
        """Every submission of ``batch``, by default all that were handed over, has its outcome."""
        tokens = [submission.token for submission in batch or self.host.handed.values()]
        outcomes = self.host.outcomes
        await self.until(
            lambda: all(token in outcomes for token in tokens), "an outcome for every submission"
        )

    # -- submitting ------------------------------------------------------------------------------------------

    def submission(
        self, encoding: Encoding | None = None, data: bytes | None = None, **changes: Any
    ) -> Submission:
        """One to a destination of its own."""
        self._token += 1
        encodings = self.capabilities.encodings
        if encoding is None:
            encoding = next(each for each in Encoding if each in encodings)
        if data is None:
            data = _TEXT.encode("utf-16-be" if encoding is Encoding.UCS2 else "ascii")
        text = _TEXT if self.capabilities.unit == "message" and encoding is not Encoding.BINARY else None
        submission = Submission(
            token=self._token,
            attempt=1,
            to=f"+4670{self._token:08d}",
            originator=self.subject.originators[0],
            encoding=encoding,
            data=data,
            udh=b"",
            index=1,
            segments=1,
            wants_receipt=True,
            valid_for_s=3600,
            priority=Priority.NORMAL,
            text=text,
        )
        return msgspec.structs.replace(submission, **changes) if changes else submission

    def roomiest(self) -> str:
        """The lane with most room."""
        return max(self.host.lanes.values(), key=lambda lane: lane.free).key

    def submit(self, count: int | None = None, *, lane: str | None = None) -> list[Submission]:
        """Hand over ``count`` submissions, as many as fit by default, in batches the driver takes."""
        key = lane or self.roomiest()
        total = self.host.lanes[key].free if count is None else count
        batch = [self.submission() for _ in range(total)]
        limit = self.capabilities.batch_limit
        for at in range(0, len(batch), limit):
            self.host.submit(self.driver, key, batch[at : at + limit])
        return batch

    async def send(self, batch: Sequence[Submission]) -> None:
        """Hand over a batch piece by piece as room appears, until all of it is resolved."""
        rest = list(batch)
        while rest:
            await self.ready()
            key = self.roomiest()
            room = min(self.host.lanes[key].free, self.capabilities.batch_limit)
            piece, rest = rest[:room], rest[room:]
            self.host.submit(self.driver, key, piece)
        await self.resolved(batch)

    def outcomes(self, batch: Sequence[Submission]) -> list[str]:
        """The kind of outcome of each, ``"none"`` for those without."""
        outcomes = self.host.outcomes
        return [type(outcomes[item.token]).__name__ if item.token in outcomes else "none" for item in batch]


Scene = Callable[[World], Coroutine[Any, Any, None]]


async def _play(subject: Subject, scene: Scene, loop: VirtualLoop, is_begun: bool) -> None:
    failure: BaseException | None = None
    async with asyncio.TaskGroup() as group:
        world = World(subject, loop, group)
        await world.peer.start(loop)
        try:
            world.begin() if is_begun else world.make()
            await scene(world)
            await world.finish()
        except Exception as error:
            failure = error
        for task in asyncio.all_tasks():
            if failure is not None and task is not asyncio.current_task():
                task.cancel()
    if failure is not None:
        raise failure
    await world.look_back()


def play(subject: Subject, scene: Scene, *, is_begun: bool = True) -> None:
    """Play a scene and hold its end to the contract. AssertionError says what is wrong."""
    run_virtual(lambda loop: _play(subject, scene, loop, is_begun))
