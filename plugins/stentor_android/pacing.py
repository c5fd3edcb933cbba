"""How much may go over a phone and its SIMs: parts a minute, allowances, distinct destinations of a month.

The pace is a token bucket of the phone. Allowances are a SIM's: they count parts in windows of the calendar (UTC), and
in a month distinct destinations too, by a short digest. Counters are told and restored as octets, so that a restart
does not grant what was used already.
"""

import hashlib
from datetime import UTC, datetime
from typing import Final

import msgspec

from stentor.rate import TokenBucket

UNLIMITED: Final = 1 << 30
DIGEST_OCTETS: Final = 6
_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS


class Limits(msgspec.Struct, frozen=True, gc=False):
    """Parts of an hour, a day, a month, and destinations a month; 0 for no limit."""

    hourly: int = 0
    daily: int = 0
    monthly: int = 0
    destinations: int = 0


class Used(msgspec.Struct, array_like=True):
    """What is remembered: each count with the window it belongs to."""

    hour: int = 0
    in_hour: int = 0
    day: int = 0
    in_day: int = 0
    month: int = 0
    in_month: int = 0
    destinations: list[bytes] = []


_used: Final = msgspec.msgpack.Decoder(Used)


def month_of(wall_ms: int) -> int:
    """Months since year 0."""
    at = datetime.fromtimestamp(wall_ms / 1000, UTC)
    return at.year * 12 + at.month


class Allowance:
    """What one SIM may still send. ``is_limited``: in parts, ``is_bounded``: in any way; ``is_changed`` since
    :meth:`kept` was asked."""

    __slots__ = (
        "_destinations",
        "_next_hour_ms",
        "_used",
        "is_bounded",
        "is_changed",
        "is_limited",
        "limits",
    )

    def __init__(self, limits: Limits, kept: bytes | None = None) -> None:
        self.limits = limits
        self.is_limited = bool(limits.hourly or limits.daily or limits.monthly)
        self.is_bounded = self.is_limited or bool(limits.destinations)
        self._used = _restored(kept)
        self._destinations = set(self._used.destinations)
        self._next_hour_ms = 0
        self.is_changed = False

    def kept(self) -> bytes:
        """What to remember beyond a restart."""
        self._used.destinations = sorted(self._destinations)
        self.is_changed = False
        return msgspec.msgpack.encode(self._used)

    def left(self, wall_ms: int) -> int:
        """Parts that may go now, UNLIMITED without a limit."""
        if not self.is_limited:
            return UNLIMITED
        self._turn(wall_ms)
        limits, used = self.limits, self._used
        left = UNLIMITED
        if limits.hourly:
            left = limits.hourly - used.in_hour
        if limits.daily:
            left = min(left, limits.daily - used.in_day)
        if limits.monthly:
            left = min(left, limits.monthly - used.in_month)
        return max(0, left)

    def share_left(self, wall_ms: int) -> float:
        """The smallest share of a limit that is left, 1.0 without a limit."""
        if not self.is_bounded:
            return 1.0
        self._turn(wall_ms)
        limits, used = self.limits, self._used
        share = 1.0
        if limits.hourly:
            share = 1.0 - used.in_hour / limits.hourly
        if limits.daily:
            share = min(share, 1.0 - used.in_day / limits.daily)
        if limits.monthly:
            share = min(share, 1.0 - used.in_month / limits.monthly)
        if limits.destinations:
            share = min(share, 1.0 - len(self._destinations) / limits.destinations)
        return max(0.0, share)

    def admits(self, to: str, parts: int, wall_ms: int) -> bool:
        """May so many parts go to this destination?"""
        if not self.is_bounded:
            return True
        if self.left(wall_ms) < parts:
            return False
        limit = self.limits.destinations
        if limit:
            self._turn(wall_ms)
        return not limit or len(self._destinations) < limit or _digest(to) in self._destinations

    def take(self, to: str, parts: int, wall_ms: int) -> None:
        """They go; or come back, with ``parts`` negative. A destination once counted stays so."""
        self._turn(wall_ms)
        used = self._used
        used.in_hour = max(0, used.in_hour + parts)
        used.in_day = max(0, used.in_day + parts)
        used.in_month = max(0, used.in_month + parts)
        if self.limits.destinations and parts > 0:
            self._destinations.add(_digest(to))
        self.is_changed = True

    def renewed_at_ms(self, wall_ms: int) -> int:
        """When it is worth looking again: at the next full hour."""
        self._turn(wall_ms)
        return self._next_hour_ms

    def counts(self, wall_ms: int) -> dict[str, int]:
        """For people."""
        self._turn(wall_ms)
        used = self._used
        return {
            "hour": used.in_hour,
            "day": used.in_day,
            "month": used.in_month,
            "destinations": len(self._destinations),
        }

    def _turn(self, wall_ms: int) -> None:
        """Begin the windows anew whose time has come. A clock that was set back begins none."""
        if wall_ms < self._next_hour_ms:
            return
        used = self._used
        hour, day, month = wall_ms // _HOUR_MS, wall_ms // _DAY_MS, month_of(wall_ms)
        if hour > used.hour:
            used.hour, used.in_hour = hour, 0
        if day > used.day:
            used.day, used.in_day = day, 0
        if month > used.month:
            used.month, used.in_month = month, 0
            self._destinations.clear()
        self._next_hour_ms = (hour + 1) * _HOUR_MS


def _restored(kept: bytes | None) -> Used:
    """What was kept in another form is not believed: the allowance begins anew."""
    try:
        return _used.decode(kept) if kept else Used()
    except msgspec.DecodeError:
        return Used()


def _digest(to: str) -> bytes:
    return hashlib.blake2s(to.encode(), digest_size=DIGEST_OCTETS).digest()


class Pace:
    """The parts a minute of one phone, and rests it was told to take."""

    __slots__ = ("_bucket", "rests_until")

    def __init__(self, parts_a_minute: float, now: float) -> None:
        # Two parts at once: a message goes every few seconds, never a minute's worth in a burst.
        self._bucket = TokenBucket(parts_a_minute / 60, now, 2.0)
        self.rests_until = 0.0

    def available(self, now: float) -> int:
        """Parts that may go now. A message longer than that may go too, and is owed."""
        return 0 if now < self.rests_until else self._bucket.available(now)

    def take(self, parts: int, now: float) -> None:
        """So many go; one at least was available."""
        self._bucket.take(parts, now)

    def ready_at(self, parts: int, now: float) -> float:
        """When so many parts may go, or as many as ever go at once."""
        return max(self.rests_until, self._bucket.ready_at(parts, now))

    def rest(self, seconds: float, now: float) -> None:
        """Nothing goes for so long."""
        self.rests_until = max(self.rests_until, now + seconds)
