"""How long one turn of the loop may be busy with what the network asks: the rest waits for the next, in its order.

A loop hands over everything that is there to be read before it looks at anything else. When a thousand clients come at
the same moment, a turn would be a thousand requests long, and carriers and local clients would wait for all of them.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

SLICE_S: Final = 0.001
"""Some five requests. A turn itself costs a twentieth of it, and a message on its way needs six turns: read, written to
the journal, told, decided and handed over. With a third of it phones' requests cost more than the line gained."""
CLOSE_S: Final = 0.0001
"""Between two requests that were there together lies one read; between two turns of a loop that has nothing else to do
lies more than this."""
LONGEST_S: Final = 0.02
"""While some wait, a slice is as long as what else the loop did since the last, up to this: under load the network has
half of the time, and who waits does not wait ever longer. That is counted in time of the processor, or other programs
that have it meanwhile would make slices longer, and everybody else later still."""


class Turns:
    """Shares out the turns of one loop. Who finds that :attr:`is_spent` puts its work off; each once at a time. Who
    does not says :meth:`done` after its work."""

    __slots__ = ("_done_at", "_ended_at", "_ends_at", "_is_begun", "_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Callable[[], None]] = deque()
        self._ends_at = self._ended_at = self._done_at = 0.0
        self._is_begun = False

    @property
    def is_spent(self) -> bool:
        """Is there no time left in this turn?"""
        now = time.perf_counter()
        if self._is_begun:
            return bool(self._waiting) or now >= self._ends_at
        if now - self._done_at < CLOSE_S:
            self._begin(SLICE_S)
        return False

    def done(self) -> None:
        """Work that was not put off is done."""
        self._done_at = time.perf_counter()

    def put_off(self, work: Callable[[], None]) -> None:
        """Do it in one of the next turns, behind what was put off before. ``is_spent`` was asked just before."""
        self._waiting.append(work)

    def _begin(self, slice_s: float) -> None:
        self._is_begun = True
        self._ends_at = time.perf_counter() + slice_s
        self._loop.call_soon(self._next)

    def _next(self) -> None:
        self._is_begun = False
        waiting = self._waiting
        if not waiting:
            return
        # Before the work, so that what it raises stops nobody else's.
        elsewhere_s = time.thread_time() - self._ended_at if self._ended_at else 0.0
        self._begin(max(SLICE_S, min(LONGEST_S, elsewhere_s)))
        ends_at = self._ends_at
        try:
            while waiting:
                waiting.popleft()()
                if time.perf_counter() >= ends_at:
                    return
        finally:
            self._ended_at = time.thread_time() if waiting else 0.0
