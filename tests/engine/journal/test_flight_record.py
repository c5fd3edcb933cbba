"""The record of flights: what is written is found by whoever reads the same memory, and only that is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.journal.flight_record import (
    HEADER_OCTETS,
    MOST_SLOTS,
    SLOT_OCTETS,
    FlightRecord,
    Noted,
    cells_of,
    channel_mark,
    fault_of,
    header,
)
from stentor.message import Priority
from stentor.outcome import Submission
from stentor.text.segments import Encoding

OURS, THEIRS = bytes(range(16)), bytes(16)
MARK = channel_mark("a")


def submission(token: int, attempt: int = 1) -> Submission:
    return Submission(
        token, attempt, "+40700000001", "1234", Encoding.GSM7, b"", b"", 1, 1, True, 60, Priority.NORMAL
    )


class Memory:
    """Octets that outlive the records over them; ``limit`` slots at most."""

    def __init__(self, slots: int = 2, limit: int = 1000) -> None:
        self.octets = bytearray(slots * SLOT_OCTETS)
        self.limit = limit

    def grow(self, slots: int) -> memoryview | None:
        if slots > self.limit:
            return None
        self.octets = self.octets + bytearray(slots * SLOT_OCTETS - len(self.octets))
        return cells_of(self.octets)

    def record(self) -> FlightRecord:
        return FlightRecord(cells_of(self.octets), self.grow)


@pytest.mark.parametrize(
    ("octets", "size", "fault"),
    [
        (header(OURS), HEADER_OCTETS, None),
        (header(OURS), HEADER_OCTETS + 4096 * SLOT_OCTETS, None),
        (b"", 0, "size"),
        (header(OURS)[:-1], HEADER_OCTETS, "size"),
        (header(OURS), HEADER_OCTETS + (MOST_SLOTS + 1) * SLOT_OCTETS, "size"),
        (bytes(HEADER_OCTETS), HEADER_OCTETS, "damaged"),
        (header(THEIRS), HEADER_OCTETS, "another journal"),
    ],
)
def test_a_record_is_known_by_its_header(octets: bytes, size: int, fault: str | None) -> None:
    found = fault_of(octets, size, OURS)
    assert (found is None) if fault is None else (found is not None and fault in found)


@pytest.mark.parametrize("place", range(36))
def test_a_header_with_one_wrong_bit_is_refused(place: int) -> None:
    octets = bytearray(header(OURS))
    octets[place] ^= 0x40
    assert fault_of(bytes(octets), HEADER_OCTETS, OURS) is not None


@given(st.data())
def test_what_is_in_flight_is_what_a_later_reader_finds(data: st.DataObject) -> None:
    """Against a dictionary by slot, through growth, and through readers that come in between."""
    memory, tokens = Memory(), iter(range(257, 1 << 20))
    record = memory.record()
    model: dict[int, Noted] = {}
    for _ in range(data.draw(st.integers(0, 12))):
        if model and data.draw(st.booleans()):
            gone = data.draw(st.lists(st.sampled_from(sorted(model)), unique=True))
            record.strike(gone)
            model = {slot: noted for slot, noted in model.items() if slot not in gone}
        elif data.draw(st.booleans()):
            attempt, channel = data.draw(st.integers(1, 9)), data.draw(st.sampled_from("ab"))
            batch = [submission(next(tokens), attempt) for _ in range(data.draw(st.integers(1, 20)))]
            assert record.room(len(batch)) == len(batch)
            for slot, each in zip(record.depart(channel, batch), batch, strict=True):
                assert slot not in model
                model[slot] = Noted(each.token, attempt, channel_mark(channel))
        else:
            record = memory.record()
        assert len(record) == len(model)
        assert set(memory.record().noted) == set(model.values())
        assert sorted(memory.record().taken) == sorted(model)


def test_what_finds_no_room_is_not_taken() -> None:
    record = Memory(slots=2, limit=4).record()
    assert [record.room(wanted) for wanted in (-1, 0, 2, 3)] == [-1, 0, 2, 3]
    slots = record.depart("a", [submission(257), submission(513), submission(769)])
    assert [record.room(wanted) for wanted in (1, 2, 500)] == [1, 1, 1]
    record.strike(slots)
    assert record.room(500) == 4


def test_a_process_that_dies_between_two_stores_leaves_a_slot_free_or_whole() -> None:
    class Dies(Exception):
        pass

    class Cells:
        """Memory that takes so many stores more."""

        def __init__(self, cells: memoryview) -> None:
            self.cells, self.left = cells, 3

        def __setitem__(self, place: int, value: int) -> None:
            if not self.left:
                raise Dies
            self.left -= 1
            self.cells[place] = value

    memory = Memory(slots=4)
    record = memory.record()
    record.strike(record.depart("b", [submission(257, 3), submission(513, 3)]))
    record._cells = Cells(cells_of(memory.octets))
    with pytest.raises(Dies):
        record.depart("a", [submission(769), submission(1025)])
    assert memory.record().noted == [Noted(769, 1, MARK)]


@given(st.binary(max_size=400))
def test_whatever_stands_there_is_read_without_error(octets: bytes) -> None:
    record = FlightRecord(cells_of(bytearray(octets)))
    assert all(each.token & 0xFF and each.attempt for each in record.noted)
    record.strike(record.taken)
    assert (record.noted, len(record)) == ([], 0)
