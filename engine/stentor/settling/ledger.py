"""The commit that is being filled, and what becomes true when it is durable.

The ledger gathers records from everywhere in the dispatcher. The pump takes the whole of it as one
:class:`~stentor.journal.records.Commit`, has it written, and reports back. What must wait for durability (free window
slots, leased submissions, acknowledgements owed to carriers) travels with the commit as its *effects*.
"""

from collections import deque
from collections.abc import Collection, Hashable, Iterator

import msgspec

from stentor.ids import message_key
from stentor.journal.records import Commit, History, ParkedReceipt
from stentor.message import EVENT_OF_STATUS, Charge, Error, Event, EventKind, Message, Segment, Status
from stentor.outcome import Submission
from stentor.scheduling.lanes import Lane


class Effects(msgspec.Struct):
    """What a commit makes true: window slots to free, leases that may leave, messages that are queued, tickets to
    settle. ``landed`` are slots of the record of flights whose submissions have their results; ``turns`` are ordered
    messages behind which the next may go."""

    slots: dict[Lane, int] = msgspec.field(default_factory=dict)
    queued: dict[int, Message] = msgspec.field(default_factory=dict)
    leases: list[tuple[Lane, Message, Submission]] = msgspec.field(default_factory=list)
    tickets: list[Hashable] = msgspec.field(default_factory=list)
    landed: list[int] = msgspec.field(default_factory=list)
    turns: list[Message] = msgspec.field(default_factory=list)

    def merge(self, later: "Effects") -> None:
        for lane, count in later.slots.items():
            self.slots[lane] = self.slots.get(lane, 0) + count
        self.queued |= later.queued
        self.leases += later.leases
        self.tickets += later.tickets
        self.landed += later.landed
        self.turns += later.turns


