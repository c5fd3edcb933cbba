"""How long a new message would wait before it leaves: from what stands before it, and from how fast things leave now.

An estimate, made on the side of lateness: all that waits for the channels of its route at its own or a better priority
counts as standing before it, in messages, and worse priorities take the share they are guaranteed.
"""

from math import inf
from typing import Final

from stentor.dispatch import Dispatcher
from stentor.lanes import Channel
from stentor.message import Message
from stentor.parking import Parking
from stentor.quota import PERIOD_S
from stentor.scheduler import SHARES, UNIT

_FREE: Final = 1
"""Fewer than this many before it are nobody."""


def wait_s(dispatcher: Dispatcher, message: Message, now: float) -> float:
    """Seconds until the message could leave; ``inf`` while no channel of its route is up."""
    channels = [
        channel
        for name in message.route
        if (channel := dispatcher.channels.get(name)) is not None and channel.is_up
    ]
    if not channels:
        return inf
    return max(_queue_s(dispatcher, message, channels, now), _limits_s(dispatcher, message, channels[0]))


def _queue_s(dispatcher: Dispatcher, message: Message, channels: list[Channel], now: float) -> float:
    """What stands before it at the rate of its channels."""
    names = {channel.name for channel in channels}
    before = 0
    worse = 0
    for queue in dispatcher.backlog.queues():
        waiting = queue.active + queue.behind
        if not waiting or names.isdisjoint(queue.key.route) or queue.key.strand < 0:
            continue
        if queue.key.priority <= message.priority:
            before += waiting
        else:
            worse |= 1 << queue.key.priority
    if before < _FREE:
        return 0.0
    rate = sum(_rate(channel, now) for channel in channels)
    share = sum(part for priority, part in SHARES.items() if worse >> priority & 1)
    # Nothing has left yet and nothing is known of how fast it might: no reason to refuse anything.
    return before / (rate * (1 - share / UNIT)) if rate else 0.0


def _rate(channel: Channel, now: float) -> float:
    """Segments a second that leave over a channel, or may by its rate while none did."""
    return channel.pace.rate(now) or channel.rate


def _limits_s(dispatcher: Dispatcher, message: Message, channel: Channel) -> float:
    """What is parked before it, at the pace of the limit it waits for."""
    if not isinstance(channel.parking, Parking):
        return 0.0
    longest_s = 0.0
    for limit in dispatcher.restraint.gate.limits_of(channel.name):
        values = limit.values(message, channel.name)
        if values is not None and (parked := channel.parking.waiting_for(limit, values)):
            longest_s = max(longest_s, parked * PERIOD_S[limit.rule.every] / limit.rule.limit)
    return longest_s
