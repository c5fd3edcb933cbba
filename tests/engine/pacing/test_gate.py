"""Which messages a rate limit concerns, which of them share a quota, and what of it outlives a restart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.pacing.gate import SETTING, VALUES, Gate, LimitRule
from tests.engine.dispatch.dispatch_engine import message

WALL = 1_800_000_000_000
ROMANIA, HUNGARY = "+40700000001", "+36300000001"


def gate(*rules: LimitRule, saved: dict[str, str] | None = None, now: float = 0.0) -> Gate:
    found = Gate(saved or {})
    found.set_rules(rules, now, WALL)
    return found


def goes(gate: Gate, channel: str = "a", lane: str = "1", now: float = 0.0, **fields) -> bool:
    return gate.check(message(**fields), channel, lane, now, WALL) is None


@pytest.mark.parametrize(
    ("rule", "concerned", "free"),
    [
        ({"accounts": ("x",)}, {"account": "x"}, {"account": "y"}),
        ({"prefixes": ("+40", "+36")}, {"to": HUNGARY}, {"to": "+49150"}),
        ({"originators": ("Shop",)}, {"originator": "Shop"}, {"originator": "1234"}),
        ({"channels": ("a",)}, {"channel": "a"}, {"channel": "b"}),
        ({"lanes": ("1",)}, {"lane": "1"}, {"lane": "2"}),
        ({"accounts": ("x",), "prefixes": ("+40",)}, {"to": ROMANIA}, {"to": HUNGARY}),
    ],
)
def test_a_limit_concerns_what_passes_all_its_selectors(rule, concerned, free) -> None:
    one = gate(LimitRule(name="l", limit=1, every="hour", **rule))
    assert goes(one, **concerned)
    assert not goes(one, **concerned)
    assert goes(one, **free)
    assert goes(one, **free)


@pytest.mark.parametrize(
    ("per", "first", "other"),
    [
        (("account",), {"account": "x"}, {"account": "y"}),
        (("from",), {"originator": "Shop"}, {"originator": "1234"}),
        (("prefix",), {"to": ROMANIA}, {"to": HUNGARY}),
        (("channel",), {"channel": "a"}, {"channel": "b"}),
        (("lane",), {"lane": "1"}, {"lane": "2"}),
        (("lane",), {"channel": "a"}, {"channel": "b"}),
    ],
)
def test_each_value_of_what_per_names_has_a_quota_of_its_own(per, first, other) -> None:
    apart = gate(LimitRule(name="l", limit=1, every="hour", prefixes=("+40", "+36"), per=per))
    assert goes(apart, **first)
    assert not goes(apart, **first)
    assert goes(apart, **other)
    together = gate(LimitRule(name="l", limit=1, every="hour", prefixes=("+40", "+36")))
    assert goes(together, **first)
    assert not goes(together, **other)


def test_the_longest_prefix_counts() -> None:
    one = gate(LimitRule(name="l", limit=1, every="hour", prefixes=("+4", "+407"), per=("prefix",)))
    assert goes(one, to="+407111")
    assert goes(one, to="+41111")
    assert not goes(one, to="+407112")


def test_a_message_is_counted_against_all_its_limits_or_none() -> None:
    both = gate(
        LimitRule(name="wide", limit=2, every="hour", burst=2),
        LimitRule(name="narrow", limit=1, every="hour", prefixes=("+40",)),
    )
    assert goes(both, to=ROMANIA)
    wait = both.check(message(to=ROMANIA), "a", "1", 0.0, WALL)
    assert wait is not None
    assert wait.limit.rule.name == "narrow"
    assert goes(both, to=HUNGARY), "what the narrow limit refused did not count against the wide one"


def test_segments_count_as_many_as_are_still_to_be_sent() -> None:
    one = gate(LimitRule(name="l", limit=4, every="hour", burst=4, unit="segments"))
    assert goes(one, segments=3)
    assert not goes(one, segments=2)
    assert goes(one, segments=1)


def saved(one: Gate) -> dict[str, str]:
    settings: dict[str, str] = {}
    one.save(settings)
    return settings


def test_what_was_used_outlives_a_restart_and_is_written_once() -> None:
    rules = (
        LimitRule(name="bundle", limit=2, every="month", is_allowance=True, per=("lane",)),
        LimitRule(name="hour", limit=9, every="hour", burst=9),
        LimitRule(name="second", limit=9, every="second", burst=9),
    )
    one = gate(*rules)
    assert goes(one)
    assert goes(one, lane="2")
    settings = saved(one)
    assert sorted(settings) == [
        f'{SETTING}bundle:["a","1"]',
        f'{SETTING}bundle:["a","2"]',
        f"{SETTING}hour:[]",
    ]
    assert saved(one) == {}
    again = gate(*rules, saved=settings)
    assert {line.name: line.left for _, line in again.lines(0.0, WALL) if line.values != ("2",)} == {
        "bundle": 1,
        "hour": 7,
    }


def test_settings_of_limits_that_are_gone_are_forgotten() -> None:
    one = gate(saved={f"{SETTING}old:[]": "1 2", "paused:a": "1"})
    settings: dict[str, str] = {}
    one.forget_stale(settings)
    assert settings == {f"{SETTING}old:[]": ""}


def test_a_reload_keeps_what_was_used_where_it_still_means_the_same() -> None:
    one = gate(LimitRule(name="l", limit=2, every="day", is_allowance=True))
    assert goes(one)
    one.set_rules([LimitRule(name="l", limit=1, every="day", is_allowance=True)], 0.0, WALL)
    assert not goes(one)
    one.set_rules([LimitRule(name="l", limit=1, every="day", is_allowance=True, unit="segments")], 0.0, WALL)
    assert goes(one)
    one.set_rules([], 0.0, WALL)
    assert one.is_open


def test_values_beyond_the_bound_share_one_quota_until_others_are_as_good_as_new() -> None:
    one = gate(LimitRule(name="l", limit=1, every="hour", per=("from",)))
    for number in range(VALUES):
        assert goes(one, originator=str(number))
    assert goes(one, originator="one too many")
    assert not goes(one, originator="two too many")
    saved(one)
    assert goes(one, originator="much later", now=3601.0)
    assert len(list(one.lines(3601.0, WALL))) == 1
    assert set(saved(one).values()) >= {""}, "the journal forgets what memory did"


def test_messages_of_one_limit_share_a_strand_and_others_have_their_own() -> None:
    one = gate(LimitRule(name="l", limit=1, every="hour", prefixes=("+40",), channels=("a",)))
    assert one.strand(message(to=ROMANIA)) == one.strand(message(to="+40711")) > 0
    assert one.strand(message(to=HUNGARY)) == 0
    assert one.strand(message(to=ROMANIA, route=("c",))) == 0


# Two that are quick to ask, one by calendar that is saved, one that few accounts have, and all that ``per`` can name.
MANY_LIMITS = (
    LimitRule(name="lane", limit=3, every="second", burst=2, per=("lane",)),
    LimitRule(name="prefix", limit=2, every="second", burst=2, prefixes=("+40", "+36"), per=("prefix",)),
    LimitRule(name="both", limit=4, every="second", burst=3, prefixes=("+4",), per=("account", "prefix")),
    LimitRule(name="account", limit=3, every="second", burst=3, unit="segments", per=("account",)),
    LimitRule(name="few", limit=4, every="day", is_allowance=True, accounts=("y",)),
    LimitRule(name="first", limit=9, every="minute", channels=("a",), lanes=("1",), originators=("Shop",)),
)


@given(
    rules=st.lists(st.sampled_from(MANY_LIMITS), unique_by=lambda rule: rule.name),
    attempts=st.lists(
        st.tuples(
            st.sampled_from("xy"),
            st.sampled_from((ROMANIA, HUNGARY, "+49150")),
            st.sampled_from(("Shop", "1234")),
            st.sampled_from("ab"),
            st.sampled_from("12"),
            st.sampled_from((1, 1, 1, 2)),
            st.sampled_from((0.0, 0.0, 0.1, 1.0)),
        ),
        max_size=40,
    ),
)
def test_many_messages_asked_about_the_quick_way_are_counted_as_one_by_one(rules, attempts) -> None:
    quick, slow = gate(*rules), gate(*rules)
    now = 0.0
    for account, to, originator, channel, lane, segments, pause_s in attempts:
        now += pause_s
        one = message(account=account, to=to, originator=originator, segments=segments)
        expected = slow.check(one, channel, lane, now, WALL)
        passes = quick.way(channel, lane).passes(one, now, WALL)
        found = None if passes else quick.check(one, channel, lane, now, WALL)
        assert (found and (found.limit.rule, found.values)) == (
            expected and (expected.limit.rule, expected.values)
        )
    assert list(quick.lines(now, WALL)) == list(slow.lines(now, WALL))


def test_quotas_that_are_let_go_of_are_not_counted_against_any_more() -> None:
    one = gate(LimitRule(name="l", limit=1, every="second", per=("account",)))
    way = one.way("a", "1")
    assert way.passes(message(account="x"), 0.0, WALL)
    for number in range(VALUES + 1):
        assert way.passes(message(account=f"other {number}"), 10.0, WALL)
    assert way.passes(message(account="x"), 20.0, WALL)
    assert not goes(one, now=20.0, account="x")
