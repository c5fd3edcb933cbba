"""Which channels may carry a message, and from which originator: everything the configuration says about routing,
compiled once it is loaded.

Two ways lead through a table. ``find`` and ``pin`` serve a *plain* one, whose rules ask for prefixes alone and whose
accounts are held to nothing: the longest prefix of the destination wins. ``decide`` serves every table and can tell
its steps; on a plain table it agrees with the other. Without any rule everything goes to the channels in the order
they are declared, so that one channel needs no rule at all.

Whatever decides, a Route names only channels that have all the tags its rule and its account require. Fail-over stays
within the route, so it cannot leave them. A table never changes: a reload makes a new one.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from stentor.errors import Refusal
from stentor.numbers.prefixes import PrefixTable
from stentor.routing.choice import Choice, permitted
from stentor.routing.destinations import Destinations
from stentor.routing.hours import local_text
from stentor.routing.pools import Pool, PoolChooser
from stentor.routing.prices import PriceTable
from stentor.routing.rules import ANY, Candidate, Query, Rule, RuleTable
from stentor.routing.sticky import Sticky
from stentor.text.coding import DEFAULT, Coding

__all__ = [
    "STICKY_LIMIT",
    "AccountTerms",
    "ChannelDefaults",
    "Decision",
    "Query",
    "Route",
    "RouteTable",
    "Routing",
    "Rule",
    "Step",
]

STICKY_LIMIT: Final = 100_000
_FEW: Final = 4
_NONE: Final[frozenset[str]] = frozenset()
_HOW: Final = {
    "listed": "as listed",
    "weights": "by weight",
    "least_cost": "the cheapest first",
    "sticky": "the channel it had last first",
}
_DIFFERS: Final = {
    "account": "it asks for another account",
    "originator": "it asks for another originator",
    "originator_kind": "it asks for another kind of originator",
    "tag": "it asks for another tag",
}


class ChannelDefaults(msgspec.Struct, frozen=True, gc=False):
    """What a channel gives a message that does not say ("" and 0 for nothing of its own), and how it takes texts. A
    channel that cannot send carries no message at all. ``tags`` are what routes and accounts can require of it.
    ``schedules_s``: its peer takes messages so long before they are due."""

    originator: str = ""
    valid_for_s: int = 0
    can_send: bool = True
    tags: frozenset[str] = _NONE
    coding: Coding = DEFAULT
    schedules_s: float = 0.0


class Route(msgspec.Struct, frozen=True, gc=False):
    """Where a message goes: channels in order of preference, with the defaults that come with them.

    ``coding`` is the preferred channel's; the one object ``DEFAULT`` where it equals that. ``ahead_ms``: that channel
    takes a message so long before it is due.
    """

    channels: tuple[str, ...]
    originator: str = ""
    valid_for_s: int = 0
    coding: Coding = DEFAULT
    ahead_ms: int = 0


class AccountTerms(msgspec.Struct, frozen=True):
    """What an account is held to: the tags of channels that may carry its messages, destinations it may send to, and
    the pool its messages are sent from that name no originator and meet none on their way."""

    required: frozenset[str] = _NONE
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    pool: str = ""

    @property
    def are_plain(self) -> bool:
        return not (self.required or self.allow or self.deny or self.pool)


class Routing(msgspec.Struct, frozen=True):
    """What a table is made of beside rules and channels."""

    accounts: Mapping[str, AccountTerms] = {}
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    prices: PriceTable = PriceTable()
    pools: tuple[Pool, ...] = ()


class Step(msgspec.Struct, frozen=True):
    """One step of a decision: what was looked at (``step``, ``subject``), what came of it (``passed``, ``skipped``,
    ``chosen``, ``waits`` or ``refused``), and why."""

    step: Literal[
        "number",
        "destination",
        "channel",
        "rule",
        "requirement",
        "price",
        "order",
        "originator",
        "quiet_hours",
    ]
    subject: str
    result: Literal["passed", "skipped", "chosen", "waits", "refused"]
    detail: str = ""


class Decision(msgspec.Struct, frozen=True):
    """What was decided about a message: its route, and its originator ("" for none)."""

    route: Route
    originator: str


class _Terms(msgspec.Struct, frozen=True):
    """AccountTerms compiled."""

    account: str
    required: frozenset[str]
    destinations: Destinations | None
    pool: PoolChooser | None


class RouteTable:
    """``rules`` in declared order; ``channels`` by name, in declared order, with their defaults; ``sticky`` outlives
    the table.

    Every channel a rule names must be in ``channels`` and able to send, every pool in ``routing.pools``; the
    configuration has seen to that.
    """

    __slots__ = (
        "_by_prefix",
        "_choices",
        "_destinations",
        "_few",
        "_few_lengths",
        "_free",
        "_pinned",
        "_pools",
        "_prices",
        "_receiving",
        "_rules",
        "_sticky",
        "_table",
        "_tags",
        "_terms",
        "is_plain",
    )

    def __init__(
        self,
        rules: Sequence[Rule],
        channels: Mapping[str, ChannelDefaults] | Iterable[str],
        routing: Routing | None = None,
        sticky: Sticky | None = None,
    ) -> None:
        if not isinstance(channels, Mapping):
            channels = {name: ChannelDefaults() for name in channels}
        routing = routing or Routing()
        self._pinned = {
            name: Route(
                (name,),
                defaults.originator,
                defaults.valid_for_s,
                _same(defaults.coding),
                int(defaults.schedules_s * 1000),
            )
            for name, defaults in channels.items()
            if defaults.can_send
        }
        self._tags = {name: defaults.tags for name, defaults in channels.items()}
        self._receiving = channels.keys() - self._pinned.keys()
        everything = (Rule(tuple(self._pinned), name="every channel"),) if self._pinned else ()
        self._rules = tuple(rules) or everything
        self._table = RuleTable(self._rules)
        self._choices: dict[tuple[int, frozenset[str]], Choice[Route] | None] = {}
        self._prices = routing.prices
        self._sticky = Sticky(STICKY_LIMIT) if sticky is None else sticky
        self._pools = {pool.name: PoolChooser(pool) for pool in routing.pools}
        self._destinations = _destinations(routing.allow, routing.deny)
        self._free = _Terms("", _NONE, None, None)
        self._terms = {name: self._compile_terms(name, terms) for name, terms in routing.accounts.items()}
        self.is_plain = (
            all(rule.is_plain for rule in self._rules)
            and all(terms.are_plain for terms in routing.accounts.values())
            and self._destinations is None
        )
        plain = self._plain_routes() if self.is_plain else {}
        self._by_prefix = PrefixTable(plain)
        lengths = sorted({len(prefix) for prefix in plain}, reverse=True)
        # Every message asks. Where prefixes have few lengths, trying them all is quicker than finding out which.
        self._few = plain
        self._few_lengths = lengths if len(lengths) <= _FEW else []

    # -- a plain table ----------------------------------------------------------------------------------------------

    def _plain_routes(self) -> dict[str, Route]:
        found: dict[str, Route] = {}
        for rule in self._rules:
            route = self._compile(rule, rule.channels)
            for prefix in rule.places:
                found.setdefault(prefix, route)
        return found

    def _compile(self, rule: Rule, channels: tuple[str, ...]) -> Route:
        """The rule's route by ``channels``. What the rule does not say is the preferred channel's to say."""
        first = self._pinned[channels[0]]
        originator = rule.originator or first.originator
        return Route(channels, originator, first.valid_for_s, first.coding, first.ahead_ms)

    def find(self, destination: str) -> Route:
        """The route of an E.164 destination, by a plain table. Raises Refusal ``no_route``."""
        by_prefix = self._few
        for length in self._few_lengths:
            route = by_prefix.get(destination[:length])
            if route is not None:
                return route
        return self._find_among_many(destination)

    def _find_among_many(self, destination: str) -> Route:
        assert self.is_plain, "more than the destination decides: see decide"
        found = self._by_prefix.find(destination)
        if found is None:
            raise _no_route("no route leads to this destination")
        return found

    def lookup(self, destination: str) -> tuple[str, ...]:
        """The channels that may carry a message to the destination, best first, by a plain table. Raises Refusal
        ``no_route``."""
        return self.find(destination).channels

    def pin(self, channel: str) -> Route:
        """The route of a message that names its channel, by a plain table. Raises Refusal ``unknown_channel``."""
        route = self._pinned.get(channel)
        if route is None:
            is_known = channel in self._receiving
            detail = "this channel only receives" if is_known else "there is no channel of this name"
            raise Refusal("unknown_channel", detail, "$.channel")
        return route

    # -- any table --------------------------------------------------------------------------------------------------

    def decide(self, query: Query, steps: list[Step] | None = None) -> Decision:
        """Route and originator of a message. Raises Refusal: ``destination_not_allowed``, ``no_route``,
        ``unknown_channel``, ``channel_not_allowed``.

        With ``steps`` each step is told there, the one that refuses too, and nothing is remembered of the decision.
        """
        terms = self._terms.get(query.account, self._free)
        self._check_destination(query, terms, steps)
        rule: Rule | None = None
        if query.channel is not None:
            route = self._decide_pinned(query.channel, query, terms, steps)
        else:
            candidate = self._match(query, steps)
            rule = candidate.rule
            route = self._decide_order(candidate, query, terms, steps)
        return Decision(route, self._originator(query, rule, terms, route, steps))

    def price(self, channel: str, number: str) -> tuple[int, str] | None:
        """Millionths of which currency a segment costs."""
        found = self._prices.price(channel, number)
        return None if found is None else (found, self._prices.currency)

    def _check_destination(self, query: Query, terms: _Terms, steps: list[Step] | None) -> None:
        for destinations, is_own in ((self._destinations, False), (terms.destinations, True)):
            if destinations is None:
                continue
            allowed, entry = destinations.verdict(query.to)
            whose = f'account "{query.account}"' if is_own else ""
            if steps is not None:
                detail = f"by {entry}" if entry else "no entry fits"
                steps.append(
                    Step("destination", whose or "everyone", "passed" if allowed else "refused", detail)
                )
            if not allowed:
                reason = f"{whose} may not send to this destination" if whose else "nobody may send there"
                reason += f" ({entry} is denied)" if entry else " (it is not among those allowed)"
                raise Refusal("destination_not_allowed", reason, "$.to")

    def _decide_pinned(self, channel: str, query: Query, terms: _Terms, steps: list[Step] | None) -> Route:
        try:
            route = self.pin(channel)
        except Refusal as error:
            if steps is not None:
                steps.append(Step("channel", channel, "refused", error.detail))
            raise
        missing = terms.required - self._tags[channel]
        if steps is not None:
            detail = f"it lacks {_listed(missing)}" if missing else "named by the message"
            steps.append(Step("channel", channel, "refused" if missing else "chosen", detail))
        if missing:
            raise Refusal(
                "channel_not_allowed",
                f'messages of account "{query.account}" need a channel that has {_listed(terms.required)}',
                "$.channel",
            )
        return route

    def _match(self, query: Query, steps: list[Step] | None) -> Candidate:
        if steps is None:
            candidate = self._table.match(query)
        else:
            candidate = None
            for place, found in self._table.candidates(query.to):
                unmet = found.unmet(query)
                detail = _differs(unmet, found.rule, query) if unmet else _fits(place, found.rule, query)
                steps.append(Step("rule", self.rule_name(found), "skipped" if unmet else "chosen", detail))
                if not unmet:
                    candidate = found
                    break
        if candidate is None:
            raise _no_route("no route leads to this destination", steps)
        return candidate

    def _decide_order(
        self, candidate: Candidate, query: Query, terms: _Terms, steps: list[Step] | None
    ) -> Route:
        choice = self._choice(candidate, terms.required)
        required = candidate.rule.required | terms.required
        if steps is not None and required:
            self._tell_required(candidate.rule, required, steps)
        if choice is None:
            raise _no_route(f"no channel that has {_listed(required)} leads to this destination", steps)
        route, how = choice.order(query, remember=steps is None)
        if steps is not None and candidate.rule.is_cheapest:
            for name in choice.channels:
                if self._prices.price(name, query.to) is None:
                    steps.append(
                        Step("price", name, "skipped", "none for this destination, it is not offered")
                    )
        if route is None:
            raise _no_route("no channel has a price for this destination", steps)
        if steps is not None:
            shares = [f"{name} {share:.0%}" for name, share in choice.shares().items()]
            detail = ", ".join([_HOW[how], *shares] if how == "weights" else [_HOW[how]])
            steps.append(Step("order", " ".join(route.channels), "chosen", detail))
        return route

    def _tell_required(self, rule: Rule, required: frozenset[str], steps: list[Step]) -> None:
        for name in rule.channels:
            missing = required - self._tags[name]
            if missing:
                steps.append(Step("requirement", name, "skipped", f"lacks {_listed(missing)}"))
            else:
                steps.append(Step("requirement", name, "passed", f"has {_listed(required)}"))

    def _originator(
        self, query: Query, rule: Rule | None, terms: _Terms, route: Route, steps: list[Step] | None
    ) -> str:
        pool: PoolChooser | None = None
        if query.originator is not None:
            found, source = query.originator.text, "named by the message"
        elif rule is not None and rule.pool:
            pool = self._pools[rule.pool]
        elif rule is not None and rule.originator:
            found, source = rule.originator, "the route's"
        elif terms.pool is not None:
            pool = terms.pool
        else:
            found, source = route.originator, "the channel's" if route.originator else "none is set"
        if pool is not None:
            found, source = (
                self._from_pool(pool, query, rule, remember=steps is None),
                f"pool {pool.pool.name}",
            )
        if steps is not None:
            steps.append(Step("originator", found, "chosen", source))
        return found

    def _from_pool(self, pool: PoolChooser, query: Query, rule: Rule | None, *, remember: bool) -> str:
        found = pool.choose(query.to)
        if rule is None or not rule.sticky_s:
            return found
        key = (pool.pool.name, query.account, query.to)
        kept = self._sticky.get(key, query.now_ms)
        if kept is not None and kept in pool.candidates(query.to):
            found = kept
        if remember:
            self._sticky.put(key, found, query.now_ms + rule.sticky_s * 1000)
        return found

    # -- compiling --------------------------------------------------------------------------------------------------

    def rule_name(self, candidate: Candidate) -> str:
        """The rule's own name, or its place in the configuration."""
        return candidate.rule.name or f"routes[{candidate.index}]"

    def _choice(self, candidate: Candidate, required: frozenset[str]) -> Choice[Route] | None:
        """The orders of a rule's channels for those who require tags; None when none of them has these. There are as
        many as rules times sets of tags."""
        key = (candidate.index, required)
        if key in self._choices:
            return self._choices[key]
        rule = candidate.rule
        channels = permitted(rule.channels, self._tags, rule.required | required)
        choice = None
        if channels:
            choice = Choice(
                rule, channels, lambda order: self._compile(rule, order), self._prices, self._sticky
            )
        self._choices[key] = choice
        return choice

    def _compile_terms(self, account: str, terms: AccountTerms) -> _Terms:
        pool = self._pools[terms.pool] if terms.pool else None
        return _Terms(account, terms.required, _destinations(terms.allow, terms.deny), pool)


