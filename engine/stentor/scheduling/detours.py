"""A message that was refused for no fault of its own, or put off, looks for another way.

A refusal that reaches as far as a lane or a channel (``Scope``) says nothing about the message it met: that goes to
another lane, then to the next channel of its route. A message that a channel puts off is tried at the next one when its
pause is over; when all have put it off, at the first again. What is known of its search is one :class:`Detour`, kept
while the message is in memory; after a restart it is tried everywhere anew.
"""

from collections.abc import MutableMapping

import msgspec

from stentor.message import Message
from stentor.outcome import Scope
from stentor.scheduling.lanes import Lane


class Detour(msgspec.Struct):
    """Channels a message goes to no more, lanes that refused it, and channels whose refusal counted as an attempt.
    ``spared`` are those that put it off: it goes there only if no other is up."""

    avoided: set[str] = msgspec.field(default_factory=set)
    lanes: set[tuple[str, str]] = msgspec.field(default_factory=set)
    counted: set[str] = msgspec.field(default_factory=set)
    spared: set[str] = msgspec.field(default_factory=set)

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


def put_off(detours: MutableMapping[int, Detour], message: Message) -> None:
    """The message's channel takes it later, perhaps; another may take it sooner. What has begun to leave stays."""
    route = message.route
    if len(route) == 1 or message.segment_list:
        return
    detour = detours.setdefault(message.key, Detour())
    detour.spared.add(message.channel)
    if detour.spared.issuperset(set(route) - detour.avoided):
        detour.spared.clear()
