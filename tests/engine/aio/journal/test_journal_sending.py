"""What the journal says of a message that is with a driver when its row is written."""

import asyncio
from pathlib import Path

import pytest

from stentor.aio.journal.writer import Journal
from stentor.journal.records import BacklogKey, Commit
from stentor.message import Delivery, Message, Status
from stentor.text.segments import Encoding

KEY = 1 << 20


def message(delivery: Delivery) -> Message:
    return Message(
        key=KEY,
        tail=1,
        account="default",
        to="+40700000001",
        originator="100",
        text="hello",
        encoding=Encoding.GSM7,
        segments=1,
        submitted_at_ms=1,
        due_at_ms=1,
        expires_at_ms=10**12,
        route=("alpha",),
        delivery=delivery,
    )


@pytest.mark.parametrize("delivery", Delivery)
def test_only_an_attempt_that_may_not_be_repeated_is_in_doubt_after_a_crash(
    tmp_path: Path, delivery: Delivery
) -> None:
    async def write_and_open_again() -> None:
        journal = await Journal.open(tmp_path / "journal.db")
        sent = message(delivery)
        await journal.commit(Commit(1, accepted=[sent]))
        # It changed, for a retry or because it fell due, and was taken again before the change was written.
        sent.status = Status.SENDING
        await journal.commit(Commit(2, changed={KEY: sent}))
        await journal.close()
        again = await Journal.open(tmp_path / "journal.db")
        queued = {} if delivery is Delivery.AT_MOST_ONCE else {BacklogKey(("alpha",), 2): 1}
        in_doubt = [KEY] if delivery is Delivery.AT_MOST_ONCE else []
        assert again.recovery.backlog == queued
        assert [leased.key for leased in again.recovery.leased] == in_doubt
        await again.close()

    asyncio.run(write_and_open_again())
