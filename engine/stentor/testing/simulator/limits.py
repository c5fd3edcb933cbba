"""Rate limits of a simulated world, and what really left held against them.

What is counted here is less than what the engine counts: only messages of one segment that need no lease, because
those leave in the moment they were let through. What is counted must never exceed a limit, over any stretch of time.
"""

from random import Random
from typing import Final

from stentor.message import Delivery, Message
from stentor.pacing.gate import Limit, LimitRule, Values
from stentor.pacing.quiet import Quiet, QuietRule
from stentor.pacing.quota import PERIOD_S, Span, span_of
from stentor.testing.simulator.faults import Violation
from stentor.testing.simulator.lane import Leak
from stentor.testing.simulator.scene import Scene

PREFIXES: Final = ("+40", "+40", "+36", "+49")
ORIGINATORS: Final = ("1234", "Shop")

_RULES: Final = (
    LimitRule(name="romania", limit=20, every="minute", prefixes=("+40",)),
    LimitRule(name="account", limit=1, every="second", burst=5, unit="segments", per=("account",)),
    LimitRule(name="lane", limit=30, every="minute", burst=3, per=("channel", "lane")),
    LimitRule(name="one-lane", limit=5, every="minute", channels=("b",), lanes=("b-0",)),
    LimitRule(name="names", limit=200, every="hour", per=("from", "prefix"), prefixes=("+4", "+40", "+36")),
    LimitRule(
        name="bundle", limit=5, every="day", is_allowance=True, channels=("a", "c"), per=("channel", "lane")
    ),
    LimitRule(name="month", limit=15, every="month", is_allowance=True, unit="segments", accounts=("one",)),
)


def drawn_rules(random: Random) -> tuple[LimitRule, ...]:
    """None in half of all worlds."""
    return tuple(random.sample(_RULES, random.choice((0, 0, 0, 1, 2, 4))))


_QUIET: Final = (
    # The world's clock begins at ten in Romania, at nine in Hungary and Germany.
    QuietRule(start_min=10 * 60 + 10, end_min=10 * 60 + 25, exempt_priorities=(0,)),
    QuietRule(start_min=9 * 60, end_min=9 * 60 + 5, prefixes=("+36",)),
)
_OPENINGS_S: Final = (300.0, 1500.0)
"""When these end, if nobody sets the clock."""
_BESIDE_S: Final = (-200.0, -100.0, -50.0, -1.0, -0.001, 0.0, 0.001, 0.01, 0.3, 3.0, 6.0)
"""Before they end, and while what was moved to their end falls due."""


def drawn_quiet(random: Random) -> tuple[QuietRule, ...]:
    """None in two of three worlds."""
    return random.choice(((), (), _QUIET))


class LimitWatch:
    """What left, by limit and values, since the daemon last began: a crash may forget what was not written yet."""

    def __init__(self, rules: tuple[LimitRule, ...], quiet: tuple[QuietRule, ...]) -> None:
        self.rules = rules
        self.quiet = quiet
        self.hours = Quiet(quiet)
        self._limits = [Limit(rule) for rule in rules]
        self._leaks: dict[tuple[str, Values], Leak] = {}
        self._used: dict[tuple[str, Values], tuple[Span, int]] = {}

    @property
    def openings_s(self) -> tuple[float, ...]:
        """When it matters in which order clients submit."""
        return tuple(opens_s + beside_s for opens_s in _OPENINGS_S for beside_s in _BESIDE_S if self.quiet)

    def forget(self) -> None:
        self._leaks.clear()
        self._used.clear()

    def calm_down(self, world: Scene) -> None:
        """An allowance may be used up for weeks, and is lifted. Flows stay: they must let everything go in time."""
        self.rules = tuple(rule for rule in self.rules if not rule.is_allowance)
        self._limits = [limit for limit in self._limits if not limit.rule.is_allowance]
        if world.dispatcher is not None:
            world.dispatcher.set_limits(self.rules, world.now, world.wall_ms)

    def note(self, message: Message, channel: str, lane: str, now: float, wall_ms: int) -> None:
        """A message was handed over. Raises Violation when a limit did not allow it."""
        if message.segments > 1 or message.delivery is Delivery.AT_MOST_ONCE:
            return
        at_ms = max(wall_ms, message.send_at_ms)
        if self.hours.opens_ms(message, at_ms) > at_ms:
            raise Violation(f"message {message.key} to {message.to} left in quiet hours")
        for limit in self._limits:
            values = limit.values(message, channel)
            if values is None or (limit.by_lane and not limit.concerns_lane(lane)):
                continue
            if "lane" in limit.rule.per:
                values = (*values, lane)
            name = limit.rule.name, values
            if limit.rule.is_allowance:
                self._count(limit.rule, name, wall_ms)
            else:
                self._pour(limit.rule, name, now)

    def _pour(self, rule: LimitRule, name: tuple[str, Values], now: float) -> None:
        leak = self._leaks.get(name)
        if leak is None:
            leak = self._leaks[name] = Leak(burst=rule.burst)
            leak.set_rate(rule.limit / PERIOD_S[rule.every])
        leak.pour(1, now, str(name))

    def _count(self, rule: LimitRule, name: tuple[str, Values], wall_ms: int) -> None:
        span = span_of(wall_ms, rule.every, rule.zone)
        known, used = self._used.get(name, (span, 0))
        if span.start_ms > known.start_ms:
            known, used = span, 0
        self._used[name] = known, used + 1
        if used + 1 > rule.limit:
            raise Violation(f"{name} let {used + 1} go, its allowance is {rule.limit}")
