"""Which rules claim the same messages: those that can never decide because others always do before them.

A rule at one of its places is *claimed* when, for every message it could decide there, some rule before it fits. What
a rule asks for beside hours is compared rule by rule; hours are added up, so that a day and a night rule together
claim what comes after them.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from stentor.numbers.countries import prefixes_of
from stentor.routing.hours import Hours
from stentor.routing.rules import Candidate, Chain, Rule, RuleTable


class Claim(msgspec.Struct, frozen=True):
    """Rule number ``rule`` is claimed at ``place`` (a prefix, a country, or "" for any destination) by rule ``by``:
    wholly, or only for some of the messages it seems to ask for."""

    rule: int
    place: str
    by: int
    is_whole: bool


def claims(rules: Sequence[Rule]) -> Iterator[Claim]:
    """Every claim on a rule, by the rules before it in precedence."""
    table = RuleTable(rules)
    chains = dict(table.by_prefix.items())
    for place, chain in chains.items():
        if len(chain) > 1:
            yield from _in_chain(place, chain)
    for country, chain in table.by_country.items():
        yield from _in_chain(country, chain)
        fronts = [chains.get(prefix, ()) for prefix in prefixes_of(country)]
        if all(fronts):
            yield from _by_prefixes(country, chain, fronts)


def _in_chain(place: str, chain: Chain) -> Iterator[Claim]:
    for number, candidate in enumerate(chain):
        before = chain[:number]
        owner = _owner(before, candidate.rule)
        if owner is not None:
            yield Claim(candidate.index, place, owner.index, is_whole=True)
            continue
        for other in before:
            if other.rank == candidate.rank and _share(other.rule, candidate.rule):
                yield Claim(candidate.index, place, other.index, is_whole=False)


def _by_prefixes(country: str, chain: Chain, fronts: Sequence[Chain]) -> Iterator[Claim]:
    """Rules of a country each of whose prefixes is claimed by rules for exactly that prefix."""
    for candidate in chain:
        owners = [_owner(front, candidate.rule) for front in fronts]
        if all(owners) and owners[0] is not None:
            yield Claim(candidate.index, country, owners[0].index, is_whole=True)


def _owner(before: Iterable[Candidate], rule: Rule) -> Candidate | None:
    """The rule with which those before have claimed all of a rule's messages."""
    minutes = 0
    wanted = _minutes(rule.hours)
    for other in before:
        if not _covers(other.rule, rule):
            continue
        if (
            other.rule.hours is not None
            and rule.hours is not None
            and other.rule.hours.zone != rule.hours.zone
        ):
            continue  # what clocks of different places show cannot be added up
        minutes |= _minutes(other.rule.hours)
        if not wanted & ~minutes:
            return other
    return None


def _covers(wide: Rule, narrow: Rule) -> bool:
    """Whether everything ``narrow`` takes beside its hours is taken by ``wide``."""
    if wide.kinds and not (narrow.kinds and narrow.kinds <= wide.kinds):
        return False
    return (
        _takes(wide.accounts, narrow.accounts)
        and _takes(wide.originators, narrow.originators)
        and _takes(wide.tags, narrow.tags)
    )


def _takes(wide: frozenset[str], narrow: frozenset[str]) -> bool:
    return not wide or (bool(narrow) and narrow <= wide)


def _share(one: Rule, other: Rule) -> bool:
    """Whether two rules that ask for the same kinds of things name some of the same, and at the same hours."""
    named = [
        (one.accounts, other.accounts),
        (one.originators, other.originators),
        (one.kinds, other.kinds),
        (one.tags, other.tags),
    ]
    if any(mine and mine.isdisjoint(theirs) for mine, theirs in named):
        return False
    return bool(_minutes(one.hours) & _minutes(other.hours))


def _minutes(hours: Hours | None) -> int:
    """Minutes of the week as bits: octets of 1 in a large integer."""
    return _ALWAYS if hours is None else int.from_bytes(hours.minutes, "big")


_ALWAYS = int.from_bytes(b"\x01" * (7 * 24 * 60), "big")
