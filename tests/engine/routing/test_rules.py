"""Which rule decides: what each asks for, and the one order of precedence."""

import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.address import parse_originator
from stentor.numbers.countries import country_of, country_prefix
from stentor.routing.hours import make_hours
from stentor.routing.rules import ANY, Candidate, Query, Rule, RuleTable, is_country

MONDAY_NOON = int(datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp() * 1000)
DAY = make_hours(("08:00-20:00",), (), "UTC")
NIGHT = make_hours(("20:00-08:00",), (), "UTC")


def rule(name: str, **asked) -> Rule:
    asked = {key: frozenset(value) if type(value) is set else value for key, value in asked.items()}
    return Rule(("a",), name=name, **asked)


def query(to: str = "+40712345678", originator: str | None = None, **known) -> Query:
    named = None if originator is None else parse_originator(originator)
    return Query(to, MONDAY_NOON, known.pop("due_ms", MONDAY_NOON), originator=named, **known)


def decides(rules: list[Rule], asked: Query) -> str | None:
    found = RuleTable(rules).match(asked)
    return None if found is None else found.rule.name


ORDER = [
    rule("prefix", prefixes=("+4071",)),
    rule("short prefix", prefixes=("+40",)),
    rule("country", countries=("RO",)),
    rule("account", accounts={"shop"}),
    rule("originator", originators={"Shop"}),
    rule("kind", kinds={"name"}),
    rule("tag", tags={"otp"}),
    rule("hours", hours=DAY),
    rule("any"),
]
FULL = query(originator="Shop", account="shop", tags=["otp"])


@pytest.mark.parametrize("place", range(len(ORDER)))
def test_of_rules_that_fit_the_one_highest_in_the_order_decides_however_they_are_declared(place):
    rest = ORDER[place:]
    assert decides(rest, FULL) == rest[0].name
    assert decides(rest[::-1], FULL) == rest[0].name


@pytest.mark.parametrize(
    ("asked", "unmet"),
    [
        (query(), "account"),
        (query(account="shop", originator="Other"), "originator"),
        (query(account="shop"), "originator"),
        (query(account="shop", originator="Shop", tags=["x"]), "tag"),
        (
            query(account="shop", originator="Shop", tags=["x", "otp"], due_ms=MONDAY_NOON + 9 * 3_600_000),
            "hours",
        ),
        (query(account="shop", originator="Shop", tags=["x", "otp"]), ""),
    ],
)
def test_all_conditions_must_hold_and_the_first_that_does_not_is_told(asked, unmet):
    full = rule("full", accounts={"shop", "bank"}, originators={"Shop"}, tags={"otp", "vip"}, hours=DAY)
    assert Candidate(0, full).unmet(asked) == unmet


@pytest.mark.parametrize(
    ("originator", "kind"),
    [("+40700000001", "international"), ("1234", "short_code"), ("Shop", "name"), (None, "none")],
)
def test_kinds_of_originators(originator, kind):
    kinds = ("international", "short_code", "name", "none")
    assert decides([rule(one, kinds={one}) for one in kinds], query(originator=originator)) == kind


def test_a_country_comes_behind_a_prefix_as_long_and_before_a_shorter_one():
    rules = [
        rule("country", countries=("CA",)),
        rule("one", prefixes=("+1",)),
        rule("area", prefixes=("+1204",)),
    ]
    assert decides(rules, query("+12045550123")) == "area"
    assert decides(rules, query("+12265550123")) == "country"
    assert decides(rules, query("+12025550123")) == "one"


def test_a_country_is_none_of_those_that_share_its_code():
    rules = [rule("usa", countries=("US",)), rule("any")]
    assert decides(rules, query("+12025550123")) == "usa"
    assert decides(rules, query("+12045550123")) == "any"


def test_nothing_fits_a_destination_no_rule_asks_for():
    assert decides([rule("x", prefixes=("+36",)), rule("y", tags={"otp"})], query()) is None


PLACES = st.sampled_from([ANY, "+4", "+40", "+407", "+1", "+1204", "RO", "US", "CA"])
NAMES = st.frozensets(st.sampled_from("xyz"), max_size=2)


@st.composite
def rules_of(draw):
    places = draw(st.lists(PLACES, max_size=3, unique=True))
    if ANY in places:
        places = []
    originators = draw(st.frozensets(st.sampled_from(["Shop", "1234"]), max_size=1))
    kinds = frozenset() if originators else draw(st.frozensets(st.sampled_from(["name", "none"]), max_size=1))
    return Rule(
        ("a",),
        tuple(place for place in places if not is_country(place)),
        countries=tuple(place for place in places if is_country(place)),
        accounts=draw(NAMES),
        originators=originators,
        kinds=kinds,
        tags=draw(NAMES),
        hours=draw(st.sampled_from([None, DAY, NIGHT])),
    )


QUERIES = st.builds(
    query,
    to=st.sampled_from(["+40712345678", "+41712345678", "+12025550123", "+12045550123", "+3612345678"]),
    originator=st.sampled_from([None, "Shop", "Bank", "1234"]),
    account=st.sampled_from("xyzw"),
    tags=st.lists(st.sampled_from("xyz"), max_size=2),
    due_ms=st.sampled_from([MONDAY_NOON, MONDAY_NOON + 10 * 3_600_000]),
)


def asks(one: Rule, asked: Query) -> list[tuple[int, bool]]:
    """By a slow look at everything: how specific each place of a rule is that fits the destination."""
    found = []
    for place in one.places:
        if is_country(place) and country_of(asked.to) == place:
            found.append((len(country_prefix(asked.to)), False))
        elif not is_country(place) and asked.to.startswith(place):
            found.append((len(place), True))
    return found


@given(st.lists(rules_of(), max_size=6), QUERIES)
def test_the_table_agrees_with_the_order_as_it_is_documented(rules, asked):
    best = None
    for index, one in enumerate(rules):
        candidate = Candidate(index, one)
        if candidate.unmet(asked):
            continue
        for length, is_prefix in asks(one, asked):
            about = 2 if one.originators else 1 if one.kinds else 0
            precedence = (
                length,
                is_prefix,
                bool(one.accounts),
                about,
                bool(one.tags),
                bool(one.hours),
                -index,
            )
            if best is None or precedence > best[0]:
                best = precedence, index
    found = RuleTable(rules).match(asked)
    assert (None if found is None else found.index) == (None if best is None else best[1])


@given(rules_of(), QUERIES, st.data())
def test_a_rule_that_asks_for_more_is_never_behind_the_one_it_narrows(one, asked, data):
    """The wider rule is declared first, asks for the same and leaves one condition out."""
    asked_for = [key for key in ("accounts", "originators", "kinds", "tags", "hours") if getattr(one, key)]
    if not asked_for:
        return
    left_out = data.draw(st.sampled_from(asked_for))
    values = {name: getattr(one, name) for name in one.__struct_fields__}
    wider = Rule(**{**values, left_out: None if left_out == "hours" else frozenset()})
    found = RuleTable([wider, one]).match(asked)
    narrow_fits = RuleTable([one]).match(asked) is not None
    assert found is None or found.index == int(narrow_fits)


def test_every_pair_of_conditions_has_an_order():
    kinds = {
        "accounts": frozenset("x"),
        "originators": frozenset(["Shop"]),
        "tags": frozenset("x"),
        "hours": DAY,
    }
    asked = query(originator="Shop", account="x", tags=["x"])
    for higher, lower in itertools.combinations(kinds, 2):
        rules = [rule(lower, **{lower: kinds[lower]}), rule(higher, **{higher: kinds[higher]})]
        assert decides(rules, asked) == higher
