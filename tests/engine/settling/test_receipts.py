"""Receipts that are awaited, receipts that came too early, and what segments make of their message."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.journal.records import ParkedReceipt
from stentor.message import Message, Segment, Status
from stentor.settling.receipts import AwaitedReceipts, ParkedReceipts, combine
from stentor.text.segments import Encoding

D, U, R, S, Q = Status.DELIVERED, Status.UNDELIVERED, Status.REJECTED, Status.SENT, Status.QUEUED


def message(key: int) -> Message:
    return Message(key, 0, "a", "+40700000001", "1234", "x", Encoding.GSM7, 1, 0, 0, 0, ("alpha",))


@pytest.mark.parametrize(
    ("statuses", "combined"),
    [
        ([D], D),
        ([D, D, D], D),
        ([D, U, D], U),
        ([U, R], R),
        ([D, Status.UNKNOWN], Status.UNKNOWN),
        ([Status.EXPIRED, Status.UNKNOWN], Status.EXPIRED),
        ([Status.FAILED, R, U], Status.FAILED),
        ([D, S], S),
        ([R, S], S),
        ([S, Q], Q),
        ([Status.SENDING, S], Status.SENDING),
        ([Status.SCHEDULED, Q], Status.SCHEDULED),
    ],
)
def test_segments_make_the_status_of_their_message(statuses: Sequence[Status], combined: Status) -> None:
    assert combine(statuses) is combined
    assert combine(statuses[::-1]) is combined


@pytest.mark.parametrize(
    ("statuses", "combined"), [([S, S], S), ([S, D], S), ([S, R], R), ([S, U, D], U), ([S, Q], Q)]
)
def test_without_receipts_sent_is_final(statuses: Sequence[Status], combined: Status) -> None:
    assert combine(statuses, waits_for_receipts=False) is combined


@given(st.lists(st.sampled_from([status for status in Status if status is not Status.RECEIVED]), min_size=1))
def test_a_message_is_final_only_when_all_its_segments_are(statuses: list[Status]) -> None:
    combined = combine(statuses)
    assert combined in statuses
    assert (combined >= D) == all(status >= D for status in statuses)
    assert (combined is D) == all(status is D for status in statuses)


def test_a_receipt_finds_its_segment_once() -> None:
    awaited = AwaitedReceipts(10)
    pair = (message(256), Segment(1))
    awaited.add("alpha", "7", *pair)
    assert awaited.take("beta", "7") is None
    assert awaited.get("alpha", "7") == pair
    assert awaited.take("alpha", "7") == pair
    assert awaited.take("alpha", "7") is None
    assert not awaited.forget("alpha", "7")


def test_an_id_that_repeats_means_the_newest_and_makes_it_young() -> None:
    awaited = AwaitedReceipts(2)
    awaited.add("alpha", "1", message(256), Segment(1))
    awaited.add("alpha", "2", message(512), Segment(1))
    awaited.add("alpha", "1", message(768), Segment(1))
    awaited.add("alpha", "3", message(1024), Segment(1))
    assert awaited.take("alpha", "2") is None
    found = awaited.take("alpha", "1")
    assert found is not None
    assert found[0].key == 768
    assert awaited.evicted == 1


names = st.integers(0, 12).map(str)


@given(limit=st.integers(1, 6), steps=st.lists(st.tuples(st.sampled_from(["add", "take", "forget"]), names)))
def test_awaited_receipts_behave_as_a_list_of_limited_length(
    limit: int, steps: list[tuple[str, str]]
) -> None:
    awaited = AwaitedReceipts(limit)
    model: list[tuple[str, int]] = []
    evicted = 0
    for number, (verb, name) in enumerate(steps):
        known = [entry for entry in model if entry[0] == name]
        if verb == "add":
            awaited.add("alpha", name, message(number << 8), Segment(1))
            model = [entry for entry in model if entry[0] != name] + [(name, number << 8)]
            evicted += max(0, len(model) - limit)
            model = model[-limit:]
        else:
            model = [entry for entry in model if entry[0] != name]
            if verb == "take":
                found = awaited.take("alpha", name)
                assert (found[0].key if found else None) == (known[0][1] if known else None)
            else:
                assert awaited.forget("alpha", name) == bool(known)
        assert (len(awaited), awaited.evicted) == (len(model), evicted)


def receipt(name: str, at_ms: int, status: Status = D) -> ParkedReceipt:
    return ParkedReceipt("alpha", name, status, at_ms)


def test_a_parked_receipt_is_taken_once() -> None:
    parked = ParkedReceipts(10, 1000)
    early = receipt("1", 5)
    assert parked.park(early) == []
    assert parked.take("alpha", "1") is early
    assert parked.take("alpha", "1") is None
    assert parked.expire(10_000) == []


def test_a_full_car_park_gives_up_its_oldest_and_says_so() -> None:
    parked = ParkedReceipts(2, 1000)
    first, second, third = (receipt(name, 5) for name in "123")
    assert parked.park(first) == parked.park(second) == []
    assert parked.park(third) == [first]
    assert (len(parked), parked.dropped) == (2, 1)
    assert parked.expire(5 + 1000) == [second, third]


def test_parked_receipts_expire_at_their_age_and_not_before() -> None:
    parked = ParkedReceipts(10, 1000)
    receipts = [receipt(str(number), number) for number in range(5)]
    for each in receipts:
        parked.park(each)
    assert parked.expire(999) == []
    assert parked.expire(1002) == receipts[:3]
    assert parked.expire(1002) == []
    assert len(parked) == 2


def test_an_intermediate_receipt_does_not_replace_a_final_one() -> None:
    parked = ParkedReceipts(10, 1000)
    intermediate, final, late = receipt("1", 1, S), receipt("1", 2, U), receipt("1", 3, S)
    for each in (intermediate, final, late):
        parked.park(each)
    assert len(parked) == 1
    assert parked.take("alpha", "1") is final
