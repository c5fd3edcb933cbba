"""What the dispatcher's limits and queues look like from outside, for `stentor status` and metrics. Reads only."""

from typing import Final

from stentor.dispatch import Dispatcher
from stentor.gate import Values
from stentor.parking import Parking
from stentor.snapshot import LimitSnapshot

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


def _waiting(dispatcher: Dispatcher) -> dict[tuple[str, Values], int]:
    """Messages parked in all channels, by limit and values."""
    found: dict[tuple[str, Values], int] = {}
    for channel in dispatcher.channels.values():
        if isinstance(channel.parking, Parking):
            for lot in channel.parking.lots():
                name = lot.limit.rule.name, lot.values
                found[name] = found.get(name, 0) + len(lot.queue)
    return found
