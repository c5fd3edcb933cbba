"""How much streams may bring until the next commit, and which of them wait to bring it.

Streams are read as fast as what they bring leaves again: what lanes want to have at hand comes first; beyond that,
lanes that send fast are given about as much as they sent, so that it need not be written out of memory and read again,
and slow ones a little with each commit, for the backlog may grow. A stream notices that enough was brought only after
its last read, so many streams bring more than they may; that is owed, and is kept back from the next commits.

Invariant: whoever waits is resumed, the longest waiting first, as soon as there is room or nothing is left to write.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from stentor.dispatch.dispatcher import Dispatcher

ROWS: Final = 500
"""New messages that streams may bring for each commit while the lanes have enough to do and send slowly."""
SHARE: Final = 0.9
"""While the lanes have enough to do and send fast, streams may bring this many for each message that left."""
FAST_S: Final = 5.0
"""Lanes send fast that would send all that is in memory in this time."""
SMOOTHING_S: Final = 0.5
"""How far back the pace of sending is looked at."""
RECENT_S: Final = 0.25
"""Without a commit for so long, lanes do not send fast."""
MOST: Final = 10_000
"""New messages of one commit, at most, that lanes are waiting for."""


class Inflow:
    """What streams may bring. ``waiting_rows`` are new messages that wait for their commit, times are monotonic."""

    __slots__ = (
        "_at",
        "_batches",
        "_brought",
        "_dispatcher",
        "_is_resuming",
        "_left",
        "_pace",
        "_sent",
        "_waiting",
    )

    def __init__(self, dispatcher: Dispatcher, now: float) -> None:
        self._dispatcher = dispatcher
        self._left = ROWS
        self._at = now
        self._sent = 0
        self._pace = 0.0
        self._brought = self._batches = 0
        self._waiting: deque[Callable[[], None]] = deque()
        self._is_resuming = False

    @property
    def is_exhausted(self) -> bool:
        """Streams are not to be read until :meth:`wait` says so. While some wait, the others wait behind them."""
        return not self._is_resuming and (self._left <= 0 or bool(self._waiting))

    def brought(self, count: int) -> None:
        """So many new messages came at once."""
        self._left -= count
        self._brought += count
        self._batches += 1

    def wait(self, resume: Callable[[], None]) -> None:
        """Call ``resume`` once, when there is room again."""
        self._waiting.append(resume)

    def committed(self, waiting_rows: int, now: float) -> None:
        """A commit is durable: work out what may come until the next."""
        dispatcher = self._dispatcher
        left = dispatcher.settler.counters["sent"] - self._sent
        self._sent += left
        elapsed_s = max(now - self._at, 0.0001)
        self._at = now
        self._pace += (left / elapsed_s - self._pace) * min(1.0, elapsed_s / SMOOTHING_S)
        allowed = int(left * SHARE)
        if not self._is_fast(now):
            allowed = max(allowed, ROWS)
        # Never so much that it would fill memory up, nor make the commit long that lanes wait for.
        backlog = dispatcher.backlog
        wanted = min(dispatcher.wanted, MOST, backlog.limit // 2 - len(backlog.open)) - waiting_rows
        self._left = min(self._left, 0) + allowed
        if wanted > 0:
            self._left = max(self._left, wanted)

    def _is_fast(self, now: float) -> bool:
        """The lanes send fast, and did so just now."""
        return now - self._at < RECENT_S and len(self._dispatcher.backlog.open) <= FAST_S * self._pace

    def idle(self, now: float) -> bool:
        """There is nothing to write. If no commit is to be expected, what is owed is forgiven, and some may go on; True
        if more of them wait for their turn."""
        if self._dispatcher.settler.flights and self._is_fast(now):
            return False
        self._left = max(self._left, ROWS)
        self.resume_some()
        return bool(self._waiting)

    def resume_some(self) -> None:
        """Let as many go on as there is room for, if each brings what streams bring at once. Some have it at hand, and
        bring it in this moment."""
        usual = self._brought // self._batches if self._batches else ROWS
        self._brought = self._batches = 0
        room, waited = self._left, len(self._waiting)
        self._is_resuming = True
        try:
            while room > 0 and waited:
                left, waited = self._left, waited - 1
                self._waiting.popleft()()
                room -= max(1, usual, left - self._left)
        finally:
            self._is_resuming = False
