"""What comes to an endpoint: events as they are committed, pages of the journal when it is behind, and replays.

A feed is *live* while it has taken everything that was committed: then events come to it as they happen, and nothing is
read. One that has no room for an event leaves it in the journal and is behind: it reads on, page by page, when there is
room, and what is committed during the last read is kept aside for it. So what waits for an endpoint waits on the disk.

Invariants: what is ready is in the order of events, and is behind everything that was taken out; all that concerns the
endpoint up to ``position`` is ready or was taken out.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from stentor.message import Event

_PAGES_BEHIND: Final = 4
"""Behind by so many pages, a feed is not told what is committed while it reads."""


class Delivery(msgspec.Struct, eq=False, gc=False):
    """One event on its way to one endpoint.

    ``body`` is None for one that has to be read again. ``url`` is where it goes, "" for the webhook's own. ``place``
    orders deliveries as they were first taken. ``is_stored``: the journal knows of it beside the cursor. ``since_ms``:
    where its age counts from.
    """

    event: Event
    since_ms: int
    body: bytes | None = None
    url: str = ""
    is_replay: bool = False
    attempts: int = 0
    is_stored: bool = False
    place: int = 0


class Tide(msgspec.Struct):
    """The newest event that all live feeds were told of."""

    seq: int = 0


class Page(msgspec.Struct, frozen=True):
    """Events to be read: those after ``after_seq`` and up to ``end_seq`` from ``since_ms`` to before ``until_ms`` that
    concern the endpoint, at most ``limit``."""

    after_seq: int
    limit: int
    is_replay: bool = False
    newest: int = 0
    end_seq: int = 2**63 - 1
    since_ms: int = 0
    until_ms: int = 2**63 - 1

    def has(self, event: Event) -> bool:
        """Of an event after ``after_seq``."""
        return event.seq <= self.end_seq and self.since_ms <= event.at_ms < self.until_ms


class Read(msgspec.Struct, frozen=True):
    """What a page held: deliveries in order, and up to which event it looked. ``is_end``: there was no more."""

    deliveries: Sequence[Delivery]
    last_seq: int
    is_end: bool


class Feed:
    """The events of an endpoint from now on, or from where it stood. ``room`` is the caller's to say."""

    __slots__ = ("_aside", "_aside_limit", "_is_short", "_page", "_position", "_tide", "is_live", "ready")

    def __init__(self, position: int, tide: Tide, aside_limit: int) -> None:
        self.ready: deque[Delivery] = deque()
        self.is_live = False
        self._position = position
        self._tide = tide
        self._aside: list[Delivery] = []
        self._aside_limit = aside_limit
        self._is_short = False
        self._page: Page | None = None

    @property
    def position(self) -> int:
        """Everything up to this event was seen; not less than anything that was taken out or is ready."""
        return max(self._position, self._tide.seq) if self.is_live else self._position

    @property
    def is_reading(self) -> bool:
        return self._page is not None

    @property
    def hears(self) -> bool:
        """Whether it takes what is committed now."""
        return self.is_live or (self._page is not None and not self._is_short)

    def has_room(self, count: int, room: int) -> bool:
        """Whether so many can be told now."""
        return count <= (room if self.is_live else self._aside_limit - len(self._aside))

    def tell(self, deliveries: Sequence[Delivery], room: int) -> None:
        """Events that were committed now, in order, none of them missing."""
        if self.is_live:
            if len(deliveries) <= room:
                self.ready += deliveries
                self._position = max(self._position, deliveries[-1].event.seq)
            else:
                self.miss(deliveries[0].event.seq)
        elif self._page is not None and not self._is_short:
            self._aside += deliveries
            if len(self._aside) > self._aside_limit:
                self.miss(deliveries[0].event.seq)

    def miss(self, first_seq: int) -> None:
        """More was committed than there is room for, beginning with this event: it is read when there is room."""
        if self.is_live:
            self.is_live = False
            self._position = max(self._position, first_seq - 1)
        self._aside.clear()
        self._is_short = True

    def begin(self, limit: int) -> Page:
        """Read the next page; exactly one at a time."""
        assert self._page is None, "one page at a time"
        assert not self.is_live, "nothing to read"
        # One that is far behind does not get to the end by this page, so it need not hear what comes meanwhile.
        self._is_short = self._tide.seq - self._position > _PAGES_BEHIND * limit
        self._page = Page(self._position, limit, newest=self._tide.seq)
        return self._page

    def finish(self, page: Page, read: Read | None) -> None:
        """A page was read, or could not be. One that was begun before the feed went back is of no use any more."""
        if page is not self._page:
            return
        aside, self._aside, self._page = self._aside, [], None
        if read is None:
            return
        self.ready += read.deliveries
        self._position = max(self._position, read.last_seq)
        if not read.is_end:
            return
        self._position = max(self._position, page.newest)
        if not self._is_short:
            self.ready += [one for one in aside if one.event.seq > self._position]
            self.is_live = True

    def go_back(self) -> None:
        """Leave what is ready in the journal."""
        position = self.ready[0].event.seq - 1 if self.ready else self.position
        self.is_live = False
        self._position = position
        self.ready.clear()
        self._aside.clear()
        self._page = None


class Replay:
    """A range of events once more. Over when ``position`` has reached ``end_seq`` and nothing is ready."""

    __slots__ = ("_page", "end_seq", "position", "ready", "since_ms", "until_ms")

    def __init__(self, position: int, end_seq: int, since_ms: int, until_ms: int) -> None:
        self.ready: deque[Delivery] = deque()
        self.position = position
        self.end_seq = end_seq
        self.since_ms = since_ms
        self.until_ms = until_ms
        self._page: Page | None = None

    @property
    def wants_page(self) -> bool:
        return self._page is None and not self.ready and self.position < self.end_seq

    def begin(self, limit: int) -> Page:
        assert self._page is None, "one page at a time"
        self._page = Page(self.position, limit, True, 0, self.end_seq, self.since_ms, self.until_ms)
        return self._page

    def finish(self, page: Page, read: Read | None, waiting: Iterable[int]) -> None:
        """``waiting`` are the events that are tried again anyway."""
        if page is not self._page:
            return
        self._page = None
        if read is None:
            return
        known = set(waiting)
        self.ready += [one for one in read.deliveries if one.event.seq not in known]
        self.position = self.end_seq if read.is_end else min(self.end_seq, read.last_seq)

    def go_back(self) -> None:
        if self.ready:
            self.position = self.ready[0].event.seq - 1
            self.ready.clear()
        self._page = None
