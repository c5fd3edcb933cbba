"""What rate limits let through: which quotas a message counts against, and whether all of them have room.

A *limit* (one ``[[rate_limits]]``) concerns the messages that pass its selectors. It has one quota for all of them, or
one for each combination of values of what ``per`` names. A message goes when every quota it counts against has room,
and is counted against all of them in that moment, once for each attempt.

Invariants: nothing goes beyond a quota (``stentor.pacing.quota`` says what that means for each kind); a limit has at
most VALUES quotas, and values beyond those share one, which is stricter and never looser.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from stentor.message import Message
from stentor.pacing.quota import PERIOD_S, Allowance, Every, Quota, SmoothQuota, take_one_of_all
from stentor.pacing.strands import mark_of, strand_of

VALUES: Final = 10_000
REMEMBERED: Final = 2_000
"""What a lane remembers of quotas that it has found, of each kind; then it begins anew."""
SETTING: Final = "limit:"
"""What the names of saved quotas begin with in the journal's settings."""

Values = tuple[str, ...]
Dimension = Literal["account", "channel", "lane", "prefix", "from"]
_OVERFLOW: Final = ("*",)


class LimitRule(msgspec.Struct, frozen=True, kw_only=True):
    """One ``[[rate_limits]]``. Empty selectors concern everything; ``per`` names what each value of has its own quota.

    ``limit`` of ``unit`` for each ``every``. ``is_allowance``: a fixed budget renewed by the calendar of ``zone``,
    instead of an even flow with ``burst`` at once (0: a tenth of a second's worth, at least one).
    """

    name: str
    limit: int
    every: Every
    unit: Literal["messages", "segments"] = "messages"
    is_allowance: bool = False
    burst: float = 0.0
    zone: str = "UTC"
    accounts: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    lanes: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    originators: tuple[str, ...] = ()
    per: tuple[Dimension, ...] = ()


class LimitLine(msgspec.Struct, frozen=True):
    """One quota as people see it: ``values`` are those it is for, empty for a limit's only one."""

    name: str
    values: Values
    left: int
    ready_at: float


Pick = Callable[[Message, str, str], Values]
"""The values of some dimensions for a message, a channel and a prefix."""

_PICKS: Final[dict[Dimension, Pick]] = {
    "account": lambda message, channel, prefix: (message.account,),
    "channel": lambda message, channel, prefix: (channel,),
    "prefix": lambda message, channel, prefix: (prefix,),
    "from": lambda message, channel, prefix: (message.originator,),
}


def _picker(dimensions: Sequence[Dimension]) -> Pick:
    if len(dimensions) < 2:
        return _PICKS[dimensions[0]] if dimensions else _nothing
    picks = [_PICKS[dimension] for dimension in dimensions]
    return lambda message, channel, prefix: tuple(pick(message, channel, prefix)[0] for pick in picks)


def _nothing(message: Message, channel: str, prefix: str) -> Values:
    return ()


