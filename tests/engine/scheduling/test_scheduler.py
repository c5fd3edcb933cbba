"""Who goes next: the queue of a channel beside a slow and obvious one, and what its docstring promises."""

from fractions import Fraction
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stentor.message import Message, Priority
from stentor.scheduling.scheduler import QUANTUM, ChannelQueue, DueHeap
from stentor.text.segments import Encoding

SHARES = {Priority.HIGH: Fraction(1, 4), Priority.NORMAL: Fraction(1, 8), Priority.BULK: Fraction(1, 16)}
LARGEST = 6


def message(
    key: int,
    priority: Priority = Priority.NORMAL,
    account: str = "a",
    segments: int = 1,
    due_ms: int = 0,
    batch: str | None = None,
) -> Message:
    found = Message(
        key << 8,
        0,
        account,
        "+40700000001",
        "1234",
        "x",
        Encoding.GSM7,
        segments,
        0,
        due_ms,
        0,
        ("alpha",),
        priority,
    )
    found.batch = batch
    return found


class SlowQueue:
    """The policy in the fewest words: one list, searched and sorted for each message that goes."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Message, int, int]] = []
        self.credit: dict[Priority, Fraction] = {}
        self.turns: dict[Priority, list[str]] = {priority: [] for priority in Priority}
        self.deficit: dict[tuple[Priority, str], int] = {}
        self.batch_turns: dict[tuple[Priority, str], list[str | None]] = {}
        self.batch_deficit: dict[tuple[Priority, str, str | None], int] = {}
        self.begun: set[tuple[Priority, str] | tuple[Priority, str, str | None]] = set()
        self.arrivals = count()

    def of(self, priority: Priority, account: str | None = None) -> list[tuple[Message, int, int]]:
        return sorted(
            (
                entry
                for entry in self.waiting
                if entry[0].priority is priority and account in (None, entry[0].account)
            ),
            key=lambda entry: (entry[0].due_at_ms, entry[2]),
        )

    def put(self, message: Message, cost: int) -> None:
        turns = self.turns[message.priority]
        if not turns:
            self.credit[message.priority] = Fraction(0)
        if message.account not in turns:
            turns.append(message.account)
            self.deficit[message.priority, message.account] = 0
        batches = self.batch_turns.setdefault((message.priority, message.account), [])
        if message.batch not in batches:
            batches.append(message.batch)
            self.batch_deficit[message.priority, message.account, message.batch] = 0
        self.waiting.append((message, cost, next(self.arrivals)))

    def remove(self, entry: tuple[Message, int, int]) -> None:
        self.waiting.remove(entry)
        message = entry[0]
        left = self.of(message.priority, message.account)
        name = message.priority, message.account
        if message.batch not in [other[0].batch for other in left]:
            self.batch_turns[name].remove(message.batch)
            self.begun.discard((*name, message.batch))
        if not left:
            self.turns[message.priority].remove(message.account)
            self.begun.discard(name)

    def next_of(self, priority: Priority) -> tuple[Message, int, int]:
        turns = self.turns[priority]
        while len(turns) > 1:
            name = priority, turns[0]
            if name not in self.begun:
                self.begun.add(name)
                self.deficit[name] += QUANTUM
            entry = self.next_of_account(priority, turns[0])
            if self.deficit[name] >= entry[1]:
                return entry
            self.begun.remove(name)
            turns.append(turns.pop(0))
        return self.next_of_account(priority, turns[0])

    def next_of_account(self, priority: Priority, account: str) -> tuple[Message, int, int]:
        turns = self.batch_turns[priority, account]
        while True:
            name = priority, account, turns[0]
            if len(turns) > 1 and name not in self.begun:
                self.begun.add(name)
                self.batch_deficit[name] += QUANTUM
            entry = next(each for each in self.of(priority, account) if each[0].batch == turns[0])
            if len(turns) == 1 or self.batch_deficit[name] >= entry[1]:
                return entry
            self.begun.remove(name)
            turns.append(turns.pop(0))

    def choose(self) -> tuple[Message, int, int]:
        waiting = [priority for priority in Priority if self.turns[priority]]
        for priority in waiting[1:]:
            entry = self.next_of(priority)
            if self.credit[priority] >= entry[1]:
                return entry
        return self.next_of(waiting[0])

    def take(self, budget: int) -> list[Message]:
        taken = []
        while budget > 0 and self.waiting:
            entry = self.choose()
            message, cost, _ = entry
            if len(self.turns[message.priority]) > 1:
                self.deficit[message.priority, message.account] -= cost
            if len(self.batch_turns[message.priority, message.account]) > 1:
                self.batch_deficit[message.priority, message.account, message.batch] -= cost
            self.remove(entry)
            for priority in Priority:
                if self.turns[priority]:
                    self.credit[priority] += SHARES.get(priority, 0) * cost
            self.credit[message.priority] = max(Fraction(0), self.credit[message.priority] - cost)
            budget -= cost
            taken.append(message)
        return taken


class QueueMachine(RuleBasedStateMachine):
    """The real queue and the slow one are given the same and must give the same."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = ChannelQueue()
        self.slow = SlowQueue()
        self.keys = count(1)
        self.gone: list[Message] = []

    @rule(
        priority=st.sampled_from(Priority),
        account=st.sampled_from("abc"),
        batch=st.sampled_from((None, None, "x", "y")),
        segments=st.integers(1, LARGEST),
        sent=st.integers(0, LARGEST - 1),
        due_ms=st.integers(1, 20),
        copies=st.integers(1, 12),
    )
    def put(
        self,
        priority: Priority,
        account: str,
        batch: str | None,
        segments: int,
        sent: int,
        due_ms: int,
        copies: int,
    ) -> None:
        cost = max(1, segments - sent)
        for number in range(copies):
            new = message(next(self.keys), priority, account, segments, due_ms + number, batch)
            self.queue.put(new, cost)
            self.slow.put(new, cost)

    @precondition(lambda self: self.gone)
    @rule(index=st.integers(0), due_ms=st.integers(1, 20))
    def put_back(self, index: int, due_ms: int) -> None:
        old = self.gone.pop(index % len(self.gone))
        old.due_at_ms = due_ms
        self.queue.put(old)
        self.slow.put(old, old.segments)

    @rule(budget=st.integers(0, 30))
    def take(self, budget: int) -> None:
        taken = self.queue.take(budget)
        assert [each.key for each in taken] == [each.key for each in self.slow.take(budget)]
        self.gone += taken

    @precondition(lambda self: self.slow.waiting)
    @rule(index=st.integers(0), copies=st.integers(1, 8))
    def discard(self, index: int, copies: int) -> None:
        for _ in range(min(copies, len(self.slow.waiting))):
            entry = self.slow.waiting[index % len(self.slow.waiting)]
            assert self.queue.discard(entry[0].key)
            assert not self.queue.discard(entry[0].key)
            self.slow.remove(entry)
            self.gone.append(entry[0])

    @rule()
    def drain(self) -> None:
        drained = self.queue.drain()
        assert [each.key for each in drained] == [each.key for each in self.slow.take(1 << 30)]
        self.gone += drained

    @invariant()
    def counts_agree(self) -> None:
        assert len(self.queue) == len(self.slow.waiting)
        assert self.queue.segments == sum(cost for _, cost, _ in self.slow.waiting)
        for priority in Priority:
            waiting = self.slow.of(priority)
            assert self.queue.count(priority) == len(waiting)
            assert self.queue.oldest_due_ms(priority) == (waiting[0][0].due_at_ms if waiting else 0)


