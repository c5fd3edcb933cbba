"""Submissions whose answer was never seen, and the names under which something may still tell of them.

A *doubt* is a submission that may have left. Two things can settle it: its answer, when it comes after all, and a
receipt that repeats its reference (``Capabilities.echoes_reference``). Once its answer is known, and its message was
sent again meanwhile, it is still worth keeping: the carrier may report under either id.

Bounded: beyond ``limit`` the oldest is dropped. A doubt leaves when its message is final, or when it is too old.
"""

from collections.abc import Hashable, Iterable
from typing import TypeVar

import msgspec

from stentor.ids import message_key
from stentor.message import Message
from stentor.outcome import Submission
from stentor.scheduling.lanes import Channel

Name = tuple[str, int, str]
"""Receipt family, reference, destination."""

_Key = TypeVar("_Key", bound=Hashable)


class Doubt(msgspec.Struct, gc=False, eq=False):
    """One submission of ``message`` that ``channel`` may have taken, in doubt since ``at_ms``. ``submission`` is None
    for one of a lease that a start found in the journal. ``name`` is what a receipt may call it, if receipts repeat
    references; ``match_id``: the answer came, and a receipt may name it so."""

    token: int
    message: Message
    submission: Submission | None
    channel: Channel
    family: str
    at_ms: int
    name: Name | None = None
    match_id: str | None = None

    @property
    def index(self) -> int:
        """The segment it is about."""
        return self.token - self.message.key


class Doubts:
    """Doubts by message, by name and by the id of a late answer. ``by_key`` is open to look into."""

    __slots__ = ("_by_match_id", "_by_name", "_in_order", "ambiguous", "by_key", "dropped", "limit")

    def __init__(self, limit: int) -> None:
        assert limit > 0, "room for one at least"
        self.limit = limit
        self.by_key: dict[int, list[Doubt]] = {}
        self._by_name: dict[Name, list[Doubt]] = {}
        self._by_match_id: dict[tuple[str, str], Doubt] = {}
        # Insertion order is order of age.
        self._in_order: dict[Doubt, None] = {}
        self.ambiguous = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._in_order)

    def add(self, doubt: Doubt) -> Doubt | None:
        """Returns the one that had to make room, if any."""
        self._in_order[doubt] = None
        self.by_key.setdefault(doubt.message.key, []).append(doubt)
        if doubt.name is not None:
            self._by_name.setdefault(doubt.name, []).append(doubt)
        if len(self._in_order) <= self.limit:
            return None
        oldest = next(iter(self._in_order))
        self.remove(oldest)
        self.dropped += 1
        return oldest

    @property
    def oldest_at_ms(self) -> int:
        """Since when the oldest has been in doubt, 0 for none."""
        return next((doubt.at_ms for doubt in self._in_order), 0)

    def of(self, submission: Submission) -> Doubt | None:
        """The doubt about this very submission, while it has no answer."""
        for doubt in self.by_key.get(message_key(submission.token), ()):
            if doubt.submission is submission and doubt.match_id is None:
                return doubt
        return None

    def named(self, family: str, reference: int, to: str) -> Doubt | None:
        """The doubt a receipt means. When two segments bear the name, nobody can know: neither, and it is counted."""
        found = self._by_name.get((family, reference, to))
        if found is None:
            return None
        if any(other.token != found[0].token for other in found):
            self.ambiguous += 1
            return None
        return found[-1]

    def answer(self, doubt: Doubt, match_id: str) -> None:
        """The answer to ``doubt`` came, after its segment had been sent once more."""
        doubt.match_id = match_id
        self._by_match_id[doubt.family, match_id] = doubt

    def answered(self, family: str, match_id: str) -> Doubt | None:
        """The doubt whose late answer bears this id."""
        return self._by_match_id.get((family, match_id))

    def may_be_named(self, tokens: Iterable[int]) -> bool:
        """Could a receipt still settle what is in doubt about each of these?"""
        by_key = self.by_key
        return all(
            any(doubt.name and doubt.token == token for doubt in by_key.get(message_key(token), ()))
            for token in tokens
        )

    def about(self, message: Message) -> list[Doubt]:
        """All about segments of one message."""
        return list(self.by_key.get(message.key, ()))

    def drop(self, message: Message) -> None:
        """The message is final: nothing can be settled any more."""
        for doubt in self.about(message):
            self.remove(doubt)

    def cut_anew(self, message: Message, submissions: Iterable[Submission]) -> None:
        """These are going to leave. What was cut otherwise, by another channel, is no part of them: whatever may still
        be told of it is not about this message's segments any more."""
        leaving = {each.token: each for each in submissions}
        known = {segment.index for segment in message.segment_list}
        for doubt in self.about(message):
            if doubt.index not in known and not _is_alike(doubt.submission, leaving.get(doubt.token)):
                self.remove(doubt)

    def remove(self, doubt: Doubt) -> None:
        del self._in_order[doubt]
        _take_out(self.by_key, doubt.message.key, doubt)
        if doubt.name is not None:
            _take_out(self._by_name, doubt.name, doubt)
        if doubt.match_id is not None:
            named = doubt.family, doubt.match_id
            if self._by_match_id.get(named) is doubt:
                del self._by_match_id[named]

    def expire(self, before_ms: int) -> list[Doubt]:
        """Those that began before, oldest first; they are gone."""
        expired: list[Doubt] = []
        for doubt in self._in_order:
            if doubt.at_ms >= before_ms:
                break
            expired.append(doubt)
        for doubt in expired:
            self.remove(doubt)
        return expired


def _is_alike(left: Submission | None, leaving: Submission | None) -> bool:
    """Does one stand for the other on a handset: the same part, or all of the message?"""
    if left is None or leaving is None:
        return False
    is_same = (left.udh, left.data) == (leaving.udh, leaving.data)
    return is_same or (_is_all(left) and _is_all(leaving))


def _is_all(submission: Submission) -> bool:
    return submission.segments == 1 or submission.text is not None


def _take_out(table: dict[_Key, list[Doubt]], key: _Key, doubt: Doubt) -> None:
    found = table[key]
    found.remove(doubt)
    if not found:
        del table[key]
