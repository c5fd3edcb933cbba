"""Pauses between attempts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from stentor.retry import JITTER, RetryPolicy

fractions = st.floats(0, 1, exclude_max=True)
OLD_S = 1e9


@pytest.mark.parametrize(
    ("attempt", "age_s", "delay_s"),
    [
        (1, 0.0, 5.0),
        (2, OLD_S, 15.0),
        (3, OLD_S, 45.0),
        (6, OLD_S, 1215.0),
        (7, OLD_S, 1800.0),
        (11, OLD_S, 1800.0),
        (12, OLD_S, None),
        (13, OLD_S, None),
        (5, 0.1, 5.0),
        (5, 20.0, 60.0),
    ],
)
def test_pauses_of_the_default_policy(attempt: int, age_s: float, delay_s: float | None) -> None:
    assert RetryPolicy().delay(attempt, age_s, 0.0) == delay_s


@given(first=fractions, second=fractions, start_s=st.floats(0, 60), attempts=st.integers(2, 40))
def test_a_pause_is_never_shorter_than_the_one_before(
    first: float, second: float, start_s: float, attempts: int
) -> None:
    policy = RetryPolicy(longest_s=1e12, attempts=attempts)
    age_s, before = start_s, 0.0
    for attempt in range(1, attempts):
        delay = policy.delay(attempt, age_s, first if attempt % 2 else second)
        assert delay is not None
        assert delay >= min(before, 1800.0) * (1 - 1e-9)
        age_s, before = age_s + delay, delay


@given(
    attempt=st.integers(1, 10_000),
    age_s=st.floats(0, 1e9),
    random=fractions,
    longest_s=st.floats(5, 1e6),
)
def test_a_pause_stays_within_its_bounds(attempt: int, age_s: float, random: float, longest_s: float) -> None:
    policy = RetryPolicy(longest_s=longest_s, attempts=10_001)
    delay = policy.delay(attempt, age_s, random)
    assert delay is not None
    assert policy.first_s * (1 - JITTER) <= delay <= longest_s


@pytest.mark.parametrize(
    "wrong", [{"attempts": 0}, {"first_s": 0}, {"first_s": 10, "longest_s": 9}, {"factor": 1.2}]
)
def test_a_policy_without_sense_cannot_be_made(wrong: dict[str, float]) -> None:
    with pytest.raises(AssertionError):
        structs.replace(RetryPolicy(), **wrong)
