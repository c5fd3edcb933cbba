"""How long a new message would wait before it leaves: from what stands before it, and from how fast things leave now.

An estimate, made on the side of lateness: all that waits for the channels of its route at its own or a better priority
counts as standing before it, in messages, and worse priorities take the share they are guaranteed. What waits for a
rate limit keeps nobody back, so it counts for those alone that the same limit concerns.
"""

from math import inf
from typing import Final

from stentor.dispatch.dispatcher import Dispatcher
from stentor.message import Message, Priority
from stentor.pacing.gate import Limit, Values
from stentor.pacing.pace import SPAN_S
from stentor.pacing.quota import PERIOD_S, Allowance
from stentor.scheduling.lanes import Channel
from stentor.scheduling.parking import Parking
from stentor.scheduling.scheduler import SHARES, UNIT

_FREE: Final = 1
"""Fewer than this many before it are nobody."""


def wait_s(dispatcher: Dispatcher, message: Message, now: float, wall_ms: int) -> float:
    """Seconds until the message could leave; ``inf`` while no channel of its route is up."""
    channels = [
        channel
        for name in message.route
        if (channel := dispatcher.channels.get(name)) is not None and channel.is_up
    ]
    if not channels:
        return inf
    return max(
        _queue_s(dispatcher, message, channels, now, wall_ms),
        _limits_s(dispatcher, message, channels[0], now, wall_ms),
    )


def _queue_s(
    dispatcher: Dispatcher, message: Message, channels: list[Channel], now: float, wall_ms: int
) -> float:
    """What stands before it at the rate of its channels."""
    names = {channel.name for channel in channels}
    before = -sum(_parked(channel, message.priority) for channel in channels)
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
    rate = sum(_rate(channel, now, wall_ms) for channel in channels)
    share = sum(part for priority, part in SHARES.items() if worse >> priority & 1)
    # Nothing has left yet and nothing is known of how fast it might: no reason to refuse anything.
    return before / (rate * (1 - share / UNIT)) if rate else 0.0


def _parked(channel: Channel, priority: Priority) -> int:
    """Messages of a priority and better ones that wait for rate limits in a channel."""
    if not isinstance(channel.parking, Parking):
        return 0
    return sum(
        lot.queue.count(each) for lot in channel.parking.lots() for each in Priority if each <= priority
    )


def _rate(channel: Channel, now: float, wall_ms: int) -> float:
    """Segments a second that leave over a channel while messages wait for it; 0 if that is not known.

    What left lately tells only if something waited all the time. A channel that had little to do may go as fast as it
    is allowed to.
    """
    pace = channel.pace.rate(now)
    waiting = [due_ms for each in Priority if (due_ms := channel.queue.oldest_due_ms(each))]
    if pace and waiting and wall_ms - min(waiting) >= SPAN_S * 1000:
        return pace
    return max(pace, channel.rate) if channel.rate else 0.0


def _limits_s(dispatcher: Dispatcher, message: Message, channel: Channel, now: float, wall_ms: int) -> float:
    """Until its rate limits have room, at their pace, for what is parked before it and for itself."""
    if not isinstance(channel.parking, Parking):
        return 0.0
    longest_s = 0.0
    for limit in dispatcher.restraint.gate.limits_of(channel.name):
        values = limit.values(message, channel.name)
        if values is not None:
            before, share = channel.parking.waiting_before(limit, values, message.priority)
            wait_s = _limit_s(limit, values, limit.cost(message), before, channel, now, wall_ms)
            longest_s = max(longest_s, wait_s / (1 - share / UNIT))
    return longest_s


def _limit_s(
    limit: Limit, values: Values, cost: int, before: int, channel: Channel, now: float, wall_ms: int
) -> float:
    """Until one limit has room for ``cost`` behind ``before`` messages."""
    rule = limit.rule
    lanes = [key for key in channel.lanes if limit.concerns_lane(key)] if limit.by_lane else [""]
    if not lanes or (limit.by_lane and len(lanes) < len(channel.lanes)):
        return 0.0  # a lane that the limit does not concern may take it
    quotas = [limit.quota(values, lane, now, wall_ms)[1] for lane in lanes]
    period_s = PERIOD_S[rule.every]
    allowances = [quota for quota in quotas if isinstance(quota, Allowance)]
    if not allowances:
        first_s = min(quota.ready_at(cost, now, wall_ms) for quota in quotas) - now
        return first_s + before * period_s / (rule.limit * len(quotas))
    over = before + cost - sum(quota.left(now, wall_ms) for quota in allowances)
    if over <= 0:
        return 0.0
    renewed_s = min(quota.renewed_at(now, wall_ms) for quota in allowances) - now
    return renewed_s + (over - 1) // (rule.limit * len(quotas)) * period_s
