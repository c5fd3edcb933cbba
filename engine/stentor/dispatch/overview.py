"""What the dispatcher's limits and queues look like from outside, for `stentor status` and metrics. Reads only."""

from collections.abc import Mapping, Sequence
from typing import Final

from stentor.dispatch.dispatcher import Dispatcher
from stentor.dispatch.snapshot import LimitSnapshot, QueueLine, QueueShape
from stentor.numbers.zones import calling_code
from stentor.pacing.gate import Values
from stentor.scheduling.lanes import Channel, Lane
from stentor.scheduling.parking import Parking

LINES: Final = 50
"""Quotas that are shown, at most: a limit may have one for each account."""


def limits(dispatcher: Dispatcher, now: float, wall_ms: int) -> list[LimitSnapshot]:
    """Every quota that somebody waits for, and then those with the least left."""
    waiting = _waiting(dispatcher)
    found = [
        LimitSnapshot(
            name=rule.name,
            values=line.values,
            unit=rule.unit,
            limit=rule.limit,
            every=rule.every,
            left=line.left,
            # One that waits for a lane's quota waits for whichever lane of its channel is first.
            waiting=waiting.get((rule.name, line.values[:-1] if "lane" in rule.per else line.values), 0),
            ready_in_s=max(0.0, line.ready_at - now),
        )
        for rule, line in dispatcher.restraint.gate.lines(now, wall_ms)
    ]
    found.sort(key=lambda line: (-line.waiting, line.left, line.name, line.values))
    return found[:LINES]


def queue_shape(
    counts: Mapping[tuple[str, int], int], ages_s: Sequence[int], *, is_whole: bool
) -> QueueShape:
    """The queue's shape from counts by the beginning of destinations and by age; the longest line first."""
    lines: dict[str, list[int]] = {}
    for (beginning, age), count in counts.items():
        line = lines.setdefault(calling_code(beginning) or "other", [0] * (len(ages_s) + 1))
        line[age] += count
    found = (QueueLine(prefix, tuple(line)) for prefix, line in lines.items())
    ordered = sorted(found, key=lambda line: (-sum(line.counts), line.prefix))
    return QueueShape(tuple(ages_s), tuple(ordered), is_whole)


_STATES: Final = {
    "down": "a link",
    "paused": "its operator, who paused it",
    "disabled": "the configuration, which disables it",
}


def waits_for(channel: Channel, now: float) -> tuple[str, ...]:
    """Why what waits at a channel does not leave now, in words; nothing when nothing waits or all of it goes."""
    parked: dict[str, int] = {}
    if isinstance(channel.parking, Parking):
        for lot in channel.parking.lots():
            parked[lot.limit.rule.name] = parked.get(lot.limit.rule.name, 0) + len(lot.queue)
    limits = tuple(f"limit {name} ({count})" for name, count in parked.items() if count)
    return (*_links(channel, now), *limits) if channel.has_work else limits


def _links(channel: Channel, now: float) -> tuple[str, ...]:
    """What keeps the channel's lanes from taking more, the widest reason first."""
    if not channel.is_up:
        return (_STATES[channel.state],)
    if not channel.breaker.is_closed:
        return (f"a dead peer, circuit {channel.breaker.state.value}: {channel.breaker.reason}",)
    if channel.rate and channel.bucket.available(now) <= 0:
        return (f"its rate of {channel.rate:g}/s",)
    return tuple(dict.fromkeys(filter(None, (_lane(lane, now) for lane in channel.in_turn()))))


def _lane(lane: Lane, now: float) -> str:
    """What a lane waits for, "" for one that can take more."""
    if now < lane.paused_until:
        return f"the end of a pause after {lane.pause_reason}"
    if now < lane.adaptive.paused_until:
        return "the end of a pause, the peer throttles"
    if now < lane.window.probe_at:
        return "the probe of a dead lane"
    if lane.window.free(now) <= 0:
        return "answers, the window is full"
    if lane.budget(now) <= 0:
        learnt = "learnt " if lane.adaptive.rate(now) else ""
        return f"a lane's {learnt}rate of {lane.rate(now):.3g}/s"
    return ""


def _waiting(dispatcher: Dispatcher) -> dict[tuple[str, Values], int]:
    """Messages parked in all channels, by limit and values."""
    found: dict[tuple[str, Values], int] = {}
    for channel in dispatcher.channels.values():
        if isinstance(channel.parking, Parking):
            for lot in channel.parking.lots():
                name = lot.limit.rule.name, lot.values
                found[name] = found.get(name, 0) + len(lot.queue)
    return found
