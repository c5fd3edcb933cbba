"""Quiet hours: at what times nothing is sent to whom, by the local time of the destination.

A number's time is that of every zone it may be in (``stentor.numbers.zones``): it is quiet there while it is quiet in
any of them. A message that would leave in quiet hours waits for their end. Zones so far apart that no time suits all
are given the first one's.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, Protocol
from zoneinfo import ZoneInfo

import msgspec

from stentor.message import Error, Message, Status
from stentor.numbers.zones import zones_of

DAY_MIN: Final = 24 * 60
REASON: Final = Error("quiet_hours")
"""Why a message is scheduled that was to leave sooner; it is the message's error until it is due."""

_MINUTE_MS: Final = 60_000
_LONGEST_MS: Final = 2 * DAY_MIN * _MINUTE_MS
_REMEMBERED: Final = 4096


class Addressed(Protocol):
    """What rules look at: a message, or one that might be."""

    @property
    def account(self) -> str: ...

    @property
    def to(self) -> str: ...

    @property
    def priority(self) -> int: ...

    @property
    def ignores_quiet(self) -> bool: ...


class QuietRule(msgspec.Struct, frozen=True, kw_only=True):
    """One ``[[quiet_hours]]``: from ``start_min`` until ``end_min``, minutes of the local day, over midnight if the end
    is the smaller. Empty selectors concern everything."""

    start_min: int
    end_min: int
    prefixes: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    exempt_priorities: tuple[int, ...] = ()
    exempt_accounts: tuple[str, ...] = ()
    exempt_tags: tuple[str, ...] = ()

    def concerns(self, message: Addressed) -> bool:
        return (
            message.priority not in self.exempt_priorities
            and message.account not in self.exempt_accounts
            and (not self.accounts or message.account in self.accounts)
            and (not self.prefixes or message.to.startswith(self.prefixes))
        )

    def is_quiet(self, minute: int) -> bool:
        """Whether this minute of the local day is quiet."""
        if self.start_min < self.end_min:
            return self.start_min <= minute < self.end_min
        return minute >= self.start_min or minute < self.end_min


class Quiet:
    """All rules. Times are wall milliseconds. Tags are known when a message is submitted and never later, so a message
    with an exempt one is marked then, and quiet hours of no rule hold it up."""

    __slots__ = ("_exempt_tags", "_minute", "_openings", "_rules")

    def __init__(self, rules: Iterable[QuietRule]) -> None:
        self._rules = tuple(rules)
        self._exempt_tags = frozenset(tag for rule in self._rules for tag in rule.exempt_tags)
        self._minute = -1
        self._openings: dict[tuple[tuple[str, ...], tuple[QuietRule, ...]], int] = {}

    def opens_ms(self, message: Addressed, at_ms: int) -> int:
        """When the message may leave: ``at_ms``, or the end of the quiet hours it falls into."""
        if message.ignores_quiet:
            return at_ms
        rules = tuple(rule for rule in self._rules if rule.concerns(message))
        zones = zones_of(message.to)
        if not rules or not zones:
            return at_ms
        minute = at_ms // _MINUTE_MS
        if minute != self._minute or len(self._openings) > _REMEMBERED:
            # Hours begin and end with a minute, so what holds now holds for the rest of it.
            self._minute = minute
            self._openings.clear()
        opens_ms = self._openings.get((zones, rules))
        if opens_ms is None:
            opens_ms = self._openings[zones, rules] = _opening_ms(zones, rules, minute * _MINUTE_MS)
        return max(at_ms, opens_ms)

    def exempts(self, tags: Iterable[str]) -> bool:
        """Whether no quiet hours hold up a message with these tags."""
        return bool(self._exempt_tags) and not self._exempt_tags.isdisjoint(tags)

    def shift(self, message: Message, now_ms: int, tags: Iterable[str] = ()) -> None:
        """Move a new message that would leave in quiet hours to their end; its validity counts from there."""
        if self.exempts(tags):
            message.ignores_quiet = True
            return
        due_ms = max(message.send_at_ms, message.due_at_ms, now_ms)
        opens_ms = self.opens_ms(message, due_ms)
        if opens_ms > due_ms:
            message.expires_at_ms += opens_ms - max(message.send_at_ms, message.due_at_ms)
            message.due_at_ms = message.send_at_ms = opens_ms
            message.status = Status.SCHEDULED
            message.error = REASON


def _opening_ms(zones: Sequence[str], rules: Sequence[QuietRule], at_ms: int) -> int:
    """The first moment from ``at_ms`` on that is quiet in none of the zones, by none of the rules."""
    opens_ms = at_ms
    while opens_ms <= at_ms + _LONGEST_MS:
        latest_ms = max(_end_ms(zone, rule, opens_ms) for zone in zones for rule in rules)
        if latest_ms == opens_ms:
            return opens_ms
        opens_ms = latest_ms
    return at_ms if len(zones) == 1 else _opening_ms(zones[:1], rules, at_ms)


def _end_ms(zone: str, rule: QuietRule, at_ms: int) -> int:
    """The end of the quiet hours that ``at_ms`` falls into, or ``at_ms``."""
    where = _zone(zone)
    local = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(where)
    minute = local.hour * 60 + local.minute
    if not rule.is_quiet(minute):
        return at_ms
    day = local.date() + timedelta(days=1 if minute >= rule.end_min else 0)
    end = datetime(day.year, day.month, day.day, rule.end_min // 60, rule.end_min % 60, tzinfo=where)
    # An hour that the clocks repeat: the first end may lie behind us. One that they leave out ends with the change.
    ends = (int(end.replace(fold=fold).timestamp() * 1000) for fold in (0, 1))
    return next((end_ms for end_ms in ends if end_ms > at_ms), at_ms + _MINUTE_MS)


@lru_cache(maxsize=512)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
