"""The log of attempts: what was sent, what came back, how long it took. One for each webhook, bounded.

Attempts gather into blocks, and blocks stand in two rings of slots in the journal, one for what succeeded and one for
what failed: so a busy webhook's successes do not push out the failures somebody will want to see. A block is written
again as it grows, and one that is full or spans a day is followed by the next. Bodies are not kept, only their digest:
the message is.

Invariant: a ring's newest attempts are all there, however fast they come between two writes: an attempt is only ever
forgotten because SLOTS blocks of its ring are newer.
"""

from collections import deque
from collections.abc import Iterable
from struct import Struct
from typing import Final

import msgspec

from stentor.webhooks.records import AttemptBlock

SLOTS: Final = 64
"""Blocks of a ring: with BLOCK_OCTETS, at most 4 MiB for each ring of each webhook."""
BLOCK_OCTETS: Final = 48 * 1024
FULL_OCTETS: Final = 36 * 1024
"""A block with more takes no other attempt: the largest are of 10 KiB, with the longest address, answer and error."""
BLOCK_ATTEMPTS: Final = 128
KEPT_MS: Final = 30 * 24 * 3600 * 1000
"""How long an attempt is shown. Blocks are deleted as a whole, so it is gone a day later at most."""
SPAN_MS: Final = 24 * 3600 * 1000
UNWRITTEN_BLOCKS: Final = SLOTS - 1
"""Full blocks of a ring that wait to be written beside the open one. What falls out of these would fall out of the ring
with the same write."""
RINGS: Final = 2
DELIVERED_RING: Final = 0
FAILED_RING: Final = 1
MASK: Final = "********"


class Attempt(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One attempt. ``event`` is the event's id, ``octets`` and ``digest`` (SHA-256) are of the body that was sent.

    ``fields`` are the names of the configured fields that went along. ``status`` is 0 without an answer, and then
    ``error`` says why; ``answer`` is the beginning of its body.
    """

    number: int
    event: str
    type: str
    attempt: int
    at_ms: int
    url: str
    fields: tuple[str, ...]
    octets: int
    digest: bytes
    took_ms: int
    status: int = 0
    answer: bytes = b""
    error: str = ""
    remote: str = ""

    @property
    def is_delivered(self) -> bool:
        return 200 <= self.status < 300


class Wanted(msgspec.Struct, frozen=True):
    """Which attempts of a log: those before number ``before``, of one outcome or both, and how many at least."""

    before: int
    limit: int
    is_delivered: bool | None = None

    def has(self, attempt: Attempt) -> bool:
        return attempt.number < self.before and self.is_delivered in (None, attempt.is_delivered)


_encode_into: Final = msgspec.msgpack.Encoder().encode_into
_decode: Final = msgspec.msgpack.Decoder(list[Attempt]).decode
_ARRAY: Final = Struct(">BH")
_ARRAY_16: Final = 0xDC
"""MessagePack: an array of so many elements as the next two octets say."""


class _Block(msgspec.Struct, gc=False):
    """The attempts of a block, encoded one by one as they come: later they would have to be fetched from memory that
    others have used meanwhile."""

    number: int
    octets: bytearray
    count: int = 0
    last_attempt: int = 0
    began_ms: int = 0
    at_ms: int = 0

    @property
    def is_full(self) -> bool:
        return self.count >= BLOCK_ATTEMPTS or len(self.octets) > FULL_OCTETS

    def add(self, attempt: Attempt) -> None:
        _encode_into(attempt, self.octets, -1)
        self.count += 1
        self.last_attempt, self.at_ms = attempt.number, attempt.at_ms


class _Ring:
    """The open block of a ring, and those before it that are not written yet."""

    __slots__ = ("full", "is_dirty", "open")

    def __init__(self, number: int) -> None:
        self.open = _Block(number, bytearray())
        self.is_dirty = False
        self.full: deque[_Block] = deque(maxlen=UNWRITTEN_BLOCKS)

    def add(self, attempt: Attempt) -> None:
        block = self.open
        # It is written several times a second while attempts come: then its age need not be looked at.
        if block.is_full or not self.is_dirty:
            block = self._block_for(attempt.at_ms)
        block.add(attempt)
        self.is_dirty = True

    def _block_for(self, at_ms: int) -> _Block:
        block = self.open
        if block.is_full or (block.count and at_ms - block.began_ms >= SPAN_MS):
            if self.is_dirty:
                self.full.append(block)
            block = self.open = _Block(block.number + 1, bytearray())
        if not block.count:
            block.began_ms = at_ms
        return block

    def take(self) -> list[_Block]:
        if not self.is_dirty:
            return []
        taken = [*self.full, self.open]
        self.full.clear()
        self.is_dirty = False
        return taken


class AttemptLog:
    """What is still to be written of one webhook's log. ``blocks``: the newest block of each ring in the journal."""

    __slots__ = ("_rings", "_webhook", "last_attempt")

    def __init__(self, webhook: int, blocks: Iterable[int] = (), last_attempt: int = 0) -> None:
        numbers = tuple(blocks) or (-1,) * RINGS
        self._webhook = webhook
        self._rings = [_Ring(number + 1) for number in numbers]
        self.last_attempt = last_attempt

    def add(self, attempt: Attempt) -> None:
        self._rings[DELIVERED_RING if attempt.is_delivered else FAILED_RING].add(attempt)

    def next_number(self) -> int:
        self.last_attempt += 1
        return self.last_attempt

    def take(self) -> list[AttemptBlock]:
        """The blocks that changed, to be written."""
        return [
            AttemptBlock(
                self._webhook,
                ring,
                block.number % SLOTS,
                block.number,
                block.last_attempt,
                block.at_ms,
                _ARRAY.pack(_ARRAY_16, block.count) + block.octets,
            )
            for ring, each in enumerate(self._rings)
            for block in each.take()
        ]


def parse_block(octets: bytes) -> list[Attempt]:
    """The attempts of one block, oldest first."""
    return _decode(octets)
