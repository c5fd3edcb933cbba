"""Ids: a bijection between a text and two numbers, and keys that only grow."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.ids import IdGenerator, first_key_at, id_text, key_time_ms, message_key, parse_id

EPOCH_MS = 1_577_836_800_000
NOW_MS = 1_800_000_000_000

keys = st.integers(0, 2**52 - 1).map(lambda stamp: stamp << 8)
tails = st.integers(0, 2**62 - 1)


def zeros(n: int) -> bytes:
    return bytes(n)


@given(keys, tails)
def test_a_text_is_the_two_numbers_and_back(key: int, tail: int) -> None:
    assert parse_id(id_text(key, tail)) == (key, tail)


@given(keys, tails)
def test_a_text_is_a_uuid_of_version_7_that_tells_the_time(key: int, tail: int) -> None:
    value = uuid.UUID(id_text(key, tail))
    assert (value.version, value.variant) == (7, uuid.RFC_4122)
    assert value.int >> 80 == key_time_ms(key)


@given(keys, keys, tails)
def test_texts_are_ordered_as_keys(one: int, other: int, tail: int) -> None:
    assert (one < other) is (id_text(one, tail) < id_text(other, tail))


GOOD = id_text(first_key_at(NOW_MS), 5)


@pytest.mark.parametrize(
    "text",
    [
        "",
        GOOD.replace("-", ""),
        GOOD.replace("-", "", 1) + "-",
        "{" + GOOD[1:],
        GOOD + "0",
        " " + GOOD[1:],
        "+" + GOOD[1:],
        GOOD[:14] + "4" + GOOD[15:],
        GOOD[:19] + "c" + GOOD[20:],
        "00000000-0000-7000-8000-000000000000",
        "g" + GOOD[1:],
        str(uuid.UUID(int=0)),
    ],
)
def test_what_no_generator_of_ours_can_have_made_is_no_id(text: str) -> None:
    assert parse_id(text) is None


@given(st.text(max_size=40))
def test_any_text_is_an_id_or_none(text: str) -> None:
    found = parse_id(text)
    assert found is None or id_text(*found) == text.lower()


def test_letters_of_either_case_are_the_same_id() -> None:
    text = id_text(first_key_at(NOW_MS) | 0xABC00, 0xABCDEF)
    assert text.upper() != text
    assert parse_id(text) is not None
    assert parse_id(text.upper()) == parse_id(text.title()) == parse_id(text)


@given(st.lists(st.integers(EPOCH_MS, EPOCH_MS + 10**9), min_size=2, max_size=50))
def test_keys_grow_whatever_the_clock_does(times: list[int]) -> None:
    ids = IdGenerator(zeros)
    made = [ids.next(at)[0] for at in times]
    assert made == sorted(set(made))


def test_keys_tell_the_time_and_leave_room_for_segments() -> None:
    key, _ = IdGenerator(zeros).next(NOW_MS)
    assert (key_time_ms(key), key & 255) == (NOW_MS, 0)
    assert [message_key(key + index) for index in (0, 1, 255)] == [key] * 3


def test_a_busy_millisecond_borrows_from_the_next() -> None:
    ids = IdGenerator(zeros)
    made = [ids.next(NOW_MS)[0] for _ in range(4097)]
    assert [key_time_ms(key) for key in (made[0], made[4095], made[4096])] == [NOW_MS, NOW_MS, NOW_MS + 1]


def test_a_clock_set_back_over_a_restart_makes_no_key_twice() -> None:
    last, _ = IdGenerator(zeros).next(NOW_MS)
    assert IdGenerator(zeros, last).next(NOW_MS - 10**6)[0] > last
    assert IdGenerator(zeros, last + 3).next(0)[0] > last + 3, "the largest key may be a segment's"


def test_tails_are_62_fresh_random_bits() -> None:
    asked = []

    def entropy(n: int) -> bytes:
        asked.append(n)
        return bytes(range(256)) * (n // 256)

    ids = IdGenerator(entropy)
    made = [ids.next(NOW_MS)[1] for _ in range(513)]
    assert len(asked) == 2
    assert len(set(made[:32])) == 32
    assert max(made) < 2**62


@given(keys)
def test_the_first_key_of_a_time_bounds_it(key: int) -> None:
    at_ms = key_time_ms(key)
    assert first_key_at(at_ms) <= key < first_key_at(at_ms + 1)


def test_before_the_epoch_the_first_key_is_0() -> None:
    assert first_key_at(0) == 0
