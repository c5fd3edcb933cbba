"""What expires next among the messages that wait in the journal alone, so that each ends on time.

Looking for what expires means going through an index of all that waits; so it is done ahead, every half a minute, and
what will expire until then is remembered by key. Nothing is paid while nothing expires.

Invariant: whatever waits in the journal alone and expires before ``known_until_ms`` is in here. When more is to be
remembered than there is room for, what expires last is dropped, and the journal is asked again by then.
"""

import heapq
from collections.abc import Iterable


class Expiries:
    """At most ``limit`` keys, earliest expiry first. A key may stand here twice, or no longer wait: whoever ends a
    message looks first."""

    __slots__ = ("_heap", "known_until_ms", "limit")

    def __init__(self, limit: int) -> None:
        assert limit >= 2, "room for one when the later half is dropped"
        self.limit = limit
        self.known_until_ms = 0
        self._heap: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def next_ms(self) -> int:
        """When the next of them expires, 0 for none."""
        return self._heap[0][0] if self._heap else 0

    def expect(self, key: int, expires_at_ms: int) -> None:
        """A message waits in the journal alone from now on."""
        if 0 < expires_at_ms < self.known_until_ms:
            heapq.heappush(self._heap, (expires_at_ms, key))
            if len(self._heap) > self.limit:
                self._shorten()

    def _shorten(self) -> None:
        """Keep the half that expires first, and know of nothing beyond it."""
        self._heap.sort()
        kept = self._heap[: self.limit // 2]
        self.known_until_ms = kept[-1][0]
        self._heap = [entry for entry in kept if entry[0] < self.known_until_ms]

    def found(self, expiring: Iterable[tuple[int, int]], known_until_ms: int) -> None:
        """The journal was asked: pairs of expiry and key, complete until ``known_until_ms``."""
        self.known_until_ms = min(self.known_until_ms, known_until_ms)
        for expires_at_ms, key in expiring:
            self.expect(key, expires_at_ms)

    def due(self, now_ms: int, limit: int) -> list[int]:
        """Keys of up to ``limit`` that have expired, each once, the earliest first; they are forgotten."""
        heap = self._heap
        keys: dict[int, None] = {}
        while heap and heap[0][0] <= now_ms and len(keys) < limit:
            keys[heapq.heappop(heap)[1]] = None
        return list(keys)
