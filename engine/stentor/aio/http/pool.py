"""Who may use a connection now, and which: permits for requests, and the connections nobody uses.

A request holds a permit of its origin from before it has a connection until it has given it back. Invariants: permits
given out never exceed the limits; who waits is served in turn within an origin, and origins in turn; a connection is
either in the hands of one permit or idle in its origin; an origin with neither permits, waiters nor idle connections
is forgotten.
"""

import asyncio
from collections import deque
from typing import Final

from stentor.aio.http.link import Link

FRESH_S: Final = 0.05
"""No server gives up a connection so soon after an answer."""


class Origin:
    """One scheme, host and port. ``idle`` has the newest last."""

    __slots__ = ("idle", "in_use", "key", "waiters")

    def __init__(self, key: str) -> None:
        self.key = key
        self.in_use = 0
        self.idle: list[Link] = []
        self.waiters: deque[asyncio.Future[None]] = deque()


class Pool:
    """All origins of a client."""

    def __init__(self, limit: int, limit_per_origin: int) -> None:
        assert limit > 0
        assert limit_per_origin > 0
        self._limit = limit
        self._limit_per_origin = limit_per_origin
        self._origins: dict[str, Origin] = {}
        self._ready: dict[Origin, None] = {}  # origins that wait for the whole limit only, in turn
        self.in_use = 0
        self.waiting = 0
        self.idle = 0

    async def enter(self, key: str) -> Origin:
        """A permit, at once or in turn. Raises CancelledError only, and then there is none."""
        origin = self._origins.get(key)
        if origin is None:
            origin = self._origins[key] = Origin(key)
        if self.in_use < self._limit and origin.in_use < self._limit_per_origin and not origin.waiters:
            self.in_use += 1
            origin.in_use += 1
            return origin
        waiter = asyncio.get_running_loop().create_future()
        origin.waiters.append(waiter)
        self.waiting += 1
        self._note(origin)
        try:
            await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():
                self.leave(origin)  # it was given to us in the same moment
            elif waiter in origin.waiters:
                origin.waiters.remove(waiter)
                self.waiting -= 1
                self._note(origin)
                self._forget(origin)
            raise
        return origin

    def seize(self, key: str, now: float) -> tuple[Origin, Link] | None:
        """A permit and an idle connection together, if both can be had at once: for what may be repeated, because one
        that was used a moment ago is not looked at again."""
        origin = self._origins.get(key)
        if (
            origin is None
            or not origin.idle
            or origin.waiters
            or self.in_use >= self._limit
            or origin.in_use >= self._limit_per_origin
        ):
            return None
        newest = origin.idle[-1]
        if newest.is_open and now - newest.idle_at < min(FRESH_S, newest.idle_s):
            link: Link | None = origin.idle.pop()
            self.idle -= 1
        else:
            link = self.take(origin, now)
        if link is None:
            return None
        self.in_use += 1
        origin.in_use += 1
        return origin, link

    def leave(self, origin: Origin, link: Link | None = None) -> None:
        """Give a permit back, and with it a connection that can be used again."""
        if link is not None:
            origin.idle.append(link)
            self.idle += 1
        self.in_use -= 1
        origin.in_use -= 1
        if self.waiting:
            self._note(origin)
            self._serve()
        self._forget(origin)

    def take(self, origin: Origin, now: float) -> Link | None:
        """The newest idle connection that can still be used. What came too late over others has closed them."""
        idle = origin.idle
        for position in range(len(idle) - 1, -1, -1):
            link = idle[position]
            if now - link.idle_at < link.idle_s and link.is_quiet():
                del idle[position]
                self.idle -= 1
                return link
        return None

    def let_all_in(self) -> None:
        """From now on nobody waits: the client is closed and has nothing to give."""
        self._limit = self._limit_per_origin = 1 << 62
        for origin in self._origins.values():
            self._note(origin)
        self._serve()

    def discard(self, link: Link) -> bool:
        """The connection is gone. True if it was idle."""
        origin = self._origins.get(link.origin)
        if origin is None or link not in origin.idle:
            return False
        origin.idle.remove(link)
        self.idle -= 1
        self._forget(origin)
        return True

    def expired(self, now: float) -> list[Link]:
        """Idle connections that have been kept for long enough."""
        return [
            link
            for origin in self._origins.values()
            for link in origin.idle
            if now - link.idle_at >= link.idle_s
        ]

    def oldest(self) -> Link | None:
        """The connection that has been idle for the longest."""
        oldest = [origin.idle[0] for origin in self._origins.values() if origin.idle]
        return min(oldest, key=lambda link: link.idle_at, default=None)

    def _note(self, origin: Origin) -> None:
        if origin.waiters and origin.in_use < self._limit_per_origin:
            self._ready.setdefault(origin)
        else:
            self._ready.pop(origin, None)

    def _serve(self) -> None:
        while self._ready and self.in_use < self._limit:
            origin = next(iter(self._ready))
            del self._ready[origin]
            waiter = origin.waiters.popleft()
            self.waiting -= 1
            if not waiter.done():  # else it was cancelled, and its task has not run since
                self.in_use += 1
                origin.in_use += 1
                waiter.set_result(None)
            self._note(origin)
            self._forget(origin)

    def _forget(self, origin: Origin) -> None:
        if not (origin.in_use or origin.waiters or origin.idle):
            self._origins.pop(origin.key, None)
