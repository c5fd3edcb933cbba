"""What rate limits let through: which quotas a message counts against, and whether all of them have room.

A *limit* (one ``[[rate_limits]]``) concerns the messages that pass its selectors. It has one quota for all of them, or
one for each combination of values of what ``per`` names. A message goes when every quota it counts against has room,
and is counted against all of them in that moment, once for each attempt.

Invariants: nothing goes beyond a quota (``stentor.quota`` says what that means for each kind); a limit has at most
VALUES quotas, and values beyond those share one, which is stricter and never looser.
"""

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Final, Literal

import msgspec

from stentor.message import Message
from stentor.quota import PERIOD_S, Allowance, Every, Quota, SmoothQuota
from stentor.strands import strand_of

VALUES: Final = 10_000
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


class Limit:
    """A rule and its quotas. Values are told apart without the lane, which is known only when a message goes."""

    __slots__ = ("_lengths", "_prefixes", "_quotas", "by_lane", "forgotten", "rule")

    def __init__(self, rule: LimitRule) -> None:
        self.rule = rule
        self.by_lane = bool(rule.lanes) or "lane" in rule.per
        self._prefixes = frozenset(rule.prefixes)
        self._lengths = sorted({len(prefix) for prefix in rule.prefixes}, reverse=True)
        self._quotas: dict[Values, Quota] = {}
        self.forgotten: list[Values] = []

    def values(self, message: Message, channel: str) -> Values | None:
        """What tells the message's quota apart, but for its lane; None for a message that is not concerned."""
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
        return tuple(
            message.account
            if dimension == "account"
            else channel
            if dimension == "channel"
            else prefix
            if dimension == "prefix"
            else message.originator
            for dimension in rule.per
            if dimension != "lane"
        )

    def _prefix(self, destination: str) -> str:
        for length in self._lengths:
            if destination[:length] in self._prefixes:
                return destination[:length]
        return ""

    def concerns_lane(self, lane: str) -> bool:
        return not self.rule.lanes or lane in self.rule.lanes

    def quota(self, values: Values, lane: str, now: float, wall_ms: int) -> tuple[Values, Quota]:
        """The quota for these values and this lane, with what names it."""
        if "lane" in self.rule.per:
            values = (*values, lane)
        quota = self._quotas.get(values)
        if quota is None:
            if len(self._quotas) >= VALUES and not self._forget_idle(now, wall_ms):
                values = _OVERFLOW
            quota = self._quotas.get(values) or self._quotas.setdefault(values, self._make(now, wall_ms))
        return values, quota

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
        return bool(idle)

    def cost(self, message: Message) -> int:
        """What the message's next attempt counts for."""
        return 1 if self.rule.unit == "messages" else message.segments - len(message.segment_list)

    def lines(self, now: float, wall_ms: int) -> Iterator[LimitLine]:
        for values, quota in self._quotas.items():
            yield LimitLine(self.rule.name, values, quota.left(now, wall_ms), quota.ready_at(1, now, wall_ms))

    def saved(self, values: Values, now: float, wall_ms: int) -> tuple[str, str]:
        """A quota's setting: name and value."""
        quota = self._quotas.get(values)
        return f"{SETTING}{self.rule.name}:{_text(values)}", quota.saved(now, wall_ms) if quota else ""

    def restore(self, values: Values, saved: str, now: float, wall_ms: int) -> None:
        quota = self._quotas[values] = self._make(now, wall_ms)
        quota.restore(saved, now, wall_ms)


class Wait(msgspec.Struct, frozen=True):
    """What a message that may not go waits for: room in a quota of ``limit`` for ``values``."""

    limit: Limit
    values: Values


class Gate:
    """All limits. ``saved`` are the journal's settings of an earlier run."""

    __slots__ = ("_by_channel", "_limits", "_seen", "_unsaved", "_unused")

    def __init__(self, saved: Mapping[str, str]) -> None:
        self._limits: dict[str, Limit] = {}
        self._by_channel: dict[str, Sequence[Limit]] = {}
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
            limit = self._limits[rule.name] = Limit(rule)
            if old is not None and _is_alike(old.rule, rule):
                for line in list(old.lines(now, wall_ms)):
                    limit.restore(line.values, old.saved(line.values, now, wall_ms)[1], now, wall_ms)
        self._by_channel.clear()
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
                limit
                for limit in self._limits.values()
                if not limit.rule.channels or channel in limit.rule.channels
            ]
        return found

    def check(self, message: Message, channel: str, lane: str, now: float, wall_ms: int) -> Wait | None:
        """Count the message's attempt against all its quotas and return None, or say what it waits for."""
        counted: list[tuple[Limit, Values, Quota, int]] = []
        for limit in self.limits_of(channel):
            values = limit.values(message, channel)
            if values is None or (limit.by_lane and not limit.concerns_lane(lane)):
                continue
            named, quota = limit.quota(values, lane, now, wall_ms)
            cost = limit.cost(message)
            if not quota.fits(cost, now, wall_ms):
                return Wait(limit, values)
            counted.append((limit, named, quota, cost))
        self._seen = now, wall_ms
        for limit, named, quota, cost in counted:
            quota.take(cost, now, wall_ms)
            if limit.rule.every != "second":
                self._unsaved[limit.rule.name, named] = limit
        return None

    def strand(self, message: Message, *common: object) -> int:
        """The strand a new message belongs to, by what it may wait for; ``common`` is what else it shares."""
        shared: list[object] = []
        for limit in self._limits.values():
            for channel in message.route:
                values = limit.values(message, channel)
                if values is not None:
                    shared.append((limit.rule.name, values))
        return strand_of(*shared, *common)

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
