"""How much may go of what a rate limit concerns: smooth quotas without bursts, and allowances renewed by the calendar.

A quota counts whatever its limit counts (messages or segments), never waits, and takes the time as arguments:
``now`` in monotonic seconds, ``wall_ms`` in wall milliseconds. A quota refuses nothing by itself: ask :meth:`fits`,
then :meth:`take`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from math import ceil, floor
from typing import Final, Literal, Protocol
from zoneinfo import ZoneInfo

import msgspec

Every = Literal["second", "minute", "hour", "day", "month"]
PERIOD_S: Final[dict[Every, int]] = {
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": 86_400,
    "month": 30 * 86_400,
}
"""A month of a smooth quota has thirty days; one of an allowance is the calendar's."""

BURST_S: Final = 0.1
"""The default burst is what a quota gives in this time, and at least one."""

_GRAIN_S: Final = 1e-6
"""So much too early is on time: rounding must not let a timer fire just before its moment."""


class Quota(Protocol):
    """What both kinds answer."""

    def fits(self, cost: int, now: float, wall_ms: int) -> bool:
        """Whether ``cost`` may go now."""

    def take(self, cost: int, now: float, wall_ms: int) -> None:
        """``cost`` goes. It must fit."""

    def left(self, now: float, wall_ms: int) -> int:
        """How much may go now, whole units, never negative."""

    def ready_at(self, cost: int, now: float, wall_ms: int) -> float:
        """The monotonic time at which ``cost`` fits if nothing else goes; ``now`` if it does already."""

    def saved(self, now: float, wall_ms: int) -> str:
        """What a restart must know, "" for nothing: the quota is as good as new."""

    def restore(self, saved: str, now: float, wall_ms: int) -> None:
        """Go on from what :meth:`saved` gave. What cannot be read counts as nothing."""


class SmoothQuota:
    """``limit`` in ``period_s``, evenly: in any interval of t seconds at most ``burst + limit / period_s * t`` goes.

    The generic cell rate algorithm in its virtual scheduling form (ITU-T I.371 annex A): ``_full_at`` is when the
    bucket is full again, were nothing more taken. Something larger than the burst goes when the bucket is full, and
    its debt is waited for after it; then the bound holds with its size in the place of the burst.
    """

    __slots__ = ("_burst", "_full_at", "_interval_s", "_spare_of_one_s")

    def __init__(self, limit: int, period_s: float, burst: float, now: float) -> None:
        assert limit > 0, "a limit lets something go"
        self._interval_s = period_s / limit
        self._burst = max(1.0, burst or BURST_S / self._interval_s)
        self._spare_of_one_s = (self._burst - 1) * self._interval_s + _GRAIN_S
        self._full_at = now

    def fits(self, cost: int, now: float, wall_ms: int) -> bool:
        if cost == 1:
            return self._full_at - now <= self._spare_of_one_s
        spare_s = (self._burst - min(cost, self._burst)) * self._interval_s
        return self._full_at - now <= spare_s + _GRAIN_S

    def take(self, cost: int, now: float, wall_ms: int) -> None:
        assert self.fits(cost, now, wall_ms), f"{cost} do not fit"
        full_at = self._full_at
        self._full_at = (full_at if full_at > now else now) + cost * self._interval_s

    def left(self, now: float, wall_ms: int) -> int:
        used = max(0.0, self._full_at - now) / self._interval_s
        return max(0, floor(self._burst - used + _GRAIN_S / self._interval_s))

    def ready_at(self, cost: int, now: float, wall_ms: int) -> float:
        return max(now, self._full_at - (self._burst - min(cost, self._burst)) * self._interval_s)

    def saved(self, now: float, wall_ms: int) -> str:
        missing_s = self._full_at - now
        return str(wall_ms + ceil(missing_s * 1000)) if missing_s > 0 else ""

    def restore(self, saved: str, now: float, wall_ms: int) -> None:
        if saved.isdecimal():
            # A clock that was set back must not shut the quota for longer than an empty bucket would.
            longest_s = self._burst * self._interval_s
            self._full_at = now + min(max(0.0, (int(saved) - wall_ms) / 1000), longest_s)


