"""A channel's incarnations, and what its host does for the driver: paths, the API, a memory."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stentor.aio.channel import Facilities, RunningChannel
from stentor.aio.door import Door
from stentor.aio.engine import RunningEngine
from stentor.aio.journal.library import JournalLibrary
from stentor.aio.journal.reader import Reader
from stentor.aio.journal.room import Room
from stentor.aio.journal.writer import Journal
from stentor.aio.pump import Pump
from stentor.api.app import App
from stentor.api.credentials import Access
from stentor.clock import SystemClock
from stentor.dispatch.dispatcher import Dispatcher, Limits
from stentor.dispatch.memory import Memory
from stentor.driver import CONTRACT_VERSION, Capabilities, DriverSpec, DriverStatus, Host, HTTPExchange
from stentor.ids import IdGenerator
from stentor.retry import RetryPolicy
from stentor.routing.routes import ChannelDefaults, RouteTable, Rule
from stentor.testing.host import MemoryLog
from tests.engine.aio.journal.journal_helpers import run
from tests.support.waiting import eventually_async


class Config(msgspec.Struct, frozen=True):
    """A channel's keys: none."""


class Driver:
    """Does with its host what the test says, then waits for its drain."""

    def __init__(self, host: Host, first: Callable[[Host], None]) -> None:
        self.over = asyncio.Event()
        first(host)

    async def run(self) -> None:
        await self.over.wait()

    def submit(self, lane: str, batch: object) -> None:
        return

    async def drain(self, deadline: float) -> None:
        self.over.set()

    def status(self) -> DriverStatus:
        return DriverStatus()


class Heart:
    """Pump, journal, API and door, as the daemon has them."""

    def __init__(self, journal: Journal, reader: Reader) -> None:
        clock, log = SystemClock(), MemoryLog()
        ids = IdGenerator(os.urandom, journal.recovery.last_key)
        dispatcher = Dispatcher(journal.recovery, Limits(), RetryPolicy(), ids, lambda: 0.0)
        self.pump = Pump(dispatcher, journal, reader, clock, log, 1000, Room(journal.path.parent, log))
        engine = RunningEngine(self.pump, JournalLibrary(reader, dispatcher), ids)
        self.app = App(
            engine,
            RouteTable((Rule(("alpha",), ("",)),), {"alpha": ChannelDefaults("Alpha")}),
            Access(own_uid=os.getuid()),
            lambda uid: frozenset(),
            3600,
            reference_start=1,
            spawn=lambda name, work: asyncio.ensure_future(work),
        )
        self.memory = Memory(dispatcher.ledger, journal.recovery.memory)
        self.facilities = Facilities(self.pump, Door(self.app), self.memory, lambda: 0.0)
        self.log = log
        self.hosts: list[Host] = []
        self.drivers: list[Driver] = []

    def channel(self, name: str, first: Callable[[Host], None] = lambda host: None) -> RunningChannel:
        def make(config: Any, host: Host) -> Any:
            self.hosts.append(host)
            self.drivers.append(Driver(host, first))
            return self.drivers[-1]

        spec = DriverSpec("test", CONTRACT_VERSION, Config, lambda config: Capabilities(), make)
        return RunningChannel(name, spec, Config(), 0.0, self.facilities, self.log)

    async def durable(self) -> None:
        done = asyncio.Event()
        self.pump.when_durable(done.set)
        await done.wait()


@asynccontextmanager
async def heart(path: Path) -> AsyncIterator[Heart]:
    journal = await Journal.open(path)
    reader = await Reader.open(path)
    found = Heart(journal, reader)
    found.pump.dispatcher.start(found.pump.clock.now(), found.pump.clock.wall_ms())
    tasks = [asyncio.ensure_future(found.pump.write()), asyncio.ensure_future(found.pump.read())]
    found.pump.kick()
    try:
        yield found
    finally:
        found.pump.finish()
        await tasks[0]
        tasks[1].cancel()
        await asyncio.wait(tasks)
        await reader.close()
        await journal.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def no_handler(exchange: HTTPExchange) -> None:
    raise AssertionError("nobody asks")


