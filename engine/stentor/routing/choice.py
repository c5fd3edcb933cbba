"""In which order the channels of a rule are tried for a message: as listed, by weight, or cheapest first.

Whatever is chosen, the others follow in the order they have, for fail-over. Nothing here is random: a weighted choice
follows from the message's key. Channels that lack a required tag are left out before anything is chosen, so no choice,
no stickiness and no fail-over can bring them back.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Final, Generic, TypeVar

from stentor.routing.prices import PriceTable
from stentor.routing.rules import Query, Rule
from stentor.routing.sticky import Sticky

R = TypeVar("R")

# 2^64 divided by the golden ratio: keys that grow by any regular step are spread evenly (Knuth, volume 3, 6.4).
_GOLDEN: Final = 0x9E3779B97F4A7C15
_MASK: Final = (1 << 64) - 1
_SPREAD_BITS: Final = 32


def spread(key: int, buckets: int) -> int:
    """A number from 0 to ``buckets - 1`` that follows from the key and falls evenly over many keys."""
    return (((key * _GOLDEN) & _MASK) >> (64 - _SPREAD_BITS)) * buckets >> _SPREAD_BITS


def permitted(
    channels: Sequence[str], tags: Mapping[str, frozenset[str]], required: frozenset[str]
) -> tuple[str, ...]:
    """The channels that have every required tag, in the same order."""
    return tuple(name for name in channels if required <= tags.get(name, frozenset()))


class Choice(Generic[R]):
    """The orders of one rule's channels, of those that are ``permitted`` at all and never none.

    ``make`` turns an order of channels into what is handed out for it; it is asked once for each order.
    """

    __slots__ = ("_by_cell", "_by_order", "_make", "_prices", "_rule", "_shares", "_sticky", "channels")

    def __init__(
        self,
        rule: Rule,
        channels: tuple[str, ...],
        make: Callable[[tuple[str, ...]], R],
        prices: PriceTable,
        sticky: Sticky,
    ) -> None:
        assert channels, "a choice among no channels"
        self.channels = channels
        self._rule = rule
        self._make = make
        self._prices = prices
        self._sticky = sticky
        weights = dict(zip(rule.channels, rule.weights, strict=True)) if rule.weights else {}
        self._shares = list(accumulate(weights[name] for name in channels)) if weights else []
        self._by_order: dict[tuple[str, ...], R] = {}
        self._by_cell: dict[str | None, tuple[str, ...]] = {}

    def order(self, query: Query, *, remember: bool = True) -> tuple[R | None, str]:
        """What stands for the order chosen, and the word that says how: ``listed``, ``weights``, ``least_cost`` or
        ``sticky``. None when no channel has a price for the destination."""
        found, how = self._choose(query)
        if not found:
            return None, how
        rule = self._rule
        if rule.sticky_s and len(found) > 1:
            key = (rule.channels, query.account, query.to)
            kept = self._sticky.get(key, query.now_ms)
            if kept is not None and kept in found:
                found, how = _led_by(kept, found), "sticky"
            if remember:
                self._sticky.put(key, found[0], query.now_ms + rule.sticky_s * 1000)
        made = self._by_order.get(found)
        if made is None:
            made = self._by_order[found] = self._make(found)
        return made, how

    def shares(self) -> dict[str, float]:
        """What part of the messages each channel gets first, by weight; empty without weights."""
        total = self._shares[-1] if self._shares else 0
        firsts = [0, *self._shares]
        return {
            name: (firsts[place + 1] - firsts[place]) / total
            for place, name in enumerate(self.channels)
            if total
        }

    def _choose(self, query: Query) -> tuple[tuple[str, ...], str]:
        channels, shares = self.channels, self._shares
        if self._rule.is_cheapest:
            return self._cheapest(query.to), "least_cost"
        if shares and shares[-1]:
            first = bisect_right(shares, spread(query.key, shares[-1]))
            return _led_by(channels[first], channels), "weights"
        return channels, "listed"

    def _cheapest(self, number: str) -> tuple[str, ...]:
        """Remembered by the part of the price list that the number falls into; there are no more of these than
        prefixes in it."""
        cell = self._prices.cell(number)
        found = self._by_cell.get(cell)
        if found is None:
            found = self._by_cell[cell] = self._prices.order(self.channels, number)
        return found


def _led_by(first: str, channels: tuple[str, ...]) -> tuple[str, ...]:
    """The same channels, ``first`` before the others."""
    if channels[0] == first:
        return channels
    return (first, *(name for name in channels if name != first))
