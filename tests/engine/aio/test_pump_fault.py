"""A turn of the pump that fails ends the writer, and with it the daemon."""

import asyncio

import pytest

from stentor.aio.pump import Pump
from stentor.clock import SystemClock


class BrokenDispatcher:
    """Fails to decide, as a bug of ours would."""

    class ledger:
        last_seq = 0
        is_empty = True

    def tick(self, now: float, wall_ms: int) -> None:
        raise AssertionError("a bug")


def test_a_bug_in_a_turn_ends_the_writer_instead_of_going_on_in_silence() -> None:
    async def run() -> None:
        pump = Pump(BrokenDispatcher(), None, None, SystemClock(), None, 10)
        writer = asyncio.ensure_future(pump.write())
        pump.kick()
        await asyncio.wait({writer}, timeout=5)
        with pytest.raises(AssertionError, match="a bug"):
            writer.result()

    asyncio.run(run())
