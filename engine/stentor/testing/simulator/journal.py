"""The journal as tables in memory: exactly what the commits say, and nothing a crash would not leave.

Rows are copies, taken when a write begins. What becomes durable is held against what was durable before: a final
message stays as it is, statuses follow the life cycle, events are numbered in order.
"""

from collections.abc import Iterable, Mapping
from copy import copy
from typing import Final

import msgspec

from stentor.ids import message_key
from stentor.journal.records import (
    BacklogKey,
    BacklogRead,
    BatchRead,
    Commit,
    DueRead,
    ExpiredRead,
    HeldPart,
    History,
    Idempotency,
    JoinedParts,
    KeyRead,
    OverdueRead,
    ParkedReceipt,
    Read,
    ReceiptRead,
    Recovery,
    UnansweredRead,
)
from stentor.message import EVENT_OF_STATUS, Delivery, Event, EventKind, Message, Segment, Status
from stentor.settling.lifecycle import TABLE
from stentor.testing.simulator.faults import Violation


def _reachable() -> Mapping[Status, frozenset[Status]]:
    found: dict[Status, frozenset[Status]] = {}
    for start in Status:
        seen: set[Status] = {start}
        open_ = [start]
        while open_:
            for after in TABLE[open_.pop()].values():
                if after not in seen:
                    seen.add(after)
                    open_.append(after)
        found[start] = frozenset(seen)
    return found


REACHABLE: Final = _reachable()
"""Statuses that a durable row may go on to: commits leave out what lay between them."""


class Rows(msgspec.Struct):
    """What one commit writes, copied when the write begins."""

    new: dict[int, Message]
    changed: dict[int, Message]
    segments: dict[int, tuple[str, Segment]]
    events: list[Event]
    parked: dict[tuple[str, str], ParkedReceipt | None]
    idempotency: list[Idempotency]
    history: list[History]
    settings: dict[str, str]
    parts: dict[int, HeldPart]
    joined: dict[int, JoinedParts]
    dropped: list[int]


def rows_of(commit: Commit) -> Rows:
    """The rows of a commit as they are now."""
    return Rows(
        new={message.key: _row(message) for message in commit.accepted + commit.received},
        changed={key: _row(message) for key, message in commit.changed.items()},
        segments={
            key: (segment.channel or message.channel, copy(segment))
            for key, (message, segment) in commit.segments.items()
        },
        events=list(commit.events),
        parked=dict(commit.parked),
        idempotency=list(commit.idempotency),
        history=list(commit.history),
        settings=dict(commit.settings),
        parts=dict(commit.parts),
        joined=dict(commit.joined),
        dropped=list(commit.dropped),
    )


def _row(message: Message) -> Message:
    row = copy(message)
    row.segment_list = []
    if row.status is Status.SENDING and row.delivery is Delivery.AT_LEAST_ONCE:
        row.status = Status.QUEUED  # after a crash it is sent again, in its turn
    return row


