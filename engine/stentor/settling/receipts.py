"""Delivery receipts meet the segments they are about, in whatever order the carrier sends them.

Both tables are bounded and drop their oldest entry when full. What :class:`AwaitedReceipts` drops is still
found in the journal, more slowly; what :class:`ParkedReceipts` drops is lost to its message and counted.
Every operation is constant in time: a carrier that never sends receipts must not slow down one that does.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from stentor.journal.records import ParkedReceipt
from stentor.message import Message, Segment, Status

_BADNESS: Final = {
    Status.DELIVERED: 0,
    Status.UNKNOWN: 2,
    Status.CANCELLED: 3,
    Status.EXPIRED: 4,
    Status.UNDELIVERED: 5,
    Status.REJECTED: 6,
    Status.FAILED: 7,
    Status.SENT: 10,
    Status.SENDING: 11,
    Status.QUEUED: 12,
    Status.SCHEDULED: 13,
}
"""The status of highest rank is the message's. Final ones are ranked by how surely the recipient has nothing
to read; above them the open ones, the least advanced highest."""

_BADNESS_WITHOUT_RECEIPTS: Final = {**_BADNESS, Status.SENT: 1}
"""Without receipts SENT is the last that is heard: less than delivered, but nothing went wrong."""


def combine(statuses: Sequence[Status], waits_for_receipts: bool = True) -> Status:
    """The status of a message from those of all its segments.

    While one segment is open, the least advanced open status; then ``delivered`` if all are, else the worst.
    ``waits_for_receipts`` False: a segment that is SENT is final, because its receipt is not wanted or cannot
    come.
    """
    assert statuses, "a message has at least one segment"
    badness = _BADNESS if waits_for_receipts else _BADNESS_WITHOUT_RECEIPTS
    return max(statuses, key=badness.__getitem__)


class AwaitedReceipts:
    """Segments by the id that their receipt will name: at most ``limit``, the oldest evicted beyond.

    ``family`` names the channels that share a carrier's ids. Carriers do use an id again; the segment sent
    last is then the one that is meant.
    """

    __slots__ = ("_awaited", "evicted", "limit")

    def __init__(self, limit: int) -> None:
        assert limit > 0, "room for one at least"
        self._awaited: OrderedDict[tuple[str, str], tuple[Message, Segment]] = OrderedDict()
        self.limit = limit
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._awaited)

    def add(self, family: str, match_id: str, message: Message, segment: Segment) -> None:
        """``segment`` awaits the receipt that a channel of ``family`` will name ``match_id``."""
        awaited = self._awaited
        name = (family, match_id)
        if name in awaited:
            awaited.move_to_end(name)
        awaited[name] = (message, segment)
        if len(awaited) > self.limit:
            awaited.popitem(last=False)
            self.evicted += 1

    def get(self, family: str, match_id: str) -> tuple[Message, Segment] | None:
        """Whom a receipt is about; it goes on waiting, as it must after an intermediate receipt."""
        return self._awaited.get((family, match_id))

    def take(self, family: str, match_id: str) -> tuple[Message, Segment] | None:
        """Whom a receipt is about; it waits no longer."""
        return self._awaited.pop((family, match_id), None)

    def forget(self, family: str, match_id: str) -> bool:
        """Nobody waits for this receipt any more; False if nobody did."""
        return self._awaited.pop((family, match_id), None) is not None


class AwaitedTogether:
    """Messages of several segments that await receipts: all of those must find one copy of the message.

    At most ``limit``; beyond it the oldest is forgotten, and read from the journal when one of its receipts comes.
    """

    __slots__ = ("_limit", "_messages")

    def __init__(self, limit: int) -> None:
        self._messages: OrderedDict[int, Message] = OrderedDict()
        self._limit = limit

    def remember(self, message: Message) -> Message | None:
        """Returns the one that had to make room, if any."""
        self._messages[message.key] = message
        return self._messages.popitem(last=False)[1] if len(self._messages) > self._limit else None

    def get(self, key: int) -> Message | None:
        """The copy that counts."""
        return self._messages.get(key)

    def forget(self, key: int) -> None:
        """It awaits no receipt any more."""
        self._messages.pop(key, None)


class ParkedReceipts:
    """Receipts that name nothing we know yet, kept for ``age_ms`` in case the response is still on its way.

    At most ``limit``; when it is full the oldest makes room. Whatever leaves unmatched is returned once, by
    :meth:`park` or :meth:`expire`, so that the journal can forget it too. ``waiting`` is open to look into.
    """

    __slots__ = ("_age_ms", "_limit", "dropped", "waiting")

    def __init__(self, limit: int, age_ms: int) -> None:
        assert limit > 0, "room for one at least"
        assert age_ms >= 0, "an age is not negative"
        self.waiting: OrderedDict[tuple[str, str], ParkedReceipt] = OrderedDict()
        self._limit = limit
        self._age_ms = age_ms
        self.dropped = 0

    def __len__(self) -> int:
        return len(self.waiting)

    def park(self, receipt: ParkedReceipt) -> list[ParkedReceipt]:
        """Keep ``receipt``; the one that had to make room, if any. Of two with one name the later stays,
        except that an intermediate one never replaces a final one."""
        parked = self.waiting
        name = (receipt.family, receipt.match_id)
        earlier = parked.get(name)
        if earlier is not None:
            if receipt.status >= Status.DELIVERED or earlier.status < Status.DELIVERED:
                parked[name] = receipt
                parked.move_to_end(name)
            return []
        parked[name] = receipt
        if len(parked) <= self._limit:
            return []
        self.dropped += 1
        return [parked.popitem(last=False)[1]]

    def get(self, family: str, match_id: str) -> ParkedReceipt | None:
        """The receipt that waits for this segment; it goes on waiting."""
        return self.waiting.get((family, match_id))

    def take(self, family: str, match_id: str) -> ParkedReceipt | None:
        """The receipt that waited for this segment, if one did."""
        return self.waiting.pop((family, match_id), None)

    def expire(self, now_ms: int) -> list[ParkedReceipt]:
        """Those that have waited for ``age_ms``, oldest first; they are gone."""
        expired: list[ParkedReceipt] = []
        parked = self.waiting
        oldest_ms = now_ms - self._age_ms
        while parked:
            receipt = next(iter(parked.values()))
            if receipt.at_ms > oldest_ms:
                break
            parked.popitem(last=False)
            expired.append(receipt)
        return expired
