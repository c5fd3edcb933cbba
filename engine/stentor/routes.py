"""Which channels may carry a message: the route table, compiled from ``[[routes]]`` once a configuration is
loaded.

The longest prefix of the destination wins; a rule without prefixes takes what no prefix claims; of two rules
with one prefix the first declared wins. Without any rule everything goes to the channels in the order they
are declared, so that one channel needs no rule at all. A table never changes: a reload makes a new one.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from stentor.errors import Refusal


class Rule(msgspec.Struct, frozen=True):
    """One ``[[routes]]``: prefixes with ``+`` (none: any destination), channels in order of preference, and
    the originator of messages that name none ("" leaves that to the channel)."""

    channels: tuple[str, ...]
    prefixes: tuple[str, ...] = ()
    originator: str = ""


class ChannelDefaults(msgspec.Struct, frozen=True, gc=False):
    """What a channel gives a message that does not say: "" and 0 for nothing of its own. A channel that cannot send
    carries no message at all."""

    originator: str = ""
    valid_for_s: int = 0
    can_send: bool = True


class Route(msgspec.Struct, frozen=True, gc=False):
    """Where a message goes: channels in order of preference, with the defaults that come with them."""

    channels: tuple[str, ...]
    originator: str = ""
    valid_for_s: int = 0


class RouteTable:
    """``rules`` in declared order; ``channels`` by name, in declared order, with their defaults.

    Every channel a rule names must be in ``channels`` and able to send; the configuration has seen to that.
    """

    __slots__ = ("_any", "_by_prefix", "_lengths", "_pinned", "_receiving")

    def __init__(
        self, rules: Sequence[Rule], channels: Mapping[str, ChannelDefaults] | Iterable[str]
    ) -> None:
        if not isinstance(channels, Mapping):
            channels = {name: ChannelDefaults() for name in channels}
        self._pinned = {
            name: Route((name,), defaults.originator, defaults.valid_for_s)
            for name, defaults in channels.items()
            if defaults.can_send
        }
        self._receiving = channels.keys() - self._pinned.keys()
        self._by_prefix: dict[str, Route] = {}
        self._any: Route | None = None
        for rule in rules:
            route = self._compile(rule)
            for prefix in rule.prefixes:
                self._by_prefix.setdefault(prefix, route)
            if not rule.prefixes and self._any is None:
                self._any = route
        if not rules and self._pinned:
            self._any = self._compile(Rule(tuple(self._pinned)))
        self._lengths = sorted({len(prefix) for prefix in self._by_prefix}, reverse=True)

    def _compile(self, rule: Rule) -> Route:
        """The rule's route. What the rule does not say is the preferred channel's to say."""
        first = self._pinned[rule.channels[0]]
        return Route(rule.channels, rule.originator or first.originator, first.valid_for_s)

    def find(self, destination: str) -> Route:
        """The route of an E.164 destination. Raises Refusal ``no_route``."""
        by_prefix = self._by_prefix
        for length in self._lengths:
            route = by_prefix.get(destination[:length])
            if route is not None:
                return route
        if self._any is None:
            raise Refusal("no_route", "no route leads to this destination", "$.to")
        return self._any

    def lookup(self, destination: str) -> tuple[str, ...]:
        """The channels that may carry a message to the destination, best first. Raises Refusal
        ``no_route``."""
        return self.find(destination).channels

    def pin(self, channel: str) -> Route:
        """The route of a message that names its channel. Raises Refusal ``unknown_channel``."""
        route = self._pinned.get(channel)
        if route is None:
            is_known = channel in self._receiving
            detail = "this channel only receives" if is_known else "there is no channel of this name"
            raise Refusal("unknown_channel", detail, "$.channel")
        return route
