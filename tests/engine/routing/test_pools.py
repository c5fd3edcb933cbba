"""Pools: one originator for each destination, the same each time."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from stentor.routing.pools import Pool, PoolChooser, jump

NUMBERS = tuple(f"+4070000{n:04d}" for n in range(4))
DESTINATIONS = [f"+4072{n:07d}" for n in range(4000)]


def test_a_destination_hears_from_the_same_originator_each_time():
    first, second = PoolChooser(Pool("p", NUMBERS)), PoolChooser(Pool("p", NUMBERS))
    assert [first.choose(to) for to in DESTINATIONS] == [second.choose(to) for to in DESTINATIONS]
    # What a process that started elsewhere chose, too.
    assert first.choose("+40721234567") == "+40700000000"


def test_originators_share_the_destinations_evenly():
    found = Counter(PoolChooser(Pool("p", NUMBERS)).choose(to) for to in DESTINATIONS)
    assert set(found) == set(NUMBERS)
    assert all(800 < count < 1200 for count in found.values()), found


def test_one_more_at_the_end_takes_its_share_and_moves_no_other():
    before, after = PoolChooser(Pool("p", NUMBERS)), PoolChooser(Pool("p", (*NUMBERS, "+40799")))
    moved = {after.choose(to) for to in DESTINATIONS if after.choose(to) != before.choose(to)}
    assert moved == {"+40799"}


@given(st.integers(0, 2**32 - 1), st.integers(1, 50))
def test_a_bucket_more_moves_a_key_only_into_it(key, buckets):
    assert 0 <= jump(key, buckets) < buckets
    assert jump(key, buckets + 1) in (jump(key, buckets), buckets)


def test_a_country_can_have_its_own_and_where_names_are_barred_numbers_remain():
    pool = Pool(
        "p", ("Shop", "+40700000001"), {"HU": ("1234",), "US": ("Shop", "55555")}, frozenset({"US", "CA"})
    )
    chooser = PoolChooser(pool)
    assert chooser.candidates("+40712345678") == ("Shop", "+40700000001")
    assert chooser.candidates("+36201234567") == ("1234",)
    assert chooser.candidates("+12025550123") == ("55555",)
    assert chooser.candidates("+12045550123") == ("+40700000001",)
    assert chooser.choose("+12045550123") == "+40700000001"
