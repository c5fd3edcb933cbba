"""Message ids: a UUIDv7 for the world, one integer for the journal.

A message's *key* is a positive 60-bit integer, ordered by time::

    key = ((milliseconds since 2020 << 12) | counter) << 8

The low eight bits are free: the key of segment *i* (1..255) is ``key + i``, so a message's segments stand beside
it in every ordered table. The UUID (RFC 9562 section 5.7) holds the same milliseconds and counter, in ``rand_a``,
and 62 random bits, the *tail*, which make ids of other people's messages unguessable. ``id`` <-> ``(key, tail)`` is
a bijection: the journal needs no index on the text form.
"""

from collections.abc import Callable
from functools import lru_cache
from struct import Struct

EPOCH_MS = 1_577_836_800_000
"""Milliseconds from 1970 to where keys begin."""
_COUNTER_BITS = 12
_COUNTER_MASK = (1 << _COUNTER_BITS) - 1
_SEGMENT_BITS = 8
_VARIANT = 0x8000
_NODE_MASK = (1 << 48) - 1
_TAIL_BITS = 62

_TAILS = Struct(">512Q")

SEGMENT_MASK = (1 << _SEGMENT_BITS) - 1


def message_key(segment_key: int) -> int:
    """The key of the message a segment's key belongs to."""
    return segment_key & ~SEGMENT_MASK


def key_time_ms(key: int) -> int:
    """Wall milliseconds since 1970 at which the key was made."""
    return (key >> (_COUNTER_BITS + _SEGMENT_BITS)) + EPOCH_MS


def first_key_at(wall_ms: int) -> int:
    """The smallest key that can be made at ``wall_ms``; a bound for searches by time."""
    return max(0, wall_ms - EPOCH_MS) << (_COUNTER_BITS + _SEGMENT_BITS)


def id_text(key: int, tail: int) -> str:
    """The UUIDv7 in its usual text form."""
    return id_octets(key, tail).decode()


def id_octets(key: int, tail: int) -> bytes:
    """The same as ASCII: what goes into JSON is not made into a text first."""
    return b"%b%03x-%04x-%012x" % (
        _time_text(key >> (_COUNTER_BITS + _SEGMENT_BITS)),
        (key >> _SEGMENT_BITS) & _COUNTER_MASK,
        _VARIANT | (tail >> 48),
        tail & _NODE_MASK,
    )


@lru_cache(maxsize=256)
def _time_text(milliseconds: int) -> bytes:
    """The id's text up to and with its version; remembered, for many messages share a millisecond."""
    digits = f"{milliseconds + EPOCH_MS:012x}"
    return f"{digits[:8]}-{digits[8:]}-7".encode()


def parse_id(text: str) -> tuple[int, int] | None:
    """``(key, tail)`` of an id's text form, or None for anything that no generator of ours can have made."""
    digits = text.replace("-", "")
    if len(text) != 36 or len(digits) != 32:
        return None
    try:
        value = int(digits, 16)
    except ValueError:
        return None
    milliseconds = (value >> 80) - EPOCH_MS
    if (value >> 76) & 0xF != 7 or (value >> 62) & 0x3 != 2 or milliseconds < 0:
        return None
    key = ((milliseconds << _COUNTER_BITS) | ((value >> 64) & _COUNTER_MASK)) << _SEGMENT_BITS
    tail = value & ((1 << _TAIL_BITS) - 1)
    # Hyphens in place. Letters of either case: programs that keep UUIDs as such may write capitals (RFC 9562 §4).
    return (key, tail) if id_text(key, tail) == text.lower() else None


class IdGenerator:
    """Makes keys that only grow, whatever the wall clock does, and their tails.

    ``entropy(n)`` gives n random octets. ``last_key`` is the largest key already in the journal, so that a clock
    set back over a restart cannot make a key twice.
    """

    __slots__ = ("_entropy", "_stamp", "_tails")

    def __init__(self, entropy: Callable[[int], bytes], last_key: int = 0) -> None:
        self._entropy = entropy
        self._stamp = last_key >> _SEGMENT_BITS
        self._tails: list[int] = []

    @property
    def last_key(self) -> int:
        """The largest key there is."""
        return self._stamp << _SEGMENT_BITS

    def next(self, wall_ms: int) -> tuple[int, int]:
        """A fresh ``(key, tail)``; more than 4,096 in one millisecond borrow from the next."""
        stamp = (wall_ms - EPOCH_MS) << _COUNTER_BITS
        if stamp <= self._stamp:
            stamp = self._stamp + 1
        self._stamp = stamp
        if not self._tails:
            self._tails = list(_TAILS.unpack(self._entropy(_TAILS.size)))
        return stamp << _SEGMENT_BITS, self._tails.pop() >> 2
