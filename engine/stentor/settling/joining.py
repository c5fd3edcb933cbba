"""Parts of inbound messages become messages, in whatever order, how often and over which link they come.

A *collection* is what has come of one message. It ends when it is complete, when the time-out has passed since its
first part, when another text comes for a part it has (the originator uses the reference again), or when too many
parts wait and it is the oldest. Whatever ended it, all its parts become one message: nothing that came is lost.
Carriers repeat a part whose acknowledgement they did not see. A part that is there already is dropped, and so is one
of a message that ended within the time-out, known by digests.

Bounds: ``limit`` parts wait in all, and as many joined messages are remembered; the oldest make room.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import groupby
from typing import Final

from stentor.driver import Inbound, Part
from stentor.journal.records import HeldPart, JoinedParts, PartsName
from stentor.text import gsm0338, ucs2
from stentor.text.segments import MAX_SEGMENTS, Encoding

MISSING: Final = "[…]"
"""Stands in a text for parts that did not come."""
DIGEST_OCTETS: Final = 8


ALONE: Final = Part(0, 1, 1)


def is_joinable(part: Part) -> bool:
    """Whether there are other parts to wait for. One whose numbers cannot be is a message of its own."""
    return 1 < part.total <= MAX_SEGMENTS and 1 <= part.index <= part.total


class Collection:
    """What has come of one message, by index, in the order in which it came."""

    __slots__ = ("at_ms", "name", "parts")

    def __init__(self, first: HeldPart) -> None:
        self.name: PartsName = first.name
        self.at_ms = first.at_ms
        self.parts: dict[int, HeldPart] = {}

    @property
    def total(self) -> int:
        return self.name[-1]

    @property
    def is_complete(self) -> bool:
        return len(self.parts) == self.total

    @property
    def channel(self) -> str:
        """The channel that brought the last part."""
        return next(reversed(self.parts.values())).channel

    @property
    def items(self) -> list[Inbound]:
        """In the order of the message."""
        return [self.parts[index].item for index in sorted(self.parts)]

    def joined(self, key: int, at_ms: int) -> JoinedParts:
        """What to remember of it, once it has become the message ``key``."""
        nothing = bytes(DIGEST_OCTETS)
        digests = (
            digest(self.parts[index].item) if index in self.parts else nothing
            for index in range(1, self.total + 1)
        )
        return JoinedParts(key, *self.name, at_ms, b"".join(digests))


class Joiner:
    """All collections. ``incomplete`` counts messages that ended with parts missing."""

    __slots__ = ("_count", "_joined", "_open", "incomplete", "limit", "timeout_ms")

    def __init__(
        self, limit: int, timeout_ms: int, parts: Iterable[HeldPart] = (), joined: Iterable[JoinedParts] = ()
    ) -> None:
        """``parts`` and ``joined`` are what the journal holds, oldest first."""
        assert limit > 0, "room for one at least"
        self.limit = limit
        self.timeout_ms = timeout_ms
        self.incomplete = 0
        self._open: OrderedDict[PartsName, Collection] = OrderedDict()
        self._joined: OrderedDict[PartsName, JoinedParts] = OrderedDict((each.name, each) for each in joined)
        self._count = 0
        for part in parts:
            self._put(part)

    def __len__(self) -> int:
        """Parts that wait."""
        return self._count

    def adjust(self, limit: int, timeout_ms: int) -> None:
        """Other bounds, from now on; what is beyond them is told by :meth:`overdue`."""
        self.limit = limit
        self.timeout_ms = timeout_ms

    @property
    def due_at_ms(self) -> int:
        """When :meth:`overdue` next has something to tell; 0 for never."""
        if not self._open:
            return 0
        return next(iter(self._open.values())).at_ms + self.timeout_ms

    def is_repeated(self, part: HeldPart) -> bool:
        """It is here already, or was not long ago."""
        name, index = part.name, _index(part.item)
        collection, joined = self._open.get(name), self._joined.get(name)
        held = collection.parts.get(index) if collection is not None else None
        if held is not None and digest(held.item) == digest(part.item):
            return True
        if joined is None or joined.at_ms + self.timeout_ms <= part.at_ms:
            return False
        end = index * DIGEST_OCTETS
        return joined.digests[end - DIGEST_OCTETS : end] == digest(part.item)

    def add(self, part: HeldPart) -> list[Collection]:
        """Take a part that is not a repeated one; the collections that end by it."""
        ended: list[Collection] = []
        name = part.name
        collection = self._open.get(name)
        if collection is not None and _index(part.item) in collection.parts:
            ended.append(self._end(name))
        if self._put(part).is_complete:
            ended.append(self._end(name))
        ended += self._crowded_out()
        return ended

    def _put(self, part: HeldPart) -> Collection:
        collection = self._open.get(part.name)
        if collection is None:
            collection = self._open[part.name] = Collection(part)
        collection.parts[_index(part.item)] = part
        self._count += 1
        return collection

    def _end(self, name: PartsName) -> Collection:
        collection = self._open.pop(name)
        self._count -= len(collection.parts)
        self.incomplete += not collection.is_complete
        return collection

    def _crowded_out(self) -> Iterator[Collection]:
        while self._count > self.limit:
            yield self._end(next(iter(self._open)))

    def overdue(self, wall_ms: int) -> list[Collection]:
        """Collections whose time-out has passed, or for which there is no room; they are gone."""
        ended = list(self._crowded_out())
        while self._open and self.due_at_ms <= wall_ms:
            ended.append(self._end(next(iter(self._open))))
        return ended

    def remember(self, joined: JoinedParts) -> list[JoinedParts]:
        """A collection has become a message. What is forgotten for it."""
        earlier = self._joined.pop(joined.name, None)
        self._joined[joined.name] = joined
        if earlier is not None:
            return [earlier]
        return [self._joined.popitem(last=False)[1]] if len(self._joined) > self.limit else []

    def forget(self, wall_ms: int) -> list[JoinedParts]:
        """Joined messages that are old enough to be forgotten; they are gone."""
        gone: list[JoinedParts] = []
        while self._joined:
            oldest = next(iter(self._joined.values()))
            if oldest.at_ms + self.timeout_ms > wall_ms:
                break
            gone.append(self._joined.popitem(last=False)[1])
        return gone


def digest(item: Inbound) -> bytes:
    """Eight octets that tell a part's content from others."""
    return blake2b(_octets(item), digest_size=DIGEST_OCTETS, person=item.encoding.value.encode()).digest()


