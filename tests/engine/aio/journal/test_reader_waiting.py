"""Reads of what waits: for its validity to end, for an overdue receipt."""

import random
from pathlib import Path

import pytest

from stentor.aio.journal import reader as reader_module
from stentor.journal.records import Commit, ExpiredRead, OverdueRead
from stentor.message import Message, Status
from tests.engine.aio.journal.journal_helpers import WALL_MS, Opened, accept, message, run, sent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def test_expired_messages_are_found_among_all_that_wait(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "PAGE_ROWS", 7)
    chance = random.Random(5)
    waiting = [
        message(
            status=chance.choice((Status.QUEUED, Status.SCHEDULED)),
            route=chance.choice((("alpha",), ("beta", "alpha"), ("zeta",))),
            priority=chance.randrange(4),
            expires_at_ms=chance.choice((0, WALL_MS - 1, WALL_MS, WALL_MS + 1)),
        )
        for _ in range(100)
    ]
    gone = [
        message(status=Status.SENT, expires_at_ms=WALL_MS - 1),
        message(status=Status.EXPIRED, expires_at_ms=1),
    ]
    by_key = {one.key: one.expires_at_ms for one in waiting}
    expired = {one.key for one in waiting if 0 < one.expires_at_ms <= WALL_MS}

    async def work() -> None:
        async with Opened(path) as (journal, reader):
            await accept(journal, *waiting, *gone)
            found = await reader.expired(ExpiredRead(WALL_MS, 1000, WALL_MS))
            assert {one.key for one in found} == expired
            assert [one.expires_at_ms for one in found] == sorted(one.expires_at_ms for one in found)
            some = await reader.expired(ExpiredRead(WALL_MS, 5, WALL_MS + 1))
            assert len(some) == 5
            assert {one.key for one in some} <= expired
            assert await reader.expired(ExpiredRead(WALL_MS - 2, 5, WALL_MS - 2)) == []
            soon = await reader.expired(ExpiredRead(WALL_MS - 5, 1000, WALL_MS + 1, (WALL_MS, 2**63 - 1)))
            assert {one.expires_at_ms for one in soon} == {WALL_MS + 1}
            found, after = [], (1, 0)
            while block := await reader.expired(ExpiredRead(WALL_MS - 5, 3, WALL_MS, after)):
                found += block
                after = block[-1].expires_at_ms, block[-1].key
            assert [one.key for one in found] == sorted(expired, key=lambda key: (by_key[key], key))
            first = await reader.expired(ExpiredRead(WALL_MS - 5, 5, WALL_MS + 1))
            assert {one.expires_at_ms for one in first} == {WALL_MS - 1}, "the earliest of all that wait"

    run(work)


def test_overdue_messages_of_a_channel_are_found_from_a_position_on(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "FIRST_PAGE_ROWS", 3)
    chance = random.Random(6)
    all_ = [message() for _ in range(40)]

    async def work() -> None:
        async with Opened(path) as (journal, reader):
            await accept(journal, *all_)
            for one in all_:
                at_ms = WALL_MS + chance.randrange(10)
                await journal.commit(sent(one, chance.choice(("alpha", "beta")), at_ms))
            final = chance.choice(all_)
            final.status, final.final_at_ms = Status.DELIVERED, WALL_MS
            await journal.commit(Commit(1, changed={final.key: final}))
            wanted = sorted(
                (
                    one
                    for one in all_
                    if one is not final and one.channel == "beta" and one.sent_at_ms < WALL_MS + 8
                ),
                key=lambda one: (one.sent_at_ms, one.key),
            )
            found: list[Message] = []
            after = (0, 0)
            while block := await reader.overdue(OverdueRead("beta", after, WALL_MS + 8, 4, 0)):
                assert len(block) == min(4, len(wanted) - len(found))
                found += block
                after = (block[-1].sent_at_ms, block[-1].key)
            assert [one.key for one in found] == [one.key for one in wanted]

    run(work)
