"""Whose turn it is among clients from the network, when more of them ask than the loop has time for at once.

A loop hands over everything that is there to be read before it looks at anything else. When a thousand clients come at
the same moment, a turn would be a thousand requests long, and carriers and local clients would wait for all of them. So
what clients ask is done at once only while there is credit for it (``stentor.pacing.ration``); the rest waits here in
its order, and is done in slices, one each millisecond. Invariants: while something waits, one callback for the next
slice is under way, and none while nothing does; who is waiting is bounded by whoever puts off, each once at a time.
What a slice spends is counted in time of the processor, or other programs that have it meanwhile would be paid for
here; of single requests it is time that passes, for to ask for the other costs a system call.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from stentor.pacing.ration import Ration

TICK_S: Final = 0.001
"""Between two slices; the loop's timers know no less."""


class Turns:
    """Shares out the time of one loop. Who finds that :attr:`is_spent` puts its work off; who does not says
    :meth:`done` after its work."""

    __slots__ = ("_began_at", "_ended_at", "_is_begun", "_loop", "_newcomers", "_ration", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Callable[[], None]] = deque()
        self._newcomers: deque[Callable[[], bool]] = deque()
        self._began_at = self._ended_at = 0.0
        self._is_begun = False
        self._ration = Ration(time.perf_counter())

    def __len__(self) -> int:
        """How many wait for their turn."""
        return len(self._waiting)

    def saw(self, clients: int) -> None:
        """So many are connected."""
        self._ration.saw(time.perf_counter(), clients)

    @property
    def is_spent(self) -> bool:
        """Is there no time left, or somebody who came before?"""
        now = self._began_at = time.perf_counter()
        return bool(self._waiting or self._newcomers) or self._ration.credit_s(now) <= 0.0

    def done(self, more_s: float = 0.0) -> None:
        """Work that was not put off is done; ``more_s`` is what it will cost in the loop's next turns."""
        self._ration.spend(time.perf_counter() - self._began_at + more_s)

    def put_off(self, work: Callable[[], None]) -> None:
        """Do it when its turn comes, behind what was put off before."""
        self._wait()
        self._waiting.append(work)

    def put_off_newcomers(self, some: Callable[[], bool]) -> None:
        """Let some in with each slice, before the work, until there are no more: ``some`` says so."""
        self._wait()
        self._newcomers.append(some)

    def shut_out(self) -> None:
        """Nobody is let in any more."""
        self._newcomers.clear()

    def _wait(self) -> None:
        if not self._is_begun:
            self._is_begun = True
            self._ration.look(time.perf_counter(), has_waited=False)
            self._ended_at = time.thread_time()
            self._loop.call_later(TICK_S, self._next)

    def _next(self) -> None:
        waiting, newcomers, ration = self._waiting, self._newcomers, self._ration
        now, began_at = time.perf_counter(), time.thread_time()
        ration.look(now, has_waited=True)
        ends_at = now + ration.slice_s(now, began_at - self._ended_at)
        try:
            if now < ends_at:
                for some in tuple(newcomers):
                    if not some():
                        newcomers.remove(some)
                while waiting and time.perf_counter() < ends_at:
                    waiting.popleft()()
        finally:
            self._ended_at = time.thread_time()
            ration.spend(self._ended_at - began_at)
            # Also when some work raises, which is then the loop's to tell.
            self._is_begun = bool(waiting or newcomers)
            if self._is_begun:
                if ration.urgency < 1.0:
                    self._loop.call_later(TICK_S, self._next)
                else:
                    self._loop.call_soon(self._next)