def _octets(item: Inbound) -> bytes:
    if item.data is not None:
        return item.data
    return (item.text or "").encode("utf-8", "surrogatepass")


def join(items: Sequence[Inbound], total: int) -> Inbound:
    """One message of the parts there are, given in the order of their indexes.

    Neighbours given as octets are joined before they are decoded: a surrogate pair, or an escape and its code, may be
    cut between them. If one of them is binary then all are, and missing parts leave no trace.
    """
    if any(item.text is None and item.encoding is Encoding.BINARY for item in items):
        return _whole(items, None, b"".join(map(_octets, items)), Encoding.BINARY)
    pieces: list[str] = []
    last = 0
    for _, run in groupby(enumerate(items), _run):
        neighbours = [item for _, item in run]
        if _index(neighbours[0]) > last + 1:
            pieces.append(MISSING)
        pieces.append(_text(neighbours))
        last = _index(neighbours[-1])
    if last < total:
        pieces.append(MISSING)
    is_ucs2 = any(item.encoding is Encoding.UCS2 for item in items)
    return _whole(items, "".join(pieces), None, Encoding.UCS2 if is_ucs2 else Encoding.GSM7)


def _whole(items: Sequence[Inbound], text: str | None, data: bytes | None, encoding: Encoding) -> Inbound:
    return Inbound(items[0].originator, items[0].to, text, encoding, data, len(items))


def _index(item: Inbound) -> int:
    assert item.part is not None
    return item.part.index


def _run(place: tuple[int, Inbound]) -> tuple[int, bool, Encoding]:
    """The same for parts that follow each other and are written alike."""
    position, item = place
    return _index(item) - position, item.text is None, item.encoding


def _text(neighbours: Sequence[Inbound]) -> str:
    first = neighbours[0]
    if first.text is not None:
        return "".join(item.text or "" for item in neighbours)
    octets = b"".join(map(_octets, neighbours))
    return ucs2.decode(octets) if first.encoding is Encoding.UCS2 else gsm0338.decode(octets)
