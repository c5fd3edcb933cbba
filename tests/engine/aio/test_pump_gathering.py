"""Which new messages wait for the next commit, and what makes it begin."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from stentor.aio.pump import PIPELINE_ROWS, Pump
from stentor.message import Priority
from stentor.outcome import Sent
from tests.engine.aio.journal.journal_helpers import run
from tests.engine.aio.test_pump_following import Running, left, running


def slow(world: Running, patience_s: float = 3600.0) -> Pump:
    """The channel's peers take their time, from now on; what only time would end, a test would wait for in vain."""
    dispatcher, now = world.pump.dispatcher, world.pump.clock.now()
    capabilities = msgspec.structs.replace(dispatcher.channels["alpha"].capabilities, patience_s=patience_s)
    dispatcher.add_channel("alpha", "test", capabilities, 0.0, now)
    return world.pump


async def turns() -> None:
    """Enough turns of the loop for a commit to begin that is to begin at once."""
    for _ in range(20):
        await asyncio.sleep(0)


def bring(pump: Pump, *numbers: int, is_patient: bool = True) -> asyncio.Future[object]:
    """New messages of one client; done when they are durable."""
    stored: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    pump.accept([left(number, 0) for number in numbers], (), stored.set_result, is_patient=is_patient)
    return stored


async def begun(pump: Pump) -> None:
    """A commit has begun just now."""
    await bring(pump, 1)
    await turns()


def test_the_first_after_a_while_are_stored_at_once(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path / "journal.db") as world:
            assert await bring(slow(world), 1) is None

    run(work)


def test_those_of_patient_clients_are_stored_with_what_somebody_waits_for(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path / "journal.db") as world:
            pump = slow(world)
            await begun(pump)
            commits = pump.journal.snapshot().commits
            patient = [bring(pump, 2), bring(pump, 3)]
            await turns()
            assert not any(one.done() for one in patient)
            await asyncio.gather(bring(pump, 4, is_patient=False), *patient)
            assert pump.journal.snapshot().commits == commits + 1

    run(work)


@pytest.mark.parametrize("priority", [Priority.URGENT, Priority.HIGH])
def test_what_is_urgent_or_high_waits_for_nobody(tmp_path: Path, priority: Priority) -> None:
    async def work() -> None:
        async with running(tmp_path / "journal.db") as world:
            pump = slow(world)
            await begun(pump)
            patient = bring(pump, 2)
            await turns()
            assert not patient.done()
            hasty: asyncio.Future[object] = asyncio.get_running_loop().create_future()
            message = left(3, 0)
            message.priority = priority
            pump.accept([left(4, 0), message], (), hasty.set_result, is_patient=True)
            await asyncio.gather(hasty, patient)

    run(work)


def test_a_result_waits_for_nobody_and_takes_new_messages_along(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path / "journal.db") as world:
            pump = slow(world)
            await begun(pump)
            (submission,) = await world.driver.submitted.get()
            patient = bring(pump, 2)
            await turns()
            assert not patient.done()
            pump.resolve([Sent(submission, "C1", "c1")])
            await patient

    run(work)


def test_many_are_stored_at_once_and_so_are_all_when_the_daemon_stops(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path / "journal.db") as world:
            pump = slow(world)
            await begun(pump)
            await bring(pump, *range(2, PIPELINE_ROWS + 2))
            patient = bring(pump, PIPELINE_ROWS + 2)
            await turns()
            assert not patient.done()
            pump.is_stopping = True
            pump.kick()
            await patient

    run(work)


def test_what_has_waited_long_enough_is_stored(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path / "journal.db") as world:
            pump = slow(world, 0.02)
            await begun(pump)
            await bring(pump, 2)

    run(work)


def test_a_channel_that_has_no_time_lets_no_message_wait(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path / "journal.db") as world:
            await begun(world.pump)
            slow(world)
            patient = bring(world.pump, 2)
            await turns()
            assert not patient.done()
            slow(world, 0.0)
            await asyncio.gather(bring(world.pump, 3), patient)

    run(work)
