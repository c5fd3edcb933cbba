"""What peers may have taken and the journal does not know of yet: the record of submissions in flight.

At-most-once attempts have leases in the journal; a lease for every attempt would cost a commit before each. This
record costs two stores: its cells lie in memory that outlives the process (``stentor.aio.journal.flight_file``), so
whoever starts after a kill finds what was under way. It says too much rather than too little: a submission is written
before its driver is given it, and struck when its result is durable, or at once when it is known not to have been
taken.

A *slot* is two cells of 64 bits, the token and a tag: which channel, which attempt. A token of 0 is a free slot. The
tag is stored first and cells are aligned, so a process that dies in between leaves a slot free or whole.
"""

from collections.abc import Callable, Iterable, Sequence
from struct import Struct
from typing import Final
from zlib import crc32

import msgspec

from stentor.ids import SEGMENT_MASK
from stentor.outcome import Submission

CELL_OCTETS: Final = 8
SLOT_OCTETS: Final = 2 * CELL_OCTETS
SLOTS: Final = 4096
"""To begin with; doubled when they do not suffice."""
MOST_SLOTS: Final = 1 << 20

_MAGIC: Final = b"stentor\x1a"
_VERSION: Final = 1
_HEAD: Final = Struct("<8sII16s")
"""Magic, version, octets of a slot, the journal it belongs to."""
_CHECKED: Final = Struct("<32sI28x")
HEADER_OCTETS: Final = _CHECKED.size

_ATTEMPT_MASK: Final = 0xFFFF_FFFF


class Noted(msgspec.Struct, frozen=True, gc=False):
    """One slot as a start finds it. ``mark`` stands for a channel (:func:`channel_mark`)."""

    token: int
    attempt: int
    mark: int


def channel_mark(name: str) -> int:
    """A number for a channel's name, the same in every run."""
    return crc32(name.encode("utf-8", "surrogatepass"))


def header(journal: bytes) -> bytes:
    """What the record of a journal begins with; ``journal`` are the 16 octets that name it."""
    head = _HEAD.pack(_MAGIC, _VERSION, SLOT_OCTETS, journal)
    return _CHECKED.pack(head, crc32(head))


def fault_of(octets: bytes, size: int, journal: bytes) -> str | None:
    """Why a record that begins so, and has ``size`` octets, is not one of this journal; None if it is."""
    if len(octets) < HEADER_OCTETS or size > HEADER_OCTETS + MOST_SLOTS * SLOT_OCTETS:
        return "no record has that size"
    head, check = _CHECKED.unpack_from(octets)
    magic, version, slot_octets, owner = _HEAD.unpack(head)
    if magic != _MAGIC or crc32(head) != check:
        return "it is none, or damaged"
    if (version, slot_octets) != (_VERSION, SLOT_OCTETS):
        return f"it is of version {version}"
    return None if owner == journal else "it belongs to another journal"


def cells_of(octets: bytearray | memoryview) -> memoryview:
    """Octets as cells, without a copy; what does not fill a slot is left out."""
    whole = memoryview(octets)
    return whole[: len(whole) // SLOT_OCTETS * SLOT_OCTETS].cast("B").cast("Q")


class FlightRecord:
    """The slots, over cells that are somebody else's. ``grow(slots)`` gives cells for so many, with what stands in the
    present ones, or None where there is no room for more."""

    __slots__ = ("_cells", "_free", "_grow")

    def __init__(
        self, cells: memoryview, grow: Callable[[int], memoryview | None] = lambda slots: None
    ) -> None:
        self._cells = cells
        self._grow = grow
        self._free: list[int] = []
        self._add_free(0)

    @classmethod
    def in_memory(cls) -> "FlightRecord":
        """One that nothing outlives."""
        return cls(
            cells_of(bytearray(SLOTS * SLOT_OCTETS)), lambda slots: cells_of(bytearray(slots * SLOT_OCTETS))
        )

    def _add_free(self, first: int) -> None:
        # Popped from the end: low slots first, so what is written stays on few pages.
        free = [
            2 * slot for slot, token in enumerate(self._cells[::2].tolist()) if not token and slot >= first
        ]
        self._free = free[::-1] + self._free

    def __len__(self) -> int:
        """Slots that are taken."""
        return len(self._cells) // 2 - len(self._free)

    @property
    def noted(self) -> list[Noted]:
        """What stands in it, in no order. What cannot have been written by us is left out."""
        cells = self._cells.tolist()
        return [
            Noted(token, tag & _ATTEMPT_MASK, tag >> 32)
            for token, tag in zip(cells[::2], cells[1::2], strict=True)
            if token & SEGMENT_MASK and token < 1 << 63 and tag & _ATTEMPT_MASK
        ]

    @property
    def taken(self) -> list[int]:
        """The slots that are taken, for :meth:`strike`."""
        return [2 * slot for slot, token in enumerate(self._cells[::2].tolist()) if token]

    def room(self, wanted: int) -> int:
        """How many of ``wanted`` submissions :meth:`depart` can take now."""
        free = len(self._free)
        return wanted if wanted <= free else min(wanted, self._made_room(wanted))

    def _made_room(self, wanted: int) -> int:
        slots = before = len(self._cells) // 2
        while slots - len(self) < wanted and slots < MOST_SLOTS:
            slots *= 2
        grown = self._grow(slots) if slots > before else None
        if grown is not None:
            grown[: len(self._cells)] = self._cells
            self._cells = grown
            self._add_free(before)
        return len(self._free)

    def depart(self, channel: str, submissions: Sequence[Submission]) -> list[int]:
        """These are handed to their driver next. Returns their slots, in order; there must be room."""
        free, cells, mark = self._free, self._cells, channel_mark(channel) << 32
        count = len(submissions)
        assert count <= len(free), "room was asked for"
        slots = free[-count:]
        del free[-count:]
        for slot, submission in zip(slots, submissions, strict=True):
            cells[slot + 1] = mark | submission.attempt
            cells[slot] = submission.token
        return slots

    def strike(self, slots: Iterable[int]) -> None:
        """What stands there needs no record any more."""
        cells = self._cells
        before = len(self._free)
        self._free += slots
        for slot in self._free[before:]:
            cells[slot] = 0
