"""The route table: longest prefix, order of declaration, defaults."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.errors import Refusal
from stentor.routes import ChannelDefaults, Route, RouteTable, Rule

DIGITS = st.text("0123", min_size=1, max_size=5)


def test_without_rules_everything_goes_to_all_channels_in_declared_order():
    assert RouteTable((), ["beta", "alpha"]).lookup("+40700") == ("beta", "alpha")


def test_one_channel_needs_no_rule():
    assert RouteTable((), ["alpha"]).lookup("+1") == ("alpha",)


def test_the_longest_prefix_wins_whatever_the_order_of_the_rules():
    rules = [Rule(("a",), ("+4",)), Rule(("c",), ("+4070", "+36")), Rule(("b",), ("+40",)), Rule(("d",))]
    table = RouteTable(rules, ["a", "b", "c", "d"])
    found = {to: table.lookup(to) for to in ("+40701", "+4071", "+41", "+361", "+1", "+407", "+4070")}
    assert found == {
        "+40701": ("c",),
        "+4071": ("b",),
        "+41": ("a",),
        "+361": ("c",),
        "+1": ("d",),
        "+407": ("b",),
        "+4070": ("c",),
    }


def test_of_two_rules_with_one_prefix_the_first_wins():
    rules = [Rule(("a",), ("+40",)), Rule(("b",), ("+40",)), Rule(("c",)), Rule(("d",))]
    table = RouteTable(rules, ["a", "b", "c", "d"])
    assert table.lookup("+401") == ("a",)
    assert table.lookup("+1") == ("c",)


@pytest.mark.parametrize("table", [RouteTable([Rule(("a",), ("+40",))], ["a"]), RouteTable((), ())])
def test_a_destination_no_rule_claims_is_refused(table):
    with pytest.raises(Refusal) as refused:
        table.lookup("+4912345")
    assert (refused.value.code, refused.value.path) == ("no_route", "$.to")


def test_a_pinned_channel_overrides_the_rules_and_must_exist():
    table = RouteTable([Rule(("a",), ("+40",))], {"a": ChannelDefaults(), "b": ChannelDefaults("Shop", 60)})
    assert table.pin("b") == Route(("b",), "Shop", 60)
    with pytest.raises(Refusal) as refused:
        table.pin("c")
    assert (refused.value.code, refused.value.path) == ("unknown_channel", "$.channel")


def test_the_rules_own_originator_comes_before_that_of_its_preferred_channel():
    channels = {"a": ChannelDefaults(), "b": ChannelDefaults("Bee", 120)}
    table = RouteTable(
        [Rule(("b", "a"), ("+40",)), Rule(("b",), ("+36",), "Own"), Rule(("a", "b"))], channels
    )
    assert table.find("+40") == Route(("b", "a"), "Bee", 120)
    assert table.find("+36") == Route(("b",), "Own", 120)
    assert table.find("+1") == Route(("a", "b"), "", 0)


@given(st.lists(st.lists(DIGITS, max_size=3), max_size=6), DIGITS)
def test_lookup_agrees_with_a_search_through_all_rules(rules, number):
    compiled = [
        Rule((f"c{n}",), tuple("+" + prefix for prefix in prefixes)) for n, prefixes in enumerate(rules)
    ]
    names = [f"c{n}" for n in range(len(rules))] or ["only"]
    claims = [
        (-len(prefix), n)
        for n, prefixes in enumerate(rules)
        for prefix in (prefixes or [""])
        if number.startswith(prefix)
    ]
    table = RouteTable(compiled, names)
    if rules and not claims:
        with pytest.raises(Refusal):
            table.lookup("+" + number)
    else:
        assert table.lookup("+" + number) == ((names[min(claims)[1]],) if rules else ("only",))


def test_a_channel_that_only_receives_carries_nothing_and_says_why():
    table = RouteTable((), {"take": ChannelDefaults(can_send=False), "send": ChannelDefaults()})
    assert table.lookup("+40") == ("send",)
    with pytest.raises(Refusal, match="only receives") as refused:
        table.pin("take")
    assert (refused.value.code, refused.value.path) == ("unknown_channel", "$.channel")
    with pytest.raises(Refusal, match="no route"):
        RouteTable((), {"take": ChannelDefaults(can_send=False)}).lookup("+40")
