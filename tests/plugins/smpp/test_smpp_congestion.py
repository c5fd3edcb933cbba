"""What is offered to a peer that says how busy it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor_smpp.congestion import Offer


@pytest.mark.parametrize(
    ("congestion", "size"),
    [(0, 60), (79, 60), (80, 50), (85, 50), (90, 50), (91, 37), (99, 37), (100, 25), (255, 25)],
)
def test_below_the_optimum_it_grows_in_it_it_stands_above_it_it_shrinks(congestion, size):
    offer = Offer(100)
    offer.size = 50
    assert offer.told(congestion, 10.0) is (size != 50)
    assert offer.size == size


def test_a_step_a_second_whatever_is_repeated():
    offer = Offer(100)
    steps = [offer.told(95, at / 10) for at in range(10, 41)]
    assert sum(steps) == 4
    assert offer.size == 31


def test_it_never_falls_below_one_and_comes_back_to_the_window():
    offer = Offer(10)
    for second in range(1, 50):
        offer.told(100, float(second))
    assert offer.size == 1
    for second in range(50, 70):
        offer.told(0, float(second))
    assert offer.size == 10
    assert not offer.told(0, 100.0)


def test_old_news_are_forgotten():
    offer = Offer(10)
    assert not offer.is_forgotten(100.0)
    offer.told(95, 100.0)
    assert not offer.is_forgotten(109.9)
    assert offer.is_forgotten(110.0)
    assert offer.grow(110.0)
    assert not offer.grow(110.5)


def test_a_new_session_begins_with_the_window():
    offer = Offer(10)
    offer.told(100, 1.0)
    offer.reset()
    assert offer.size == 10


@given(st.integers(1, 1000), st.lists(st.tuples(st.integers(0, 255), st.floats(0, 5)), max_size=50))
def test_whatever_is_said_the_offer_stays_between_one_and_the_window(window, news):
    offer = Offer(window)
    now = 0.0
    for congestion, pause in news:
        now += pause
        before = offer.size
        assert offer.told(congestion, now) is (offer.size != before)
        assert 1 <= offer.size <= window
