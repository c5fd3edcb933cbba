"""What expires next among what waits in the journal alone."""

from hypothesis import given
from hypothesis import strategies as st

from stentor.dispatch.dispatcher import Limits
from stentor.journal.expiries import Expiries
from stentor.journal.records import BacklogKey, BacklogRead, DueRead, ExpiredRead, KeyRead, Recovery
from stentor.message import EventKind, Segment, Status
from tests.engine.dispatch.dispatch_engine import WALL, Engine, message

BEHIND = {BacklogKey(("c",), 2): 1}


@given(st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=60), st.integers(2, 9))
def test_nothing_that_expires_before_what_is_known_is_missing(steps, limit: int) -> None:
    """Against a list of all that waits."""
    expiries = Expiries(limit)
    waiting: dict[int, int] = {}
    for key, (at_ms, is_found) in enumerate(steps):
        if is_found:
            expiries.known_until_ms = 50
            expiries.found(((ms, each) for each, ms in waiting.items()), 50)
        waiting[key] = at_ms
        expiries.expect(key, at_ms)
        assert len(expiries) <= limit
    until = expiries.known_until_ms
    keys = expiries.due(100, 100)
    assert {key for key, at_ms in waiting.items() if 0 < at_ms < until} <= set(keys)
    assert [waiting[key] for key in keys] == sorted(waiting[key] for key in keys)
    assert (expiries.next_ms, len(expiries)) == (0, 0)


def test_due_is_what_has_expired_and_no_more_than_asked_for() -> None:
    expiries = Expiries(10)
    expiries.known_until_ms = 100
    for key, at_ms in enumerate((30, 10, 20, 0, 100)):
        expiries.expect(key, at_ms)
    assert (expiries.due(20, 1), expiries.next_ms) == ([1], 20)
    assert (expiries.due(20, 9), expiries.next_ms) == ([2], 30)


def test_a_key_that_stands_twice_is_due_once() -> None:
    expiries = Expiries(10)
    expiries.known_until_ms = 100
    for key in (7, 8, 7):
        expiries.expect(key, 10)
    assert expiries.due(10, 2) == [7, 8]


def engine_with_tail(**recovery) -> Engine:
    """An engine with one message behind, swept once: until half a minute from now all is known."""
    engine = Engine(Recovery(backlog=dict(BEHIND), last_key=512, **recovery))
    engine.wait(1)
    engine.turn()
    return engine


def test_what_will_expire_is_asked_for_ahead_and_ended_on_time() -> None:
    engine = engine_with_tail()
    (sweep,) = engine.reads(ExpiredRead)
    assert sweep.until_ms == engine.wall + 30_000
    soon = message(1, route=("c",), expires_at_ms=engine.wall + 7_000)
    engine.answer(sweep, soon)
    assert engine.reads(KeyRead) == []
    assert engine.dispatcher.next_wake(engine.now, engine.wall) <= engine.now + 7
    engine.wait(7.1)
    engine.turn()
    (read,) = engine.reads(KeyRead)
    assert read.keys == (256,)
    engine.answer(read, soon)
    engine.commit()
    assert engine.events == [(1, EventKind.EXPIRED)]
    assert len(engine.dispatcher.backlog) == 0


def test_what_expires_together_is_ended_in_blocks_without_a_pause() -> None:
    engine = Engine(Recovery(backlog={BacklogKey(("c",), 2): 3}, last_key=1024), Limits(block=2))
    engine.wait(1)
    engine.turn()
    engine.accept(*(message(key, route=("c",), expires_at_ms=engine.wall + 5_000) for key in (5, 6, 7)))
    engine.wait(6)
    engine.turn()
    engine.turn()
    assert [read.keys for read in engine.reads(KeyRead)] == [(1280, 1536), (1792,)]


def test_a_message_of_which_all_has_left_does_not_expire_in_the_journal() -> None:
    engine = engine_with_tail()
    (sweep,) = engine.reads(ExpiredRead)
    told = message(
        1, route=("c",), expires_at_ms=WALL, segment_list=[Segment(1, Status.SENT, "c1", "c1", WALL)]
    )
    engine.answer(sweep, told)
    engine.commit()
    assert engine.events == []


