"""What a reader saw may be older than what is durable when its answer comes; the dispatcher is not taken in by it."""

import copy

import pytest

from stentor.dispatch.dispatcher import Dispatcher, Limits
from stentor.driver import Capabilities, Receipt
from stentor.errors import Refusal
from stentor.ids import IdGenerator
from stentor.journal.records import DueRead, ReceiptRead, Recovery
from stentor.message import EventKind, Message, Status
from stentor.outcome import Sent
from stentor.retry import RetryPolicy
from stentor.settling.ledger import Ledger
from stentor.text.segments import Encoding

KEY = 1 << 20
DUE_MS = 1_000


def message(status: Status, key: int = KEY) -> Message:
    return Message(
        key=key,
        tail=1,
        account="default",
        to="+40700000001",
        originator="100",
        text="hello",
        encoding=Encoding.GSM7,
        segments=1,
        submitted_at_ms=1,
        due_at_ms=DUE_MS,
        send_at_ms=DUE_MS,
        expires_at_ms=10**12,
        route=("alpha",),
        status=status,
    )


class World:
    """A dispatcher with one channel that is up, and a hand-moved clock."""

    def __init__(self, recovery: Recovery) -> None:
        self.dispatcher = Dispatcher(
            recovery, Limits(), RetryPolicy(), IdGenerator(lambda n: bytes(n)), lambda: 0.5
        )
        self.dispatcher.add_channel("alpha", "test", Capabilities(), 0.0, 0.0)
        self.dispatcher.offer_lane("alpha", "1", 10, None, 0.0, 0)
        self.dispatcher.start(0.0, 0)
        self.events: list[tuple[int, EventKind]] = []
        self.stored: dict[int, Message] = {}
        self.now = 0.0
        self.commit()

    def turn(self, wall_ms: int) -> list:
        """Time passes; the reads that are asked for."""
        self.dispatcher.tick(self.now, wall_ms)
        self.dispatcher.flush(self.now, wall_ms)
        return list(self.dispatcher.take_reads())

    def commit(self) -> None:
        while self.dispatcher.take_commit() is not None:
            done, _ = self.dispatcher.committed(self.now, 0)
            self.stored |= done.changed
            self.events += [(event.key, event.kind) for event in done.events if event.key]

    def send(self, match_id: str = "c1") -> int:
        """All that left is answered by the carrier; how many submissions that were."""
        outgoing = [each for _, batch in self.dispatcher.take_outgoing() for each in batch]
        self.dispatcher.resolve([Sent(each, match_id, match_id) for each in outgoing], self.now, DUE_MS)
        return len(outgoing)


def scheduled() -> tuple[World, DueRead]:
    """A message that falls due, and the read that finds it."""
    world = World(Recovery(scheduled=1, next_due_ms=DUE_MS, last_key=KEY))
    (read,) = [read for read in world.turn(DUE_MS) if isinstance(read, DueRead)]
    return world, read


def test_a_message_that_fell_due_is_not_queued_again_by_a_read_from_before_its_commit() -> None:
    world, first = scheduled()
    stored = message(Status.SCHEDULED)
    world.dispatcher.answer(first, [copy.copy(stored)], DUE_MS + 1, DUE_MS)
    (second,) = [read for read in world.turn(DUE_MS + 1) if isinstance(read, DueRead)]
    world.commit()
    world.turn(DUE_MS + 1)
    assert world.send() == 1
    world.commit()
    world.dispatcher.answer(second, [copy.copy(stored)], 0, DUE_MS + 1)
    world.turn(DUE_MS + 2)
    assert world.send() == 0
    world.commit()
    assert world.events == [(KEY, EventKind.QUEUED), (KEY, EventKind.SENT)]
    assert world.dispatcher.scheduled == 0


def test_a_message_that_was_sent_while_it_was_read_cannot_be_cancelled() -> None:
    world, read = scheduled()
    ledger = world.dispatcher.ledger
    mark = ledger.begin_read()
    stored = message(Status.SCHEDULED)
    world.dispatcher.answer(read, [copy.copy(stored)], 0, DUE_MS)
    world.commit()
    world.turn(DUE_MS)
    assert world.send() == 1
    world.commit()
    with pytest.raises(Refusal) as refused:
        world.dispatcher.cancel(stored, DUE_MS)
    assert refused.value.status == 409
    ledger.end_read(mark)


def test_a_receipt_that_comes_again_while_the_first_is_committed_ends_the_message_once() -> None:
    world, read = scheduled()
    world.dispatcher.answer(read, [message(Status.SCHEDULED)], 0, DUE_MS)
    world.commit()
    world.turn(DUE_MS)
    assert world.send("c1") == 1
    world.commit()
    receipt = Receipt("c1", Status.DELIVERED)
    stale = copy.deepcopy(world.stored[KEY])
    world.dispatcher.receive("alpha", [receipt], "first", DUE_MS)
    world.dispatcher.receive("alpha", [receipt], "second", DUE_MS)
    (again,) = [read for read in world.turn(DUE_MS) if isinstance(read, ReceiptRead)]
    world.commit()
    world.dispatcher.answer(again, [stale], 0, DUE_MS)
    world.commit()
    assert [kind for _, kind in world.events] == [EventKind.QUEUED, EventKind.SENT, EventKind.DELIVERED]


def test_commits_are_forgotten_with_the_last_read_that_may_not_have_seen_them() -> None:
    ledger = Ledger(0)

    def commit(key: int) -> None:
        ledger.changed(message(Status.QUEUED, key))
        ledger.take()
        ledger.committed()

    commit(1)
    assert ledger.unseen(1) is None, "nobody was reading"
    early = ledger.begin_read()
    commit(2)
    late = ledger.begin_read()
    commit(3)
    ledger.end_read(early)
    assert (ledger.unseen(2), ledger.unseen(3) is None) == (None, False)
    ledger.end_read(late)
    assert ledger.unseen(3) is None
