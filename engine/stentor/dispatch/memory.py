"""What drivers ask to be remembered beyond restarts: values by channel and name, in memory and in the journal.

Bounded for each channel by names and by octets; what goes beyond is refused, because nothing of it can be dropped in
silence. What a channel kept is held when it leaves the configuration, until it comes back and forgets it.
"""

from collections.abc import Mapping
from typing import Final

from stentor.errors import Overloaded
from stentor.settling.ledger import Ledger

NAMES: Final = 100_000
"""Names a channel may keep."""
OCTETS: Final = 64 * 1024 * 1024
"""Names and values of a channel together: all of it is held in memory and read at the start."""
NAME_OCTETS: Final = 255
VALUE_OCTETS: Final = 64 * 1024


class Memory:
    """Everything that is kept. ``recovered`` is what the journal held, by channel and name; it is taken over."""

    __slots__ = ("_kept", "_ledger", "_octets")

    def __init__(self, ledger: Ledger, recovered: dict[str, dict[str, bytes]]) -> None:
        self._ledger = ledger
        self._kept = recovered
        self._octets = {
            channel: sum(_size(name, value) for name, value in kept.items())
            for channel, kept in recovered.items()
        }

    def kept(self, channel: str) -> Mapping[str, bytes]:
        """What the channel keeps now, as a map of its own that later changes leave alone."""
        return dict(self._kept.get(channel, ()))

    def keep(self, channel: str, name: str, value: bytes | None) -> None:
        """Remember a value, None to forget it. It is durable with the commit that is being filled.

        Raises Overloaded when the channel may not keep so much.
        """
        assert 0 < len(name.encode()) <= NAME_OCTETS, f"a name has 1 to {NAME_OCTETS} octets: {name!r}"
        kept = self._kept.setdefault(channel, {})
        before = kept.get(name)
        if value == before:
            return
        octets = self._octets.get(channel, 0) - (0 if before is None else _size(name, before))
        if value is None:
            del kept[name]
        else:
            value = bytes(value)
            assert len(value) <= VALUE_OCTETS, f"a value has at most {VALUE_OCTETS} octets: {name!r}"
            octets += _size(name, value)
            if octets > OCTETS or (before is None and len(kept) >= NAMES):
                raise Overloaded(
                    "memory_full", f"{channel} may keep {NAMES} names and {OCTETS} octets", retry_after_s=60
                )
            kept[name] = value
        self._octets[channel] = octets
        self._ledger.commit.memory[channel, name] = value


def _size(name: str, value: bytes) -> int:
    return len(name.encode()) + len(value)