QueueMachine.TestCase.settings = settings(stateful_step_count=50)
TestQueueMachine = QueueMachine.TestCase

costs = st.lists(st.integers(1, LARGEST), min_size=4, max_size=40)


class Crowd:
    """A queue in which chosen classes never run out."""

    def __init__(self, priorities: list[Priority], sizes: list[int]) -> None:
        self.queue = ChannelQueue()
        self.keys = count(1)
        self.sizes = sizes
        for priority in priorities:
            for _ in range(2 * LARGEST):
                self.put(priority)

    def put(self, priority: Priority, segments: int = 0) -> None:
        key = next(self.keys)
        self.queue.put(message(key, priority, segments=segments or self.sizes[key % len(self.sizes)]))

    def go(self) -> Message:
        """The next message; another of its class takes its place."""
        [gone] = self.queue.take(1)
        self.put(gone.priority)
        return gone


@given(sizes=costs, first=st.integers(0, 3), dice=st.lists(st.integers(1, 9), min_size=1, max_size=9))
def test_in_any_stretch_every_waiting_class_gets_its_share_but_for_a_constant(
    sizes: list[int], first: int, dice: list[int]
) -> None:
    crowd = Crowd(list(Priority)[first:], [(size * die) % LARGEST + 1 for size in sizes for die in dice])
    total = 0
    got = dict.fromkeys(Priority, 0)
    best = {priority: Fraction(0) for priority in SHARES if priority >= first}
    for _ in range(400):
        gone = crowd.go()
        total += gone.segments
        got[gone.priority] += gone.segments
        for priority, highest in best.items():
            ahead = got[priority] - SHARES[priority] * total
            # The worst stretch that ends here began where the class was furthest ahead.
            assert highest - ahead <= 4 * LARGEST
            best[priority] = max(highest, ahead)


