"""The route table: longest prefix, order of declaration, defaults."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.address import parse_originator
from stentor.errors import Refusal
from stentor.routing.hours import make_hours
from stentor.routing.pools import Pool
from stentor.routing.prices import Price, PriceTable
from stentor.routing.routes import (
    AccountTerms,
    ChannelDefaults,
    Query,
    Route,
    RouteTable,
    Routing,
    Rule,
    Step,
)
from stentor.routing.sticky import Sticky
from stentor.text.coding import DEFAULT, Coding

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


def test_a_route_has_the_coding_of_the_channel_it_prefers() -> None:
    wide = Coding(wide_reference=True)
    channels = {"a": ChannelDefaults(coding=wide), "b": ChannelDefaults(coding=Coding())}
    table = RouteTable([Rule(("a", "b"), ("+40",)), Rule(("b", "a"))], channels)
    assert table.find("+40").coding == wide
    assert table.pin("a").coding == wide
    # The usual one is one object, however often it was made: admission asks by identity.
    assert table.find("+1").coding is DEFAULT
    assert table.pin("b").coding is DEFAULT


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


# -- tables where more decides than the destination -----------------------------------------------------------

MONDAY_NOON = int(datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp() * 1000)
NIGHT = make_hours(("20:00-08:00",), (), "UTC")
POOLS = (Pool("retail", ("+40700000001", "Shop"), no_names=frozenset({"US"})), Pool("alarms", ("112",)))


def query(to: str = "+40712345678", originator: str | None = None, **known) -> Query:
    named = None if originator is None else parse_originator(originator)
    return Query(to, MONDAY_NOON, known.pop("due_ms", MONDAY_NOON), originator=named, **known)


@given(st.lists(st.lists(DIGITS, max_size=3), max_size=6), DIGITS, st.sampled_from([None, "c0", "zz"]))
def test_both_ways_through_a_plain_table_lead_to_the_same_end(rules, number, pinned):
    compiled = [
        Rule((f"c{n}", "last"), tuple("+" + prefix for prefix in prefixes))
        for n, prefixes in enumerate(rules)
    ]
    channels = {f"c{n}": ChannelDefaults(f"C{n}", n) for n in range(len(rules))} | {"last": ChannelDefaults()}
    table = RouteTable(compiled, channels)
    assert table.is_plain

    def ended(decide):
        try:
            return decide()
        except Refusal as error:
            return error.code, error.detail, error.path

    simple = ended(lambda: table.find("+" + number) if pinned is None else table.pin(pinned))
    general = ended(lambda: table.decide(query("+" + number, channel=pinned)).route)
    assert simple == general


@pytest.mark.parametrize(
    "table",
    [
        RouteTable([Rule(("a",), accounts=frozenset({"x"}))], ["a"]),
        RouteTable([Rule(("a",), weights=(1,))], ["a"]),
        RouteTable([Rule(("a",), hours=NIGHT)], ["a"]),
        RouteTable([], ["a"], Routing({"x": AccountTerms(frozenset({"eea"}))})),
        RouteTable([], ["a"], Routing(deny=("RO",))),
    ],
)
def test_a_table_where_more_decides_is_not_plain_and_cannot_be_asked_for_less(table):
    assert not table.is_plain
    with pytest.raises(AssertionError):
        table.find("+40712345678")


def test_rules_for_accounts_hours_and_tags_decide_before_the_general_one():
    rules = [
        Rule(("a", "b"), name="any"),
        Rule(("b",), accounts=frozenset({"shop"})),
        Rule(("c",), hours=NIGHT),
        Rule(("d",), tags=frozenset({"otp"})),
    ]
    table = RouteTable(rules, ["a", "b", "c", "d"])
    found = [
        table.decide(asked).route.channels[0]
        for asked in (
            query(),
            query(account="shop"),
            query(due_ms=MONDAY_NOON + 10 * 3_600_000),
            query(tags=["otp"]),
        )
    ]
    assert found == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("asked", "originator"),
    [
        (query("+36201234567", "Mine", account="shop"), "Mine"),
        (query("+40712345678", account="shop"), "112"),
        (query("+36201234567", account="shop"), "Rule"),
        (query("+12025550123", account="shop"), "+40700000001"),
        (query("+12025550123"), "Chan"),
        (query("+12025550123", account="shop", channel="a"), "+40700000001"),
        (query("+12025550123", channel="b"), ""),
    ],
)
def test_the_originator_is_the_messages_the_routes_the_accounts_the_channels(asked, originator):
    rules = [Rule(("a",), ("+40",), pool="alarms"), Rule(("a",), ("+36",), "Rule"), Rule(("a",))]
    channels = {"a": ChannelDefaults("Chan"), "b": ChannelDefaults()}
    table = RouteTable(rules, channels, Routing({"shop": AccountTerms(pool="retail")}, pools=POOLS))
    assert table.decide(asked).originator == originator


def test_a_sticky_originator_stays_while_its_pool_has_it():
    sticky = Sticky(10)
    rules = [Rule(("a",), pool="p", sticky_s=60)]

    def decided(*originators: str) -> str:
        table = RouteTable(rules, ["a"], Routing(pools=(Pool("p", originators),)), sticky)
        return table.decide(query()).originator

    first = decided("1111", "2222")
    other = {"1111": "2222", "2222": "1111"}[first]
    assert decided(other, other, other, first) == first
    assert decided(other) == other


@pytest.mark.parametrize(
    ("to", "account", "detail"),
    [
        ("+40712345678", "shop", None),
        ("+40900123456", "shop", "nobody may send there (+40900 is denied)"),
        ("+4930123456", "shop", "nobody may send there (it is not among those allowed)"),
        ("+36201234567", "shop", 'account "shop" may not send to this destination (HU is denied)'),
        ("+36201234567", "bank", None),
    ],
)
def test_destinations_that_are_not_allowed_are_refused_pinned_or_not(to, account, detail):
    routing = Routing({"shop": AccountTerms(deny=("HU",))}, allow=("RO", "+36"), deny=("+40900",))
    table = RouteTable([], ["a"], routing)
    for channel in (None, "a"):
        asked = query(to, account=account, channel=channel)
        if detail is None:
            assert table.decide(asked).route.channels == ("a",)
            continue
        with pytest.raises(Refusal) as refused:
            table.decide(asked)
        assert (refused.value.code, refused.value.path) == ("destination_not_allowed", "$.to")
        assert refused.value.detail == detail


def only_a() -> PriceTable:
    return PriceTable([Price("a", "+40", 3, "EUR")])


def test_what_a_chosen_rule_asks_for_is_told():
    rule = Rule(
        ("a",),
        accounts=frozenset({"shop"}),
        kinds=frozenset({"none"}),
        tags=frozenset({"otp", "x"}),
        hours=make_hours((), ("mon-sun",), "UTC"),
    )
    steps: list[Step] = []
    RouteTable([rule], ["a"]).decide(query(account="shop", tags=("otp", "y"), due_ms=0), steps)
    told = next(step.detail for step in steps if step.step == "rule")
    assert told == "any destination, account shop, originator_kind none, tag otp, hours at Thu 00:00"


def test_the_cheapest_is_first_and_what_nobody_offers_is_refused():
    prices = PriceTable(
        [Price("a", "+40", 3, "EUR"), Price("b", "+40", 1, "EUR"), Price("a", "+4072", 1, "EUR")]
    )
    table = RouteTable([Rule(("a", "b"), is_cheapest=True)], ["a", "b"], Routing(prices=prices))
    assert table.decide(query("+40711234567")).route.channels == ("b", "a")
    assert table.decide(query("+40721234567")).route.channels == ("a", "b")
    assert table.price("a", "+40711234567") == (3, "EUR")
    assert table.price("b", "+36201234567") is None
    steps: list[Step] = []
    RouteTable([Rule(("a", "b"), is_cheapest=True)], ["a", "b"], Routing(prices=only_a())).decide(
        query(), steps
    )
    assert Step("price", "b", "skipped", "none for this destination, it is not offered") in steps
    with pytest.raises(Refusal) as refused:
        table.decide(query("+36201234567"))
    assert (refused.value.code, refused.value.detail) == (
        "no_route",
        "no channel has a price for this destination",
    )


def test_each_step_is_told_up_to_the_one_that_refuses():
    rules = [
        Rule(("a", "b"), ("+40",), weights=(1, 0), name="romania"),
        Rule(("b",), ("+40",), accounts=frozenset({"bank"})),
        Rule(("b",), ("+36",)),
    ]
    channels = {"a": ChannelDefaults(tags=frozenset({"eea"})), "b": ChannelDefaults("Bee")}
    routing = Routing({"shop": AccountTerms(frozenset({"eea"}))}, deny=("KP",))
    table = RouteTable(rules, channels, routing)
    steps: list[Step] = []
    decision = table.decide(query(account="shop"), steps)
    assert decision.route.channels == ("a",)
    assert steps == [
        Step("destination", "everyone", "passed", "no entry fits"),
        Step("rule", "routes[1]", "skipped", "it asks for another account"),
        Step("rule", "romania", "chosen", "prefix +40"),
        Step("requirement", "a", "passed", "has eea"),
        Step("requirement", "b", "skipped", "lacks eea"),
        Step("order", "a", "chosen", "by weight, a 100%"),
        Step("originator", "", "chosen", "none is set"),
    ]
    for asked, step in (
        (query("+8501921234567"), "destination"),
        (query("+4930123456"), "order"),
        (query("+36201234567", account="shop"), "order"),
        (query(account="shop", channel="b"), "channel"),
        (query(channel="c"), "channel"),
    ):
        steps = []
        with pytest.raises(Refusal):
            table.decide(asked, steps)
        assert (steps[-1].step, steps[-1].result) == (step, "refused")
