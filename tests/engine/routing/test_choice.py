"""Which channel goes first, and that the others follow."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.routing.choice import Choice, permitted, spread
from stentor.routing.prices import Price, PriceTable
from stentor.routing.rules import Query, Rule
from stentor.routing.sticky import Sticky

ABC = ("a", "b", "c")
NOW_MS = 1_800_000_000_000


def choice(rule: Rule, prices: PriceTable | None = None, sticky: Sticky | None = None, channels=None):
    return Choice(
        rule,
        channels or rule.channels,
        tuple,
        prices or PriceTable(),
        Sticky(100) if sticky is None else sticky,
    )


def query(to: str = "+40712345678", key: int = 0, now_ms: int = NOW_MS, account: str = "shop") -> Query:
    return Query(to, now_ms, now_ms, account, key=key)


def test_as_listed():
    assert choice(Rule(ABC)).order(query(key=999)) == (ABC, "listed")


@pytest.mark.parametrize("step", [256, 4096 * 256, 7 * 4096 * 256])
def test_weights_are_kept_for_keys_of_any_rhythm_and_the_others_follow_in_order(step):
    made = choice(Rule(ABC, weights=(3, 1, 0)))
    found = Counter(made.order(query(key=10**15 + n * step))[0] for n in range(4000))
    assert set(found) == {ABC, ("b", "a", "c")}
    assert abs(found[ABC] - 3000) < 80
    assert made.shares() == {"a": 0.75, "b": 0.25, "c": 0.0}


def test_a_weighted_choice_follows_from_the_key_alone():
    rule = Rule(ABC, weights=(1, 1, 1))
    keys = range(0, 256 * 100, 256)
    assert [choice(rule).order(query(key=key)) for key in keys] == [
        choice(rule).order(query("+3612345678", key=key)) for key in keys
    ]


@given(st.integers(0, 2**60), st.integers(1, 10**6))
def test_a_spread_stays_within_its_buckets(key, buckets):
    assert 0 <= spread(key, buckets) < buckets


def test_weights_of_those_left_out_are_left_out_and_without_any_the_order_is_the_listed_one():
    rule = Rule(ABC, weights=(3, 1, 0))
    assert choice(rule, channels=("b", "c")).order(query(key=12345 * 256)) == (("b", "c"), "weights")
    assert choice(rule, channels=("c",)).order(query()) == (("c",), "listed")


def test_the_cheapest_goes_first_and_those_without_a_price_not_at_all():
    prices = PriceTable(
        [Price("a", "+40", 3, "EUR"), Price("c", "+40", 1, "EUR"), Price("c", "+4072", 9, "EUR")]
    )
    made = choice(Rule(ABC, is_cheapest=True), prices)
    assert made.order(query("+40712345678")) == (("c", "a"), "least_cost")
    assert made.order(query("+40722345678")) == (("a", "c"), "least_cost")
    assert made.order(query("+36712345678")) == (None, "least_cost")


def test_what_is_handed_out_for_an_order_is_made_once():
    made = choice(Rule(ABC, weights=(1, 1, 1)))
    first: dict[tuple[str, ...], object] = {}
    for key in range(0, 256 * 50, 256):
        route, _ = made.order(query(key=key))
        assert first.setdefault(route, route) is route


def test_a_destination_keeps_its_channel_for_so_long_after_its_last_message():
    rule = Rule(ABC, weights=(1, 1, 1), sticky_s=60)
    sticky, without = Sticky(100), choice(Rule(ABC, weights=(1, 1, 1)))
    made = choice(rule, sticky=sticky)
    first, _ = made.order(query(key=0))
    other = next(key for key in range(0, 256 * 50, 256) if without.order(query(key=key))[0] != first)
    assert made.order(query(key=other, now_ms=NOW_MS + 50_000)) == (first, "sticky")
    assert made.order(query(key=other, now_ms=NOW_MS + 109_000)) == (first, "sticky")
    assert made.order(query(key=other, now_ms=NOW_MS + 170_000))[0] != first
    assert made.order(query(key=other, now_ms=NOW_MS + 170_000, account="bank"))[1] == "weights"
    # A table made anew, as by a reload, goes on with what is remembered.
    assert choice(rule, sticky=sticky).order(query(key=0, now_ms=NOW_MS + 171_000))[1] == "sticky"


def test_looking_does_not_make_a_choice_stick():
    sticky = Sticky(100)
    choice(Rule(ABC, weights=(1, 1, 1), sticky_s=60), sticky=sticky).order(query(), remember=False)
    assert len(sticky) == 0


def test_what_stuck_does_not_come_back_once_it_is_left_out():
    rule, sticky = Rule(ABC, weights=(1, 0, 0), sticky_s=60), Sticky(100)
    assert choice(rule, sticky=sticky).order(query())[0] == ABC
    assert choice(rule, sticky=sticky, channels=("b", "c")).order(query())[0] == ("b", "c")


def test_channels_without_a_required_tag_are_left_out():
    tags = {"a": frozenset({"eea", "direct"}), "b": frozenset({"eea"}), "c": frozenset[str]()}
    assert permitted(ABC, tags, frozenset()) == ABC
    assert permitted(ABC, tags, frozenset({"eea"})) == ("a", "b")
    assert permitted(ABC, tags, frozenset({"eea", "direct"})) == ("a",)
    assert permitted(("unknown",), tags, frozenset({"eea"})) == ()