@given(
    sizes=costs, before=st.integers(0, 60), urgent=st.lists(st.integers(1, LARGEST), min_size=1, max_size=30)
)
def test_an_urgent_message_waits_for_no_more_than_what_others_have_earned(
    sizes: list[int], before: int, urgent: list[int]
) -> None:
    crowd = Crowd([Priority.HIGH, Priority.NORMAL, Priority.BULK], sizes)
    for _ in range(before):
        crowd.go()
    for segments in urgent:
        crowd.queue.put(message(next(crowd.keys), Priority.URGENT, segments=segments))
    ours = others = 0
    while crowd.queue.count(Priority.URGENT):
        [gone] = crowd.queue.take(1)
        if gone.priority is Priority.URGENT:
            ours += gone.segments
            assert others <= 7 * LARGEST + Fraction(7, 9) * ours
        else:
            others += gone.segments
            crowd.put(gone.priority)


def test_an_urgent_message_of_one_segment_waits_for_half_a_dozen_at_most() -> None:
    worst = 0
    for before in range(200):
        crowd = Crowd([Priority.HIGH, Priority.NORMAL, Priority.BULK], [1])
        for _ in range(before):
            crowd.go()
        crowd.queue.put(message(next(crowd.keys), Priority.URGENT))
        passed = [each.priority for each in crowd.queue.drain()].index(Priority.URGENT)
        worst = max(worst, passed)
    assert worst <= 6


def test_a_class_that_waited_alone_for_long_has_saved_nothing() -> None:
    crowd = Crowd([Priority.BULK], [1])
    for _ in range(1000):
        crowd.go()
    for _ in range(20):
        crowd.put(Priority.URGENT)
    went = [each.priority for each in crowd.queue.take(15)]
    assert went == [Priority.URGENT] * 15


@given(sizes=costs, others=st.lists(st.integers(1, LARGEST), min_size=1, max_size=9))
def test_accounts_that_wait_throughout_get_the_same_within_a_constant(
    sizes: list[int], others: list[int]
) -> None:
    queue, keys = ChannelQueue(), count(1)
    got = dict.fromkeys("abc", 0)
    cost = {"a": sizes, "b": others, "c": [1]}

    def put(account: str) -> None:
        key = next(keys)
        queue.put(message(key, account=account, segments=cost[account][key % len(cost[account])]))

    for account in got:
        for _ in range(2 * LARGEST):
            put(account)
    widest = dict.fromkeys(("ab", "ac", "bc"), (0, 0))
    for _ in range(400):
        [gone] = queue.take(1)
        got[gone.account] += gone.segments
        put(gone.account)
        for pair, (low, high) in widest.items():
            ahead = got[pair[0]] - got[pair[1]]
            low, high = min(low, ahead), max(high, ahead)
            widest[pair] = (low, high)
            assert high - low <= QUANTUM + 2 * LARGEST


def test_accounts_whose_messages_come_one_by_one_do_not_pass_over_those_that_wait() -> None:
    """Turns go round whoever leaves in between: two come and go, two wait throughout."""
    queue, keys = ChannelQueue(), count(1)
    for account, copies in (("p", 1), ("x", 300), ("q", 1), ("r", 300)):
        for _ in range(copies):
            queue.put(message(next(keys), account=account))
    got = dict.fromkeys("pxqr", 0)
    for _ in range(400):
        [gone] = queue.take(1)
        got[gone.account] += 1
        if gone.account in "pq":
            queue.put(message(next(keys), account=gone.account))
    assert abs(got["x"] - got["r"]) <= QUANTUM + 2
    assert max(got["p"], got["q"]) < min(got["x"], got["r"])