class Limit:
    """A rule and its quotas. Values are told apart without the lane, which is known only when a message goes."""

    __slots__ = (
        "_is_all",
        "_is_by_channel",
        "_lengths",
        "_marks",
        "_pick",
        "_prefixes",
        "_quotas",
        "_quotas_by_prefix",
        "_remembered",
        "by_lane",
        "counts_segments",
        "forgotten",
        "is_by_prefix",
        "is_by_prefix_alone",
        "is_per_lane",
        "is_quick",
        "is_saved",
        "longest_prefix",
        "rule",
    )

    def __init__(self, rule: LimitRule, remembered: "Ways | None" = None) -> None:
        """``remembered`` are told when quotas are let go of."""
        self.rule = rule
        self._remembered = {} if remembered is None else remembered
        self.is_per_lane = "lane" in rule.per
        self.by_lane = bool(rule.lanes) or self.is_per_lane
        dimensions = [dimension for dimension in rule.per if dimension != "lane"]
        if self.is_per_lane and "channel" not in dimensions:
            dimensions.append("channel")  # lanes of two channels may have the same name
        self._is_by_channel = bool(rule.channels) or "channel" in dimensions
        self._pick = _picker(dimensions)
        self._marks: dict[Values, int] = {}
        self.counts_segments = rule.unit == "segments"
        self.is_saved = rule.every != "second"
        self.is_quick = not (rule.is_allowance or self.is_saved)
        self.is_by_prefix = bool(rule.prefixes)
        self._is_all = not (rule.accounts or rule.originators or rule.channels or rule.prefixes)
        self._prefixes = frozenset(rule.prefixes)
        self._lengths = sorted({len(prefix) for prefix in rule.prefixes}, reverse=True)
        self._quotas: dict[Values, Quota] = {}
        self.longest_prefix = max(self._lengths, default=0)
        self.is_by_prefix_alone = rule.per == ("prefix",) and not (
            rule.accounts or rule.originators or rule.channels or rule.lanes
        )
        self._quotas_by_prefix: dict[str, Quota] = {}
        self.forgotten: list[Values] = []

    def values(self, message: Message, channel: str) -> Values | None:
        """What tells the message's quota apart, but for its lane; None for a message that is not concerned."""
        if self._is_all:
            return self._pick(message, channel, "")
        rule = self.rule
        if rule.accounts and message.account not in rule.accounts:
            return None
        if rule.originators and message.originator not in rule.originators:
            return None
        if rule.channels and channel not in rule.channels:
            return None
        prefix = ""
        if self._prefixes:
            prefix = self._prefix(message.to)
            if not prefix:
                return None
        return self._pick(message, channel, prefix)

    def mark(self, message: Message) -> int:
        """A number that messages share which count against the same quotas wherever their routes lead; 0 for one that
        is not concerned."""
        if not self._is_by_channel:
            values = self.values(message, "")
            if values is None:
                return 0
            return self._marks.get(values) or self._new_mark(values)
        found = [values for name in message.route if (values := self.values(message, name)) is not None]
        return sum(self._marks.get(values) or self._new_mark(values) for values in found)

    def _new_mark(self, values: Values) -> int:
        if len(self._marks) >= VALUES:
            self._marks.clear()
        mark = self._marks[values] = mark_of(self.rule.name, values)
        return mark

    def _prefix(self, destination: str) -> str:
        for length in self._lengths:
            if destination[:length] in self._prefixes:
                return destination[:length]
        return ""

    def concerns_channel(self, channel: str) -> bool:
        return not self.rule.channels or channel in self.rule.channels

    def concerns_lane(self, lane: str) -> bool:
        return not self.rule.lanes or lane in self.rule.lanes

    def quota(self, values: Values, lane: str, now: float, wall_ms: int) -> tuple[Values, Quota]:
        """The quota for these values and this lane, with what names it."""
        if self.is_per_lane:
            values = (*values, lane)
        quota = self._quotas.get(values)
        if quota is None:
            if len(self._quotas) >= VALUES and not self._forget_idle(now, wall_ms):
                values = _OVERFLOW
            quota = self._quotas.get(values) or self._quotas.setdefault(values, self._make(now, wall_ms))
        return values, quota

    def quota_of(self, message: Message, channel: str, lane: str, now: float, wall_ms: int) -> Quota | None:
        """The quota that a message counts against on a lane that is concerned; None for no quota."""
        if self.is_by_prefix_alone:
            prefix = self._prefix(message.to)
            known = self._quotas_by_prefix.get(prefix)
            if known is not None or not prefix:
                return known
            named, quota = self.quota((prefix,), lane, now, wall_ms)
            if named is not _OVERFLOW:
                self._quotas_by_prefix[prefix] = quota
            return quota
        values = self.values(message, channel)
        return None if values is None else self.quota(values, lane, now, wall_ms)[1]

    def _make(self, now: float, wall_ms: int) -> Quota:
        rule = self.rule
        if rule.is_allowance:
            return Allowance(rule.limit, rule.every, rule.zone, wall_ms)
        return SmoothQuota(rule.limit, PERIOD_S[rule.every], rule.burst, now)

    def _forget_idle(self, now: float, wall_ms: int) -> bool:
        """Quotas as good as new need no memory; True if any was let go of."""
        idle = [values for values, quota in self._quotas.items() if not quota.saved(now, wall_ms)]
        for values in idle:
            del self._quotas[values]
        self.forgotten += idle
        if idle:
            self._quotas_by_prefix.clear()
            for way in self._remembered.values():
                way.forget()
        return bool(idle)

    def cost(self, message: Message) -> int:
        """What the message's next attempt counts for."""
        return message.segments - len(message.segment_list) if self.counts_segments else 1

    def lines(self, now: float, wall_ms: int) -> Iterator[LimitLine]:
        for values, quota in self._quotas.items():
            yield LimitLine(self.rule.name, values, quota.left(now, wall_ms), quota.ready_at(1, now, wall_ms))

    def saved(self, values: Values, now: float, wall_ms: int) -> tuple[str, str]:
        """A quota's setting: name and value."""
        quota = self._quotas.get(values)
        return f"{SETTING}{self.rule.name}:{_text(values)}", quota.saved(now, wall_ms) if quota else ""

    def restore(self, values: Values, saved: str, now: float, wall_ms: int) -> None:
        quota = self._quotas[values] = self._make(now, wall_ms)
        self._quotas_by_prefix.clear()
        quota.restore(saved, now, wall_ms)


