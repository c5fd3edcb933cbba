"""What is counted of parts, and known of messages that came in, beyond restarts and within bounds."""

from typing import Any

import msgspec

from stentor.driver import Inbound, Part, Receipt
from stentor.message import Error, Status
from stentor_http.parts import LONGEST_MS, PartTally
from stentor_http.repetitions import LONGEST_MS as KNOWN_MS
from stentor_http.repetitions import Repetitions

NOW_MS = 1_790_000_000_000


class Kept(dict[str, bytes]):
    """As the host keeps."""

    def keep(self, name: str, value: bytes | None) -> None:
        assert 0 < len(name.encode()) <= 255
        if value is None:
            del self[name]
        else:
            assert len(value) <= 65_536
            self[name] = value


def delivered(name: str) -> Receipt:
    return Receipt(name, Status.DELIVERED)


def test_delivered_is_what_all_parts_are() -> None:
    tally = PartTally()
    done = delivered("a")
    assert tally.take(done, "1", 2, NOW_MS).status is Status.SENT
    assert tally.take(done, "1", 2, NOW_MS).status is Status.SENT
    assert tally.take(done, "2", 2, NOW_MS) is done
    assert len(tally) == 0


def test_a_part_that_failed_decides_and_what_was_counted_is_forgotten() -> None:
    kept = Kept()
    tally = PartTally(keep=kept.keep)
    tally.take(delivered("a"), "1", 3, NOW_MS)
    on_its_way = Receipt("a", Status.SENT)
    assert tally.take(on_its_way, "2", 3, NOW_MS) is on_its_way
    assert kept
    failed = Receipt("a", Status.UNDELIVERED, Error("not_delivered"))
    assert tally.take(failed, "2", 3, NOW_MS) is failed
    assert not kept


def test_parts_are_counted_on_after_a_restart() -> None:
    kept = Kept()
    for number in range(3):
        tally = PartTally(keep=kept.keep, kept=kept)
        found = tally.take(delivered("a"), str(number), 3, NOW_MS)
        assert found.status is (Status.DELIVERED if number == 2 else Status.SENT)
    assert not kept


def test_the_oldest_message_makes_room_whatever_order_it_is_read_in() -> None:
    kept = Kept()
    tally = PartTally(2, kept.keep)
    for at, name in enumerate(("z", "b")):
        tally.take(delivered(name), "1", 2, NOW_MS + at)
    tally = PartTally(2, kept.keep, dict(sorted(kept.items())))
    tally.take(delivered("c"), "1", 2, NOW_MS + 2)
    assert set(kept) == {"part/b", "part/c"}
    assert tally.take(delivered("z"), "2", 2, NOW_MS + 3).status is Status.SENT


def test_what_waits_too_long_for_its_other_parts_is_forgotten() -> None:
    kept = Kept()
    tally = PartTally(keep=kept.keep)
    tally.take(delivered("a"), "1", 2, NOW_MS)
    tally.take(delivered("b"), "1", 2, NOW_MS + LONGEST_MS)
    assert set(kept) == {"part/b"}


def test_an_id_that_is_too_long_to_be_kept_is_counted_all_the_same() -> None:
    kept = Kept()
    tally = PartTally(keep=kept.keep)
    assert tally.take(delivered("x" * 300), "1", 2, NOW_MS).status is Status.SENT
    assert tally.take(delivered("x" * 300), "2", 2, NOW_MS).status is Status.DELIVERED
    assert not kept


def mo(carrier_id: str | None = "m1", text: str = "Yes", **changes: Any) -> Inbound:
    return msgspec.structs.replace(Inbound("+447700900123", "60006", text, carrier_id=carrier_id), **changes)


def test_a_message_that_came_before_is_taken_out_and_nothing_else() -> None:
    known = Repetitions(Kept().keep, {})
    first = [mo(), delivered("a"), mo("m2"), mo(None)]
    assert known.take_out(first, NOW_MS) == first
    part = mo(part=Part(7, 2, 1))
    again = [mo(), delivered("a"), mo(None), mo(text="No"), part, mo("m3"), mo("m3")]
    assert known.take_out(again, NOW_MS) == [delivered("a"), mo(None), mo(text="No"), part, mo("m3")]


def test_messages_are_known_after_a_restart() -> None:
    kept = Kept()
    for number in range(3):
        known = Repetitions(kept.keep, kept)
        items = [mo(f"m{number}"), mo(f"n{number}")]
        assert known.take_out(items, NOW_MS) == items
    known = Repetitions(kept.keep, kept)
    assert len(known) == 6
    assert known.take_out([mo(f"m{number}") for number in range(4)], NOW_MS) == [mo("m3")]


def test_no_more_are_known_than_there_is_room_for_and_none_for_ever() -> None:
    kept = Kept()
    known = Repetitions(kept.keep, kept, limit=4)
    for number in range(6):
        known.take_out([mo(f"m{number}"), mo(f"n{number}")], NOW_MS + number)
    assert len(known) == 4
    assert len(kept) == 2
    assert known.take_out([mo("m5"), mo("m0")], NOW_MS + 9) == [mo("m0")]
    known.take_out([mo("late")], NOW_MS + 9 + KNOWN_MS)
    assert len(known) == len(kept) == 1


def test_a_great_many_at_once_are_kept_in_several_values() -> None:
    kept = Kept()
    items = [mo(f"m{number}") for number in range(9_000)]
    Repetitions(kept.keep, kept).take_out(items, NOW_MS)
    assert len(kept) == 2
    assert Repetitions(kept.keep, kept).take_out(items, NOW_MS) == []