def test_a_flood_of_one_account_does_not_hold_up_another() -> None:
    queue = ChannelQueue()
    for key in range(1, 10_001):
        queue.put(message(key, account="flood"))
    queue.put(message(10_001, account="drop"))
    assert "drop" in [each.account for each in queue.take(2 * QUANTUM)]


def test_within_an_account_the_earliest_due_goes_first_and_then_the_earliest_come() -> None:
    queue = ChannelQueue()
    for key, due_ms in enumerate([5, 3, 9, 3, 5, 1], 1):
        queue.put(message(key, due_ms=due_ms))
    assert [each.key >> 8 for each in queue.take(100)] == [6, 2, 4, 1, 5, 3]


def test_the_last_message_may_overshoot_the_budget() -> None:
    queue = ChannelQueue()
    for key in (1, 2, 3):
        queue.put(message(key, segments=3))
    assert len(queue.take(4)) == 2
    assert queue.segments == 3


def test_a_small_message_that_comes_late_but_is_due_first_goes_as_soon_as_it_is_earned() -> None:
    queue = ChannelQueue()
    for key in range(1, 100):
        queue.put(message(key, Priority.URGENT))
    queue.put(message(100, Priority.BULK, segments=6, due_ms=9))
    assert len(queue.take(20)) == 20
    queue.put(message(101, Priority.BULK, due_ms=1))
    assert [each.key >> 8 for each in queue.take(1)] == [101]


def test_a_message_cannot_wait_twice() -> None:
    queue = ChannelQueue()
    queue.put(message(1))
    with pytest.raises(AssertionError):
        queue.put(message(1))


def test_discarded_messages_do_not_pile_up() -> None:
    queue = ChannelQueue()
    queue.put(message(1))
    for key in range(2, 5_000):
        queue.put(message(key))
        queue.discard(key << 8)
    assert len(queue._held.stale) < 100
    assert [each.key >> 8 for each in queue.drain()] == [1]
    assert not queue._held.stale


class DueMachine(RuleBasedStateMachine):
    """The heap beside a list that is sorted whenever it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.heap = DueHeap()
        self.slow: list[tuple[int, int, Message]] = []
        self.keys = count(1)
        self.gone: list[Message] = []

    @rule(due_ms=st.integers(1, 50), copies=st.integers(1, 30))
    def push(self, due_ms: int, copies: int) -> None:
        for _ in range(copies):
            self.add(due_ms, message(next(self.keys)))

    @precondition(lambda self: self.gone)
    @rule(due_ms=st.integers(1, 50))
    def push_again(self, due_ms: int) -> None:
        self.add(due_ms, self.gone.pop())

    def add(self, due_ms: int, new: Message) -> None:
        self.heap.push(due_ms, new)
        self.slow.append((due_ms, next(self.keys), new))

    @rule(now_ms=st.integers(0, 50))
    def pop(self, now_ms: int) -> None:
        due = sorted(entry[:2] for entry in self.slow if entry[0] <= now_ms)
        by_arrival = {entry[1]: entry[2] for entry in self.slow}
        popped = self.heap.pop_due(now_ms)
        assert [each.key for each in popped] == [by_arrival[arrival].key for _, arrival in due]
        self.slow = [entry for entry in self.slow if entry[0] > now_ms]
        self.gone += popped

    @precondition(lambda self: self.slow)
    @rule(index=st.integers(0), copies=st.integers(1, 30))
    def discard(self, index: int, copies: int) -> None:
        for _ in range(min(copies, len(self.slow))):
            entry = self.slow.pop(index % len(self.slow))
            assert self.heap.discard(entry[2].key)
            assert not self.heap.discard(entry[2].key)
            self.gone.append(entry[2])

    @invariant()
    def counts_agree(self) -> None:
        assert len(self.heap) == len(self.slow)
        assert self.heap.next_due_ms() == min((entry[0] for entry in self.slow), default=0)


DueMachine.TestCase.settings = settings(stateful_step_count=30)
TestDueMachine = DueMachine.TestCase
