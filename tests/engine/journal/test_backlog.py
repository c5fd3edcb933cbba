"""Which messages are in memory and which are counted behind: beside a naive model of the journal."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stentor.journal.backlog import BLOCK, FLOOR, NEVER_MS, Backlog
from stentor.journal.records import BacklogKey, BacklogRead
from stentor.message import Message, Priority, Status
from stentor.pacing.strands import HELD, ORDERED
from stentor.text.segments import Encoding

ROUTES = (("a",), ("b", "a"))
LIMIT, SMALL_FLOOR = 6, 2


def message(
    key: int,
    due_ms: int = 0,
    route: tuple[str, ...] = ("a",),
    status: Status = Status.QUEUED,
    strand: int = 0,
) -> Message:
    found = Message(
        key << 8, 0, "x", "+1", "1", "x", Encoding.GSM7, 1, 0, due_ms, 0, route, Priority.NORMAL, status
    )
    found.strand = strand
    return found


def take_all(backlog: Backlog, messages: list[Message]) -> BacklogRead:
    """Answer the one read there is with what the journal would find."""
    (read,) = list(backlog.reads())
    rows = sorted((each.due_at_ms, each.key) for each in messages)
    by_key = {each.key: each for each in messages}
    found = [by_key[key] for due_ms, key in rows if (due_ms, key) > read.after][: read.limit]
    backlog.loaded(read, found, lambda each: None if each.key in backlog.open else each)
    return read


class BacklogMachine(RuleBasedStateMachine):
    """The journal is a dict. Reads see it as it was when they were asked, and are answered at any later time."""

    def __init__(self) -> None:
        super().__init__()
        self.backlog = Backlog(LIMIT, {}, SMALL_FLOOR)
        self.rows: dict[int, Message] = {}
        self.reads: list[tuple[BacklogRead, list[Message]]] = []
        self.key = 0

    @rule(
        due_ms=st.integers(0, 5),
        route=st.sampled_from(ROUTES),
        strand=st.sampled_from((0, 0, 7, ORDERED, HELD)),
        count=st.integers(1, 5),
    )
    def enter(self, due_ms: int, route: tuple[str, ...], strand: int, count: int) -> None:
        for _ in range(count):
            self.key += 1
            entered = message(self.key, due_ms, route, strand=strand)
            self.rows[entered.key] = entered
            key = BacklogKey(route, entered.priority, strand)
            had_tail = any(queue.behind for queue in self.backlog.queues() if queue.key == key)
            is_in = self.backlog.enter(entered)
            assert is_in is (entered.key in self.backlog.open)
            assert not (had_tail and is_in), "a new message never passes those behind"
            assert not (strand == HELD and is_in), "what is held stays in the journal"

    @precondition(lambda self: self.backlog.open)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        left = data.draw(st.sampled_from(list(self.backlog.open.values())))
        left.status = Status.SENT
        self.backlog.leave(left)
        del self.rows[left.key]

    @precondition(lambda self: self.behind())
    @rule(data=st.data())
    def leave_behind(self, data: st.DataObject) -> None:
        self.leave_behind_now(data.draw(st.sampled_from(self.behind())))

    def leave_behind_now(self, key: int) -> None:
        left = self.rows.pop(key)
        left.status = Status.CANCELLED
        self.backlog.leave_behind(left)

    @rule()
    def ask(self) -> None:
        for read in self.backlog.reads():
            assert 0 < read.limit <= BLOCK
            assert read.queue.strand != HELD, "what is held is not read"
            found = sorted(
                (row.due_at_ms, row.key)
                for row in self.rows.values()
                if (row.route, row.strand) == (read.queue.route, read.queue.strand)
                and (row.due_at_ms, row.key) > read.after
            )
            self.reads.append((read, [self.rows[key] for _, key in found[: read.limit]]))

    @precondition(lambda self: self.reads)
    @rule()
    def answer(self) -> None:
        read, found = self.reads.pop(0)
        taken = self.backlog.loaded(
            read,
            found,
            lambda row: row if row.status is Status.QUEUED and row.key not in self.backlog.open else None,
        )
        assert all(self.backlog.open[each.key] is each for each in taken)

    @rule(limit=st.sampled_from((1, LIMIT, 40)))
    def set_limit(self, limit: int) -> None:
        self.backlog.set_limit(limit)

    def behind(self) -> list[int]:
        return [key for key in self.rows if key not in self.backlog.open]

    @precondition(lambda self: self.held())
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """What was held is counted among the others from now on."""
        released = self.rows[data.draw(st.sampled_from(self.held()))]
        self.backlog.leave_behind(released)
        released.strand = 0
        self.backlog.enter(released)

    def held(self) -> list[int]:
        return [key for key, row in self.rows.items() if row.strand == HELD]

    @invariant()
    def every_message_is_in_memory_or_counted_behind(self) -> None:
        assert len(self.backlog) == len(self.rows)
        assert self.backlog.behind == len(self.behind())
        for queue in self.backlog.queues():
            mine = [
                row
                for row in self.rows.values()
                if (row.route, row.strand) == (queue.key.route, queue.key.strand)
            ]
            assert queue.active == sum(1 for row in mine if row.key in self.backlog.open)
            assert queue.behind == sum(1 for row in mine if row.key not in self.backlog.open)

    def teardown(self) -> None:
        """When memory empties and reads are answered, nothing stays behind but what is held."""
        for key in self.held():
            self.leave_behind_now(key)
        for _ in range(50 * (1 + len(self.rows))):
            if not self.rows:
                break
            for left in list(self.backlog.open.values()):
                left.status = Status.SENT
                self.backlog.leave(left)
                del self.rows[left.key]
            self.ask()
            while self.reads:
                self.answer()
        assert not self.rows
        assert not self.backlog.behind


TestBacklogMachine = BacklogMachine.TestCase
TestBacklogMachine.settings = settings(stateful_step_count=40)


class OrderedMachine(RuleBasedStateMachine):
    """One ordered queue. Some messages are scheduled, fall due in order, and enter with the place they had; others
    are new. Reads see the journal as it was when they were asked."""

    def __init__(self) -> None:
        super().__init__()
        self.backlog = Backlog(LIMIT, {}, SMALL_FLOOR)
        self.rows: dict[int, Message] = {}
        self.scheduled: list[Message] = []
        self.reads: list[tuple[BacklogRead, list[Message]]] = []
        self.key = self.now = 0

    def made(self, due_ms: int) -> Message:
        self.key += 1
        return message(self.key, due_ms, strand=ORDERED)

    def tell_unread(self) -> None:
        self.backlog.unread_ms = min((each.due_at_ms for each in self.scheduled), default=NEVER_MS)

    def taken(self, message: Message) -> None:
        """A message came into memory: nothing that should go before it is behind, or to come."""
        place = message.due_at_ms, message.key
        others = [row for row in self.rows.values() if row.key not in self.backlog.open]
        assert all((other.due_at_ms, other.key) > place for other in others + self.scheduled)

    def entered(self, message: Message) -> None:
        self.rows[message.key] = message
        if self.backlog.enter(message):
            self.taken(message)

    @rule(later_ms=st.integers(0, 2))
    def time_passes(self, later_ms: int) -> None:
        self.now += later_ms

    @rule(count=st.integers(1, 4))
    def accept(self, count: int) -> None:
        for _ in range(count):
            self.entered(self.made(self.now))

    @rule(later_ms=st.integers(0, 3))
    def schedule(self, later_ms: int) -> None:
        self.scheduled.append(self.made(self.now + later_ms))
        self.tell_unread()

    @rule(is_last=st.booleans())
    def fall_due(self, is_last: bool) -> None:
        """The next of them; it is told before it enters whether others are to come."""
        due = sorted(
            (each.due_at_ms, each.key, each) for each in self.scheduled if each.due_at_ms <= self.now
        )
        if due:
            self.scheduled.remove(due[0][2])
            if is_last:
                self.tell_unread()
            self.entered(due[0][2])
            self.tell_unread()

    @rule()
    def ask(self) -> None:
        for read in self.backlog.reads():
            found = sorted((row.due_at_ms, row.key) for row in self.rows.values())
            keys = [key for due_ms, key in found if (due_ms, key) > read.after][: read.limit]
            self.reads.append((read, [self.rows[key] for key in keys]))

    @precondition(lambda self: self.reads)
    @rule()
    def answer(self) -> None:
        read, found = self.reads.pop(0)
        for each in self.backlog.loaded(read, found, self.waiting):
            self.taken(each)

    def waiting(self, row: Message) -> Message | None:
        return row if row.key in self.rows and row.key not in self.backlog.open else None

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """Sent from memory, or cancelled behind."""
        left = self.rows.pop(data.draw(st.sampled_from(list(self.rows))))
        (self.backlog.leave if left.key in self.backlog.open else self.backlog.leave_behind)(left)

    def teardown(self) -> None:
        """When all are due and memory empties, all come, and no read is asked for in vain for ever."""
        self.now += 100
        while self.scheduled:
            self.fall_due(True)
        for _ in range(10 + 3 * len(self.rows)):
            self.ask()
            while self.reads:
                self.answer()
            for left in list(self.backlog.open.values()):
                self.backlog.leave(left)
                del self.rows[left.key]
        assert not self.rows


TestOrderedMachine = OrderedMachine.TestCase
TestOrderedMachine.settings = settings(stateful_step_count=40)


def test_one_queue_alone_gets_what_is_free_and_others_still_find_room() -> None:
    backlog = Backlog(1_000, {})
    for key in range(1, 2_001):
        backlog.enter(message(key))
    assert len(backlog.open) == 500
    for key in range(2_001, 4_001):
        backlog.enter(message(key, route=("b",)))
    assert 750 <= len(backlog.open) <= 1_000 + FLOOR
    assert len(backlog) == 4_000


def test_a_full_memory_does_not_shut_out_another_queue() -> None:
    backlog = Backlog(0, {}, SMALL_FLOOR)
    assert [backlog.enter(message(key)) for key in (1, 2, 3)] == [True, True, False]
    assert backlog.enter(message(4, route=("urgent",)))


def test_queues_found_at_start_are_read_from_the_first() -> None:
    backlog = Backlog(100, {BacklogKey(("a",), Priority.NORMAL): 3})
    rows = [message(key) for key in (1, 2, 3)]
    assert take_all(backlog, rows).after == (0, 0)
    assert list(backlog.open) == [row.key for row in rows]
    assert list(backlog.reads()) == []


def test_a_queue_is_read_once_at_a_time() -> None:
    backlog = Backlog(100, {BacklogKey(("a",), Priority.NORMAL): 3})
    assert len(list(backlog.reads())) == 1
    assert list(backlog.reads()) == []


def test_what_is_being_read_counts_against_the_limit() -> None:
    behind = {BacklogKey((name,), Priority.NORMAL): 1_000 for name in "abcdefgh"}
    backlog = Backlog(100, behind, SMALL_FLOOR)
    assert sum(read.limit for read in backlog.reads()) <= 100 + SMALL_FLOOR * len(behind)


def test_what_is_free_is_shared_evenly_among_those_that_wait() -> None:
    behind = {BacklogKey((name,), Priority.NORMAL): 1_000 for name in "abcdefgh"}
    backlog = Backlog(800, behind, SMALL_FLOOR)
    assert [read.limit for read in backlog.reads()] == [100] * len(behind)


def test_a_queue_asks_for_no_more_than_it_has() -> None:
    short, long = BacklogKey(("a",), Priority.NORMAL, 1), BacklogKey(("a",), Priority.NORMAL, 2)
    backlog = Backlog(100_000, {short: 3, long: 1_000})
    assert [read.limit for read in backlog.reads()] == [3, 1_000]
    assert backlog.tails == {(("a",), Priority.NORMAL): 2}


def test_a_message_that_lies_before_the_position_is_found_from_the_start() -> None:
    backlog = Backlog(2, {}, 1)
    rows = [message(1, due_ms=50), message(2, due_ms=51), message(3, due_ms=10)]
    assert [backlog.enter(row) for row in rows] == [True, False, False]
    backlog.leave(rows.pop(0))
    while backlog.behind:
        take_all(backlog, rows)
        for left in list(backlog.open.values()):
            backlog.leave(left)
            rows.remove(left)
    assert not rows


def test_an_ordered_queue_that_waits_for_scheduled_messages_asks_for_nothing_and_takes_no_share_of_others() -> (
    None
):
    backlog = Backlog(100, {BacklogKey(("a",), Priority.NORMAL): 1_000}, SMALL_FLOOR)
    backlog.unread_ms = 5
    assert not backlog.enter(message(1, due_ms=5, strand=ORDERED))
    assert [(read.queue.strand, read.limit) for read in backlog.reads()] == [(0, 100)]
    assert backlog.tails == {(("a",), Priority.NORMAL): 1}
    backlog.unread_ms = NEVER_MS
    assert [read.queue.strand for read in backlog.reads()] == [ORDERED]
