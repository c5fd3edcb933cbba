"""A timer to the microsecond, and what a peer does later by it: the event loop's own rounds up to whole milliseconds,
which an SMSC 20 ms away must not.
"""

import ctypes
import heapq
import os
import time
from collections.abc import Callable
from typing import Any, Final

import trio

_MONOTONIC: Final = 1
_NONBLOCK_CLOEXEC: Final = os.O_NONBLOCK | os.O_CLOEXEC
_ABSOLUTE: Final = 1
_libc: Final = ctypes.CDLL(None, use_errno=True)


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


class Timer:
    """One timerfd(2) on the machine's monotonic clock."""

    def __init__(self) -> None:
        self._fd = _libc.timerfd_create(_MONOTONIC, _NONBLOCK_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")

    def set(self, at: float) -> None:
        """Fire at ``at``, seconds of ``time.monotonic()``, or at once when that is over; replaces what was
        set.
        """
        nanoseconds = max(1, round(at * 1e9))  # all zeros would switch it off
        spec = _TimerSpec(_TimeSpec(0, 0), _TimeSpec(*divmod(nanoseconds, 1_000_000_000)))
        if _libc.timerfd_settime(self._fd, _ABSOLUTE, ctypes.byref(spec), None) < 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def close(self) -> None:
        os.close(self._fd)

    async def wait(self) -> None:
        """Until it fires."""
        while True:
            await trio.lowlevel.wait_readable(self._fd)
            try:
                os.read(self._fd, 8)
            except BlockingIOError:
                continue  # it was set anew in between
            return


class Agenda:
    """Calls to come, in the order of their moments. ``turned`` is called whenever some of them have been made."""

    def __init__(self, turned: Callable[[], object]) -> None:
        self._turned = turned
        self._timer = Timer()
        self._heap: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._entries = 0

    def later(self, delay_s: float, function: Callable[..., object], *arguments: Any) -> None:
        """Call ``function(*arguments)`` after a delay; at the same moment in the order of asking."""
        self._entries += 1
        entry = (time.monotonic() + delay_s, self._entries, function, arguments)
        heapq.heappush(self._heap, entry)
        if self._heap[0] is entry:
            self._timer.set(entry[0])

    async def run(self) -> None:
        """Until cancelled."""
        heap = self._heap
        while True:
            await self._timer.wait()
            now = time.monotonic()
            while heap and heap[0][0] <= now:
                _, _, function, arguments = heapq.heappop(heap)
                function(*arguments)
            self._turned()
            if heap:
                self._timer.set(heap[0][0])

    def close(self) -> None:
        """To be called once nothing runs any more."""
        self._timer.close()
