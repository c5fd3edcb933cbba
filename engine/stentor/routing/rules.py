"""Which rule decides about a message: conditions, their order of precedence, and the search for the first that fits.

A rule asks for destinations (by prefix or by country; none: any) and for whatever else it names; values of one
condition are alternatives, and all its conditions must hold. Of the rules that fit, the one asking for more decides:

1. the longer prefix; a country counts as the beginning of the number that tells it, and comes behind a prefix as long;
2. one that names the account;
3. one that names the originator, before one that names its kind;
4. one that names a tag;
5. one that names hours;
6. the one declared first.

So a rule that asks for all another asks for, and for more, is never behind it.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from stentor.address import Originator, OriginatorKind
from stentor.numbers.countries import country_of, country_prefix
from stentor.numbers.prefixes import PrefixTable
from stentor.routing.hours import Hours

NO_ORIGINATOR: Final = "none"
"""The kind of originator of a message that names none."""

KINDS: Final = (*(kind.value for kind in OriginatorKind), NO_ORIGINATOR)
ANY: Final = ""
"""The place of a rule that asks for no destination: the prefix of every number."""


class Rule(msgspec.Struct, frozen=True):
    """One ``[[routes]]``, checked.

    What it asks for: ``prefixes`` with ``+``, ``countries`` by two letters (neither: any destination), ``accounts``,
    ``originators`` or their ``kinds``, ``tags``, ``hours``.
    What it gives: ``channels`` in order of preference, the ``originator`` of messages that name none ("" leaves that to
    the channel) or a ``pool`` of them, ``weights`` or ``is_cheapest`` for another first channel, ``sticky_s`` for how
    long a destination keeps it, and the tags that a channel is ``required`` to have.
    """

    channels: tuple[str, ...]
    prefixes: tuple[str, ...] = ()
    originator: str = ""
    name: str = ""
    countries: tuple[str, ...] = ()
    accounts: frozenset[str] = frozenset()
    originators: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    hours: Hours | None = None
    weights: tuple[int, ...] = ()
    is_cheapest: bool = False
    sticky_s: int = 0
    pool: str = ""
    required: frozenset[str] = frozenset()

    @property
    def places(self) -> tuple[str, ...]:
        """Prefixes and countries, or the one place that is any."""
        return (*self.prefixes, *self.countries) or (ANY,)

    @property
    def is_plain(self) -> bool:
        """It asks for prefixes alone and takes its channels as they are listed."""
        asks = self.countries or self.accounts or self.originators or self.kinds or self.tags or self.hours
        gives = self.weights or self.is_cheapest or self.sticky_s or self.pool or self.required
        return not (asks or gives)


class Query(msgspec.Struct, gc=False):
    """What is known of a message when it is routed. ``originator`` is None for one that names none, ``channel`` None
    for one that pins none; ``due_ms`` is when it is to be sent."""

    to: str
    now_ms: int
    due_ms: int
    account: str = "default"
    originator: Originator | None = None
    tags: Sequence[str] = ()
    channel: str | None = None
    key: int = 0

    @property
    def kind(self) -> str:
        return NO_ORIGINATOR if self.originator is None else self.originator.kind.value


class Candidate:
    """A rule at one of its places."""

    __slots__ = ("index", "is_free", "rule")

    def __init__(self, index: int, rule: Rule) -> None:
        self.index = index
        self.rule = rule
        self.is_free = not (rule.accounts or rule.originators or rule.kinds or rule.tags or rule.hours)
        """It asks for the destination alone."""

    @property
    def rank(self) -> tuple[bool, int, bool, bool]:
        """How much it asks for beside the destination; larger goes first."""
        rule = self.rule
        about_originator = 2 if rule.originators else 1 if rule.kinds else 0
        return bool(rule.accounts), about_originator, bool(rule.tags), rule.hours is not None

    def unmet(self, query: Query) -> str:
        """The first condition that does not hold, by its key in the configuration; "" when all do."""
        rule = self.rule
        if rule.accounts and query.account not in rule.accounts:
            return "account"
        if rule.originators and (query.originator is None or query.originator.text not in rule.originators):
            return "originator"
        if rule.kinds and query.kind not in rule.kinds:
            return "originator_kind"
        if rule.tags and rule.tags.isdisjoint(query.tags):
            return "tag"
        if rule.hours is not None and not rule.hours.hold(query.due_ms):
            return "hours"
        return ""


Chain = tuple[Candidate, ...]


class RuleTable:
    """Rules by their places, each place's in order of precedence."""

    __slots__ = ("by_country", "by_prefix")

    def __init__(self, rules: Sequence[Rule]) -> None:
        chains: dict[str, list[Candidate]] = {}
        for index, rule in enumerate(rules):
            candidate = Candidate(index, rule)
            for place in rule.places:
                chains.setdefault(place, []).append(candidate)
        ordered = {place: in_order(chain) for place, chain in chains.items()}
        self.by_prefix = PrefixTable(
            {place: chain for place, chain in ordered.items() if not is_country(place)}
        )
        self.by_country = {place: chain for place, chain in ordered.items() if is_country(place)}

    def candidates(self, number: str) -> Iterator[tuple[str, Candidate]]:
        """Every rule for the number with the place it has it by, in order of precedence."""
        country, length = "", 0
        if self.by_country:
            country, length = country_of(number), len(country_prefix(number))
        chain = self.by_country.get(country, ())
        for prefix, found in self.by_prefix.matches(number):
            if chain and len(prefix) < length:
                for candidate in chain:
                    yield country, candidate
                chain = ()
            for candidate in found:
                yield prefix, candidate
        for candidate in chain:
            yield country, candidate

    def match(self, query: Query) -> Candidate | None:
        """The rule that decides, None when none fits."""
        if self.by_country:
            return next((found for _, found in self.candidates(query.to) if not found.unmet(query)), None)
        for _, chain in self.by_prefix.matches(query.to):
            for candidate in chain:
                if candidate.is_free or not candidate.unmet(query):
                    return candidate
        return None


def is_country(place: str) -> bool:
    return place.isalpha()


def in_order(chain: Sequence[Candidate]) -> Chain:
    """Candidates of one place, those that ask for more first, else as declared."""
    if len(chain) == 1:
        return tuple(chain)
    return tuple(sorted(chain, key=lambda candidate: candidate.rank, reverse=True))