class ModelJournal:
    """Tables by key. ``unsent`` are keys of messages that have not left; ``learnt`` maps each carrier id that was
    ever durable to its segment's key, ``received`` are the texts of inbound messages, in order."""

    def __init__(self) -> None:
        self.messages: dict[int, Message] = {}
        self.segments: dict[int, tuple[str, Segment]] = {}
        self.parked: dict[tuple[str, str], ParkedReceipt] = {}
        self.idempotency: list[Idempotency] = []
        self.history: dict[int, list[History]] = {}
        self.settings: dict[str, str] = {}
        self.kinds: dict[int, list[EventKind]] = {}
        self.last_seq = 0
        self.unsent: dict[int, None] = {}
        self.learnt: dict[str, int] = {}
        self.received: list[str | None] = []
        self.parts: dict[int, HeldPart] = {}
        self.joined: dict[int, JoinedParts] = {}

    # -- writing ------------------------------------------------------------------------------------------------

    def apply(self, rows: Rows) -> None:
        """One transaction."""
        for key, row in rows.new.items():
            if key in self.messages:
                raise Violation(f"message {key} was accepted twice")
            self.messages[key] = row
            if row.status < Status.SENT:
                self.unsent[key] = None
            elif row.status is Status.RECEIVED:
                self.received.append(row.text)
        for key, row in rows.changed.items():
            self._change(key, row)
        for key, (channel, segment) in rows.segments.items():
            self._write_segment(key, channel, segment)
        for event in rows.events:
            self._tell(event)
        for name, receipt in rows.parked.items():
            self.parked.pop(name, None)
            if receipt is not None:
                self.parked[name] = receipt
        self.idempotency += rows.idempotency
        for line in rows.history:
            self.history.setdefault(line.key, []).append(line)
        self.settings |= rows.settings
        self.write_parts(rows)
        self.settings = {name: value for name, value in self.settings.items() if value}
        self._check_events(rows)

    def write_parts(self, rows: "Rows | Commit") -> None:
        """Parts that wait and joined messages that are remembered."""
        self.parts |= rows.parts
        self.joined |= rows.joined
        for key in rows.dropped:
            self.parts.pop(key, None)
            self.joined.pop(key, None)

    def _change(self, key: int, row: Message) -> None:
        before = self.messages.get(key)
        if before is None:
            raise Violation(f"message {key} changed, but was never stored")
        if before.final_at_ms and (before.status, before.final_at_ms) != (row.status, row.final_at_ms):
            raise Violation(f"message {key} was final as {before.status.word} and became {row.status.word}")
        if row.status not in REACHABLE[before.status]:
            raise Violation(f"message {key} went from {before.status.word} to {row.status.word}")
        self.messages[key] = row
        if row.status >= Status.SENT:
            self.unsent.pop(key, None)

    def _write_segment(self, key: int, channel: str, segment: Segment) -> None:
        before = self.segments.get(key)
        is_changed = before is not None and before[1].final_at_ms and before[1].status is not segment.status
        if before is not None and is_changed and not self._goes_anew(key, before[1], segment):
            raise Violation(f"segment {key} was final as {before[1].status.word} and changed")
        self.segments[key] = channel, segment
        if segment.carrier_id is not None:
            self.learnt[segment.carrier_id] = key

    def _goes_anew(self, token: int, before: Segment, after: Segment) -> bool:
        """A carrier could not complete what had been begun, so all of the message was sent once more."""
        row = self.messages[message_key(token)]
        is_anew = after.status is Status.QUEUED or after.sent_at_ms != before.sent_at_ms
        return is_anew and row.segments > 1 and row.delivery is Delivery.AT_LEAST_ONCE

    def _tell(self, event: Event) -> None:
        if event.seq <= self.last_seq:
            raise Violation(f"event {event.seq} came after event {self.last_seq}")
        self.last_seq = event.seq
        if event.key:
            self.kinds.setdefault(event.key, []).append(event.kind)

    def _check_events(self, rows: Rows) -> None:
        """What has been told of each message that was written is its life so far, once and in order."""
        for key in (rows.new | rows.changed).keys() | {event.key for event in rows.events if event.key}:
            row = self.messages.get(key)
            if row is None:
                raise Violation(f"an event tells of message {key}, which was never stored")
            kinds = self.kinds.get(key, [])
            if kinds != sorted(set(kinds)) or len(kinds) > 3:
                raise Violation(f"message {key} is told of as {[kind.name for kind in kinds]}")
            if row.status is Status.SCHEDULED and kinds == [EventKind.QUEUED]:
                continue  # it was queued, and postponed since
            expected = EVENT_OF_STATUS.get(Status.QUEUED if row.status is Status.SENDING else row.status)
            if (kinds[-1] if kinds else None) != expected:
                told = [kind.name for kind in kinds]
                raise Violation(f"message {key} is {row.status.word}, told of as {told}")

    # -- reading ------------------------------------------------------------------------------------------------

    def message(self, key: int) -> Message:
        """A fresh copy with its segments."""
        found = copy(self.messages[key])
        rows = (self.segments.get(key + index) for index in range(1, max(3, found.segments) * 2 + 1))
        found.segment_list = [
            msgspec.structs.replace(row[1], channel=row[0])
            for row in rows
            if row is not None and row[1].status >= Status.SENT
        ]
        return found

    def read(self, read: Read) -> list[Message]:
        """What a read finds now, in its order."""
        rows = self.messages
        match read:
            case BacklogRead():
                found = [
                    (rows[key].due_at_ms, key)
                    for key in self.unsent
                    if rows[key].status is Status.QUEUED
                    and rows[key].route == read.queue.route
                    and rows[key].priority == read.queue.priority
                    and rows[key].strand == read.queue.strand
                    and (rows[key].due_at_ms, key) > read.after
                ]
            case DueRead():
                found = [
                    (rows[key].due_at_ms, key)
                    for key in self.unsent
                    if rows[key].status is Status.SCHEDULED and rows[key].due_at_ms <= read.until_ms
                ]
            case ExpiredRead():
                found = [
                    (rows[key].expires_at_ms, key)
                    for key in self.unsent
                    if rows[key].status < Status.SENDING
                    and (rows[key].expires_at_ms, key) > read.after
                    and rows[key].expires_at_ms <= read.until_ms
                ]
            case KeyRead():
                return [self.message(key) for key in read.keys]
            case OverdueRead():
                found = [
                    (row.sent_at_ms, key)
                    for key, row in rows.items()
                    if row.status is Status.SENT
                    and not row.final_at_ms
                    and row.channel == read.channel
                    and (row.sent_at_ms, key) > read.after
                    and row.sent_at_ms < read.before_ms
                ]
            case BatchRead():
                found = [
                    (rows[key].strand, key)
                    for key in self.unsent
                    if (rows[key].account, rows[key].batch) == (read.account, read.batch)
                    and rows[key].status == read.status
                    and (rows[key].strand, key) > read.after
                ]
            case UnansweredRead():
                found = [
                    (row.sent_at_ms, key)
                    for key, row in rows.items()
                    if row.status is Status.SENT
                    and not row.final_at_ms
                    and max(row.sent_at_ms, row.send_at_ms) < read.before_ms
                ]
            case ReceiptRead():
                return [message for name in read.channels for message in self.awaiting(name, read.match_ids)]
        return [self.message(key) for _, key in sorted(found)[: read.limit]]

    def awaiting(self, channel: str, match_ids: Iterable[str]) -> list[Message]:
        """Messages sent by one channel that await a receipt under one of these ids, the newest of each."""
        newest: dict[str, int] = {}
        wanted = set(match_ids)
        for key, (name, segment) in self.segments.items():
            if name == channel and segment.match_id is not None and segment.match_id in wanted:
                newest[segment.match_id] = max(newest.get(segment.match_id, 0), key)
        return [self.message(key) for key in sorted({message_key(key) for key in newest.values()})]

    def next_due_ms(self, after_ms: int) -> int:
        """When the first scheduled message after ``after_ms`` is due, 0 for none."""
        due = [
            row.due_at_ms
            for key in self.unsent
            if (row := self.messages[key]).status is Status.SCHEDULED and row.due_at_ms > after_ms
        ]
        return min(due, default=0)

    def recovery(self) -> Recovery:
        """What a start finds."""
        rows = [self.messages[key] for key in self.unsent]
        backlog: dict[BacklogKey, int] = {}
        for row in rows:
            if row.status is Status.QUEUED:
                queue = BacklogKey(row.route, row.priority, row.strand)
                backlog[queue] = backlog.get(queue, 0) + 1
        scheduled = [row.due_at_ms for row in rows if row.status is Status.SCHEDULED]
        return Recovery(
            last_key=max(self.messages.keys() | self.parts.keys(), default=0),
            last_seq=self.last_seq,
            backlog=backlog,
            scheduled=len(scheduled),
            next_due_ms=min(scheduled, default=0),
            leased=[self.message(row.key) for row in rows if row.status is Status.SENDING],
            parked=sorted(self.parked.values(), key=lambda receipt: receipt.at_ms),
            settings=dict(self.settings),
            parts=[self.parts[key] for key in sorted(self.parts)],
            joined=[self.joined[key] for key in sorted(self.joined)],
        )
