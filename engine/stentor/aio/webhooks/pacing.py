"""Who of the webhooks may start deliveries, and when: the periods of ``stentor.webhooks.pace``, timed by the loop.

Whoever asks is served once a turn of the loop, so that what a turn brings to start is started in one go. Invariant:
while somebody waits, the next turn or the end of a period serves it.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from stentor.webhooks.pace import PERIOD_S, Pace

AT_A_TIME: Final = 32
"""Deliveries that one webhook starts before it is the next one's turn."""


class Starter(Protocol):
    """A webhook with something to start."""

    def start_some(self, most: int) -> int:
        """Start deliveries, ``most`` if there are so many; how many were started."""


class Starts:
    """Lets webhooks start deliveries as the pace allows, each in turn. Belongs to one loop.

    ``newest`` tells the newest event that was committed."""

    __slots__ = ("_closed", "_is_due", "_loop", "_newest", "_waiting", "pace")

    def __init__(self, newest: Callable[[], int]) -> None:
        self.pace = Pace()
        self._closed: asyncio.Event | None = None
        self._is_due = False
        self._newest = newest
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[Starter, None] = {}

    def ask(self, starter: Starter) -> None:
        """There may be something to start: it is asked for soon, or when there is room again."""
        self._waiting[starter] = None
        if not self._is_due and self.pace.room:
            self._is_due = True
            self._loop.call_soon(self._serve)

    def leave(self, starter: Starter) -> None:
        """It starts nothing any more."""
        self._waiting.pop(starter, None)

    def close(self) -> asyncio.Event:
        """From now on nobody starts anything; the event is set after somebody asked to, as all do after an outcome."""
        self._closed = asyncio.Event()
        return self._closed

    def _serve(self) -> None:
        self._is_due = False
        if self._closed is not None:
            self._closed.set()
            return
        pace, waiting = self.pace, self._waiting
        while waiting and pace.room:
            starter = next(iter(waiting))
            del waiting[starter]
            most = min(AT_A_TIME, pace.room)
            started = starter.start_some(most)
            pace.start(started)
            if started == most:
                waiting[starter] = None
        if pace.has_started and not pace.is_running:
            pace.begin(self._loop.time())
            self._loop.call_later(PERIOD_S, self._turn)

    def _turn(self) -> None:
        if self.pace.turn(self._loop.time(), self._newest()):
            self._loop.call_later(PERIOD_S, self._turn)
        self._serve()
