"""A turn of the pump that fails, or whoever is told of a commit, ends the writer and with it the daemon; a disk without
room refuses new messages."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from stentor.aio.journal.room import Room
from stentor.aio.pump import Pump
from stentor.clock import SystemClock
from stentor.errors import Overloaded
from stentor.journal.records import Commit
from stentor.journal.space import Space


class BrokenDispatcher:
    """Fails to decide, as a bug of ours would."""

    class ledger:
        last_seq = 0
        is_empty = True

    def tick(self, now: float, wall_ms: int) -> None:
        raise AssertionError("a bug")


def test_a_bug_in_a_turn_ends_the_writer_instead_of_going_on_in_silence() -> None:
    async def run() -> None:
        pump = Pump(BrokenDispatcher(), None, None, SystemClock(), None, 10, None)
        writer = asyncio.ensure_future(pump.write())
        pump.kick()
        await asyncio.wait({writer}, timeout=5)
        with pytest.raises(AssertionError, match="a bug"):
            writer.result()

    asyncio.run(run())


class QuietDispatcher:
    """Has one commit to write, and nothing to decide."""

    def __init__(self) -> None:
        self.ledger = SimpleNamespace(last_seq=0, is_empty=False, commit=Commit(2), writing=None)
        self.settler = SimpleNamespace(counters={"sent": 0, "finished": 0})
        self.backlog = SimpleNamespace(open={}, limit=10)
        self.wanted = 0

    def take_commit(self) -> Commit:
        self.ledger.is_empty = True
        return Commit(1)

    def committed(self, now: float, wall_ms: int) -> tuple[Commit, tuple[object, ...]]:
        return Commit(1), ()


def test_a_bug_of_who_is_told_of_a_commit_does_not_leave_the_others_waiting_in_silence() -> None:
    def fail() -> None:
        raise AssertionError("a bug")

    async def run() -> None:
        pump = Pump(QuietDispatcher(), None, None, SystemClock(), None, 10, None)
        pump._durable.append(fail)
        pump._write.set()
        writer = asyncio.ensure_future(pump.write())
        await asyncio.wait({writer}, timeout=5)
        with pytest.raises(AssertionError, match="a bug"):
            writer.result()

    asyncio.run(run())


def test_new_messages_are_refused_while_the_disk_is_short_of_room(tmp_path: Path) -> None:
    async def run() -> None:
        room = Room(tmp_path, None)
        pump = Pump(BrokenDispatcher(), None, None, SystemClock(), None, 10, room)
        room.space = Space.SHORT
        with pytest.raises(Overloaded) as refused:
            pump.accept([], [], lambda error: None)
        assert (refused.value.code, refused.value.retry_after_s) == ("no_space", 5)

    asyncio.run(run())
