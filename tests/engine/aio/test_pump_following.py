"""Questions and withdrawals on their way from the journal's index to a driver, through the real pump."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from stentor.aio.engine import RunningEngine
from stentor.aio.journal.library import JournalLibrary
from stentor.aio.journal.reader import Reader
from stentor.aio.journal.room import Room
from stentor.aio.journal.writer import Journal
from stentor.aio.pump import Pump
from stentor.api.engine import Search
from stentor.clock import SystemClock
from stentor.dispatch.dispatcher import Dispatcher, Limits
from stentor.driver import Capabilities, Followed, Receipt
from stentor.errors import Refusal
from stentor.ids import IdGenerator, first_key_at
from stentor.journal.records import Commit
from stentor.message import Delivery, Error, Message, Status
from stentor.outcome import Returned, Submission, Unknown
from stentor.retry import RetryPolicy
from stentor.testing.host import MemoryLog
from tests.engine.aio.journal.journal_helpers import accept, message, reopened, run, sent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


class Follower:
    """A driver that notes what it is asked."""

    def __init__(self, pump: Pump) -> None:
        self.pump = pump
        self.queried: asyncio.Queue[list[Followed]] = asyncio.Queue()
        self.cancelled: asyncio.Queue[list[Followed]] = asyncio.Queue()
        self.submitted: asyncio.Queue[Sequence[Submission]] = asyncio.Queue()

    def submit(self, lane: str, batch: Sequence[Submission]) -> None:
        self.submitted.put_nowait(batch)

    def query(self, segments: Sequence[Followed]) -> None:
        self.queried.put_nowait(list(segments))

    def cancel(self, segments: Sequence[Followed]) -> None:
        self.cancelled.put_nowait(list(segments))

    def recall(self, submissions: Sequence[Submission]) -> Collection[int]:
        """Of two, the second can be given back, and the peer is asked for the first."""
        self.pump.resolve([Returned(each) for each in submissions if each.token >> 8 & 1 == 0])
        return [each.token for each in submissions if each.token >> 8 & 1]


class Running:
    """Pump and journal with one channel, whose driver is a :class:`Follower`."""

    def __init__(self, journal: Journal, reader: Reader, clock: SystemClock) -> None:
        ids = IdGenerator(bytes, journal.recovery.last_key)
        dispatcher = Dispatcher(journal.recovery, Limits(), RetryPolicy(), ids, lambda: 0.5)
        capabilities = Capabilities(
            echoes_reference=True, query_after_s=60.0, can_cancel=True, can_recall=True
        )
        dispatcher.add_channel("alpha", "test", capabilities, 0.0, clock.now())
        dispatcher.start(clock.now(), clock.wall_ms())
        dispatcher.offer_lane("alpha", "1", 10, None, clock.now(), clock.wall_ms())
        log = MemoryLog()
        self.pump = Pump(dispatcher, journal, reader, clock, log, 1000, Room(journal.path.parent, log))
        self.driver = Follower(self.pump)
        self.pump.drivers["alpha"] = self.driver
        self.engine = RunningEngine(self.pump, JournalLibrary(reader, dispatcher), ids)

    async def ended(self, one: Message) -> Status:
        """What the journal says of a message, once the turn and the commit that follow now are over."""
        for _ in range(2):
            durable = asyncio.get_running_loop().create_future()
            self.pump.when_durable(lambda done=durable: done.set_result(None))
            await durable
        found = await self.engine.library.message(one.key)
        assert found is not None
        return found.status


@asynccontextmanager
async def running(path: Path, *left: Message) -> AsyncIterator[Running]:
    """A daemon's heart that starts on a journal in which these messages have left."""
    journal = await reopened(path)
    for one in left:
        at_ms = one.sent_at_ms
        one.sent_at_ms = 0
        await accept(journal, one)
        await journal.commit(sent(one, at_ms=at_ms, match_id=f"c{one.tail}"))
    await journal.close()
    journal = await reopened(path)
    reader = await Reader.open(path)
    found = Running(journal, reader, SystemClock())
    tasks = [asyncio.ensure_future(found.pump.write()), asyncio.ensure_future(found.pump.read())]
    found.pump.kick()
    try:
        yield found
    finally:
        found.pump.finish()
        await tasks[0]
        tasks[1].cancel()
        await asyncio.wait(tasks)
        await reader.close()
        await journal.close()


def left(number: int, ago_s: int) -> Message:
    """A message that left so long ago."""
    at_ms = SystemClock().wall_ms() - ago_s * 1000
    key = first_key_at(at_ms) + (number << 8)
    return message(number, key=key, tail=number, sent_at_ms=at_ms, due_at_ms=at_ms)


