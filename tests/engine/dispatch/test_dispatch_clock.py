"""A machine's clock that is set wrong expires nothing, sends nothing early and holds nothing up."""

import pytest

from stentor.clock import ManualClock, SteadyClock
from stentor.journal.records import DueRead, ExpiredRead
from stentor.message import EventKind, Status
from tests.engine.dispatch.dispatch_engine import WALL, Engine, message

YEARS_MS = 10 * 365 * 86_400_000


@pytest.mark.parametrize("step_ms", [3_600_000, -3_600_000, YEARS_MS, -YEARS_MS])
def test_what_waits_for_a_time_waits_for_it_whatever_the_machine_s_clock_shows(step_ms: int) -> None:
    machine = ManualClock(0.0, WALL)
    clock = SteadyClock(machine, machine.now)
    engine = Engine()
    queued = message(1)
    later = message(2, status=Status.SCHEDULED, due_at_ms=WALL + 120_000, send_at_ms=WALL + 120_000)
    engine.accept(queued, later)

    def passes(seconds: int) -> list[object]:
        for _ in range(seconds):
            machine.advance(1.0)
            engine.now, engine.wall = clock.now(), clock.wall_ms()
            engine.turn()
        return engine.reads(object)

    machine.wall_at_ms += step_ms
    reads = passes(110)
    assert queued.status is Status.QUEUED
    assert not [read for read in reads if isinstance(read, DueRead)]
    assert all(read.now_ms < WALL + 120_000 for read in reads if isinstance(read, ExpiredRead))
    assert [read.until_ms >= WALL + 120_000 for read in passes(20) if isinstance(read, DueRead)] == [True]
    assert [kind for _, kind in engine.events] == [EventKind.QUEUED]