def take_one_of_all(quotas: Sequence[SmoothQuota], more: Sequence[SmoothQuota], now: float) -> bool:
    """Take one of each if it fits into all of them; else nothing, and False. What is done for every message, in one
    go. No quota is in both."""
    for quota in quotas:
        if quota._full_at - now > quota._spare_of_one_s:
            return False
    for quota in more:
        if quota._full_at - now > quota._spare_of_one_s:
            return False
    for quota in quotas:
        full_at = quota._full_at
        quota._full_at = (full_at if full_at > now else now) + quota._interval_s
    for quota in more:
        full_at = quota._full_at
        quota._full_at = (full_at if full_at > now else now) + quota._interval_s
    return True


class Span(msgspec.Struct, frozen=True, gc=False):
    """A day or a month of some zone, in wall milliseconds; the end is the beginning of the next."""

    start_ms: int
    end_ms: int


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def span_of(wall_ms: int, every: Every, zone: str) -> Span:
    """The local day or month that holds ``wall_ms``."""
    where = _zone(zone)
    local = (_EPOCH + timedelta(milliseconds=wall_ms)).astimezone(where).date()
    if every == "month":
        start = local.replace(day=1)
        following = (start + timedelta(days=31)).replace(day=1)
    else:
        assert every == "day", "an allowance is renewed daily or monthly"
        start, following = local, local + timedelta(days=1)
    return Span(_midnight_ms(start.timetuple()[:3], where), _midnight_ms(following.timetuple()[:3], where))


def _midnight_ms(date: tuple[int, ...], zone: tzinfo) -> int:
    """When a local day begins. A midnight that a change of the clocks leaves out is the moment of the change."""
    year, month, day = date
    return (datetime(year, month, day, tzinfo=zone) - _EPOCH) // _MILLISECOND


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


class Allowance:
    """``limit`` in each local day or month, as a SIM's bundle has it: renewed whole when the next begins.

    Something larger than the limit goes when nothing was used yet, and then is all that goes in its period. A clock
    that is set back does not begin a period again.
    """

    __slots__ = ("_every", "_limit", "_span", "_used", "_zone")

    def __init__(self, limit: int, every: Every, zone: str, wall_ms: int) -> None:
        self._limit = limit
        self._every: Every = every
        self._zone = zone
        self._span = span_of(wall_ms, every, zone)
        self._used = 0

    def fits(self, cost: int, now: float, wall_ms: int) -> bool:
        return cost <= self.left(now, wall_ms) or not self._used

    def take(self, cost: int, now: float, wall_ms: int) -> None:
        assert self.fits(cost, now, wall_ms), f"{cost} do not fit"
        self._used += cost

    def left(self, now: float, wall_ms: int) -> int:
        if wall_ms >= self._span.end_ms:
            self._span = span_of(wall_ms, self._every, self._zone)
            self._used = 0
        return max(0, self._limit - self._used)

    def ready_at(self, cost: int, now: float, wall_ms: int) -> float:
        if self.fits(cost, now, wall_ms):
            return now
        return self.renewed_at(now, wall_ms)

    def renewed_at(self, now: float, wall_ms: int) -> float:
        """The monotonic time at which the next day or month begins."""
        return now + (self._span.end_ms - wall_ms) / 1000

    def saved(self, now: float, wall_ms: int) -> str:
        return f"{self._span.start_ms} {self._used}" if self.left(now, wall_ms) < self._limit else ""

    def restore(self, saved: str, now: float, wall_ms: int) -> None:
        start, _, used = saved.partition(" ")
        if not (start.isdecimal() and used.isdecimal()):
            return
        if int(start) >= self._span.start_ms:
            self._span = span_of(int(start), self._every, self._zone)
            self._used = int(used)
