"""One after the other: the binds of one login go through here before each attempt to connect.

After a carrier's restart all sessions of a channel would come back in the same second; here they come spaced. After a
refused login one bind alone tries again, and the others wait until it is let in. Waits in turn; no attempt of a bind
that goes away is lost to the others.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

SPACING_S: Final = 0.1
"""Mean distance of two attempts; jitter moves each by a quarter of it."""
AT_ONCE: Final = 4
"""Attempts that need not be spaced after a quiet time: few sessions are no storm."""


class Turnstile:
    """Of one login. ``now`` and ``chance`` are the host's clock and randomness."""

    __slots__ = (
        "_chance",
        "_even_at",
        "_is_open",
        "_is_tried",
        "_next_at",
        "_now",
        "_pause_s",
        "_timer",
        "_waiting",
        "is_barred",
        "refusals",
    )

    def __init__(self, now: Callable[[], float], chance: Callable[[], float]) -> None:
        self._now = now
        self._chance = chance
        self._next_at = 0.0
        # When the attempts so far would have been made at an even pace.
        self._even_at = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._is_open = False
        # While barred, one bind at a time tries whether the login is good again.
        self.is_barred = False
        self._is_tried = False
        self._pause_s = 0.0
        # Refusals one after the other, whichever bind met them.
        self.refusals = 0

    async def pass_through(self) -> None:
        """Return when it is the caller's turn to try."""
        now = self._now()
        if self._is_open or (not self._waiting and now >= self._next_at):
            self._take(now)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._arm()
        try:
            await turn
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)
                self._arm()

    def refused(self, pause_s: float) -> None:
        """The login is not wanted: nobody tries before ``pause_s`` have passed, and then one bind alone."""
        if self.is_barred and not self._is_tried:
            return  # the answer to an attempt that was under way when the first was refused
        self.is_barred, self._is_tried = True, False
        self.refusals += 1
        self._pause_s = pause_s
        self._next_at = self._now() + pause_s
        self._arm()

    def lost(self) -> None:
        """An attempt ended without a word about the login."""
        if self._is_tried:
            self._is_tried = False
            self._next_at = self._now() + SPACING_S
            self._arm()

    def welcome(self) -> None:
        """A bind was let in: the login is good."""
        self.refusals = 0
        if self.is_barred:
            self.is_barred = self._is_tried = False
            self._next_at = self._now()
            self._arm()

    def open(self) -> None:
        """Everybody goes through, for good: the channel ends."""
        self._is_open = True
        while self._waiting:
            self._release()
        self._arm()

    def _take(self, now: float) -> None:
        if self.is_barred:
            self._is_tried = True
            self._next_at = now + self._pause_s
        else:
            self._even_at = max(self._even_at, now) + SPACING_S * (0.75 + self._chance() / 2)
            self._next_at = self._even_at - (AT_ONCE - 1) * SPACING_S

    def _release(self) -> None:
        turn = self._waiting.popleft()
        if not turn.done():
            turn.set_result(None)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            wait_s = max(0.0, self._next_at - self._now())
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._turn)

    def _turn(self) -> None:
        self._timer = None
        now = self._now()
        if self._waiting and now >= self._next_at:
            self._take(now)
            self._release()
        self._arm()