def test_a_driver_is_asked_about_an_overdue_receipt_and_its_answer_is_a_receipt(path: Path) -> None:
    async def work() -> None:
        late, young = left(1, 70), left(2, 10)
        async with running(path, late, young) as world:
            (segment,) = await world.driver.queried.get()
            assert (segment.token, segment.carrier_id, segment.match_id) == (late.key + 1, "C1", "c1")
            settled = asyncio.get_running_loop().create_future()
            pump = world.pump
            receipt = Receipt(segment.match_id, Status.DELIVERED)
            pump.dispatcher.receive("alpha", [receipt], settled.set_result, pump.clock.wall_ms())
            pump.kick()
            assert await settled is True
            stored = await world.engine.library.message(late.key)
            assert stored is not None
            assert stored.status is Status.DELIVERED

    run(work)


def test_cancelling_what_has_left_is_409_and_asks_its_carrier(path: Path) -> None:
    async def work() -> None:
        gone = left(1, 5)
        async with running(path, gone) as world:
            stored = await world.engine.library.message(gone.key)
            assert stored is not None
            with pytest.raises(Refusal, match="asked to take it back") as refused:
                await world.engine.cancel(stored)
            assert (refused.value.code, refused.value.status) == ("withdrawal_requested", 409)
            (segment,) = await world.driver.cancelled.get()
            assert segment.match_id == "c1"

    run(work)


def test_what_a_driver_gives_back_is_cancelled_and_what_its_peer_is_asked_for_may_be(path: Path) -> None:
    async def work() -> None:
        asked, given_back = (left(number, 0) for number in (1, 2))
        async with running(path) as world:
            pump = world.pump
            stored: asyncio.Future[object] = asyncio.get_running_loop().create_future()
            pump.accept([asked, given_back], (), stored.set_result)
            await stored
            batch: list[Submission] = []
            while len(batch) < 2:
                batch += await world.driver.submitted.get()
            cancelled = await world.engine.cancel(given_back)
            assert cancelled.status is Status.CANCELLED
            with pytest.raises(Refusal) as refused:
                await world.engine.cancel(asked)
            assert (refused.value.code, refused.value.status) == ("withdrawal_requested", 409)
            pump.resolve([Returned(each) for each in batch if each.token >> 8 & 1])
            assert await world.ended(asked) is Status.CANCELLED
            assert world.driver.submitted.empty()

    run(work)


def test_a_batch_that_is_cancelled_asks_for_what_drivers_have_of_it(path: Path) -> None:
    async def work() -> None:
        mine = left(2, 0)
        mine.batch = "b"
        async with running(path) as world:
            stored: asyncio.Future[object] = asyncio.get_running_loop().create_future()
            world.pump.accept([mine], (), stored.set_result)
            await stored
            await world.driver.submitted.get()
            await world.engine.cancel_batch(mine.account, "b")
            assert await world.ended(mine) is Status.CANCELLED

    run(work)


def test_a_held_message_is_listed_as_being_with_a_driver(path: Path) -> None:
    async def work() -> None:
        once = left(1, 5)
        once.delivery = Delivery.AT_MOST_ONCE
        async with running(path) as world:
            pump = world.pump
            stored: asyncio.Future[object] = asyncio.get_running_loop().create_future()
            pump.accept([once], (), stored.set_result)
            await stored
            batch = await world.driver.submitted.get()
            pump.resolve([Unknown(each) for each in batch])
            (found,) = await world.engine.library.search(Search("default", status=Status.SENDING))
            assert (found.key, found.error) == (once.key, Error("no_answer", None, "no_answer"))
            assert len(pump.dispatcher.backlog.open) == 0

    run(work)


def test_a_final_status_is_counted_once_its_commit_is_durable(path: Path) -> None:
    async def work() -> None:
        gone = left(1, 5)
        async with running(path, gone) as world:
            pump = world.pump
            begun, may_commit = asyncio.Event(), asyncio.Event()
            commit_now = pump.journal.commit

            async def commit_later(commit: Commit) -> None:
                if commit.changed:
                    begun.set()
                    await may_commit.wait()
                await commit_now(commit)

            pump.journal.commit = commit_later
            settled = asyncio.get_running_loop().create_future()
            receipt = Receipt("c1", Status.DELIVERED)
            pump.dispatcher.receive("alpha", [receipt], settled.set_result, pump.clock.wall_ms())
            pump.kick()
            await begun.wait()
            counted = pump.dispatcher.settler.counters["finished"], pump.finished
            may_commit.set()
            assert counted == (1, 0)
            await settled
            assert pump.finished == 1

    run(work)
