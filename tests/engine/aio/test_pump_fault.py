"""A turn of the pump that fails ends the writer, and with it the daemon; a disk without room refuses new messages."""

import asyncio
from pathlib import Path

import pytest

from stentor.aio.journal.room import Room
from stentor.aio.pump import Pump
from stentor.clock import SystemClock
from stentor.errors import Overloaded
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


def test_new_messages_are_refused_while_the_disk_is_short_of_room(tmp_path: Path) -> None:
    async def run() -> None:
        room = Room(tmp_path, None)
        pump = Pump(BrokenDispatcher(), None, None, SystemClock(), None, 10, room)
        room.space = Space.SHORT
        with pytest.raises(Overloaded) as refused:
            pump.accept([], [], lambda error: None)
        assert (refused.value.code, refused.value.retry_after_s) == ("no_space", 5)

    asyncio.run(run())
