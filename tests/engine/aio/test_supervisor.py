"""The supervisor: no task vanishes, no exception is lost, everything is unwound in order."""

import asyncio
import gc
import weakref
from collections.abc import Coroutine

import pytest

from stentor.aio.supervisor import Supervisor


def run(coroutine: Coroutine[None, None, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await coroutine

    asyncio.run(bounded())


def soon() -> float:
    return asyncio.get_running_loop().time() + 5


async def for_ever() -> None:
    await asyncio.Event().wait()


async def fail(error: BaseException) -> None:
    raise error


def test_a_raising_task_surfaces_in_the_turn_after_it_raised() -> None:
    async def main() -> None:
        supervisor = Supervisor()
        waiter = asyncio.ensure_future(supervisor.wait())
        await asyncio.sleep(0)
        gate = asyncio.Event()

        async def fail_later() -> None:
            await gate.wait()
            turns.append("raised")
            raise ValueError("boom")

        turns: list[str] = []
        supervisor.start("reader", fail_later())
        await asyncio.sleep(0)
        gate.set()
        await asyncio.sleep(0)
        assert turns == ["raised"]
        await asyncio.sleep(0)  # the turn in which the supervisor sees it
        await asyncio.sleep(0)  # the turn in which wait() goes on
        with pytest.raises(AssertionError, match="stops"):
            supervisor.start("late", for_ever())
        with pytest.raises(ExceptionGroup) as caught:
            await waiter
        assert [repr(error) for error in caught.value.exceptions] == ["ValueError('boom')"]
        assert caught.value.exceptions[0].__notes__ == ["in task 'reader'"]

    run(main())


def test_a_failure_that_came_before_wait_is_not_lost() -> None:
    async def main() -> None:
        supervisor = Supervisor()
        supervisor.start("early", fail(ValueError("early")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(supervisor) == 0
        with pytest.raises(ExceptionGroup, match="tasks failed"):
            await supervisor.wait()

    run(main())


def test_the_others_are_cancelled_latest_first_each_awaited_before_the_next() -> None:
    async def main() -> None:
        supervisor = Supervisor()
        order: list[str] = []

        async def worker(name: str) -> None:
            try:
                await for_ever()
            finally:
                order.append(f"{name} ends")
                await asyncio.sleep(0)
                order.append(f"{name} ended")

        for name in ("first", "second", "third"):
            supervisor.start(name, worker(name))
        supervisor.start("bad", fail(KeyError("bad")))
        with pytest.raises(ExceptionGroup):
            await supervisor.wait()
        assert order == [
            f"{name} {verb}" for name in ("third", "second", "first") for verb in ("ends", "ended")
        ]
        assert len(supervisor) == 0

    run(main())


def test_what_tasks_raise_while_being_cancelled_is_collected_with_the_cause() -> None:
    async def main() -> None:
        supervisor = Supervisor()

        async def worker() -> None:
            try:
                await for_ever()
            finally:
                raise OSError("cleanup")

        supervisor.start("worker", worker())
        supervisor.start("bad", fail(ValueError("cause")))
        with pytest.raises(ExceptionGroup) as caught:
            await supervisor.wait()
        assert [str(error) for error in caught.value.exceptions] == ["cause", "cleanup"]

    run(main())


def test_two_tasks_failing_in_one_turn_are_both_reported() -> None:
    async def main() -> None:
        supervisor = Supervisor()
        supervisor.start("a", fail(ValueError("a")))
        supervisor.start("b", fail(ValueError("b")))
        with pytest.raises(ExceptionGroup) as caught:
            await supervisor.wait()
        assert sorted(str(error) for error in caught.value.exceptions) == ["a", "b"]

    run(main())


def test_returning_and_being_cancelled_are_not_errors() -> None:
    async def main() -> None:
        supervisor = Supervisor()
        supervisor.start("returns", asyncio.sleep(0))
        cancelled = supervisor.start("cancelled", for_ever())
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait({cancelled})
        await asyncio.sleep(0)
        assert len(supervisor) == 0
        await supervisor.stop(soon())
        await supervisor.wait()

    run(main())


def test_stop_ends_wait_without_an_error() -> None:
    async def main() -> None:
        supervisor = Supervisor()
        for i in range(3):
            supervisor.start(f"worker {i}", for_ever())
        waiter = asyncio.ensure_future(supervisor.wait())
        await asyncio.sleep(0)
        await supervisor.stop(soon())
        await waiter
        assert len(supervisor) == 0

    run(main())


def test_a_supervised_task_may_stop_the_supervisor_and_its_own_failure_still_counts() -> None:
    async def main() -> None:
        supervisor = Supervisor()

        async def shutdown() -> None:
            await supervisor.stop(soon())
            raise ValueError("after stop")

        supervisor.start("worker", for_ever())
        supervisor.start("shutdown", shutdown())
        with pytest.raises(ExceptionGroup) as caught:
            await supervisor.wait()
        assert [str(error) for error in caught.value.exceptions] == ["after stop"]

    run(main())


def test_a_task_that_will_not_end_is_named_when_the_deadline_passes() -> None:
    async def main() -> None:
        supervisor = Supervisor()
        release = asyncio.Event()

        async def stubborn() -> None:
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue

        supervisor.start("good", for_ever())
        task = supervisor.start("stubborn", stubborn())
        await asyncio.sleep(0)
        with pytest.raises(ExceptionGroup) as caught:
            await supervisor.stop(asyncio.get_running_loop().time() + 0.01)
        assert [str(error) for error in caught.value.exceptions] == ["tasks did not end in time: stubborn"]
        release.set()
        await asyncio.wait({task})

    run(main())


def test_a_task_only_the_supervisor_knows_survives_garbage_collection() -> None:
    async def main() -> None:
        supervisor = Supervisor()
        loop = asyncio.get_running_loop()
        ended: list[int] = []

        def set_result(reference: "weakref.ref[asyncio.Future[None]]") -> None:
            future = reference()
            if future is not None:
                future.set_result(None)

        async def wait_on_a_cycle(i: int) -> None:
            # The future is referenced by this frame alone: task, frame and future are one island of garbage.
            future = loop.create_future()
            loop.call_later(0.02, set_result, weakref.ref(future))
            await future
            ended.append(i)

        for i in range(50):
            supervisor.start(f"worker {i}", wait_on_a_cycle(i))
        while len(supervisor):
            gc.collect()
            await asyncio.sleep(0)
        assert sorted(ended) == list(range(50))

    run(main())


def test_a_task_started_while_stopping_is_refused_and_its_coroutine_closed() -> None:
    async def main() -> None:
        supervisor = Supervisor()
        await supervisor.stop(soon())
        coroutine = for_ever()
        with pytest.raises(AssertionError, match="'late'"):
            supervisor.start("late", coroutine)
        assert coroutine.cr_frame is None

    run(main())
