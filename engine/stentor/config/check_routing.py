"""What must hold between the tables of routing and the rest: names that exist, choices that can be made, rules that
can be reached, prices without holes.

What cannot work is a fault with its key and what would be right; what is allowed but unwise is a warning.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from stentor.address import parse_originator
from stentor.config.fields import Faults, nearest
from stentor.config.lines import Path
from stentor.config.routing import DEFAULT_ZONE, PoolKeys, PriceKeys, Route
from stentor.config.schema import Account, Config
from stentor.errors import Refusal
from stentor.numbers.countries import CALLING_CODES, COUNTRIES, prefixes_of
from stentor.routing.claims import claims
from stentor.routing.destinations import Destinations, place_fault
from stentor.routing.hours import parse_days, parse_span, read_zone
from stentor.routing.pools import candidates
from stentor.routing.prices import Price, PriceTable
from stentor.routing.rules import ANY, Rule, is_country

_MOST_HOLES: Final = 5


class RoutingCheck:
    """One look at a configuration. ``routes``, ``pools`` and ``prices`` are by their place in the file, None for each
    that has a fault; ``channels`` are all declared names, those with a fault too."""

    def __init__(
        self,
        config: Config,
        faults: Faults,
        warnings: list[str],
        routes: Mapping[int, Route | None],
        pools: Mapping[int, PoolKeys | None],
        prices: Mapping[int, PriceKeys | None],
        channels: Collection[str],
    ) -> None:
        self._config = config
        self._faults = faults
        self._warnings = warnings
        self._routes = {index: route for index, route in routes.items() if route is not None}
        self._pools = {index: pool for index, pool in pools.items() if pool is not None}
        self._prices = {index: price for index, price in prices.items() if price is not None}
        self._channels = channels
        self._tags = {name: frozenset(channel.keys.tags) for name, channel in config.channels.items()}

    def run(self) -> None:
        before = len(self._faults.errors)
        for index, route in self._routes.items():
            path = ("routes", index)
            self._check_channels(route, path)
            self._check_asked(route, path)
            self._check_given(route, path)
        self._check_pools()
        for name, account in self._config.accounts.items():
            self._check_account(account, ("accounts", name))
        self._check_lists("numbers", self._config.numbers.allow, self._config.numbers.deny)
        table = self._check_prices()
        if len(self._faults.errors) == before:
            # These read what the above has found in order.
            self._check_claims()
            self._check_holes(table)
            self._warn()

    # -- one route --------------------------------------------------------------------------------------------------

    def _check_channels(self, route: Route, path: Path) -> None:
        listed: set[str] = set()
        for place, name in enumerate(route.channels):
            where = (*path, "channels", place)
            if name not in self._channels:
                self._faults.add(
                    where,
                    f'there is no channel "{name}"',
                    nearest(name, self._channels) or f"declare [channels.{name}]",
                )
            elif name in self._config.channels and not self._config.channels[name].can_send:
                self._faults.add(where, f'"{name}" only receives')
            elif name in listed:
                self._faults.add(where, f'"{name}" is listed twice')
            elif missing := frozenset(route.require) - self._tags.get(name, frozenset(route.require)):
                self._faults.add(
                    where,
                    f'"{name}" lacks {_quoted(missing)}, which the route requires',
                    f"add it to channels.{name}.tags, or leave the channel out",
                )
            listed.add(name)

    def _check_asked(self, route: Route, path: Path) -> None:
        if route.prefixes and route.countries:
            self._faults.add((*path, "country"), "stands beside prefix", "make two routes of it")
        if route.originators and route.kinds:
            self._faults.add(
                (*path, "originator_kind"), "stands beside originator", "an originator has its kind already"
            )
        for place, country in enumerate(route.countries):
            if country not in COUNTRIES and country not in CALLING_CODES:
                self._add_country((*path, "country", place), country)
        for place, text in enumerate(route.originators):
            self._check_originator((*path, "originator", place), text)
        for key, texts, read in (("hours", route.hours, parse_span), ("days", route.days, parse_days)):
            for place, text in enumerate(texts):
                self._check_text((*path, key, place), text, read)
        self._check_text((*path, "zone"), route.zone or DEFAULT_ZONE, read_zone)
        if route.zone and not (route.hours or route.days):
            self._faults.add((*path, "zone"), "says nothing without hours or days")

    def _check_text(self, path: Path, text: str, read: object) -> None:
        assert callable(read)
        try:
            read(text)
        except ValueError as error:
            self._faults.add(path, str(error))

    def _check_given(self, route: Route, path: Path) -> None:
        if route.weights and len(route.weights) != len(route.channels):
            given, wanted = len(route.weights), len(route.channels)
            self._faults.add(
                (*path, "weights"), f"must have a number for each channel: {wanted}, and not {given}"
            )
        elif route.weights and not any(route.weights):
            self._faults.add((*path, "weights"), "are all 0", "give one channel a part of the messages")
        if route.weights and route.least_cost:
            self._faults.add((*path, "least_cost"), "stands beside weights", "give exactly one of them")
        if route.originator and route.pool:
            self._faults.add((*path, "pool"), "stands beside from", "give exactly one of them")
        self._check_pool_name(route.pool, (*path, "pool"))

    # -- pools, accounts, lists -------------------------------------------------------------------------------------

    def _check_pools(self) -> None:
        first: dict[str, int] = {}
        for index, pool in self._pools.items():
            path = ("pools", index)
            if first.setdefault(pool.name, index) != index:
                self._faults.add((*path, "name"), f'"{pool.name}" is pools[{first[pool.name]}] already')
            before = len(self._faults.errors)
            for place, text in enumerate(pool.originators):
                self._check_originator((*path, "originators", place), text)
            for country, texts in pool.by_country.items():
                if country not in COUNTRIES:
                    self._add_country((*path, "by_country", country), country)
                if not texts:
                    self._faults.add((*path, "by_country", country), "must not be empty")
                for place, text in enumerate(texts):
                    self._check_originator((*path, "by_country", country, place), text)
            for place, country in enumerate(pool.no_names):
                if country not in COUNTRIES:
                    self._add_country((*path, "no_names", place), country)
                elif len(self._faults.errors) == before and not candidates(pool.pool, country):
                    self._faults.add(
                        (*path, "no_names", place),
                        f"leaves nothing to send from in {country}",
                        f"give a number or short code in originators or by_country.{country}",
                    )

    def _check_account(self, account: Account, path: Path) -> None:
        self._check_lists(".".join(map(str, path)), account.allow, account.deny)
        self._check_pool_name(account.pool, (*path, "pool"))
        known = frozenset[str]().union(*self._tags.values())
        for place, tag in enumerate(account.require):
            if tag not in known and self._config.channels:
                self._faults.add(
                    (*path, "require", place),
                    f'no channel has the tag "{tag}"',
                    nearest(tag, known) or "add it to a channel's tags",
                )

    def _check_lists(self, section: str, allow: Sequence[str], deny: Sequence[str]) -> None:
        table = tuple(section.split("."))
        for key, entries in (("allow", allow), ("deny", deny)):
            for place, entry in enumerate(entries):
                if fault := place_fault(entry):
                    hint = f'did you mean "{entry.upper()}"?' if entry.upper() in COUNTRIES else None
                    self._faults.add((*table, key, place), fault, hint)
                elif key == "deny" and entry in allow:
                    self._faults.add(
                        (*table, key, place), f'"{entry}" is allowed as well', "one of them must go"
                    )

    def _check_pool_name(self, name: str, path: Path) -> None:
        known = [pool.name for pool in self._pools.values()]
        if name and name not in known:
            self._faults.add(
                path, f'there is no pool "{name}"', nearest(name, known) or "declare it under [[pools]]"
            )

    def _check_originator(self, path: Path, text: str) -> None:
        try:
            parse_originator(text)
        except Refusal as error:
            self._faults.add(path, error.detail)

    def _add_country(self, path: Path, country: str) -> None:
        hint = "countries have two letters, like GB" if country == "UK" else nearest(country, COUNTRIES)
        self._faults.add(path, f'there is no country "{country}"', hint)

    # -- prices -----------------------------------------------------------------------------------------------------

    def _check_prices(self) -> PriceTable:
        known: dict[tuple[str, str], Price] = {}
        for price in self._config.price_list:
            known[price.channel, price.prefix] = price
        for index, keys in self._prices.items():
            path = ("prices", index)
            if keys.channel not in self._channels:
                self._faults.add(
                    (*path, "channel"),
                    f'there is no channel "{keys.channel}"',
                    nearest(keys.channel, self._channels),
                )
            try:
                entry = keys.entry
            except ValueError as error:
                self._faults.add((*path, "price"), str(error))
                continue
            other = next(iter(known.values()), entry)
            if entry.currency != other.currency:
                self._faults.add(
                    (*path, "currency"),
                    f'"{entry.currency}" cannot be compared with "{other.currency}"',
                    "give all prices in one currency",
                )
            if (entry.channel, entry.prefix) in known:
                self._faults.add((*path, "prefix"), "has a price on this channel already")
            known[entry.channel, entry.prefix] = entry
        return PriceTable(known.values())

    def _check_holes(self, table: PriceTable) -> None:
        """Destinations of a ``least_cost`` route for which one of its channels has no price."""
        for index, route in self._routes.items():
            if not route.least_cost:
                continue
            for place, name in enumerate(route.channels):
                holes = [hole for hole in _places(route.rule) if table.price(name, hole) is None]
                if not holes:
                    continue
                shown = ", ".join(hole or "any destination" for hole in holes[:_MOST_HOLES])
                more = f" and {len(holes) - _MOST_HOLES} more" if len(holes) > _MOST_HOLES else ""
                detail = f'"{name}" has no price for {shown}{more}'
                if self._config.routing.unpriced == "refuse":
                    hint = 'add prices, or set routing.unpriced = "not_offered"'
                    self._faults.add(("routes", index, "channels", place), detail, hint)
                else:
                    self._warnings.append(
                        f"routes[{index}].channels[{place}]: {detail}, it is not offered there"
                    )

    # -- between routes ---------------------------------------------------------------------------------------------

    def _check_claims(self) -> None:
        indexes = list(self._routes)
        rules = [route.rule for route in self._routes.values()]
        for index, rule in zip(indexes, rules, strict=True):
            for place, count in Counter(rule.places).items():
                if count > 1:
                    self._add_claim(index, place, index)
            if rule.hours is not None and rule.hours.are_never:
                self._faults.add(("routes", index, "hours"), "are none")
        told: set[tuple[int, int]] = set()
        for claim in claims(rules):
            index, by = indexes[claim.rule], indexes[claim.by]
            if claim.is_whole and index != by:
                self._add_claim(index, claim.place, by)
            elif index != by and (index, by) not in told:
                told.add((index, by))
                self._warnings.append(
                    f"routes[{index}]: shares some messages with routes[{by}], which gets them"
                )

    def _add_claim(self, index: int, place: str, by: int) -> None:
        what, key = f'prefix "{place}"', "prefix"
        if place == ANY:
            what = "any destination"
        elif is_country(place):
            what, key = f'country "{place}"', "country"
        self._faults.add(("routes", index, key), f"{what} is claimed by routes[{by}] already")

    # -- warnings ---------------------------------------------------------------------------------------------------

    def _warn(self) -> None:
        config, numbers = self._config, self._config.numbers
        everyone = Destinations(numbers.allow, numbers.deny)
        for index, route in self._routes.items():
            chosen = [config.channels[name] for name in route.channels if name in config.channels]
            if chosen and not any(channel.keys.enabled for channel in chosen):
                self._warnings.append(f"routes[{index}]: none of its channels is enabled")
            places = _places(route.rule)
            if places != [ANY] and not any(everyone.verdict(place)[0] for place in places):
                self._warnings.append(
                    f"routes[{index}]: numbers.allow and numbers.deny leave it no destination"
                )
            is_chosen = bool(route.weights) or route.least_cost
            if route.sticky_s and not route.pool and (len(route.channels) == 1 or not is_chosen):
                self._warnings.append(f"routes[{index}].sticky: there is no choice to keep")
            self._warn_accounts(index, route)

    def _warn_accounts(self, index: int, route: Route) -> None:
        accounts = self._config.accounts
        for place, name in enumerate(route.accounts):
            if accounts and name not in accounts and name != "default":
                hint = nearest(name, accounts)
                told = f"there is no [accounts.{name}]" + (f", {hint}" if hint else "")
                self._warnings.append(f"routes[{index}].account[{place}]: {told}")
        for name, account in accounts.items():
            required = frozenset(account.require)
            concerned = not route.accounts or name in route.accounts
            if required and concerned and not any(required <= self._tags[one] for one in route.channels):
                self._warnings.append(
                    f"accounts.{name}.require: routes[{index}] has no channel with {_quoted(required)}, its "
                    "messages are refused there"
                )


def _places(rule: Rule) -> list[str]:
    """The prefixes of a rule's destinations."""
    found: list[str] = []
    for place in rule.places:
        found += prefixes_of(place) if is_country(place) else (place,)
    return found


def _quoted(tags: Iterable[str]) -> str:
    return ", ".join(f'"{tag}"' for tag in sorted(tags))
