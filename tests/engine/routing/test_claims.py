"""Rules that could never decide."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.routing.claims import Claim, claims
from stentor.routing.hours import make_hours
from stentor.routing.rules import Rule, RuleTable
from tests.engine.routing.test_rules import QUERIES, rules_of

DAY = make_hours(("08:00-20:00",), (), "UTC")
NIGHT = make_hours(("20:00-08:00",), (), "UTC")
NOON = make_hours(("12:00-13:00",), (), "UTC")
EVENING = make_hours(("18:00-22:00",), (), "UTC")
TOKYO = make_hours(("12:00-13:00",), (), "Asia/Tokyo")


def rule(prefix: str = "+40", **asked) -> Rule:
    asked = {key: frozenset(value) if type(value) is set else value for key, value in asked.items()}
    return Rule(("a",), (prefix,) if prefix else (), **asked)


def whole(*rules: Rule) -> list[tuple[int, str, int]]:
    return [(claim.rule, claim.place, claim.by) for claim in claims(rules) if claim.is_whole]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ((rule(), rule()), [(1, "+40", 0)]),
        ((rule(""), rule("")), [(1, "", 0)]),
        ((rule(), rule("+407")), []),
        ((rule(), rule(accounts={"x"})), []),
        ((rule(accounts={"x", "y"}), rule(accounts={"x"})), [(1, "+40", 0)]),
        ((rule(accounts={"x"}), rule(accounts={"x", "y"})), []),
        ((rule(accounts={"x"}), rule(accounts={"x"}, tags={"t"})), []),
        ((rule(tags={"t"}), rule(tags={"t"})), [(1, "+40", 0)]),
        ((rule(kinds={"name", "none"}), rule(kinds={"name"})), [(1, "+40", 0)]),
        # hours add up
        ((rule(hours=DAY), rule(hours=NOON)), [(1, "+40", 0)]),
        ((rule(hours=NOON), rule(hours=DAY)), []),
        ((rule(hours=DAY), rule(hours=NIGHT), rule()), [(2, "+40", 1)]),
        ((rule(hours=DAY), rule(hours=NIGHT), rule(hours=EVENING)), [(2, "+40", 1)]),
        ((rule(hours=DAY), rule()), []),
        ((rule(hours=DAY), rule(hours=TOKYO)), []),
        # a country is claimed by rules for each of its prefixes
        ((rule(), rule("", countries=("RO",))), [(1, "RO", 0)]),
        ((rule("+4"), rule("", countries=("RO",))), []),
        ((rule("+1"), rule("", countries=("US",))), [(1, "US", 0)]),
        ((rule("+1204"), rule("", countries=("CA",))), []),
        ((rule(accounts={"x"}), rule("", countries=("RO",))), []),
    ],
)
def test_a_rule_others_leave_nothing_for_is_told(rules, expected):
    assert whole(*rules) == expected


def test_rules_that_share_some_messages_are_told_apart_from_those_that_do_not():
    found = list(claims([rule(accounts={"x", "y"}), rule(accounts={"y", "z"}), rule(accounts={"w"})]))
    assert found == [Claim(1, "+40", 0, is_whole=False)]
    assert not list(claims([rule(tags={"s"}, hours=DAY), rule(tags={"s"}, hours=NIGHT)]))


@given(st.lists(rules_of(), max_size=5), QUERIES)
def test_a_rule_that_is_claimed_everywhere_never_decides(rules, asked):
    claimed = {(claim.rule, claim.place) for claim in claims(rules) if claim.is_whole}
    found = RuleTable(rules).match(asked)
    if found is not None:
        assert not all((found.index, place) in claimed for place in found.rule.places)