class Ledger:
    """The open commit, the one being written, and those that a read under way may not have seen."""

    __slots__ = (
        "_coming",
        "_number",
        "_reads",
        "_recent",
        "commit",
        "effects",
        "last_seq",
        "writing",
        "writing_effects",
    )

    def __init__(self, last_seq: int) -> None:
        self.last_seq = last_seq
        self._number = 1
        self.commit = Commit(1)
        self.effects = Effects()
        self.writing: Commit | None = None
        self._coming: dict[int, Message] | None = None
        self.writing_effects = Effects()
        self._reads: list[int] = []
        self._recent: deque[Commit] = deque()

    @property
    def is_empty(self) -> bool:
        """Nothing to write and nobody waiting."""
        commit = self.commit
        return not (
            commit.accepted
            or commit.changed
            or commit.segments
            or commit.events
            or commit.received
            or commit.history
            or commit.parked
            or commit.settings
            or commit.idempotency
            or commit.parts
            or commit.joined
            or commit.dropped
            or commit.memory
            or commit.webhooks.rows
            or self.effects.slots
            or self.effects.leases
            or self.effects.tickets
            or self.effects.landed
            or self.effects.turns
        )

    @property
    def has_only_accepts(self) -> bool:
        """New messages are all there is to write, and nothing else waits for it."""
        effects = self.effects
        return self.commit.rows == len(self.commit.accepted) and not (
            effects.slots or effects.leases or effects.tickets or effects.landed
        )

    @property
    def accepting(self) -> int:
        """New messages that wait for their commit."""
        return len(self.commit.accepted) + (len(self.writing.accepted) if self.writing is not None else 0)

    @property
    def is_settled(self) -> bool:
        """Everything decided so far is durable."""
        return self.writing is None and self.is_empty

    def event(self, kind: EventKind, message: Message, at_ms: int) -> None:
        self.last_seq += 1
        self.commit.events.append(Event(self.last_seq, kind, at_ms, message.account, message.key))

    def channel_event(self, kind: EventKind, channel: str, at_ms: int, detail: str) -> None:
        self.last_seq += 1
        self.commit.events.append(Event(self.last_seq, kind, at_ms, "", 0, channel, detail))

    def webhook_event(self, kind: EventKind, account: str, webhook: str, at_ms: int, detail: str) -> None:
        self.last_seq += 1
        self.commit.events.append(Event(self.last_seq, kind, at_ms, account, 0, webhook, detail))

    def changed(self, message: Message) -> None:
        """Keep the message's present state."""
        self.commit.changed[message.key] = message

    def ended(self, message: Message, at_ms: int) -> None:
        """Keep a message's state and tell of it."""
        key, commit = message.key, self.commit
        commit.changed[key] = message
        seq = self.last_seq = self.last_seq + 1
        commit.events.append(Event(seq, EVENT_OF_STATUS[message.status], at_ms, message.account, key))

    def segment(self, message: Message, segment: Segment) -> None:
        self.commit.segments[message.key + segment.index] = (message, segment)

    def note(
        self,
        message: Message,
        at_ms: int,
        status: Status,
        error: Error | None,
        segment: int = 0,
        channel: str = "",
        attempt: int = 0,
    ) -> None:
        """Keep a line of the message's timeline that its present state will not tell; of the last attempt that counts,
        or of ``attempt``."""
        line = History(
            message.key,
            at_ms,
            status,
            segment,
            attempt or message.attempts,
            channel or message.channel,
            error,
        )
        self.commit.history.append(line)

    def charged(self, submission: Submission, charge: Charge, at_ms: int, channel: str) -> None:
        """Keep what a carrier counted for an attempt that it took."""
        key, attempt = message_key(submission.token), submission.attempt
        line = History(key, at_ms, Status.SENDING, submission.index, attempt, channel, None, charge)
        self.commit.history.append(line)

    def charged_later(self, message: Message, segment: Segment, charge: Charge, at_ms: int) -> None:
        """Keep what a receipt says its carrier counted. The latest of an attempt counts (``stentor.api.timeline``)."""
        # While others of its attempt are under way, that is not counted yet.
        attempt = message.attempts + (message.status is Status.SENDING)
        channel = segment.channel or message.channel
        line = History(message.key, at_ms, Status.SENDING, segment.index, attempt, channel, None, charge)
        self.commit.history.append(line)

    def park(self, receipt: ParkedReceipt) -> None:
        """Keep a receipt that nobody waits for yet."""
        self.commit.parked[receipt.family, receipt.match_id] = receipt

    def forget(self, family: str, match_id: str) -> None:
        """A parked receipt was matched or grew too old."""
        self.commit.parked[family, match_id] = None

    def drop(self, key: int) -> None:
        """A part, or what is remembered of joined ones, need not be kept; if it was not written yet, it never is."""
        commit = self.commit
        if commit.parts.pop(key, None) is None and commit.joined.pop(key, None) is None:
            commit.dropped.append(key)

    def uncommitted(self, key: int) -> Message | None:
        """The copy of a message whose latest state is not in the journal yet."""
        found = self.commit.changed.get(key)
        if found is None and self.writing is not None:
            found = self.writing.changed.get(key)
        return found

    # What a reader saw may be older than what is durable when its answer comes: a commit may lie in between. So the
    # commits that became durable since the oldest read under way began are kept at hand.

    def begin_read(self) -> int:
        """The journal is going to be asked; returns the mark to give back with the answer."""
        mark = (self.writing or self.commit).number
        self._reads.append(mark)
        return mark

    def end_read(self, mark: int) -> None:
        """The answer has been used."""
        self._reads.remove(mark)
        oldest = min(self._reads, default=self._number + 1)
        while self._recent and self._recent[0].number < oldest:
            self._recent.popleft()

    def unseen(self, key: int, segments: int = 1) -> Message | None:
        """The copy of a message that a read under way may have shown as it was before, None for all others."""
        for commit in self._unseen():
            found = commit.changed.get(key)
            if found is not None:
                return found
            if segments > 1:
                # A receipt for one of several segments changes nothing but that segment.
                for token in range(key + 1, key + segments + 1):
                    if token in commit.segments:
                        return commit.segments[token][0]
        return None

    def unseen_segments(self, match_ids: Collection[str]) -> Iterator[tuple[Message, Segment]]:
        """Segments that await receipts under these ids, which a read under way may not have shown; newest first."""
        for commit in self._unseen():
            for pair in reversed(commit.segments.values()):
                if pair[1].match_id in match_ids:
                    yield pair

    def _unseen(self) -> Iterator[Commit]:
        """Commits that a read under way may not have seen, the newest first."""
        yield self.commit
        if self.writing is not None:
            yield self.writing
        yield from reversed(self._recent)

    def to_be_queued(self, key: int) -> Message | None:
        """A message that a read may show although it is only queued, or counted as scheduled, when the commit that
        is being written is known to be durable."""
        if self.writing is not None and self._coming is None:
            # Made when it is first asked for, once a commit: reads ask for each of their messages.
            self._coming = {message.key: message for message in self.writing.accepted}
        for known in (self._coming, self.writing_effects.queued, self.effects.queued):
            if known and (found := known.get(key)) is not None:
                return found
        return None

    def take(self) -> Commit:
        """The filled commit, to be written; a new one is opened."""
        assert self.writing is None, "one commit at a time"
        self.writing, self.writing_effects = self.commit, self.effects
        self._number += 1
        self.commit, self.effects = Commit(self._number), Effects()
        return self.writing

    def committed(self) -> tuple[Commit, Effects]:
        """The commit is durable."""
        assert self.writing is not None
        done, effects = self.writing, self.writing_effects
        self.writing, self.writing_effects, self._coming = None, Effects(), None
        if self._reads:
            # What is new in it nobody can have read as it was before.
            self._recent.append(Commit(done.number, changed=done.changed, segments=done.segments))
        return done, effects

    def failed(self) -> Commit:
        """The commit was not written. New messages are dropped (their clients are told); all else goes with the next.

        Returns what was dropped, as a commit holding only that.
        """
        assert self.writing is not None
        failed, effects = self.writing, self.writing_effects
        self.writing, self.writing_effects, self._coming = None, Effects(), None
        dropped = Commit(failed.number, accepted=failed.accepted, idempotency=failed.idempotency)
        keys = {message.key for message in failed.accepted}
        later = self.commit
        failed.events = [event for event in failed.events if event.key not in keys]
        self.commit = Commit(
            later.number,
            accepted=later.accepted,
            received=failed.received + later.received,
            changed=failed.changed | later.changed,
            segments=failed.segments | later.segments,
            history=failed.history + later.history,
            events=failed.events + later.events,
            parked=failed.parked | later.parked,
            idempotency=later.idempotency,
            settings=failed.settings | later.settings,
            parts=failed.parts | later.parts,
            joined=failed.joined | later.joined,
            dropped=failed.dropped + later.dropped,
            memory=failed.memory | later.memory,
            webhooks=failed.webhooks.merged(later.webhooks),
        )
        effects.merge(self.effects)
        self.effects = effects
        return dropped
