"""One number is sent no more than the caps allow, in any stretch of an hour or a day, and memory stays bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.errors import Refusal
from stentor.pacing.caps import DAY_MS, HOUR_MS, CapRules, Caps, Sent
from stentor.pacing.strands import HELD
from tests.engine.dispatch.dispatch_engine import message

T0 = 1_800_000_000_000


def passes(caps: Caps, now_ms: int = T0, **fields) -> bool:
    try:
        caps.admit(message(**fields), now_ms)
    except Refusal:
        return False
    return True


@pytest.mark.parametrize(
    ("rules", "passed"),
    [
        (CapRules(hour=2), [True, True, False, False]),
        (CapRules(day=3), [True, True, True, False]),
        (CapRules(same_text_hour=1), [True, False, True, False]),
        (CapRules(same_text_day=1, hour=9), [True, False, True, False]),
        (CapRules(), [True] * 4),
        (CapRules(hour=1, exempt=("x",)), [True] * 4),
    ],
)
def test_one_too_many_is_refused(rules: CapRules, passed: list[bool]) -> None:
    caps = Caps(rules)
    assert [passes(caps, text=text) for text in ("a", "a", "b", "b")] == passed


def test_the_refusal_names_the_number_and_passes() -> None:
    caps = Caps(CapRules(hour=1))
    assert passes(caps)
    with pytest.raises(Refusal) as caught:
        caps.admit(message(), T0)
    assert (caught.value.code, caught.value.status, caught.value.path) == ("too_many_to_number", 429, "$.to")


def test_other_numbers_texts_and_accounts_are_counted_apart() -> None:
    caps = Caps(CapRules(hour=1))
    assert passes(caps)
    assert passes(caps, to="+361")
    assert passes(caps, account="y")
    assert not passes(caps)
    same = Caps(CapRules(same_text_hour=1))
    assert passes(same, text=None, data=b"a")
    assert passes(same, text=None, data=b"b")
    assert passes(same, text="a")
    assert not passes(same, text=None, data=b"a")


@given(
    hour=st.integers(0, 4),
    day=st.integers(0, 6),
    pauses=st.lists(st.integers(0, HOUR_MS // 2), max_size=60),
    restart_after=st.integers(0, 60),
)
def test_no_hour_and_no_day_holds_more_than_its_cap(
    hour: int, day: int, pauses: list[int], restart_after: int
) -> None:
    """Against all times kept in a list, with a restart in between that reads what was stored."""
    rules = CapRules(hour=hour, day=day)
    caps, now_ms = Caps(rules), T0
    admitted: list[int] = []
    for number, pause in enumerate(pauses):
        now_ms += pause
        if number == restart_after:
            caps = Caps(rules)
            caps.restore(Sent("x", "+40700000001", "x", at_ms) for at_ms in admitted)
        last_hour = sum(at > now_ms - HOUR_MS for at in admitted)
        last_day = sum(at > now_ms - DAY_MS for at in admitted)
        fits = not (0 < hour <= last_hour or 0 < day <= last_day)
        assert passes(caps, now_ms) is fits
        if fits:
            admitted.append(now_ms)


def test_one_too_many_can_be_held_back_instead() -> None:
    caps = Caps(CapRules(hour=1, over="hold"))
    first, second = message(1), message(2)
    caps.admit(first, T0)
    caps.admit(second, T0)
    assert (first.strand, second.strand) == (0, HELD)


def test_beyond_the_bound_the_least_recently_used_number_begins_anew() -> None:
    caps = Caps(CapRules(hour=1), keys=2)
    for to in ("+401", "+402", "+403"):
        assert passes(caps, to=to)
    assert len(caps) == 2
    assert not passes(caps, to="+403")
    assert not passes(caps, to="+402")
    assert passes(caps, to="+401")


def test_changed_rules_go_on_from_what_was_counted() -> None:
    caps = Caps(CapRules(hour=5))
    for _ in range(3):
        assert passes(caps)
    caps.rules = CapRules(hour=3)
    assert not passes(caps)
    caps.rules = CapRules(hour=4)
    assert passes(caps)


def test_a_clock_set_back_does_not_open_a_window() -> None:
    caps = Caps(CapRules(hour=1))
    assert passes(caps, T0)
    assert not passes(caps, T0 - DAY_MS)