def test_what_comes_to_wait_behind_meanwhile_is_known_too() -> None:
    engine = engine_with_tail()
    late = message(2, route=("c",), expires_at_ms=engine.wall + 5_000)
    engine.accept(late)
    assert late.key not in engine.dispatcher.backlog.open
    (sweep,) = engine.reads(ExpiredRead)
    engine.answer(sweep)
    engine.wait(5.5)
    engine.turn()
    (read,) = engine.reads(KeyRead)
    assert read.keys == (late.key,)


def test_a_scheduled_message_that_will_expire_is_known_too() -> None:
    engine = engine_with_tail()
    engine.accept(message(2, status=Status.SCHEDULED, due_at_ms=WALL * 2, expires_at_ms=engine.wall + 5_000))
    engine.wait(5.5)
    engine.turn()
    (read,) = engine.reads(KeyRead)
    assert read.keys == (512,)


def test_a_full_block_of_expired_messages_is_followed_by_the_next_once_they_have_ended() -> None:
    engine = Engine(Recovery(backlog={BacklogKey(("c",), 2): 3}, last_key=1024), Limits(block=2))
    engine.wait(40)
    engine.turn()
    (sweep,) = engine.reads(ExpiredRead)
    gone = [message(key, route=("c",), expires_at_ms=WALL + key) for key in (1, 2, 3)]
    engine.dispatcher.set_paused("a", True, engine.wall)
    engine.begin()
    engine.answer(sweep, *gone[:2])
    engine.committed()
    engine.turn()
    assert engine.reads(ExpiredRead) == [], "the journal does not show that they ended"
    engine.commit()
    engine.turn()
    assert len(engine.reads(ExpiredRead)) == 1


def test_an_answer_that_comes_after_all_it_could_tell_of_is_followed_by_the_next() -> None:
    engine = engine_with_tail()
    (sweep,) = engine.reads(ExpiredRead)
    engine.wait(40)
    engine.answer(sweep)
    engine.turn()
    assert len(engine.reads(ExpiredRead)) == 1


def test_a_full_block_that_is_in_memory_is_passed_over() -> None:
    engine = Engine(Recovery(backlog=dict(BEHIND), last_key=1024), Limits(block=1))
    engine.lane()
    sending = message(2, expires_at_ms=WALL + 10)
    engine.accept(sending)
    engine.turn()
    engine.wait(40)
    engine.turn()
    (sweep,) = engine.reads(ExpiredRead)
    engine.answer(sweep, message(2, expires_at_ms=WALL + 10))
    engine.wait(1)
    engine.turn()
    (sweep,) = engine.reads(ExpiredRead)
    assert sweep.after == (WALL + 10, 512)


def test_an_expired_message_ends_when_it_is_loaded() -> None:
    engine = Engine(Recovery(backlog={BacklogKey(("a",), 2): 2}, last_key=512))
    engine.turn()
    (read,) = engine.reads(BacklogRead)
    engine.answer(
        read, message(1, route=("a",), expires_at_ms=WALL), message(2, route=("a",), expires_at_ms=WALL + 9)
    )
    engine.commit()
    assert engine.events == [(1, EventKind.EXPIRED)]
    assert list(engine.dispatcher.backlog.open) == [512]
    assert engine.dispatcher.settler.counters["finished"] == 1


def test_a_message_that_expired_before_it_fell_due_is_never_queued() -> None:
    engine = Engine(Recovery(scheduled=1, next_due_ms=WALL, last_key=256))
    engine.turn()
    (read,) = engine.reads(DueRead)
    engine.answer(read, message(status=Status.SCHEDULED, due_at_ms=WALL - 9, expires_at_ms=WALL))
    engine.commit()
    assert engine.events == [(1, EventKind.EXPIRED)]
    assert engine.dispatcher.scheduled == 0