class Count(NamedTuple):
    """A quota that a message counts against. ``values`` are without the lane, ``named`` with it."""

    limit: Limit
    values: Values
    named: Values
    quota: Quota


_UNKNOWN: Final[list[SmoothQuota]] = []
"""In the place of quotas that were not looked for yet."""


class Way:
    """A lane of a channel, and what recurs on it: the quotas of an account and originator wherever their messages go,
    and those of the digits that destinations begin with, where all of them are quick to ask."""

    __slots__ = (
        "_by_origin",
        "_by_prefix",
        "_channel",
        "_digits",
        "_is_by_prefix_alone",
        "_lane",
        "_of_digits",
        "_quotas",
    )

    def __init__(self, limits: Iterable[Limit], channel: str, lane: str) -> None:
        self._channel = channel
        self._lane = lane
        concerned = [
            limit for limit in limits if limit.concerns_channel(channel) and limit.concerns_lane(lane)
        ]
        self._by_prefix = [limit for limit in concerned if limit.is_by_prefix]
        self._by_origin = [limit for limit in concerned if not limit.is_by_prefix]
        self._digits = max((limit.longest_prefix for limit in self._by_prefix), default=0)
        self._is_by_prefix_alone = all(limit.is_by_prefix_alone for limit in self._by_prefix)
        self._quotas: Remembered = {}
        self._of_digits: Remembered = {}

    def passes(self, message: Message, now: float, wall_ms: int) -> bool:
        """Count a usual message against all its quotas, if all have room. False: :meth:`Gate.check` must be asked."""
        if message.segments != 1 or message.segment_list:
            return False
        origin = message.account, message.originator
        quotas = self._quotas.get(origin, _UNKNOWN)
        if quotas is _UNKNOWN:
            quotas = self._find(self._quotas, origin, self._by_origin, message, now, wall_ms)
        if quotas is None:
            return False
        if not self._digits:
            return take_one_of_all(quotas, _UNKNOWN, now)
        digits = message.to[: self._digits]
        key = digits if self._is_by_prefix_alone else (digits, origin)
        more = self._of_digits.get(key, _UNKNOWN)
        if more is _UNKNOWN:
            more = self._find(self._of_digits, key, self._by_prefix, message, now, wall_ms)
        return more is not None and take_one_of_all(quotas, more, now)

    def forget(self) -> None:
        """Some quotas are no longer those that count."""
        self._quotas.clear()
        self._of_digits.clear()

    def _find(
        self,
        remembered: "Remembered",
        key: Hashable,
        limits: Iterable[Limit],
        message: Message,
        now: float,
        wall_ms: int,
    ) -> list[SmoothQuota] | None:
        found: list[SmoothQuota] | None = []
        for limit in limits:
            quota = limit.quota_of(message, self._channel, self._lane, now, wall_ms)
            if quota is not None and found is not None:
                if limit.is_quick and type(quota) is SmoothQuota:
                    found.append(quota)
                else:
                    found = None
        if len(remembered) >= REMEMBERED:
            remembered.clear()
        remembered[key] = found
        return found


Remembered = dict[Hashable, list[SmoothQuota] | None]
"""Quotas to count against, None where :meth:`Gate.check` must be asked."""
Ways = dict[tuple[str, str], Way]
"""By channel and lane."""


class Wait(msgspec.Struct, frozen=True):
    """What a message that may not go waits for: room in a quota of ``limit`` for ``values``."""

    limit: Limit
    values: Values


