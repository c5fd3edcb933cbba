"""What is done once a second: steps of the wall clock are told of once, the disk is looked at."""

import asyncio
from types import SimpleNamespace

import pytest

from stentor.aio import housekeeping
from stentor.aio.housekeeping import Housekeeping
from stentor.clock import ManualClock, SteadyClock
from tests.support.waiting import eventually_async

HOUR_MS = 3_600_000


class World:
    """Everything that is kept house for, as little of it as there can be."""

    def __init__(self) -> None:
        self.machine = ManualClock(100.0)
        self.steady = SteadyClock(self.machine, self.machine.now)
        self.said: list[tuple[str, str, object]] = []
        self.looks = 0
        self.channels: dict[str, object] = {}
        dispatcher = SimpleNamespace(
            channels=self.channels, backlog=(), scheduled=0, settler=SimpleNamespace(flights={})
        )
        pump = SimpleNamespace(commit_since=None, trouble=None, dispatcher=dispatcher)
        self.engine = SimpleNamespace(
            pump=pump, state="ready", loop_lag_ms=0.0, clock_held_ms=0, count_up=int
        )
        notifier = SimpleNamespace(watchdog_interval_s=None, status=lambda text: None)
        logs = SimpleNamespace(flush=lambda: None)
        self.house = Housekeeping(
            self.engine, SimpleNamespace(maintain=self.idle), notifier, logs, self, SimpleNamespace(look=self.look),
            self.steady,
        )  # fmt: skip

    async def idle(self, now: float) -> None:
        pass

    async def look(self, now: float) -> None:
        self.looks += 1

    def warning(self, event: str, **values: object) -> None:
        self.said.append(("warning", event, values.get("step_s", values.get("reason"))))

    def error(self, event: str, **values: object) -> None:
        self.said.append(("error", event, values.get("step_s")))

    def info(self, event: str, **values: object) -> None:
        self.said.append(("info", event, values.get("channel")))

    async def rounds(self, count: int) -> None:
        until = self.looks + count
        await eventually_async(lambda: self.looks >= until, what="some rounds")


def test_steps_of_the_wall_clock_are_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "PERIOD_S", 0.002)

    async def run() -> None:
        world = World()
        life = asyncio.ensure_future(world.house.run())
        world.machine.wall_at_ms += 5_000
        await world.rounds(3)
        world.machine.wall_at_ms += HOUR_MS
        await world.rounds(3)
        assert world.engine.clock_held_ms == HOUR_MS
        world.machine.wall_at_ms -= HOUR_MS
        await world.rounds(3)
        assert world.engine.clock_held_ms == 0
        life.cancel()
        await asyncio.wait({life})
        assert world.said == [
            ("warning", "wall clock stepped", 5.0),
            ("error", "wall clock stepped far", 3600.0),
            ("warning", "wall clock came back", -3600.0),
        ]

    asyncio.run(run())


def test_a_circuit_is_told_of_when_it_opens_and_when_it_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "PERIOD_S", 0.002)

    async def run() -> None:
        world = World()
        breaker = SimpleNamespace(is_closed=True, reason="")
        world.channels["west"] = SimpleNamespace(breaker=breaker)
        life = asyncio.ensure_future(world.house.run())
        try:
            await world.rounds(2)
            assert world.said == []
            breaker.is_closed, breaker.reason = False, "no answer"
            await world.rounds(3)
            assert world.said == [("warning", "circuit opened", "no answer")]
            breaker.is_closed, breaker.reason = True, ""
            await world.rounds(3)
            assert world.said[1:] == [("info", "circuit closed", "west")]
            del world.channels["west"]
            await world.rounds(2)
            assert len(world.said) == 2
        finally:
            life.cancel()

    asyncio.run(run())
