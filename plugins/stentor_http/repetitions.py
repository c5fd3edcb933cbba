"""Messages that came in before: a carrier repeats a request whose answer it did not get, and a stranger may.

A message that bears the carrier's id is known again by a digest of all it says. Digests are kept beyond restarts, those
of one call to the host under one name, and become durable with the messages themselves. Invariant: at most ``LIMIT``
are known, none for longer than ``LONGEST_MS``, and the oldest are forgotten first.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final

from stentor.driver import Inbound, Receipt
from stentor_http.parts import Keep

LIMIT: Final = 100_000
LONGEST_MS: Final = 3 * 86_400_000
"""The longest that a carrier repeats is two days."""
PREFIX: Final = "mo/"
_DIGEST_OCTETS: Final = 8
_TIME_OCTETS: Final = 8
_TOGETHER: Final = 8_000  # a value that is kept has at most 64 KiB


class Repetitions:
    """What is known of the messages of one channel."""

    __slots__ = ("_count", "_keep", "_known", "_limit", "_next", "_records")

    def __init__(self, keep: Keep, kept: Mapping[str, bytes], limit: int = LIMIT) -> None:
        self._keep, self._limit = keep, limit
        self._known: set[bytes] = set()
        self._records: deque[tuple[str, int, tuple[bytes, ...]]] = deque()
        self._next = self._count = 0
        for name in sorted(name for name in kept if name.startswith(PREFIX)):
            value = kept[name]
            self._note(name, int.from_bytes(value[:_TIME_OCTETS]), _split(value[_TIME_OCTETS:]))
            self._next = int(name.removeprefix(PREFIX), 16) + 1

    def __len__(self) -> int:
        return self._count

    def take_out(self, items: Sequence[Receipt | Inbound], wall_ms: int) -> list[Receipt | Inbound]:
        """The items without the messages that came before; those that are left are known from now on."""
        fresh: list[Receipt | Inbound] = []
        digests: list[bytes] = []
        for item in items:
            if isinstance(item, Inbound) and item.carrier_id:
                digest = _digest(item)
                if digest in self._known:
                    continue
                self._known.add(digest)
                digests.append(digest)
            fresh.append(item)
        for at in range(0, len(digests), _TOGETHER):
            self._remember(tuple(digests[at : at + _TOGETHER]), wall_ms)
        return fresh

    def _remember(self, digests: tuple[bytes, ...], wall_ms: int) -> None:
        name = f"{PREFIX}{self._next:016x}"
        self._next += 1
        self._note(name, wall_ms, digests)
        self._keep(name, wall_ms.to_bytes(_TIME_OCTETS) + b"".join(digests))
        while self._records:
            name, at_ms, known = self._records[0]
            if self._count <= self._limit and wall_ms - at_ms < LONGEST_MS:
                return
            self._records.popleft()
            self._count -= len(known)
            self._known.difference_update(known)
            self._keep(name, None)

    def _note(self, name: str, at_ms: int, digests: tuple[bytes, ...]) -> None:
        self._known.update(digests)
        self._records.append((name, at_ms, digests))
        self._count += len(digests)


def _split(octets: bytes) -> tuple[bytes, ...]:
    return tuple(octets[at : at + _DIGEST_OCTETS] for at in range(0, len(octets), _DIGEST_OCTETS))


def _digest(item: Inbound) -> bytes:
    part = item.part
    said = (
        item.carrier_id,
        item.originator,
        item.to,
        item.text,
        item.data,
        (part.reference, part.total, part.index) if part is not None else None,
    )
    return blake2b(repr(said).encode("utf-8", "surrogatepass"), digest_size=_DIGEST_OCTETS).digest()