def test_what_a_driver_keeps_is_there_at_once_and_after_a_restart(path: Path) -> None:
    seen: list[Mapping[str, bytes]] = []

    def first(host: Host) -> None:
        seen.append(host.kept())
        host.keep("token", b"\0one")
        host.keep("gone", b"x")
        host.keep("gone", None)
        seen.append(host.kept())

    async def life() -> None:
        async with heart(path) as engine:
            running = engine.channel("alpha", first)
            task = asyncio.ensure_future(running.run())
            await eventually_async(lambda: engine.hosts)
            await engine.durable()
            await running.drain(0.0)
            await task
            engine.hosts[0].keep("after the end", b"x")

    run(life)
    run(life)
    assert seen == [{}, {"token": b"\0one"}, {"token": b"\0one"}, {"token": b"\0one"}]


def test_a_driver_hears_when_what_it_keeps_is_durable_and_its_own_fault_stops_nobody(path: Path) -> None:
    heard: list[str] = []

    def rows() -> int:
        with closing(sqlite3.connect(path)) as db:
            return int(db.execute("SELECT count(*) FROM driver_memory").fetchone()[0])

    def fail() -> None:
        heard.append("failed")
        raise RuntimeError("the driver's own")

    async def life() -> None:
        async with heart(path) as engine:
            running = engine.channel("alpha", lambda host: None)
            task = asyncio.ensure_future(running.run())
            await eventually_async(lambda: engine.hosts)
            host = engine.hosts[0]
            host.keep("one", b"1", fail)
            host.keep("two", b"2", lambda: heard.append("two" if rows() == 2 else "not stored"))
            host.keep("two", b"2", lambda: heard.append("the same"))
            assert heard == []
            await engine.durable()
            assert heard == ["failed", "two", "the same"]
            host.is_over = True
            host.keep("three", b"3", lambda: heard.append("after the end"))
            await engine.durable()
            assert heard[3:] == []
            await running.drain(0.0)
            await task

    run(life)


def test_a_driver_may_serve_and_ask_from_its_first_moment(path: Path) -> None:
    told: list[tuple[int, Any]] = []

    def first(host: Host) -> None:
        host.serve("/in/alpha", no_handler)
        body = b'{"to":"+40712345678","text":"hi"}'
        host.request(
            "POST", "/v1/messages", body, lambda status, octets: told.append((status, octets)), account="shop"
        )

    async def life() -> None:
        async with heart(path) as engine:
            running = engine.channel("alpha", first)
            task = asyncio.ensure_future(running.run())
            await eventually_async(lambda: told)
            status, octets = told[0]
            assert (status, msgspec.json.decode(octets)["status"]) == (202, "queued")
            assert engine.app._mounted("/in/alpha/x") is not None
            await running.drain(0.0)
            await task
            engine.hosts[0].serve("/late", no_handler)
            engine.hosts[0].request(
                "GET", "/healthz", b"", lambda status, octets: told.append((status, octets))
            )
            assert engine.app._mounted("/late") is None
            assert len(told) == 1

    run(life)


def test_a_prefix_of_another_channel_ends_the_incarnation_and_not_the_channel_nor_the_daemon(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stentor.aio.channel.FIRST_PAUSE_S", 0.001)

    def first(host: Host) -> None:
        host.serve("/receipts", no_handler)

    async def life() -> None:
        async with heart(path) as engine:
            alpha, beta = engine.channel("alpha", first), engine.channel("beta", first)
            tasks = [asyncio.ensure_future(alpha.run())]
            await eventually_async(lambda: engine.drivers)
            tasks.append(asyncio.ensure_future(beta.run()))
            await eventually_async(lambda: beta.channel.last_error)
            assert beta.channel.last_error is not None
            assert "/receipts are for the channel alpha already, beta wants" in beta.channel.last_error
            # Once the other has ended for good, its path is free, and a later incarnation gets it.
            await alpha.drain(0.0)
            await eventually_async(lambda: len(engine.drivers) == 2)
            await beta.drain(0.0)
            await asyncio.gather(*tasks)
            assert {line.event for line in engine.log.lines} == {"channel cannot run"}

    run(life)


def test_a_driver_that_cannot_even_be_made_ends_only_its_incarnation(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stentor.aio.channel.FIRST_PAUSE_S", 0.001)
    tries: list[Host] = []

    def first(host: Host) -> None:
        tries.append(host)
        if len(tries) < 3:
            raise ValueError("boom")

    async def life() -> None:
        async with heart(path) as engine:
            running = engine.channel("alpha", first)
            task = asyncio.ensure_future(running.run())
            await eventually_async(lambda: engine.drivers)
            assert running.channel.last_error == "driver failed: ValueError: boom"
            await running.drain(0.0)
            await task

    run(life)