def _destinations(allow: Sequence[str], deny: Sequence[str]) -> Destinations | None:
    return Destinations(allow, deny) if allow or deny else None


def _no_route(detail: str, steps: list[Step] | None = None) -> Refusal:
    if steps is not None:
        steps.append(Step("order", "", "refused", detail))
    return Refusal("no_route", detail, "$.to")


def _listed(tags: Iterable[str]) -> str:
    return ", ".join(sorted(tags))


def _differs(unmet: str, rule: Rule, query: Query) -> str:
    """Why a rule does not fit."""
    if rule.hours is not None and unmet == "hours":
        return f"it asks for other hours than {local_text(rule.hours.zone, query.due_ms)}"
    return _DIFFERS[unmet]


def _fits(place: str, rule: Rule, query: Query) -> str:
    """What a rule asks for, all of which holds."""
    where = "any destination" if place == ANY else f"{'prefix' if place[0] == '+' else 'country'} {place}"
    asked = [where]
    if rule.accounts:
        asked.append(f"account {query.account}")
    if rule.originators and query.originator is not None:
        asked.append(f"originator {query.originator.text}")
    elif rule.kinds:
        asked.append(f"originator_kind {query.kind}")
    if rule.tags:
        asked.append(f"tag {_listed(rule.tags.intersection(query.tags))}")
    if rule.hours is not None:
        asked.append(f"hours at {local_text(rule.hours.zone, query.due_ms)}")
    return ", ".join(asked)


def _same(coding: Coding) -> Coding:
    """Admission asks by identity whether a coding is the usual one."""
    return DEFAULT if coding == DEFAULT else coding
