"""How much streams may bring between two commits, and whose turn it is to bring it."""

from types import SimpleNamespace
from typing import Any, cast

from stentor.aio.inflow import MOST, ROWS, SHARE, Inflow
from stentor.dispatch.dispatcher import Dispatcher

STREAM = 100
"""What one stream brings at once."""


class Streams:
    """Many streams that always have more, and lanes that take from what is in memory."""

    def __init__(self, count: int, wanted: int = 0, limit: int = 50_000) -> None:
        self.counters = {"sent": 0}
        self.memory: dict[int, None] = {}
        self.flights: dict[int, None] = {}
        self.now = 0.0
        self.ready: list[int] = []
        self.brought: list[int] = []
        backlog = SimpleNamespace(limit=limit, open=self.memory)
        settler = SimpleNamespace(counters=self.counters, flights=self.flights)
        self.dispatcher: Any = SimpleNamespace(backlog=backlog, settler=settler, wanted=wanted)
        self.inflow = Inflow(cast(Dispatcher, self.dispatcher), self.now)
        for number in range(count):
            self.bring(number)

    def bring(self, number: int) -> None:
        """A stream is read, and then looks whether it may be read again."""
        self.brought.append(number)
        self.inflow.brought(STREAM)
        self.look(number)

    def look(self, number: int) -> None:
        if self.inflow.is_exhausted:
            self.inflow.wait(lambda: self.ready.append(number))
        else:
            self.ready.append(number)

    def commit(self, sent: int, elapsed_s: float = 0.1) -> int:
        """A commit is durable, ``sent`` more have left; how many new messages came then."""
        self.now += elapsed_s
        self.counters["sent"] += sent
        self.inflow.committed(0, self.now)
        self.inflow.resume_some()
        before = len(self.brought)
        ready, self.ready = self.ready, []
        for number in ready:
            self.bring(number)
        return (len(self.brought) - before) * STREAM

    def hold(self, count: int) -> None:
        self.memory.clear()
        self.memory.update(dict.fromkeys(range(count)))


def test_many_streams_bring_no_more_than_what_left() -> None:
    one = Streams(200)
    one.hold(20_000)
    came = [one.commit(3000) for _ in range(30)]
    assert sum(came[1:7]) == 0, "what the first reads brought beyond it is owed"
    for each in came[-5:]:
        assert 3000 * SHARE - STREAM <= each <= 3000 * SHARE + STREAM


def test_streams_go_on_in_the_order_in_which_they_wait() -> None:
    one = Streams(20)
    one.brought.clear()
    for _ in range(40):
        one.commit(500)
    turns = [one.brought.count(number) for number in range(20)]
    assert max(turns) - min(turns) <= 1


def test_slow_lanes_let_the_backlog_grow_with_each_commit() -> None:
    one = Streams(10)
    one.hold(40_000)
    came = [one.commit(1) for _ in range(10)]
    assert came[-1] == ROWS


def test_what_lanes_want_does_not_wait_for_what_is_owed() -> None:
    one = Streams(200, wanted=2000)
    assert one.commit(0) >= 2000


def test_a_commit_never_brings_more_than_fills_half_of_memory_or_lasts_long() -> None:
    one = Streams(400, wanted=100_000)
    assert one.commit(0) <= MOST + 5 * STREAM
    one.hold(25_000)
    one.commit(0, 0.01)
    assert one.commit(0, 0.01) <= ROWS


def test_with_nothing_to_write_streams_go_on_unless_results_are_on_their_way() -> None:
    one = Streams(20)
    one.commit(5000)
    one.commit(0)
    one.flights[1] = None
    assert one.inflow.is_exhausted
    one.ready.clear()
    assert not one.inflow.idle(one.now), "their commit is soon to come"
    assert not one.ready
    assert one.inflow.idle(one.now + 1.0), "more wait for their turn"
    assert one.ready
    one.flights.clear()
    one.ready.clear()
    one.inflow.idle(one.now)
    assert one.ready
