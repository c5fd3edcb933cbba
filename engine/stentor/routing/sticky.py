"""What a destination got last, for as long as it is to get the same again: a channel, an originator.

Bounded: the destinations used longest ago are forgotten first, and a restart forgets all.
"""

from collections.abc import Hashable


class Sticky:
    """At most ``limit`` choices by key, each with the moment it is forgotten at."""

    __slots__ = ("_held", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held: dict[Hashable, tuple[str, int]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: Hashable, now_ms: int) -> str | None:
        """What was chosen for the key, unless that is too long ago."""
        found = self._held.get(key)
        return found[0] if found is not None and found[1] > now_ms else None

    def put(self, key: Hashable, choice: str, until_ms: int) -> None:
        """Remember a choice, or remember it longer."""
        held = self._held
        held.pop(key, None)
        held[key] = (choice, until_ms)
        while len(held) > self.limit:
            del held[next(iter(held))]
