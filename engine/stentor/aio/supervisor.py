"""The one place where tasks are made, so that none can vanish and none can fail in silence.

An event loop holds its tasks weakly and reports an exception only when the task is collected. The supervisor
holds each task until it ended and looks at how it ended. Invariants: a task is in ``_tasks`` exactly while it
runs; every exception but cancellation is in ``_errors`` until ``wait`` or ``stop`` raised it.
"""

import asyncio
from collections.abc import Coroutine


class Supervisor:
    """Starts tasks, ends at the first that fails, and stops the rest in the reverse order of their start.

    ``grace_s`` bounds the unwinding after a failure, when nobody is there to name a deadline.
    """

    def __init__(self, grace_s: float = 10.0) -> None:
        self._grace_s = grace_s
        self._tasks: dict[asyncio.Task[None], None] = {}  # a set that remembers the order of start
        self._errors: list[BaseException] = []
        self._stopping = False
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """How many tasks run now."""
        return len(self._tasks)

    def start(self, name: str, coroutine: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run ``coroutine`` as a task. It may return or be cancelled through the task; raising ends ``wait``.

        Starting a task while the supervisor stops is a bug of the caller.
        """
        if self._stopping:
            coroutine.close()
            raise AssertionError(f"task {name!r} started while the supervisor stops")
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        return task

    async def wait(self) -> None:
        """Return when ``stop`` has ended every task; at the first failure stop the others and raise.

        Raises an ExceptionGroup of all exceptions there were, each with a note naming its task.
        """
        while not self._errors and not (self._stopping and not self._tasks):
            self._changed.clear()
            await self._changed.wait()
        if self._errors:
            await self._unwind(asyncio.get_running_loop().time() + self._grace_s)
        self._raise_errors()

    async def stop(self, deadline: float) -> None:
        """Cancel and await each task, the latest first, until ``deadline`` on the loop's clock.

        Raises an ExceptionGroup of what the tasks raised while ending, with a TimeoutError that names those
        that did not end in time. May be called from a supervised task, which is then left to end by itself.
        """
        await self._unwind(deadline)
        self._raise_errors()

    async def _unwind(self, deadline: float) -> None:
        self._stopping = True
        self._changed.set()
        me = asyncio.current_task()
        loop = asyncio.get_running_loop()
        # One at a time: what was started later leans on what was started before it, also in its last moments.
        for task in reversed([task for task in self._tasks if task is not me]):
            task.cancel()
            # The task is looked at in _ended; asyncio.wait neither raises for it nor cancels it again.
            await asyncio.wait({task}, timeout=max(0.0, deadline - loop.time()))
        await asyncio.sleep(0)  # _ended of the last task runs in the turn after its end
        late = [task.get_name() for task in self._tasks if task is not me]
        if late:
            self._errors.append(TimeoutError(f"tasks did not end in time: {', '.join(late)}"))

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        self._changed.set()
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            error.add_note(f"in task {task.get_name()!r}")
            self._errors.append(error)

    def _raise_errors(self) -> None:
        errors, self._errors = self._errors, []
        if errors:
            raise BaseExceptionGroup("tasks failed", errors)
