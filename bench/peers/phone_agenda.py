"""What is to happen when, for all phones of a fleet; time is told by whoever runs it."""

import heapq
from collections.abc import Callable
from typing import Any


class Agenda:
    """A heap of calls. Nothing is ever taken out: a call whose reason is gone finds that out itself."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._entries = 0

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def next_at(self) -> float | None:
        """When the next call is due, monotonic seconds; None when there is none."""
        return self._heap[0][0] if self._heap else None

    def add(self, at: float, function: Callable[..., object], *arguments: Any) -> None:
        """Call ``function(now, *arguments)`` at ``at``; at the same moment in the order of asking."""
        self._entries += 1
        heapq.heappush(self._heap, (at, self._entries, function, arguments))

    def run(self, now: float) -> None:
        """Everything that is due, each told its own moment, so that what a phone does follows from the seed alone."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            at, _, function, arguments = heapq.heappop(heap)
            function(at, *arguments)