class Gate:
    """All limits. ``saved`` are the journal's settings of an earlier run."""

    __slots__ = (
        "_by_channel",
        "_by_origin",
        "_by_prefix",
        "_limits",
        "_marks",
        "_seen",
        "_unsaved",
        "_unused",
        "_ways",
    )

    def __init__(self, saved: Mapping[str, str]) -> None:
        self._limits: dict[str, Limit] = {}
        self._by_channel: dict[str, Sequence[Limit]] = {}
        # What depends on the destination, and what only on account, originator and route, which recur.
        self._by_prefix: Sequence[Limit] = ()
        self._by_origin: Sequence[Limit] = ()
        self._marks: dict[tuple[str, str, tuple[str, ...]], int] = {}
        self._ways: Ways = {}
        self._unsaved: dict[tuple[str, Values], Limit] = {}
        self._seen = 0.0, 0
        """The time of the last check: what is saved is true for then."""
        self._unused = {name: value for name, value in saved.items() if name.startswith(SETTING)}

    @property
    def is_open(self) -> bool:
        """There is no limit at all."""
        return not self._limits

    def set_rules(self, rules: Iterable[LimitRule], now: float, wall_ms: int) -> None:
        """The limits from now on. One that stays as it was keeps its quotas; one that changed goes on from what was
        used of it."""
        self._seen = now, wall_ms
        before, self._limits = self._limits, {}
        for rule in rules:
            old = before.get(rule.name)
            if old is not None and old.rule == rule:
                self._limits[rule.name] = old
                continue
            limit = self._limits[rule.name] = Limit(rule, self._ways)
            if old is not None and _is_alike(old.rule, rule):
                for line in list(old.lines(now, wall_ms)):
                    limit.restore(line.values, old.saved(line.values, now, wall_ms)[1], now, wall_ms)
        self._by_channel.clear()
        self._marks.clear()
        self._ways.clear()
        self._by_prefix = [limit for limit in self._limits.values() if limit.is_by_prefix]
        self._by_origin = [limit for limit in self._limits.values() if not limit.is_by_prefix]
        for name, value in list(self._unused.items()):
            rule_name, _, values = name.removeprefix(SETTING).partition(":")
            found = self._limits.get(rule_name)
            if found is not None:
                del self._unused[name]
                found.restore(_values(values), value, now, wall_ms)
                # What is worth nothing any more is deleted with the first commit.
                self._unsaved[rule_name, _values(values)] = found

    def limits_of(self, channel: str) -> Sequence[Limit]:
        """The limits that may concern what goes over a channel."""
        found = self._by_channel.get(channel)
        if found is None:
            found = self._by_channel[channel] = [
                limit for limit in self._limits.values() if limit.concerns_channel(channel)
            ]
        return found

    def check(self, message: Message, channel: str, lane: str, now: float, wall_ms: int) -> Wait | None:
        """Count the message's attempt against all its quotas and return None, or say what it waits for."""
        counts = list(self._counts(self.limits_of(channel), message, channel, lane, now, wall_ms))
        segments = message.segments - len(message.segment_list)
        for limit, values, _, quota in counts:
            if not quota.fits(segments if limit.counts_segments else 1, now, wall_ms):
                return Wait(limit, values)
        self._seen = now, wall_ms
        for limit, _, named, quota in counts:
            quota.take(segments if limit.counts_segments else 1, now, wall_ms)
            if limit.is_saved:
                self._unsaved[limit.rule.name, named] = limit
        return None

    def way(self, channel: str, lane: str) -> Way:
        """A lane, to be asked first about many messages; until the rules change."""
        way = self._ways.get((channel, lane))
        if way is None:
            way = self._ways[channel, lane] = Way(self._limits.values(), channel, lane)
        return way

    def _counts(
        self, limits: Iterable[Limit], message: Message, channel: str, lane: str, now: float, wall_ms: int
    ) -> Iterator[Count]:
        for limit in limits:
            values = limit.values(message, channel)
            if values is not None and limit.concerns_lane(lane):
                yield Count(limit, values, *limit.quota(values, lane, now, wall_ms))

    def strand(self, message: Message, *common: object) -> int:
        """The strand a new message belongs to, by what it may wait for; ``common`` is what else it shares."""
        name = message.account, message.originator, message.route
        marks = self._marks.get(name)
        if marks is None:
            if len(self._marks) >= VALUES:
                self._marks.clear()
            marks = self._marks[name] = sum(limit.mark(message) for limit in self._by_origin)
        for limit in self._by_prefix:
            marks += limit.mark(message)
        return strand_of(marks, *common)

    def save(self, settings: MutableMapping[str, str]) -> None:
        """Put what changed since the last commit into the next."""
        for limit in self._limits.values():
            for values in limit.forgotten:
                self._unsaved[limit.rule.name, values] = limit
            limit.forgotten.clear()
        for (_, values), limit in self._unsaved.items():
            name, value = limit.saved(values, *self._seen)
            settings[name] = value
        self._unsaved.clear()

    def forget_stale(self, settings: MutableMapping[str, str]) -> None:
        """Saved quotas of limits that are no longer configured are forgotten by the journal too."""
        settings.update(dict.fromkeys(self._unused, ""))
        self._unused.clear()

    def lines(self, now: float, wall_ms: int) -> Iterator[tuple[LimitRule, LimitLine]]:
        """Every quota there is."""
        for limit in self._limits.values():
            for line in limit.lines(now, wall_ms):
                yield limit.rule, line


def _is_alike(old: LimitRule, new: LimitRule) -> bool:
    """What was used of the one says something about the other."""
    return (old.per, old.unit, old.every, old.is_allowance) == (
        new.per,
        new.unit,
        new.every,
        new.is_allowance,
    )


def _text(values: Values) -> str:
    return msgspec.json.encode(values).decode()


def _values(text: str) -> Values:
    try:
        return msgspec.json.decode(text, type=Values)
    except msgspec.DecodeError:
        return ()
