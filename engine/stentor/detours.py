"""A message that was refused for no fault of its own looks for another way.

A refusal that reaches as far as a lane or a channel (``Scope``) says nothing about the message it met: that goes to
another lane, then to the next channel of its route. What is known of its search is one :class:`Detour`, kept while the
message is in memory; after a restart it is tried everywhere anew.
"""

import msgspec

from stentor.lanes import Lane
from stentor.outcome import Scope


class Detour(msgspec.Struct):
    """Channels a message goes to no more, lanes that refused it, and channels whose refusal counted as an attempt."""

    avoided: set[str] = msgspec.field(default_factory=set)
    lanes: set[tuple[str, str]] = msgspec.field(default_factory=set)
    counted: set[str] = msgspec.field(default_factory=set)

    def refused(self, lane: Lane, scope: Scope) -> None:
        """``lane`` refused the message: it is asked no more, nor is its channel once no other lane is left there."""
        channel = lane.channel
        name = (channel.name, lane.key)
        is_refused_again = name in self.lanes
        self.lanes.add(name)
        others = (other.key for other in channel.lanes.values() if other.window.offered and other is not lane)
        is_left = any((channel.name, key) not in self.lanes for key in others)
        if scope is not Scope.LANE or is_refused_again or not is_left:
            self.avoided.add(channel.name)

    def counts(self, channel: str) -> bool:
        """Is this the first attempt that ``channel`` refused? It counts; those on its other lanes do not."""
        if channel in self.counted:
            return False
        self.counted.add(channel)
        return True
